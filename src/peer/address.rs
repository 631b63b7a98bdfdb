//! Owns the address by which whoever sent a request is known.

use std::net::{IpAddr, SocketAddr};

/// The address of whoever sent a request: an extension of each. `::ffff:a.b.c.d` is the IPv4 address that it stands for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct PeerAddress(IpAddr);

impl PeerAddress {
    /// The address at the other end of a connection.
    pub(crate) const fn of_connection(addr: SocketAddr) -> Self {
        Self(addr.ip().to_canonical())
    }

    /// The address itself.
    pub(crate) const fn ip(self) -> IpAddr {
        self.0
    }
}
