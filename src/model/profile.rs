//! Owns the rules of what users say of themselves: e-mail address and display name.

use std::str::FromStr;

use email_address::EmailAddress;
use precis_core::profile::Profile;
use precis_profiles::Nickname;

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

/// A name to show to people, in the form of RFC 8266 (Nickname): spaces trimmed and folded, NFKC.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DisplayName(String);

impl DisplayName {
    /// Brings `text` into its form.
    ///
    /// # Errors
    /// The rule that `text` breaks.
    pub fn parse(text: &str) -> Result<Self, RuleViolation> {
        // Normalisation can shrink a text, but not by a factor above four: what is longer need not be looked at.
        let name = if text.len() > DISPLAY_NAME_MAX_CHARS * 16 {
            None
        } else {
            let enforced = Nickname::new().enforce(text).map_err(|error| match error {
                precis_core::Error::Invalid => {
                    RuleViolation::new(FieldReason::Required, "must not be empty when it is set")
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
        assert_eq!(DisplayName::parse("   ").unwrap_err().reason, FieldReason::Required);
        assert_eq!(DisplayName::parse("a\u{7}b").unwrap_err().reason, FieldReason::ForbiddenCharacter);
        for long in [DISPLAY_NAME_MAX_CHARS + 1, 1_000_000] {
            assert_eq!(DisplayName::parse(&"x".repeat(long)).unwrap_err().reason, FieldReason::TooLong);
        }
        assert!(DisplayName::parse(&"é".repeat(DISPLAY_NAME_MAX_CHARS)).is_ok());
    }
}
