//! Owns which peers are proxies that may name their clients, and by which header.

use std::net::{IpAddr, SocketAddr};

use http::HeaderMap;

use super::{
    address::{ConnectionPeer, PeerAddress},
    forwarded, x_forwarded_for,
};
use crate::model::{ForwardedHeader, ProxyNetwork};

const FORWARDED: &str = "forwarded";

const X_FORWARDED_FOR: &str = "x-forwarded-for";

/// The maximum number of entries that are read for one request: no chain of proxies is longer.
const MAX_HOPS: usize = 32;

/// The networks of proxies that may name their clients.
#[derive(Clone, Debug, Default)]
pub(crate) struct TrustedProxies {
    networks: Vec<ProxyNetwork>,
    header: ForwardedHeader,
}

impl TrustedProxies {
    /// The peers in `networks` may name their clients in `header`.
    pub(crate) const fn new(networks: Vec<ProxyNetwork>, header: ForwardedHeader) -> Self {
        Self { networks, header }
    }

    /// What the address `addr` at the other end of a connection tells.
    pub(crate) fn connection(&self, addr: SocketAddr) -> ConnectionPeer {
        ConnectionPeer::new(addr, self.are(addr.ip()))
    }

    /// Who sent a request with `headers` by a connection of `peer`.
    ///
    /// The header is read from a trusted proxy alone. Its lines are joined in their order and read from the right, for each proxy appends
    /// the address that it has seen itself: so the first address that is no trusted proxy's is one that a trusted proxy has seen, and
    /// whatever stands to its left may be the client's invention. An entry that is no address ends the reading, and the hop before it
    /// counts.
    pub(crate) fn sender(&self, peer: ConnectionPeer, headers: &HeaderMap) -> PeerAddress {
        if !peer.is_trusted_proxy() {
            return PeerAddress::of(peer);
        }
        let named = match self.header {
            ForwardedHeader::XForwardedFor => {
                let lines = headers.get_all(X_FORWARDED_FOR).iter().rev();
                self.furthest(lines.flat_map(|line| x_forwarded_for::from_the_right(line.as_bytes())))
            }
            ForwardedHeader::Forwarded => {
                let lines = headers.get_all(FORWARDED).iter().rev();
                self.furthest(lines.flat_map(|line| forwarded::from_the_right(line.as_bytes())))
            }
        };
        let own = PeerAddress::of(peer);
        named.map_or(own, |named| own.naming(named, self.are(named)))
    }

    /// Of `hops`, the nearest first, the one that counts. None for one that cannot be read.
    fn furthest(&self, hops: impl Iterator<Item = Option<IpAddr>>) -> Option<IpAddr> {
        let mut furthest = None;
        for hop in hops.take(MAX_HOPS) {
            let Some(hop) = hop else { break };
            furthest = Some(hop);
            if !self.are(hop) {
                break;
            }
        }
        furthest
    }

    fn are(&self, address: IpAddr) -> bool {
        self.networks.iter().any(|network| network.contains(address))
    }
}

/// What must hold for any line `forged` of `x-forwarded-for`: the line that the proxy adds counts.
#[cfg(any(fuzzing, test))]
pub(crate) fn fuzz_x_forwarded_for(forged: &[u8]) {
    fuzz(ForwardedHeader::XForwardedFor, X_FORWARDED_FOR, forged, "192.0.2.1");
}

/// What must hold for any line `forged` of `forwarded`: the line that the proxy adds counts.
#[cfg(any(fuzzing, test))]
pub(crate) fn fuzz_forwarded(forged: &[u8]) {
    fuzz(ForwardedHeader::Forwarded, FORWARDED, forged, "for=192.0.2.1;host=\"a,b\"");
}

#[cfg(any(fuzzing, test))]
fn fuzz(header: ForwardedHeader, name: &'static str, forged: &[u8], own: &'static str) {
    let Ok(forged) = http::HeaderValue::from_bytes(forged) else { return };
    let networks = ["10.0.0.0/8", "2001:db8::/32"].into_iter().filter_map(|network| network.parse().ok());
    let proxies = TrustedProxies::new(networks.collect(), header);
    let connection = proxies.connection(([10, 0, 0, 1], 1).into());
    let mut headers = HeaderMap::new();
    headers.append(name, forged);
    let alone = proxies.sender(connection, &headers);
    assert!(alone.is_named_by_proxy() || alone.ip() == connection.address());
    headers.append(name, http::HeaderValue::from_static(own));
    assert_eq!(proxies.sender(connection, &headers).ip(), IpAddr::from([192, 0, 2, 1]));
}

#[cfg(test)]
mod tests {
    use http::{HeaderName, HeaderValue};
    use proptest::prelude::*;

    use super::*;

    const X_FORWARDED: HeaderName = HeaderName::from_static(X_FORWARDED_FOR);
    const RFC_7239: HeaderName = HeaderName::from_static(FORWARDED);

    fn proxies(header: ForwardedHeader) -> TrustedProxies {
        let networks = ["10.0.0.0/8", "127.0.0.1", "2001:db8:ff::/48"];
        TrustedProxies::new(networks.map(|network| network.parse().unwrap()).to_vec(), header)
    }

    /// The address that counts of a request of `peer` with these header lines, and whether a proxy has named it.
    fn sender(header: ForwardedHeader, peer: &str, lines: &[(HeaderName, &[u8])]) -> (String, bool) {
        let proxies = proxies(header);
        let mut headers = HeaderMap::new();
        for (name, line) in lines {
            headers.append(name, HeaderValue::from_bytes(line).unwrap());
        }
        let connection = proxies.connection(SocketAddr::new(peer.parse().unwrap(), 1));
        let sender = proxies.sender(connection, &headers);
        assert_eq!(sender.connection(), connection);
        (sender.ip().to_string(), sender.is_named_by_proxy())
    }

    /// The same, of a trusted proxy; none if the request counts as the proxy's own.
    fn named(header: ForwardedHeader, lines: &[&str]) -> Option<String> {
        let name = if header == ForwardedHeader::Forwarded { RFC_7239 } else { X_FORWARDED };
        let lines: Vec<_> = lines.iter().map(|line| (name.clone(), line.as_bytes())).collect();
        let (address, is_named) = sender(header, "10.0.0.1", &lines);
        assert!(is_named || address == "10.0.0.1", "{address}");
        is_named.then_some(address)
    }

    fn x_forwarded_for(lines: &[&str]) -> Option<String> {
        named(ForwardedHeader::XForwardedFor, lines)
    }

    fn forwarded(lines: &[&str]) -> Option<String> {
        named(ForwardedHeader::Forwarded, lines)
    }

    #[test]
    fn the_first_hop_from_the_right_that_is_not_trusted_counts() {
        for (lines, expected) in [
            (&["192.0.2.1"][..], Some("192.0.2.1")),
            (&["198.51.100.9, 192.0.2.1"], Some("192.0.2.1")),
            (&["198.51.100.9,192.0.2.1,10.9.9.9"], Some("192.0.2.1")),
            (&["10.1.1.1, 192.0.2.1,\t127.0.0.1 "], Some("192.0.2.1")),
            (&["192.0.2.1:5678, 10.2.2.2:443"], Some("192.0.2.1")),
            (&["2001:db8:1::7, [2001:db8:ff::1]:443"], Some("2001:db8:1::7")),
            (&["192.0.2.1, ::ffff:10.2.2.2"], Some("192.0.2.1")),
            (&["::ffff:192.0.2.1"], Some("192.0.2.1")),
            (&["10.3.3.3, 10.2.2.2"], Some("10.3.3.3")),
            // Several lines are one list.
            (&["198.51.100.9", "192.0.2.1"], Some("192.0.2.1")),
            (&["192.0.2.1", "10.2.2.2", "10.3.3.3, 10.4.4.4"], Some("192.0.2.1")),
            // Junk to the left of what counts is not read.
            (&["junk, \"unclosed, 192.0.2.1"], Some("192.0.2.1")),
            (&["", ",,,, 192.0.2.1"], Some("192.0.2.1")),
            // An entry that is no address ends the reading.
            (&["192.0.2.1, unknown, 10.2.2.2"], Some("10.2.2.2")),
            (&["192.0.2.1, , 10.2.2.2"], Some("10.2.2.2")),
            (&["192.0.2.1", "", "10.2.2.2"], Some("10.2.2.2")),
            (&["192.0.2.1, junk"], None),
            (&["192.0.2.1,"], None),
            (&["192.0.2.1", ""], None),
            (&["192.0.2.1 10.2.2.2"], None),
            (&[""], None),
            (&[], None),
        ] {
            assert_eq!(x_forwarded_for(lines).as_deref(), expected, "{lines:?}");
        }
    }

    #[test]
    fn forwarded_is_read_as_rfc_7239_has_it() {
        for (lines, expected) in [
            (&["for=192.0.2.43"][..], Some("192.0.2.43")),
            (&["For=\"[2001:db8:cafe::17]:4711\""], Some("2001:db8:cafe::17")),
            (&["for=192.0.2.60;proto=http;by=203.0.113.43"], Some("192.0.2.60")),
            (&["proto=https; FOR=\"192.0.2.60:_p.1\" ;host=id.example"], Some("192.0.2.60")),
            (&["for=198.51.100.9, for=192.0.2.43, for=10.1.1.1"], Some("192.0.2.43")),
            (&["for=198.51.100.9", "for=192.0.2.43", "for=\"10.1.1.1:80\";by=_proxy"], Some("192.0.2.43")),
            (&[";for=192.0.2.43;"], Some("192.0.2.43")),
            (&["for=\"\\1\\92.0.2.43\""], Some("192.0.2.43")),
            // Commas and quotation marks in quoted values end nothing.
            (&["for=192.0.2.43;host=\"a, for=198.51.100.9\""], Some("192.0.2.43")),
            (&["for=192.0.2.43;host=\"a\\\", for=198.51.100.9\""], Some("192.0.2.43")),
            (&["for=192.0.2.43;host=\"a\\\\\""], Some("192.0.2.43")),
            // What a client leaves open to the left does not reach what a proxy appends.
            (&["for=\"198.51.100.9, for=192.0.2.43"], Some("192.0.2.43")),
            (&["for=\"198.51.100.9;x=\"\"\"", "for=192.0.2.43;by=\"[::1]:1\""], Some("192.0.2.43")),
            (&["for=198.51.100.9;x=\"\\", "for=192.0.2.43"], Some("192.0.2.43")),
            // What is no address ends the reading.
            (&["for=192.0.2.43, for=unknown, for=10.1.1.1"], Some("10.1.1.1")),
            (&["for=192.0.2.43, for=_hidden, for=10.1.1.1"], Some("10.1.1.1")),
            (&["for=192.0.2.43, by=10.2.2.2, for=10.1.1.1"], Some("10.1.1.1")),
            (&["for=192.0.2.43, , for=10.1.1.1"], Some("10.1.1.1")),
            (&["for=unknown"], None),
            (&["for=\"_gazonk\""], None),
            (&["for=192.0.2.43;for=192.0.2.43"], None),
            (&["for=\"192.0.2.43"], None),
            (&["for=192.0.2.43\""], None),
            (&["for=\"192.0.2.43\"x"], None),
            (&["for=192.0.2.43;by"], None),
            (&["for = 192.0.2.43"], None),
            (&["192.0.2.43"], None),
            (&["host=x"], None),
            (&[""], None),
            (&[], None),
        ] {
            assert_eq!(forwarded(lines).as_deref(), expected, "{lines:?}");
        }
    }

    #[test]
    fn the_other_header_is_ignored() {
        let lines: [(HeaderName, &[u8]); 2] = [(X_FORWARDED, b"192.0.2.1"), (RFC_7239, b"for=192.0.2.2")];
        for (header, expected) in
            [(ForwardedHeader::XForwardedFor, "192.0.2.1"), (ForwardedHeader::Forwarded, "192.0.2.2")]
        {
            assert_eq!(sender(header, "10.0.0.1", &lines), (expected.to_owned(), true));
        }
        let other = (ForwardedHeader::XForwardedFor, &lines[1..]);
        assert_eq!(sender(other.0, "10.0.0.1", other.1), ("10.0.0.1".to_owned(), false));
    }

    #[test]
    fn nothing_is_read_from_peers_that_are_not_trusted() {
        let lines: [(HeaderName, &[u8]); 2] = [(X_FORWARDED, b"192.0.2.1"), (RFC_7239, b"for=192.0.2.2")];
        for header in [ForwardedHeader::XForwardedFor, ForwardedHeader::Forwarded] {
            for peer in ["11.0.0.1", "127.0.0.2", "2001:db8:fe::1", "192.0.2.9"] {
                assert_eq!(sender(header, peer, &lines), (peer.to_owned(), false));
            }
            for proxy in ["::ffff:10.0.0.1", "2001:db8:ff::9", "127.0.0.1"] {
                assert!(sender(header, proxy, &lines).1, "{proxy}");
            }
        }
        let nobody = TrustedProxies::default();
        let peer = nobody.connection("[::ffff:10.0.0.1]:1".parse().unwrap());
        assert_eq!((peer.address().to_string().as_str(), peer.is_trusted_proxy()), ("10.0.0.1", false));
    }

    #[test]
    fn a_long_chain_is_read_to_a_bound() {
        let hops: Vec<String> = (0..=MAX_HOPS).rev().map(|hop| format!("10.1.0.{hop}")).collect();
        assert_eq!(x_forwarded_for(&[&hops.join(",")]), Some(format!("10.1.0.{}", MAX_HOPS - 1)));
    }

    proptest! {
        #[test]
        fn whatever_a_client_writes_its_own_address_counts(
            forged in r#"[0-9a-f.:,;=" \\\[\]for]{0,60}"#,
            as_line in any::<bool>(),
        ) {
            for (header, own) in [
                (ForwardedHeader::XForwardedFor, "192.0.2.1"),
                (ForwardedHeader::Forwarded, "for=192.0.2.1;host=\"a,\\\"b\""),
            ] {
                let joined = format!("{forged}, {own}");
                let lines = if as_line { &[forged.as_str(), own][..] } else { &[joined.as_str()] };
                let found = named(header, lines);
                prop_assert_eq!(found.as_deref(), Some("192.0.2.1"), "{:?}", lines);
            }
        }

        #[test]
        fn no_header_panics(
            line in proptest::collection::vec(any::<u8>().prop_filter("a header's", |byte| *byte >= 32 && *byte != 127), 0..80),
            like in r#"((for|by)?[=,;"\\]{0,3}[0-9.:\[\]]{0,4}){0,12}"#,
        ) {
            for line in [line.as_slice(), like.as_bytes()] {
                for (header, name) in
                    [(ForwardedHeader::XForwardedFor, X_FORWARDED), (ForwardedHeader::Forwarded, RFC_7239)]
                {
                    sender(header, "10.0.0.1", &[(name.clone(), line), (name, line)]);
                }
            }
        }
    }
}
