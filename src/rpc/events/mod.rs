//! Owns `identity.events.v1.EventService` on the wire: its messages are encoded once for all who get them, and go out as they are.

mod encode;

use std::{
    convert::Infallible,
    fmt,
    pin::Pin,
    sync::{Arc, Mutex, PoisonError},
    task::{Context, Poll},
};

use futures_util::{Stream, future::BoxFuture, stream};
use http::{HeaderMap, Request as HttpRequest, Response as HttpResponse};
use http_body::{Body as HttpBody, Frame};
use hyper::body::Bytes;
use tonic::{Request, Response, Status, body::Body, server::NamedService};
use tower::Service;

use super::refused;
use crate::{
    auth::Caller,
    identity::watching::{Kind, Kinds, Watch, Watching},
    model::{Error, FieldReason},
    proto::identity::events::v1::{
        self as wire, WatchRequest, WatchResponse,
        event_service_server::{EventService, EventServiceServer, SERVICE_NAME},
    },
};

pub(crate) use encode::MessageEncoder;

/// Serves `EventService`, but for the messages of its streams.
#[derive(Debug)]
pub(crate) struct EventRpc {
    watching: Watching,
}

/// Serves `EventService`.
#[derive(Clone, Debug)]
pub(crate) struct EventServer(EventServiceServer<EventRpc>);

/// Hands what is to be told from the handler to who sends it: an extension of the answer.
#[derive(Clone)]
struct Handed(Arc<Mutex<Option<Watch>>>);

/// The body of an answer: messages that are encoded already, and the status at the end.
struct WatchBody {
    watch: Watch,
    has_ended: bool,
}

impl EventServer {
    /// What `watching` tells, to requests of `max_message_bytes` at most.
    pub(crate) fn new(watching: Watching, max_message_bytes: usize) -> Self {
        let server = EventServiceServer::new(EventRpc { watching });
        Self(server.max_decoding_message_size(max_message_bytes))
    }
}

#[tonic::async_trait]
impl EventService for EventRpc {
    type WatchStream = stream::Pending<Result<WatchResponse, Status>>;

    async fn watch(&self, request: Request<WatchRequest>) -> Result<Response<Self::WatchStream>, Status> {
        let caller = Caller::of(&request)?.clone();
        let WatchRequest { resume_token, kinds } = request.into_inner();
        // A resume token that is not understood, however long, may be of a later release: it is answered by a snapshot.
        let watch = self.watching.watch(&caller, read_kinds(&kinds)?, resume_token).await?;
        let mut response = Response::new(stream::pending());
        response.extensions_mut().insert(Handed(Arc::new(Mutex::new(Some(watch)))));
        Ok(response)
    }
}

/// The kinds that are asked for; all if none is.
fn read_kinds(kinds: &[i32]) -> Result<Kinds, Error> {
    let kinds = kinds.iter().map(|kind| match wire::Kind::try_from(*kind) {
        Ok(wire::Kind::Sessions) => Ok(Kind::Sessions),
        Ok(wire::Kind::Clients) => Ok(Kind::Clients),
        Ok(wire::Kind::Scopes) => Ok(Kind::Scopes),
        Ok(wire::Kind::Keys) => Ok(Kind::Keys),
        Ok(wire::Kind::Policies) => Ok(Kind::Policies),
        // Who asks for what this release does not tell would wait for it.
        Ok(wire::Kind::Unspecified) | Err(_) => {
            let rule = format!("must be kinds that this service tells, and {kind} is none");
            Err(refused("kinds", FieldReason::Malformed, &rule))
        }
    });
    Ok(Kinds::of(kinds.collect::<Result<Vec<_>, _>>()?))
}

impl Handed {
    fn take(&self) -> Option<Watch> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).take()
    }
}

impl HttpBody for WatchBody {
    type Data = Bytes;
    type Error = Status;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
        if self.has_ended {
            return Poll::Ready(None);
        }
        let next = std::task::ready!(Pin::new(&mut self.watch).poll_next(context));
        let status = match next {
            Some(Ok(message)) => return Poll::Ready(Some(Ok(Frame::data(message)))),
            Some(Err(error)) => Status::from(error),
            None => Status::ok(""),
        };
        self.has_ended = true;
        let mut trailers = HeaderMap::new();
        Poll::Ready(Some(status.add_header(&mut trailers).map(|()| Frame::trailers(trailers))))
    }

    fn is_end_stream(&self) -> bool {
        self.has_ended
    }
}

impl fmt::Debug for Handed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Handed(..)")
    }
}

// ===== the plumbing of tower =====

impl NamedService for EventServer {
    const NAME: &'static str = SERVICE_NAME;
}

impl Service<HttpRequest<Body>> for EventServer {
    type Response = HttpResponse<Body>;
    type Error = Infallible;
    type Future = BoxFuture<'static, Result<Self::Response, Infallible>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Service::<HttpRequest<Body>>::poll_ready(&mut self.0, context)
    }

    fn call(&mut self, request: HttpRequest<Body>) -> Self::Future {
        let answer = self.0.call(request);
        Box::pin(async move {
            let (mut head, body) = answer.await?.into_parts();
            let watch = head.extensions.remove::<Handed>().and_then(|handed| handed.take());
            let body = watch.map_or(body, |watch| Body::new(WatchBody { watch, has_ended: false }));
            Ok(HttpResponse::from_parts(head, body))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kinds_are_all_or_those_that_are_named_and_no_others() {
        assert_eq!(read_kinds(&[]).unwrap(), Kinds::ALL);
        let keys = read_kinds(&[wire::Kind::Keys.into(), wire::Kind::Keys.into()]).unwrap();
        assert!(keys.has(Kind::Keys) && !keys.has(Kind::Sessions));
        for bad in [0, 6, -1, i32::MAX] {
            let Err(Error::InvalidFields(violations)) = read_kinds(&[1, bad]) else {
                panic!("{bad} is refused")
            };
            assert!(violations[0].description.ends_with(&format!("and {bad} is none")), "{violations:?}");
        }
    }
}
