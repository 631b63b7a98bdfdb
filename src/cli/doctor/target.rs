//! Owns what is asked: a URL, and by which name whoever is there must show itself.

use std::{fmt, net::SocketAddr, str::FromStr};

use http::Uri;

use crate::model::is_loopback;

/// What is asked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Target {
    /// Letter for letter as it was said.
    text: String,
    pub(super) speaks_tls: bool,
    /// Where a connection goes.
    pub(super) host: String,
    pub(super) port: u16,
    /// By which name: what TLS and `Host` say.
    pub(super) name: String,
    /// Without a slash at its end.
    path: String,
}

impl FromStr for Target {
    type Err = String;

    /// Reads an http or https URL.
    fn from_str(text: &str) -> Result<Self, String> {
        let problem = || "must be an http or https URL without query, fragment or user".to_owned();
        let uri: Uri = text.parse().map_err(|_| problem())?;
        let speaks_tls = match uri.scheme_str() {
            Some("https") => true,
            Some("http") => false,
            _ => return Err(problem()),
        };
        if uri.query().is_some() || text.contains(['#', '@']) {
            return Err(problem());
        }
        let host = uri.host().filter(|host| !host.is_empty()).ok_or_else(problem)?;
        let host = host.trim_start_matches('[').trim_end_matches(']').to_owned();
        let port = uri.port_u16().unwrap_or(if speaks_tls { 443 } else { 80 });
        let path = uri.path().trim_end_matches('/').to_owned();
        Ok(Self { text: text.to_owned(), speaks_tls, name: host.clone(), host, port, path })
    }
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl Target {
    /// What is at `addr`, which shows itself by `name`.
    pub(super) fn at(addr: SocketAddr, speaks_tls: bool, name: Option<&str>) -> Self {
        let scheme = if speaks_tls { "https" } else { "http" };
        let host = addr.ip().to_string();
        let name = name.map_or_else(|| host.clone(), str::to_owned);
        let text = format!("{scheme}://{addr}");
        Self { text, speaks_tls, host, port: addr.port(), name, path: String::new() }
    }

    /// Where everything else is that has the same scheme, host and port.
    pub(super) fn origin(&self) -> Self {
        let text = format!("{}://{}", self.scheme(), self.authority());
        Self { text, path: String::new(), ..self.clone() }
    }

    pub(super) const fn scheme(&self) -> &'static str {
        if self.speaks_tls { "https" } else { "http" }
    }

    /// The name and the port, as `Host` says them.
    pub(super) fn authority(&self) -> String {
        let name = if self.name.contains(':') { format!("[{}]", self.name) } else { self.name.clone() };
        match (self.speaks_tls, self.port) {
            (true, 443) | (false, 80) => name,
            (_, port) => format!("{name}:{port}"),
        }
    }

    /// The same host at another port, for people.
    pub(super) fn with_port(&self, port: u16) -> String {
        Self { port, ..self.clone() }.origin().text
    }

    /// Whether it has the scheme, the host and the port of `other`.
    pub(super) fn is_beside(&self, other: &Self) -> bool {
        self.origin().text.eq_ignore_ascii_case(&other.origin().text)
    }

    /// The path of what is at `below` it.
    pub(super) fn below(&self, below: &str) -> String {
        format!("{}{below}", self.path)
    }

    pub(super) fn path(&self) -> &str {
        if self.path.is_empty() { "/" } else { &self.path }
    }

    /// Whether this machine alone can see what is said there.
    pub(super) fn is_loopback(&self) -> bool {
        is_loopback(&self.host)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_url_says_where_to_go_and_whom_to_expect() {
        let read = |text: &str| text.parse::<Target>();
        let target = read("https://id.example/a/").unwrap();
        assert_eq!((target.host.as_str(), target.port, target.path()), ("id.example", 443, "/a"));
        assert_eq!(
            (target.to_string().as_str(), target.authority().as_str()),
            ("https://id.example/a/", "id.example")
        );
        assert_eq!(
            (target.origin().to_string(), target.below("/x")),
            ("https://id.example".to_owned(), "/a/x".to_owned())
        );
        let target = read("http://[::1]:8080").unwrap();
        assert_eq!((target.host.as_str(), target.authority().as_str()), ("::1", "[::1]:8080"));
        assert!(target.is_loopback() && !read("http://10.0.0.1").unwrap().is_loopback());
        let own = Target::at("127.0.0.1:50051".parse().unwrap(), true, Some("id.example"));
        assert_eq!(
            (own.to_string().as_str(), own.authority().as_str()),
            ("https://127.0.0.1:50051", "id.example:50051")
        );
        for bad in [
            "",
            "id.example:443",
            "ftp://id.example",
            "https://",
            "https://a@id.example",
            "https://id.example?x",
        ] {
            assert!(read(bad).is_err(), "{bad}");
        }
    }
}
