//! Owns running the corpus that all SDKs agree on: every case of `../conformance`, by its name.

mod clients;

use std::{
    collections::{BTreeMap, HashMap},
    convert::Infallible,
    fs,
    path::PathBuf,
    pin::Pin,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering},
    },
    task::{Context, Poll},
    time::Duration,
};

use bytes::Bytes;
use futures_util::{FutureExt, poll};
use http::{HeaderValue, Request, Response, Uri};
use http_body::{Body as HttpBody, Frame};
use http_body_util::BodyExt;
use prost::Message;
use prost_reflect::{DescriptorPool, DynamicMessage};
use serde::Deserialize;
use serde_json::{Value, json};
use signet::{
    auth::{Caller, CallerKind, Error, Policy, Shows, bearer_token, published_keys},
    base::Timestamp,
    proto::{DESCRIPTOR_SET, identity::events::v1::WatchResponse},
};
use tonic::{Code, Status, body::Body};
use tonic_types::StatusExt;
use tower::{Layer, Service, ServiceExt, service_fn};

use crate::{
    introspection::Introspected,
    revocations::WhenStale,
    standing::GivenKeys,
    time::{ManualClock, Random, Time},
    verifier::Verifier,
};

// ===== the files =====

#[derive(Deserialize)]
struct Server {
    issuer: String,
    audience: String,
    now: i64,
    #[serde(default)]
    refused_policies: Vec<RefusedPolicy>,
    cases: Vec<Case>,
}

#[derive(Deserialize)]
struct Streams {
    issuer: String,
    audience: String,
    cases: Vec<Case>,
}

#[derive(Deserialize)]
struct RefusedPolicy {
    name: String,
    policy: String,
}

/// A case of server.json, or of streams.json.
#[derive(Deserialize)]
struct Case {
    name: String,
    method: String,
    authorization: Vec<String>,
    expect: Value,
    #[serde(default)]
    now: Option<i64>,
    #[serde(default)]
    jwks: Option<String>,
    #[serde(default)]
    policy: Option<String>,
    #[serde(default)]
    public_services: Vec<String>,
    #[serde(default)]
    audience: Option<String>,
    #[serde(default)]
    leeway: Option<u64>,
    #[serde(default)]
    token_typ_jwt: bool,
    #[serde(default)]
    max_age: Option<u64>,
    #[serde(default)]
    when_stale: Option<String>,
    #[serde(default)]
    followed: Option<bool>,
    #[serde(default)]
    told: Option<Vec<Event>>,
    #[serde(default)]
    introspection: Option<Value>,
    // Of streams.json alone.
    #[serde(default)]
    opened: i64,
    #[serde(default)]
    grace: Option<u64>,
    #[serde(default)]
    events: Vec<Event>,
    #[serde(default)]
    until: i64,
}

/// What the stream of revocations tells, or that it is gone.
#[derive(Clone, Deserialize)]
struct Event {
    at: i64,
    #[serde(alias = "message", default)]
    told: Option<Value>,
}

#[derive(Deserialize)]
struct Jwks {
    cases: Vec<JwksCase>,
}

#[derive(Deserialize)]
struct JwksCase {
    name: String,
    document: String,
    expect: Value,
}

fn file(name: &str) -> Vec<u8> {
    let own = || concat!(env!("CARGO_MANIFEST_DIR"), "/../conformance").into();
    let path = PathBuf::from(std::env::var_os("SIGNET_CONFORMANCE").unwrap_or_else(own)).join(name);
    fs::read(&path).unwrap_or_else(|problem| panic!("{}: {problem}", path.display()))
}

fn read<T: for<'de> Deserialize<'de>>(name: &str) -> T {
    serde_json::from_slice(&file(name)).unwrap_or_else(|problem| panic!("{name}: {problem}"))
}

/// Tells each case by its name, and fails with all that are answered otherwise than they must be.
fn judge(file: &str, outcomes: Vec<(String, Result<(), String>)>) {
    assert!(!outcomes.is_empty(), "{file} has cases");
    let mut wrong = Vec::new();
    for (name, outcome) in outcomes {
        println!("{file}: {name}: {}", if outcome.is_ok() { "ok" } else { "WRONG" });
        wrong.extend(outcome.err().map(|problem| format!("{name}: {problem}")));
    }
    assert!(wrong.is_empty(), "{file}:\n{}", wrong.join("\n"));
}

fn compare(what: &str, found: &Value, expected: &Value) -> Result<(), String> {
    if found == expected { Ok(()) } else { Err(format!("{what} is {found}, and not {expected}")) }
}

// ===== a verifier that a case describes =====

struct Bench {
    verifier: Verifier,
    policy: Policy,
    clock: ManualClock,
    time: Time,
    /// Those that are not told yet.
    events: Vec<Event>,
}

impl Bench {
    fn new(issuer: &str, audience: &str, opened: i64, case: &Case, keys: &HashMap<String, Value>) -> Self {
        let mut events = case.told.clone().unwrap_or_default();
        events.extend(case.events.iter().cloned());
        let first = events.iter().map(|event| event.at).chain([opened]).min().unwrap();
        let (time, clock) = Time::manual(Timestamp::from_micros(first * 1_000_000));
        let audience = case.audience.as_deref().unwrap_or(audience);
        let mut builder = Verifier::builder(issuer, audience)
            .time(time.clone(), Random::of(|| 0.5))
            .leeway(Duration::from_secs(case.leeway.unwrap_or(5)))
            .revocation_max_age(Duration::from_secs(case.max_age.unwrap_or(30)))
            .stream_grace(Duration::from_secs(case.grace.unwrap_or(30)))
            .when_stale(match case.when_stale.as_deref() {
                Some("continue") => WhenStale::Continue,
                _ => WhenStale::Refuse,
            });
        if case.token_typ_jwt {
            builder = builder.token_typ_jwt();
        }
        if let Some(answer) = &case.introspection {
            let roles = answer["roles"].as_array().cloned().unwrap_or_default();
            let roles = roles.iter().filter_map(Value::as_str).map(str::to_owned).collect();
            let active = answer["active"] == json!(true);
            let answer = Introspected { active, roles };
            builder = builder.introspect_by(move |_| std::future::ready(Ok(answer.clone())));
        }
        let document = keys[case.jwks.as_deref().unwrap_or("main")].to_string();
        let keys = GivenKeys::of(published_keys(document.as_bytes()).unwrap_or_default());
        let is_followed = case.followed.unwrap_or(case.told.is_some() || !case.events.is_empty());
        let verifier = builder.with_keys(keys, is_followed).unwrap();
        let policy = policy(case.policy.as_deref().unwrap_or("corpus")).unwrap();
        let policy = policy.with_public_services(case.public_services.iter().map(String::as_str));
        Self { verifier, policy, clock, time, events }
    }

    /// Turns the clock on to `second`, one at a time, with what is told meanwhile.
    fn turn_to(&mut self, second: i64) {
        loop {
            let now = self.time.now().as_secs();
            let (due, later) =
                std::mem::take(&mut self.events).into_iter().partition(|event| event.at <= now);
            self.events = later;
            let due: Vec<Event> = due;
            for told in due.iter().filter_map(|event| event.told.as_ref()) {
                self.verifier.revocations().expect("it is followed").hear(message(told));
            }
            if now >= second {
                return;
            }
            self.clock.advance(Duration::from_secs(1));
        }
    }
}

fn policy(name: &str) -> Result<Policy, signet::auth::PolicyError> {
    Policy::from_descriptor_set(&file(&format!("policies/{name}.binpb")))
}

/// A message of the stream, as proto3 writes it in JSON.
fn message(json: &Value) -> WatchResponse {
    static POOL: std::sync::LazyLock<DescriptorPool> =
        std::sync::LazyLock::new(|| DescriptorPool::decode(DESCRIPTOR_SET).unwrap());
    let described = POOL.get_message_by_name("identity.events.v1.WatchResponse").unwrap();
    let dynamic = DynamicMessage::deserialize(described, json.clone()).unwrap();
    WatchResponse::decode(&*dynamic.encode_to_vec()).unwrap()
}

/// The request of a case; none if no URI can have its path, or no header its `authorization`.
fn request(case: &Case) -> Option<Request<Body>> {
    let mut request = Request::new(Body::empty());
    *request.uri_mut() = case.method.parse().ok()?;
    for value in &case.authorization {
        request.headers_mut().append("authorization", HeaderValue::from_bytes(value.as_bytes()).ok()?);
    }
    Some(request)
}

fn names<'a>(names: impl IntoIterator<Item = &'a str>) -> Value {
    json!(names.into_iter().collect::<Vec<_>>())
}

/// The caller as the corpus writes it, without what is unset or empty.
fn written(caller: &Caller) -> BTreeMap<String, Value> {
    let claims = caller.claims();
    let kind = if caller.kind() == CallerKind::User { "user" } else { "client" };
    let all = json!({
        "kind": kind, "id": caller.id(), "client_id": caller.client_id(), "session_id": caller.session_id(),
        "audiences": claims.aud.names(), "scopes": names(caller.scopes()), "roles": caller.roles(), "groups": claims.groups,
        "amr": names(claims.amr.iter()), "auth_time": claims.auth_time, "acr": claims.acr, "attributes": claims.attributes,
    });
    set_members(&all)
}

fn set_members(object: &Value) -> BTreeMap<String, Value> {
    let is_set = |value: &Value| !(value.is_null() || *value == json!([]) || *value == json!({}));
    let members = object.as_object().unwrap().iter().filter(|(_, value)| is_set(value));
    members.map(|(name, value)| (name.clone(), value.clone())).collect()
}

fn code_name(code: Code) -> String {
    let camel = format!("{code:?}");
    let mut name = String::new();
    for (at, c) in camel.char_indices() {
        if c.is_uppercase() && at > 0 && camel != "Ok" {
            name.push('_');
        }
        name.push(c.to_ascii_uppercase());
    }
    name
}

/// Compares a refusal with what is expected; the metadata only where they are.
fn compare_status(status: &Status, expect: &Value) -> Result<(), String> {
    compare("code", &json!(code_name(status.code())), &expect["code"])?;
    let info = status.get_details_error_info().ok_or("there is no ErrorInfo")?;
    compare("reason", &json!(info.reason), &expect["reason"])?;
    compare("domain", &json!(info.domain), &json!("identity.v1"))?;
    if let Some(metadata) = expect.get("metadata") {
        compare("metadata", &json!(info.metadata), metadata)?;
    }
    let retry = status.get_details_retry_info().and_then(|info| info.retry_delay);
    if expect.get("metadata").is_some() || expect.get("retry_info").is_some() {
        let expected = expect.get("retry_info").cloned().unwrap_or_default();
        compare("retry_info", &json!(retry.map(|delay| delay.as_secs())), &expected)?;
    }
    Ok(())
}

// ===== server.json =====

async fn call(server: &Server, case: &Case, keys: &HashMap<String, Value>) -> Result<(), String> {
    let now = case.now.unwrap_or(server.now);
    let mut bench = Bench::new(&server.issuer, &server.audience, now, case, keys);
    bench.turn_to(now);
    // What no URI has as it stands.
    if !case.method.parse::<Uri>().is_ok_and(|uri| uri.to_string() == case.method) {
        let denied = bench.policy.access(&case.method).is_none();
        return compare(
            "what denies it",
            &json!(denied.then_some("ACCESS_UNDECLARED")),
            &case.expect["reason"],
        );
    }
    let Some(request) = request(case) else {
        let read = bearer_token(case.authorization.iter().map(String::as_bytes));
        let token = read.map(Option::unwrap_or_default);
        let error = match token {
            Ok(token) => bench.verifier.authenticator().recognise(token, &server.audience).await.map(drop),
            Err(error) => Err(error),
        };
        let error = error.err().ok_or("it was recognised")?;
        return compare("reason", &json!(matches!(error, Error::TokenInvalid(_))), &json!(true));
    };
    let seen: Arc<Mutex<Option<Option<Caller>>>> = Arc::default();
    let handler = service_fn({
        let seen = Arc::clone(&seen);
        move |request: Request<Body>| {
            *seen.lock().unwrap() = Some(request.extensions().get::<Caller>().cloned());
            std::future::ready(Ok::<_, Infallible>(Response::new(Body::empty())))
        }
    });
    let answer = bench.verifier.guard(bench.policy.clone()).layer(handler).oneshot(request).await.unwrap();
    let seen = seen.lock().unwrap().take();
    match (seen, Status::from_header_map(answer.headers())) {
        (Some(caller), _) => {
            compare("code", &json!("OK"), &case.expect["code"])?;
            let expected = case.expect.get("caller").map(set_members);
            let found = caller.as_ref().map(written);
            compare("caller", &json!(found), &json!(expected))
        }
        (None, Some(status)) => compare_status(&status, &case.expect),
        (None, None) => Err("nobody answered".to_owned()),
    }
}

#[tokio::test]
async fn every_call_is_answered_as_it_must_be() {
    let (server, keys): (Server, HashMap<String, Value>) = (read("server.json"), read("keys.json"));
    let mut outcomes = Vec::new();
    for case in &server.cases {
        outcomes.push((case.name.clone(), call(&server, case, &keys).await));
    }
    for RefusedPolicy { name, policy: set } in &server.refused_policies {
        let outcome = policy(set).map_or(Ok(()), |_| Err("a policy was made of it".to_owned()));
        outcomes.push((name.clone(), outcome));
    }
    judge("server.json", outcomes);
}

// ===== streams.json =====

/// Says that it is gone.
struct Handler(Arc<AtomicBool>);

impl Drop for Handler {
    fn drop(&mut self) {
        self.0.store(true, Ordering::SeqCst);
    }
}

/// The body of a handler that says nothing.
struct Silent {
    _handler: Handler,
}

impl HttpBody for Silent {
    type Data = Bytes;
    type Error = Status;

    fn poll_frame(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
        Poll::Pending
    }
}

/// Lets the tasks in the background do what they can.
async fn settle() {
    for _ in 0..20 {
        tokio::task::yield_now().await;
    }
}

/// Opens the stream of a case, whose handler has answered its headers or has not, and returns when and how it ends.
async fn open(
    streams: &Streams,
    case: &Case,
    keys: &HashMap<String, Value>,
    has_answered: bool,
) -> Result<(), String> {
    let mut bench = Bench::new(&streams.issuer, &streams.audience, case.opened, case, keys);
    bench.turn_to(case.opened);
    let (is_gone, has_begun) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicBool::new(false)));
    let handler = service_fn({
        let (is_gone, has_begun) = (Arc::clone(&is_gone), Arc::clone(&has_begun));
        move |_: Request<Body>| {
            has_begun.store(true, Ordering::SeqCst);
            let handler = Handler(Arc::clone(&is_gone));
            async move {
                if !has_answered {
                    std::future::pending::<()>().await;
                }
                Ok::<_, Infallible>(Response::new(Body::new(Silent { _handler: handler })))
            }
        }
    });
    let mut service = bench.verifier.guard(bench.policy.clone()).layer(handler);
    let request = request(case).ok_or("it has no `authorization` that a header can have")?;
    let stream = service.call(request).then(async |answer| {
        let answer = answer.unwrap();
        if answer.headers().contains_key(Status::GRPC_STATUS) {
            return Status::from_header_map(answer.headers());
        }
        let frame = answer.into_body().frame().await.expect("a frame").expect("no error");
        frame.trailers_ref().and_then(Status::from_header_map)
    });
    // Seconds pass without a pause: none of them is to wait for its turn.
    let mut stream = Box::pin(tokio::task::unconstrained(stream));
    for second in case.opened..=case.until {
        bench.turn_to(second);
        let mut polled = poll!(&mut stream);
        if polled.is_pending() {
            settle().await;
            polled = poll!(&mut stream);
        }
        if let Poll::Ready(status) = polled {
            let status = status.ok_or("it ended without a status")?;
            drop(stream);
            compare("ends_at", &json!(second), &case.expect["ends_at"])?;
            compare("the handler's end", &json!(is_gone.load(Ordering::SeqCst)), &json!(true))?;
            return compare_status(&status, &case.expect);
        }
        compare("the handler's beginning", &json!(has_begun.load(Ordering::SeqCst)), &json!(true))?;
    }
    compare("the open stream", &json!({ "open": true }), &case.expect)
}

#[tokio::test]
async fn every_stream_ends_when_it_must_and_not_before() {
    let (streams, keys): (Streams, HashMap<String, Value>) = (read("streams.json"), read("keys.json"));
    let mut outcomes = Vec::new();
    for case in &streams.cases {
        for (has_answered, what) in [(true, "idle"), (false, "before its headers")] {
            let outcome = open(&streams, case, &keys, has_answered).await;
            outcomes.push((format!("{} ({what})", case.name), outcome));
        }
    }
    judge("streams.json", outcomes);
}

// ===== jwks.json =====

#[test]
fn every_key_set_is_read_as_it_must_be() {
    let jwks: Jwks = read("jwks.json");
    let outcomes = jwks.cases.iter().map(|case| {
        let found = published_keys(case.document.as_bytes());
        let found = found.map_or(json!("refused"), |keys| names(keys.iter().map(|key| key.kid().0.as_str())));
        (case.name.clone(), compare("the set", &found, &case.expect))
    });
    judge("jwks.json", outcomes.collect());
}
