//! Owns etags: what tells one state of a resource from the next (AIP-154).

use std::fmt::Write;

use aws_lc_rs::digest::{Context, SHA256};

use super::Error;

/// How many bytes of the digest it is made of: nobody gains by two states that have the same one.
const BYTES: usize = 12;

/// The etag of a resource in one state: a digest of its fields, the same on every replica.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Etag(String);

impl Etag {
    /// That of a resource with `fields`, each as text, in an order that never changes.
    #[must_use]
    pub fn of<'a>(fields: impl IntoIterator<Item = &'a str>) -> Self {
        let mut digest = Context::new(&SHA256);
        for field in fields {
            // With its length, so that nothing moves from one field into the next.
            digest.update(&(field.len() as u64).to_be_bytes());
            digest.update(field.as_bytes());
        }
        let mut text = String::with_capacity(2 * BYTES);
        for byte in &digest.finish().as_ref()[..BYTES] {
            // Text takes everything.
            let _ = write!(text, "{byte:02x}");
        }
        Self(text)
    }

    /// Succeeds if `shown` is this one, or none was shown.
    ///
    /// # Errors
    /// [`Error::EtagMismatch`]: the resource has changed since it was read.
    pub fn must_match(&self, shown: Option<&str>) -> Result<(), Error> {
        if shown.is_none_or(|shown| shown == self.0) { Ok(()) } else { Err(Error::EtagMismatch) }
    }

    /// As it is written.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn another_state_has_another_and_only_the_present_one_matches() {
        let etag = Etag::of(["a", "bc"]);
        assert_eq!(etag, Etag::of(["a", "bc"]));
        for other in [Etag::of(["ab", "c"]), Etag::of(["a", "bc", ""]), Etag::of(["a"])] {
            assert_ne!(etag, other);
            assert!(matches!(other.must_match(Some(etag.as_str())), Err(Error::EtagMismatch)));
        }
        assert!(etag.must_match(None).is_ok() && etag.must_match(Some(etag.as_str())).is_ok());
    }
}
