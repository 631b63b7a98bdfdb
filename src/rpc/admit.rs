//! Owns what one call may take: it counts once its message is there, and holds its place until its answer has been read.

use std::{
    future::Future,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use http::{HeaderMap, HeaderValue, Request, Response, header::AUTHORIZATION};
use http_body::{Body as _, Frame};
use http_body_util::Full;
use hyper::body::Bytes;
use prost_reflect::DescriptorPool;
use tokio::time::timeout_at;
use tokio_util::sync::CancellationToken;
use tonic::{Status, body::Body};
use tower::{Layer, Service};

use super::{
    connect::Call,
    decoded_size::must_be_light,
    gzip::{self, Encoding, MESSAGE_HEAD_BYTES, PLAIN},
    long::LongMessages,
    methods::{Alone, Method, Methods, Stream},
    web::Translated,
};
use crate::{
    admission::{
        CallKind, CallSource, Claimant, HeldBody, Hold, Keeper, Life, Message, Place, Pool, StreamAnswers,
        StreamRequests, Turn, Turns, Visit, header_bytes, over,
    },
    auth::{Policy, bearer_token},
    base::{Deadline, takes_gzip},
    model::{Error, Network, for_caller},
    observe::ReceivedBytes,
    peer::PeerAddress,
};

/// The header by which a gRPC client sets its deadline.
const GRPC_TIMEOUT: &str = "grpc-timeout";

/// How long a call of which there is one at a time waits for its turn once the message of the one before must be there, and when it may try
/// again then.
const MOMENT: Duration = Duration::from_secs(1);
const RETRY_AFTER: Duration = Duration::from_secs(5);

/// Gives each call its place and its deadline, or refuses it.
#[derive(Clone, Debug)]
pub(crate) struct AdmitLayer {
    pool: Pool,
    /// That of the methods of which one call at a time is answered, and who waits for that.
    alone: (Pool, Turns),
    methods: Arc<Methods>,
    /// Where long messages are expanded.
    long: LongMessages,
}

/// A gRPC service within its limits.
#[derive(Clone, Debug)]
pub(crate) struct AdmitService<Inner> {
    limits: AdmitLayer,
    inner: Inner,
}

/// When a call must be over.
#[derive(Clone, Copy)]
struct Time {
    /// By when its answer must begin.
    deadline: Deadline,
    /// Whether the client has set it, so that it is meant for a stream, too.
    is_clients: bool,
}

/// A call that has got in.
struct Admitted {
    request: Request<Body>,
    network: Option<Network>,
    deadline: Deadline,
    /// Whether its answer is to be compressed, if that is worth it.
    compresses: bool,
    answer: Answer,
}

/// How the message of a call comes.
struct Form<'a> {
    method: &'a Method,
    encoding: Encoding,
    /// How it comes by Connect, if it does.
    connect: Option<&'a Call>,
    /// What is asked of it, if it may be larger than others.
    alone: Option<&'a Alone>,
    head_bytes: usize,
    /// Where the request log reads how many bytes came.
    received: Option<&'a ReceivedBytes>,
    long: &'a LongMessages,
    deadline: Deadline,
}

/// What has come of a call.
enum Received {
    Message(Bytes),
    /// Its requests, which go on to come.
    Requests(Body),
}

/// What an answer holds until it has been read.
enum Answer {
    One { hold: Arc<Hold>, deadline: Deadline },
    Stream { pool: Pool, hold: Arc<Hold>, life: Life, over: CancellationToken },
}

impl AdmitLayer {
    /// Calls of the methods that are `described` take their places from `pool`; those of which there is one at a time, from `alone`.
    /// Who may call them `policy` says.
    pub(crate) fn new(pool: Pool, alone: Pool, described: &[DescriptorPool], policy: &Policy) -> Self {
        let methods = Arc::new(Methods::new(described, policy));
        Self { pool, alone: (alone, Turns::new()), methods, long: LongMessages::new() }
    }

    /// The time of a call that takes its place from `pool`: the client's, but no longer than the server's own.
    fn time(pool: &Pool, headers: &HeaderMap) -> Result<Time, Error> {
        let own = pool.bounds().call.request_timeout;
        let Some(value) = headers.get(GRPC_TIMEOUT) else {
            return Ok(Time { deadline: Deadline::after(own), is_clients: false });
        };
        let timeout = value.to_str().ok().and_then(parse_timeout).ok_or_else(|| {
            Error::MalformedRequest(
                "`grpc-timeout` must be 1 to 8 digits and a unit (H, M, S, m, u, n)".to_owned(),
            )
        })?;
        let deadline = Deadline::after(timeout.min(own));
        if deadline.has_passed() {
            Err(Error::DeadlineExceeded)
        } else {
            Ok(Time { deadline, is_clients: timeout < own })
        }
    }

    /// Lets a call in, whose messages are compressed by `encoding`: its message first, then its place.
    async fn admit(&self, request: Request<Body>, encoding: Encoding) -> Result<Admitted, Error> {
        let mut time = Self::time(&self.pool, request.headers())?;
        let head_bytes = header_bytes(&request);
        let (mut head, body) = request.into_parts();
        let method = self.methods.of(head.uri.path());
        if method.has_one_request {
            // It will not be compressed further in.
            gzip::forget_in(&mut head.headers);
        }
        let peer = head.extensions.get::<PeerAddress>().map(|peer| peer.network());
        let source = CallSource::of(peer, &head.extensions);
        let tokens = head.headers.get_all(AUTHORIZATION).iter().map(HeaderValue::as_bytes);
        let token = bearer_token(tokens).ok().flatten();
        let mut visit = Visit::new(&self.pool, method.kind, source.clone(), time.deadline, token);
        // Nobody else can have others wait for a message of this size.
        let alone = method.alone.as_ref().filter(|alone| alone.scopes.iter().all(|scope| visit.shows(scope)));
        let turn = if alone.is_some() {
            let (pool, turns) = &self.alone;
            time = Self::time(pool, &head.headers)?;
            let turn =
                take_turn(turns, visit.claimant(), pool.bounds().call.receive_timeout, time.deadline).await?;
            visit = Visit::new(pool, method.kind, source, time.deadline, token);
            Some(turn)
        } else {
            None
        };
        let connect = head.extensions.remove::<Call>();
        let received = head.extensions.get::<ReceivedBytes>();
        let (connect_call, long, deadline) = (connect.as_ref(), &self.long, time.deadline);
        let form =
            Form { method, encoding, connect: connect_call, alone, head_bytes, received, long, deadline };
        let (message, charge) = form.receive(&mut visit, body).await?;
        let hold = Arc::new(Hold::of_message(charge).with_turn(turn));
        let body = message.body(connect.as_ref(), visit.message_bytes(), &hold);
        head.extensions.insert(time.deadline);
        if let Some(stream) = method.stream {
            let life = self.life(stream, time);
            hold.keep(visit.open_stream(life.deadline)?);
            let over = over();
            let body =
                if method.has_one_request { body } else { Body::new(StreamRequests::new(body, &over)) };
            let answer = Answer::Stream { pool: self.pool.clone(), hold, life, over };
            let (request, deadline) = (Request::from_parts(head, body), time.deadline);
            return Ok(Admitted { request, network: peer, deadline, compresses: false, answer });
        }
        if method.kind == CallKind::Check {
            let door = visit.door(Arc::clone(&hold));
            head.extensions.insert(door);
        } else {
            hold.keep(visit.enter()?);
            if let Some(token) = visit.verified() {
                head.extensions.insert(token);
            }
            // Only the message may say on whose behalf it is sent.
            head.extensions.insert(Arc::clone(&hold));
        }
        let answer = Answer::One { hold, deadline: time.deadline };
        let request = Request::from_parts(head, body);
        let compresses = method.may_compress && takes_gzip(request.headers(), &gzip::GRPC_ACCEPTED);
        Ok(Admitted { request, network: peer, deadline: time.deadline, compresses, answer })
    }

    fn life(&self, stream: Stream, time: Time) -> Life {
        let call = &self.pool.bounds().call;
        let age = Deadline::after(call.stream_age);
        let deadline = if time.is_clients { time.deadline.min(age) } else { age };
        Life { deadline, idle: stream.idle, first: call.receive_timeout }
    }
}

impl Form<'_> {
    /// Takes in the message of a call whose body is `body`, if it has one message, and what its bytes take.
    async fn receive(self, visit: &mut Visit<'_>, body: Body) -> Result<(Received, Option<Place>), Error> {
        let Self { method, connect, alone, head_bytes, received, .. } = self;
        if !method.has_one_request {
            return Ok((Received::Requests(body), None));
        }
        let message_bytes = visit.message_bytes();
        let max_bytes = message_bytes.saturating_add(MESSAGE_HEAD_BYTES);
        let mut message = visit.receive(body, max_bytes, head_bytes).await?;
        if let Some(received) = received {
            received.note(message.bytes.len());
        }
        if let Some(bytes) = self.expanded(&message.bytes, message_bytes).await? {
            if bytes.len() > message.bytes.len() {
                message = visit.hold(message, bytes, head_bytes)?;
            } else {
                message.bytes = bytes;
            }
        }
        let Message { bytes, charge } = message;
        // JSON is weighed where it is read.
        let encoded = match connect {
            None => bytes.get(MESSAGE_HEAD_BYTES..),
            Some(call) => Some(&bytes[..]).filter(|_| call.is_binary()),
        };
        if let Some(alone) = alone {
            must_be_light(encoded.unwrap_or_default(), &alone.input)?;
        }
        Ok((Received::Message(bytes), charge))
    }

    /// What `body` is out of its envelope by Connect, and out of its compression, with a message of `max_bytes` at most; none if it is that
    /// already.
    async fn expanded(&self, body: &Bytes, max_bytes: usize) -> Result<Option<Bytes>, Error> {
        let may_be = self.connect.map_or(self.encoding == Encoding::Gzip, Call::is_compressed);
        // gzip does not begin so: it is the flag of a message that is not compressed.
        if !may_be || body.first() == Some(&PLAIN) {
            return self.connect.map(|call| call.message(body, max_bytes)).transpose();
        }
        let call = self.connect.cloned();
        let expand = move |body: &Bytes, max_bytes: usize| match &call {
            Some(call) => call.message(body, max_bytes).map(Some),
            None => gzip::decompressed(body, max_bytes.saturating_add(MESSAGE_HEAD_BYTES)),
        };
        let expanded = timeout_at(self.deadline.instant().into(), self.long.expand(body, max_bytes, expand));
        expanded.await.unwrap_or(Err(Error::DeadlineExceeded))
    }
}

impl Received {
    /// What the handler reads, of which one message has `max_bytes` at most, for `hold`.
    fn body(self, connect: Option<&Call>, max_bytes: usize, hold: &Arc<Hold>) -> Body {
        match (self, connect) {
            (Self::Requests(body), _) => body,
            (Self::Message(bytes), None) => Body::new(Full::new(bytes)),
            (Self::Message(bytes), Some(call)) => Body::new(call.body(bytes, max_bytes, hold)),
        }
    }
}

/// Waits for the turn of a call of `claimant`, of which there is one at a time, within its `deadline`. The one before may have sent headers
/// alone, and then has the turn for no longer than `to_receive`; and a moment more, since what it has held is given back when its answer is
/// read, and that its caller may know first.
async fn take_turn(
    turns: &Turns,
    claimant: Claimant,
    to_receive: Duration,
    deadline: Deadline,
) -> Result<Turn, Error> {
    let until = Deadline::after(to_receive.saturating_add(MOMENT)).min(deadline);
    turns.take(claimant, until).await.ok_or_else(|| {
        if deadline.has_passed() { Error::DeadlineExceeded } else { Error::ApplyUnderWay(RETRY_AFTER) }
    })
}

impl Answer {
    /// `response`, whose body holds what its call has taken; if it `is_translated`, with what holds that for the translation.
    fn around(self, response: Response<Body>, is_translated: bool) -> Response<Body> {
        if response.body().is_end_stream() {
            return response;
        }
        let (mut head, body) = response.into_parts();
        let (body, keeper) = match self {
            Self::One { hold, deadline } => {
                let keeper = Keeper::Call(Arc::clone(&hold));
                (Body::new(HeldBody::new(body, hold, deadline, end)), keeper)
            }
            Self::Stream { pool, hold, life, over } => {
                let answers = StreamAnswers::new(body, &pool, hold, life, over, end);
                let keeper = answers.keeper();
                (Body::new(answers), keeper)
            }
        };
        if is_translated {
            head.extensions.insert(keeper);
        }
        Response::from_parts(head, body)
    }
}

/// The trailers of a call that ends before its own end.
fn end(error: Option<Error>) -> Result<Frame<Bytes>, Status> {
    let status = error.map_or_else(|| Status::ok(""), Status::from);
    let mut trailers = HeaderMap::new();
    status.add_header(&mut trailers)?;
    Ok(Frame::trailers(trailers))
}

/// The deadline that the layer gave to the call.
pub(crate) fn deadline_of<T>(request: &tonic::Request<T>) -> Deadline {
    // Without the layer (it is always there) a call would have no time at all.
    request.extensions().get().copied().unwrap_or_else(|| Deadline::after(Duration::ZERO))
}

/// Reads `TimeoutValue TimeoutUnit` of the gRPC protocol: at most eight digits, and a unit.
fn parse_timeout(text: &str) -> Option<Duration> {
    let (digits, unit) = text.split_at_checked(text.len().checked_sub(1)?)?;
    if digits.is_empty() || digits.len() > 8 || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let value: u64 = digits.parse().ok()?;
    match unit {
        "H" => Some(Duration::from_secs(value * 3_600)),
        "M" => Some(Duration::from_secs(value * 60)),
        "S" => Some(Duration::from_secs(value)),
        "m" => Some(Duration::from_millis(value)),
        "u" => Some(Duration::from_micros(value)),
        "n" => Some(Duration::from_nanos(value)),
        _ => None,
    }
}

/// What must hold for any `text`: a timeout that can be read is at most eight digits of its unit.
#[cfg(any(fuzzing, test))]
pub(crate) fn fuzz(text: &[u8]) {
    if let Some(timeout) = str::from_utf8(text).ok().and_then(parse_timeout) {
        assert!(text.len() <= 9 && timeout <= Duration::from_hours(99_999_999));
    }
}

// ===== the plumbing of tower =====

impl<Inner> Layer<Inner> for AdmitLayer {
    type Service = AdmitService<Inner>;

    fn layer(&self, inner: Inner) -> Self::Service {
        AdmitService { limits: self.clone(), inner }
    }
}

impl<Inner> Service<Request<Body>> for AdmitService<Inner>
where
    Inner: Service<Request<Body>, Response = Response<Body>> + Clone + Send + 'static,
    Inner::Future: Send,
{
    type Response = Response<Body>;
    type Error = Inner::Error;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, Self::Error>> + Send>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        self.inner.poll_ready(context)
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        let limits = self.limits.clone();
        // The clone takes the place of the service that was polled ready (tower's own advice).
        let clone = self.inner.clone();
        let mut inner = std::mem::replace(&mut self.inner, clone);
        let is_translated = request.extensions().get::<Translated>().is_some();
        let encoding = Encoding::of(request.headers());
        Box::pin(async move {
            if encoding == Encoding::Other {
                return Ok(gzip::refusal().into_http());
            }
            let Admitted { request, network, deadline, compresses, answer } =
                match limits.admit(request, encoding).await {
                    Ok(admitted) => admitted,
                    Err(error) => return Ok(Status::from(error).into_http()),
                };
            // If the client goes away, this is dropped, and the place is free.
            let work = for_caller(network, async {
                let response = inner.call(request).await?;
                Ok(if compresses { gzip::compressed(response).await } else { response })
            });
            match timeout_at(deadline.instant().into(), work).await {
                Ok(response) => Ok(answer.around(response?, is_translated)),
                Err(_) => Ok(Status::from(Error::DeadlineExceeded).into_http()),
            }
        })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn timeouts_of_every_unit_are_read_and_nothing_else() {
        assert_eq!(parse_timeout("1H"), Some(Duration::from_hours(1)));
        assert_eq!(parse_timeout("2M"), Some(Duration::from_mins(2)));
        assert_eq!(parse_timeout("3S"), Some(Duration::from_secs(3)));
        assert_eq!(parse_timeout("4m"), Some(Duration::from_millis(4)));
        assert_eq!(parse_timeout("5u"), Some(Duration::from_micros(5)));
        assert_eq!(parse_timeout("99999999n"), Some(Duration::from_nanos(99_999_999)));
        for bad in ["", "S", "1", "1s", "-1S", "+1S", "1.5S", "999999999S", " 1S", "1é"] {
            assert_eq!(parse_timeout(bad), None, "{bad:?}");
        }
    }

    #[tokio::test]
    async fn a_turn_is_waited_for_within_the_calls_own_deadline() {
        let (turns, whose, long) = (Turns::new(), Claimant::default(), Duration::from_mins(1));
        let held = take_turn(&turns, whose, Duration::ZERO, Deadline::after(long)).await.unwrap();
        let soon = Deadline::after(Duration::from_millis(10));
        assert!(matches!(take_turn(&turns, whose, long, soon).await, Err(Error::DeadlineExceeded)));
        let refused = take_turn(&turns, whose, Duration::ZERO, Deadline::after(long)).await;
        assert!(matches!(refused, Err(Error::ApplyUnderWay(_))));
        let next = take_turn(&turns, whose, long, Deadline::after(long));
        let (next, ()) = tokio::join!(next, async { drop(held) });
        assert!(next.is_ok());
    }

    proptest! {
        #[test]
        fn no_text_panics(text in any::<String>()) {
            let _ = parse_timeout(&text);
        }
    }
}
