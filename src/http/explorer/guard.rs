//! Owns whose requests the explorer answers: those that no proxy has published, for names that lead to this service alone; and which page
//! is its own.

use std::sync::Arc;

use axum::{
    extract::{Request, State},
    http::{self, HeaderMap, header},
    middleware::Next,
    response::Response,
};

use crate::{
    http::{hosts::check_hosts, refusal::Refusal},
    model::{AllowedHosts, Error},
};

/// How the names of headers begin by which proxies tell for whom they ask, beside `Forwarded` and `Via`.
const FORWARDED_PREFIX: &str = "x-forwarded-";

/// Decides whose requests are answered. Clones share it.
#[derive(Clone, Debug)]
pub(crate) struct ExplorerGuard(Arc<Rules>);

#[derive(Debug)]
struct Rules {
    hosts: AllowedHosts,
    /// The origin of the issuer, as browsers write it.
    issuer: Option<String>,
    /// `http` or `https`, whichever is spoken here.
    scheme: &'static str,
    refuses_forwarded: bool,
}

impl ExplorerGuard {
    /// For requests to `hosts`, by TLS if this service `speaks_tls`. The page may also be at the origin of the `issuer`, where a proxy
    /// speaks TLS.
    pub(crate) fn new(hosts: AllowedHosts, issuer: &str, speaks_tls: bool, refuses_forwarded: bool) -> Self {
        let issuer = url::Url::parse(issuer).ok().map(|url| url.origin().ascii_serialization());
        let scheme = if speaks_tls { "https" } else { "http" };
        Self(Arc::new(Rules { hosts, issuer, scheme, refuses_forwarded }))
    }

    /// Lets `request` pass.
    ///
    /// # Errors
    /// [`Error::Unimplemented`] if a proxy forwards it: there is nothing here for others. [`Error::HostNotAllowed`] if a name is asked for
    /// that a stranger's page may have led here (DNS rebinding).
    pub(crate) fn allow<B>(&self, request: &http::Request<B>) -> Result<(), Error> {
        if self.0.refuses_forwarded && is_forwarded(request.headers()) {
            return Err(Error::Unimplemented);
        }
        check_hosts(request, &self.0.hosts)
    }

    /// Takes the origin of a request that may pass and that the explorer's own page sends: it calls where it came from, as a program would.
    /// Every other page is judged by its origin, further in.
    pub(crate) fn recognise_page<B>(&self, request: &mut http::Request<B>) {
        if self.is_of_own_page(request) && self.allow(request).is_ok() {
            request.headers_mut().remove(header::ORIGIN);
        }
    }

    fn is_of_own_page<B>(&self, request: &http::Request<B>) -> bool {
        let mut origins = request.headers().get_all(header::ORIGIN).iter();
        let (Some(origin), None) = (origins.next().and_then(|origin| origin.to_str().ok()), origins.next())
        else {
            return false;
        };
        let target = request.uri().authority().map(http::uri::Authority::as_str);
        let host = request.headers().get(header::HOST).and_then(|host| host.to_str().ok());
        let Some((scheme, authority)) = origin.split_once("://") else { return false };
        let is_scheme = scheme == self.0.scheme || self.0.issuer.as_deref() == Some(origin);
        let mut asked = target.into_iter().chain(host).peekable();
        is_scheme && asked.peek().is_some() && asked.all(|asked| asked.eq_ignore_ascii_case(authority))
    }
}

fn is_forwarded(headers: &HeaderMap) -> bool {
    let is_one = |name: &header::HeaderName| {
        *name == header::FORWARDED || *name == header::VIA || name.as_str().starts_with(FORWARDED_PREFIX)
    };
    headers.keys().any(is_one)
}

/// Lets requests pass that the guard lets pass.
pub(super) async fn check(
    State(guard): State<ExplorerGuard>,
    request: Request,
    next: Next,
) -> Result<Response, Refusal> {
    guard.allow(&request)?;
    Ok(next.run(request).await)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn guard(issuer: &str, tls: bool, refuses_forwarded: bool) -> ExplorerGuard {
        let hosts = AllowedHosts::new(vec!["localhost".parse().unwrap(), "id.example".parse().unwrap()]);
        ExplorerGuard::new(hosts, issuer, tls, refuses_forwarded)
    }

    fn request(headers: &[(&str, &str)]) -> http::Request<()> {
        let builder = http::Request::post("/identity.v1.IdentityService/GetMe");
        headers.iter().fold(builder, |builder, (name, value)| builder.header(*name, *value)).body(()).unwrap()
    }

    #[test]
    fn what_a_proxy_forwards_is_not_there_unless_it_may_be_published() {
        for name in ["forwarded", "Via", "x-forwarded-for", "X-Forwarded-Anything"] {
            let request = request(&[("host", "localhost:8080"), (name, "")]);
            assert!(
                matches!(
                    guard("http://localhost:8080", false, true).allow(&request),
                    Err(Error::Unimplemented)
                ),
                "{name}"
            );
            assert!(guard("https://id.example", false, false).allow(&request).is_ok(), "{name}");
        }
        let guard = guard("http://localhost:8080", false, true);
        assert!(guard.allow(&request(&[("host", "[::1]:8080"), ("x-request-id", "1")])).is_ok());
        assert!(matches!(guard.allow(&request(&[("host", "evil.example")])), Err(Error::HostNotAllowed)));
    }

    #[test]
    fn its_own_page_is_that_of_the_host_that_is_asked_and_no_other() {
        for (issuer, tls, headers, is_own) in [
            (
                "http://localhost:1",
                false,
                &[("host", "127.0.0.1:8080"), ("origin", "http://127.0.0.1:8080")][..],
                true,
            ),
            (
                "http://localhost:1",
                false,
                &[("host", "LOCALHOST:8080"), ("origin", "http://localhost:8080")],
                true,
            ),
            ("http://localhost:1", true, &[("host", "localhost"), ("origin", "https://localhost")], true),
            ("https://id.example", false, &[("host", "id.example"), ("origin", "https://id.example")], true),
            (
                "http://localhost:1",
                false,
                &[("host", "127.0.0.1:8080"), ("origin", "http://localhost:8080")],
                false,
            ),
            (
                "http://localhost:1",
                false,
                &[("host", "localhost:8080"), ("origin", "http://localhost:8081")],
                false,
            ),
            ("http://localhost:1", false, &[("host", "localhost"), ("origin", "https://localhost")], false),
            ("http://localhost:1", true, &[("host", "localhost"), ("origin", "http://localhost")], false),
            ("http://localhost:1", false, &[("host", "localhost"), ("origin", "null")], false),
            (
                "http://localhost:1",
                false,
                &[("host", "evil.example"), ("origin", "http://evil.example")],
                false,
            ),
            (
                "http://localhost:1",
                false,
                &[("host", "localhost"), ("origin", "http://localhost"), ("via", "1.1 x")],
                false,
            ),
            (
                "http://localhost:1",
                false,
                &[("host", "localhost"), ("origin", "http://localhost"), ("origin", "http://localhost")],
                false,
            ),
        ] {
            let mut request = request(headers);
            guard(issuer, tls, true).recognise_page(&mut request);
            assert_eq!(request.headers().contains_key("origin"), !is_own, "{issuer} {headers:?}");
        }
    }
}
