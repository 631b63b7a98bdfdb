//! Owns what a connection adds to its requests and their answers, and counting its calls until their answers are complete.

use std::{
    convert::Infallible,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
};

use http::{HeaderMap, HeaderName, HeaderValue, Request, Response};
use http_body::{Body, Frame, SizeHint};
use hyper::body::Incoming;
use tower::{Service, ServiceExt};

use crate::{
    admission::{ConnectionHandle, OpenCall},
    base::{Clock, Entropy},
    model::{REQUEST_ID_HEADER, RequestId, at_once_for_request, current_request, for_request},
    peer::{ConnectionPeer, Peer, TrustedProxies},
};

const REQUEST_ID: HeaderName = HeaderName::from_static(REQUEST_ID_HEADER);

/// By which connection a request comes, and from whom. The layers and handlers are told by extensions: a [`ConnectionHandle`], a
/// [`PeerAddress`](crate::peer::PeerAddress), a [`RequestId`], and a [`Peer`] if there is a certificate. Here, since nothing that serves
/// a request is reached past it: so every answer tells the id, whichever layer of whichever listener gives it.
#[derive(Clone)]
pub(super) struct CallOrigin {
    pub(super) connection: ConnectionHandle,
    pub(super) peer: ConnectionPeer,
    pub(super) proxies: Arc<TrustedProxies>,
    /// Who is at the other end by certificate.
    pub(super) certified: Option<Peer>,
    /// By which a request is dated that brings no id.
    pub(super) clock: Clock,
    /// Of which its id is made.
    pub(super) entropy: Entropy,
}

impl CallOrigin {
    /// Has `service` answer `request`.
    pub(super) async fn call<S, B>(
        self,
        service: S,
        mut request: Request<Incoming>,
    ) -> Result<Response<CountedBody<B>>, Infallible>
    where
        S: Service<Request<Incoming>, Response = Response<B>, Error = Infallible>,
        B: Body,
    {
        let Self { connection, peer, proxies, certified, clock, entropy } = self;
        let mut call = connection.call();
        let id = request_id(request.headers(), &clock, &entropy);
        let sender = at_once_for_request(id, || proxies.sender(peer, request.headers()));
        let extensions = request.extensions_mut();
        extensions.insert(sender);
        extensions.insert(call.handle());
        extensions.insert(id);
        if let Some(certified) = certified {
            extensions.insert(certified);
        }
        let answered = async {
            let response = service.oneshot(request).await?;
            // Envoy's question is answered under the id of the request that it asks about.
            Ok::<_, Infallible>((response, current_request().unwrap_or(id)))
        };
        let (mut response, id) = for_request(id, answered).await?;
        tell(id, response.headers_mut());
        call.answered();
        if response.body().is_end_stream() {
            call.completed();
        }
        Ok(response.map(|inner| CountedBody { inner, call, id }))
    }
}

/// The id that the sender has chosen, or a new one. Of several it is not known which one is meant, or was looked at by a proxy in front.
fn request_id(headers: &HeaderMap, clock: &Clock, entropy: &Entropy) -> RequestId {
    let mut sent = headers.get_all(REQUEST_ID).iter();
    let chosen = sent.next().filter(|_| sent.next().is_none());
    let chosen = chosen.and_then(|id| RequestId::parse(id.as_bytes()));
    chosen.unwrap_or_else(|| RequestId::new(clock.now(), entropy))
}

/// Has an answer with these `headers` tell `id`.
fn tell(id: RequestId, headers: &mut HeaderMap) {
    // An id has visible characters alone, so that it is always one.
    if let Ok(mut value) = HeaderValue::from_str(id.as_str()) {
        // It is no secret, but each is sent once: among the headers that HTTP/2 remembers it would take the place of those that recur.
        value.set_sensitive(true);
        headers.insert(REQUEST_ID, value);
    }
}

/// The body of an answer, which counts as a call until it is complete.
pub(super) struct CountedBody<B> {
    inner: B,
    call: OpenCall,
    id: RequestId,
}

impl<B: Body + Unpin> Body for CountedBody<B> {
    type Data = B::Data;
    type Error = B::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Self::Data>, Self::Error>>> {
        let polled = at_once_for_request(self.id, || Pin::new(&mut self.inner).poll_frame(context));
        let frame = ready!(polled);
        if let Some(Ok(_)) = frame {
            self.call.answered();
        }
        let is_last = match &frame {
            Some(Ok(frame)) => frame.is_trailers() || self.inner.is_end_stream(),
            Some(Err(_)) => false,
            None => true,
        };
        if is_last {
            self.call.completed();
        }
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        self.inner.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.inner.size_hint()
    }
}
