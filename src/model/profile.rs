//! Owns the rules of what users say of themselves: e-mail address and display name.

use std::str::FromStr;

use email_address::EmailAddress;
use precis_core::profile::Profile;
use precis_profiles::Nickname;
use unicode_normalization::UnicodeNormalization;

use super::{FieldReason, RuleViolation};

/// The longest e-mail address in bytes: what a `MAIL FROM` path leaves room for (RFC 5321 section 4.5.3.1.3, erratum 1690).
pub const EMAIL_MAX_BYTES: usize = 254;

/// The longest display name in characters.
pub const DISPLAY_NAME_MAX_CHARS: usize = 128;

/// An e-mail address of the form `local@domain` (RFC 5321), unverified.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Email(String);

impl Email {
    /// Checks the form of `text`.
    ///
    /// # Errors
    /// The rule that `text` breaks.
    pub fn parse(text: &str) -> Result<Self, RuleViolation> {
        if text.is_empty() {
            return Err(RuleViolation::new(FieldReason::Required, "must not be empty when it is set"));
        }
        if text.len() > EMAIL_MAX_BYTES {
            let rule = format!("must have at most {EMAIL_MAX_BYTES} bytes (RFC 5321)");
            return Err(RuleViolation::new(FieldReason::TooLong, rule));
        }
        // The crate parses whole mailboxes (`Name <local@domain>`): only the bare address is one here.
        match EmailAddress::from_str(text) {
            Ok(address) if address.email() == text && !text.chars().any(char::is_control) => {
                Ok(Self(text.to_owned()))
            }
            _ => Err(RuleViolation::new(
                FieldReason::Malformed,
                "must be an e-mail address of the form local@domain (RFC 5321)",
            )),
        }
    }

    /// An address that was checked before it was stored.
    pub(crate) fn from_stored(text: String) -> Self {
        Self(text)
    }

    /// The address.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// Whether `text` cannot become a name that is short enough: seen by its length first, and then by normalising no more of it than a name
/// may have. A character may become eighteen (U+FDFA), and the rules of the profile are applied more than once.
fn is_too_long(text: &str) -> bool {
    // Normalisation can shrink a text, but not by a factor above four. Spaces alone fall away besides.
    text.len() > DISPLAY_NAME_MAX_CHARS * 16
        || text.nfkc().filter(|character| *character != ' ').nth(DISPLAY_NAME_MAX_CHARS).is_some()
}

/// `text` with a single space for each run of spaces of any kind, as the profile has it too, which looks at each of them more than once.
fn fold_spaces(text: &str) -> String {
    let is_space = |character| {
        matches!(
            character,
            ' ' | '\u{a0}' | '\u{1680}' | '\u{2000}'..='\u{200a}' | '\u{202f}' | '\u{205f}' | '\u{3000}'
        )
    };
    let mut folded = String::with_capacity(text.len());
    for character in text.chars() {
        match is_space(character) {
            true if folded.ends_with(' ') => {}
            true => folded.push(' '),
            false => folded.push(character),
        }
    }
    folded
}

/// A name to show to people, in the form of RFC 8266 (Nickname): spaces trimmed and folded, NFKC.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DisplayName(String);

impl DisplayName {
    /// Brings `text` into its form.
    ///
    /// # Errors
    /// The rule that `text` breaks.
    pub fn parse(text: &str) -> Result<Self, RuleViolation> {
        let name = if is_too_long(text) {
            None
        } else {
            let enforced = Nickname::new().enforce(fold_spaces(text)).map_err(|error| match error {
                precis_core::Error::Invalid if text.is_empty() => {
                    RuleViolation::new(FieldReason::Required, "must not be empty when it is set")
                }
                precis_core::Error::Invalid => {
                    RuleViolation::new(FieldReason::Required, "must not be of spaces alone when it is set")
                }
                other => super::username::forbidden_character(&other, "RFC 8266, Nickname"),
            })?;
            Some(enforced.into_owned()).filter(|name| name.chars().count() <= DISPLAY_NAME_MAX_CHARS)
        };
        name.map(Self).ok_or_else(|| {
            let rule = format!("must have at most {DISPLAY_NAME_MAX_CHARS} characters");
            RuleViolation::new(FieldReason::TooLong, rule)
        })
    }

    /// A name that was checked before it was stored.
    pub(crate) fn from_stored(text: String) -> Self {
        Self(text)
    }

    /// The name.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn an_email_is_a_bare_address() {
        for good in ["a@b", "alice@example.com", "user+tag@sub.example.org", "δοκιμή@παράδειγμα.gr"]
        {
            assert_eq!(Email::parse(good).unwrap().as_str(), good);
        }
        for bad in
            ["alice", "@example.com", "alice@", "a b@example.com", "Alice <alice@example.com>", "a@b\n"]
        {
            assert_eq!(Email::parse(bad).unwrap_err().reason, FieldReason::Malformed, "{bad:?}");
        }
        assert_eq!(Email::parse("").unwrap_err().reason, FieldReason::Required);
        let long = format!("a@{}", "b".repeat(EMAIL_MAX_BYTES));
        assert_eq!(Email::parse(&long).unwrap_err().reason, FieldReason::TooLong);
    }

    #[test]
    fn a_display_name_is_trimmed_and_bounded() {
        assert_eq!(DisplayName::parse("  Ada   Lovelace ").unwrap().as_str(), "Ada Lovelace");
        let spaces = DisplayName::parse("   ").unwrap_err();
        assert_eq!((spaces.reason, spaces.description.contains("spaces")), (FieldReason::Required, true));
        assert_eq!(DisplayName::parse("a\u{7}b").unwrap_err().reason, FieldReason::ForbiddenCharacter);
        for long in [DISPLAY_NAME_MAX_CHARS + 1, 1_000_000] {
            assert_eq!(DisplayName::parse(&"x".repeat(long)).unwrap_err().reason, FieldReason::TooLong);
        }
        assert!(DisplayName::parse(&"é".repeat(DISPLAY_NAME_MAX_CHARS)).is_ok());
    }

    #[test]
    fn a_name_is_as_long_as_it_is_once_it_is_normalised() {
        for (text, fits) in [
            ("\u{fdfa}".repeat(680), false),
            ("\u{fdfa}".repeat(8), false),
            ("\u{fdfa}".repeat(7), true),
            // Four code points that become one character.
            ("\u{3b1}\u{313}\u{300}\u{345}".repeat(DISPLAY_NAME_MAX_CHARS), true),
            ("\u{3b1}\u{313}\u{300}\u{345}".repeat(DISPLAY_NAME_MAX_CHARS + 1), false),
            (format!("{}a{}", " ".repeat(900), "\u{3000}".repeat(300)), true),
        ] {
            assert_eq!(DisplayName::parse(&text).is_ok(), fits, "{} bytes", text.len());
        }
    }

    proptest! {
        /// What is refused early would have been refused anyway.
        #[test]
        fn whatever_is_normalised_to_a_name_that_fits_is_a_name(text in "[ a\u{301}\u{fdfa}\u{3000}\u{1100}\u{1161}\u{b4}\u{ff76}\u{ff9e}]{0,180}") {
            let whole = Nickname::new().enforce(text.as_str());
            let fits = whole.is_ok_and(|name| name.chars().count() <= DISPLAY_NAME_MAX_CHARS);
            prop_assert_eq!(DisplayName::parse(&text).is_ok(), fits);
        }
    }
}
