//! Owns the form in which texts are searched by how they begin: without case, and the same however their characters are composed.

use unicode_normalization::UnicodeNormalization;

use super::{FieldReason, RuleViolation};

/// How many bytes of a text are kept to be searched; what goes on after them is compared when it is read.
pub const SEARCH_KEY_MAX_BYTES: usize = 256;

/// The longest prefix that may be searched for, in bytes: no name or address is longer.
pub const PREFIX_MAX_BYTES: usize = 512;

/// `text`, decomposed and without case: letter by letter, so that what a text begins with, its folded form begins with, too.
fn folded(text: &str) -> String {
    // By capitals: some letters have more than one small form (the sigmas), or none that is one letter (ß).
    text.nfkd().flat_map(char::to_uppercase).flat_map(char::to_lowercase).nfkd().collect()
}

/// What is kept of a text to be searched. It compares by its bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SearchKey(Vec<u8>);

impl SearchKey {
    /// That of `text`.
    #[must_use]
    pub fn of(text: &str) -> Self {
        let mut key = folded(text).into_bytes();
        key.truncate(SEARCH_KEY_MAX_BYTES);
        Self(key)
    }

    /// Its bytes.
    #[must_use]
    pub fn into_bytes(self) -> Vec<u8> {
        self.0
    }
}

/// What texts begin with that are searched for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Prefix(String);

impl Prefix {
    /// That of `text`, in any case. An empty one is what every text begins with.
    ///
    /// # Errors
    /// The rule that `text` breaks.
    pub fn parse(text: &str) -> Result<Self, RuleViolation> {
        if text.len() > PREFIX_MAX_BYTES {
            let rule = format!("must have at most {PREFIX_MAX_BYTES} bytes");
            return Err(RuleViolation::new(FieldReason::TooLong, rule));
        }
        Ok(Self(folded(text)))
    }

    /// What is compared: another prefix of this text is the same one.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether `text` begins with it.
    #[must_use]
    pub fn begins(&self, text: &str) -> bool {
        folded(text).starts_with(&self.0)
    }

    /// The keys of texts that may begin with it: from the first one, and before the other, if there is an end.
    #[must_use]
    pub fn keys(&self) -> (Vec<u8>, Option<Vec<u8>>) {
        let mut first = self.0.clone().into_bytes();
        first.truncate(SEARCH_KEY_MAX_BYTES);
        let mut end = first.clone();
        // No byte of UTF-8 is the greatest one.
        let end = end.pop().map(|last| [end.as_slice(), &[last.saturating_add(1)]].concat());
        (first, end)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn prefix(text: &str) -> Prefix {
        Prefix::parse(text).unwrap()
    }

    #[test]
    fn a_text_begins_with_a_prefix_in_any_case_and_composition() {
        for (start, text) in [
            ("", "anything"),
            ("AL", "alice"),
            ("al", "\u{ff21}\u{ff2c}ice"),
            ("E\u{301}mi", "\u{e9}mile"),
            ("e", "\u{e9}mile"),
            ("strass", "STRA\u{df}E"),
            ("stra\u{df}", "strasse"),
            ("\u{3c3}\u{3b1}\u{3c3}", "\u{3a3}\u{3b1}\u{3c2}"),
            ("\u{410}\u{43b}", "\u{430}\u{41b}\u{438}"),
            ("%_", "%_\\"),
            ("a\0", "a\0b"),
        ] {
            assert!(prefix(start).begins(text), "{start} {text}");
        }
        for (start, text) in [("%", "alice"), ("_", "alice"), ("\u{e9}", "emile"), ("a\0", "ab")] {
            assert!(!prefix(start).begins(text), "{start} {text}");
        }
        assert_eq!(Prefix::parse(&"x".repeat(4_096)).unwrap_err().reason, FieldReason::TooLong);
    }

    proptest! {
        #[test]
        fn the_keys_of_a_prefix_have_between_them_that_of_each_text_that_begins_with_it(
            text in any::<String>(),
            at in any::<prop::sample::Index>(),
            filler in 0_usize..300,
        ) {
            let text = format!("{}{text}", "y".repeat(filler));
            let ends: Vec<_> = text.char_indices().map(|(end, _)| end).chain([text.len()]).collect();
            let start = &text[..ends[at.index(ends.len())]];
            prop_assume!(start.len() <= PREFIX_MAX_BYTES);
            let start = prefix(start);
            let key = SearchKey::of(&text).into_bytes();
            prop_assert!(key.len() <= SEARCH_KEY_MAX_BYTES);
            let (first, end) = start.keys();
            if start.begins(&text) {
                prop_assert!(first <= key && end.is_none_or(|end| key < end));
            } else if key.len() < SEARCH_KEY_MAX_BYTES {
                prop_assert!(first > key || end.is_some_and(|end| key >= end));
            }
        }
    }
}
