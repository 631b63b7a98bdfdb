//! Owns the tower layer that enforces the policy: no request reaches a handler that its rule does not let through.

use std::{
    fmt,
    future::Future,
    net::IpAddr,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
};

use http::{Extensions, HeaderMap, Request, Response, Uri, uri::PathAndQuery};
use tonic::{
    Status,
    body::Body,
    transport::server::{TcpConnectInfo, TlsConnectInfo},
};
use tower::{Layer, Service};

use super::{Access, Authenticator, Caller, Keys, Policy, Standing};
use crate::{
    errors::{CallFailure, FailureLog, status_telling, told_reason},
    model::{Error, UNDECLARED, access_rule::METHOD_MAX_BYTES},
};

/// Why nobody may call a method of which the policy says nothing.
const NOT_IN_POLICY: &str = "this method is not in the policy of the service";

/// The address of a call's sender, as an extension of the request: for a layer in front that knows it better than the connection does, as
/// behind a proxy. Without it the connection's peer counts, where tonic's own server serves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CallerAddress(pub IpAddr);

/// Puts the policy and the authenticator before a gRPC service.
#[derive(Debug)]
pub struct AuthLayer<K, S>(Arc<Gate<K, S>>);

/// A gRPC service behind the policy.
#[derive(Debug)]
pub struct AuthService<K, S, Inner> {
    gate: Arc<Gate<K, S>>,
    inner: Inner,
}

#[derive(Debug)]
struct Gate<K, S> {
    policy: Policy,
    authenticator: Arc<Authenticator<K, S>>,
    /// None where an outer layer tells of what fails.
    failures: Option<FailureLog>,
    on_refusal: Option<OnRefusal>,
    /// Whether a method that the policy does not know is denied, and not said to be none.
    denies_unknown: bool,
}

impl<K: Keys, S: Standing> AuthLayer<K, S> {
    /// A layer that enforces `policy` with the callers that `authenticator` finds, before a service of which the policy knows every method:
    /// others do not exist (`UNIMPLEMENTED`). The cause of what fails is the source of the [`Status`] among the extensions of the answer.
    pub fn new(policy: Policy, authenticator: Arc<Authenticator<K, S>>) -> Self {
        Self(Arc::new(Gate {
            policy,
            authenticator,
            failures: None,
            on_refusal: None,
            denies_unknown: false,
        }))
    }

    /// The same before any service, which may have methods that the `policy` does not know: these are denied. It tells `failures` of the
    /// calls that it cannot check, and `on_refusal` of each that it refuses.
    pub fn telling(
        policy: Policy,
        authenticator: Arc<Authenticator<K, S>>,
        failures: FailureLog,
        on_refusal: Option<OnRefusal>,
    ) -> Self {
        Self(Arc::new(Gate {
            policy,
            authenticator,
            failures: Some(failures),
            on_refusal,
            denies_unknown: true,
        }))
    }
}

/// Told the reason of each call that is refused.
#[derive(Clone)]
pub struct OnRefusal(Arc<dyn Fn(&'static str) + Send + Sync>);

impl OnRefusal {
    /// Has `tell` told. It runs on the way of the answer: it should count, and not wait.
    pub fn of(tell: impl Fn(&'static str) + Send + Sync + 'static) -> Self {
        Self(Arc::new(tell))
    }
}

impl fmt::Debug for OnRefusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("OnRefusal")
    }
}

impl<K: Keys, S: Standing> Gate<K, S> {
    /// The caller, for a method that asks for one; or the reason why the call goes no further.
    async fn admit(
        &self,
        path: &str,
        headers: &HeaderMap,
        extensions: &Extensions,
    ) -> Result<Option<Caller>, Error> {
        match self.policy.access(path) {
            Some(Access::Public) => Ok(None),
            Some(Access::Authenticated(rule)) => {
                let address = caller_address(extensions);
                self.authenticator.admit(rule, headers, extensions, address).await.map(Some)
            }
            Some(Access::Undeclared | Access::NotUnderstood) => Err(Error::AccessUndeclared(UNDECLARED)),
            None if self.denies_unknown => Err(Error::AccessUndeclared(NOT_IN_POLICY)),
            None => Err(Error::Unimplemented),
        }
    }

    /// The method that is called, byte for byte: what has a query is none.
    fn method<'u>(&self, uri: &'u Uri) -> &'u str {
        let whole = uri.path_and_query().map_or("", PathAndQuery::as_str);
        // A layer in front of Signet's own RPCs has taken what it needs of the query, and left it there.
        if self.denies_unknown { whole } else { uri.path() }
    }

    /// The refusal of a call of `path`. It names the audience that the token had to be for, and the method, so that whoever hears of it by
    /// way of another service does not take it for one of that service's own.
    fn refusal(&self, path: &str, error: Error) -> Status {
        let own = self.authenticator.audience();
        let audience = match self.policy.access(path) {
            Some(Access::Authenticated(rule)) => rule.audience(own),
            _ => own,
        };
        // What is longer is no method, and statuses are headers, which have little room.
        let method = if path.len() <= METHOD_MAX_BYTES { path } else { "" };
        status_telling(error, [("audience", audience), ("method", method)])
    }

    /// Tells that a call of `path`, which the policy knows, failed with `status`.
    fn tell(&self, path: &str, status: &Status) {
        if let (Some(OnRefusal(tell)), Some(reason)) = (&self.on_refusal, told_reason(status)) {
            tell(reason);
        }
        if let (Some(failures), Some(failure)) = (&self.failures, CallFailure::of_status(status)) {
            failures.tell(path, failure);
        }
    }
}

/// The address of whoever sent a request with `extensions`, if it is known.
#[must_use]
pub fn caller_address(extensions: &Extensions) -> Option<IpAddr> {
    let told = || extensions.get::<CallerAddress>().map(|address| address.0);
    let tcp = || extensions.get::<TcpConnectInfo>()?.remote_addr();
    let tls = || extensions.get::<TlsConnectInfo<TcpConnectInfo>>()?.get_ref().remote_addr();
    told().or_else(|| tcp().or_else(tls).map(|peer| peer.ip()))
}

// ===== the plumbing of tower =====

impl<K, S> Clone for AuthLayer<K, S> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}

impl<K, S, Inner: Clone> Clone for AuthService<K, S, Inner> {
    fn clone(&self) -> Self {
        Self { gate: Arc::clone(&self.gate), inner: self.inner.clone() }
    }
}

impl<K, S, Inner> Layer<Inner> for AuthLayer<K, S> {
    type Service = AuthService<K, S, Inner>;

    fn layer(&self, inner: Inner) -> Self::Service {
        AuthService { gate: Arc::clone(&self.0), inner }
    }
}

impl<K, S, Inner, B> Service<Request<B>> for AuthService<K, S, Inner>
where
    K: Keys,
    S: Standing,
    B: Send + 'static,
    Inner: Service<Request<B>, Response = Response<Body>> + Clone + Send + 'static,
    Inner::Future: Send,
{
    type Response = Response<Body>;
    type Error = Inner::Error;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, Self::Error>> + Send>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        self.inner.poll_ready(context)
    }

    fn call(&mut self, mut request: Request<B>) -> Self::Future {
        let gate = Arc::clone(&self.gate);
        // The clone takes the place of the service that was polled ready (tower's own advice).
        let clone = self.inner.clone();
        let mut inner = std::mem::replace(&mut self.inner, clone);
        Box::pin(async move {
            match gate.admit(gate.method(request.uri()), request.headers(), request.extensions()).await {
                Ok(Some(caller)) => {
                    request.extensions_mut().insert(caller);
                }
                Ok(None) => {}
                Err(error) => {
                    let method = gate.method(request.uri());
                    let status = gate.refusal(method, error);
                    gate.tell(method, &status);
                    return Ok(status.into_http());
                }
            }
            inner.call(request).await
        })
    }
}
