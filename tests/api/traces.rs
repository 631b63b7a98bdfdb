//! Owns what traces promise: what a collector sees of a call, whose word counts, and that no call waits for a collector.

use std::{collections::BTreeSet, time::Duration};

use signet::proto::{
    envoy::service::auth::v3::{
        AttributeContext, CheckRequest,
        attribute_context::{HttpRequest, Request as Checked},
        authorization_client::AuthorizationClient,
    },
    identity::v1::GetMeRequest,
};
use tokio::task::JoinSet;
use tonic::{Code, Request, metadata::MetadataValue};

use crate::{
    harness::{PASSWORD, TestServer, assert_refused, eventually, password_grant, with_token},
    support::{
        collector::{Collector, SeenSpan},
        pki::Authority,
    },
};

const ALWAYS: (&str, &str) = ("OTEL_TRACES_SAMPLER", "always_on");
const ENDPOINT: &str = "OTEL_EXPORTER_OTLP_ENDPOINT";
const GRPC: (&str, &str) = ("OTEL_EXPORTER_OTLP_PROTOCOL", "grpc");

const TRACE: &str = "0af7651916cd43dd8448eb211c80319c";
const PARENT: &str = "b7ad6b7169203331";
const SIGN_UP: &str = "identity.v1.IdentityService/SignUp";
const ISSUE_TOKEN: &str = "identity.v1.IdentityService/IssueToken";
const GET_ME: &str = "identity.v1.IdentityService/GetMe";

/// `message` of a caller that has a trace.
fn traced<T>(message: T, is_sampled: bool) -> Request<T> {
    let mut request = Request::new(message);
    let value = format!("00-{TRACE}-{PARENT}-0{}", u8::from(is_sampled));
    request.metadata_mut().insert("traceparent", MetadataValue::try_from(value).unwrap());
    request
}

/// The span `name` of those that a request began, once the collector has it.
async fn own_span(collector: &Collector, name: &str) -> SeenSpan {
    eventually(name, async || collector.spans().iter().any(|span| span.name == name)).await;
    collector.spans().into_iter().find(|span| span.name == name).unwrap()
}

/// What is done for the request of `span`.
fn children(collector: &Collector, span: &SeenSpan) -> Vec<SeenSpan> {
    collector.spans().into_iter().filter(|other| other.parent == span.id).collect()
}

#[tokio::test]
async fn a_login_is_one_trace_to_the_hash_and_the_database_and_tells_nothing_that_was_sent() {
    let collector = Collector::grpc().await;
    let server = TestServer::start_traced(&[(ENDPOINT, &collector.url()), GRPC, ALWAYS], &[]).await;
    let mut client = server.client().await;
    let user = client.sign_up("alice", PASSWORD).await.unwrap();
    let answer =
        client.0.issue_token(traced(password_grant("alice", PASSWORD), false)).await.unwrap().into_inner();
    assert_refused(
        client.log_in("alice", "wrong-staple-battery").await,
        Code::Unauthenticated,
        "INVALID_CREDENTIALS",
    );

    let login = own_span(&collector, ISSUE_TOKEN).await;
    assert_eq!((&*login.trace, &*login.parent, login.kind), (TRACE, PARENT, 2), "its caller's trace goes on");
    let attributes =
        [("rpc.method", ISSUE_TOKEN), ("rpc.response.status_code", "OK"), ("rpc.system.name", "grpc")];
    let attributes = attributes.map(|(name, value)| (name.to_owned(), value.to_owned()));
    assert_eq!(login.attributes, attributes.into());
    let children = children(&collector, &login);
    assert!(children.iter().all(|span| span.trace == TRACE && !span.is_error), "{children:?}");
    let names: BTreeSet<_> = children.iter().map(|span| &*span.name).collect();
    assert!(names.is_superset(&["password.wait", "password.hash", "SELECT", "INSERT"].into()), "{names:?}");
    let select = children.iter().find(|span| span.name == "SELECT").unwrap();
    assert_eq!((select.kind, &*select.attributes["db.operation.name"]), (3, "SELECT"));
    let systems = ["sqlite", "postgresql", "mysql"];
    assert!(systems.contains(&&*select.attributes["db.system.name"]), "{select:?}");

    let sign_up = own_span(&collector, SIGN_UP).await;
    assert!(sign_up.parent.is_empty() && sign_up.trace != TRACE, "a trace that begins here");
    server.stop().await;
    let refused =
        collector.spans().into_iter().filter(|span| span.name == ISSUE_TOKEN && span.trace != TRACE);
    let codes: Vec<_> =
        refused.map(|span| (span.attributes["rpc.response.status_code"].clone(), span.is_error)).collect();
    assert_eq!(
        codes,
        [("UNAUTHENTICATED".to_owned(), false)],
        "the caller's fault is no error of the service"
    );
    let all = format!("{:?}", collector.spans());
    let refresh_token = answer.refresh_token.unwrap();
    for secret in
        ["alice", PASSWORD, "wrong-staple", "127.0.0.1", &user.id, &answer.access_token, &refresh_token]
    {
        assert!(!all.contains(secret), "{secret}: {all}");
    }
}

#[tokio::test]
async fn the_callers_flag_counts_from_a_trusted_proxy_alone() {
    for (args, is_traced) in [(&[][..], false), (&["--trusted-proxy-addresses=127.0.0.1"], true)] {
        let collector = Collector::http().await;
        let variables = [(ENDPOINT, &*collector.url()), ("OTEL_TRACES_SAMPLER", "parentbased_always_off")];
        let server = TestServer::start_traced(&variables, args).await;
        let mut client = server.client().await;
        for is_sampled in [true, false] {
            client.0.get_me(traced(GetMeRequest {}, is_sampled)).await.unwrap_err();
        }
        server.stop().await;
        let traces: Vec<_> = collector.spans().into_iter().map(|span| (span.name, span.trace)).collect();
        let expected = is_traced.then(|| (GET_ME.to_owned(), TRACE.to_owned()));
        assert_eq!(traces, Vec::from_iter(expected), "{args:?}");
    }
}

#[tokio::test]
async fn a_hundred_traces_leave_in_a_second_and_the_others_are_counted() {
    let collector = Collector::http().await;
    let server = TestServer::start_traced(&[(ENDPOINT, &collector.url()), ALWAYS], &["--metrics=on"]).await;
    let mut client = server.client().await;
    // The clock stands.
    for _ in 0..130 {
        client.0.get_me(GetMeRequest {}).await.unwrap_err();
    }
    let left_out = server.scrape().await.sum("signet_traces_total", &[("result", "left_out")]);
    assert!(left_out >= 30.0, "{left_out}");
    server.clock.advance(Duration::from_secs(1));
    client.0.get_me(GetMeRequest {}).await.unwrap_err();
    server.stop().await;
    assert_eq!(collector.spans().iter().filter(|span| span.name == GET_ME).count(), 101);
}

#[tokio::test]
async fn a_slow_collector_that_comes_back_gets_no_more_than_a_hundred_in_any_second() {
    let collector = Collector::http().await;
    let held = collector.hold().await;
    let variables = [(ENDPOINT, &*collector.url()), ALWAYS, ("OTEL_EXPORTER_OTLP_TIMEOUT", "60000")];
    let server = TestServer::start_traced(&variables, &[]).await;
    let mut client = server.client().await;
    client.0.get_me(GetMeRequest {}).await.unwrap_err();
    eventually("the first leaves", async || !collector.sent().is_empty()).await;
    // 256 wait behind it, and the others find no room.
    for _ in 0..300 {
        server.clock.advance(Duration::from_millis(20));
        client.0.get_me(GetMeRequest {}).await.unwrap_err();
    }
    drop(held);
    let count = || collector.spans().iter().filter(|span| span.name == GET_ME).count();
    eventually("what has waited leaves", async || count() >= 257).await;
    server.stop().await;
    assert_eq!(count(), 257);
    let sent = collector.sent();
    for first in &sent {
        let within = sent
            .iter()
            .filter(|sent| sent.at >= first.at && sent.at.duration_since(first.at) < Duration::from_secs(1));
        let scopes = within.flat_map(|sent| &sent.request.resource_spans).flat_map(|all| &all.scope_spans);
        let traces = scopes.flat_map(|scope| &scope.spans).filter(|span| span.name == GET_ME).count();
        assert!(traces <= 100, "{traces}");
    }
}

#[tokio::test]
async fn what_the_collector_rejects_or_does_not_answer_in_time_is_lost() {
    for (protocol, is_slow) in
        [("grpc", false), ("grpc", true), ("http/protobuf", false), ("http/protobuf", true)]
    {
        let collector = if protocol == "grpc" { Collector::grpc().await } else { Collector::http().await };
        let held = if is_slow { Some(collector.hold().await) } else { None };
        collector.reject(i64::from(!is_slow));
        let variables = [
            (ENDPOINT, &*collector.url()),
            ("OTEL_EXPORTER_OTLP_PROTOCOL", protocol),
            ("OTEL_EXPORTER_OTLP_TIMEOUT", "500"),
            ALWAYS,
        ];
        let server = TestServer::start_traced(&variables, &["--metrics=on"]).await;
        server.client().await.0.get_me(GetMeRequest {}).await.unwrap_err();
        let total =
            async |result: &str| server.scrape().await.sum("signet_traces_total", &[("result", result)]);
        eventually("it is counted", async || total("lost").await >= 1.0).await;
        assert!(!collector.sent().is_empty() && total("sent").await < 1.0, "{protocol} {is_slow}");
        drop(held);
        server.stop().await;
    }
}

#[tokio::test]
async fn no_call_fails_and_the_end_has_a_bound_whatever_the_collector_does() {
    let hangs = Collector::that_hangs().await;
    // Nobody listens there any more.
    let gone = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
    // Side by side: each waits for a collector that does not answer.
    let all = [
        (hangs.url(), "grpc"),
        (hangs.url(), "http/protobuf"),
        (format!("http://{gone}"), "grpc"),
        (format!("http://{gone}"), "http/protobuf"),
        (format!("https://{}", hangs.addr), "grpc"),
    ];
    let all = all.map(|(url, protocol)| async move {
        let variables = [(ENDPOINT, &*url), ("OTEL_EXPORTER_OTLP_PROTOCOL", protocol), ALWAYS];
        let server = TestServer::start_traced(&variables, &[]).await;
        let mut client = server.client().await;
        let token = client.token_of_new("alice").await;
        for _ in 0..400 {
            client.get_me(&token).await.unwrap();
            server.clock.advance(Duration::from_millis(20));
        }
        let in_time = tokio::time::timeout(Duration::from_secs(20), server.stop()).await;
        assert!(in_time.is_ok(), "{url} {protocol}");
    });
    all.into_iter().collect::<JoinSet<_>>().join_all().await;
    assert!(hangs.spans().is_empty());
}

#[tokio::test]
async fn a_request_over_http_is_a_trace_and_its_path_is_told_if_it_is_served() {
    let collector = Collector::http().await;
    let server = TestServer::start_traced(&[(ENDPOINT, &collector.url()), ALWAYS], &[]).await;
    assert_eq!(server.http_get("/.well-known/jwks.json?query=secret").await.status(), 200);
    assert_eq!(server.http_get("/alice").await.status(), 404);
    server.stop().await;
    let spans = collector.spans();
    let told = |name: &str| {
        let span = spans.iter().find(|span| span.name == name).unwrap_or_else(|| panic!("{name}: {spans:?}"));
        span.attributes.iter().map(|(name, value)| format!("{name}={value}")).collect::<Vec<_>>().join(" ")
    };
    assert_eq!(
        told("GET /.well-known/jwks.json"),
        "http.request.method=GET http.response.status_code=200 http.route=/.well-known/jwks.json"
    );
    assert_eq!(told("GET"), "http.request.method=GET http.response.status_code=404");
    let all = format!("{spans:?}");
    assert!(!all.contains("alice") && !all.contains("secret"), "{all}");
}

#[tokio::test]
async fn a_question_of_envoys_is_a_part_of_the_trace_that_it_asks_about() {
    let collector = Collector::http().await;
    let args = ["--ext-authz=on", "--ext-authz-addr=127.0.0.1:0"];
    let server = TestServer::start_traced(&[(ENDPOINT, &collector.url()), ALWAYS], &args).await;
    let addr = server.started.ext_authz_addr.unwrap();
    let mut envoy = AuthorizationClient::connect(format!("http://{addr}")).await.unwrap();
    let headers = [("traceparent".to_owned(), format!("00-{TRACE}-{PARENT}-00"))].into();
    let request = Some(Checked { http: Some(HttpRequest { headers, ..HttpRequest::default() }) });
    let question =
        CheckRequest { attributes: Some(AttributeContext { request, ..AttributeContext::default() }) };
    envoy.check(question.clone()).await.unwrap();
    // Envoy's own span stands between: it tells that one in the head.
    let mut own = Request::new(question);
    let value = format!("00-{}-00f067aa0ba902b7-01", TRACE.replace('0', "1"));
    own.metadata_mut().insert("traceparent", value.parse().unwrap());
    envoy.check(own).await.unwrap();
    server.stop().await;
    let checks = collector.spans().into_iter().filter(|span| span.name.ends_with("Authorization/Check"));
    let traces: Vec<_> = checks.map(|span| (span.trace, span.parent)).collect();
    let expected = [(TRACE.to_owned(), PARENT), (TRACE.replace('0', "1"), "00f067aa0ba902b7")];
    assert_eq!(traces, expected.map(|(trace, parent)| (trace, parent.to_owned())));
}

#[tokio::test]
async fn every_variable_of_the_exporter_counts_on_the_wire() {
    let authority = Authority::new("collectors");
    let secure = Collector::grpc_by_tls(&authority.issue(&["localhost"])).await;
    let dir = tempfile::TempDir::new().unwrap();
    let roots = dir.path().join("roots.pem");
    std::fs::write(&roots, &authority.pem).unwrap();
    let url = format!("https://localhost:{}", secure.addr.port());
    let nowhere = "http://127.0.0.1:1";
    let variables = [
        (ENDPOINT, nowhere),
        ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", &*url),
        ("OTEL_EXPORTER_OTLP_PROTOCOL", "http/protobuf"),
        ("OTEL_EXPORTER_OTLP_TRACES_PROTOCOL", "grpc"),
        ("OTEL_EXPORTER_OTLP_HEADERS", "api-key=other"),
        ("OTEL_EXPORTER_OTLP_TRACES_HEADERS", "api-key=a%2Cb"),
        ("OTEL_EXPORTER_OTLP_CERTIFICATE", "/dev/null"),
        ("OTEL_EXPORTER_OTLP_TRACES_CERTIFICATE", roots.to_str().unwrap()),
        ("OTEL_EXPORTER_OTLP_TIMEOUT", "60000"),
        ("OTEL_SERVICE_NAME", "id"),
        ("OTEL_RESOURCE_ATTRIBUTES", "deployment.environment.name=test"),
        ("OTEL_TRACES_SAMPLER", "traceidratio"),
        ("OTEL_TRACES_SAMPLER_ARG", "1"),
    ];
    let server = TestServer::start_traced(&variables, &[]).await;
    server.client().await.0.get_me(with_token(GetMeRequest {}, "no token")).await.unwrap_err();
    own_span(&secure, GET_ME).await;
    assert_eq!(secure.sent()[0].headers["api-key"], "a,b");
    let resource = secure.resource();
    assert_eq!((&*resource["service.name"], &*resource["deployment.environment.name"]), ("id", "test"));
    assert!(resource.contains_key("service.instance.id") && resource.contains_key("service.version"));
    server.stop().await;

    let plain = Collector::http().await;
    let url = format!("{}/base", plain.url());
    let server = TestServer::start_traced(&[(ENDPOINT, nowhere), ALWAYS], &["--otlp-endpoint", &url]).await;
    server.client().await.0.get_me(GetMeRequest {}).await.unwrap_err();
    own_span(&plain, GET_ME).await;
    assert_eq!(plain.sent()[0].path, "/base/v1/traces", "the flag wins");
    assert_eq!(plain.resource()["service.name"], "signet");
    server.stop().await;

    let off = Collector::http().await;
    let variables = [(ENDPOINT, &*off.url()), ALWAYS, ("OTEL_SDK_DISABLED", "true")];
    let server = TestServer::start_traced(&variables, &[]).await;
    server.client().await.0.get_me(GetMeRequest {}).await.unwrap_err();
    server.stop().await;
    assert!(off.sent().is_empty());
}

#[tokio::test]
async fn a_collector_by_https_is_believed_by_its_authority_and_another_costs_the_traces_alone() {
    let (authority, other) = (Authority::new("collectors"), Authority::new("others"));
    let dir = tempfile::TempDir::new().unwrap();
    let roots = dir.path().join("roots.pem");
    std::fs::write(&roots, &authority.pem).unwrap();
    for (issuer, is_believed) in [(&authority, true), (&other, false)] {
        let collector = Collector::http_by_tls(&issuer.issue(&["localhost"])).await;
        let url = format!("https://localhost:{}", collector.addr.port());
        let variables = [
            (ENDPOINT, &*url),
            ("OTEL_EXPORTER_OTLP_PROTOCOL", "http/protobuf"),
            ("OTEL_EXPORTER_OTLP_CERTIFICATE", roots.to_str().unwrap()),
            ALWAYS,
        ];
        let server = TestServer::start_traced(&variables, &["--metrics=on"]).await;
        server.client().await.token_of_new("alice").await;
        let total =
            async |result: &str| server.scrape().await.sum("signet_traces_total", &[("result", result)]);
        let ended = if is_believed { "sent" } else { "lost" };
        eventually("they are counted", async || total(ended).await >= 2.0).await;
        if is_believed {
            own_span(&collector, SIGN_UP).await;
            assert_eq!(collector.sent()[0].path, "/v1/traces");
        } else {
            assert!(collector.sent().is_empty() && total("sent").await < 1.0);
        }
        server.stop().await;
    }
}

#[tokio::test]
async fn a_call_that_has_to_read_the_keys_tells_of_that() {
    let collector = Collector::grpc().await;
    let server = TestServer::start_traced(&[(ENDPOINT, &collector.url()), GRPC, ALWAYS], &[]).await;
    let mut client = server.client().await;
    let token = client.token_of_new("alice").await;
    // What is known is older than `--standing-cache-max-age` each time, unless the feed of changes was read in between.
    for _ in 0..20 {
        server.clock.advance(Duration::from_secs(2));
        client.get_me(&token).await.unwrap();
    }
    server.stop().await;
    let spans = collector.spans();
    let calls: Vec<_> = spans.iter().filter(|span| span.name == GET_ME).collect();
    let mut readings = spans.iter().filter(|span| span.name == "signing_keys.read");
    let is_of = |read: &SeenSpan, call: &SeenSpan| (&read.parent, &read.trace) == (&call.id, &call.trace);
    let read = readings.find(|read| calls.iter().any(|call| is_of(read, call)));
    let read = read.unwrap_or_else(|| panic!("{spans:?}"));
    assert_eq!((read.kind, read.is_error, read.attributes.len()), (1, false, 0), "{read:?}");
}
