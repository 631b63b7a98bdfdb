//! Owns what one request over HTTP may take: time, places, and hashes; and never those of the probes.

use bytes::Bytes;
use http_body_util::Full;
use hyper_util::rt::TokioIo;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    task::JoinSet,
};
use tonic::Code;

use super::{TOKEN, USERINFO, client::encoded, password_form};
use crate::harness::{PASSWORD, TestServer, assert_refused, eventually};

/// Hashes of half a second or so, one at a time; and nobody is in a hurry.
const SLOW: [&str; 4] =
    ["--argon2-memory-kib=65536", "--argon2-iterations=8", "--hash-threads=1", "--request-timeout=5m"];

/// What must be answered whatever else happens.
async fn vital_signs(server: &TestServer) {
    for path in ["/livez", "/readyz", "/.well-known/jwks.json", "/.well-known/openid-configuration"] {
        assert_eq!(server.http_get(path).await.status(), 200, "{path}");
    }
}

/// A request for a token of which only the beginning comes.
async fn half_open(server: &TestServer) -> TcpStream {
    let mut stream = TcpStream::connect(server.started.http_addr).await.unwrap();
    let head = "host: x\r\ncontent-type: application/x-www-form-urlencoded\r\ncontent-length: 100";
    stream.write_all(format!("POST {TOKEN} HTTP/1.1\r\n{head}\r\n\r\ngrant").as_bytes()).await.unwrap();
    stream
}

#[tokio::test]
async fn the_places_are_not_those_of_grpc() {
    let server = TestServer::start(&[&SLOW[..], &["--max-in-flight-calls=1"]].concat()).await;
    let http = server.http();
    let busy = tokio::spawn(async move { http.post(TOKEN, &password_form("nobody", PASSWORD)).await });
    eventually("the one place is taken", || async {
        let answer = server.http().get(USERINFO).await;
        if answer.status() == 429 {
            answer.assert_refused(429, "temporarily_unavailable", "OVERLOADED");
            assert_eq!((answer.header("retry-after"), answer.header("pragma")), ("1", "no-cache"));
        }
        answer.status() == 429
    })
    .await;
    vital_signs(&server).await;
    let mut client = server.client().await;
    assert_refused(client.get_me("x").await, Code::Unauthenticated, "TOKEN_INVALID");
    busy.await.unwrap().assert_refused(400, "invalid_grant", "INVALID_CREDENTIALS");

    let mut busy = client.clone();
    let busy = tokio::spawn(async move { busy.log_in("nobody", PASSWORD).await });
    eventually("the one place of gRPC is taken", || {
        let mut client = client.clone();
        async move { client.get_me("x").await.unwrap_err().code() == Code::ResourceExhausted }
    })
    .await;
    server.http().get(USERINFO).await.assert_refused(401, "invalid_token", "TOKEN_MISSING");
    assert_refused(busy.await.unwrap(), Code::Unauthenticated, "INVALID_CREDENTIALS");
}

#[tokio::test]
async fn a_client_that_goes_away_frees_its_place() {
    // A hash takes far longer than this test waits.
    let args = ["--argon2-iterations=200", "--max-in-flight-calls=1"];
    let server = TestServer::start(&[&SLOW[..], &args].concat()).await;
    let http = server.http();
    let io = TokioIo::new(TcpStream::connect(server.started.http_addr).await.unwrap());
    let (mut sender, connection) = hyper::client::conn::http1::handshake(io).await.unwrap();
    let connection = tokio::spawn(connection);
    let body = Full::new(Bytes::from(encoded(&password_form("nobody", PASSWORD))));
    let login = tokio::spawn(sender.send_request(http.form(TOKEN).body(body).unwrap()));
    let h2c = http.h2c();
    eventually("the place is taken", || async { http.get(USERINFO).await.status() == 429 }).await;
    connection.abort();
    login.abort();
    eventually("the place is free", || async { http.get(USERINFO).await.status() == 401 }).await;
    let login = tokio::spawn(async move { h2c.post(TOKEN, &password_form("nobody", PASSWORD)).await });
    eventually("the place is taken", || async { http.get(USERINFO).await.status() == 429 }).await;
    login.abort();
    drop((server, sender));
}

#[tokio::test]
async fn hashes_beyond_the_queue_are_refused_at_once_with_a_hint() {
    let server = TestServer::start(&[&SLOW[..], &["--hash-queue=1"]].concat()).await;
    let mut logins = JoinSet::new();
    for _ in 0..10 {
        let http = server.http();
        logins.spawn(async move { http.post(TOKEN, &password_form("nobody", PASSWORD)).await });
    }
    for _ in 0..8 {
        let answer = logins.join_next().await.unwrap().unwrap();
        answer.assert_refused(429, "temporarily_unavailable", "OVERLOADED");
        assert!(answer.header("retry-after").parse::<u32>().unwrap() > 0);
    }
    while let Some(login) = logins.join_next().await {
        login.unwrap().assert_refused(400, "invalid_grant", "INVALID_CREDENTIALS");
    }
}

#[tokio::test]
async fn the_server_has_a_deadline_of_its_own() {
    let args = ["--argon2-iterations=200", "--request-timeout=1s"];
    let server = TestServer::start(&[&SLOW[..], &args].concat()).await;
    let late = server.http().post(TOKEN, &password_form("nobody", PASSWORD)).await;
    late.assert_refused(504, "temporarily_unavailable", "DEADLINE_EXCEEDED");
}

#[tokio::test]
async fn a_stop_finishes_what_is_in_flight() {
    let server =
        TestServer::start(&[&SLOW[..], &["--max-in-flight-calls=1", "--drain-timeout=60s"]].concat()).await;
    let http = server.http();
    let login = tokio::spawn(async move { http.post(TOKEN, &password_form("nobody", PASSWORD)).await });
    eventually("the login is in flight", || async { http.get(USERINFO).await.status() == 429 }).await;
    server.stop().await;
    login.await.unwrap().assert_refused(400, "invalid_grant", "INVALID_CREDENTIALS");
}

#[tokio::test]
async fn who_trickles_a_body_is_cut_and_gains_no_time_by_it() {
    let server = TestServer::start(&["--request-timeout=1s"]).await;
    let (mut read, mut write) = half_open(&server).await.into_split();
    let trickle = tokio::spawn(async move {
        let mut interval = tokio::time::interval(std::time::Duration::from_millis(100));
        // The body that was announced would take ten seconds at that pace.
        while write.write_all(b"x").await.is_ok() {
            interval.tick().await;
        }
    });
    let mut answer = String::new();
    let _ = read.read_to_string(&mut answer).await;
    assert!(answer.starts_with("HTTP/1.1 504 ") && answer.contains("DEADLINE_EXCEEDED"), "{answer}");
    trickle.await.unwrap();
}

#[tokio::test]
async fn a_flood_of_half_open_bodies_takes_no_place_from_calls() {
    const PLACES: usize = 20;
    let places = format!("--max-in-flight-calls={PLACES}");
    let server = TestServer::start(&["--request-timeout=60s", "--receive-timeout=60s", &places]).await;
    let mut client = server.client().await;
    let token = client.token_of_new("alice").await;
    let mut flood = Vec::new();
    let refused = || async {
        server.scrape().await.sum("signet_places_refused_total", &[("lane", "arriving_strangers")])
    };
    for _ in 0..2 * PLACES {
        flood.push(half_open(&server).await);
    }
    eventually("as many are on their way as may be", || async { refused().await > 0.0 }).await;
    let mut answer = String::new();
    let mut last = half_open(&server).await;
    let _ = last.read_to_string(&mut answer).await;
    assert!(answer.starts_with("HTTP/1.1 429 ") && answer.contains("OVERLOADED"), "{answer}");
    assert!(answer.contains("retry-after: 1"), "{answer}");
    // Whoever sends no body, or speaks gRPC, does not notice.
    client.get_me(&token).await.unwrap();
    client.log_in("alice", PASSWORD).await.unwrap();
    let http = server.http();
    http.get_with_token(USERINFO, &token).await.ok();
    vital_signs(&server).await;
    drop(flood);
    eventually("the flood is over", || async {
        server.scrape().await.sum("signet_places_taken", &[("lane", "arriving_strangers")]) == 0.0
    })
    .await;
    assert_eq!(http.post(TOKEN, &password_form("alice", PASSWORD)).await.status(), 200);
}
