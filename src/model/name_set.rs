//! Owns the form of scopes and audiences: sets of names, written separated by spaces.

use std::{collections::HashSet, fmt};

/// The longest set in bytes, as it is written, with the names that come more than once.
const NAME_SET_MAX_BYTES: usize = 1_024;

/// How many names a set may be written with, those that come more than once counted each time.
const NAME_SET_MAX_NAMES: usize = 128;

/// A set of names in the order in which they came: scopes as RFC 6749 section 3.3 writes them, or audiences, whose names take the
/// same form here.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct NameSet(String);

/// Text that is not a valid set of names.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "must be at most 128 names of printable ASCII without spaces, quotation marks and backslashes, separated by single spaces, in at \
     most 1024 bytes"
)]
pub struct MalformedNames;

/// What is no name: the rest of a sentence that begins with the setting.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "must be a name of printable ASCII without spaces, quotation marks and backslashes, of at most 1024 bytes"
)]
pub struct MalformedName;

impl NameSet {
    /// The set that `text` writes: `scope = scope-token *( SP scope-token )`, or nothing. A name that comes twice is in it once.
    ///
    /// # Errors
    /// If `text` is malformed or too long.
    pub fn parse(text: &str) -> Result<Self, MalformedNames> {
        if text.is_empty() {
            return Ok(Self::default());
        }
        // Before the text is split: it comes from anybody.
        if text.len() > NAME_SET_MAX_BYTES {
            return Err(MalformedNames);
        }
        Self::of(text.split(' '))
    }

    /// The set of `names`.
    ///
    /// # Errors
    /// If one is no name, or there are too many.
    pub fn of<'a>(names: impl IntoIterator<Item = &'a str>) -> Result<Self, MalformedNames> {
        let (mut set, mut seen, mut length) = (Self::default(), HashSet::new(), 0);
        for (count, name) in names.into_iter().enumerate() {
            // Repeated ones count too: they come from anybody, and each costs a look.
            length += name.len() + usize::from(count > 0);
            if count == NAME_SET_MAX_NAMES || length > NAME_SET_MAX_BYTES || !is_name(name) {
                return Err(MalformedNames);
            }
            if seen.insert(name) {
                set.push(name);
            }
        }
        Ok(set)
    }

    /// Whether `names` are few and short enough to be looked at. It costs next to nothing.
    #[cfg(feature = "server")]
    pub(crate) fn has_room_for(names: &[String]) -> bool {
        names.len() <= NAME_SET_MAX_NAMES
            && names.iter().map(|name| name.len() + 1).sum::<usize>() <= NAME_SET_MAX_BYTES + 1
    }

    /// A set that was checked before it was stored.
    #[cfg(feature = "server")]
    pub(crate) const fn from_stored(text: String) -> Self {
        Self(text)
    }

    /// The names.
    pub fn iter(&self) -> impl Iterator<Item = &str> {
        self.0.split(' ').filter(|name| !name.is_empty())
    }

    /// Whether `name` is one of them.
    #[must_use]
    pub fn contains(&self, name: &str) -> bool {
        self.iter().any(|held| held == name)
    }

    /// Whether there are none.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Those that `other` does not have.
    #[must_use]
    pub fn without(&self, other: &Self) -> Self {
        let others: HashSet<_> = other.iter().collect();
        let mut set = Self::default();
        self.iter().filter(|name| !others.contains(name)).for_each(|name| set.push(name));
        set
    }

    /// Those of which `keep` says so.
    #[must_use]
    pub fn keeping(&self, keep: impl Fn(&str) -> bool) -> Self {
        let mut set = Self::default();
        self.iter().filter(|name| keep(name)).for_each(|name| set.push(name));
        set
    }

    /// Those that `other` has too.
    #[must_use]
    pub fn within(&self, other: &Self) -> Self {
        let others: HashSet<_> = other.iter().collect();
        self.keeping(|name| others.contains(name))
    }

    /// These, and those of `names` that are not among them.
    #[must_use]
    pub fn with<'a>(&self, names: impl IntoIterator<Item = &'a str>) -> Self {
        let mut seen: HashSet<_> = self.iter().map(str::to_owned).collect();
        let mut set = self.clone();
        for name in names {
            if seen.insert(name.to_owned()) {
                set.push(name);
            }
        }
        set
    }

    /// The first of them, as many as one set may be written with.
    #[must_use]
    pub fn as_far_as_fits(&self) -> Self {
        let mut set = Self::default();
        for name in self.iter().take(NAME_SET_MAX_NAMES) {
            if set.0.len() + 1 + name.len() > NAME_SET_MAX_BYTES {
                break;
            }
            set.push(name);
        }
        set
    }

    /// All but `name`.
    #[must_use]
    pub fn without_name(&self, name: &str) -> Self {
        self.without(&Self(name.to_owned()))
    }

    /// These, and `name`, last if it is new.
    #[cfg(feature = "server")]
    #[must_use]
    pub(crate) fn with_name(mut self, name: &str) -> Self {
        if !self.contains(name) {
            self.push(name);
        }
        self
    }

    /// How the set is written.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Adds `name`, which is not in it.
    fn push(&mut self, name: &str) {
        if !self.0.is_empty() {
            self.0.push(' ');
        }
        self.0.push_str(name);
    }
}

impl fmt::Display for NameSet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// One name, of a scope or an audience, as a setting has it.
///
/// # Errors
/// If `text` is no name, or is longer than a set may be.
pub fn one_name(text: &str) -> Result<String, MalformedName> {
    if is_name(text) && text.len() <= NAME_SET_MAX_BYTES { Ok(text.to_owned()) } else { Err(MalformedName) }
}

/// `scope-token = 1*( %x21 / %x23-5B / %x5D-7E )` (RFC 6749 section 3.3).
#[must_use]
pub fn is_name(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_graphic() && byte != b'"' && byte != b'\\')
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn the_form_is_that_of_rfc_6749() {
        for good in ["", "a", "a b", "orders:read https://api.example/orders", "!", "~", "a'b"] {
            assert_eq!(NameSet::parse(good).unwrap().as_str(), good);
        }
        for bad in [" ", "a  b", " a", "a ", "a\tb", "a\nb", "\"a\"", "a\\b", "é", "a\u{7f}", "a\0"] {
            assert_eq!(NameSet::parse(bad), Err(MalformedNames), "{bad:?}");
        }
        assert_eq!(NameSet::parse("b a b a").unwrap().as_str(), "b a");
        assert!(NameSet::parse(&"x".repeat(NAME_SET_MAX_BYTES)).is_ok());
        assert!(NameSet::parse(&"x".repeat(NAME_SET_MAX_BYTES + 1)).is_err());
        assert_eq!(NameSet::of(["a b"]), Err(MalformedNames), "one name, not two");
        assert!(NameSet::of(["a"; NAME_SET_MAX_NAMES]).is_ok());
        assert_eq!(NameSet::of(["a"; NAME_SET_MAX_NAMES + 1]), Err(MalformedNames), "repeated ones count");
        let long = "x".repeat(NAME_SET_MAX_BYTES / 2);
        assert_eq!(NameSet::of([long.as_str(); 2]), Err(MalformedNames), "with the space between them");
        let longest = "x".repeat(NAME_SET_MAX_BYTES);
        assert_eq!(one_name(&longest), Ok(longest.clone()));
        for bad in ["", "a b", "é", &format!("{longest}x")] {
            assert_eq!(one_name(bad), Err(MalformedName), "{bad:?}");
        }
    }

    #[cfg(feature = "server")]
    #[test]
    fn too_many_and_too_long_names_are_seen_without_a_look_at_them() {
        let long = "x".repeat(NAME_SET_MAX_BYTES / 2);
        assert!(NameSet::has_room_for(&["x".repeat(NAME_SET_MAX_BYTES)]));
        assert!(!NameSet::has_room_for(&[long.clone(), long]));
        assert!(!NameSet::has_room_for(&vec![String::new(); NAME_SET_MAX_NAMES + 1]));
    }

    #[test]
    fn of_too_many_names_the_first_are_kept() {
        let names: Vec<_> = (0..200).map(|number| format!("n{number}")).collect();
        let set = NameSet::default().with(names.iter().map(String::as_str)).as_far_as_fits();
        assert!(NameSet::parse(set.as_str()).is_ok_and(|read| read == set));
        assert_eq!(set.iter().count(), NAME_SET_MAX_NAMES);
        let long = "x".repeat(NAME_SET_MAX_BYTES / 2);
        let set = NameSet::default().with(["a", long.as_str(), "b", &format!("y{long}")]).as_far_as_fits();
        assert_eq!(set.iter().count(), 3);
    }

    proptest! {
        #[test]
        fn what_is_read_is_written_and_read_again(text in r#"[ -~é"\\]{0,40}"#) {
            let valid = text.is_empty() || text.split(' ').all(is_name);
            let parsed = NameSet::parse(&text);
            prop_assert_eq!(parsed.is_ok(), valid);
            if let Ok(set) = parsed {
                prop_assert_eq!(NameSet::parse(set.as_str()), Ok(set.clone()));
                prop_assert!(text.split(' ').filter(|name| !name.is_empty()).all(|name| set.contains(name)));
                prop_assert!(set.without(&set).is_empty());
            }
        }

        #[test]
        fn what_is_left_without_another_set_is_in_the_first_and_not_in_the_other(
            names in prop::collection::vec("[a-d]{1,2}", 0..8),
            others in prop::collection::vec("[a-d]{1,2}", 0..8),
        ) {
            let set = NameSet::of(names.iter().map(String::as_str)).unwrap();
            let other = NameSet::of(others.iter().map(String::as_str)).unwrap();
            let rest = set.without(&other);
            for name in set.iter() {
                prop_assert_eq!(rest.contains(name), !other.contains(name));
            }
            prop_assert!(rest.iter().all(|name| set.contains(name)));
            // The rest and what both have are the first set again; with the other, all of both.
            let both = set.within(&other);
            prop_assert_eq!(set.without(&both), rest.clone());
            prop_assert!(both.iter().all(|name| set.contains(name) && other.contains(name)));
            let all = other.with(set.iter());
            prop_assert_eq!(all.iter().count(), other.iter().count() + rest.iter().count());
            prop_assert!(set.without(&all).is_empty() && other.without(&all).is_empty());
        }
    }
}
