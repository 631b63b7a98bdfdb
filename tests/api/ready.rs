//! Owns starting to serve and ceasing to: health, probes, drain.

use tonic::Code;
use tonic_health::pb::{
    HealthCheckRequest, health_check_response::ServingStatus, health_client::HealthClient,
};

use crate::harness::{PASSWORD, TestServer, assert_refused, eventually};

fn service(name: &str) -> HealthCheckRequest {
    HealthCheckRequest { service: name.to_owned() }
}

#[tokio::test]
async fn health_is_told_per_service_and_over_http() {
    let server = TestServer::start(&[]).await;
    let mut health = HealthClient::new(server.channel().await);
    for name in ["", "identity.v1.IdentityService", "identity.v1.TokenService"] {
        let answer = health.check(service(name)).await.unwrap().into_inner();
        assert_eq!(answer.status(), ServingStatus::Serving, "{name}");
    }
    assert_eq!(health.check(service("nothing")).await.unwrap_err().code(), Code::NotFound);
    assert_eq!(server.http_get("/readyz").await.status(), 200);
    assert_eq!(server.http_get("/livez").await.status(), 200);
    assert_eq!(server.http_get("/nothing").await.status(), 404);
}

#[tokio::test]
async fn a_database_without_its_signing_key_is_not_ready() {
    let server = TestServer::start(&[]).await;
    // Behind the service's back, as an operator's mistake would be.
    let db = server.data.connect().await;
    sea_orm::ConnectionTrait::execute_unprepared(&db, "DELETE FROM signing_keys").await.unwrap();
    // On a busy machine the database may not have answered in time, before.
    let told = "not ready: the database holds no key that signs now\n";
    eventually("without a key", || async { server.http_get("/readyz").await.body() == told }).await;
    assert_eq!(server.http_get("/readyz").await.status(), 503);
    let mut health = HealthClient::new(server.channel().await);
    let answer = health.check(service("identity.v1.IdentityService")).await.unwrap().into_inner();
    assert_eq!(answer.status(), ServingStatus::NotServing);
    assert_eq!(server.http_get("/livez").await.status(), 200, "a restart would not help");
}

#[tokio::test]
async fn a_stop_turns_health_and_finishes_the_calls_in_flight() {
    let args = [
        "--argon2-memory-kib=65536",
        "--argon2-iterations=10",
        "--hash-threads=1",
        "--drain-timeout=60s",
        "--request-timeout=5m",
    ];
    let server = TestServer::start(&args).await;
    let mut client = server.client().await;
    client.sign_up("alice", PASSWORD).await.unwrap();
    let mut health = HealthClient::new(server.channel().await);
    let mut watch = health.watch(service("")).await.unwrap().into_inner();
    assert_eq!(watch.message().await.unwrap().unwrap().status(), ServingStatus::Serving);

    let addr = server.started.grpc_addr;
    let mut call = client.clone();
    let in_flight = tokio::spawn(async move { call.log_in("alice", PASSWORD).await });
    // Streams of one connection arrive in order: once this later one is answered, the login is in flight.
    tokio::task::yield_now().await;
    assert_refused(client.get_me("no token").await, Code::Unauthenticated, "TOKEN_INVALID");
    server.begin_stop();
    assert_eq!(watch.message().await.unwrap().unwrap().status(), ServingStatus::NotServing);
    assert!(watch.message().await.unwrap().is_none(), "who watches is let go");
    server.stop().await;
    in_flight.await.unwrap().unwrap();
    assert!(tokio::net::TcpStream::connect(addr).await.is_err(), "nobody listens any more");
}

#[tokio::test]
async fn until_the_calls_have_ended_http_answers_keys_discovery_and_probes_and_takes_nothing_else() {
    let args =
        ["--argon2-memory-kib=65536", "--argon2-iterations=30", "--hash-threads=1", "--drain-timeout=60s"];
    let server = TestServer::start(&[&args[..], &["--request-timeout=5m"]].concat()).await;
    let mut client = server.client().await;
    let mut call = client.clone();
    let in_flight = tokio::spawn(async move { call.log_in("nobody", PASSWORD).await });
    tokio::task::yield_now().await;
    assert_refused(client.get_me("no token").await, Code::Unauthenticated, "TOKEN_INVALID");
    server.begin_stop();
    for http in [server.http(), server.http().h2c()] {
        let post = async || http.post("/oauth2/token", &[("grant_type", "nothing")]).await;
        eventually("the OAuth endpoints end", || async { post().await.status() == 503 }).await;
        post().await.assert_refused(503, "temporarily_unavailable", "UNAVAILABLE");
        for path in ["/.well-known/jwks.json", "/.well-known/openid-configuration", "/livez"] {
            assert_eq!(http.get(path).await.status(), 200, "{path}");
        }
        assert_eq!(http.get("/readyz").await.status(), 503);
    }
    assert!(!in_flight.is_finished(), "all of that was amid the drain");
    server.stop().await;
    assert_refused(in_flight.await.unwrap(), Code::Unauthenticated, "INVALID_CREDENTIALS");
}

#[tokio::test]
async fn calls_that_do_not_finish_within_the_drain_timeout_are_cut() {
    let args =
        ["--argon2-memory-kib=65536", "--argon2-iterations=100", "--hash-threads=1", "--drain-timeout=0s"];
    let server = TestServer::start(&args).await;
    let mut client = server.client().await;
    let mut call = client.clone();
    let in_flight = tokio::spawn(async move { call.log_in("nobody", PASSWORD).await });
    tokio::task::yield_now().await;
    assert_refused(client.get_me("no token").await, Code::Unauthenticated, "TOKEN_INVALID");
    server.stop().await;
    let cut = in_flight.await.unwrap().unwrap_err();
    assert!(matches!(cut.code(), Code::Unavailable | Code::Unknown | Code::Cancelled), "{cut:?}");
}
