//! Owns turning passwords into hashes and judging them: which scheme, how much work at once, and how long it may take.

mod argon2id;
mod contention;
mod cost;
mod fits_nothing;
mod imported;
mod memories;
mod pool;
mod prehash;
mod prehash_keys;
mod queue;
mod threads;
mod usage;

pub use argon2id::Argon2Params;
pub use cost::DEFAULT_IMPORT_MAX_COST;
pub use fits_nothing::{fits_nothing, hash_that_fits_nothing};
pub use imported::{HashProblem, Prehashes, adopt};
pub use pool::PoolSize;
pub use prehash::{Prehash, PrehashKey, PrehashKeyName, Recipe};
pub use prehash_keys::{
    PrehashKeys, add as add_prehash_key, open as open_prehash_key, prehash_key_names,
    remove_unneeded as remove_unneeded_prehash_key,
};

use crate::{
    base::Deadline,
    metrics::HashMetrics,
    model::{Error, Network, Password},
};

use pool::{HashOutcome, Pool, StoredHash, Task};
use prehash_keys::KeyOfHash;

/// Hashes and verifies passwords on threads of its own, bounded in number, queue and memory.
#[derive(Debug)]
pub struct Passwords {
    params: Argon2Params,
    pool: Pool,
    prehash_keys: PrehashKeys,
}

/// Who wants a password hashed, and until when: the hash threads are shared by this.
#[derive(Clone, Copy, Debug)]
pub struct HashRequest<'a> {
    /// The canonical name of the account, whether or not it exists; none if what was typed is no name.
    pub account: Option<&'a str>,
    /// The network of the user; none if the request came from no network.
    pub address: Option<Network>,
    /// When it goes.
    pub turn: Turn,
    /// Until when the answer is worth computing.
    pub deadline: Deadline,
}

/// When a password goes: those of an earlier turn first.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum Turn {
    /// With those of everybody, by what account and address have had.
    #[default]
    Fair,
    /// From an address that may be everybody's, and that guesses come from; an open session of the account came from there as well.
    /// By what the account has had.
    Familiar,
    /// From such an address, for any other account. As they come: names cost nothing, so whoever went by what the account has had would
    /// prefer made-up ones.
    Last,
}

impl<'a> HashRequest<'a> {
    /// A request that goes with those of everybody.
    #[must_use]
    pub const fn new(account: Option<&'a str>, address: Option<Network>, deadline: Deadline) -> Self {
        Self { account, address, turn: Turn::Fair, deadline }
    }
}

impl Passwords {
    /// Starts the hash threads. Hashes may need `prehash_keys`.
    ///
    /// # Errors
    /// The operating system's, if it has no room for the threads.
    pub fn start(
        params: Argon2Params,
        size: PoolSize,
        metrics: HashMetrics,
        prehash_keys: PrehashKeys,
    ) -> std::io::Result<Self> {
        Ok(Self { params, pool: Pool::start(params, size, metrics)?, prehash_keys })
    }

    /// The cost of a new hash.
    #[must_use]
    pub const fn params(&self) -> Argon2Params {
        self.params
    }

    /// The Argon2id hash of `password` under a fresh salt, as a PHC string.
    ///
    /// # Errors
    /// [`Error::Overloaded`] at once, if the queue is full or the deadline cannot be made;
    /// [`Error::DeadlineExceeded`] if it passed all the same.
    pub async fn hash(&self, password: Password, request: HashRequest<'_>) -> Result<String, Error> {
        match self.pool.run(Task::Hash(password), request).await? {
            HashOutcome::Hashed(hash) => Ok(hash),
            HashOutcome::Verified(_) => Err(Error::internal("the hash pool verified what it was to hash")),
        }
    }

    /// Whether `password` is the one that `hash` was made from.
    ///
    /// The work is the same if either is missing, or a key that the hash needs: one hash with the present parameters, and the answer no.
    ///
    /// # Errors
    /// As [`Self::hash`]; [`Error::Unavailable`] or [`Error::Internal`] if the key that the hash needs cannot be read, and
    /// [`Error::Unavailable`], after that work, if it does not open.
    pub async fn verify(
        &self,
        password: Option<Password>,
        hash: Option<String>,
        request: HashRequest<'_>,
    ) -> Result<bool, Error> {
        let (stored, sealed) = match hash {
            Some(hash) => match self.prehash_keys.of_hash(&hash).await? {
                KeyOfHash::NotNeeded => (Some(StoredHash { hash, key: None }), None),
                KeyOfHash::Known(key) => (Some(StoredHash { hash, key: Some(key) }), None),
                KeyOfHash::Missing => (None, None),
                KeyOfHash::Sealed(problem) => (None, Some(problem)),
            },
            None => (None, None),
        };
        match self.pool.run(Task::Verify(password, stored), request).await? {
            HashOutcome::Verified(matches) => sealed.map_or(Ok(matches), Err),
            HashOutcome::Hashed(_) => Err(Error::internal("the hash pool hashed what it was to verify")),
        }
    }

    /// Whether there is room and time for the password of `request` now. What is refused here has cost next to nothing: no read of the
    /// database, above all.
    ///
    /// # Errors
    /// [`Error::Overloaded`].
    pub fn has_room(&self, request: HashRequest<'_>) -> Result<(), Error> {
        self.pool.has_room(&request)
    }

    /// Whether `hash` should be replaced at the next successful login: made by another scheme, or with less memory or fewer passes
    /// than those that are configured. One that costs more stays: replacing it would weaken it.
    #[must_use]
    pub fn needs_rehash(&self, hash: &str) -> bool {
        let (memory, passes) = (self.params.memory_kib, self.params.iterations);
        !argon2id::params_of(hash)
            .is_some_and(|found| found.memory_kib >= memory && found.iterations >= passes)
    }
}
