//! Owns what `signet doctor` promises where it is asked for the wrong thing, or where who answers means it ill.

use tokio::{io::AsyncWriteExt, net::TcpListener};

use crate::{
    doctor::{answering, as_issuer, doctor, strs},
    harness::Place,
    support::{pki::Authority, ports::free_addr},
};

#[tokio::test]
async fn what_is_asked_by_the_wrong_scheme_or_port_is_told_with_the_right_one() {
    let place = Place::embedded().await;
    let (service, _flags) = as_issuer(&place, &[]).await;
    let (http, grpc) = (service.http_addr(), service.grpc_addr());
    let found =
        doctor(&place, &[&format!("--url=https://{http}"), &format!("--grpc-url=https://{grpc}")]).await;
    for check in ["issuer.reached", "grpc.reached"] {
        found.is(check, "wrong", "it speaks without TLS", "ask by `http://`");
    }
    found.is("grpc.web", "skipped", "", "");
    assert_eq!(found.1.code, Some(1), "somebody answers: {:?}", found.1);

    // gRPC is where the issuer is, as far as nothing else is said.
    let found = doctor(&place, &[&format!("--url=http://{http}")]).await;
    found.is("grpc.call", "wrong", "Signet answers, by --http-addr", "`--grpc-url http://127.0.0.1:50051`");
    found.is("grpc.web", "skipped", "", "");
}

#[tokio::test]
async fn who_answers_writes_no_line_of_its_own_and_sends_nobody_elsewhere() {
    let (inside, asked) = answering("HTTP/1.1 200 OK\r\nconnection: close\r\n\r\nINTERNAL").await;
    let metadata = format!(
        "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\nconnection: close\r\n\r\n\
         {{\"issuer\":\"http://x\\nok       grpc.token         fine\\u001b]0;{}\",\"token_endpoint\":\"http://{inside}/quit\",\
         \"userinfo_endpoint\":\"http://{inside}/data\",\"jwks_uri\":\"http://{inside}/keys\"}}",
        "x".repeat(9_000)
    );
    let (addr, _) = answering(metadata.leak()).await;
    let place = Place::new();
    let url = format!("--url=http://{addr}");
    let found = doctor(&place, &[&url]).await;
    found.is("issuer.endpoints", "warning", "was not asked", "--issuer");
    found.is("keys.published", "wrong", "answers 200 OK (no content-type)", "");
    assert!(!found.1.stdout.contains("INTERNAL"), "{:?}", found.1);
    let asked = asked.lock().unwrap().clone();
    assert!(asked.contains("GET /keys") && !asked.contains("/quit") && !asked.contains("/data"), "{asked}");

    let told = place.run(&["doctor", "--idle-for=0s", &url]).await;
    for line in told.stdout.lines() {
        let is_own = ["ok  ", "skipped  ", "warning  ", "WRONG  "].iter().any(|word| line.starts_with(word));
        assert!(is_own && line.len() < 4_000, "{line}");
        assert!(!line.contains('\u{1b}') && !line.starts_with("ok       grpc.token"), "{line}");
    }
}

#[tokio::test]
async fn an_answer_that_never_comes_behind_others_ends_the_check() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let addr = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            tokio::spawn(async move {
                while stream.write_all(b"HTTP/1.1 103 Early Hints\r\nX: y\r\n\r\n").await.is_ok() {}
            });
        }
    });
    let place = Place::new();
    let grpc = format!("--grpc-url=http://{}", free_addr());
    let found = doctor(&place, &["--check-timeout=5s", &format!("--url=http://{addr}"), &grpc]).await;
    found.is("issuer.discovery", "wrong", "/.well-known/", "");
    assert_eq!(found.1.code, Some(1), "{:?}", found.1);
}

#[tokio::test]
async fn a_port_of_tls_that_is_asked_in_plaintext_is_told() {
    let (place, authority) = (Place::embedded().await, Authority::new("tests"));
    authority.issue(&["localhost"]).write(&place.path(""));
    let http = free_addr();
    let own = [format!("--issuer=https://localhost:{}", http.port()), format!("--http-addr={http}")];
    let tls = ["--tls-cert=tls.crt", "--tls-key=tls.key"];
    let service = place.serve(&[&strs(&own)[..], &tls].concat()).await;
    let args = [format!("--url=http://{http}"), format!("--grpc-url=http://{}", service.grpc_addr())];
    let found = doctor(&place, &strs(&args)).await;
    found.is("issuer.discovery", "wrong", "it speaks TLS", "ask by `https://`");
    found.is("grpc.http2", "wrong", "no HTTP/2", "ask by `https://`");
}
