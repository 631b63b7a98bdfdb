//! Owns the operators' side of the composition: where it listens, and what it serves there.

use std::{convert::Infallible, sync::Arc};

use axum::{body::Body, response::Response};
use hyper::body::Incoming;
use tower::{Service, ServiceExt};

use super::{
    Parts,
    listening::{BoundIfFree, Optional},
};
use crate::{
    config::{Config, ConfigError, OperationsConfig, Switch},
    http::{HttpAdmission, measured, operations_router},
    model::{AllowedHosts, Host, HostPattern},
};

/// The most bytes of requests and answers on their way. A peer has a quarter: the metrics for 16 who ask at once, or for 8
/// once nearly every method has been called.
pub(super) const MAX_PENDING_BYTES: usize = 8 * 1_024 * 1_024;

/// The largest body of a request: none has one.
pub(super) const MAX_MESSAGE_BYTES: usize = 64 * 1_024;

/// The names that lead nowhere but to the machine, or the cluster, of whoever asks.
const LOCAL_HOSTS: [&str; 3] = ["localhost", "*.svc", "*.svc.cluster.local"];

/// What the log says where the default address could not be had.
const WITHOUT: &str = "metrics are served nowhere, and `signet healthcheck` may ask another service: set --operations-addr, or `off`";

/// Takes the address that `config` names, without listening yet.
///
/// # Errors
/// If it is set, and cannot be taken.
pub(super) fn bind(config: &OperationsConfig) -> Result<BoundIfFree, ConfigError> {
    BoundIfFree::bind("--operations-addr", config.addr(), config.operations_addr.is_some())
}

/// Listens there.
///
/// # Errors
/// As [`bind`].
pub(super) fn listen(bound: BoundIfFree) -> Result<Optional, ConfigError> {
    bound.listen(WITHOUT)
}

/// What is served to operators.
pub(super) fn service(
    parts: &Parts,
    config: &Config,
) -> impl Service<http::Request<Incoming>, Response = Response, Error = Infallible, Future: Send>
+ Clone
+ Send
+ Sync
+ 'static {
    let shown = (config.observe.metrics == Switch::On).then(|| Arc::clone(&parts.metrics));
    let hosts = hosts(config.tokens.issuer(), &config.operations.operations_hosts);
    let limits = HttpAdmission::new(parts.pools.operations.clone(), config.limits.max_header_bytes);
    let router = operations_router(parts.readiness.subscribe(), shown, hosts, limits);
    // Outermost, so that every request is counted with the status that the client gets.
    measured(router, parts.http_meter("operations"))
        .map_request(|request: http::Request<Incoming>| request.map(Body::new))
}

/// The hosts that may be asked for: those that are local, the issuer's, and the `named` ones.
pub(super) fn hosts(issuer: &str, named: &[HostPattern]) -> AllowedHosts {
    let local = LOCAL_HOSTS.iter().filter_map(|pattern| pattern.parse().ok());
    AllowedHosts::new(local.chain(issuer_host(issuer)).chain(named.iter().cloned()).collect())
}

/// The host of the `issuer`, if it is a name: addresses are allowed anyhow.
pub(super) fn issuer_host(issuer: &str) -> Option<HostPattern> {
    let issuer = issuer.parse::<http::Uri>().ok();
    let host = issuer.as_ref().and_then(http::Uri::authority).and_then(|host| host.as_str().parse().ok());
    host.and_then(|host| match host {
        Host::Name(name) => Some(HostPattern::Name(name)),
        Host::Address => None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_hosts_are_the_local_ones_the_issuers_and_the_named_ones() {
        let named = ["signet".parse().unwrap(), "*.internal.example".parse().unwrap()];
        let hosts = hosts("https://ID.example:8443/auth", &named);
        let allowed = |host: &str| hosts.allow(&host.parse().unwrap());
        for host in [
            "localhost:1",
            "id.example",
            "a.b.svc",
            "a.b.svc.cluster.local",
            "signet:8089",
            "a.internal.example",
        ] {
            assert!(allowed(host), "{host}");
        }
        for host in ["evil.example", "internal.example", "a.id.example", "cluster.local"] {
            assert!(!allowed(host), "{host}");
        }
    }
}
