//! Owns the connections of a listener: how many, how old, how they start, and how they end.
//!
//! tonic's own accept loop gives a connection no age with jitter, no cap and no deadline for its drain.

mod acceptor;
mod calls;
mod client_stream;
mod executor;
mod frames;
mod greeting;
#[cfg(test)]
mod tests;

use std::{
    convert::Infallible,
    io,
    pin::pin,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use http::{Request, Response};
use hyper::{
    body::{Bytes, Incoming},
    service::service_fn,
};
use hyper_util::{
    rt::{TokioIo, TokioTimer},
    server::conn::auto::Builder,
};
use tokio::{
    net::{TcpListener, TcpStream},
    time::{sleep, timeout},
};
use tokio_rustls::server::TlsStream;
use tokio_util::{either::Either, sync::CancellationToken, task::TaskTracker};
use tower::Service;

use super::tls::ListenerTls;
use crate::{
    admission::{
        Bounds, ConnectionHandle, ConnectionPlace, ConnectionPlaces, NoPlace, PeerShare, READ_HEADERS_FACTOR,
    },
    base::{Clock, Entropy, Throttle},
    config::LimitConfig,
    metrics::ListenerMetrics,
    model::Network,
    peer::{ConnectionPeer, Peer, TrustedProxies},
};
#[cfg(any(fuzzing, test))]
pub(crate) use client_stream::fuzz;

use acceptor::{Accepted, Acceptor};
use calls::CallOrigin;
use client_stream::ClientStream;
use executor::CallExecutor;
use greeting::Greeting;

/// How long to wait after the system refused a connection (no more file descriptors, say) before asking again.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// How often one that was accepted waits for a place.
const MAX_WAITS: usize = 10;

/// How often the log is told of connections that are refused, of each cause.
const WARN_INTERVAL: Duration = Duration::from_mins(1);

/// How long an idle connection that was asked to end may take, before it is closed.
const IDLE_GRACE: Duration = Duration::from_secs(1);

/// How often, in the drain, a connection is checked for calls in flight.
const IDLE_POLL_INTERVAL: Duration = Duration::from_millis(500);

/// How many checks in a row must find none before it ends: the end of an answer may not be written yet when the call is over.
const IDLE_POLLS: u32 = 2;

/// What a client may send ahead on one stream: the least that HTTP/2 has from its start (RFC 9113 section 6.9.2). Larger messages come
/// piece by piece, as they are read.
const STREAM_WINDOW_BYTES: u32 = 65_535;

/// What a client may send ahead on all streams of a connection: hyper's own is eight times that.
const CONNECTION_WINDOW_BYTES: u32 = 2 * STREAM_WINDOW_BYTES;

/// How many streams that were reset before they are looked at a connection may have that brings the calls of many: by default they are
/// some 20, which one client of a proxy can reach in one go.
const MAX_RESET_OF_MANY: usize = 2_048;

/// What of an answer waits on a stream to be sent, before more of it is asked for.
const SEND_BUFFER_BYTES: usize = 65_536;

/// The connections of one listener, over HTTP/1.1 or HTTP/2: each client chooses.
pub(super) struct Connections {
    /// None: in plaintext.
    tls: Option<ListenerTls>,
    builder: Builder<CallExecutor>,
    proxies: Arc<TrustedProxies>,
    limits: LimitConfig,
    /// Whether all who connect bring the calls of many clients.
    is_for_proxies: bool,
    max_streams: u32,
    read_header_bytes: u32,
    places: ConnectionPlaces,
    clock: Clock,
    entropy: Entropy,
    metrics: ListenerMetrics,
    warnings: Warnings,
    /// Cancelled when no more connections are taken and those that are open shall finish.
    draining: CancellationToken,
    /// Cancelled when those still open are cut.
    cut: CancellationToken,
    /// Whether, since the drain began, a connection was cut before its calls finished.
    unfinished: Arc<AtomicBool>,
    open: TaskTracker,
}

/// Bounds how often the log is told of each cause.
struct Warnings {
    not_accepted: Throttle,
    files_ran_out: Throttle,
    peer_full: Throttle,
    listener_full: Throttle,
}

/// Which service a listener has.
pub(super) trait HttpService<B>:
    Service<Request<Incoming>, Response = Response<B>, Error = Infallible, Future: Send>
    + Clone
    + Send
    + Sync
    + 'static
{
}

impl<S, B> HttpService<B> for S where
    S: Service<Request<Incoming>, Response = Response<B>, Error = Infallible, Future: Send>
        + Clone
        + Send
        + Sync
        + 'static
{
}

/// What a listener answers with.
pub(super) trait HttpAnswer:
    http_body::Body<Data = Bytes, Error: Into<Box<dyn std::error::Error + Send + Sync>>> + Send + Unpin + 'static
{
}

impl<B> HttpAnswer for B where
    B: http_body::Body<Data = Bytes, Error: Into<Box<dyn std::error::Error + Send + Sync>>>
        + Send
        + Unpin
        + 'static
{
}

impl Connections {
    pub(super) fn new(
        tls: Option<ListenerTls>,
        proxies: Arc<TrustedProxies>,
        limits: LimitConfig,
        bounds: &Bounds,
        clock: Clock,
        entropy: Entropy,
        metrics: ListenerMetrics,
    ) -> Self {
        let mut builder = Builder::new(CallExecutor);
        let read_header_bytes = limits.max_header_bytes.saturating_mul(READ_HEADERS_FACTOR);
        builder
            .http2()
            .timer(TokioTimer::new())
            .max_concurrent_streams(bounds.max_concurrent_streams)
            .max_header_list_size(read_header_bytes)
            .initial_stream_window_size(STREAM_WINDOW_BYTES)
            .initial_connection_window_size(CONNECTION_WINDOW_BYTES)
            .max_send_buf_size(SEND_BUFFER_BYTES)
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
            is_for_proxies: false,
            max_streams: bounds.max_concurrent_streams,
            read_header_bytes,
            places: ConnectionPlaces::new(bounds, limits.request_timeout),
            limits,
            clock,
            entropy,
            metrics,
            warnings: Warnings {
                not_accepted: Throttle::new(WARN_INTERVAL),
                files_ran_out: Throttle::new(WARN_INTERVAL),
                peer_full: Throttle::new(WARN_INTERVAL),
                listener_full: Throttle::new(WARN_INTERVAL),
            },
            draining: CancellationToken::new(),
            cut: CancellationToken::new(),
            unfinished: Arc::default(),
            open: TaskTracker::new(),
        }
    }

    /// The same, for a listener at which proxies ask on behalf of their clients.
    pub(super) fn for_proxies(self) -> Self {
        Self { is_for_proxies: true, ..self }
    }

    /// The same, for a listener at which each peer gives up connections for itself: [`ConnectionPlaces::renewing`].
    pub(super) fn renewing(self) -> Self {
        Self { places: self.places.renewing(), ..self }
    }

    /// Accepts connections and serves them with `service`, until [`Self::drain`] is called.
    pub(super) async fn serve<B: HttpAnswer>(&self, listener: TcpListener, service: impl HttpService<B>) {
        let mut acceptor = Acceptor::new(listener);
        loop {
            let accepted = tokio::select! {
                accepted = acceptor.accept() => accepted,
                () = self.draining.cancelled() => return,
            };
            let Accepted { stream, addr, took_spare } = match accepted {
                Ok(accepted) => accepted,
                Err(error) => {
                    self.not_accepted(&error).await;
                    continue;
                }
            };
            if took_spare {
                self.files_ran_out();
            }
            let peer = self.proxies.connection(addr);
            let handle = if self.is_for_proxies || peer.is_trusted_proxy() {
                ConnectionHandle::new_of_many(self.clock.clone())
            } else {
                ConnectionHandle::new(self.clock.clone())
            };
            // Closing at once tells the client to go elsewhere; leaving it in the backlog would let it hang.
            let place = match self.place(peer, &handle).await {
                Ok(place) => place,
                Err(why) => {
                    self.refused(why, peer.network());
                    continue;
                }
            };
            let counted = self.metrics.accepted();
            let connection = self.connection(stream, peer, handle.clone(), service.clone());
            let metrics = self.metrics.clone();
            self.open.spawn(async move {
                let _held = (place, counted);
                connection.await;
                if let Some(why) = handle.ending() {
                    metrics.ended_early(why.name());
                }
            });
        }
    }

    /// Stops accepting, lets the calls in flight finish within `within`, and cuts what is left. Connections without such calls are not
    /// waited for: whether their clients say that they have heard of the end is up to them.
    /// Returns whether all calls finished.
    pub(super) async fn drain(&self, within: Duration) -> bool {
        self.draining.cancel();
        self.open.close();
        // Each connection that is left then knows whether it has calls.
        let _ = timeout(within, self.open.wait()).await;
        self.cut.cancel();
        self.open.wait().await;
        !self.unfinished.load(Ordering::Relaxed)
    }

    /// A place for the connection `handle` of `peer`. If another is cut for it, waits until that has gone.
    async fn place(
        &self,
        peer: ConnectionPeer,
        handle: &ConnectionHandle,
    ) -> Result<ConnectionPlace, NoPlace> {
        let share = if peer.is_trusted_proxy() { PeerShare::All } else { PeerShare::Ordinary };
        for _ in 0..MAX_WAITS {
            match self.places.take(peer.network(), share, handle) {
                // Its task has only to be run. Should that take longer, it is asked again.
                Err(NoPlace::NotYet) => drop(timeout(ACCEPT_PAUSE, self.places.freed()).await),
                taken => return taken,
            }
        }
        Err(NoPlace::Listener)
    }

    /// The system has not let a connection be accepted.
    async fn not_accepted(&self, error: &io::Error) {
        // A client that has gone again says nothing of the next one.
        if matches!(error.kind(), io::ErrorKind::ConnectionAborted | io::ErrorKind::ConnectionReset) {
            return;
        }
        let now = self.clock.monotonic();
        if let Some(held_back) = self.warnings.not_accepted.pass(now) {
            let listener = self.metrics.name();
            tracing::warn!(listener, error = %error, held_back, "a connection could not be accepted");
        }
        // Perhaps there are no more files to open.
        self.places.make_room(now);
        sleep(ACCEPT_PAUSE).await;
    }

    /// The last file was taken for a connection.
    fn files_ran_out(&self) {
        let now = self.clock.monotonic();
        if let Some(held_back) = self.warnings.files_ran_out.pass(now) {
            let listener = self.metrics.name();
            tracing::warn!(
                listener,
                held_back,
                "the process may open no more files: idle connections end for those that come"
            );
        }
        self.places.make_room(now);
    }

    /// A connection of `network` was closed at once.
    fn refused(&self, why: NoPlace, network: Network) {
        let (now, listener) = (self.clock.monotonic(), self.metrics.name());
        self.metrics.refused(why.name());
        match why {
            NoPlace::Peer => {
                if let Some(held_back) = self.warnings.peer_full.pass(now) {
                    tracing::warn!(
                        listener,
                        peer = %network,
                        held_back,
                        "connections of a peer are closed at once: it has as many as one may have"
                    );
                }
            }
            NoPlace::Listener | NoPlace::NotYet => {
                if let Some(held_back) = self.warnings.listener_full.pass(now) {
                    let (peer, connections) = self.places.busiest().unwrap_or((network, 0));
                    tracing::warn!(
                        listener,
                        held_back,
                        busiest_peer = %peer,
                        its_connections = connections,
                        "connections are closed at once: there are as many as --max-connections, and none is idle"
                    );
                }
            }
        }
    }

    /// The life of one connection.
    fn connection<S: HttpService<B>, B: HttpAnswer>(
        &self,
        stream: TcpStream,
        peer: ConnectionPeer,
        handle: ConnectionHandle,
        service: S,
    ) -> impl Future<Output = ()> + Send + use<S, B> {
        let (mut builder, tls, metrics) = (self.builder.clone(), self.tls.clone(), self.metrics.clone());
        if handle.is_of_many() {
            builder.http2().max_pending_accept_reset_streams(MAX_RESET_OF_MANY);
        }
        let (proxies, clock, entropy) = (Arc::clone(&self.proxies), self.clock.clone(), self.entropy.clone());
        let (max_streams, read_header_bytes) = (self.max_streams, self.read_header_bytes);
        let patience = self.limits.keepalive_timeout;
        let life = self.life();
        async move {
            // Answers are small and each is wanted at once. Where that cannot be had, it goes without.
            let _ = stream.set_nodelay(true);
            let opened = tokio::select! {
                opened = timeout(patience, open(stream, tls, &metrics)) => opened,
                // Nothing has been asked yet.
                () = life.draining.cancelled() => return,
                () = handle.retired() => return,
                () = handle.closed() => return,
            };
            let (stream, greeting, certified) = match opened {
                Ok(Ok(opened)) => opened,
                Ok(Err(error)) => {
                    tracing::debug!(peer = %peer.address(), error = %error, "a connection did not come about");
                    return;
                }
                Err(_) => return,
            };
            let stream =
                ClientStream::new(stream, greeting, handle.clone(), max_streams, read_header_bytes, patience);
            let origin = CallOrigin { connection: handle.clone(), peer, proxies, certified, clock, entropy };
            let service = service_fn(move |request| origin.clone().call(service.clone(), request));
            let mut connection = pin!(builder.serve_connection(TokioIo::new(stream), service));
            let grace = tokio::select! {
                _ = &mut connection => return,
                () = handle.closed() => return,
                () = handle.retired() => IDLE_GRACE,
                () = sleep(life.age) => life.grace,
                () = life.draining.cancelled() => life.grace,
            };
            connection.as_mut().graceful_shutdown();
            tokio::select! {
                _ = &mut connection => {}
                () = handle.closed() => {}
                () = life.is_over(&handle) => {}
                () = life.grace_ends(grace, &handle) => life.tell_that_it_is_cut(&handle),
                () = life.cut.cancelled() => life.tell_that_it_is_cut(&handle),
            }
        }
    }

    /// How long a new connection may live.
    fn life(&self) -> Life {
        Life {
            // A tenth more or less, so that connections made together do not end together.
            age: self.entropy.part_of(self.limits.max_connection_age, 0.9..1.1),
            grace: self.limits.drain_timeout,
            draining: self.draining.clone(),
            cut: self.cut.clone(),
            unfinished: Arc::clone(&self.unfinished),
        }
    }
}

/// How long a connection may live.
struct Life {
    /// When it is asked to end.
    age: Duration,
    /// How long its calls may then take.
    grace: Duration,
    draining: CancellationToken,
    cut: CancellationToken,
    unfinished: Arc<AtomicBool>,
}

impl Life {
    /// Waits until `grace` is over, and what has begun meanwhile had its time as well.
    async fn grace_ends(&self, grace: Duration, handle: &ConnectionHandle) {
        sleep(grace).await;
        // A call may have come while an idle connection was asked to end.
        if !handle.is_idle() {
            sleep(self.grace.saturating_sub(grace)).await;
        }
    }

    /// Waits until the drain has begun, and the connection has had no calls in flight for a moment. Who then leaves a message half sent,
    /// or a PING unanswered, ends nothing later than others do.
    async fn is_over(&self, handle: &ConnectionHandle) {
        self.draining.cancelled().await;
        let mut polls = 0;
        while polls < IDLE_POLLS {
            sleep(IDLE_POLL_INTERVAL).await;
            polls = if handle.has_calls() { 0 } else { polls + 1 };
        }
    }

    /// The connection is cut now, by its own time or since the drain's is over.
    fn tell_that_it_is_cut(&self, handle: &ConnectionHandle) {
        if !handle.has_calls() {
            return;
        }
        tracing::debug!("a connection was cut: its calls did not finish in time");
        if self.draining.is_cancelled() {
            self.unfinished.store(true, Ordering::Relaxed);
        }
    }
}

/// Reads the greeting of a connection, after the handshake if there is TLS. Returns who is at its other end, if that has shown a
/// certificate.
async fn open(
    stream: TcpStream,
    tls: Option<ListenerTls>,
    metrics: &ListenerMetrics,
) -> io::Result<(Either<TcpStream, Box<TlsStream<TcpStream>>>, Greeting, Option<Peer>)> {
    let (mut stream, peer) = match tls {
        None => (Either::Left(stream), None),
        Some(tls) => {
            let handshake = metrics.handshake();
            // On the heap: connections in plaintext have no use for its room.
            let (stream, peer) = Box::pin(tls.accept(stream)).await?;
            handshake.succeeded();
            (Either::Right(Box::new(stream)), peer)
        }
    };
    let greeting = greeting::read(&mut stream).await?;
    Ok((stream, greeting, peer))
}
