//! Owns the rules of new usernames beyond RFC 8265. Names that were given before them, or are imported, need not satisfy them.

use unicode_normalization::char::is_combining_mark;
use unicode_security::mixed_script::AugmentedScriptSet;
use uuid::Uuid;

use super::{FieldReason, RuleViolation, Username};

impl Username {
    /// Checks `typed` as the name of a new account: by [`Self::parse`], and by the rules that keep it from passing for something else.
    ///
    /// # Errors
    /// The rule that `typed` breaks.
    pub fn parse_new(typed: &str) -> Result<Self, RuleViolation> {
        let name = Self::parse(typed)?;
        name.check_new()?;
        Ok(name)
    }

    /// Whether the name is a UUID, in any of its forms: that is how users' ids are written.
    #[must_use]
    pub fn is_uuid(&self) -> bool {
        Uuid::try_parse(self.canonical()).is_ok()
    }

    /// Checks the rules of new names.
    ///
    /// # Errors
    /// The rule that the name breaks.
    pub fn check_new(&self) -> Result<(), RuleViolation> {
        let name = self.canonical();
        let refused = |reason, rule: &str| Err(RuleViolation::new(reason, rule));
        if self.is_uuid() {
            let rule = "must not be a UUID, in any of its forms: that is how users' ids are written";
            return refused(FieldReason::Malformed, rule);
        }
        let is_letter_or_digit = |first: char| first.is_alphanumeric() && !is_combining_mark(first);
        if !name.starts_with(is_letter_or_digit) {
            return refused(FieldReason::ForbiddenCharacter, "must begin with a letter or a digit");
        }
        if !name.is_ascii() && !is_of_one_writing_system(name) {
            let rule = "mixes letters of scripts that are not written together: use one script, or Latin with Japanese, Korean or \
                        Chinese (UTS 39, highly restrictive)";
            return refused(FieldReason::ForbiddenCharacter, rule);
        }
        Ok(())
    }
}

/// Whether `name` is of one script, or of Latin and those that Japanese, Korean or Chinese is written in: "highly restrictive" (UTS 39
/// section 5.2). Not by the crate's own levels: they ask for characters of identifiers besides, which `@` is none of.
fn is_of_one_writing_system(name: &str) -> bool {
    let latin = AugmentedScriptSet::for_char('a');
    let (mut all, mut beside_latin) = (AugmentedScriptSet::default(), AugmentedScriptSet::default());
    for character in name.chars() {
        let scripts = AugmentedScriptSet::for_char(character);
        all.intersect_with(scripts);
        let mut with_latin = scripts;
        with_latin.intersect_with(latin);
        if with_latin.is_empty() {
            beside_latin.intersect_with(scripts);
        }
    }
    !all.is_empty() || beside_latin.hanb || beside_latin.jpan || beside_latin.kore
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_form_of_a_uuid_is_a_name() {
        let id = "01a20a05-adfd-7f0f-a948-424ae62fc105";
        let simple = id.replace('-', "");
        let wide = |char: char| char::from_u32(u32::from(char) + 0xfee0).unwrap();
        let fullwidth: String = simple.chars().map(wide).collect();
        let braced = format!("{{{id}}}");
        for bad in [id, &simple, &braced, &format!("urn:uuid:{id}"), &id.to_uppercase(), &fullwidth] {
            assert_eq!(Username::parse_new(bad).unwrap_err().reason, FieldReason::Malformed, "{bad}");
            assert!(Username::parse(bad).is_ok(), "{bad}: whoever has it from before logs in");
        }
        for good in [&simple[1..], &format!("{simple}0"), "01a20a05-adfd-7f0f-a948"] {
            assert!(Username::parse_new(good).is_ok(), "{good}");
        }
    }

    #[test]
    fn a_name_is_of_one_writing_system_and_begins_with_a_letter_or_a_digit() {
        for good in [
            "alice",
            "7of9",
            "alice@example.com",
            "zoë-1.2_3",
            "ürsula@example.com",
            "иван.петров",
            "σας",
            "东京tokyo",
            "ひらがなカタカナ漢字abc",
            "한글abc漢字",
            "ㄅㄆ漢字abc",
            "محمد",
            "นาย",
        ] {
            assert!(Username::parse_new(good).is_ok(), "{good}: {:?}", Username::parse_new(good));
        }
        for (bad, rule) in [
            ("--help", "begin with"),
            ("../../etc", "begin with"),
            ("$(id)", "begin with"),
            ("<script>", "begin with"),
            ("@alice", "begin with"),
            ("_", "begin with"),
            ("\u{301}a", "begin with"),
            ("аdmin", "mixes letters"),
            ("αlpha", "mixes letters"),
            ("иванσ", "mixes letters"),
            ("한글ひらがな", "mixes letters"),
            ("漢字а", "mixes letters"),
        ] {
            let violation = Username::parse_new(bad).unwrap_err();
            assert_eq!(violation.reason, FieldReason::ForbiddenCharacter, "{bad}");
            assert!(violation.description.contains(rule), "{bad}: {}", violation.description);
        }
    }
}
