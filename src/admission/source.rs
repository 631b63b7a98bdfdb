//! Owns where a call comes from: the peer that it is counted for, and the connection that brings it.

use http::Extensions;

use super::ConnectionHandle;
use crate::model::Network;

/// Where a call comes from.
#[derive(Clone, Debug)]
pub(crate) struct CallSource {
    peer: Option<Network>,
    /// The peer that named the one above, if that is another.
    asker: Option<Network>,
    /// None only where no connection brings calls, as in a test of parts: then none can be counted or closed.
    connection: Option<ConnectionHandle>,
}

impl CallSource {
    /// A call of `peer`, by the connection that `extensions` name.
    pub(crate) fn of(peer: Option<Network>, extensions: &Extensions) -> Self {
        Self { peer, asker: None, connection: extensions.get().cloned() }
    }

    /// The same connection, on behalf of `peer`, whom its peer names and may name.
    pub(crate) fn on_behalf_of(&self, peer: Option<Network>) -> Self {
        let asker = if peer.is_some() { self.peer } else { None };
        Self { peer: peer.or(self.peer), asker, connection: self.connection.clone() }
    }

    pub(super) const fn peer(&self) -> Option<Network> {
        self.peer
    }

    pub(super) const fn asker(&self) -> Option<Network> {
        self.asker
    }

    pub(super) const fn connection(&self) -> Option<&ConnectionHandle> {
        self.connection.as_ref()
    }
}
