//! Owns what names look like to people: skeletons, by which two names that pass for each other are equal (UTS 39 section 4), and the
//! names that are reserved.

use std::{collections::BTreeSet, str::FromStr};

use unicode_security::{UNICODE_VERSION, skeleton};

use super::{Username, username::without_final_sigma};

/// How often the rules below have changed what [`Username::skeleton`] returns.
const RULES: i32 = 1;

/// By which version of Unicode's tables, and of the rules here, skeletons are made: 18000001 for 18.0.0 and the first. Those of another
/// version are made anew.
#[expect(clippy::cast_possible_truncation, reason = "no part of the version has three digits")]
pub const SKELETON_VERSION: i32 =
    (UNICODE_VERSION.0 * 1_000_000 + UNICODE_VERSION.1 * 10_000 + UNICODE_VERSION.2 * 100) as i32 + RULES;

impl Username {
    /// Whether the name has letters beyond ASCII, by which it can pass for another.
    #[must_use]
    pub fn is_beyond_ascii(&self) -> bool {
        !self.canonical().is_ascii()
    }

    /// What the name looks like, as it was typed: equal for names that people take for each other.
    #[must_use]
    pub fn skeleton(&self) -> String {
        without_case(&seen(self.typed()))
    }

    /// What it looks like as it was typed, and in its canonical form: another script's `ТОМ` looks like `TOM`, its `том` does not.
    #[must_use]
    pub fn skeletons(&self) -> [String; 2] {
        [self.skeleton(), without_case(self.canonical())]
    }

    /// What it looks like letter for letter in each case: here small `l` is capital `I`, and never small `i`.
    fn exact_skeletons(&self) -> [String; 4] {
        let (typed, canonical) = (self.typed(), self.canonical());
        [&seen(typed), canonical, typed, &typed.to_uppercase()].map(|form| skeleton(form).collect())
    }
}

/// The skeleton of `name` in small letters. The tables hold small l and capital I for one, so here small i is both.
fn without_case(name: &str) -> String {
    let look = skeleton(name).collect::<String>().to_ascii_lowercase();
    skeleton(&look).map(|letter| if letter == 'i' { 'l' } else { letter }).collect()
}

/// `typed` in lower case by what its letters look like: people hold `TOM` and `tom` for one name, and so whatever looks like `TOM` for
/// `tom`. In its own script its lower case may look otherwise.
fn seen(typed: &str) -> String {
    let mut seen = String::with_capacity(typed.len());
    let mut letter = [0; 4];
    for character in typed.chars() {
        if character.is_ascii() || !character.is_uppercase() {
            seen.push(character.to_ascii_lowercase());
            continue;
        }
        let look: String = skeleton(character.encode_utf8(&mut letter)).collect();
        match look.as_str() {
            // The tables hold capital I and small l for one: of what is a capital it is the former.
            "l" => seen.push('i'),
            _ if look.is_ascii() => seen.push_str(&look.to_ascii_lowercase()),
            _ => seen.extend(character.to_lowercase()),
        }
    }
    without_final_sigma(&seen)
}

/// Names that nobody may sign up with, nor with what looks like them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReservedNames(BTreeSet<String>);

impl ReservedNames {
    /// Whether `name` is reserved, or looks like one that is.
    #[must_use]
    pub fn has(&self, name: &Username) -> bool {
        name.exact_skeletons().iter().any(|skeleton| self.0.contains(skeleton))
    }
}

impl FromStr for ReservedNames {
    type Err = String;

    /// Reads names that are separated by commas; of none if `text` is empty.
    fn from_str(text: &str) -> Result<Self, String> {
        let names = text.split(',').map(str::trim).filter(|name| !name.is_empty());
        let mut looks = BTreeSet::new();
        for name in names {
            let parsed = Username::parse(name)
                .map_err(|violation| format!("`{}` {}", name.escape_debug(), violation.description))?;
            looks.extend(parsed.exact_skeletons());
        }
        Ok(Self(looks))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn name(typed: &str) -> Username {
        Username::parse(typed).unwrap()
    }

    fn look_alike(left: &str, right: &str) -> bool {
        name(left).skeletons().contains(&name(right).skeleton())
    }

    #[test]
    fn what_people_take_for_each_other_has_one_skeleton() {
        for (imitation, of) in [
            // Cyrillic, in lower and in upper case.
            ("ѕсоре", "scope"),
            ("ТОМ", "tom"),
            ("ТОМ", "TOM"),
            ("ІВАН", "ibah"),
            // Greek.
            ("ΤΟΜ", "Tom"),
            ("ΙΚΕ", "ike"),
            ("ΤΟΜ", "ТОМ"),
            // Latin beyond ASCII, and fullwidth, which is the same name.
            ("ｔｏｍ", "tom"),
            ("ＴＯＭ", "tom"),
            ("аdmin", "admin"),
            // Capitals that look like a small l, and like a capital I.
            ("ΑΙ", "Al"),
            ("АІ", "Al"),
            ("АІ", "AI"),
            ("ΙΑ", "lA"),
            ("АО", "A0"),
        ] {
            assert!(look_alike(imitation, of), "{imitation} {of}: {:?}", name(imitation).skeletons());
        }
        for (one, other) in
            [("alice", "alicf"), ("том", "tom"), ("émile", "emile"), ("иван", "ivan"), ("ουτις", "utis")]
        {
            assert!(!look_alike(one, other), "{one} {other}");
        }
        assert!(look_alike("corner", "comer"), "for which names in ASCII are not compared");
        assert!(!name("corner").is_beyond_ascii() && name("ѕсоре").is_beyond_ascii());
        assert!(!name("ｔｏｍ").is_beyond_ascii(), "its canonical form is ASCII");
    }

    #[test]
    fn a_reserved_name_is_reserved_in_every_spelling_and_look() {
        let reserved: ReservedNames = " admin, root,,Ωmega, mail ".parse().unwrap();
        for has in [
            "admin",
            "ADMIN",
            "ａｄｍｉｎ",
            "аdmin",
            "adrnin",
            "root",
            "ROOT",
            "rооt",
            "ωmega",
            // A small l, a one and a nought; capitals of other scripts.
            "ADMlN",
            "ADM1N",
            "adm1n",
            "R00T",
            "r00t",
            "Ro0t",
            "ΑDМІN",
            "ꓮꓓꓟꓲꓠ",
        ] {
            assert!(reserved.has(&name(has)), "{has}");
        }
        for has_not in ["admins", "administrator", "alice", "toor", "mall", "Mall"] {
            assert!(!reserved.has(&name(has_not)), "{has_not}");
        }
        assert!(!"".parse::<ReservedNames>().unwrap().has(&name("admin")));
        assert!(
            "admin,two words".parse::<ReservedNames>().unwrap_err().starts_with("`two words` has U+0020")
        );
    }

    proptest! {
        #[test]
        fn all_spellings_of_a_name_in_ascii_look_the_same(typed in "[a-zA-Z0-9._-]{1,20}") {
            prop_assert_eq!(name(&typed).skeleton(), name(&typed.to_lowercase()).skeleton());
            let [typed_look, canonical_look] = name(&typed).skeletons();
            prop_assert_eq!(typed_look, canonical_look);
        }

        #[test]
        fn no_name_takes_much_room(typed in any::<String>()) {
            if let Ok(name) = Username::parse(&typed) {
                prop_assert!(name.skeleton().len() <= 255 * 18);
            }
        }
    }
}
