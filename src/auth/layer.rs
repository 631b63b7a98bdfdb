//! Owns the tower layer that enforces the policy: no request reaches a handler that its rule does not let through.

use std::{
    future::Future,
    net::IpAddr,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
};

use http::{Extensions, HeaderMap, Request, Response};
use tonic::{
    Status,
    body::Body,
    transport::server::{TcpConnectInfo, TlsConnectInfo},
};
use tower::{Layer, Service};

use super::{Access, Authenticator, Caller, Keys, Policy, Standing};
use crate::{
    errors::{CallFailure, FailureLog},
    model::{Error, UNDECLARED},
};

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
}

impl<K: Keys, S: Standing> AuthLayer<K, S> {
    /// A layer that enforces `policy` with the callers that `authenticator` finds.
    pub fn new(policy: Policy, authenticator: Arc<Authenticator<K, S>>) -> Self {
        Self(Arc::new(Gate { policy, authenticator, failures: None }))
    }

    /// The same, which tells `failures` of the calls that it cannot check. Without it, the failure is the source of the
    /// [`Status`] among the extensions of the answer.
    pub(super) fn telling(
        policy: Policy,
        authenticator: Arc<Authenticator<K, S>>,
        failures: FailureLog,
    ) -> Self {
        Self(Arc::new(Gate { policy, authenticator, failures: Some(failures) }))
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
                let own = self.authenticator.audience();
                let caller = self
                    .authenticator
                    .authenticate_request_for(
                        headers,
                        extensions,
                        rule.audience(own),
                        caller_address(extensions),
                    )
                    .await?;
                match rule.missing(own, &caller).first() {
                    None => Ok(Some(caller)),
                    Some(missing) => Err((*missing).into()),
                }
            }
            Some(Access::Undeclared | Access::NotUnderstood) => Err(Error::AccessUndeclared(UNDECLARED)),
            None => Err(Error::Unimplemented),
        }
    }

    /// Tells that a call of `path`, which the policy knows, failed with `status`.
    fn tell(&self, path: &str, status: &Status) {
        if let (Some(failures), Some(failure)) = (&self.failures, CallFailure::of_status(status)) {
            failures.tell(path, failure);
        }
    }
}

/// The address of whoever sent a request with `extensions`, if it is known.
fn caller_address(extensions: &Extensions) -> Option<IpAddr> {
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
            match gate.admit(request.uri().path(), request.headers(), request.extensions()).await {
                Ok(Some(caller)) => {
                    request.extensions_mut().insert(caller);
                }
                Ok(None) => {}
                Err(error) => {
                    let status = Status::from(error);
                    gate.tell(request.uri().path(), &status);
                    return Ok(status.into_http());
                }
            }
            inner.call(request).await
        })
    }
}
