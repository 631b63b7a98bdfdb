//! Owns which host names requests may ask for: a page that has its own name lead here (DNS rebinding) reads nothing.

use std::sync::Arc;

use axum::{
    extract::{Request, State},
    http::{Version, header},
    middleware::Next,
    response::Response,
};

use super::refusal::Refusal;
use crate::model::{AllowedHosts, Error, Host};

/// Lets a request on whose hosts are all allowed.
pub(super) async fn check(
    State(allowed): State<Arc<AllowedHosts>>,
    request: Request,
    next: Next,
) -> Result<Response, Refusal> {
    check_hosts(&request, &allowed)?;
    Ok(next.run(request).await)
}

/// Every place where a request says its host counts: the target (in HTTP/2 `:authority`, in HTTP/1.1 the absolute form) and `Host`.
/// Which of two a proxy in front, or a browser, has looked at cannot be told, so that neither may name what is not allowed.
pub(super) fn check_hosts<B>(request: &axum::http::Request<B>, allowed: &AllowedHosts) -> Result<(), Error> {
    let mut lines = request.headers().get_all(header::HOST).iter();
    let line = lines.next();
    if lines.next().is_some() {
        return Err(Error::MalformedRequest("it has more than one `Host` (RFC 9112 section 3.2)".to_owned()));
    }
    let target = request.uri().authority();
    if line.is_none() && target.is_none() {
        // Only HTTP/1.0 may leave it out, as probes of load balancers do; a browser never does.
        return if request.version() < Version::HTTP_11 {
            Ok(())
        } else {
            Err(Error::MalformedRequest("it names no host (RFC 9112 section 3.2)".to_owned()))
        };
    }
    let line = line.map(|value| value.to_str().unwrap_or_default());
    let target = target.map(axum::http::uri::Authority::as_str);
    let may_ask_for = |text: &str| text.parse::<Host>().is_ok_and(|host| allowed.allow(&host));
    if line.into_iter().chain(target).all(may_ask_for) { Ok(()) } else { Err(Error::HostNotAllowed) }
}

#[cfg(test)]
mod tests {
    use axum::http::{self, HeaderValue};

    use super::*;

    fn verdict(version: Version, target: &str, hosts: &[&[u8]]) -> Result<(), Error> {
        let allowed = AllowedHosts::new(vec!["localhost".parse().unwrap(), "*.svc".parse().unwrap()]);
        let mut request = http::Request::get(target).version(version).body(()).unwrap();
        for host in hosts {
            request.headers_mut().append(header::HOST, HeaderValue::from_bytes(host).unwrap());
        }
        check_hosts(&request, &allowed)
    }

    #[test]
    fn each_place_that_names_a_host_must_name_one_that_is_allowed() {
        let (h10, h11, h2) = (Version::HTTP_10, Version::HTTP_11, Version::HTTP_2);
        for (version, target, hosts) in [
            (h11, "/metrics", &[&b"localhost:8089"[..]][..]),
            (h11, "/metrics", &[b"10.0.0.1"]),
            (h11, "http://localhost:8089/metrics", &[b"a.b.svc"]),
            (h11, "http://localhost/metrics", &[]),
            (h10, "/livez", &[]),
            (h10, "/livez", &[b"localhost"]),
            (h2, "http://localhost/metrics", &[]),
            (h2, "https://[::1]:8089/metrics", &[b"localhost"]),
            (h2, "/metrics", &[b"localhost"]),
        ] {
            assert!(verdict(version, target, hosts).is_ok(), "{version:?} {target} {hosts:?}");
        }
        for (version, target, hosts) in [
            (h11, "/metrics", &[&b"evil.example"[..]][..]),
            (h11, "/metrics", &[b""]),
            (h11, "/metrics", &[b"localhost\xff"]),
            (h11, "/metrics", &[b"localhost@evil.example"]),
            (h11, "/metrics", &[b"localhost, evil.example"]),
            (h11, "http://evil.example/metrics", &[b"localhost"]),
            (h11, "http://localhost/metrics", &[b"evil.example"]),
            (h11, "http://user@localhost/metrics", &[b"localhost"]),
            (h11, "http://localhost@evil.example/metrics", &[b"localhost"]),
            (h10, "/livez", &[b"evil.example"]),
            (h2, "http://evil.example/metrics", &[]),
            (h2, "http://localhost/metrics", &[b"evil.example"]),
        ] {
            let verdict = verdict(version, target, hosts);
            assert!(matches!(verdict, Err(Error::HostNotAllowed)), "{version:?} {target} {hosts:?}");
        }
        for (version, target, hosts) in [
            (h11, "/metrics", &[][..]),
            (h2, "/metrics", &[]),
            (h11, "/metrics", &[&b"localhost"[..], b"localhost"]),
            (h10, "/metrics", &[b"localhost", b"evil.example"]),
            (h2, "http://localhost/", &[b"localhost", b"localhost"]),
        ] {
            let verdict = verdict(version, target, hosts);
            assert!(matches!(verdict, Err(Error::MalformedRequest(_))), "{version:?} {target} {hosts:?}");
        }
    }
}
