//! Owns finding and listing clients for those who manage them.

use std::fmt;

use super::change;
use crate::{
    model::{AudienceName, Client, ClientId, ClientName, Error, NameSet},
    store::{BATCH, Store},
};

/// How many clients one page of a list looks at, at most.
const LIST_MAX_ROWS: usize = 5_000;

/// All clients.
#[derive(Debug)]
pub struct ClientDirectory {
    store: Store,
    /// The service's own audience.
    own: NameSet,
}

/// Which client is meant: by its id or its name. No name reads as an id.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClientRef(String);

/// Which clients are meant: those of which all holds. What is empty holds of each.
#[derive(Clone, Debug, Default)]
pub struct ClientFilter {
    /// The prefix of the name.
    pub name_prefix: String,
    /// A scope that it may ask for.
    pub scope: String,
    /// Whom its tokens may be meant for. The service's own audience is `signet`, too, however it is called.
    pub audience: String,
}

impl ClientDirectory {
    /// The clients in `store`; `own` is the service's own audience.
    #[must_use]
    pub const fn new(store: Store, own: NameSet) -> Self {
        Self { store, own }
    }

    /// Whether tokens of `client` may be meant for `audience`.
    pub(in crate::identity) fn is_for(&self, client: &Client, audience: &AudienceName) -> bool {
        let audiences = change::audiences(client, &self.own);
        audiences.iter().any(|name| AudienceName::of(name, &self.own) == *audience)
    }

    fn takes(&self, client: &Client, filter: &ClientFilter) -> bool {
        let ClientFilter { name_prefix, scope, audience } = filter;
        let is_for = || match AudienceName::parse(audience) {
            Ok(_) if self.own.contains(audience) => self.is_for(client, &AudienceName::signet()),
            Ok(audience) => self.is_for(client, &audience),
            Err(_) => audience.is_empty(),
        };
        client.name.as_str().starts_with(name_prefix)
            && (scope.is_empty() || client.scopes.contains(scope))
            && is_for()
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

    /// The id of the client `who`, who may be gone if it was said by that.
    pub(super) async fn id(&self, who: &ClientRef) -> Result<ClientId, Error> {
        match ClientId::parse(&who.0) {
            Some(id) => Ok(id),
            None => self.find(who).await.map(|client| client.id),
        }
    }

    /// The clients after `after` that `filter` takes, in the order of their ids, the order of their creation: at most `limit`, and
    /// fewer if many were looked at. With it, after which the next ones come; none if these were the last.
    ///
    /// # Errors
    /// [`Error::Unavailable`] or [`Error::Internal`], with the cause.
    pub async fn list(
        &self,
        filter: &ClientFilter,
        after: Option<ClientId>,
        limit: u64,
    ) -> Result<(Vec<Client>, Option<ClientId>), Error> {
        let limit = usize::try_from(limit).unwrap_or(usize::MAX);
        let (mut found, mut last, mut read) = (Vec::new(), after, 0);
        while read < LIST_MAX_ROWS {
            let page = self.store.clients(last, BATCH as u64).await?;
            read += page.len();
            let is_end = page.len() < BATCH;
            last = page.last().map_or(last, |client| Some(client.id));
            for client in page.into_iter().filter(|client| self.takes(client, filter)) {
                if found.len() == limit {
                    let next = found.last().map(|client: &Client| client.id);
                    return Ok((found, next));
                }
                found.push(client);
            }
            if is_end {
                return Ok((found, None));
            }
        }
        Ok((found, last))
    }

    /// The clients after `after` in the order of their ids, the order of their creation; at most `limit`, and
    /// [`BATCH`].
    ///
    /// # Errors
    /// [`Error::Unavailable`] or [`Error::Internal`], with the cause.
    pub async fn page(&self, after: Option<ClientId>, limit: u64) -> Result<Vec<Client>, Error> {
        self.store.clients(after, limit).await
    }
}

impl ClientRef {
    /// The error that there is no such client.
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
