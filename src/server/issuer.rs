//! Owns who issues the tokens where nobody has said it, and a warning where nobody finds this service by that name.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use http::Uri;

use super::listening::Bound;
use crate::config::{Config, ConfigError};

/// Has the issuer of `config` follow the address that `http` has taken, unless it is set, and warns if whoever follows it finds nobody.
pub(super) fn settle(config: &mut Config, http: &Bound) -> Result<(), ConfigError> {
    let addr = http.local_addr()?;
    config.tokens.issuer = Some(config.issuer_at(addr));
    let issuer = config.tokens.issuer();
    if let Some(problem) = problem(issuer, addr, config.tls.tls_cert.is_some()) {
        tracing::warn!(issuer, http_addr = %addr, "nobody who follows the issuer finds this service: {problem}; set --issuer");
    }
    Ok(())
}

/// Why nobody finds by `issuer` what is served at `addr`, by TLS if it `speaks_tls`; none where somebody may. A name may lead anywhere, as
/// to a proxy in front.
pub(crate) fn problem(issuer: &str, addr: SocketAddr, speaks_tls: bool) -> Option<&'static str> {
    let uri: Uri = issuer.parse().ok()?;
    let is_https = uri.scheme_str() == Some("https");
    if speaks_tls && !is_https {
        return Some("it is no https URL, though this service speaks TLS");
    }
    let host = uri.host()?.trim_start_matches('[').trim_end_matches(']');
    let is_localhost = host.eq_ignore_ascii_case("localhost");
    let ip = if is_localhost { Some(IpAddr::V4(Ipv4Addr::LOCALHOST)) } else { host.parse().ok() };
    let ip: IpAddr = ip.map(|ip: IpAddr| ip.to_canonical())?;
    if ip.is_unspecified() {
        return Some("its host is an address to listen at, and none to ask at");
    }
    if !ip.is_loopback() {
        return None;
    }
    if is_https && !speaks_tls && uri.port_u16() == Some(addr.port()) {
        return Some("it is an https URL of the very port of --http-addr, which speaks no TLS");
    }
    // On this machine a proxy may have another port.
    let is_local = addr.ip().to_canonical().is_loopback();
    (!is_local).then_some("it leads each machine to itself, and other machines reach --http-addr")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_issuer_that_leads_to_nobody_is_told_and_a_name_is_believed() {
        let problem = |issuer, addr: &str, tls| problem(issuer, addr.parse().unwrap(), tls);
        for (issuer, addr, tls) in [
            ("http://127.0.0.1:8080", "127.0.0.1:8080", false),
            ("http://localhost:8080", "127.0.0.1:8080", false),
            ("http://[::1]:8080", "[::1]:8080", false),
            ("https://127.0.0.1:8443", "127.0.0.1:8443", true),
            // A proxy in front has another port, and speaks TLS.
            ("http://127.0.0.1:8080", "127.0.0.1:9090", false),
            ("https://id.example", "127.0.0.1:8080", false),
            ("https://id.example", "0.0.0.0:8080", false),
            ("http://signet:8080", "0.0.0.0:8080", false),
            ("http://10.0.0.1:8080", "0.0.0.0:8080", false),
        ] {
            assert_eq!(problem(issuer, addr, tls), None, "{issuer} at {addr}");
        }
        for (issuer, addr, tls, told) in [
            ("http://127.0.0.1:8080", "0.0.0.0:8080", false, "each machine to itself"),
            ("http://localhost:8080", "0.0.0.0:8080", false, "each machine to itself"),
            ("http://0.0.0.0:8080", "0.0.0.0:8080", false, "none to ask at"),
            ("http://id.example", "0.0.0.0:8080", true, "no https URL"),
            ("https://127.0.0.1:8080", "127.0.0.1:8080", false, "speaks no TLS"),
        ] {
            let problem = problem(issuer, addr, tls).unwrap_or_else(|| panic!("{issuer} at {addr}"));
            assert!(problem.contains(told), "{issuer} at {addr}: {problem}");
        }
    }
}
