//! Owns what signals promise: the first stops in an orderly way, the second at once.

use std::{net::SocketAddr, pin::Pin, task::Poll};

use bytes::Bytes;
use futures_util::FutureExt;
use h2::RecvStream;
use tokio::{io::AsyncWriteExt, net::TcpStream, sync::oneshot};
use tonic::Code;
use tonic_health::pb::{HealthCheckRequest, HealthCheckResponse, health_check_response::ServingStatus};

use crate::{
    client::{Client, PASSWORD, reason},
    harness::Place,
};

/// A call may take longer than the test.
const PATIENT: [&str; 2] = ["--request-timeout=5m", "--drain-timeout=5m"];

/// A login takes longer than the test.
const ENDLESS: [&str; 4] =
    ["--argon2-memory-kib=65536", "--argon2-iterations=1000", "--request-timeout=5m", "--drain-timeout=5m"];

async fn watch(client: &Client) -> tonic::Streaming<HealthCheckResponse> {
    let mut watch = client.health().watch(HealthCheckRequest::default()).await.unwrap().into_inner();
    assert_eq!(next(&mut watch).await, Some(ServingStatus::Serving));
    watch
}

async fn next(watch: &mut tonic::Streaming<HealthCheckResponse>) -> Option<ServingStatus> {
    watch.message().await.unwrap().map(|answer| answer.status())
}

/// A call of `GetJwks` whose answer the client does not read yet, so that it is in flight for as long as the test likes.
struct UnreadCall {
    body: RecvStream,
    /// Opens the client's window.
    open: oneshot::Sender<()>,
}

impl UnreadCall {
    async fn begin(addr: SocketAddr) -> Self {
        let stream = TcpStream::connect(addr).await.unwrap();
        let closed = h2::client::Builder::new().initial_window_size(0).handshake::<_, Bytes>(stream);
        let (sender, mut connection) = closed.await.unwrap();
        let (open, opened) = oneshot::channel();
        let mut opened = Some(opened);
        tokio::spawn(std::future::poll_fn(move |context| {
            if let Some(Poll::Ready(asked)) = opened.as_mut().map(|opened| opened.poll_unpin(context)) {
                opened = None;
                if asked.is_ok() {
                    connection.set_initial_window_size(65_535).unwrap();
                }
            }
            Pin::new(&mut connection).poll(context)
        }));
        let request = http::Request::post("http://signet/identity.v1.TokenService/GetJwks");
        let request = request.header("content-type", "application/grpc").header("te", "trailers").body(());
        let (answer, mut message) =
            sender.ready().await.unwrap().send_request(request.unwrap(), false).unwrap();
        message.send_data(Bytes::from_static(&[0; 5]), true).unwrap();
        let answer = answer.await.unwrap();
        assert_eq!(answer.headers().get("grpc-status"), None, "{answer:?}");
        Self { body: answer.into_body(), open }
    }

    /// Reads the answer, and asserts that it is whole.
    async fn read(mut self) {
        self.open.send(()).unwrap();
        while let Some(data) = self.body.data().await {
            let read = data.unwrap().len();
            self.body.flow_control().release_capacity(read).unwrap();
        }
        let trailers = self.body.trailers().await.unwrap().unwrap();
        assert_eq!(trailers["grpc-status"], "0", "{trailers:?}");
    }
}

/// Begins a login. Streams of one connection arrive in order: once a later call is answered, the login is in flight.
async fn begin_log_in(client: &Client) -> tokio::task::JoinHandle<Result<String, tonic::Status>> {
    let caller = client.clone();
    let in_flight = tokio::spawn(async move { caller.log_in("alice", PASSWORD).await });
    tokio::task::yield_now().await;
    assert_eq!(reason(&client.get_me("no token").await), "TOKEN_INVALID");
    assert!(!in_flight.is_finished());
    in_flight
}

#[tokio::test]
async fn a_signal_to_stop_turns_health_finishes_the_calls_in_flight_and_exits_with_zero() {
    for signal in ["TERM", "INT"] {
        let place = Place::new();
        let service = place.serve(&PATIENT).await;
        let addr = service.operations_addr();
        let mut watch = watch(&service.client().await).await;
        let in_flight = UnreadCall::begin(service.grpc_addr()).await;
        service.signal(signal);
        assert_eq!(next(&mut watch).await, Some(ServingStatus::NotServing), "{signal}");
        assert_eq!(next(&mut watch).await, None, "who watches is let go");

        let probe = place.run(&["healthcheck", &format!("--operations-addr={addr}")]).await;
        let told = probe.failed(1);
        assert!(
            told.ends_with("does not serve: it is not ready: it is about to end"),
            "amid the drain: {told}"
        );
        in_flight.read().await;
        let finished = service.finish().await;
        assert_eq!(finished.code, Some(0), "{signal}: {finished:?}");
        assert!(finished.stderr.contains("every call in flight was finished"), "{finished:?}");
    }
}

#[tokio::test]
async fn a_second_signal_ends_at_once_with_the_code_that_a_shell_gives_it() {
    for (signal, code) in [("TERM", 143), ("INT", 130)] {
        let place = Place::new();
        let service = place.serve(&ENDLESS).await;
        let client = service.client().await;
        let mut watch = watch(&client).await;
        let in_flight = begin_log_in(&client).await;
        service.signal(signal);
        assert_eq!(next(&mut watch).await, Some(ServingStatus::NotServing), "{signal}");
        assert!(!in_flight.is_finished());
        service.signal(signal);
        let finished = service.finish().await;
        assert_eq!(finished.code, Some(code), "{signal}: {finished:?}");
        let cut = in_flight.await.unwrap().unwrap_err();
        assert!(matches!(cut.code(), Code::Unavailable | Code::Unknown | Code::Cancelled), "{cut:?}");

        // The data are as whole as after any other end.
        place.serve(&[]).await.stop().await;
    }
}

#[tokio::test]
async fn all_addresses_drain_at_once() {
    let place = Place::new();
    let endless = [&ENDLESS[..3], &["--hash-threads=2", "--drain-timeout=6s"]].concat();
    let service = place.serve(&endless).await;
    let client = service.client().await;
    let in_flight = begin_log_in(&client).await;
    let mut stream = TcpStream::connect(service.http_addr()).await.unwrap();
    let form = "grant_type=password&username=alice&password=correct+horse";
    let request = format!(
        "POST /oauth2/token HTTP/1.1\r\nhost: signet\r\ncontent-type: application/x-www-form-urlencoded\r\n\
         content-length: {}\r\n\r\n{form}",
        form.len()
    );
    stream.write_all(request.as_bytes()).await.unwrap();
    let begun = "signet_hash_threads_busy 2\n";
    while !service.operations_get("/metrics").await.1.contains(begun) {}
    service.signal("TERM");
    // One after the other they would take longer than the whole end may, which would be forced.
    let finished = service.finish().await;
    assert_eq!(finished.code, Some(0), "{finished:?}");
    assert!(finished.stderr.contains("within --drain-timeout were cut"), "{finished:?}");
    assert!(in_flight.await.unwrap().is_err());
}

#[tokio::test]
async fn until_the_shutdown_delay_is_over_it_says_not_serving_and_serves() {
    let place = Place::new();
    place.create_user("alice").await;
    let service = place.serve(&["--shutdown-delay=5m"]).await;
    let mut watch = watch(&service.client().await).await;
    service.signal("TERM");
    assert_eq!(next(&mut watch).await, Some(ServingStatus::NotServing));

    // Also over connections that are made now.
    let client = service.client().await;
    let token = client.log_in("alice", PASSWORD).await.unwrap();
    client.get_me(&token).await.unwrap();
    let asked = client.health().check(HealthCheckRequest::default()).await.unwrap().into_inner();
    assert_eq!(asked.status(), ServingStatus::NotServing);
    service.signal("TERM");
    assert_eq!(service.finish().await.code, Some(143), "who is in a hurry need not wait");
}

#[tokio::test]
async fn after_the_shutdown_delay_it_ends_as_without() {
    let place = Place::new();
    let finished = place.serve(&["--shutdown-delay=1s"]).await.stop().await;
    assert!(finished.stderr.contains("every call in flight was finished"), "{finished:?}");
}
