//! Owns the rules of passwords: NIST SP 800-63B-4 section 3.1.1.2, OWASP ASVS 5 section 6.2, RFC 8265 section 4.

use std::{fmt, sync::LazyLock};

use precis_core::{DerivedPropertyValue, FreeformClass, StringClass, profile::Rules};
use precis_profiles::OpaqueString;
use unicode_normalization::UnicodeNormalization;
use zeroize::Zeroizing;

use super::{FieldReason, RuleViolation, Username};

/// The longest password in characters after normalisation. NIST asks that at least 64 be accepted; the bound keeps what
/// one request makes the service normalise and hold small.
pub const PASSWORD_MAX_CHARS: usize = 256;

/// The most bytes that can log in. No text of [`PASSWORD_MAX_CHARS`] characters is longer before normalisation: a code point takes four
/// bytes, and NFC composes at most four code points into one. Accounts from other systems may have passwords of more characters than
/// that: passlib, Django and Werkzeug take them, and passlib ends at the same number of bytes.
const PASSWORD_MAX_RAW_BYTES: usize = PASSWORD_MAX_CHARS * 4 * 4;

/// The common passwords of eight characters and more, lower case and sorted: from the list of 20,000 that Royce Williams
/// compiled from breaches and Django ships. ASVS 5 section 6.2.4 asks for the top 3,000.
static COMMON: LazyLock<Vec<&'static str>> =
    LazyLock::new(|| include_str!("common_passwords.txt").lines().collect());

/// A password ready to be hashed: wiped when dropped, never shown.
pub struct Password {
    /// As it was typed: what hashes of other systems were made from.
    raw: Zeroizing<String>,
    /// Normalised by OpaqueString where that allows the text, as typed where it does not.
    prepared: Zeroizing<String>,
}

/// The salt of a hash that fits no password, as it stands in the hash: nothing but zeros.
const NO_SALT: &str = "AAAAAAAAAAAAAAAAAAAAAA";

/// Whether `hash` is that of a user who has no password: it fits none.
#[must_use]
pub fn fits_nothing(hash: &str) -> bool {
    // `$argon2id$v=19$m=...$salt$output`
    let mut fields = hash.split('$');
    fields.nth(1) == Some("argon2id") && fields.nth(2) == Some(NO_SALT)
}

impl Password {
    /// The password of a login attempt; none for an empty or an oversized one, which no account can have.
    ///
    /// A text that OpaqueString forbids can still be the password of an account that was brought over from another system, and so can one
    /// that is too long for a new one: it is taken as it is.
    #[must_use]
    pub fn for_login(raw: &str) -> Option<Self> {
        if raw.is_empty() || raw.len() > PASSWORD_MAX_RAW_BYTES {
            return None;
        }
        let prepared = opaque_string(raw).unwrap_or_else(|_| Zeroizing::new(raw.to_owned()));
        Some(Self { raw: Zeroizing::new(raw.to_owned()), prepared })
    }

    /// The bytes that Signet's own hashes are made from.
    #[must_use]
    pub fn prepared(&self) -> &[u8] {
        self.prepared.as_bytes()
    }

    /// The bytes that hashes of other systems were made from.
    #[must_use]
    pub fn raw(&self) -> &[u8] {
        self.raw.as_bytes()
    }
}

impl fmt::Debug for Password {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Password(..)")
    }
}

/// What a new password must satisfy: its length, and not being guessed first. No composition rules.
#[derive(Clone, Copy, Debug)]
pub struct PasswordRules {
    /// The fewest characters, after normalisation.
    pub min_chars: usize,
}

impl PasswordRules {
    /// Checks `raw` as the new password of `username` (none, if the name itself was refused).
    ///
    /// # Errors
    /// The first rule that `raw` breaks.
    pub fn check(&self, raw: &str, username: Option<&Username>) -> Result<Password, RuleViolation> {
        if raw.is_empty() {
            return Err(RuleViolation::new(FieldReason::Required, "must not be empty"));
        }
        if is_too_long(raw) {
            return Err(too_long());
        }
        let prepared = opaque_string(raw)?;
        let chars = prepared.chars().count();
        if chars < self.min_chars {
            let rule = format!("must have at least {} characters", self.min_chars);
            return Err(RuleViolation::new(FieldReason::TooShort, rule));
        }
        if chars > PASSWORD_MAX_CHARS {
            return Err(too_long());
        }
        let folded = Zeroizing::new(prepared.to_lowercase());
        let is_name = |name: &Username| {
            [name.canonical(), name.stored()].contains(&folded.as_str())
                || *folded == name.typed().to_lowercase()
        };
        if username.is_some_and(is_name) {
            return Err(RuleViolation::new(FieldReason::PasswordIsUsername, "must not be the username"));
        }
        if COMMON.binary_search(&folded.as_str()).is_ok() {
            return Err(RuleViolation::new(
                FieldReason::PasswordCommon,
                "is among the most common passwords, which attackers try first",
            ));
        }
        Ok(Password { raw: Zeroizing::new(raw.to_owned()), prepared })
    }
}

/// Enforces OpaqueString, but for one rule: a code point that Unicode has assigned since the profile's tables were made
/// is allowed, since NIST asks that all of Unicode be.
fn opaque_string(raw: &str) -> Result<Zeroizing<String>, RuleViolation> {
    let class = FreeformClass::default();
    let is_newer = |c: &char| class.get_value_from_char(*c) == DerivedPropertyValue::Unassigned;
    let known: Zeroizing<String> = Zeroizing::new(raw.chars().filter(|c| !is_newer(c)).collect());
    let profile = OpaqueString::new();
    class
        .allows(known.as_str())
        .and_then(|()| profile.additional_mapping_rule(raw))
        .and_then(|mapped| profile.normalization_rule(mapped))
        .map(|prepared| Zeroizing::new(prepared.into_owned()))
        .map_err(|error| super::username::forbidden_character(&error, "RFC 8265, OpaqueString"))
}

/// Whether `raw` cannot become a password that is short enough: seen by its length first, and then by normalising no more of it than a
/// password may have, before any rule looks at each character.
fn is_too_long(raw: &str) -> bool {
    raw.len() > PASSWORD_MAX_RAW_BYTES || raw.nfc().nth(PASSWORD_MAX_CHARS).is_some()
}

fn too_long() -> RuleViolation {
    let rule = format!("must have at most {PASSWORD_MAX_CHARS} characters");
    RuleViolation::new(FieldReason::TooLong, rule)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const RULES: PasswordRules = PasswordRules { min_chars: 8 };

    fn reason(raw: &str, username: &str) -> FieldReason {
        RULES.check(raw, Some(&Username::parse(username).unwrap())).unwrap_err().reason
    }

    #[test]
    fn length_is_counted_in_characters_after_normalisation() {
        assert_eq!(reason("1234567", "alice"), FieldReason::TooShort);
        assert_eq!(
            reason("e\u{301}e\u{301}e\u{301}e\u{301}", "alice"),
            FieldReason::TooShort,
            "four characters"
        );
        assert!(RULES.check("пароль-ё", None).is_ok(), "eight characters, fifteen bytes");
        assert!(RULES.check(&"x".repeat(PASSWORD_MAX_CHARS), None).is_ok());
        assert_eq!(reason(&"x".repeat(PASSWORD_MAX_CHARS + 1), "alice"), FieldReason::TooLong);
        assert_eq!(reason(&"x".repeat(1_000_000), "alice"), FieldReason::TooLong);
        assert_eq!(reason("", "alice"), FieldReason::Required);
    }

    #[test]
    fn an_account_from_elsewhere_may_have_a_longer_password_than_a_new_one() {
        let long = "ä".repeat(2_048);
        assert_eq!(reason(&long, "alice"), FieldReason::TooLong);
        assert_eq!(Password::for_login(&long).unwrap().prepared(), long.as_bytes());
        assert!(Password::for_login(&format!("{long}x")).is_none() && Password::for_login("").is_none());
    }

    #[test]
    fn what_attackers_try_first_is_refused_and_nothing_else_is_asked() {
        assert_eq!(reason("password1", "alice"), FieldReason::PasswordCommon);
        assert_eq!(reason("PassWord1", "alice"), FieldReason::PasswordCommon);
        assert_eq!(reason("Alice.Smith", "alice.smith"), FieldReason::PasswordIsUsername);
        assert_eq!(reason("bell\u{7}bell", "alice"), FieldReason::ForbiddenCharacter);
        for good in ["correct horse battery staple", "aaaaaaab", "🦀🦀🦀🦀🦀🦀🦀🦀", "        x"]
        {
            assert!(RULES.check(good, None).is_ok(), "{good}");
        }
    }

    #[test]
    fn equal_passwords_from_different_keyboards_are_equal_and_nothing_is_trimmed() {
        let prepared = |raw| Password::for_login(raw).unwrap().prepared().to_vec();
        assert_eq!(prepared("pässwörd"), prepared("pa\u{308}sswo\u{308}rd"));
        assert_eq!(prepared("no\u{a0}break"), prepared("no break"));
        assert_ne!(prepared(" padded "), prepared("padded"));
        assert_ne!(prepared("Case"), prepared("case"));
    }

    #[test]
    fn the_common_list_is_sorted_lower_case_and_long_enough_to_matter() {
        assert!(COMMON.is_sorted());
        assert!(COMMON.iter().all(|word| word.chars().count() >= 8 && word.to_lowercase() == **word));
        assert!(COMMON.len() > 3_000);
    }

    #[test]
    fn a_password_does_not_show() {
        assert_eq!(format!("{:?}", Password::for_login("hunter2hunter2")), "Some(Password(..))");
    }

    proptest! {
        #[test]
        fn every_password_that_may_be_set_can_log_in(raw in any::<String>()) {
            if let Ok(set) = RULES.check(&raw, None) {
                let login = Password::for_login(&raw).expect("a password that was accepted");
                prop_assert_eq!(set.prepared(), login.prepared());
            }
        }
    }
}
