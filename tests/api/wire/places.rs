//! Owns who may have how many connections, and which of them end for others.

use std::{
    io::{self, Read},
    net::SocketAddr,
    time::Duration,
};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpSocket, TcpStream},
    time::timeout,
};
use tonic::Code;

use super::{
    Answer, GET_ME, ISSUE_TOKEN, Target, frame,
    frames::{DATA, END_HEADERS, END_STREAM, GOAWAY, HEADERS, SETTINGS, header_block, hello, http2_frame},
    lanes::{OPEN, Open, connect as http2, grpc, head_of, open},
};
use crate::harness::eventually;

const GET_JWKS: &str = "/identity.v1.TokenService/GetJwks";

/// No more than an upper bound.
const PATIENCE: Duration = Duration::from_secs(25);

/// A connection from `host` to `to` that has greeted; none if the server closes it at once.
async fn connect(host: &str, to: SocketAddr) -> Option<TcpStream> {
    let socket = TcpSocket::new_v4().unwrap();
    socket.bind(format!("{host}:0").parse().unwrap()).unwrap();
    let mut stream = socket.connect(to).await.unwrap();
    stream.write_all(&hello()).await.ok()?;
    // The server's own settings.
    let mut head = [0; 9];
    timeout(PATIENCE, stream.read_exact(&mut head)).await.expect("an answer, or the end").ok()?;
    assert_eq!(head[3], SETTINGS);
    Some(stream)
}

/// Whether the server has ended `stream`, and whether it said GOAWAY before. Does not wait.
fn ended(stream: TcpStream) -> (bool, bool) {
    let (mut stream, mut seen, mut piece) = (stream.into_std().unwrap(), Vec::new(), [0; 1_024]);
    let ended = loop {
        match stream.read(&mut piece) {
            Ok(count) if count > 0 => seen.extend_from_slice(&piece[..count]),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => break false,
            Ok(_) | Err(_) => break true,
        }
    };
    // The head of a GOAWAY: it has eight bytes.
    let told = seen.windows(4).any(|window| window == [0, 0, 8, GOAWAY]);
    (ended, told)
}

#[tokio::test]
async fn a_peer_has_a_share_of_the_connections_and_the_others_have_the_rest() {
    let target = Target::new(&["--max-connections=80"]).await;
    for to in [target.server.started.grpc_addr, target.server.started.http_addr] {
        let mut held = Vec::new();
        for _ in 0..20 {
            held.push(connect("127.0.0.2", to).await.expect("a quarter of them"));
        }
        for _ in 0..100 {
            assert!(connect("127.0.0.2", to).await.is_none());
        }
        target.still_serves().await;
        assert_eq!(target.server.http_get("/livez").await.status(), 200);
        let other = connect("127.0.0.3", to).await.expect("another peer has its own");
        held.pop();
        // Once the server has seen that it is gone.
        eventually("there is a place again", || async { connect("127.0.0.2", to).await.is_some() }).await;
        drop(other);
    }
    let scrape = target.server.scrape().await;
    for listener in ["grpc", "http"] {
        let labels = [("listener", listener), ("reason", "peer")];
        assert!(scrape.sum("signet_connections_refused_total", &labels) >= 100.0, "{listener}");
    }
    assert!(scrape.sum("signet_connections_refused_total", &[("reason", "listener")]) < 0.5);
}

#[tokio::test]
async fn a_trusted_proxy_may_have_as_many_connections_as_there_are() {
    let target = Target::new(&["--max-connections=80", "--trusted-proxy-addresses=127.0.0.2/32"]).await;
    for to in [target.server.started.grpc_addr, target.server.started.http_addr] {
        let mut held = Vec::new();
        for _ in 0..40 {
            held.push(connect("127.0.0.2", to).await.expect("it stands for many"));
        }
        for _ in 0..20 {
            held.push(connect("127.0.0.3", to).await.expect("a quarter of them"));
        }
        assert!(connect("127.0.0.3", to).await.is_none());
    }
}

#[tokio::test]
async fn idle_connections_of_many_hosts_end_for_others() {
    const MAX: usize = 64;
    let target = Target::new(&["--max-connections=64"]).await;
    let mut client = target.server.client().await;
    client.get_me(&target.token).await.unwrap();
    let mut idle = Vec::new();
    for to in [target.server.started.grpc_addr, target.server.started.http_addr] {
        for host in 0..3 * MAX {
            // Each host has two: more than anybody who comes for a call.
            for _ in 0..2 {
                idle.extend(connect(&format!("127.0.1.{host}"), to).await);
            }
            // Who has just come is given a second.
            target.server.clock.advance(Duration::from_millis(200));
            if host % 8 == 0 {
                target.still_serves().await;
                assert_eq!(target.server.http_get("/livez").await.status(), 200);
            }
        }
    }
    client.get_me(&target.token).await.unwrap();
    let count = idle.len();
    let (mut cut, mut told) = (0, 0);
    for stream in idle {
        let (is_cut, is_told) = ended(stream);
        cut += usize::from(is_cut);
        told += usize::from(is_told);
    }
    assert!(count - cut <= 2 * MAX && cut > 4 * MAX, "{count} came, {cut} were ended");
    assert!(told > 0, "none was told");
    let scrape = target.server.scrape().await;
    assert!(scrape.sum("signet_connections_ended_early_total", &[("reason", "idle")]) >= 4.0 * 64.0);
}

#[tokio::test]
async fn a_connection_with_a_call_in_flight_does_not_end_for_others() {
    let target = Target::new(&["--max-connections=32", "--request-timeout=60s"]).await;
    let mut busy = connect("127.0.0.2", target.server.started.grpc_addr).await.unwrap();
    busy.write_all(&http2_frame(HEADERS, END_HEADERS, 1, &header_block(ISSUE_TOKEN))).await.unwrap();
    let in_flight = || async { target.server.scrape().await.sum("signet_grpc_calls_in_flight", &[]) > 0.5 };
    eventually("it is in flight", in_flight).await;
    let mut idle = Vec::new();
    for host in 0..100 {
        idle.extend(connect(&format!("127.0.1.{host}"), target.server.started.grpc_addr).await);
    }
    assert!(in_flight().await, "it went on");
    let (is_cut, is_told) = ended(busy);
    assert!(!is_cut && !is_told);
}

#[tokio::test]
async fn who_leaves_answers_unread_ends_before_who_has_shown_a_token() {
    let target = Target::new(&["--max-connections=64", "--request-timeout=60s"]).await;
    let (sender, known) = h2::client::handshake(target.tcp().await).await.unwrap();
    let known = tokio::spawn(known);
    let mut sender = sender.ready().await.unwrap();
    let request = target.request(GET_ME).header("authorization", format!("Bearer {}", target.token));
    let (response, mut stream) = sender.send_request(request.body(()).unwrap(), false).unwrap();
    stream.send_data(frame(b"").into(), true).unwrap();
    assert_eq!(Answer::read(response).await.status().code(), Code::Ok);
    // As many as may come before anybody is asked to end: each has a call whose answer does not fit.
    let nothing_fits = http2_frame(SETTINGS, 0, 0, &[0, 4, 0, 0, 0, 0]);
    let head = http2_frame(HEADERS, END_HEADERS, 1, &header_block(GET_JWKS));
    let call = [nothing_fits, head, http2_frame(DATA, END_STREAM, 1, &frame(b""))].concat();
    let mut strangers = Vec::new();
    for host in 0..54 {
        let mut stranger =
            connect(&format!("127.0.1.{host}"), target.server.started.grpc_addr).await.unwrap();
        stranger.write_all(&call).await.unwrap();
        strangers.push(stranger);
    }
    let unread = || async { target.server.scrape().await.sum("signet_grpc_calls_in_flight", &[]) > 53.5 };
    eventually("their calls are in flight", unread).await;
    target.server.clock.advance(Duration::from_secs(2));
    for _ in 0..20 {
        target.still_serves().await;
    }
    assert!(!known.is_finished(), "it is asked to end");
    let told = strangers.into_iter().map(ended).filter(|(_, is_told)| *is_told).count();
    assert!(told > 0, "none was told");
    drop(sender);
}

#[tokio::test]
async fn an_account_with_calls_on_every_connection_keeps_nobody_out() {
    let target = Target::new(&[&OPEN[..], &["--max-connections=32"]].concat()).await;
    let to = target.server.started.grpc_addr;
    let ask = |from, path, token| head_of(from, to, grpc(path, token), frame(b""));
    // Each shows a good token, and reads no more than the head of its answer. The clock stands, so all of them have just been read.
    let mut held = Vec::new();
    for host in 1..=32 {
        held.push(ask([127, 9, 1, host], GET_ME, Some(target.token.as_str())).await);
    }
    let mut others = Vec::new();
    for host in 1..=8 {
        let asked = ask([127, 9, 2, host], GET_JWKS, None);
        others.push(timeout(PATIENCE, asked).await.expect("an answer in time"));
    }
    assert!(others.iter().all(|answer| !answer.headers().contains_key("grpc-status")), "{others:?}");
}

#[tokio::test]
async fn whoever_shows_no_token_keeps_no_administrator_of_the_same_address_out() {
    const HELD: usize = 16;
    let target = Target::new(&[]).await;
    let to = target.server.started.admin_addr.unwrap();
    let mut idle = Vec::new();
    for _ in 0..HELD {
        idle.push(connect("127.0.0.2", to).await.expect("as many as one may have"));
        target.server.clock.advance(Duration::from_millis(1));
    }
    // Whoever administers from there comes in, and stays, however many others come.
    let token = Some(target.token.as_str());
    let known = timeout(PATIENCE, http2([127, 0, 0, 2], to, 65_535)).await.expect("it comes in");
    let answers = async || {
        let Open(answer, _) = open(&known, grpc(GET_ME, token), Some(frame(b""))).await;
        let answer = timeout(PATIENCE, answer).await.expect("an answer in time").unwrap();
        !answer.headers().contains_key("grpc-status")
    };
    assert!(answers().await);
    for _ in 0..3 * HELD {
        target.server.clock.advance(Duration::from_millis(1));
        idle.push(connect("127.0.0.2", to).await.expect("another of them ends"));
    }
    assert!(answers().await, "it goes on");
    let count = idle.len();
    let cut = idle.into_iter().map(ended).filter(|(is_cut, _)| *is_cut).count();
    assert_eq!(count - cut, HELD - 1, "of {count}");
    let scrape = target.server.scrape().await;
    let refused =
        scrape.sum("signet_connections_refused_total", &[("listener", "admin"), ("reason", "peer")]);
    assert!(refused < 0.5, "{refused}");
}
