//! Owns which networks proxies may be in that are trusted to name their clients, and the header that they do it by.

use std::{fmt, net::IpAddr, str::FromStr};

use ipnet::{IpNet, Ipv4Net};

/// The shortest prefixes. What is broader holds strangers: private addresses have /8 (RFC 1918) and /7 (RFC 4193) at the shortest.
const MIN_PREFIX_V4: u8 = 8;
const MIN_PREFIX_V6: u8 = 7;

/// The prefix of `::ffff:0:0/96`, in which IPv4 addresses are written as IPv6.
const MAPPED_PREFIX: u8 = 96;

/// The addresses of some proxies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ProxyNetwork(IpNet);

/// Text that is not the network of some proxies.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum MalformedProxyNetwork {
    /// Neither an address nor a network.
    #[error("must be an IP address or a network, such as `10.0.0.0/8` or `2001:db8::/32`")]
    Syntax,
    /// An address with a prefix that does not cover it.
    #[error("must have zeros after its prefix: `{0}`")]
    HostBits(ProxyNetwork),
    /// So many addresses that strangers have some of them.
    #[error("is so broad that any client could pass for a proxy: name at least /8 of IPv4, /7 of IPv6")]
    TooBroad,
}

/// The header by which proxies name their clients.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ForwardedHeader {
    /// `x-forwarded-for`, which nearly every proxy can write.
    #[default]
    XForwardedFor,
    /// `forwarded` (RFC 7239).
    Forwarded,
}

/// Text that names neither header.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("must be `x-forwarded-for` or `forwarded`")]
pub struct UnknownForwardedHeader;

impl ProxyNetwork {
    /// Whether `address` is in it. `::ffff:a.b.c.d` is the IPv4 address.
    #[must_use]
    pub fn contains(&self, address: IpAddr) -> bool {
        self.0.contains(&address.to_canonical())
    }
}

impl FromStr for ProxyNetwork {
    type Err = MalformedProxyNetwork;

    fn from_str(text: &str) -> Result<Self, MalformedProxyNetwork> {
        let network = match text.parse::<IpAddr>() {
            Ok(address) => IpNet::from(address),
            Err(_) => text.parse::<IpNet>().map_err(|_| MalformedProxyNetwork::Syntax)?,
        };
        if network != network.trunc() {
            return Err(MalformedProxyNetwork::HostBits(Self(network.trunc())));
        }
        let network = canonical(network);
        let min_prefix = if matches!(network, IpNet::V4(_)) { MIN_PREFIX_V4 } else { MIN_PREFIX_V6 };
        if network.prefix_len() < min_prefix {
            Err(MalformedProxyNetwork::TooBroad)
        } else {
            Ok(Self(network))
        }
    }
}

impl fmt::Display for ProxyNetwork {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(formatter)
    }
}

/// `network`, as IPv4 if it consists of IPv4 addresses that are written as IPv6.
fn canonical(network: IpNet) -> IpNet {
    let (IpNet::V6(_), IpAddr::V4(address)) = (network, network.network().to_canonical()) else {
        return network;
    };
    let prefix = network.prefix_len().checked_sub(MAPPED_PREFIX);
    prefix.and_then(|prefix| Ipv4Net::new(address, prefix).ok()).map_or(network, IpNet::V4)
}

impl FromStr for ForwardedHeader {
    type Err = UnknownForwardedHeader;

    fn from_str(text: &str) -> Result<Self, UnknownForwardedHeader> {
        match text {
            "x-forwarded-for" => Ok(Self::XForwardedFor),
            "forwarded" => Ok(Self::Forwarded),
            _ => Err(UnknownForwardedHeader),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_network_is_an_address_or_a_prefix_without_host_bits() {
        for (text, read) in [
            ("10.0.0.0/8", "10.0.0.0/8"),
            ("192.0.2.7", "192.0.2.7/32"),
            ("2001:db8::/32", "2001:db8::/32"),
            ("fd00::1", "fd00::1/128"),
            ("::ffff:10.0.0.0/104", "10.0.0.0/8"),
            ("::ffff:192.0.2.7", "192.0.2.7/32"),
        ] {
            assert_eq!(text.parse::<ProxyNetwork>().unwrap().to_string(), read, "{text}");
        }
        assert_eq!(
            "10.1.2.3/8".parse::<ProxyNetwork>().unwrap_err().to_string(),
            "must have zeros after its prefix: `10.0.0.0/8`"
        );
        for broad in ["0.0.0.0/0", "::/0", "0.0.0.0/1", "2000::/3", "::ffff:0.0.0.0/96"] {
            assert_eq!(broad.parse::<ProxyNetwork>(), Err(MalformedProxyNetwork::TooBroad), "{broad}");
        }
        for junk in [
            "",
            "10.0.0.0/33",
            "10.0.0/8",
            "10.0.0.0/",
            "proxy.example",
            "10.0.0.1:80",
            " 10.0.0.1",
            "fe80::1%1",
        ] {
            assert_eq!(junk.parse::<ProxyNetwork>(), Err(MalformedProxyNetwork::Syntax), "{junk}");
        }
    }

    #[test]
    fn an_ipv4_address_is_in_it_however_it_is_written() {
        for network in ["10.0.0.0/8", "::ffff:10.0.0.0/104"] {
            let network: ProxyNetwork = network.parse().unwrap();
            for (address, is_in) in
                [("10.1.2.3", true), ("::ffff:10.1.2.3", true), ("11.0.0.1", false), ("::10.1.2.3", false)]
            {
                assert_eq!(network.contains(address.parse().unwrap()), is_in, "{address}");
            }
        }
    }
}
