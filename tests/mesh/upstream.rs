//! Owns the service behind the sidecar: it answers every request with the headers that it saw.

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
    pub(crate) async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let addr = listener.local_addr().unwrap();
        let serving = tokio::spawn(async move {
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                tokio::spawn(async move {
                    let server = hyper_util::server::conn::auto::Builder::new(TokioExecutor::new());
                    // The sidecar ends its connections as it likes.
                    let _ = server.serve_connection(TokioIo::new(stream), service_fn(echo)).await;
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

async fn echo(request: Request<Incoming>) -> Result<Response<BoxBody<Bytes, Infallible>>, Infallible> {
    let mut text = format!("{} {}\n", request.method(), request.uri().path());
    for (name, value) in request.headers() {
        writeln!(text, "{name}: {}", String::from_utf8_lossy(value.as_bytes())).unwrap();
    }
    let content_type = request.headers().get("content-type");
    if content_type.is_none_or(|value| value != "application/grpc") {
        return Ok(Response::new(Full::from(text).boxed()));
    }
    // A message of one string (`google.protobuf.StringValue`), not compressed, with its length before it.
    let message = text.encode_to_vec();
    let mut frame = vec![0];
    frame.extend(u32::try_from(message.len()).unwrap().to_be_bytes());
    frame.extend(message);
    let mut trailers = HeaderMap::new();
    trailers.insert("grpc-status", http::HeaderValue::from_static("0"));
    let body = Full::from(frame).with_trailers(async { Some(Ok(trailers)) });
    Ok(Response::builder().header("content-type", "application/grpc").body(body.boxed()).unwrap())
}
