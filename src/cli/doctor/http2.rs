//! Owns a connection of HTTP/2, of which it sees the frames that tell how the other side treats connections.

use std::{
    io::Cursor,
    pin::Pin,
    sync::{Arc, Mutex, PoisonError},
    task::{Context, Poll},
};

use h2::{
    Ping, PingPong,
    client::{Builder, ResponseFuture, SendRequest},
};
use http::{HeaderMap, Request, header, response::Parts};
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    task::JoinHandle,
};

use super::{
    dial::Stream,
    frames::{Frames, Seen},
    http1::USER_AGENT,
    target::Target,
};
use crate::model::error::chain;

/// The largest answer that is read.
const MOST_BYTES: usize = 256 * 1_024;

/// A connection.
pub(super) struct Http2 {
    target: Target,
    send: SendRequest<Cursor<Vec<u8>>>,
    pings: PingPong,
    seen: Arc<Mutex<Seen>>,
    serving: JoinHandle<()>,
}

/// What was answered.
#[derive(Debug)]
pub(super) struct Http2Answer {
    pub(super) head: Parts,
    pub(super) body: Vec<u8>,
    pub(super) trailers: Option<HeaderMap>,
}

/// What goes over a connection, and is looked at.
struct Watched {
    stream: Box<dyn Stream>,
    frames: Frames,
    seen: Arc<Mutex<Seen>>,
}

impl Http2 {
    /// A connection over `stream`, on which the other side has answered a ping.
    ///
    /// # Errors
    /// If it speaks something else.
    pub(super) async fn over(stream: Box<dyn Stream>, target: &Target) -> Result<Self, String> {
        let seen = Arc::new(Mutex::new(Seen::default()));
        let watched = Watched { stream, frames: Frames::default(), seen: seen.clone() };
        let begun = Builder::new().handshake(watched).await;
        let (send, mut connection) = begun.map_err(|error| chain(&error))?;
        let pings = connection.ping_pong().ok_or("HTTP/2 gives no pings")?;
        let serving = tokio::spawn(async move {
            // What has ended it is among what was seen.
            let _ = connection.await;
        });
        let mut http2 = Self { target: target.clone(), send, pings, seen, serving };
        http2.ping().await?;
        Ok(http2)
    }

    /// What was seen of the connection so far.
    pub(super) fn seen(&self) -> Seen {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Waits until the connection has ended.
    pub(super) async fn ended(&mut self) {
        // It was ended with what asks, or by the other side.
        let _ = (&mut self.serving).await;
    }

    /// Pings, and waits for the answer.
    pub(super) async fn ping(&mut self) -> Result<(), String> {
        let answered = self.pings.ping(Ping::opaque()).await;
        answered.map(drop).map_err(|error| match self.seen().not_http2() {
            Some(said) => format!("it answers {said:?}"),
            None => chain(&error),
        })
    }

    /// Sends a request, which `headers` belong to, and returns what waits for its answer.
    pub(super) async fn send(
        &mut self,
        path: &str,
        headers: &[(&str, &str)],
        body: Vec<u8>,
    ) -> Result<ResponseFuture, String> {
        let uri = format!("{}://{}{path}", self.target.scheme(), self.target.authority());
        let request = Request::post(uri).header(header::USER_AGENT, USER_AGENT);
        let request = headers.iter().fold(request, |request, (name, value)| request.header(*name, *value));
        let request = request.body(()).map_err(|error| chain(&error))?;
        let problem = |error: h2::Error| chain(&error);
        let mut ready = self.send.clone().ready().await.map_err(problem)?;
        let (answer, mut sending) = ready.send_request(request, false).map_err(problem)?;
        // Who has answered already may want no body: then it is the answer that tells.
        let _ = sending.send_data(Cursor::new(body), true);
        Ok(answer)
    }

    /// What is answered to such a request.
    pub(super) async fn ask(
        &mut self,
        path: &str,
        headers: &[(&str, &str)],
        body: Vec<u8>,
    ) -> Result<Http2Answer, String> {
        let problem = |error: h2::Error| chain(&error);
        let answer = self.send(path, headers, body).await?.await.map_err(problem)?;
        let (head, mut incoming) = answer.into_parts();
        let mut body = Vec::new();
        while let Some(data) = incoming.data().await {
            let data = match data {
                Err(error) if is_early_end(&error) => break,
                data => data.map_err(problem)?,
            };
            let _ = incoming.flow_control().release_capacity(data.len());
            body.extend_from_slice(&data);
            if body.len() > MOST_BYTES {
                return Err(format!("the answer is larger than {MOST_BYTES} bytes"));
            }
        }
        let trailers = match incoming.trailers().await {
            Err(error) if is_early_end(&error) => None,
            trailers => trailers.map_err(problem)?,
        };
        Ok(Http2Answer { head, body, trailers })
    }
}

/// Whether the answer is whole, and the other side wants no more of the request (RFC 9113, section 8.1).
fn is_early_end(error: &h2::Error) -> bool {
    error.is_reset() && error.is_remote() && error.reason() == Some(h2::Reason::NO_ERROR)
}

impl Drop for Http2 {
    fn drop(&mut self) {
        self.serving.abort();
    }
}

impl Http2Answer {
    /// A header, wherever it stands.
    pub(super) fn header(&self, name: &str) -> Option<&str> {
        let trailer = self.trailers.as_ref().and_then(|trailers| trailers.get(name));
        trailer.or_else(|| self.head.headers.get(name))?.to_str().ok()
    }
}

impl AsyncRead for Watched {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<std::io::Result<()>> {
        let before = buf.filled().len();
        let read = Pin::new(&mut self.stream).poll_read(cx, buf);
        let Self { frames, seen, .. } = &mut *self;
        let mut seen = seen.lock().unwrap_or_else(PoisonError::into_inner);
        match &read {
            Poll::Pending => {}
            Poll::Ready(Ok(())) if buf.filled().len() == before => seen.has_ended = true,
            Poll::Ready(Ok(())) => frames.read(&buf.filled()[before..], &mut seen),
            Poll::Ready(Err(error)) => seen.broken = Some(error.to_string()),
        }
        read
    }
}

impl AsyncWrite for Watched {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<std::io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(cx, buf)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}
