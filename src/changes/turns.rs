//! Owns reading once what several calls would read at the same time: one reads, and the others wait for its result.

use std::hash::{BuildHasher, BuildHasherDefault, DefaultHasher, Hash};

use tokio::sync::{Mutex, MutexGuard};

/// How many turns there are. Who shares one with another waits for a reading that it has no use for, which is rare with so many.
const TURNS: usize = 1_024;

/// The turns of readings.
#[derive(Debug)]
pub(crate) struct Turns(Box<[Mutex<()>]>);

impl Turns {
    /// The turn to read `key`, which is taken until the result is dropped; none after a wait for whoever had it: look then at what that one
    /// has found. Nobody waits twice, so that a database that does not answer is not asked by one after the other.
    pub(crate) async fn take(&self, key: impl Hash) -> Option<MutexGuard<'_, ()>> {
        let hash = BuildHasherDefault::<DefaultHasher>::default().hash_one(key);
        let turn = &self.0[usize::try_from(hash % TURNS as u64).unwrap_or_default()];
        if let Ok(taken) = turn.try_lock() {
            return Some(taken);
        }
        drop(turn.lock().await);
        None
    }
}

impl Default for Turns {
    fn default() -> Self {
        Self((0..TURNS).map(|_| Mutex::new(())).collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn one_has_the_turn_and_the_others_wait_once() {
        let turns = Turns::default();
        let first = turns.take(1).await;
        assert!(first.is_some());
        let (mut second, mut third) = (Box::pin(turns.take(1)), Box::pin(turns.take(1)));
        assert!(
            futures_util::poll!(&mut second).is_pending() && futures_util::poll!(&mut third).is_pending()
        );
        drop(first);
        assert!(second.await.is_none() && third.await.is_none());
        assert!(turns.take(1).await.is_some());
    }
}
