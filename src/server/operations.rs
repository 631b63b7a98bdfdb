//! Owns the operators' side of the composition: where it listens, what it serves there, and what its connections may take.

use std::{convert::Infallible, net::SocketAddr, sync::Arc};

use axum::{body::Body, response::Response};
use hyper::body::Incoming;
use tokio::net::TcpListener;
use tower::{Service, ServiceExt};

use super::{Bound, Parts, bind};
use crate::{
    admission::{Bounds, CallBounds},
    config::{Config, ConfigError, OperationsConfig, Switch},
    errors::FailureLog,
    http::{HttpAdmission, metrics, operations_router},
    model::{AllowedHosts, Host, HostPattern},
};

/// The setting.
const SETTING: &str = "--operations-addr";

/// The most connections: a few of Prometheus, of the orchestrator, and of people. They are counted apart from those of callers.
pub(super) const MAX_CONNECTIONS: usize = 32;

/// Of these those of one peer, and of one site.
const MAX_CONNECTIONS_PER_PEER: usize = 16;
const MAX_CONNECTIONS_PER_SITE: usize = 24;

/// The most requests that one connection may have open, and that all of them may.
const MAX_CONCURRENT_STREAMS: u32 = 16;
const MAX_STREAMS: usize = 256;

/// The most bytes of requests and answers on their way.
const MAX_PENDING_BYTES: usize = 4 * 1_024 * 1_024;

/// The largest body of a request: none has one.
const MAX_MESSAGE_BYTES: usize = 64 * 1_024;

/// What all of that may come to.
pub(super) const MAX_BYTES: u64 = 15 * 1_024 * 1_024;

/// The names that lead nowhere but to the machine, or the cluster, of whoever asks.
const LOCAL_HOSTS: [&str; 3] = ["localhost", "*.svc", "*.svc.cluster.local"];

/// Where operators are served, before anything listens there.
pub(super) struct BoundOperations {
    bound: Result<Option<Bound>, ConfigError>,
    /// Whether the operator has named the address: then it must be had.
    is_set: bool,
}

/// Where operators are served.
pub(super) enum Operations {
    /// Here, if they are to be served at all.
    Served(Option<TcpListener>),
    /// Nowhere, though they were to be.
    Unserved(ConfigError),
}

impl BoundOperations {
    /// Takes the address that `config` names, without listening yet.
    ///
    /// # Errors
    /// If it is set, and cannot be taken.
    pub(super) fn bind(config: &OperationsConfig) -> Result<Self, ConfigError> {
        let is_set = config.operations_addr.is_some();
        let bound = config.addr().map(|addr| bind(SETTING, addr)).transpose();
        match bound {
            Err(error) if is_set => Err(error),
            bound => Ok(Self { bound, is_set }),
        }
    }

    /// Listens there. The default alone is done without where it cannot be had: a second service on this machine, say, must not
    /// fail to start for an address that nobody asked for.
    ///
    /// # Errors
    /// As [`Self::bind`].
    pub(super) fn listen(self) -> Result<Operations, ConfigError> {
        let listening = self.bound.and_then(|bound| bound.map(Bound::listen).transpose());
        match listening {
            Err(error) if self.is_set => Err(error),
            Err(error) => {
                tracing::warn!(
                    error = %error,
                    "metrics are served nowhere, and `signet healthcheck` may ask another service: set --operations-addr, or `off`"
                );
                Ok(Operations::Unserved(error))
            }
            Ok(listener) => Ok(Operations::Served(listener)),
        }
    }
}

impl Operations {
    /// Where operators are served, and if they are not though nobody has turned it off, why.
    pub(super) fn told(&self) -> (Option<SocketAddr>, Option<String>) {
        match self {
            Self::Served(listener) => {
                (listener.as_ref().and_then(|listener| listener.local_addr().ok()), None)
            }
            Self::Unserved(error) => (None, Some(error.problem.clone())),
        }
    }

    pub(super) fn listener(self) -> Option<TcpListener> {
        match self {
            Self::Served(listener) => listener,
            Self::Unserved(_) => None,
        }
    }
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
    let hosts = hosts(&config.tokens.issuer, &config.operations.operations_hosts);
    let limits = HttpAdmission::new(parts.pools.operations.clone(), config.limits.max_header_bytes);
    let router = operations_router(parts.readiness.subscribe(), shown, hosts, limits);
    let failures = FailureLog::new("operations", parts.clock.clone());
    // Outermost, so that every request is counted with the status that the client gets.
    metrics::measured(router, Arc::clone(&parts.metrics), parts.clock.clone(), failures)
        .map_request(|request: http::Request<Incoming>| request.map(Body::new))
}

/// What one request of operators may take, if one of callers may take `call`.
pub(super) fn call_bounds(call: &CallBounds) -> CallBounds {
    CallBounds { message_bytes: call.message_bytes.min(MAX_MESSAGE_BYTES), ..*call }
}

/// What operators may take, of what a listener of callers may: little, since they are few.
pub(super) fn bounds(bounds: &Bounds) -> Bounds {
    Bounds {
        max_connections: bounds.max_connections.min(MAX_CONNECTIONS),
        max_connections_per_peer: bounds.max_connections_per_peer.min(MAX_CONNECTIONS_PER_PEER),
        max_connections_per_site: bounds.max_connections_per_site.min(MAX_CONNECTIONS_PER_SITE),
        max_concurrent_streams: bounds.max_concurrent_streams.min(MAX_CONCURRENT_STREAMS),
        max_in_flight_calls: bounds.max_in_flight_calls.min(MAX_STREAMS),
        max_streams: bounds.max_streams.min(MAX_STREAMS),
        max_pending_bytes: bounds.max_pending_bytes.min(MAX_PENDING_BYTES),
        ..*bounds
    }
}

/// The hosts that operators may ask for: those that are local, the issuer's, and the `named` ones.
fn hosts(issuer: &str, named: &[HostPattern]) -> AllowedHosts {
    let local = LOCAL_HOSTS.iter().filter_map(|pattern| pattern.parse().ok());
    let issuer = issuer.parse::<http::Uri>().ok();
    let issuer = issuer.as_ref().and_then(http::Uri::authority).and_then(|host| host.as_str().parse().ok());
    let issuer = issuer.and_then(|host| match host {
        Host::Name(name) => Some(HostPattern::Name(name)),
        Host::Address => None,
    });
    AllowedHosts::new(local.chain(issuer).chain(named.iter().cloned()).collect())
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
