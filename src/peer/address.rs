//! Owns the address that counts as a request's sender.

use std::net::{IpAddr, SocketAddr};

use crate::model::Network;

/// Who is at the other end of a connection, as far as addresses tell.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct ConnectionPeer {
    address: IpAddr,
    is_trusted_proxy: bool,
}

impl ConnectionPeer {
    /// The peer with the socket address `addr`. `::ffff:a.b.c.d` is the IPv4 address.
    pub(super) const fn new(addr: SocketAddr, is_trusted_proxy: bool) -> Self {
        Self { address: addr.ip().to_canonical(), is_trusted_proxy }
    }

    /// Its address.
    pub(crate) const fn address(self) -> IpAddr {
        self.address
    }

    /// The network that it counts under.
    pub(crate) fn network(self) -> Network {
        Network::of(self.address)
    }

    /// Whether it may name the clients for whom it sends requests.
    pub(crate) const fn is_trusted_proxy(self) -> bool {
        self.is_trusted_proxy
    }
}

/// The address of whoever sent a request: an extension of each request. It is the connection's peer, or the client that a trusted proxy
/// has named.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct PeerAddress {
    connection: ConnectionPeer,
    named: Option<IpAddr>,
    /// Whether the address that counts is a trusted proxy's.
    is_trusted_proxy: bool,
}

impl PeerAddress {
    /// A request of `connection` itself.
    pub(super) const fn of(connection: ConnectionPeer) -> Self {
        Self { connection, named: None, is_trusted_proxy: connection.is_trusted_proxy }
    }

    /// The same, for `named`, whom it has named and which is another trusted proxy or not.
    pub(super) fn naming(self, named: IpAddr, is_trusted_proxy: bool) -> Self {
        Self { named: Some(named.to_canonical()), is_trusted_proxy, ..self }
    }

    /// Whether a trusted proxy has sent it, and on nobody's behalf: so it may tell whom it asks for.
    pub(crate) const fn is_trusted_proxy(self) -> bool {
        self.is_trusted_proxy
    }

    /// Whether it came by a connection of a trusted proxy, on whosever behalf.
    pub(crate) const fn came_by_trusted_proxy(self) -> bool {
        self.connection.is_trusted_proxy
    }

    /// The address that counts, for sessions, the audit log and shares alike.
    pub(crate) fn ip(self) -> IpAddr {
        self.named.unwrap_or(self.connection.address)
    }

    /// The network that the request counts under.
    pub(crate) fn network(self) -> Network {
        Network::of(self.ip())
    }

    /// The peer of the connection.
    #[cfg(any(fuzzing, test))]
    pub(crate) const fn connection(self) -> ConnectionPeer {
        self.connection
    }

    /// Whether the address is one that a trusted proxy has named. If not, it is the connection's peer, be that a proxy or not.
    #[cfg(any(fuzzing, test))]
    pub(crate) const fn is_named_by_proxy(self) -> bool {
        self.named.is_some()
    }
}
