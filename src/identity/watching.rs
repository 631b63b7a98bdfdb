//! Owns who may follow the stream of changes, and of which audiences they are told: their own.

use std::sync::Arc;

use super::Clients;
use crate::{
    auth::Caller,
    base::Timestamp,
    changes::{Hub, WatchRequest},
    model::{CallerKind, Client, Error, Subject},
};

/// What is told, and how it is written.
pub use crate::changes::{ChangesTold, Encode, EndedAt, Kind, Kinds, Part, TakenScopes, Watch};

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
        let active = async || self.clients.active(id).await?.ok_or(Error::TokenRevoked);
        let client = active().await?;
        let audiences = |client: &Client| client.audiences.clone();
        let request = WatchRequest {
            client: id.0,
            audiences: audiences(client.client()),
            expire_time: Timestamp::from_micros(caller.claims().exp.saturating_mul(1_000_000)),
            kinds,
            position,
        };
        let watch = self.hub.watch(request).await?;
        // From here on a change of the client ends the stream. One that came before is seen now.
        if audiences(active().await?.client()) != audiences(client.client()) {
            let source = "the audiences of the client have just been changed".into();
            return Err(Error::Unavailable { what: "list of the client's audiences", source });
        }
        Ok(watch)
    }
}
