//! Owns finding and listing clients for those who manage them.

use std::fmt;

use crate::{
    model::{Client, ClientId, ClientName, Error},
    store::Store,
};

/// All clients.
#[derive(Debug)]
pub struct ClientDirectory {
    store: Store,
}

/// Which client is meant: by its id or its name. No name reads as an id.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClientRef(String);

impl ClientDirectory {
    /// The clients in `store`.
    #[must_use]
    pub const fn new(store: Store) -> Self {
        Self { store }
    }

    /// The client `who`.
    ///
    /// # Errors
    /// [`Error::ClientNotFound`]; [`Error::Unavailable`] or [`Error::Internal`], with the cause.
    pub async fn find(&self, who: &ClientRef) -> Result<Client, Error> {
        let found = match (ClientId::parse(&who.0), ClientName::parse(&who.0)) {
            (Some(id), _) => self.store.client(id).await?,
            (None, Ok(name)) => self.store.client_named(&name).await?,
            (None, Err(_)) => None,
        };
        found.ok_or_else(|| who.not_found())
    }

    /// The clients after `after` in the order of their ids, which is the order of their making, without their secrets; at most `limit`.
    ///
    /// # Errors
    /// [`Error::Unavailable`] or [`Error::Internal`], with the cause.
    pub async fn page(&self, after: Option<ClientId>, limit: u64) -> Result<Vec<Client>, Error> {
        self.store.clients(after, limit).await
    }
}

impl ClientRef {
    /// That there is no such client.
    pub(super) fn not_found(&self) -> Error {
        Error::ClientNotFound(self.to_string())
    }
}

impl From<String> for ClientRef {
    fn from(said: String) -> Self {
        Self(said)
    }
}

impl From<ClientId> for ClientRef {
    fn from(id: ClientId) -> Self {
        Self(id.to_string())
    }
}

impl fmt::Display for ClientRef {
    /// As it was said.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}
