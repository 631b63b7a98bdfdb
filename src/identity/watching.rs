//! Owns who may follow the stream of changes, and of which audiences they are told: their own.

use std::sync::Arc;

use super::Clients;
use crate::{
    auth::Caller,
    base::Timestamp,
    changes::{Hub, WatchRequest},
    model::{CallerKind, Error, Subject},
};

/// What is told, and how it is written.
pub use crate::changes::{
    ChangesTold, Encode, EndedClient, EndedUser, Kind, Kinds, Part, TakenScopes, Watch,
};

/// Lets clients follow the stream of changes.
#[derive(Debug)]
pub struct Watching {
    hub: Arc<Hub>,
    clients: Arc<Clients>,
}

impl Watching {
    /// Of what `hub` tells, to `clients`.
    #[must_use]
    pub const fn new(hub: Arc<Hub>, clients: Arc<Clients>) -> Self {
        Self { hub, clients }
    }

    /// What the client `caller` is told from now on, of `kinds`, if it was told up to `position` before.
    ///
    /// # Errors
    /// [`Error::CallerNotAllowed`] for a user; [`Error::TokenRevoked`] if the client has just ended; [`Error::Unavailable`] or
    /// [`Error::Internal`], with the cause.
    pub async fn watch(&self, caller: &Caller, kinds: Kinds, position: Vec<u8>) -> Result<Watch, Error> {
        let Subject::Client(id) = caller.subject() else {
            return Err(Error::CallerNotAllowed(CallerKind::Client));
        };
        // From here on a change of the client refuses this call, or ends the stream.
        let standings_changed = self.hub.standings_changed();
        let client = self.clients.active(id).await?.ok_or(Error::TokenRevoked)?;
        let request = WatchRequest {
            client: id.0,
            standings_changed,
            audiences: client.client().audiences.clone(),
            expire_time: Timestamp::from_micros(caller.claims().exp.saturating_mul(1_000_000)),
            kinds,
            position,
        };
        self.hub.watch(request).await
    }
}
