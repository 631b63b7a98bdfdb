//! Owns attaching tokens to the calls of one channel, and to those alone, and making a call once more whose token was refused.

use std::{
    collections::HashSet,
    fmt,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Request, Response, Uri, header::AUTHORIZATION, request::Parts};
use http_body::{Body as HttpBody, Frame, SizeHint};
use http_body_util::{BodyExt, Full};
use prost::Message;
use prost_types::FileDescriptorSet;
use tokio::time::Instant;
use tonic::{
    Code, Status,
    body::Body,
    transport::{Channel, ClientTlsConfig, Endpoint, Error},
};
use tower::{Service, ServiceExt};

use super::{
    retry::{FailedCall, is_worth_another, refuses_token},
    source::{AccessToken, TokenSource},
};
use crate::{
    hooks::Hooks,
    replicas::{ClientError, connect_lazy, endpoint_of, is_https, is_loopback},
};

/// How long a call may take, as gRPC says it.
const GRPC_TIMEOUT: &str = "grpc-timeout";

/// How a channel with tokens is made.
#[must_use]
pub struct ChannelTarget {
    source: TokenSource,
    /// Whom it is named for: `host:port`.
    target: String,
    endpoint: Endpoint,
    tls: Option<ClientTlsConfig>,
    plaintext: Option<String>,
    unary: HashSet<String>,
}

/// A channel to one service, whose calls carry the tokens of a [`TokenSource`]. Generated clients take it in the place of tonic's own
/// [`Channel`]. Clones share the connection.
#[derive(Clone)]
pub struct AuthorizedChannel {
    channel: Channel,
    shared: Arc<Shared>,
}

struct Shared {
    source: TokenSource,
    /// To whom the channel is: `host:port`.
    target: String,
    unary: HashSet<String>,
}

/// Whether a token of a source that is made for `target` goes to `authority`. Over plaintext, both the name and the peer are of this
/// machine: whoever answers for another name may lead it here, and a name of this machine may lead elsewhere.
pub(crate) fn may_attach(
    target: &str,
    authority: &str,
    is_secure: bool,
    peer_is_loopback: bool,
    allow_plaintext: bool,
) -> bool {
    let is_here = || peer_is_loopback && authority.parse().is_ok_and(|uri| is_loopback(&uri));
    target.eq_ignore_ascii_case(authority) && (is_secure || allow_plaintext || is_here())
}

impl AuthorizedChannel {
    /// A channel to the service at `address` (`https://stock.example`, or `127.0.0.1:50052` for one without TLS), with the tokens of
    /// `source`.
    ///
    /// # Errors
    /// [`ClientError::Address`].
    pub fn to(address: &str, source: &TokenSource) -> Result<ChannelTarget, ClientError> {
        let endpoint = endpoint_of(address)?;
        let target = authority_of(endpoint.uri());
        let (tls, plaintext, unary) = (None, None, HashSet::new());
        Ok(ChannelTarget { source: source.clone(), target, endpoint, tls, plaintext, unary })
    }

    async fn run(self, request: Request<Body>) -> Result<Response<Body>, Error> {
        let (mut parts, body) = request.into_parts();
        if parts.uri.authority().is_some() && authority_of(&parts.uri) != self.shared.target {
            return Ok(self.refuse_target(&parts.uri));
        }
        let deadline = parts.headers.get(GRPC_TIMEOUT).and_then(timeout).map(|left| Instant::now() + left);
        let token = match self.token(deadline).await {
            Ok(token) => token,
            Err(status) => return Ok(status.into_http()),
        };
        if !self.shared.unary.contains(parts.uri.path()) {
            attach(&mut parts, &token, deadline);
            let method = parts.uri.path().to_owned();
            let answer = self.channel.oneshot(Request::from_parts(parts, body)).await?;
            return Ok(Streamed::watch(answer, self.shared, method, token));
        }
        // One message, which is sent again if the call is.
        let message = match body.collect().await {
            Ok(collected) => collected.to_bytes(),
            Err(status) => return Ok(status.into_http()),
        };
        let (answer, refusal) = look(self.send(&parts, &message, &token, deadline).await?).await;
        let call = FailedCall {
            method: parts.uri.path(),
            audience: self.shared.source.audience(),
            is_unary: true,
            was_answered: false,
            attempt: 1,
        };
        if !refusal.is_some_and(|status| is_worth_another(&call, &status)) {
            return Ok(answer);
        }
        // Without another token, the refusal stands.
        if !self.shared.source.drop_token(&token) {
            return Ok(answer);
        }
        let Ok(token) = self.token(deadline).await else { return Ok(answer) };
        self.shared.source.told().tell(Hooks::call_retried);
        self.send(&parts, &message, &token, deadline).await
    }

    /// A token, as long as the call may wait for it.
    async fn token(&self, deadline: Option<Instant>) -> Result<AccessToken, Status> {
        let token = self.shared.source.token();
        let Some(deadline) = deadline else { return token.await };
        let late = |_| Err(Status::deadline_exceeded("no access token came before the deadline of the call"));
        tokio::time::timeout_at(deadline, token).await.unwrap_or_else(late)
    }

    async fn send(
        &self,
        parts: &Parts,
        message: &Bytes,
        token: &AccessToken,
        deadline: Option<Instant>,
    ) -> Result<Response<Body>, Error> {
        let mut parts = parts.clone();
        attach(&mut parts, token, deadline);
        let request = Request::from_parts(parts, Body::new(Full::new(message.clone())));
        self.channel.clone().oneshot(request).await
    }

    fn refuse_target(&self, uri: &Uri) -> Response<Body> {
        let (authority, target) = (authority_of(uri), self.shared.target.clone());
        Status::failed_precondition(ClientError::OtherTarget { authority, target }.to_string()).into_http()
    }
}

/// `host:port`, with the port of the scheme where none is said.
fn authority_of(uri: &Uri) -> String {
    let port = uri.port_u16().unwrap_or(if is_https(uri) { 443 } else { 80 });
    format!("{}:{port}", uri.host().unwrap_or_default().to_ascii_lowercase())
}

fn attach(parts: &mut Parts, token: &AccessToken, deadline: Option<Instant>) {
    if let Ok(mut value) = HeaderValue::try_from(format!("Bearer {}", token.as_str())) {
        // Neither logged nor kept in the tables of HTTP/2.
        value.set_sensitive(true);
        parts.headers.insert(AUTHORIZATION, value);
    }
    if let Some(deadline) = deadline {
        let left = deadline.saturating_duration_since(Instant::now()).as_micros().min(99_999_999);
        if let Ok(value) = HeaderValue::try_from(format!("{left}u")) {
            parts.headers.insert(GRPC_TIMEOUT, value);
        }
    }
}

/// The time that `value` says (gRPC over HTTP/2, "Timeout").
fn timeout(value: &HeaderValue) -> Option<Duration> {
    let text = value.to_str().ok()?;
    let (digits, unit) = text.split_at_checked(text.len().checked_sub(1)?)?;
    let count: u64 = digits.parse().ok()?;
    Some(match unit {
        "H" => Duration::from_hours(count),
        "M" => Duration::from_mins(count),
        "S" => Duration::from_secs(count),
        "m" => Duration::from_millis(count),
        "u" => Duration::from_micros(count),
        "n" => Duration::from_nanos(count),
        _ => return None,
    })
}

/// The `answer`, and the status that it has failed with before any message; none if there is a message, or it has not failed.
async fn look(answer: Response<Body>) -> (Response<Body>, Option<Status>) {
    let failed = |status: Option<Status>| status.filter(|status| status.code() != Code::Ok);
    if answer.headers().contains_key(Status::GRPC_STATUS) {
        let status = failed(Status::from_header_map(answer.headers()));
        return (answer, status);
    }
    let (parts, mut body) = answer.into_parts();
    let first = body.frame().await;
    let trailers = match &first {
        Some(Ok(frame)) => frame.trailers_ref(),
        _ => None,
    };
    let status = failed(trailers.and_then(Status::from_header_map));
    (Response::from_parts(parts, Body::new(Seen { first, rest: body })), status)
}

/// The body of a stream, at whose end its token is dropped if the service no longer takes it: who opens it again gets another.
struct Streamed {
    body: Body,
    shared: Arc<Shared>,
    method: String,
    token: AccessToken,
}

impl Streamed {
    fn watch(
        answer: Response<Body>,
        shared: Arc<Shared>,
        method: String,
        token: AccessToken,
    ) -> Response<Body> {
        let (parts, body) = answer.into_parts();
        let streamed = Self { body, shared, method, token };
        streamed.look(&parts.headers);
        Response::from_parts(parts, Body::new(streamed))
    }

    fn look(&self, headers: &HeaderMap) {
        let status = Status::from_header_map(headers);
        let source = &self.shared.source;
        if status.is_some_and(|status| refuses_token(&self.method, source.audience(), &status)) {
            source.drop_token(&self.token);
        }
    }
}

impl HttpBody for Streamed {
    type Data = Bytes;
    type Error = Status;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
        let frame = Pin::new(&mut self.body).poll_frame(context);
        if let Poll::Ready(Some(Ok(frame))) = &frame
            && let Some(trailers) = frame.trailers_ref()
        {
            self.look(trailers);
        }
        frame
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

/// A body of which the first frame has been looked at.
struct Seen {
    first: Option<Result<Frame<Bytes>, Status>>,
    rest: Body,
}

impl HttpBody for Seen {
    type Data = Bytes;
    type Error = Status;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
        match self.first.take() {
            Some(first) => Poll::Ready(Some(first)),
            None => Pin::new(&mut self.rest).poll_frame(context),
        }
    }

    fn is_end_stream(&self) -> bool {
        self.first.is_none() && self.rest.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::default()
    }
}

impl ChannelTarget {
    /// By what the service's certificate is verified, and with which one of one's own. Without it, by the certification authorities of the
    /// system.
    pub fn tls(self, tls: ClientTlsConfig) -> Self {
        Self { tls: Some(tls), ..self }
    }

    /// Lets tokens go over plaintext to what is not this machine, for this `reason`: as where a sidecar of the mesh encrypts them.
    pub fn allow_plaintext(self, reason: impl Into<String>) -> Self {
        Self { plaintext: Some(reason.into()), ..self }
    }

    /// Changes how it connects, with [`Endpoint`]'s own settings. Whom it connects to stays. Those of TCP do not count for plaintext to
    /// loopback.
    pub fn endpoint(self, change: impl FnOnce(Endpoint) -> Endpoint) -> Self {
        Self { endpoint: change(self.endpoint), ..self }
    }

    /// Lets unary calls of the services in the encoded `FileDescriptorSet` be made once more, with another token, if theirs was refused
    /// since it had expired or was revoked. Which methods are unary is known from there alone: without it no call is made twice.
    ///
    /// # Errors
    /// [`ClientError::Descriptors`].
    pub fn retry_unary_of(mut self, descriptor_set: &[u8]) -> Result<Self, ClientError> {
        for file in FileDescriptorSet::decode(descriptor_set)?.file {
            let dot = if file.package().is_empty() { "" } else { "." };
            for service in &file.service {
                let unary =
                    service.method.iter().filter(|it| !it.client_streaming() && !it.server_streaming());
                let path = |name| format!("/{}{dot}{}/{name}", file.package(), service.name());
                self.unary.extend(unary.map(|it| path(it.name())));
            }
        }
        Ok(self)
    }

    /// The channel, which connects when it is first used.
    ///
    /// # Errors
    /// [`ClientError::Plaintext`], [`ClientError::Tls`]; [`ClientError::OtherTarget`] if the settings of the endpoint lead elsewhere.
    pub fn connect_lazy(self) -> Result<AuthorizedChannel, ClientError> {
        let uri = self.endpoint.uri().clone();
        let (authority, target, is_secure) = (authority_of(&uri), self.target, is_https(&uri));
        if authority != target {
            return Err(ClientError::OtherTarget { authority, target });
        }
        let plaintext = self.plaintext.is_some();
        // Where only loopback may be connected to, nothing else is.
        if !may_attach(&target, &authority, is_secure, true, plaintext) {
            return Err(ClientError::Plaintext(uri.to_string()));
        }
        let endpoint = if is_secure {
            let tls = self.tls.unwrap_or_else(|| ClientTlsConfig::new().with_native_roots());
            self.endpoint.tls_config(tls).map_err(ClientError::Tls)?
        } else {
            self.endpoint
        };
        let shared = Shared { source: self.source, target, unary: self.unary };
        let channel = connect_lazy(&endpoint, is_secure || plaintext);
        Ok(AuthorizedChannel { channel, shared: Arc::new(shared) })
    }
}

impl Service<Request<Body>> for AuthorizedChannel {
    type Response = Response<Body>;
    type Error = Error;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, Error>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Error>> {
        // Each attempt waits for the channel itself.
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        Box::pin(self.clone().run(request))
    }
}

impl fmt::Debug for AuthorizedChannel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AuthorizedChannel").field("target", &self.shared.target).finish_non_exhaustive()
    }
}

impl fmt::Debug for ChannelTarget {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ChannelTarget").field("uri", self.endpoint.uri()).finish_non_exhaustive()
    }
}

#[cfg(test)]
#[path = "channel_tests.rs"]
mod tests;
