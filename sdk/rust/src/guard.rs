//! Owns the layer that protects a service: who may call is decided before a handler runs, and streams are ended while it does.

use signet::auth::{AuthLayer, AuthService};
use tower::Layer;

use crate::{
    standing::{IssuerKeys, TokenStanding},
    stream::{StreamLayer, StreamService},
};

/// Lets a call through to the service behind it only where the policy says so, with its [`Caller`](crate::Caller) in the request's
/// extensions, and ends its stream when its token has expired or is revoked. Made by [`Verifier::guard`](crate::Verifier::guard).
#[derive(Clone, Debug)]
pub struct Guard {
    pub(crate) calls: AuthLayer<IssuerKeys, TokenStanding>,
    pub(crate) streams: StreamLayer,
}

impl<Inner> Layer<Inner> for Guard {
    type Service = AuthService<IssuerKeys, TokenStanding, StreamService<Inner>>;

    fn layer(&self, inner: Inner) -> Self::Service {
        self.calls.layer(self.streams.layer(inner))
    }
}
