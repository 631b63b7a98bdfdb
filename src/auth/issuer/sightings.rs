//! Owns which key ids were asked for that are not known, and since which attempt to fetch keys.

use quick_cache::sync::Cache;

use crate::jose::KID_MAX_BYTES;

/// How many ids are remembered (at most 255 bytes each). More than that are made up, and then it does not matter which are forgotten: a
/// forgotten id waits for one attempt more.
const MAX_REMEMBERED: usize = 1_024;

/// When each id was first asked for, as the number of attempts that had begun by then.
#[derive(Debug)]
pub(super) struct Sightings(Cache<String, u64>);

impl Default for Sightings {
    fn default() -> Self {
        Self(Cache::new(MAX_REMEMBERED))
    }
}

impl Sightings {
    /// How many attempts had begun when `kid` was first asked for; none if that is not remembered.
    pub(super) fn first(&self, kid: &str) -> Option<u64> {
        self.0.get(kid)
    }

    /// Remembers that `kid` was first asked for after `begun` attempts had begun.
    pub(super) fn remember(&self, kid: &str, begun: u64) {
        self.0.insert(kid.to_owned(), begun);
    }
}

/// Whether a key can have this id at all.
pub(super) const fn can_be(kid: &str) -> bool {
    !kid.is_empty() && kid.len() <= KID_MAX_BYTES
}
