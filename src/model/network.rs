//! Owns the unit by which callers are counted: the network that one host can be assumed to hold.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// What NAT64 puts before an IPv4 address, in the first 96 bits (RFC 6052 section 2.1).
const NAT64: u128 = 0x64_ff9b << 96;

/// Who counts as one: an IPv4 address, or the IPv6 network that a host is given whole (RFC 6177: a /64 is the smallest, a site has a
/// /48).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Network(IpAddr);

impl Network {
    /// The network of `address`: an IPv4 address (also one that is written as IPv6, `::ffff:a.b.c.d`, or as NAT64 has it,
    /// `64:ff9b::a.b.c.d`) itself, of IPv6 the /64; `::1`, which shares its network with nobody, itself.
    ///
    /// NAT64's prefix stands for no private IPv4 address (RFC 6052 section 3.1): whoever has one with such in it may come from anywhere.
    #[must_use]
    pub fn of(address: IpAddr) -> Self {
        match address.to_canonical() {
            IpAddr::V6(Ipv6Addr::LOCALHOST) => Self(address),
            IpAddr::V6(address) => match behind_nat64(address).map(|behind| Self(behind.into())) {
                Some(behind) if !behind.is_private() => behind,
                _ => Self::masked(address, 64),
            },
            v4 @ IpAddr::V4(_) => Self(v4),
        }
    }

    /// The site that it belongs to: of IPv6 the /48, which has a larger share; an IPv4 address is its own.
    #[must_use]
    pub fn site(self) -> Self {
        match self.0 {
            IpAddr::V6(address) => Self::masked(address, 48),
            IpAddr::V4(_) => self,
        }
    }

    /// The site, if it is more than the network itself: an IPv4 address has none. (The first /64 of a /48 begins as the /48 does.)
    #[must_use]
    pub fn wider(self) -> Option<Self> {
        self.0.is_ipv6().then(|| self.site())
    }

    /// Whether only a private network has such addresses (RFC 1918, 3927, 4193, 6598): a proxy in front, and with it everybody who
    /// comes through it, may have one.
    #[must_use]
    pub const fn is_private(self) -> bool {
        match self.0 {
            IpAddr::V4(address) => {
                let [first, second, ..] = address.octets();
                let is_shared = first == 100 && second & 0xc0 == 64;
                address.is_private() || address.is_loopback() || address.is_link_local() || is_shared
            }
            IpAddr::V6(address) => {
                address.is_loopback() || address.is_unique_local() || address.is_unicast_link_local()
            }
        }
    }

    fn masked(address: Ipv6Addr, bits: u32) -> Self {
        let mask = u128::MAX << (128 - bits);
        Self(IpAddr::V6(Ipv6Addr::from_bits(address.to_bits() & mask)))
    }
}

/// The IPv4 address that NAT64 has put into `address`, if it has.
fn behind_nat64(address: Ipv6Addr) -> Option<Ipv4Addr> {
    let [.., a, b, c, d] = address.octets();
    (address.to_bits() >> 32 == NAT64 >> 32).then(|| Ipv4Addr::from([a, b, c, d]))
}

impl std::fmt::Display for Network {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.0.fmt(formatter)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn network(address: &str) -> String {
        Network::of(address.parse().unwrap()).to_string()
    }

    #[test]
    fn an_ipv4_address_is_one_however_it_is_written() {
        assert_eq!(network("192.0.2.1"), "192.0.2.1");
        assert_eq!(network("::ffff:192.0.2.1"), "192.0.2.1");
        assert_eq!(network("64:ff9b::192.0.2.1"), "192.0.2.1");
        assert_eq!(network("64:ff9b::10.0.0.1"), "64:ff9b::", "which is none of NAT64's");
        assert_eq!((network("::1"), network("::2")), ("::1".to_owned(), "::".to_owned()));
        assert_eq!(network("64:ff9b:1::192.0.2.1"), "64:ff9b:1::", "a prefix of one network's own");
        assert_eq!(Network::of("192.0.2.1".parse().unwrap()).site().to_string(), "192.0.2.1");
    }

    #[test]
    fn private_addresses_are_told_from_those_of_the_internet() {
        for (addresses, is_private) in [
            (
                &[
                    "127.0.0.1",
                    "10.1.2.3",
                    "172.16.0.1",
                    "192.168.1.1",
                    "169.254.1.1",
                    "100.64.0.1",
                    "100.127.0.1",
                ][..],
                true,
            ),
            (&["::1", "fd00::1", "fe80::1", "::ffff:10.0.0.1"], true),
            (
                &["100.63.0.1", "100.128.0.1", "192.0.2.1", "8.8.8.8", "2001:db8::1", "::ffff:192.0.2.1"],
                false,
            ),
            // What only looks like a private one: anybody may have it who is told from others by nothing else.
            (&["64:ff9b::10.0.0.1", "64:ff9b::127.0.0.1", "::2", "::", "::10.0.0.1", "::1:0:0:1"], false),
        ] {
            for address in addresses {
                assert_eq!(Network::of(address.parse().unwrap()).is_private(), is_private, "{address}");
            }
        }
    }

    #[test]
    fn of_ipv6_the_network_counts() {
        assert_eq!(network("2001:db8:1:2:3:4:5:6"), "2001:db8:1:2::");
        assert_eq!(Network::of("2001:db8:1:2::1".parse().unwrap()).site().to_string(), "2001:db8:1::");
    }
}
