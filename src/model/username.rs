//! Owns the rules of usernames: RFC 8265, UsernameCaseMapped.

use precis_core::{DerivedPropertyValue, profile::Profile};
use precis_profiles::UsernameCaseMapped;

use super::{FieldReason, RuleViolation};

/// The longest username in characters, after case mapping: people use e-mail addresses.
pub const USERNAME_MAX_CHARS: usize = 254;

/// The longest username in bytes, both as typed and mapped: what every database indexes without a prefix.
pub const USERNAME_MAX_BYTES: usize = 255;

/// A login name: what the user typed, and the one form that all equal spellings share.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Username {
    typed: String,
    stored: String,
    canonical: String,
}

impl Username {
    /// Checks `typed` against RFC 8265 section 3.3 and finds its canonical form.
    ///
    /// # Errors
    /// The rule that `typed` breaks.
    pub fn parse(typed: &str) -> Result<Self, RuleViolation> {
        if typed.is_empty() {
            return Err(RuleViolation::new(FieldReason::Required, "must not be empty"));
        }
        if typed.len() > USERNAME_MAX_BYTES {
            return Err(too_long());
        }
        let profile = UsernameCaseMapped::new();
        let forbidden = |error| forbidden_character(&error, "RFC 8265, UsernameCaseMapped");
        let stored = profile.enforce(typed).map_err(forbidden)?.into_owned();
        // Lower case is that of a newer Unicode than the tables: it may give a letter that they do not know.
        profile.enforce(stored.as_str()).map_err(forbidden)?;
        if stored.chars().count() > USERNAME_MAX_CHARS || stored.len() > USERNAME_MAX_BYTES {
            return Err(too_long());
        }
        Ok(Self::from_stored(typed.to_owned(), stored))
    }

    /// A name that was checked before it was stored.
    pub(crate) fn from_stored(typed: String, stored: String) -> Self {
        let canonical = without_final_sigma(&stored);
        Self { typed, stored, canonical }
    }

    /// The name as the user typed it.
    #[must_use]
    pub fn typed(&self) -> &str {
        &self.typed
    }

    /// The form by which names are compared and kept unique: that of RFC 8265, in which a final sigma is a sigma. Small letters have two
    /// of them and capitals one, so that `ΣΑΣ` and `σας` are one name.
    #[must_use]
    pub fn canonical(&self) -> &str {
        &self.canonical
    }

    /// The form that is stored, and that earlier releases compare by: that of RFC 8265, which leaves a final sigma as it is.
    #[must_use]
    pub fn stored(&self) -> &str {
        &self.stored
    }

    /// The forms of [`Self::stored`] that people write a name of this canonical form in.
    #[must_use]
    pub fn stored_forms(&self) -> [String; 3] {
        let final_sigma = match self.canonical.strip_suffix('σ') {
            Some(rest) => format!("{rest}ς"),
            None => self.canonical.clone(),
        };
        [self.stored.clone(), self.canonical.clone(), final_sigma]
    }
}

/// `text` with a sigma for each final sigma.
pub(super) fn without_final_sigma(text: &str) -> String {
    text.replace('ς', "σ")
}

fn too_long() -> RuleViolation {
    let rule = format!("must have at most {USERNAME_MAX_CHARS} characters and {USERNAME_MAX_BYTES} bytes");
    RuleViolation::new(FieldReason::TooLong, rule)
}

/// Says which character broke which rule of `profile`, in words.
pub(super) fn forbidden_character(error: &precis_core::Error, profile: &str) -> RuleViolation {
    use precis_core::{Error, UnexpectedError};
    let description = match error {
        Error::BadCodepoint(info)
        | Error::Unexpected(
            UnexpectedError::ContextRuleNotApplicable(info) | UnexpectedError::MissingContextRule(info),
        ) => {
            format!("has U+{:04X}: {} ({profile})", info.cp, character_rule(info.cp, info.property))
        }
        // What is left of the profile's rules once every character is allowed: the Bidi rule.
        Error::Invalid | Error::Unexpected(_) => {
            format!("mixes left-to-right and right-to-left characters in a way RFC 5893 forbids ({profile})")
        }
    };
    RuleViolation::new(FieldReason::ForbiddenCharacter, description)
}

/// The rule of RFC 8264 section 9 that forbids the code point.
fn character_rule(code_point: u32, property: DerivedPropertyValue) -> &'static str {
    let character = char::from_u32(code_point).unwrap_or(char::REPLACEMENT_CHARACTER);
    match character {
        '\u{061C}' | '\u{200E}' | '\u{200F}' | '\u{202A}'..='\u{202E}' | '\u{2066}'..='\u{2069}' => {
            "bidirectional controls are not allowed"
        }
        _ if character.is_control() => "control characters are not allowed",
        _ if character.is_whitespace() => "spaces are not allowed",
        _ => match property {
            DerivedPropertyValue::Unassigned => {
                "code points that Unicode 6.3 had not assigned are not allowed"
            }
            DerivedPropertyValue::ContextJ | DerivedPropertyValue::ContextO => {
                "this character is allowed only in certain contexts (RFC 5892 appendix A)"
            }
            _ => "symbols, invisible and compatibility characters are not allowed",
        },
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn canonical(typed: &str) -> String {
        Username::parse(typed).unwrap().canonical().to_owned()
    }

    #[test]
    fn spellings_that_rfc_8265_holds_equal_are_one_name() {
        assert_eq!(canonical("Alice"), canonical("alice"));
        assert_eq!(canonical("\u{ff21}lice"), canonical("alice"), "fullwidth A");
        assert_eq!(canonical("E\u{301}mile"), canonical("émile"), "decomposed and composed");
        assert_ne!(canonical("alice"), canonical("аlice"), "the Cyrillic а is another letter");
        assert_eq!(Username::parse("Alice").unwrap().typed(), "Alice");
    }

    #[test]
    fn a_final_sigma_makes_no_other_name() {
        for same in ["ΣΑΣ", "σας", "σασ", "Σας"] {
            assert_eq!(canonical(same), "σασ", "{same}");
        }
        let [stored, forms] = ["σας", "ΣΑΣ"].map(|typed| Username::parse(typed).unwrap());
        assert_eq!((stored.stored(), forms.stored()), ("σας", "σασ"), "as earlier releases have them");
        assert_eq!(stored.stored_forms(), ["σας", "σασ", "σας"]);
    }

    #[test]
    fn names_that_services_use_are_allowed() {
        let long = format!("{}@{}.example", "a".repeat(64), "b".repeat(181));
        for good in ["a", "alice@example.com", "a.b-c_d+e", "用户", "Иван", "محمد", &"x".repeat(254), &long]
        {
            assert!(Username::parse(good).is_ok(), "{good}");
        }
    }

    #[test]
    fn what_rfc_8265_forbids_is_refused_with_its_rule() {
        for (bad, rule) in [
            ("two words", "spaces"),
            ("tab\tbed", "control"),
            ("nul\0", "control"),
            ("evil\u{202e}gnp", "bidirectional"),
            ("heart\u{2665}", "symbols"),
            ("zero\u{200b}width", "invisible"),
            ("\u{378}", "had not assigned"),
            ("a\u{200d}b", "contexts"),
            ("אa", "right-to-left"),
        ] {
            let violation = Username::parse(bad).unwrap_err();
            assert_eq!(violation.reason, FieldReason::ForbiddenCharacter, "{bad:?}");
            assert!(violation.description.contains(rule), "{bad:?}: {}", violation.description);
        }
        assert_eq!(Username::parse("").unwrap_err().reason, FieldReason::Required);
        assert_eq!(Username::parse(&"x".repeat(255)).unwrap_err().reason, FieldReason::TooLong);
        assert_eq!(Username::parse(&"用".repeat(85)).unwrap().typed().len(), 255);
        assert_eq!(Username::parse(&"用".repeat(86)).unwrap_err().reason, FieldReason::TooLong);
        // Eighteen characters each, once they are normalised.
        assert_eq!(Username::parse(&"\u{fdfa}".repeat(680)).unwrap_err().reason, FieldReason::TooLong);
        assert_eq!(Username::parse(&"x".repeat(1_000_000)).unwrap_err().reason, FieldReason::TooLong);
    }

    proptest! {
        #[test]
        fn no_text_panics_and_the_canonical_form_is_its_own_canonical_form(typed in any::<String>()) {
            if let Ok(name) = Username::parse(&typed) {
                prop_assert!(name.canonical().chars().count() <= USERNAME_MAX_CHARS);
                prop_assert_eq!(canonical(name.canonical()), name.canonical());
                prop_assert_eq!(canonical(name.stored()), name.canonical());
                let again = Username::parse(name.stored()).unwrap();
                prop_assert_eq!(again.stored(), name.stored());
                let from_stored = Username::from_stored(typed.clone(), name.stored().to_owned());
                prop_assert_eq!(from_stored, name);
            }
        }

        #[test]
        fn case_and_width_make_no_other_name(typed in "[a-zA-Zα-ωΑ-ΡΣ-Ωа-яА-Я]{1,30}") {
            let same = |other: &str| Username::parse(other).unwrap().canonical() == canonical(&typed);
            prop_assert!(same(&typed.to_lowercase()) && same(&typed.to_uppercase()));
            let wide: String = typed
                .chars()
                .map(|c| if c.is_ascii() { char::from_u32(u32::from(c) + 0xfee0).unwrap() } else { c })
                .collect();
            prop_assert!(wide.len() > 255 || same(&wide));
        }
    }
}
