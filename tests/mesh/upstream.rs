//! Owns the service behind the sidecar: it answers every request with the headers that it saw, or with what it is told to say.

use std::{convert::Infallible, fmt::Write, net::SocketAddr};

use bytes::Bytes;
use http::{HeaderMap, Request, Response};
use http_body_util::{BodyExt, Full, combinators::BoxBody};
use hyper::{body::Incoming, service::service_fn};
use hyper_util::rt::{TokioExecutor, TokioIo};
use prost::Message;
use tokio::{net::TcpListener, task::JoinHandle};

/// A service that ends with the test.
pub(crate) struct Upstream {
    pub(crate) addr: SocketAddr,
    serving: JoinHandle<()>,
}

impl Upstream {
    /// One that answers with the headers that it saw.
    pub(crate) async fn start() -> Self {
        Self::answering(echo).await
    }

    /// One that answers `text` to everything.
    pub(crate) async fn saying(text: String) -> Self {
        Self::answering(move |_| Response::new(Full::from(text.clone()).boxed())).await
    }

    async fn answering(answer: impl Fn(&Request<Incoming>) -> Answer + Clone + Send + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let addr = listener.local_addr().unwrap();
        let serving = tokio::spawn(async move {
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                let answer = answer.clone();
                tokio::spawn(async move {
                    let answer = move |request| {
                        let answer = answer(&request);
                        async { Ok::<_, Infallible>(answer) }
                    };
                    let server = hyper_util::server::conn::auto::Builder::new(TokioExecutor::new());
                    // The sidecar ends its connections as it likes.
                    let _ = server.serve_connection(TokioIo::new(stream), service_fn(answer)).await;
                });
            }
        });
        Self { addr, serving }
    }
}

impl Drop for Upstream {
    fn drop(&mut self) {
        self.serving.abort();
    }
}

type Answer = Response<BoxBody<Bytes, Infallible>>;

fn echo(request: &Request<Incoming>) -> Answer {
    let mut text = format!("{} {}\n", request.method(), request.uri().path());
    for (name, value) in request.headers() {
        writeln!(text, "{name}: {}", String::from_utf8_lossy(value.as_bytes())).unwrap();
    }
    let content_type = request.headers().get("content-type");
    if content_type.is_none_or(|value| value != "application/grpc") {
        return Response::new(Full::from(text).boxed());
    }
    // A message of one string (`google.protobuf.StringValue`), not compressed, with its length before it.
    let message = text.encode_to_vec();
    let mut frame = vec![0];
    frame.extend(u32::try_from(message.len()).unwrap().to_be_bytes());
    frame.extend(message);
    let mut trailers = HeaderMap::new();
    trailers.insert("grpc-status", http::HeaderValue::from_static("0"));
    let body = Full::from(frame).with_trailers(async { Some(Ok(trailers)) });
    Response::builder().header("content-type", "application/grpc").body(body.boxed()).unwrap()
}
