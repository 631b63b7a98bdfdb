//! Owns which service of a listener a call goes to, by its path.
//!
//! tonic's own routes are those of HTTP: they match patterns, and put two more bodies around each request and each answer.

use std::{
    convert::Infallible,
    future::ready,
    sync::Arc,
    task::{Context, Poll},
};

use ahash::HashMap;
use http::{Request, Response};
use tonic::{Status, body::Body, codegen::BoxFuture, server::NamedService};
use tower::Service;

type Answer = BoxFuture<Response<Body>, Infallible>;
type Answering = Box<dyn Fn(Request<Body>) -> Answer + Send + Sync>;

/// The services of one listener. Clones share them.
#[derive(Clone, Default)]
pub(super) struct Routes(Arc<HashMap<&'static str, Answering>>);

/// Those that are put together.
#[derive(Default)]
pub(super) struct RoutesBuilder(HashMap<&'static str, Answering>);

impl RoutesBuilder {
    /// Adds `service`, as tonic generates it: ready at any time.
    pub(super) fn add_service<S>(&mut self, service: S)
    where
        S: Service<Request<Body>, Response = Response<Body>, Error = Infallible, Future = Answer>
            + NamedService
            + Clone
            + Send
            + Sync
            + 'static,
    {
        self.0.insert(S::NAME, Box::new(move |request| service.clone().call(request)));
    }

    pub(super) fn routes(self) -> Routes {
        Routes(Arc::new(self.0))
    }
}

/// The service that `path` names (`/package.Service/Method`).
fn service_name(path: &str) -> Option<&str> {
    Some(path.strip_prefix('/')?.split_once('/')?.0)
}

impl Service<Request<Body>> for Routes {
    type Response = Response<Body>;
    type Error = Infallible;
    type Future = Answer;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<Body>) -> Answer {
        match service_name(request.uri().path()).and_then(|name| self.0.get(name)) {
            Some(answering) => answering(request),
            // The policy has refused it already.
            None => Box::pin(ready(Ok(Status::unimplemented("").into_http()))),
        }
    }
}
