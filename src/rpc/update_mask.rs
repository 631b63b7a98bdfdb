//! Owns update masks (AIP-134): which fields of a resource a request changes.

use prost_types::FieldMask;

use super::{refused, required};
use crate::model::{Error, FieldReason};

/// The field of every request that has one.
const FIELD: &str = "update_mask";

/// How many paths a mask may have: one for each attribute of a user, the other fields, and what a library adds twice.
const MAX_PATHS: usize = 64;

/// The paths of a mask.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct UpdateMask<'a>(&'a [String]);

impl<'a> UpdateMask<'a> {
    /// Reads a request's `update_mask`.
    ///
    /// # Errors
    /// [`Error::InvalidFields`] for too many paths.
    pub(super) fn read(mask: Option<&'a FieldMask>) -> Result<Self, Error> {
        let paths = mask.map(|mask| mask.paths.as_slice()).unwrap_or_default();
        if paths.len() > MAX_PATHS {
            return Err(refused(FIELD, FieldReason::TooLong, "may have at most 64 paths"));
        }
        Ok(Self(paths))
    }

    /// The paths; empty if the request has no mask, and so changes what it sets.
    pub(super) const fn paths(self) -> &'a [String] {
        self.0
    }

    /// The mask, which must have a path.
    ///
    /// # Errors
    /// [`Error::InvalidFields`] if it has none.
    pub(super) fn required(self) -> Result<Self, Error> {
        if self.0.is_empty() { Err(required(FIELD)) } else { Ok(self) }
    }

    /// The mask, of which each path must be one of `updatable`, or `*` for all of them; `rule` says so.
    ///
    /// # Errors
    /// [`Error::InvalidFields`] if one is not.
    pub(super) fn of(self, updatable: &[&str], rule: &str) -> Result<Self, Error> {
        let is_known = |path: &String| path == "*" || updatable.contains(&path.as_str());
        if self.0.iter().all(is_known) { Ok(self) } else { Err(not_updatable(rule)) }
    }

    /// Succeeds if the mask names `field`, the one that can be changed, and nothing else.
    ///
    /// # Errors
    /// [`Error::InvalidFields`] if it does not.
    pub(super) fn must_be(self, field: &str) -> Result<(), Error> {
        if self.required()?.0.iter().all(|path| path == field) {
            return Ok(());
        }
        Err(not_updatable(&format!("must name `{field}` and nothing else")))
    }

    /// Whether `field` changes; without a mask it does if it `is_set`.
    pub(super) fn names(self, field: &str, is_set: bool) -> bool {
        if self.0.is_empty() { is_set } else { self.0.iter().any(|path| path == field || path == "*") }
    }
}

/// That a path is none of those that `rule` names.
pub(super) fn not_updatable(rule: &str) -> Error {
    refused(FIELD, FieldReason::NotUpdatable, rule)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mask(paths: &[&str]) -> FieldMask {
        FieldMask { paths: paths.iter().map(|path| (*path).to_owned()).collect() }
    }

    fn read(mask: &FieldMask) -> UpdateMask<'_> {
        UpdateMask::read(Some(mask)).unwrap()
    }

    #[test]
    fn a_mask_names_what_can_be_changed_and_nothing_else() {
        let (both, all, none) = (mask(&["a", "b"]), mask(&["*"]), mask(&[]));
        assert!(read(&both).of(&["a", "b", "c"], "").is_ok());
        assert!(read(&both).of(&["a"], "").is_err());
        assert!(read(&all).of(&["a"], "").is_ok());
        for (mask, a, c) in [(&both, true, false), (&all, true, true), (&none, false, false)] {
            assert_eq!((read(mask).names("a", false), read(mask).names("c", false)), (a, c));
        }
        assert!(read(&none).names("c", true) && !read(&both).names("c", true));
        assert!(read(&both).required().is_ok() && read(&none).required().is_err());
        assert!(read(&mask(&["a", "a"])).must_be("a").is_ok());
        for bad in [&both, &all, &none] {
            assert!(read(bad).must_be("a").is_err());
        }
        assert_eq!(UpdateMask::read(None).unwrap(), read(&none));
    }

    #[test]
    fn a_mask_has_a_longest_length() {
        assert!(UpdateMask::read(Some(&mask(&["a"; MAX_PATHS]))).is_ok());
        assert!(UpdateMask::read(Some(&mask(&["a"; MAX_PATHS + 1]))).is_err());
    }
}
