//! Owns the rules of new usernames beyond RFC 8265. Names that were given before them, or are imported, need not satisfy them.

use unicode_normalization::{UnicodeNormalization, char::is_combining_mark};
use unicode_security::{
    GeneralSecurityProfile, general_security_profile::IdentifierType, mixed_script::AugmentedScriptSet,
};
use uuid::Uuid;

use super::{FieldReason, RuleViolation, Username};

/// How many marks one letter may have (UTS 39 section 5.4).
const MAX_MARKS: usize = 4;

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
        if !name.chars().all(|character| character.is_ascii() || is_in_use(character)) {
            let rule = "has a letter that is in no general use today (UTS 39, Identifier_Type)";
            return refused(FieldReason::ForbiddenCharacter, rule);
        }
        if !marks_are_seen(name) {
            let rule = "has marks that are not seen, or strike letters through: no more than four on a letter, none twice, and no dot on \
                        an i";
            return refused(FieldReason::ForbiddenCharacter, rule);
        }
        Ok(())
    }
}

/// Whether people write it today (UTS 39 section 3.1): not what is technical, obsolete, or of a script that few communities use.
/// Rare letters are, for names have them, and rare marks are not.
fn is_in_use(character: char) -> bool {
    use IdentifierType::{Inclusion, Recommended, Uncommon_Use};
    match character.identifier_type() {
        Some(Inclusion | Recommended) => true,
        Some(Uncommon_Use) => !is_combining_mark(character),
        _ => false,
    }
}

/// Whether each mark makes another letter for whoever reads it (UTS 39 section 5.4): none is repeated, hidden in a heap of others or by
/// the dot that an i has anyway, or strikes its letter through, which fonts draw as they like.
fn marks_are_seen(name: &str) -> bool {
    // A dot that makes a letter of its own, as in `ż`, is none of these.
    let has_hidden_dot = name.chars().any(|character| character == '\u{307}');
    let (mut marks, mut before) = (0, None);
    let decomposed_well = name.nfd().all(|character| {
        marks = if is_combining_mark(character) { marks + 1 } else { 0 };
        let is_repeated = marks > 1 && before == Some(character);
        before = Some(character);
        marks <= MAX_MARKS && !is_repeated && !('\u{335}'..='\u{338}').contains(&character)
    });
    decomposed_well && !has_hidden_dot
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
            "漢字abc",
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

    #[test]
    fn what_is_drawn_like_other_letters_is_no_name() {
        for bad in [
            "ꓮꓓꓟꓲꓠ",
            "ᗷᗝᗷ",
            "ᴀᴅᴍɪɴ",
            "sɪᴍᴏɴ",
            "admi\u{307}n",
            "j\u{307}im",
            "bob\u{332}",
            "taylor\u{335}",
            "zoë\u{308}",
            &format!("a{}", "\u{301}\u{302}".repeat(40)),
        ] {
            assert_eq!(
                Username::parse_new(bad).unwrap_err().reason,
                FieldReason::ForbiddenCharacter,
                "{bad}"
            );
        }
        for good in [
            "zoë",
            "żółw",
            "Nguyễn",
            "jiří",
            "שלום",
            "हिन्दी",
            "ไทย",
            "한국",
            "Ωμέγα",
            "Übung",
            "i\u{301}",
            "ａｌｉｃｅ",
        ] {
            assert!(Username::parse_new(good).is_ok(), "{good}: {:?}", Username::parse_new(good));
        }
    }
}
