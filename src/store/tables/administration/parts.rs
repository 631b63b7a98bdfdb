//! Owns changes that are parts of another: each is judged alone, in the transaction of the whole, by the rights that its administrator had
//! before it.

use std::{
    ops::Deref,
    sync::{Arc, Mutex, PoisonError},
};

use super::{AdminChange, Administering, HoldingMore, owned_by};
use crate::model::{Authority, Error};
use crate::store::engine::{attempts::Failed, transaction::Transaction};

/// The transaction of a change.
#[derive(Debug)]
pub(super) enum Held<'a> {
    /// Its own, which it commits.
    Own(Box<Transaction>),
    /// The transaction of the change that it is a part of.
    Outer(&'a Transaction),
}

impl<'a> Administering<'a> {
    /// `change`, as a part of this one: it is judged by the same rights, and committed with this one.
    pub(super) fn part(&'a self, change: AdminChange<'a>) -> Self {
        let (db, failed) = (Held::Outer(self), Mutex::new(None));
        let (rights, entropy) = (self.rights.clone(), self.entropy.clone());
        // Who holds more than the makers of its credentials did, and whether an admin is left, is judged where the whole ends.
        let holding_more = HoldingMore::default();
        let (owned, takes_from_an_admin) = (self.owned.clone(), Arc::clone(&self.takes_from_an_admin));
        Self { db, change, rights, owned, holding_more, takes_from_an_admin, entropy, failed, _permit: None }
    }

    /// From now on it is judged by the audiences that whoever makes the change owns at this moment: no part of it makes an owner who may do
    /// what a later one does.
    pub(in crate::store) async fn judge_by_what_is_owned_now(&mut self) -> Result<(), Failed> {
        if let Authority::Caller { subject, .. } = self.change.authority {
            self.owned = Some(owned_by(&**self, subject.principal()).await?.into());
        }
        Ok(())
    }

    /// The error of a part of the change; how the database failed is kept for [`Self::failure`].
    pub(super) fn note_failure(&self, failed: Failed) -> Error {
        match failed {
            Failed::Refused(error) => error,
            Failed::Database { .. } => {
                *self.failed.lock().unwrap_or_else(PoisonError::into_inner) = Some(failed);
                Error::internal("the database failed in a part of a change")
            }
        }
    }

    /// Why the change failed, a part of which has failed with `error`.
    pub(in crate::store) fn failure(&self, error: Error) -> Failed {
        let failed = self.failed.lock().unwrap_or_else(PoisonError::into_inner).take();
        failed.unwrap_or(Failed::Refused(error))
    }
}

impl Deref for Administering<'_> {
    type Target = Transaction;

    fn deref(&self) -> &Transaction {
        match &self.db {
            Held::Own(db) => db,
            Held::Outer(db) => db,
        }
    }
}
