//! Owns ending open streams: when their token has expired for longer than a grace, when it is revoked, and when that can no longer be told.

use std::{
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use bytes::Bytes;
use futures_util::future::{BoxFuture, Either};
use http::{Request, Response};
use http_body::Body as HttpBody;
use signet::{
    auth::{Access, Caller, Error, Policy},
    errors::{status_telling, told_reason},
};
use tonic::{Status, body::Body};
use tower::{Layer, Service};

use crate::{
    held_call::HeldBody, hooks::SafeHooks, open_stream::Watched, revocations::Revocations,
    standing::TokenStanding, time::Time,
};

/// How long a stream is looked at no more, at most: timers go by the monotonic clock, and the wall clock may be stepped on meanwhile.
const LOOKS_AGAIN: Duration = Duration::from_secs(5);

/// Ends the streams of the service behind it. It stands behind the layer that has found the caller.
#[derive(Clone, Debug)]
pub struct StreamLayer(Arc<Ends>);

/// A service whose streams are ended.
#[derive(Clone, Debug)]
pub struct StreamService<Inner> {
    ends: Arc<Ends>,
    inner: Inner,
}

#[derive(Debug)]
pub(crate) struct Ends {
    pub(crate) policy: Policy,
    pub(crate) standing: TokenStanding,
    pub(crate) grace: Duration,
    pub(crate) time: Time,
    pub(crate) told: SafeHooks,
}

impl StreamLayer {
    pub(crate) fn new(ends: Ends) -> Self {
        Self(Arc::new(ends))
    }
}

impl Ends {
    /// Returns the status by which a stream of `caller` ends.
    async fn of(self: Arc<Self>, caller: Caller, path: String) -> Status {
        let mut heard = self.standing.revocations.as_ref().map(Revocations::states);
        let error = loop {
            if let Some(error) = self.ends_now(&caller) {
                break error;
            }
            let next = async {
                match heard.as_mut() {
                    // The sender goes with the verifier, and this holds what that consists of.
                    Some(heard) => drop(heard.changed().await),
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                () = self.time.sleep(self.looks_in(&caller)) => {}
                () = next => {}
            }
        };
        let status = self.status(error, &path);
        self.told.tell(|hooks| hooks.stream_ended(told_reason(&status).unwrap_or_default()));
        status
    }

    /// How a call of the method `path` is refused with `error`.
    pub(crate) fn status(&self, error: Error, path: &str) -> Status {
        let own = &self.standing.audience;
        let audience = match self.policy.access(path) {
            Some(Access::Authenticated(rule)) => rule.audience(own),
            _ => own,
        };
        status_telling(error, [("audience", audience), ("method", path)])
    }

    pub(crate) fn ends_now(&self, caller: &Caller) -> Option<Error> {
        if self.expires_in(caller).is_zero() {
            return Some(Error::TokenExpired);
        }
        self.standing.stands(caller.claims()).err()
    }

    /// In how long the stream ends since its token has expired.
    fn expires_in(&self, caller: &Caller) -> Duration {
        let grace = i64::try_from(self.grace.as_micros()).unwrap_or(i64::MAX);
        let end = caller.claims().exp.saturating_mul(1_000_000).saturating_add(grace);
        let left = end.saturating_sub(self.time.now().as_micros());
        Duration::from_micros(u64::try_from(left).unwrap_or_default())
    }

    /// In how long it is looked at again though nothing is heard.
    fn looks_in(&self, caller: &Caller) -> Duration {
        let stale = self.standing.revocations.as_ref().and_then(Revocations::refuses_in);
        let expires = self.expires_in(caller).min(LOOKS_AGAIN);
        stale.map_or(expires, |stale| stale.min(expires))
    }
}

impl<Inner> Layer<Inner> for StreamLayer {
    type Service = StreamService<Inner>;

    fn layer(&self, inner: Inner) -> Self::Service {
        StreamService { ends: Arc::clone(&self.0), inner }
    }
}

impl<Inner, B> Service<Request<B>> for StreamService<Inner>
where
    B: HttpBody<Data = Bytes> + Send + 'static,
    B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
    Inner: Service<Request<Body>, Response = Response<Body>> + Clone + Send + 'static,
    Inner::Future: Send + 'static,
    Inner::Error: Send,
{
    type Response = Response<Body>;
    type Error = Inner::Error;
    type Future = Either<Inner::Future, BoxFuture<'static, Result<Response<Body>, Inner::Error>>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        self.inner.poll_ready(context)
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        let request = request.map(Body::new);
        let Some(caller) = request.extensions().get::<Caller>() else {
            return Either::Left(self.inner.call(request));
        };
        self.ends.told.tell(|hooks| hooks.verified("OK", caller.was_seen()));
        let (caller, path) = (caller.clone(), request.uri().path().to_owned());
        let ends = Arc::clone(&self.ends);
        if !self.ends.policy.is_streaming(&path) {
            let held = |body| Body::new(HeldBody { body, ends, caller, path });
            return Either::Left(self.inner.call(request.map(held)));
        }
        let end = ends.of(caller, path);
        let (parts, body) = request.into_parts();
        let (watched, body) = Watched::begin(body, end);
        let answer = self.inner.call(Request::from_parts(parts, body));
        Either::Right(Box::pin(watched.answer(answer)))
    }
}

#[cfg(test)]
mod tests {
    use signet::proto::DESCRIPTOR_SET;

    use super::*;
    use crate::testing::{TestIssuer, Token};

    #[tokio::test]
    async fn an_open_stream_is_looked_at_now_and_then_since_the_wall_clock_may_be_stepped_on() {
        let issuer = TestIssuer::new();
        let token = issuer.sign(&Token::user().audiences(["stock"]).lifetime(Duration::from_secs(10)));
        let verifier = issuer.verifier("stock");
        let caller = verifier.authenticator().recognise(&token, "stock").await.unwrap();
        let standing = TokenStanding { audience: "stock".to_owned(), revocations: None, introspection: None };
        let (grace, time) = (Duration::from_secs(2), issuer.time().clone());
        let policy = Policy::from_descriptor_set(DESCRIPTOR_SET).unwrap();
        let ends = Ends { policy, standing, grace, time, told: SafeHooks::default() };
        for (turned, looks_in) in [(0, 5), (5, 5), (4, 3), (3, 0)] {
            issuer.advance(Duration::from_secs(turned));
            assert_eq!(ends.looks_in(&caller), Duration::from_secs(looks_in));
        }
    }
}
