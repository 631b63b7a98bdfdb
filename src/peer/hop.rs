//! Owns the text of one hop in a header of proxies: an address, perhaps with a port.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// The address that `text` is: `192.0.2.1`, `192.0.2.1:80`, `2001:db8::1`, `[2001:db8::1]` or `[2001:db8::1]:80`. None for everything else,
/// `unknown` and the names of RFC 7239 section 6.3 (`_hidden`) among it.
pub(super) fn address(text: &str) -> Option<IpAddr> {
    if let Some(rest) = text.strip_prefix('[') {
        let (address, rest) = rest.split_once(']')?;
        let is_good = rest.is_empty() || rest.strip_prefix(':').is_some_and(is_port);
        return is_good.then(|| address.parse::<Ipv6Addr>().ok())?.map(IpAddr::V6);
    }
    if let Ok(address) = text.parse() {
        return Some(address);
    }
    let (address, port) = text.split_once(':')?;
    is_port(port).then(|| address.parse::<Ipv4Addr>().ok())?.map(IpAddr::V4)
}

/// Whether `text` is a port, or the name for one that RFC 7239 section 6 allows (`_hidden`).
fn is_port(text: &str) -> bool {
    match text.strip_prefix('_') {
        Some(name) => {
            let mut bytes = name.bytes();
            !name.is_empty() && bytes.all(|byte| byte.is_ascii_alphanumeric() || b"._-".contains(&byte))
        }
        None => text.bytes().all(|byte| byte.is_ascii_digit()) && text.parse::<u16>().is_ok(),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn an_address_is_read_with_and_without_a_port() {
        for (text, read) in [
            ("192.0.2.1", "192.0.2.1"),
            ("192.0.2.1:5678", "192.0.2.1"),
            ("192.0.2.1:_hidden", "192.0.2.1"),
            ("2001:db8::1", "2001:db8::1"),
            ("[2001:db8::1]", "2001:db8::1"),
            ("[2001:db8::1]:65535", "2001:db8::1"),
            ("::ffff:192.0.2.1", "::ffff:192.0.2.1"),
            ("[::ffff:c000:201]:80", "::ffff:192.0.2.1"),
        ] {
            assert_eq!(address(text), Some(read.parse().unwrap()), "{text}");
        }
    }

    #[test]
    fn nothing_else_is_an_address() {
        for text in [
            "",
            " 192.0.2.1",
            "192.0.2",
            "192.0.2.256",
            "192.0.2.01",
            "0x7f.1",
            "192.0.2.1:",
            "192.0.2.1:65536",
            "192.0.2.1:+80",
            "192.0.2.1:80:80",
            "192.0.2.1:_",
            "192.0.2.1/32",
            "[192.0.2.1]",
            "[2001:db8::1",
            "[2001:db8::1]80",
            "[2001:db8::1]:",
            "2001:db8::1]",
            "fe80::1%eth0",
            "[fe80::1%1]:80",
            "[[::1]]",
            "[]",
            "unknown",
            "_hidden",
            "localhost",
            "\"192.0.2.1\"",
            "192.0.2.1 192.0.2.2",
        ] {
            assert_eq!(address(text), None, "{text}");
        }
    }

    proptest! {
        #[test]
        fn every_address_is_read_as_it_is_written(ip in any::<IpAddr>(), port in any::<u16>()) {
            prop_assert_eq!(address(&ip.to_string()), Some(ip));
            prop_assert_eq!(address(&std::net::SocketAddr::new(ip, port).to_string()), Some(ip));
        }

        #[test]
        fn no_text_panics(text in any::<String>(), like in r"[\[\]0-9a-f:._%]{0,24}") {
            let _ = (address(&text), address(&like));
        }
    }
}
