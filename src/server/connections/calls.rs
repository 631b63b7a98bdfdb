//! Owns what a connection adds to its requests, and counting its calls until their answers are complete.

use std::{
    convert::Infallible,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
};

use http::{Request, Response};
use http_body::{Body, Frame, SizeHint};
use hyper::body::Incoming;
use tower::{Service, ServiceExt};

use crate::{
    admission::{ConnectionHandle, OpenCall},
    peer::{ConnectionPeer, Peer, TrustedProxies},
};

/// By which connection a request comes, and from whom. The layers and handlers are told by extensions: a [`ConnectionHandle`], a
/// [`PeerAddress`](crate::peer::PeerAddress), and a [`Peer`] if there is a certificate. Here, since nothing that serves a request is
/// reached past it.
#[derive(Clone)]
pub(super) struct CallOrigin {
    pub(super) connection: ConnectionHandle,
    pub(super) peer: ConnectionPeer,
    pub(super) proxies: Arc<TrustedProxies>,
    /// Who is at the other end by certificate.
    pub(super) certified: Option<Peer>,
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
        let Self { connection, peer, proxies, certified } = self;
        let mut call = connection.call();
        let sender = proxies.sender(peer, request.headers());
        let extensions = request.extensions_mut();
        extensions.insert(sender);
        extensions.insert(call.handle());
        if let Some(certified) = certified {
            extensions.insert(certified);
        }
        let response = service.oneshot(request).await?;
        call.answered();
        if response.body().is_end_stream() {
            call.completed();
        }
        Ok(response.map(|inner| CountedBody { inner, call }))
    }
}

/// The body of an answer, which counts as a call until it is complete.
pub(super) struct CountedBody<B> {
    inner: B,
    call: OpenCall,
}

impl<B: Body + Unpin> Body for CountedBody<B> {
    type Data = B::Data;
    type Error = B::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Self::Data>, Self::Error>>> {
        let frame = ready!(Pin::new(&mut self.inner).poll_frame(context));
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
