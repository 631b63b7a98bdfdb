//! Owns the words in which an operator says what something is for.

use precis_core::{FreeformClass, StringClass};

use super::{FieldReason, RuleViolation, username::forbidden_character};

/// The longest description in characters.
const MAX_CHARS: usize = 256;

/// What a role or an attribute is for, in words.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Description(String);

impl Description {
    /// Checks the form of `text`: one line, of the characters that a name to show may have (RFC 8264, FreeformClass). None of them turns
    /// around or hides what stands beside it.
    ///
    /// # Errors
    /// The rule that `text` breaks.
    pub fn parse(text: &str) -> Result<Self, RuleViolation> {
        if text.chars().count() > MAX_CHARS {
            return Err(RuleViolation::new(FieldReason::TooLong, "must have at most 256 characters"));
        }
        if text.chars().any(char::is_control) {
            let rule = "must be one line, without control characters";
            return Err(RuleViolation::new(FieldReason::ForbiddenCharacter, rule));
        }
        FreeformClass::default()
            .allows(text)
            .map_err(|error| forbidden_character(&error, "RFC 8264, FreeformClass"))?;
        Ok(Self(text.to_owned()))
    }

    /// A description that was checked before it was stored.
    pub(crate) const fn from_stored(text: String) -> Self {
        Self(text)
    }

    /// The text; empty if there is none.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_description_is_one_line_of_256_characters() {
        for good in ["", "Picks what was sold.", "בית → 家 ☃", &"é".repeat(256)] {
            assert_eq!(Description::parse(good).unwrap().as_str(), good);
        }
        for bad in [
            "a\nb",
            "a\u{202e}b",
            "a\u{2066}b",
            "a\u{2028}b",
            "a\u{2029}b",
            "a\u{200b}b",
            "a\u{feff}b",
            "a\u{85}b",
        ] {
            let reason = Description::parse(bad).unwrap_err().reason;
            assert_eq!(reason, FieldReason::ForbiddenCharacter, "{}", bad.escape_unicode());
        }
        let long = Description::parse(&"é".repeat(257)).unwrap_err();
        assert_eq!(long.reason, FieldReason::TooLong);
    }
}
