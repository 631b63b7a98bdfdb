//! Owns the connections: how many, how old, how they start, and how they end.
//!
//! tonic's own accept loop gives a connection no age with jitter, no cap and no deadline for its drain.

use std::{convert::Infallible, io, net::SocketAddr, pin::pin, sync::Arc, time::Duration};

use http::{Request, Response};
use hyper::body::Incoming;
use hyper_util::{
    rt::{TokioExecutor, TokioIo, TokioTimer},
    server::conn::auto::Builder,
    service::TowerToHyperService,
};
use rand::RngExt;
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::{TcpListener, TcpStream},
    sync::Semaphore,
    time::{sleep, timeout},
};
use tokio_util::{either::Either, sync::CancellationToken, task::TaskTracker};
use tower::{Service, ServiceExt};

use super::{greeting, tls::ListenerTls};
use crate::{
    admission::{Bounds, ConnectionHandle},
    config::LimitConfig,
    metrics::ListenerMetrics,
    peer::{ConnectionPeer, Peer, TrustedProxies},
};

/// How long to wait after the system refused a connection (no more file descriptors, say) before asking again.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// How far beyond their limit headers are still read, as a multiple of it: what hyper itself refuses, it refuses by a bare
/// status that clients can make little of, so the layer above must get to see it first.
const READ_HEADERS_FACTOR: u32 = 4;

/// The connections of one listener, over HTTP/1.1 or HTTP/2: each client chooses.
pub(super) struct Connections {
    /// None: in plaintext.
    tls: Option<ListenerTls>,
    builder: Builder<TokioExecutor>,
    proxies: Arc<TrustedProxies>,
    limits: LimitConfig,
    most: usize,
    metrics: ListenerMetrics,
    /// Cancelled when no more connections are taken and those that are open shall finish.
    draining: CancellationToken,
    /// Cancelled when those still open are cut.
    cut: CancellationToken,
    open: TaskTracker,
}

impl Connections {
    pub(super) fn new(
        tls: Option<ListenerTls>,
        proxies: Arc<TrustedProxies>,
        limits: LimitConfig,
        bounds: &Bounds,
        metrics: ListenerMetrics,
    ) -> Self {
        let mut builder = Builder::new(TokioExecutor::new());
        let read_header_bytes = limits.max_header_bytes.saturating_mul(READ_HEADERS_FACTOR);
        builder
            .http2()
            .timer(TokioTimer::new())
            .max_concurrent_streams(bounds.max_concurrent_streams)
            .max_header_list_size(read_header_bytes)
            .keep_alive_interval(limits.keepalive_interval)
            .keep_alive_timeout(limits.keepalive_timeout);
        // The timer bounds how long a request's head may take.
        builder
            .http1()
            .timer(TokioTimer::new())
            .header_read_timeout(limits.keepalive_timeout)
            .max_buf_size(usize::try_from(read_header_bytes).unwrap_or(usize::MAX));
        Self {
            tls,
            builder,
            proxies,
            limits,
            most: bounds.max_connections,
            metrics,
            draining: CancellationToken::new(),
            cut: CancellationToken::new(),
            open: TaskTracker::new(),
        }
    }

    /// Accepts connections and serves them with `service`, until [`Self::drain`] is called.
    pub(super) async fn serve<S, B>(&self, listener: TcpListener, service: S)
    where
        S: Service<Request<Incoming>, Response = Response<B>, Error = Infallible>
            + Clone
            + Send
            + Sync
            + 'static,
        S::Future: Send,
        B: http_body::Body + Send + 'static,
        B::Data: Send,
        B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
    {
        let places = Arc::new(Semaphore::new(self.most));
        loop {
            let accepted = tokio::select! {
                accepted = listener.accept() => accepted,
                () = self.draining.cancelled() => return,
            };
            let (stream, peer) = match accepted {
                Ok((stream, peer)) => (stream, peer),
                Err(error) => {
                    tracing::warn!(error = %error, "a connection could not be accepted");
                    sleep(ACCEPT_PAUSE).await;
                    continue;
                }
            };
            // Closing at once tells the client to go elsewhere; leaving it in the backlog would let it hang.
            let Ok(place) = Arc::clone(&places).try_acquire_owned() else {
                self.metrics.refused();
                tracing::debug!("a connection was closed: there are as many as allowed");
                continue;
            };
            let counted = self.metrics.accepted();
            let connection = self.connection(stream, peer, service.clone());
            self.open.spawn(async move {
                let _held = (place, counted);
                connection.await;
            });
        }
    }

    /// Stops accepting, lets the calls in flight finish within the drain timeout, and cuts what is left.
    /// Returns whether all finished.
    pub(super) async fn drain(&self) -> bool {
        self.draining.cancel();
        self.open.close();
        let finished = timeout(self.limits.drain_timeout, self.open.wait()).await.is_ok();
        self.cut.cancel();
        self.open.wait().await;
        finished
    }

    /// The life of one connection.
    fn connection<S, B>(
        &self,
        stream: TcpStream,
        addr: SocketAddr,
        service: S,
    ) -> impl Future<Output = ()> + Send + use<S, B>
    where
        S: Service<Request<Incoming>, Response = Response<B>, Error = Infallible>
            + Clone
            + Send
            + Sync
            + 'static,
        S::Future: Send,
        B: http_body::Body + Send + 'static,
        B::Data: Send,
        B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
    {
        let (builder, draining, cut) = (self.builder.clone(), self.draining.clone(), self.cut.clone());
        let (tls, metrics) = (self.tls.clone(), self.metrics.clone());
        let proxies = Arc::clone(&self.proxies);
        let (greeting_timeout, grace) = (self.limits.keepalive_timeout, self.limits.drain_timeout);
        // A tenth more or less, so that connections made together do not end together.
        let age = self.limits.max_connection_age.mul_f64(rand::rng().random_range(0.9..1.1));
        async move {
            // Answers are small and each is wanted at once. Where that cannot be had, it goes without.
            let _ = stream.set_nodelay(true);
            let greeted = tokio::select! {
                greeted = timeout(greeting_timeout, open(stream, tls, &metrics)) => greeted,
                // Nothing has been asked yet.
                () = draining.cancelled() => return,
            };
            let (stream, peer) = match greeted {
                Ok(Ok(opened)) => opened,
                Ok(Err(error)) => {
                    tracing::debug!(peer = %addr, error = %error, "a connection did not come about");
                    return;
                }
                Err(_) => return,
            };
            let handle = ConnectionHandle::default();
            let service = from(proxies.connection(addr), proxies, peer, handle.clone(), service);
            let mut connection =
                pin!(builder.serve_connection(TokioIo::new(stream), TowerToHyperService::new(service)));
            tokio::select! {
                _ = &mut connection => return,
                () = handle.closed() => return,
                () = sleep(age) => {}
                () = draining.cancelled() => {}
            }
            connection.as_mut().graceful_shutdown();
            tokio::select! {
                _ = &mut connection => {}
                () = handle.closed() => {}
                () = sleep(grace) => tracing::debug!("a connection was cut: its calls did not finish in time"),
                () = cut.cancelled() => {}
            }
        }
    }
}

/// Reads the greeting of a connection, after the handshake if there is TLS. Returns who is at its other end, if that has shown a
/// certificate.
async fn open(
    stream: TcpStream,
    tls: Option<ListenerTls>,
    metrics: &ListenerMetrics,
) -> io::Result<(impl AsyncRead + AsyncWrite + Unpin + Send + 'static, Option<Peer>)> {
    let (reader, writer, peer) = match tls {
        None => {
            let (reader, writer) = stream.into_split();
            (Either::Left(reader), Either::Left(writer), None)
        }
        Some(tls) => {
            let handshake = metrics.handshake();
            // On the heap: connections in plaintext have no use for its room.
            let (stream, peer) = Box::pin(tls.accept(stream)).await?;
            handshake.succeeded();
            let (reader, writer) = tokio::io::split(stream);
            (Either::Right(reader), Either::Right(writer), peer)
        }
    };
    Ok((greeting::read(reader, writer).await?, peer))
}

/// Tells the layers and handlers by which connection a request comes and from whom: as extensions, a [`ConnectionHandle`], a
/// [`PeerAddress`](crate::peer::PeerAddress), and a [`Peer`] if there is a certificate. Here, since nothing that serves a request is
/// reached past it.
fn from<S, B>(
    connection: ConnectionPeer,
    proxies: Arc<TrustedProxies>,
    peer: Option<Peer>,
    handle: ConnectionHandle,
    service: S,
) -> impl Service<Request<Incoming>, Response = Response<B>, Error = Infallible, Future: Send>
+ Clone
+ Send
+ Sync
+ 'static
where
    S: Service<Request<Incoming>, Response = Response<B>, Error = Infallible> + Clone + Send + Sync + 'static,
    S::Future: Send,
{
    service.map_request(move |mut request: Request<Incoming>| {
        let sender = proxies.sender(connection, request.headers());
        request.extensions_mut().insert(sender);
        request.extensions_mut().insert(handle.clone());
        if let Some(peer) = &peer {
            request.extensions_mut().insert(peer.clone());
        }
        request
    })
}
