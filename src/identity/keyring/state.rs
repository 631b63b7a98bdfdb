//! Owns the keys as they were last read from the database, and those of them that could be decrypted.

use std::{sync::Arc, time::Duration};

use super::{Stage, ready_key::ReadyKey, sealed_key, staged};
use crate::{
    base::Timestamp,
    identity::MasterKey,
    jose::{JwkSet, KeySet},
    model::Error,
    store::StoredKey,
};

/// The keys as they were read.
#[derive(Debug, Default)]
pub(super) struct State {
    /// In the order in which they sign.
    pub(super) stored: Vec<StoredKey>,
    /// The keys of `stored` that could be decrypted, in the same order.
    open: Vec<Arc<ReadyKey>>,
    pub(super) verifying: Arc<KeySet>,
    pub(super) published: Arc<JwkSet>,
    /// Whether the master key opened every key.
    is_open: bool,
    pub(super) reading: KeysReading,
}

/// A reading of the keys from the database.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct KeysReading {
    /// How many had begun, with this one.
    pub(super) number: u64,
    /// When it began, on the monotonic clock: what it found is no older.
    pub(super) begun: Duration,
    /// How many changes had been noted when it began.
    pub(super) changes: u64,
}

impl State {
    /// Opens the keys `stored`. One that is `known` stays what it is, also if it was sealed anew meanwhile. One that does not open is
    /// left out, and why the first one does not is returned.
    pub(super) fn read(
        stored: Vec<StoredKey>,
        master_key: &MasterKey,
        known: &Self,
        reading: KeysReading,
    ) -> (Self, Option<Error>) {
        let mut problem = None;
        let mut open = Vec::with_capacity(stored.len());
        for key in &stored {
            let opened = match known.find(key) {
                Some((ready, sealed)) => {
                    // A key that is open needs no opening; that the seal is another's must be known before one is added.
                    let sealed = if sealed == key.sealed_private_key {
                        Ok(())
                    } else {
                        sealed_key::unseal(key, master_key).map(drop)
                    };
                    open.push(ready);
                    sealed
                }
                None => sealed_key::open(key, master_key)
                    .and_then(|key| ReadyKey::new(&key))
                    .map(|ready| open.push(Arc::new(ready))),
            };
            if let Err(error) = opened {
                problem = problem.or(Some(error));
            }
        }
        let verifying = open.iter().map(|key| Arc::clone(&key.verifying)).collect();
        let published = open.iter().filter_map(|key| key.published.clone()).collect();
        let is_open = problem.is_none();
        let state = Self {
            stored,
            open,
            verifying: Arc::new(verifying),
            published: Arc::new(JwkSet { keys: published }),
            is_open,
            reading,
        };
        (state, problem)
    }

    /// The open key of the row `stored`, and how its private part was sealed when it was read.
    fn find(&self, stored: &StoredKey) -> Option<(Arc<ReadyKey>, &[u8])> {
        let ready = self.open.iter().find(|ready| *ready.kid() == stored.kid)?;
        let row = self.stored.iter().find(|row| row.kid == stored.kid)?;
        Some((Arc::clone(ready), &row.sealed_private_key))
    }

    /// The key that signs at `now`, or the newest before it that is open.
    pub(super) fn signing(&self, now: Timestamp) -> Option<&ReadyKey> {
        let come = staged(&self.stored, now).into_iter().rev().filter(|key| key.stage != Stage::Published);
        come.map(|key| &key.key.kid)
            .find_map(|kid| self.open.iter().find(|ready| ready.kid() == kid))
            .map(Arc::as_ref)
    }

    /// Whether the master key opened every key when they were read.
    pub(super) const fn is_open(&self) -> bool {
        self.is_open
    }

    /// Whether there is a key that is to sign at `now`.
    pub(super) fn has_signing(&self, now: Timestamp) -> bool {
        staged(&self.stored, now).iter().any(|key| key.stage == Stage::Signing)
    }

    /// Whether the key that signs at `now` is open, and with it every key whose tokens may come.
    pub(super) fn is_complete(&self, now: Timestamp) -> bool {
        let signing = staged(&self.stored, now).into_iter().find(|key| key.stage == Stage::Signing);
        signing.is_some_and(|key| self.open.iter().any(|ready| *ready.kid() == key.key.kid))
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::{jose::PrivateKey, model::SigningAlg};

    fn master_key(byte: &str) -> MasterKey {
        MasterKey::from_hex(&byte.repeat(32)).unwrap()
    }

    fn row(sign_time: i64, master_key: &MasterKey) -> StoredKey {
        let key = PrivateKey::generate(SigningAlg::Es256).unwrap();
        StoredKey {
            kid: key.kid().clone(),
            alg: key.algorithm().name().to_owned(),
            sealed_private_key: sealed_key::seal(&key, master_key).unwrap(),
            create_time: Timestamp::from_micros(0),
            sign_time: Timestamp::from_micros(sign_time),
            retention: Duration::from_secs(1),
        }
    }

    #[test]
    fn a_key_that_stays_is_the_same_also_when_others_come_and_go_and_it_is_sealed_anew() {
        let (old, new) = (master_key("0f"), master_key("0e"));
        let (first, second) = (row(0, &old), row(1, &old));
        let read = |rows: &[&StoredKey], master_key: &MasterKey, known: &State| {
            let rows = rows.iter().map(|row| (*row).clone()).collect();
            State::read(rows, master_key, known, KeysReading::default())
        };
        let same = |one: &State, other: &State| {
            let [one, other] = [one, other].map(|state| state.verifying.get(&second.kid.0).cloned().unwrap());
            Arc::ptr_eq(&one, &other)
        };
        let (state, problem) = read(&[&first, &second], &old, &State::default());
        assert!(problem.is_none() && state.verifying.get(&first.kid.0).is_some());

        let third = row(2, &old);
        let (rotated, problem) = read(&[&second, &third], &old, &state);
        assert!(problem.is_none() && same(&state, &rotated) && rotated.verifying.get(&first.kid.0).is_none());

        // Another process seals them anew, and adds one that the old master key does not open.
        let resealed = sealed_key::reseal(&second, &old, &new).unwrap();
        let resealed = StoredKey { sealed_private_key: resealed, ..second.clone() };
        let foreign = row(3, &new);
        let (after, problem) = read(&[&resealed, &foreign], &old, &rotated);
        assert!(matches!(problem, Some(Error::WrongMasterKey { .. })) && !after.is_open());
        assert!(same(&rotated, &after) && after.verifying.get(&foreign.kid.0).is_none());
        assert!(
            after.is_complete(Timestamp::from_micros(2)) && !after.is_complete(Timestamp::from_micros(3))
        );
        let signing = after.signing(Timestamp::from_micros(3)).unwrap();
        assert_eq!(*signing.kid(), second.kid, "the newest that is open");
    }

    #[test]
    fn a_key_of_an_algorithm_that_is_not_known_yet_is_left_out() {
        let master_key = master_key("0f");
        let known = row(0, &master_key);
        let unknown = StoredKey { alg: "ES999".to_owned(), ..row(1, &master_key) };
        let (state, problem) =
            State::read(vec![known.clone(), unknown], &master_key, &State::default(), KeysReading::default());
        assert!(problem.is_some() && state.verifying.get(&known.kid.0).is_some());
    }
}
