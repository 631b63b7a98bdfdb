//! Owns asking by HTTP/1.1, as those do who read keys and ask for tokens.

use http::{HeaderMap, Request, StatusCode, header, request::Builder};
use http_body_util::{BodyExt, Full, Limited};
use hyper::{body::Bytes, client::conn::http1::handshake};
use hyper_util::rt::TokioIo;

use super::{
    dial::{Connected, Dialer, Unreached},
    proxy::Proxy,
    target::Target,
};
use crate::model::error::chain;

/// The largest answer that is read.
const MOST_BYTES: usize = 256 * 1_024;

/// How much of an answer is shown.
const MOST_SHOWN: usize = 60;

/// How this program calls itself.
pub(super) const USER_AGENT: &str = concat!("signet-doctor/", env!("CARGO_PKG_VERSION"));

/// What was answered.
#[derive(Debug)]
pub(super) struct Answer {
    pub(super) status: StatusCode,
    pub(super) headers: HeaderMap,
    pub(super) body: Vec<u8>,
}

impl Answer {
    /// The proxy that it tells of.
    pub(super) fn proxy(&self) -> Option<Proxy> {
        Proxy::of(&self.headers, &self.body)
    }

    pub(super) fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name)?.to_str().ok()
    }

    /// What it is, in a clause.
    pub(super) fn described(&self) -> String {
        let kind = self.header("content-type").unwrap_or("no content-type");
        let to = self.header("location").map_or_else(String::new, |to| format!(" to {to}"));
        format!("{} ({kind}){to}{}", self.status, shown(&self.body))
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
pub(super) async fn get(dialer: &Dialer, target: &Target, path: &str) -> Result<Answer, Unreached> {
    ask(dialer, target, Request::get(path), Vec::new()).await
}

/// What `target` answers to `request` with `body`.
pub(super) async fn ask(
    dialer: &Dialer,
    target: &Target,
    request: Builder,
    body: Vec<u8>,
) -> Result<Answer, Unreached> {
    let asking = async {
        let connected = dialer.dial(target, &["http/1.1"]).await.map_err(|problem| problem.to_string())?;
        over(connected, target, request, body).await
    };
    dialer.in_time(asking).await
}

/// The same over a connection that is there.
pub(super) async fn over(
    connected: Connected,
    target: &Target,
    request: Builder,
    body: Vec<u8>,
) -> Result<Answer, String> {
    let problem = |error: hyper::Error| chain(&error);
    let (mut sender, connection) = handshake(TokioIo::new(connected.stream)).await.map_err(problem)?;
    // It ends with what asks.
    let connection = tokio::spawn(connection);
    let request = request
        .header(header::HOST, target.authority())
        .header(header::USER_AGENT, USER_AGENT)
        .body(Full::new(Bytes::from(body)))
        .map_err(|error| chain(&error))?;
    let asked = async {
        let (head, body) = sender.send_request(request).await.map_err(problem)?.into_parts();
        let body = Limited::new(body, MOST_BYTES).collect().await;
        let body = body.map_err(|error| chain(error.as_ref()))?.to_bytes().to_vec();
        Ok(Answer { status: head.status, headers: head.headers, body })
    };
    let answer = asked.await;
    connection.abort();
    answer
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
