//! Owns the lanes to the database: how its connections are divided, so that what the service needs to stay true and calls whose token is
//! verified do not wait behind strangers.
//!
//! Each lane has a pool of its own. Permits over one pool would not do: a connection is tested after each use (connect.rs), and would be
//! occupied by that for longer than by the statement itself, when the permit has long been given back.

use std::{sync::Arc, time::Duration};

use sea_orm::DatabaseConnection;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::{
    base::Tally,
    model::{Error, PeerPlaces, caller_network},
    store::Store,
};

/// How many look-ups for strangers go on or wait at a time. Some milliseconds each, so that the last of them has its turn before
/// `--database-acquire-timeout` is over.
const STRANGERS: usize = 512;

/// How many of them the callers of one network may have, so that none takes the places of all others.
const STRANGERS_OF_ONE: usize = STRANGERS / 4;

/// How many changes of administrators go on at a time in this process. They wait for each other in the database anyway, each with a
/// connection that ordinary calls need: one waits there while one goes on.
const ADMINISTRATORS: usize = 2;

/// When a stranger who found no place may ask again.
const RETRY_AFTER: Duration = Duration::from_secs(1);

/// The connections of one lane: those that read, and those that write.
#[derive(Clone, Debug)]
pub(in crate::store) struct Lane {
    pub(in crate::store) reader: DatabaseConnection,
    pub(in crate::store) writer: DatabaseConnection,
}

/// How many connections to a server each lane has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::store) struct Division {
    /// For the feed of changes, the signing keys and readiness.
    pub(in crate::store) service: u32,
    /// For statements about what strangers name.
    pub(in crate::store) strangers: u32,
    /// For all other calls.
    pub(in crate::store) calls: u32,
}

impl Division {
    /// Of `size` connections; none if there are too few to divide.
    pub(in crate::store) fn of(size: u32) -> Option<Self> {
        let (service, strangers) = ((size / 8).clamp(1, 2), (size / 4).max(1));
        let calls = size.checked_sub(service + strangers).filter(|calls| *calls > 0)?;
        Some(Self { service, strangers, calls })
    }
}

/// The lanes beside the one of ordinary calls.
#[derive(Clone, Debug)]
pub(in crate::store) struct Lanes {
    /// What the service needs to stay true: the feed of changes and the signing keys. No call can take these connections.
    pub(in crate::store) service: Lane,
    /// What looks up what strangers name, and writes what they fail.
    strangers: DatabaseConnection,
    places: PeerPlaces,
    lookups: Tally,
    administrators: Arc<Semaphore>,
}

impl Lanes {
    /// On the heap: every part of the service has a [`Store`], and futures hold the parts.
    pub(in crate::store) fn new(service: Lane, strangers: DatabaseConnection) -> Box<Self> {
        let places = PeerPlaces::new(STRANGERS, STRANGERS_OF_ONE);
        let administrators = Arc::new(Semaphore::new(ADMINISTRATORS));
        Box::new(Self { service, strangers, places, lookups: Tally::default(), administrators })
    }

    /// Waits until an administrator's change may begin, and has others wait for as long as the permit is held. None is taken before a
    /// connection is.
    pub(in crate::store) async fn administrator(&self) -> Option<OwnedSemaphorePermit> {
        // It is never closed.
        Arc::clone(&self.administrators).acquire_owned().await.ok()
    }

    /// One lane for all, where there are no connections to divide.
    pub(in crate::store) fn shared(connections: &DatabaseConnection) -> Box<Self> {
        let service = Lane { reader: connections.clone(), writer: connections.clone() };
        Self::new(service, connections.clone())
    }

    /// The pools beside that of ordinary calls, by what they are for.
    pub(in crate::store) fn pools(&self) -> [(&'static str, &DatabaseConnection); 2] {
        [("service", &self.service.reader), ("strangers", &self.strangers)]
    }

    /// Every connection.
    pub(in crate::store) fn connections(&mut self) -> [&mut DatabaseConnection; 3] {
        let Self { service: Lane { reader, writer }, strangers, .. } = self;
        [strangers, reader, writer]
    }
}

/// The database for those who are not known yet: it looks up what they name (a username, a refresh token, a client), which anybody can
/// make up, and writes down the passwords that failed.
///
/// That takes connections of its own, and so at most a share of them. Who finds too many waiting, or too many of its own network, is
/// refused. [`Store`] has no such question, so that none is asked on other connections by mistake.
#[derive(Clone, Debug)]
pub struct Strangers(
    /// Whose connections are those of the lane.
    pub(in crate::store) Store,
);

impl Store {
    /// The same database, by the lane of strangers.
    #[must_use]
    pub fn for_strangers(&self) -> Strangers {
        let db = self.lanes.strangers.clone();
        // SQLite has one writer at a time, before which all writers stand in one line.
        let writer = if self.server.is_some() { db.clone() } else { self.writer.clone() };
        Strangers(Self { db, writer, ..self.clone() })
    }
}

impl Strangers {
    /// How many look-ups were made, and how many refused.
    #[must_use]
    pub fn tally(&self) -> Tally {
        self.0.lanes.lookups.clone()
    }

    /// The answer to `looking`, if there is a place for one more.
    pub(in crate::store) async fn look_up<T>(
        &self,
        looking: impl Future<Output = Result<T, Error>>,
    ) -> Result<T, Error> {
        let lanes = &self.0.lanes;
        let place = lanes.places.take(caller_network());
        lanes.lookups.count(place.is_some());
        if place.is_none() {
            let what = "look-ups for callers who are not known yet";
            return Err(Error::Overloaded { what, retry_after: RETRY_AFTER });
        }
        looking.await
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_connection_belongs_to_one_lane_and_strangers_have_at_most_a_third() {
        assert_eq!((Division::of(1), Division::of(2)), (None, None));
        assert_eq!(Division::of(16), Some(Division { service: 2, strangers: 4, calls: 10 }));
        for size in 3..=1_000 {
            let Division { service, strangers, calls } = Division::of(size).unwrap();
            assert_eq!(service + strangers + calls, size);
            assert!(service > 0 && strangers * 3 <= size && calls >= strangers, "{size}");
        }
    }
}
