//! Owns what a connection adds to its requests and their answers, in which pieces those are sent, and counting its calls until their
//! answers are complete.

use std::{
    convert::Infallible,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
};

use http::{
    HeaderMap, HeaderName, HeaderValue, Request, Response, StatusCode, Version,
    header::{CONTENT_TYPE, HOST},
};
use http_body::{Body, Frame, SizeHint};
use hyper::body::{Bytes, Incoming};
use tower::{Service, ServiceExt};

use crate::{
    admission::{ConnectionHandle, OpenCall},
    base::{Clock, Entropy},
    model::{REQUEST_ID_HEADER, RequestId, at_once_for_request, current_request, for_request},
    peer::{ConnectionPeer, Peer, TrustedProxies},
};

const REQUEST_ID: HeaderName = HeaderName::from_static(REQUEST_ID_HEADER);

/// The longest piece of an answer that h2 copies into the buffer of its frames, to write it with others. A longer one waits until all
/// before it is written, and takes two writes (see [`ClientStream`](super::client_stream::ClientStream)).
const COPIED_BYTES: usize = 1_023;

/// Up to which length an answer is cut into pieces that are copied: beyond it the writes are few for its bytes.
const CUT_BYTES: usize = 8_192;

/// What whoever names no host, or several, is told: nothing that answers in its own form has seen the request.
const ONE_HOST: &str = "an HTTP/1.1 request has one `Host` (RFC 9112 section 3.2)\n";

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
        B: Body<Data = Bytes>,
    {
        let Self { connection, peer, proxies, certified, clock, entropy } = self;
        let mut call = connection.call();
        let id = request_id(request.headers(), &clock, &entropy);
        let is_cut = request.version() == Version::HTTP_2;
        let sender = at_once_for_request(id, || proxies.sender(peer, request.headers()));
        let extensions = request.extensions_mut();
        extensions.insert(sender);
        extensions.insert(call.handle());
        extensions.insert(id);
        if let Some(certified) = certified {
            extensions.insert(certified);
        }
        let answered = async {
            let response =
                if has_one_host(&request) { service.oneshot(request).await?.map(Some) } else { no_host() };
            // Envoy's question is answered under the id of the request that it asks about.
            Ok::<_, Infallible>((response, current_request().unwrap_or(id)))
        };
        let (mut response, id) = for_request(id, answered).await?;
        tell(id, response.headers_mut());
        call.answered();
        if response.body().as_ref().is_some_and(Body::is_end_stream) {
            call.completed();
        }
        let rest =
            if response.body().is_some() { Bytes::new() } else { Bytes::from_static(ONE_HOST.as_bytes()) };
        Ok(response.map(|inner| CountedBody { inner, call, id, is_cut, rest }))
    }
}

/// Whether `request` has a `Host` as HTTP/1 wants it: which of two a proxy in front has looked at cannot be told. hyper takes both none and
/// several. HTTP/1.0 may leave it out, as probes of load balancers do, and HTTP/2 has `:authority`.
fn has_one_host<B>(request: &Request<B>) -> bool {
    let hosts = request.headers().get_all(HOST).iter().count();
    match request.version() {
        Version::HTTP_11 => hosts == 1,
        Version::HTTP_09 | Version::HTTP_10 => hosts <= 1,
        _ => true,
    }
}

/// The answer, without its body, to a request that has not one host.
fn no_host<B>() -> Response<Option<B>> {
    let mut response = Response::new(None);
    *response.status_mut() = StatusCode::BAD_REQUEST;
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("text/plain; charset=utf-8"));
    response
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
    /// None if all that is sent is the rest.
    inner: Option<B>,
    call: OpenCall,
    id: RequestId,
    /// Whether it is sent in pieces that are copied.
    is_cut: bool,
    /// What of such an answer is still to be sent.
    rest: Bytes,
}

impl<B> CountedBody<B> {
    /// The next piece of `data`, of which the rest is kept.
    fn cut(&mut self, mut data: Bytes) -> Bytes {
        if self.is_cut && (COPIED_BYTES + 1..=CUT_BYTES).contains(&data.len()) {
            self.rest = data.split_off(COPIED_BYTES);
        }
        data
    }

    /// The next piece of the rest, if there is one.
    fn next_of_rest(&mut self) -> Option<Bytes> {
        let rest = std::mem::take(&mut self.rest);
        (!rest.is_empty()).then(|| self.cut(rest))
    }
}

impl<B: Body<Data = Bytes> + Unpin> Body for CountedBody<B> {
    type Data = Bytes;
    type Error = B::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Self::Data>, Self::Error>>> {
        let frame = if let Some(piece) = self.next_of_rest() {
            Some(Ok(Frame::data(piece)))
        } else {
            let id = self.id;
            let Some(inner) = &mut self.inner else { return Poll::Ready(None) };
            let polled = at_once_for_request(id, || Pin::new(inner).poll_frame(context));
            ready!(polled).map(|frame| frame.map(|frame| frame.map_data(|data| self.cut(data))))
        };
        if let Some(Ok(_)) = frame {
            self.call.answered();
        }
        let is_last = match &frame {
            Some(Ok(frame)) => frame.is_trailers() || self.is_end_stream(),
            Some(Err(_)) => false,
            None => true,
        };
        if is_last {
            self.call.completed();
        }
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        self.rest.is_empty() && self.inner.as_ref().is_none_or(Body::is_end_stream)
    }

    fn size_hint(&self) -> SizeHint {
        let inner = self.inner.as_ref().map_or_else(|| SizeHint::with_exact(0), Body::size_hint);
        let rest = u64::try_from(self.rest.len()).unwrap_or(u64::MAX);
        let mut hint = SizeHint::new();
        hint.set_lower(inner.lower().saturating_add(rest));
        if let Some(upper) = inner.upper() {
            hint.set_upper(upper.saturating_add(rest));
        }
        hint
    }
}

#[cfg(test)]
mod tests {
    use http_body_util::{BodyExt, Full};

    use super::*;
    use crate::base::Timestamp;

    #[tokio::test]
    async fn an_answer_of_some_kilobytes_is_sent_in_pieces_that_are_copied() {
        for (bytes, is_cut, pieces) in [
            (1_023, true, vec![1_023]),
            (1_024, true, vec![1_023, 1]),
            (2_500, true, vec![1_023, 1_023, 454]),
            (8_193, true, vec![8_193]),
            (2_500, false, vec![2_500]),
        ] {
            let connection = ConnectionHandle::new(Clock::manual(Timestamp::from_micros(0)));
            let said: Vec<u8> = (0..=u8::MAX).cycle().take(bytes).collect();
            let mut body = CountedBody {
                inner: Some(Full::new(Bytes::from(said.clone()))),
                call: connection.call(),
                id: RequestId::parse(b"x").unwrap(),
                is_cut,
                rest: Bytes::new(),
            };
            let (mut sent, mut lengths) = (Vec::new(), Vec::new());
            while let Some(frame) = body.frame().await {
                let piece = frame.unwrap().into_data().unwrap();
                lengths.push(piece.len());
                sent.extend_from_slice(&piece);
                let left = bytes - sent.len();
                assert_eq!(body.size_hint().exact(), u64::try_from(left).ok());
                assert_eq!(body.is_end_stream(), left == 0);
            }
            assert_eq!((lengths, sent), (pieces, said));
        }
    }
}
