//! Owns the host names by which a server is asked: how a request says them, and which of them are allowed.

use std::{
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
    str::FromStr,
};

use super::DnsName;

/// The host that a request asks for, as `Host` and `:authority` say it (RFC 9110 section 7.2), without its port.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Host {
    /// An IP address: no name was looked up to find it.
    Address,
    /// A name, without the dot of the root at its end.
    Name(DnsName),
}

/// A host name that is allowed, or all names below one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum HostPattern {
    /// `id.example`.
    Name(DnsName),
    /// `*.id.example`: `a.id.example` and `a.b.id.example`, but not `id.example` itself.
    Below(DnsName),
}

/// Text that is not a host with an optional port.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("must be an IP address or a host name, with or without a port")]
pub struct MalformedHost;

/// Text that is not a pattern of host names.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "must be a host name such as `signet.example`, or `*.example` for all names below one, without a scheme and a port"
)]
pub struct MalformedHostPattern;

/// The hosts that requests may ask for.
#[derive(Clone, Debug)]
pub struct AllowedHosts(Vec<HostPattern>);

/// The one name that leads each machine to itself.
pub const LOCALHOST: &str = "localhost";

/// Whether `host`, a name or an address without a port, is this machine and can be no other.
#[must_use]
pub fn is_loopback(host: &str) -> bool {
    let literal = host.strip_prefix('[').and_then(|rest| rest.strip_suffix(']'));
    let address = literal.unwrap_or(host).parse::<IpAddr>();
    address.is_ok_and(|ip| ip.to_canonical().is_loopback()) || host.eq_ignore_ascii_case(LOCALHOST)
}

impl FromStr for Host {
    type Err = MalformedHost;

    fn from_str(text: &str) -> Result<Self, MalformedHost> {
        let (host, port) = if let Some(rest) = text.strip_prefix('[') {
            let (address, port) = rest.split_once(']').ok_or(MalformedHost)?;
            address.parse::<Ipv6Addr>().map_err(|_| MalformedHost)?;
            (None, port)
        } else {
            let (host, port) = text.split_at(text.find(':').unwrap_or(text.len()));
            (Some(host), port)
        };
        // RFC 3986 section 3.2.3: the digits may be missing.
        let digits = port.strip_prefix(':').unwrap_or(port);
        let is_port = digits.is_empty() || digits.bytes().all(|byte| byte.is_ascii_digit());
        if !is_port || (!digits.is_empty() && (digits.len() == port.len() || digits.parse::<u16>().is_err()))
        {
            return Err(MalformedHost);
        }
        match host {
            None => Ok(Self::Address),
            Some(host) if host.parse::<Ipv4Addr>().is_ok() => Ok(Self::Address),
            Some(host) => {
                let name = host.strip_suffix('.').unwrap_or(host);
                name.parse().map(Self::Name).map_err(|_| MalformedHost)
            }
        }
    }
}

impl FromStr for HostPattern {
    type Err = MalformedHostPattern;

    fn from_str(text: &str) -> Result<Self, MalformedHostPattern> {
        let pattern = match text.strip_prefix("*.") {
            Some(suffix) => suffix.parse().map(Self::Below),
            None => text.parse().map(Self::Name),
        };
        pattern.map_err(|_| MalformedHostPattern)
    }
}

impl HostPattern {
    fn matches(&self, name: &DnsName) -> bool {
        match self {
            Self::Name(allowed) => name == allowed,
            Self::Below(suffix) => {
                name.as_str().strip_suffix(suffix.as_str()).is_some_and(|rest| rest.ends_with('.'))
            }
        }
    }
}

impl AllowedHosts {
    /// The hosts of `patterns`, and every IP address.
    #[must_use]
    pub const fn new(patterns: Vec<HostPattern>) -> Self {
        Self(patterns)
    }

    /// Whether a request may ask for `host`.
    ///
    /// An IP address always may: DNS rebinding, where a page's own name is made to lead here, takes a name.
    #[must_use]
    pub fn allow(&self, host: &Host) -> bool {
        match host {
            Host::Address => true,
            Host::Name(name) => self.0.iter().any(|pattern| pattern.matches(name)),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn hosts(patterns: &[&str]) -> AllowedHosts {
        AllowedHosts::new(patterns.iter().map(|pattern| pattern.parse().unwrap()).collect())
    }

    fn allowed(hosts: &AllowedHosts, host: &str) -> bool {
        host.parse::<Host>().is_ok_and(|host| hosts.allow(&host))
    }

    #[test]
    fn a_host_is_read_with_its_port_in_any_case_and_with_the_dot_of_the_root() {
        let name = Ok(Host::Name("localhost".parse().unwrap()));
        for text in
            ["localhost", "localhost:8089", "LocalHost:0", "localhost.", "localhost.:80", "localhost:"]
        {
            assert_eq!(text.parse(), name, "{text}");
        }
        for text in
            ["127.0.0.1", "10.0.0.1:8089", "[::1]", "[::1]:8089", "[2001:DB8::1]:", "[::ffff:10.0.0.1]:1"]
        {
            assert_eq!(text.parse(), Ok(Host::Address), "{text}");
        }
    }

    #[test]
    fn a_host_is_loopback_if_it_leads_to_this_machine_alone() {
        for local in ["localhost", "LOCALHOST", "127.0.0.1", "127.8.9.1", "::1", "[::1]", "::ffff:127.0.0.1"]
        {
            assert!(is_loopback(local), "{local}");
        }
        for other in ["id.example", "0.0.0.0", "10.0.0.1", "localhost.example", "[localhost]", "[::1", ""] {
            assert!(!is_loopback(other), "{other}");
        }
    }

    #[test]
    fn what_is_no_host_is_none() {
        for text in [
            "",
            ":",
            ":80",
            ".",
            "..",
            "localhost..",
            ".localhost",
            " localhost",
            "localhost ",
            "localhost:x",
            "localhost:-1",
            "localhost:+1",
            "localhost:65536",
            "localhost:80:80",
            "localhost/",
            "localhost#",
            "user@localhost",
            "evil.example,localhost",
            "evil.example localhost",
            "local\u{131}host",
            "local%68ost",
            "*.svc",
            "a_b.example",
            "::1",
            "[::1",
            "::1]",
            "[::1]80",
            "[::1]:x",
            "[localhost]",
            "[127.0.0.1]",
            "[fe80::1%25eth0]",
            "[v1.x]",
            "127.0.0.1.",
            "127.0.0.1.example.1",
            "127.1",
            "0177.0.0.1",
            "2130706433",
            "256.0.0.1",
            "http://localhost",
        ] {
            assert_eq!(text.parse::<Host>(), Err(MalformedHost), "{text:?}");
        }
    }

    #[test]
    fn names_are_allowed_as_they_are_listed_and_addresses_always() {
        let hosts = hosts(&["localhost", "Id.Example", "*.svc", "*.svc.cluster.local"]);
        for host in [
            "localhost:8089",
            "LOCALHOST",
            "id.example",
            "ID.example.:443",
            "signet.identity.svc",
            "signet.identity.svc.cluster.local.:8089",
            "192.0.2.1",
            "[2001:db8::1]:8089",
        ] {
            assert!(allowed(&hosts, host), "{host}");
        }
        for host in [
            "evil.example",
            "a.localhost",
            "localhost.evil.example",
            "a.id.example",
            "xid.example",
            "svc",
            "xsvc",
            "a.svc.evil.example",
            "svc.cluster.local",
            "a.xsvc.cluster.local",
            "127.0.0.1.evil.example",
            "127-0-0-1.evil.example",
        ] {
            assert!(!allowed(&hosts, host), "{host}");
        }
        assert!(!allowed(&AllowedHosts::new(Vec::new()), "localhost"));
    }

    #[test]
    fn a_pattern_has_one_wildcard_at_its_beginning_or_none() {
        for good in ["signet", "signet.example", "*.example", "*.a-b.example"] {
            assert!(good.parse::<HostPattern>().is_ok(), "{good}");
        }
        for bad in [
            "",
            "*",
            "*.",
            "*example",
            "a.*.example",
            "*.*.example",
            "a:80",
            "http://a",
            "127.0.0.1",
            "a.",
            "a b",
        ] {
            assert_eq!(bad.parse::<HostPattern>(), Err(MalformedHostPattern), "{bad:?}");
        }
    }

    proptest! {
        #[test]
        fn no_text_is_read_as_a_name_that_it_does_not_begin_with(text in r"[a-c.@:/%\[\]# ]{0,12}") {
            if let Ok(Host::Name(name)) = text.parse() {
                prop_assert!(text.starts_with(name.as_str()));
                let rest = &text[name.as_str().len()..];
                prop_assert!(rest.is_empty() || rest == "." || rest == ":" || rest == ".:", "{text:?}");
            }
        }
    }
}
