//! Owns asking by HTTP/1.1, as those do who read keys and ask for tokens.

use std::{
    io::{Error, Result as IoResult},
    pin::Pin,
    sync::{Arc, Mutex, PoisonError},
    task::{Context, Poll},
};

use http::{HeaderMap, Request, StatusCode, header, request::Builder};
use http_body_util::{BodyExt, Full, Limited};
use hyper::{body::Bytes, client::conn::http1::handshake};
use hyper_util::rt::TokioIo;
use serde_json::Value;
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    task::JoinHandle,
};

use super::{
    dial::{Connected, Dialer, Stream, Unreached},
    finding::excerpt,
    proxy::Proxy,
    target::Target,
};
use crate::model::error::chain;

/// The largest answer that is read.
const MOST_BYTES: usize = 256 * 1_024;

/// The most that is read of a connection: an answer, its head, and what is said before it.
const MOST_READ: usize = MOST_BYTES + 256 * 1_024;

/// How many bytes tell which protocol is spoken.
const BEGINNING: usize = 9;

/// How much of an answer is shown.
const MOST_SHOWN: usize = 60;

/// How this program calls itself.
pub(super) const USER_AGENT: &str = concat!("signet-doctor/", env!("CARGO_PKG_VERSION"));

/// What was answered.
#[derive(Debug)]
pub(super) struct Http1Answer {
    pub(super) status: StatusCode,
    pub(super) headers: HeaderMap,
    pub(super) body: Vec<u8>,
}

impl Http1Answer {
    /// The proxy that it tells of.
    pub(super) fn proxy(&self) -> Option<Proxy> {
        Proxy::of(&self.headers, &self.body)
    }

    pub(super) fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name)?.to_str().ok()
    }

    /// What it is, in a clause.
    pub(super) fn described(&self) -> String {
        format!("{}{}", self.described_to_others(), shown(&self.body))
    }

    /// The same without a word of the body, which may be another's than was asked for.
    pub(super) fn described_to_others(&self) -> String {
        let kind = excerpt(self.header("content-type").unwrap_or("no content-type"));
        let to = self.header("location").map_or_else(String::new, |to| format!(" to {}", excerpt(to)));
        format!("{} ({kind}){to}", self.status)
    }
}

/// The beginning of the first line of `body`, if it is a text.
fn shown(body: &[u8]) -> String {
    let line = String::from_utf8_lossy(body);
    let line = line.lines().map(str::trim).find(|line| !line.is_empty()).unwrap_or_default();
    if line.is_empty() || line.contains(char::is_control) {
        return String::new();
    }
    let begin: String = line.chars().take(MOST_SHOWN).collect();
    let more = if begin.len() < line.len() { "…" } else { "" };
    format!(": {begin}{more}")
}

/// What `target` answers to a GET of `path`.
pub(super) async fn get(dialer: &Dialer, target: &Target, path: &str) -> Result<Http1Answer, Unreached> {
    ask(dialer, target, Request::get(path), Vec::new()).await
}

/// What `target` answers to `request` with `body`.
pub(super) async fn ask(
    dialer: &Dialer,
    target: &Target,
    request: Builder,
    body: Vec<u8>,
) -> Result<Http1Answer, Unreached> {
    let asking = async {
        let connected = dialer.dial(target, &["http/1.1"]).await?;
        over(connected, target, request, body).await
    };
    dialer.in_time(asking).await
}

/// The same over a connection that is there.
async fn over(
    connected: Connected,
    target: &Target,
    request: Builder,
    body: Vec<u8>,
) -> Result<Http1Answer, Unreached> {
    let begun = Arc::new(Mutex::new(Vec::new()));
    let bounded = Bounded { stream: connected.stream, left: MOST_READ, begun: begun.clone() };
    let problem = |error: hyper::Error| {
        let begun = begun.lock().unwrap_or_else(PoisonError::into_inner);
        match begun[..] {
            // An alert of TLS, in answer to what is none.
            [21, 3, ..] => Unreached::Tls,
            // SETTINGS, with which HTTP/2 begins.
            [0, _, _, 4, ..] => Unreached::Http2,
            _ => Unreached::Nobody(chain(&error)),
        }
    };
    let (mut sender, connection) = handshake(TokioIo::new(bounded)).await.map_err(problem)?;
    let _connection = AbortOnDrop(tokio::spawn(async move {
        // Whoever asks is told.
        let _ = connection.await;
    }));
    let request = request
        .header(header::HOST, target.authority())
        .header(header::USER_AGENT, USER_AGENT)
        .body(Full::new(Bytes::from(body)))
        .map_err(|error| chain(&error))?;
    let (head, body) = sender.send_request(request).await.map_err(problem)?.into_parts();
    let body = Limited::new(body, MOST_BYTES).collect().await;
    let body = body.map_err(|error| chain(error.as_ref()))?.to_bytes().to_vec();
    Ok(Http1Answer { status: head.status, headers: head.headers, body })
}

/// Whether Signet itself refuses so what is not at the address that was asked.
pub(super) fn is_own_not_found(status: StatusCode, body: &[u8]) -> bool {
    let said: Option<Value> = serde_json::from_slice(body).ok();
    status == StatusCode::NOT_FOUND && said.is_some_and(|said| said["error_description"].is_string())
}

/// A task that ends with whoever waits for it, also if nobody waits any longer.
struct AbortOnDrop(JoinHandle<()>);

impl Drop for AbortOnDrop {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// A stream of which so much is read and no more: heads have no other end, and neither has a row of 1xx answers.
struct Bounded {
    stream: Box<dyn Stream>,
    left: usize,
    /// The first bytes.
    begun: Arc<Mutex<Vec<u8>>>,
}

impl AsyncRead for Bounded {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<IoResult<()>> {
        let before = buf.filled().len();
        let read = Pin::new(&mut self.stream).poll_read(cx, buf);
        let new = &buf.filled()[before..];
        if self.left < new.len() {
            return Poll::Ready(Err(Error::other(format!("it says more than {MOST_READ} bytes"))));
        }
        let mut begun = self.begun.lock().unwrap_or_else(PoisonError::into_inner);
        let room = BEGINNING.saturating_sub(begun.len()).min(new.len());
        begun.extend_from_slice(&new[..room]);
        drop(begun);
        self.left -= new.len();
        read
    }
}

impl AsyncWrite for Bounded {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<IoResult<usize>> {
        Pin::new(&mut self.stream).poll_write(cx, buf)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<IoResult<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<IoResult<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests {
    use super::shown;

    #[test]
    fn of_an_answer_the_first_line_is_shown_if_it_is_a_text() {
        assert_eq!(shown(b"\n <html>\r\n<head>"), ": <html>");
        assert_eq!(shown(b"\x1f\x8b\x08"), "");
        assert_eq!(shown(b""), "");
        assert!(shown("é".repeat(100).as_bytes()).ends_with('…'));
    }
}
