//! Owns whose requests the explorer answers: those that no proxy has published, for names that lead to this service alone; who may call
//! beside it; and which page is its own.

use std::sync::Arc;

use axum::{
    extract::{Request, State},
    http::{self, Version, header},
    middleware::Next,
    response::Response,
};

use crate::{
    http::{hosts::check_hosts, refusal::Refusal},
    model::{AllowedHosts, Error},
    peer,
};

/// The headers by which proxies name their client, or themselves.
const FORWARDED: [&str; 7] =
    ["forwarded", "via", "x-forwarded", "x-real-ip", "x-client-ip", "true-client-ip", "cf-connecting-ip"];

/// The prefixes of others.
const FORWARDED_PREFIXES: [&str; 3] = ["x-forwarded-", "x-original-", "x-envoy-"];

/// Decides which requests are answered. Clones share it.
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
    calls_want_certificate: bool,
}

/// What the guard keeps out, beside other hosts.
#[derive(Clone, Copy, Debug)]
pub(crate) struct KeptOut {
    /// Everything that a proxy forwards.
    pub(crate) forwarded: bool,
    /// Calls over connections that have shown no certificate: where the RPCs are otherwise, the others do not get in.
    pub(crate) calls_without_certificate: bool,
}

impl ExplorerGuard {
    /// For requests to `hosts`, by TLS if this service `speaks_tls`. The page may also be at the origin of the `issuer`, where a proxy
    /// speaks TLS.
    pub(crate) fn new(hosts: AllowedHosts, issuer: &str, speaks_tls: bool, kept_out: KeptOut) -> Self {
        let issuer = url::Url::parse(issuer).ok().map(|url| url.origin().ascii_serialization());
        let scheme = if speaks_tls { "https" } else { "http" };
        let KeptOut { forwarded: refuses_forwarded, calls_without_certificate: calls_want_certificate } =
            kept_out;
        Self(Arc::new(Rules { hosts, issuer, scheme, refuses_forwarded, calls_want_certificate }))
    }

    /// Whether `request` is answered.
    ///
    /// # Errors
    /// [`Error::Unimplemented`] if a proxy forwards it: there is nothing here for others. [`Error::HostNotAllowed`] if a name is asked for
    /// that a stranger's page may have led here (DNS rebinding).
    pub(crate) fn allow<B>(&self, request: &http::Request<B>) -> Result<(), Error> {
        if self.0.refuses_forwarded && is_forwarded(request) {
            return Err(Error::Unimplemented);
        }
        check_hosts(request, &self.0.hosts)
    }

    /// Whether `request` may call RPCs beside the explorer.
    pub(crate) fn allows_calls<B>(&self, request: &http::Request<B>) -> bool {
        let has_certificate = || peer::certificate(request.extensions(), request.headers()).is_some();
        self.allow(request).is_ok() && (!self.0.calls_want_certificate || has_certificate())
    }

    /// Removes `Origin` from a request that is allowed and comes from the explorer's own origin, so that it is treated as a program's. The
    /// origins of other pages are checked further in.
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
        let issuer = self.0.issuer.as_deref();
        // Where the issuer is, its scheme is the one that counts: what is told there in plaintext anybody on the way has written.
        let is_issuers =
            issuer.and_then(|issuer| issuer.split_once("://")).is_some_and(|(_, at)| at == authority);
        let is_scheme = if is_issuers { issuer == Some(origin) } else { scheme == self.0.scheme };
        // A browser leaves out the port that the scheme implies, and a proxy may name it.
        let implied = if scheme == "https" { ":443" } else { ":80" };
        let is_own =
            |asked: &str| asked.strip_suffix(implied).unwrap_or(asked).eq_ignore_ascii_case(authority);
        let mut asked = target.into_iter().chain(host).peekable();
        is_scheme && asked.peek().is_some() && asked.all(is_own)
    }
}

/// Whether a proxy has sent `request`, as far as it tells. No browser speaks HTTP/1.0, and nginx does to what is behind it, unless it is
/// told otherwise.
fn is_forwarded<B>(request: &http::Request<B>) -> bool {
    let is_one = |name: &header::HeaderName| {
        let name = name.as_str();
        FORWARDED.contains(&name) || FORWARDED_PREFIXES.iter().any(|prefix| name.starts_with(prefix))
    };
    request.version() < Version::HTTP_11 || request.headers().keys().any(is_one)
}

/// Passes on the requests that the guard allows.
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
        let kept_out = KeptOut { forwarded: refuses_forwarded, calls_without_certificate: false };
        ExplorerGuard::new(hosts, issuer, tls, kept_out)
    }

    fn request(headers: &[(&str, &str)]) -> http::Request<()> {
        let builder = http::Request::post("/identity.v1.IdentityService/GetMe");
        headers.iter().fold(builder, |builder, (name, value)| builder.header(*name, *value)).body(()).unwrap()
    }

    #[test]
    fn what_a_proxy_forwards_is_not_there_unless_it_may_be_published() {
        for name in [
            "forwarded",
            "Via",
            "x-forwarded-for",
            "X-Forwarded-Anything",
            "X-Forwarded",
            "x-real-ip",
            "x-envoy-internal",
        ] {
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
        let mut old = request(&[("host", "localhost:8080")]);
        *old.version_mut() = Version::HTTP_10;
        assert!(matches!(guard.allow(&old), Err(Error::Unimplemented)), "as nginx asks what is behind it");
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
                "https://id.example",
                false,
                &[("host", "id.example:443"), ("origin", "https://id.example")],
                true,
            ),
            ("https://id.example", false, &[("host", "id.example"), ("origin", "http://id.example")], false),
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
