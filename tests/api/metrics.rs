//! Owns what the metrics promise: every call is counted under its method and code, and nobody can make a series.

#![allow(clippy::float_cmp, reason = "counts are whole numbers, which a float holds exactly")]

use std::{
    cell::RefCell,
    collections::{BTreeMap, BTreeSet},
    fs,
};

use signet::{
    model::UserId,
    proto::identity::v1::{
        ClientAuthentication, GetMeRequest, IssueTokenRequest, RefreshTokenGrant, issue_token_request::Grant,
    },
};
use tonic::{Code, Request, client::Grpc};
use tonic_health::pb::{HealthCheckRequest, health_client::HealthClient};
use tonic_prost::ProstCodec;

use crate::clients::{Service, Wanted, client_credentials};
use crate::harness::{Client, PASSWORD, TestServer, assert_refused, eventually, password_grant};

/// What `/metrics` said: each series and its value.
pub(crate) struct Scrape {
    pub(crate) text: String,
    series: BTreeMap<String, f64>,
}

impl Scrape {
    /// The sum of the series of `name` that have all these labels.
    pub(crate) fn sum(&self, name: &str, labels: &[(&str, &str)]) -> f64 {
        let has = |series: &str| {
            labels.iter().all(|(label, value)| series.contains(&format!("{label}=\"{value}\"")))
        };
        let named = |series: &str| series.split('{').next() == Some(name);
        self.series.iter().filter(|(series, _)| named(series) && has(series)).map(|(_, value)| value).sum()
    }

    /// By how much each count has grown since `before`, but for those that grow by scrapes, or by themselves.
    fn growth_since(&self, before: &Self) -> BTreeMap<String, f64> {
        let is_count = |series: &str| {
            let name = series.split('{').next().unwrap_or_default();
            let is_other =
                ["process_", "signet_http_", "signet_database_", "signet_job_", "signet_audit_database_"]
                    .iter()
                    .any(|other| name.starts_with(other));
            (name.ends_with("_total") || name.ends_with("_count"))
                && !is_other
                && !series.contains("listener=\"operations\"")
        };
        let grown = self.series.iter().filter(|(series, _)| is_count(series));
        grown
            .map(|(series, value)| {
                (series.clone(), value - before.series.get(series.as_str()).unwrap_or(&0.0))
            })
            .filter(|(_, growth)| *growth != 0.0)
            .collect()
    }

    /// The name of each series, and those of its labels.
    pub(crate) fn labels(&self) -> impl Iterator<Item = (&str, Vec<&str>)> {
        self.series.keys().map(|series| {
            let (name, labels) = series.split_once('{').unwrap_or((series, ""));
            (
                name,
                labels
                    .split("\",")
                    .filter_map(|label| label.split('=').next())
                    .filter(|label| !label.is_empty())
                    .collect(),
            )
        })
    }

    /// The names of the families, with their types.
    pub(crate) fn families(&self) -> BTreeMap<&str, &str> {
        let types = self.text.lines().filter_map(|line| line.strip_prefix("# TYPE "));
        types.map(|line| line.split_once(' ').unwrap()).collect()
    }
}

impl TestServer {
    /// What `/metrics` says now.
    pub(crate) async fn scrape(&self) -> Scrape {
        let answer = self.operations_get("/metrics").await;
        assert_eq!(answer.status(), 200);
        let text = answer.into_body();
        let lines = text.lines().filter(|line| !line.starts_with('#'));
        let series = lines.map(|line| {
            let (series, value) = line.rsplit_once(' ').unwrap();
            (series.to_owned(), value.parse().unwrap())
        });
        let series = series.collect();
        Scrape { text, series }
    }
}

impl Client {
    async fn exchange_refresh_token(&mut self, token: &str) -> Option<String> {
        let grant = Grant::RefreshToken(RefreshTokenGrant { refresh_token: token.to_owned() });
        let answer = self
            .0
            .issue_token(IssueTokenRequest { grant: Some(grant), ..IssueTokenRequest::default() })
            .await;
        answer.ok().and_then(|answer| answer.into_inner().refresh_token)
    }
}

/// Calls a method that there is not.
async fn call(server: &TestServer, path: &str) -> Code {
    let mut grpc = Grpc::new(server.channel().await);
    grpc.ready().await.unwrap();
    let codec: ProstCodec<GetMeRequest, GetMeRequest> = ProstCodec::default();
    grpc.unary(Request::new(GetMeRequest {}), path.parse().unwrap(), codec).await.unwrap_err().code()
}

#[tokio::test]
async fn calls_are_counted_by_method_and_code() {
    let server = TestServer::start(&[]).await;
    let mut client = server.client().await;
    let before = server.scrape().await;
    assert_eq!(before.sum("grpc_server_handled_total", &[("grpc_method", "GetMe")]), 0.0);

    let token = client.token_of_new("alice").await;
    for _ in 0..3 {
        client.get_me(&token).await.unwrap();
    }
    assert_refused(client.get_me("x").await, Code::Unauthenticated, "TOKEN_INVALID");
    let after = server.scrape().await;
    let service = ("grpc_service", "identity.v1.IdentityService");
    for (method, code, count) in
        [("SignUp", "OK", 1.0), ("GetMe", "OK", 3.0), ("GetMe", "Unauthenticated", 1.0)]
    {
        let labels = [("grpc_type", "unary"), service, ("grpc_method", method), ("grpc_code", code)];
        assert_eq!(after.sum("grpc_server_handled_total", &labels), count, "{method} {code}");
    }
    let get_me = [service, ("grpc_method", "GetMe")];
    assert_eq!(after.sum("grpc_server_started_total", &get_me), 4.0);
    assert_eq!(after.sum("grpc_server_handling_seconds_count", &get_me), 4.0);
    assert_eq!(after.sum("signet_grpc_calls_in_flight", &[]), 0.0);
    assert_eq!(after.sum("signet_connections_open", &[("listener", "grpc")]), 1.0);
}

#[tokio::test]
async fn a_stream_that_its_client_gives_up_is_in_flight_until_then_and_canceled_from_then_on() {
    let server = TestServer::start(&[]).await;
    let mut health = HealthClient::new(server.channel().await);
    let mut watch = health.watch(HealthCheckRequest::default()).await.unwrap().into_inner();
    watch.message().await.unwrap();
    assert_eq!(server.scrape().await.sum("signet_grpc_calls_in_flight", &[]), 1.0);
    drop(watch);
    let canceled = [("grpc_type", "server_stream"), ("grpc_method", "Watch"), ("grpc_code", "Canceled")];
    eventually("the call has ended", async || {
        let scrape = server.scrape().await;
        scrape.sum("signet_grpc_calls_in_flight", &[]) == 0.0
            && scrape.sum("grpc_server_handled_total", &canceled) == 1.0
    })
    .await;
}

#[tokio::test]
async fn what_a_client_makes_up_makes_no_series() {
    let server = TestServer::start(&[]).await;
    assert_eq!(call(&server, "/made.up/Method").await, Code::Unimplemented);
    server.http_get("/made/up").await;
    server.operations_get("/metrics").await;
    let before = server.scrape().await;
    for number in 0..20 {
        assert_eq!(call(&server, &format!("/made.up/Method{number}")).await, Code::Unimplemented);
        assert_eq!(server.http_get(&format!("/made/up/{number}?x={number}")).await.status(), 404);
    }
    let after = server.scrape().await;
    let names = |scrape: &Scrape| scrape.series.keys().cloned().collect::<BTreeSet<_>>();
    assert_eq!(names(&before), names(&after));
    assert!(!after.text.contains("made.up") && !after.text.contains("made/up"), "{}", after.text);
    let unknown = [("grpc_method", "unknown"), ("grpc_code", "Unimplemented")];
    assert_eq!(after.sum("grpc_server_handled_total", &unknown), 21.0);
    let unknown = [("route", "unknown"), ("status", "404")];
    assert_eq!(after.sum("signet_http_requests_total", &unknown), 21.0);
}

#[tokio::test]
async fn logins_refreshes_and_hashes_are_counted_by_what_came_of_them() {
    let server = TestServer::start(&[]).await;
    let mut client = server.client().await;
    client.sign_up("alice", PASSWORD).await.unwrap();
    let first = client.log_in("alice", PASSWORD).await.unwrap().refresh_token.unwrap();
    for name in ["alice", "nobody"] {
        assert_refused(client.log_in(name, "wrong").await, Code::Unauthenticated, "INVALID_CREDENTIALS");
    }
    let second = client.exchange_refresh_token(&first).await.unwrap();
    client.exchange_refresh_token(&first).await.unwrap();
    client.exchange_refresh_token(&second).await.unwrap();
    assert_eq!(client.exchange_refresh_token(&first).await, None);
    assert_eq!(client.exchange_refresh_token(&second).await, None);

    let scrape = server.scrape().await;
    for (result, count) in [("succeeded", 1.0), ("refused", 2.0), ("failed", 0.0)] {
        assert_eq!(scrape.sum("signet_logins_total", &[("result", result)]), count, "{result}");
    }
    for (result, count) in [("done", 2.0), ("repeated", 1.0), ("replayed", 1.0), ("refused", 1.0)] {
        assert_eq!(scrape.sum("signet_refreshes_total", &[("result", result)]), count, "{result}");
    }
    for (grant, count) in [("password", 1.0), ("refresh_token", 3.0)] {
        assert_eq!(scrape.sum("signet_tokens_issued_total", &[("grant", grant)]), count, "{grant}");
    }
    assert_eq!(scrape.sum("signet_hash_seconds_count", &[]), 4.0);
    assert_eq!(scrape.sum("signet_hash_threads", &[]), 2.0);
    assert_eq!(scrape.sum("signet_hash_queue_length", &[]), 0.0);
    assert!(scrape.sum("signet_database_statement_seconds_count", &[]) > 10.0);
}

#[tokio::test]
async fn what_clients_ask_for_themselves_is_counted_by_what_came_of_it() {
    let service = Service::start().await;
    let registered = service.register("billing", Wanted::confidential("a")).await;
    service.token_of(&registered).await;
    let too_much = IssueTokenRequest { scope: "b".to_owned(), ..registered.own_token() };
    assert_refused(service.issue(too_much).await, Code::InvalidArgument, "INVALID_SCOPE");
    let unproven = client_credentials(registered.with(None));
    assert_refused(service.issue(unproven).await, Code::Unauthenticated, "INVALID_CLIENT");
    // Behind the service's back: what it asks for is not there.
    let db = service.server.data.connect().await;
    let gone = "ALTER TABLE clients RENAME TO others";
    sea_orm::ConnectionTrait::execute_unprepared(&db, gone).await.unwrap();
    assert_refused(service.issue(registered.own_token()).await, Code::Internal, "INTERNAL");
    let scrape = service.server.scrape().await;
    for (result, count) in [("succeeded", 1.0), ("refused", 2.0), ("failed", 1.0)] {
        let labels = [("result", result)];
        assert_eq!(scrape.sum("signet_client_credentials_total", &labels), count, "{result}");
    }
}

#[tokio::test]
async fn a_login_is_refused_for_its_client_scope_or_audience_too() {
    let server = TestServer::start(&[]).await;
    let mut client = server.client().await;
    client.sign_up("alice", PASSWORD).await.unwrap();
    let nobody = ClientAuthentication {
        client_id: "01a20a05-adfd-7f0f-a948-424ae62fc105".to_owned(),
        ..ClientAuthentication::default()
    };
    let login = || password_grant("alice", PASSWORD);
    for (request, code, reason) in [
        (IssueTokenRequest { client: Some(nobody), ..login() }, Code::Unauthenticated, "INVALID_CLIENT"),
        (IssueTokenRequest { scope: "beyond".to_owned(), ..login() }, Code::InvalidArgument, "INVALID_SCOPE"),
        (
            IssueTokenRequest { audiences: vec!["beyond".to_owned()], ..login() },
            Code::InvalidArgument,
            "INVALID_AUDIENCE",
        ),
    ] {
        assert_refused(client.0.issue_token(request).await, code, reason);
    }
    let scrape = server.scrape().await;
    for (result, count) in [("succeeded", 0.0), ("refused", 3.0), ("failed", 0.0)] {
        assert_eq!(scrape.sum("signet_logins_total", &[("result", result)]), count, "{result}");
    }
}

#[tokio::test]
async fn metrics_tell_nobody_which_names_there_are_or_which_password_of_a_disabled_user_is_right() {
    let dir = tempfile::tempdir().unwrap();
    let log = dir.path().join("audit.log");
    let server = TestServer::start(&[&format!("--audit-log={}", log.display())]).await;
    let mut client = server.client().await;
    client.sign_up("alice", PASSWORD).await.unwrap();
    let disabled = client.sign_up("disabled", PASSWORD).await.unwrap();
    let id = UserId(disabled.id.parse().unwrap());
    server
        .store()
        .await
        .set_active(id, false, crate::operator::by_operator(server.clock.now()))
        .await
        .unwrap();
    // The client of those who name none is remembered, unless it was read while something changed.
    eventually("the client is remembered", async || {
        let before = server.scrape().await;
        assert_eq!(client.clone().exchange_refresh_token("made up").await, None);
        let missed = "signet_cache_lookups_total{cache=\"clients\",result=\"miss\"}";
        !server.scrape().await.growth_since(&before).contains_key(missed)
    })
    .await;
    let kinds = [
        ("nobody", "not the password"),
        ("alice", "not the password"),
        ("disabled", "not the password"),
        ("disabled", PASSWORD),
    ];
    // What moves with a refused login.
    let moved = [
        "grpc_server_handled_total",
        "grpc_server_handling_seconds_count",
        "signet_logins_total",
        "signet_hash_seconds_count",
        "signet_audit_events_total",
    ];
    let expected = RefCell::new(BTreeMap::new());
    // And again: then each is told with the one before.
    for (number, (name, password)) in kinds.into_iter().chain(kinds).enumerate() {
        let before = server.scrape().await;
        let refused = client.log_in(name, password).await;
        assert_refused(refused, Code::Unauthenticated, "INVALID_CREDENTIALS");
        eventually("its line is written", async || {
            let text = fs::read_to_string(&log).unwrap();
            text.matches("\"login\"").count() == kinds.len().min(number + 1)
        })
        .await;
        // Some counters move when the answer has been read.
        eventually(&format!("{name} is counted as the others are"), async || {
            let growth = server.scrape().await.growth_since(&before);
            let all = moved.iter().all(|name| growth.keys().any(|series| series.starts_with(name)));
            if number == 0 && all {
                *expected.borrow_mut() = growth.clone();
            }
            growth == *expected.borrow() && all
        })
        .await;
    }
}

#[tokio::test]
async fn a_refresh_of_a_disabled_user_is_counted_once() {
    let server = TestServer::start(&["--standing-cache-max-age=0s"]).await;
    let mut client = server.client().await;
    let alice = client.sign_up("alice", PASSWORD).await.unwrap();
    let token = client.log_in("alice", PASSWORD).await.unwrap().refresh_token.unwrap();
    let id = UserId(alice.id.parse().unwrap());
    server
        .store()
        .await
        .set_active(id, false, crate::operator::by_operator(server.clock.now()))
        .await
        .unwrap();
    // The newest, and then the one before the newest.
    for attempts in [1.0, 2.0] {
        assert_eq!(client.exchange_refresh_token(&token).await, None);
        let scrape = server.scrape().await;
        assert_eq!(scrape.sum("signet_refreshes_total", &[("result", "refused")]), attempts);
        assert_eq!(scrape.sum("signet_refreshes_total", &[]), attempts);
    }
}

#[tokio::test]
async fn what_the_database_keeps_from_being_judged_has_failed() {
    let server = TestServer::start(&["--standing-cache-max-age=0s"]).await;
    let mut client = server.client().await;
    client.sign_up("alice", PASSWORD).await.unwrap();
    let token = client.log_in("alice", PASSWORD).await.unwrap().refresh_token.unwrap();
    // Behind the service's back: what it asks for is not there.
    let db = server.data.connect().await;
    sea_orm::ConnectionTrait::execute_unprepared(&db, "ALTER TABLE users RENAME TO others").await.unwrap();
    assert_refused(client.log_in("alice", PASSWORD).await, Code::Internal, "INTERNAL");
    assert_eq!(client.exchange_refresh_token(&token).await, None);
    let scrape = server.scrape().await;
    for (name, all) in [("signet_logins_total", 2.0), ("signet_refreshes_total", 1.0)] {
        assert_eq!(scrape.sum(name, &[("result", "failed")]), 1.0, "{name}");
        assert_eq!(scrape.sum(name, &[]), all, "{name}");
    }
}

#[tokio::test]
async fn a_login_that_its_client_gives_up_has_failed() {
    let slow = ["--argon2-memory-kib=65536", "--argon2-iterations=20", "--hash-threads=1"];
    let server = TestServer::start(&slow).await;
    let mut client = server.client().await;
    let login = tokio::spawn(async move { client.log_in("nobody", PASSWORD).await });
    eventually("the password is hashed", async || {
        server.scrape().await.sum("signet_hash_threads_busy", &[]) == 1.0
    })
    .await;
    login.abort();
    eventually("the login has failed", async || {
        server.scrape().await.sum("signet_logins_total", &[("result", "failed")]) == 1.0
    })
    .await;
    assert_eq!(server.scrape().await.sum("signet_logins_total", &[]), 1.0);
}

#[tokio::test]
async fn a_password_that_has_no_room_is_counted() {
    // Whatever else the machine does, no login runs out of time.
    let slow = ["--argon2-memory-kib=65536", "--argon2-iterations=5", "--hash-threads=1", "--hash-queue=1"];
    let server = TestServer::start(&[&slow[..], &["--request-timeout=5m"]].concat()).await;
    let client = server.client().await;
    let (mut refused, mut failed) = (0.0, 0.0);
    while refused == 0.0 {
        let logins = (0..8).map(|_| {
            let mut client = client.clone();
            tokio::spawn(async move { client.log_in("nobody", PASSWORD).await })
        });
        for login in logins.collect::<Vec<_>>() {
            let status = login.await.unwrap().unwrap_err();
            // One that fails for something else, such as time, has not been refused for want of room.
            refused += f64::from(u8::from(status.message().contains("too many passwords to hash")));
            failed += f64::from(u8::from(status.code() != Code::Unauthenticated));
        }
    }
    let scrape = server.scrape().await;
    assert_eq!(scrape.sum("signet_hash_refused_total", &[]), refused);
    assert_eq!(scrape.sum("signet_logins_total", &[("result", "failed")]), failed);
}

#[tokio::test]
async fn caches_tell_hits_from_misses() {
    let server = TestServer::start(&["--access-token-ttl=1h"]).await;
    let mut client = server.client().await;
    let token = client.token_of_new("alice").await;
    for _ in 0..5 {
        client.get_me(&token).await.unwrap();
    }
    let lookups = async || {
        let scrape = server.scrape().await;
        ["verified_tokens", "users", "sessions"].map(|cache| {
            ["hit", "miss"].map(|result| {
                scrape.sum("signet_cache_lookups_total", &[("cache", cache), ("result", result)])
            })
        })
    };
    // The login has had the user and the session remembered.
    let [tokens, users, sessions] = lookups().await;
    assert_eq!((tokens, users, sessions), ([4.0, 1.0], [5.0, 0.0], [5.0, 0.0]));
    // After a quarter of an hour they are read anew, whatever is known of changes.
    for _ in 0..4 {
        server.pass_and_read_the_feed(std::time::Duration::from_mins(4)).await;
    }
    client.get_me(&token).await.unwrap();
    let [tokens, users, sessions] = lookups().await;
    assert_eq!((tokens, users[1], sessions), ([5.0, 1.0], 1.0, [5.0, 1.0]));
}

#[tokio::test]
async fn what_runs_is_told() {
    let server = TestServer::start(&[]).await;
    eventually("the feed has been read", async || {
        server.scrape().await.sum("signet_change_feed_lag_seconds", &[]) == 0.0
    })
    .await;
    server.clock.advance(std::time::Duration::from_millis(1));
    let scrape = server.scrape().await;
    assert_eq!(scrape.sum("signet_build_info", &[("version", env!("CARGO_PKG_VERSION"))]), 1.0);
    assert_eq!((scrape.sum("signet_database_up", &[]), scrape.sum("signet_ready", &[])), (1.0, 1.0));
    assert_eq!(scrape.sum("signet_signing_key_created_timestamp_seconds", &[]), 1_795_435_200.0);
    assert!(scrape.sum("process_resident_memory_bytes", &[]) > 1e6);
    assert!(scrape.sum("process_open_fds", &[]) > 3.0);
}

#[tokio::test]
async fn a_service_that_is_about_to_end_is_not_ready_though_its_database_is_up() {
    let server = TestServer::start(&["--shutdown-delay=5m"]).await;
    assert_eq!(server.scrape().await.sum("signet_ready", &[]), 1.0);
    server.begin_stop();
    eventually("not ready", async || server.http_get("/readyz").await.status() == 503).await;
    let scrape = server.scrape().await;
    assert_eq!((scrape.sum("signet_database_up", &[]), scrape.sum("signet_ready", &[])), (1.0, 0.0));
}

#[tokio::test]
async fn two_servers_in_one_process_count_apart() {
    let (one, other) = (TestServer::start(&[]).await, TestServer::start(&[]).await);
    one.client().await.token_of_new("alice").await;
    for (server, count) in [(&one, 1.0), (&other, 0.0)] {
        let scrape = server.scrape().await;
        assert_eq!(scrape.sum("grpc_server_handled_total", &[("grpc_method", "SignUp")]), count);
        assert_eq!(scrape.sum("signet_logins_total", &[]), count);
        assert_eq!(scrape.sum("signet_hash_seconds_count", &[]), 2.0 * count);
    }
}

#[tokio::test]
async fn metrics_are_text_that_prometheus_reads_and_can_be_turned_off() {
    let server = TestServer::start(&[]).await;
    let answer = server.operations_get("/metrics").await;
    let header = |name: &str| answer.headers()[name].to_str().unwrap().to_owned();
    assert!(header("content-type").starts_with("text/plain; version=0.0.4"));
    assert_eq!(header("cache-control"), "no-store");
    let scrape = server.scrape().await;
    for (name, kind) in scrape.families() {
        // What promtool asks for: a help text each, `_total` for counters alone, base units.
        assert!(scrape.text.contains(&format!("# HELP {name} ")), "{name}");
        assert_eq!(name.ends_with("_total"), kind == "counter", "{name}");
        assert!(name.bytes().all(|byte| byte == b'_' || byte.is_ascii_lowercase()), "{name}");
        assert!(!name.contains("milli") && !name.contains("micro"), "{name}");
    }

    let quiet = TestServer::start(&["--metrics=off"]).await;
    for answer in [quiet.operations_get("/metrics").await, quiet.http_get("/metrics").await] {
        assert_eq!(answer.status(), 404);
        assert!(!answer.body().contains("operations"), "they are nowhere: {answer:?}");
    }
    assert_eq!(quiet.operations_get("/livez").await.status(), 200);
}
