//! Owns which connections of one listener are kept when others must end: those on which a token was verified, within a share for each
//! user or client.

use std::sync::{Arc, Mutex, PoisonError};

use uuid::Uuid;

use super::share::{Holders, Limits, Shares};

/// One user or client may keep one part in [`SUBJECTS`] of a listener's connections, and all users whose accounts are new one part in
/// [`NEW_ACCOUNTS`]: whoever can sign up can have any number of accounts.
const SUBJECTS: usize = 16;
const NEW_ACCOUNTS: usize = 2;

/// The connections of one listener that are kept. Clones share them.
#[derive(Clone, Debug)]
pub(super) struct Protections(Arc<Mutex<Shares>>);

/// That a connection is kept, until this is dropped.
#[derive(Debug)]
pub(super) struct Protection {
    protections: Protections,
    holders: Holders,
}

impl Protections {
    /// Those of a listener that has `max` connections at most.
    pub(super) fn new(max: usize) -> Self {
        let part = |divisor: usize| u64::try_from((max / divisor).max(1)).unwrap_or(u64::MAX);
        let limits = Limits {
            all: part(1),
            subject: Some(part(SUBJECTS)),
            new_accounts: Some(part(NEW_ACCOUNTS)),
            ..Limits::default()
        };
        Self(Arc::new(Mutex::new(Shares::new(limits))))
    }

    /// Keeps a connection for the user or client `subject`, if its share has room; `is_new` if that is a user with a new account.
    pub(super) fn protect(&self, subject: Uuid, is_new: bool) -> Option<Protection> {
        let holders = Holders::default().with_subject(subject, is_new);
        let fits = self.0.lock().unwrap_or_else(PoisonError::into_inner).take(&holders, 1);
        fits.then(|| Protection { protections: self.clone(), holders })
    }
}

impl Drop for Protection {
    fn drop(&mut self) {
        let Protections(shares) = &self.protections;
        shares.lock().unwrap_or_else(PoisonError::into_inner).give_back(&self.holders, 1);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_subject_keeps_a_sixteenth_and_new_accounts_a_half() {
        let protections = Protections::new(64);
        let keep = |subjects: std::ops::Range<u128>, is_new: bool| -> Vec<Protection> {
            subjects
                .flat_map(|subject| std::iter::repeat_n(Uuid::from_u128(subject), 10))
                .filter_map(|subject| protections.protect(subject, is_new))
                .collect()
        };
        assert_eq!(keep(0..1, false).len(), 4);
        let new = keep(100..150, true);
        assert_eq!(new.len(), 32);
        assert_eq!(keep(200..250, false).len(), 32, "the other half is for others");
        drop(new);
        assert_eq!(keep(200..250, false).len(), 64);
    }
}
