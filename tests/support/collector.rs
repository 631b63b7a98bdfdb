//! Owns collectors of traces that run in the test: one that speaks OTLP over gRPC, one over HTTP, and one that never answers.

use std::{
    collections::BTreeMap,
    convert::Infallible,
    net::SocketAddr,
    sync::{
        Arc, Mutex,
        atomic::{AtomicI64, Ordering},
    },
};

use futures_util::FutureExt;
use http::{HeaderMap, Response};
use http_body_util::{BodyExt, Full};
use hyper::{
    body::{Bytes, Incoming},
    service::service_fn,
};
use hyper_util::{
    rt::{TokioExecutor, TokioIo},
    server::conn::auto::Builder,
};
use prost::Message;
use signet::proto::opentelemetry::proto::{
    collector::trace::v1::{
        ExportTracePartialSuccess, ExportTraceServiceRequest, ExportTraceServiceResponse,
        trace_service_server::{TraceService, TraceServiceServer},
    },
    common::v1::{KeyValue, any_value::Value},
};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::{TcpListener, TcpStream},
    sync::OwnedMutexGuard,
    time::Instant,
};
use tonic::{
    Status,
    transport::{Identity, Server, ServerTlsConfig, server::TcpIncoming},
};

use super::pki::Issued;

/// A collector, and what it was sent.
#[derive(Clone)]
pub(crate) struct Collector {
    pub(crate) addr: SocketAddr,
    taken: Taken,
}

#[derive(Clone, Default)]
struct Taken {
    sent: Arc<Mutex<Vec<Sent>>>,
    /// How many spans it says of each request that it has rejected.
    rejected_spans: Arc<AtomicI64>,
    /// Whoever has it lets it answer nobody.
    answering: Arc<tokio::sync::Mutex<()>>,
}

/// One request to it.
#[derive(Clone)]
pub(crate) struct Sent {
    /// Where it came; of gRPC `/`.
    pub(crate) path: String,
    pub(crate) at: Instant,
    pub(crate) headers: HeaderMap,
    pub(crate) request: ExportTraceServiceRequest,
}

/// A span, as those see it who look at traces.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct SeenSpan {
    pub(crate) name: String,
    pub(crate) trace: String,
    pub(crate) id: String,
    pub(crate) parent: String,
    /// 1: internal, 2: server, 3: client.
    pub(crate) kind: i32,
    pub(crate) is_error: bool,
    pub(crate) attributes: BTreeMap<String, String>,
}

impl Collector {
    /// One that speaks gRPC.
    pub(crate) async fn grpc() -> Self {
        Self::of_grpc(Server::builder()).await
    }

    /// The same by TLS, which shows `certificate`.
    pub(crate) async fn grpc_by_tls(certificate: &Issued) -> Self {
        let identity = Identity::from_pem(&certificate.cert, &certificate.key);
        Self::of_grpc(Server::builder().tls_config(ServerTlsConfig::new().identity(identity)).unwrap()).await
    }

    async fn of_grpc(mut server: Server) -> Self {
        let (listener, addr) = listen().await;
        let taken = Taken::default();
        let service = TraceServiceServer::new(taken.clone());
        tokio::spawn(server.add_service(service).serve_with_incoming(TcpIncoming::from(listener)));
        Self { addr, taken }
    }

    /// One that speaks HTTP.
    pub(crate) async fn http() -> Self {
        Self::of_http(|stream| std::future::ready(Some(stream))).await
    }

    /// The same by TLS, which shows `certificate`.
    pub(crate) async fn http_by_tls(certificate: &Issued) -> Self {
        let acceptor = certificate.acceptor();
        Self::of_http(move |stream| acceptor.accept(stream).map(Result::ok)).await
    }

    /// One whose connections are `opened`, if they can be.
    async fn of_http<S, F>(opened: impl Fn(TcpStream) -> F + Send + 'static) -> Self
    where
        S: AsyncRead + AsyncWrite + Send + Unpin + 'static,
        F: Future<Output = Option<S>> + Send + 'static,
    {
        let (listener, addr) = listen().await;
        let taken = Taken::default();
        let all = taken.clone();
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let (taken, opened) = (all.clone(), opened(stream));
                let service = service_fn(move |request| take_http(taken.clone(), request));
                tokio::spawn(async move {
                    let Some(stream) = opened.await else { return };
                    let builder = Builder::new(TokioExecutor::new());
                    let _ = builder.serve_connection(TokioIo::new(stream), service).await;
                });
            }
        });
        Self { addr, taken }
    }

    /// One that takes connections and never answers.
    pub(crate) async fn that_hangs() -> Self {
        let (listener, addr) = listen().await;
        tokio::spawn(async move {
            let mut held = Vec::new();
            while let Ok((stream, _)) = listener.accept().await {
                held.push(stream);
            }
        });
        Self { addr, taken: Taken::default() }
    }

    /// Its URL.
    pub(crate) fn url(&self) -> String {
        format!("http://{}", self.addr)
    }

    /// What it was sent.
    pub(crate) fn sent(&self) -> Vec<Sent> {
        self.taken.sent.lock().unwrap().clone()
    }

    /// Lets it answer nobody, although it takes what comes, until what is returned is dropped.
    pub(crate) async fn hold(&self) -> OwnedMutexGuard<()> {
        Arc::clone(&self.taken.answering).lock_owned().await
    }

    /// Has it say of each request that it has rejected so many spans.
    pub(crate) fn reject(&self, spans: i64) {
        self.taken.rejected_spans.store(spans, Ordering::Relaxed);
    }

    /// All spans that it was sent.
    pub(crate) fn spans(&self) -> Vec<SeenSpan> {
        let sent = self.sent();
        let resources = sent.iter().flat_map(|sent| &sent.request.resource_spans);
        let spans = resources.flat_map(|resource| &resource.scope_spans).flat_map(|scope| &scope.spans);
        spans
            .map(|span| SeenSpan {
                name: span.name.clone(),
                trace: hex::encode(&span.trace_id),
                id: hex::encode(&span.span_id),
                parent: hex::encode(&span.parent_span_id),
                kind: span.kind,
                is_error: span.status.as_ref().is_some_and(|status| status.code == 2),
                attributes: shown(&span.attributes),
            })
            .collect()
    }

    /// What the first request said that its spans are of.
    pub(crate) fn resource(&self) -> BTreeMap<String, String> {
        let sent = self.sent();
        shown(&sent[0].request.resource_spans[0].resource.as_ref().unwrap().attributes)
    }
}

async fn listen() -> (TcpListener, SocketAddr) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let addr = listener.local_addr().unwrap();
    (listener, addr)
}

fn shown(attributes: &[KeyValue]) -> BTreeMap<String, String> {
    let value = |attribute: &KeyValue| match attribute.value.as_ref().and_then(|value| value.value.as_ref()) {
        Some(Value::StringValue(text)) => text.clone(),
        Some(Value::IntValue(number)) => number.to_string(),
        other => panic!("{other:?}"),
    };
    attributes.iter().map(|attribute| (attribute.key.clone(), value(attribute))).collect()
}

async fn take_http(
    taken: Taken,
    request: http::Request<Incoming>,
) -> Result<Response<Full<Bytes>>, Infallible> {
    let (head, body) = request.into_parts();
    let body = body.collect().await.unwrap().to_bytes();
    let request = ExportTraceServiceRequest::decode(body).unwrap();
    let answer = taken.take(head.uri.path(), head.headers, request).await;
    Ok(Response::new(Full::from(answer.encode_to_vec())))
}

impl Taken {
    async fn take(
        &self,
        path: &str,
        headers: HeaderMap,
        request: ExportTraceServiceRequest,
    ) -> ExportTraceServiceResponse {
        let sent = Sent { path: path.to_owned(), at: Instant::now(), headers, request };
        self.sent.lock().unwrap().push(sent);
        drop(self.answering.lock().await);
        let rejected_spans = self.rejected_spans.load(Ordering::Relaxed);
        let partial = ExportTracePartialSuccess { rejected_spans, ..ExportTracePartialSuccess::default() };
        ExportTraceServiceResponse { partial_success: (rejected_spans > 0).then_some(partial) }
    }
}

#[tonic::async_trait]
impl TraceService for Taken {
    async fn export(
        &self,
        request: tonic::Request<ExportTraceServiceRequest>,
    ) -> Result<tonic::Response<ExportTraceServiceResponse>, Status> {
        let headers = request.metadata().clone().into_headers();
        Ok(tonic::Response::new(self.take("/", headers, request.into_inner()).await))
    }
}
