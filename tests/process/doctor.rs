//! Owns what `signet doctor` promises where no proxy is needed: a line for each check, its fault, and that nothing secret is sent.

use std::{
    fs,
    net::SocketAddr,
    os::unix::fs::PermissionsExt,
    sync::{Arc, Mutex},
};

use sea_orm::ConnectionTrait;
use serde_json::Value;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
};

use crate::{
    client::PASSWORD,
    harness::{Finished, Place, Service},
    support::{
        pki::{Authority, Issued},
        ports::free_addr,
    },
};

/// What the checks of a run have found.
pub(crate) struct Found(pub(crate) Vec<Value>, pub(crate) Finished);

impl Found {
    #[track_caller]
    fn of(&self, check: &str) -> &Value {
        let found = self.0.iter().find(|found| found["check"] == check);
        found.unwrap_or_else(|| panic!("nothing of {check}: {:?}", self.1))
    }

    /// Asserts what the check `check` came to, and that it says `says` and is mended by `mend`.
    #[track_caller]
    pub(crate) fn is(&self, check: &str, result: &str, says: &str, mend: &str) {
        let found = self.of(check);
        assert_eq!(found["result"], result, "{found}");
        assert!(found["seen"].as_str().unwrap().contains(says), "{found}");
        assert!(found["mend"].as_str().unwrap_or_default().contains(mend), "{found}");
    }
}

/// `signet doctor` with `args`.
pub(crate) async fn doctor(place: &Place, args: &[&str]) -> Found {
    let finished = place.run(&[&["doctor", "--json", "--idle-for=100ms"], args].concat()).await;
    Found(finished.objects(), finished)
}

/// A service whose issuer is where it listens, and the flags by which it is asked.
pub(crate) async fn as_issuer(place: &Place, flags: &[&str]) -> (Service, Vec<String>) {
    let http = free_addr();
    let issuer = format!("http://{http}");
    let own = [format!("--issuer={issuer}"), format!("--http-addr={http}")];
    let own: Vec<_> = own.iter().map(String::as_str).chain(flags.iter().copied()).collect();
    let service = place.serve(&own).await;
    let flags = vec![
        format!("--url={issuer}"),
        format!("--grpc-url=http://{}", service.grpc_addr()),
        format!("--operations-addr={}", service.operations_addr()),
        // Which makes the issuer of the settings the one that is asked.
        format!("--issuer={issuer}"),
    ];
    (service, flags)
}

pub(crate) fn strs(flags: &[String]) -> Vec<&str> {
    flags.iter().map(String::as_str).collect()
}

#[tokio::test]
async fn a_service_that_is_well_is_told_so_check_by_check() {
    let place = Place::migrated().await;
    let (service, flags) = as_issuer(&place, &[]).await;
    let client = service.client().await;
    client.sign_up("alice").await.unwrap();
    let token = place.write("token", &client.log_in("alice", PASSWORD).await.unwrap());
    let token = format!("--token-file={token}");
    let found = doctor(&place, &[&strs(&flags)[..], &[&token]].concat()).await;
    assert_eq!(found.1.code, Some(0), "{:?}", found.1);
    for found in &found.0 {
        assert_eq!(found["result"], "ok", "{found}");
    }
    // All but those of TLS.
    assert_eq!(found.0.len(), 26, "{:?}", found.1);

    let told = place.run(&[&["doctor", "--idle-for=0s"], &strs(&flags)[..]].concat()).await.succeeded();
    assert_eq!(told.stdout.lines().count(), 25, "{}", told.stdout);
    assert!(
        told.stdout.contains(&format!("ok       grpc.trailers      http://{}: ", service.grpc_addr())),
        "{}",
        told.stdout
    );
    let quiet =
        place.run(&[&["doctor", "--quiet", "--idle-for=0s"], &strs(&flags)[..]].concat()).await.succeeded();
    assert_eq!((quiet.stdout.as_str(), quiet.stderr.as_str()), ("", ""));

    let bad = place.write("token", "no.token.atall");
    let found = doctor(&place, &[&strs(&flags)[..], &[&format!("--token-file={bad}")]].concat()).await;
    found.is("grpc.token", "wrong", "refused", "IssueToken");
    assert_eq!(found.1.code, Some(1));
}

#[tokio::test]
async fn an_issuer_that_calls_itself_otherwise_is_told_with_the_flag() {
    let place = Place::embedded().await;
    let service = place.serve(&[]).await;
    let url = format!("http://{}", service.http_addr());
    let args = [format!("--url={url}"), format!("--grpc-url=http://{}", service.grpc_addr())];
    let found = doctor(&place, &strs(&args)).await;
    found.is("issuer.name", "wrong", "it calls itself http://127.0.0.1:8080", &format!("`--issuer {url}`"));
    assert_eq!(found.1.code, Some(1));
    assert!(found.1.stderr.contains("\"CHECKS_FAILED\""), "{:?}", found.1);
    // With --quiet what is wrong is left.
    let quiet = place.run(&[&["doctor", "--quiet", "--idle-for=0s"], &strs(&args)[..]].concat()).await;
    assert!(quiet.stdout.contains("WRONG    issuer.name"), "{quiet:?}");
    assert!(
        quiet.stdout.lines().all(|line| !line.starts_with("ok") && !line.starts_with("skipped")),
        "{quiet:?}"
    );
}

#[tokio::test]
async fn two_services_under_one_name_are_seen_by_their_keys() {
    let (place, other) = (Place::embedded().await, Place::embedded().await);
    let (_service, flags) = as_issuer(&place, &[]).await;
    let other = other.serve(&[]).await;
    let grpc = format!("--grpc-url=http://{}", other.grpc_addr());
    let found = doctor(&place, &[&flags[0], &grpc]).await;
    found.is("keys.agree", "wrong", "two services", "--database-url");
    // And the settings here, which are of neither, are not held against them.
    for check in ["here.settings", "here.files", "here.database", "here.clock", "here.ready"] {
        found.is(check, "skipped", "the settings here are of the issuer http://127.0.0.1:8080", "");
    }
}

#[tokio::test]
async fn keys_that_nobody_may_have_are_told() {
    let place = Place::embedded().await;
    let (_service, flags) = as_issuer(&place, &["--signing-alg=HS256"]).await;
    let found = doctor(&place, &strs(&flags)).await;
    found.is("keys.published", "wrong", "no key that a token could name (HS256?)", "signet keys list");
}

/// A service by TLS with `certificate`, and what the doctor finds of it with `args`.
async fn found_of_tls(certificate: &Issued, ca: &str, args: &[&str]) -> Found {
    found_of_tls_with(&[], certificate, ca, args).await
}

/// The same, where the service has the flags `flags`, too.
async fn found_of_tls_with(flags: &[&str], certificate: &Issued, ca: &str, args: &[&str]) -> Found {
    let place = Place::embedded().await;
    certificate.write(&place.path(""));
    place.write("ca.crt", ca);
    let http = free_addr();
    let issuer = format!("https://localhost:{}", http.port());
    let own = [format!("--issuer={issuer}"), format!("--http-addr={http}")];
    let tls = ["--tls-cert=tls.crt", "--tls-key=tls.key"];
    let service = place.serve(&[&strs(&own)[..], &tls, flags].concat()).await;
    let at =
        [format!("--url={issuer}"), format!("--grpc-url=https://localhost:{}", service.grpc_addr().port())];
    doctor(&place, &[&strs(&at)[..], args].concat()).await
}

#[tokio::test]
async fn a_certificate_is_told_that_clients_refuse_or_soon_will() {
    let authority = Authority::new("tests");
    let good = authority.issue(&["localhost"]);
    let trusting = ["--tls-ca=ca.crt"];
    let found = found_of_tls(&good, &authority.pem, &trusting).await;
    for check in ["issuer.certificate", "grpc.certificate", "grpc.alpn", "grpc.trailers", "grpc.web"] {
        found.is(check, "ok", "", "");
    }
    let found = found_of_tls(&good, &authority.pem, &[]).await;
    found.is("issuer.certificate", "wrong", "an authority that is not known here", "--tls-ca");
    // What else there is to see is seen nevertheless.
    found.is("grpc.trailers", "ok", "", "");

    let expired = authority.issue_until(&["localhost"], (2020, 1, 1));
    let place = Place::new();
    let token = format!("--token-file={}", place.write("token", "a secret"));
    let found = found_of_tls(&expired, &authority.pem, &[&trusting[..], &[&token]].concat()).await;
    found.is("grpc.certificate", "wrong", "expired at 2020-01-01T00:00:00Z", "renew it");
    found.is("grpc.token", "skipped", "by TLS with a good certificate alone", "");

    let other = authority.issue(&["id.example"]);
    let found = found_of_tls(&other, &authority.pem, &trusting).await;
    found.is("issuer.certificate", "wrong", "is not for localhost", "issue it for localhost");
}

#[tokio::test]
async fn a_service_that_asks_for_certificates_is_well_and_one_that_is_shown_lets_all_be_seen() {
    let authority = Authority::new("tests");
    let good = authority.issue(&["localhost"]);
    let flags = ["--tls-client-ca=ca.crt"];
    let (trusting, showing) = ("--tls-ca=ca.crt", ["--tls-client-cert=tls.crt", "--tls-client-key=tls.key"]);
    let found = found_of_tls_with(&flags, &good, &authority.pem, &[trusting]).await;
    found.is("grpc.reached", "ok", "", "");
    for check in ["grpc.http2", "grpc.call", "grpc.headers", "grpc.web", "grpc.connect"] {
        found.is(check, "skipped", "clients must show a certificate there", "");
    }
    for check in ["grpc.pings", "grpc.stream", "grpc.idle", "keys.agree"] {
        found.is(check, "skipped", "", "");
    }
    assert_eq!(found.1.code, Some(0), "{:?}", found.1);

    let found = found_of_tls_with(&flags, &good, &authority.pem, &[&[trusting][..], &showing].concat()).await;
    for check in ["grpc.http2", "grpc.trailers", "grpc.web", "grpc.connect", "grpc.idle", "keys.agree"] {
        found.is(check, "ok", "", "");
    }
    assert_eq!(found.1.code, Some(0), "{:?}", found.1);

    let (other, place) = (Authority::new("another").issue(&["localhost"]), Place::new());
    let (cert, key) = (place.write("other.crt", &other.cert), place.write("other.key", &other.key));
    let other = [format!("--tls-client-cert={cert}"), format!("--tls-client-key={key}")];
    let args = [&[trusting][..], &strs(&other)[..]].concat();
    let found = found_of_tls_with(&flags, &good, &authority.pem, &args).await;
    found.is("grpc.http2", "wrong", "--tls-client-cert is not taken", "--tls-client-ca");
    found.is("grpc.web", "skipped", "", "");

    place.run(&["doctor", &other[0]]).await.failed(2);
    let swapped = [format!("--tls-client-cert={key}"), format!("--tls-client-key={cert}")];
    place.run(&["doctor", &swapped[0], &swapped[1]]).await.failed(2);
}

/// Answers every request of HTTP/1.1 with `answer`, and keeps the requests.
pub(crate) async fn answering(answer: &'static str) -> (SocketAddr, Arc<Mutex<String>>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let (addr, requests) = (listener.local_addr().unwrap(), Arc::new(Mutex::new(String::new())));
    let kept = requests.clone();
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let kept = kept.clone();
            tokio::spawn(async move {
                let mut request = vec![0; 16_384];
                let Ok(length @ 1..) = stream.read(&mut request).await else { return };
                kept.lock().unwrap().push_str(&String::from_utf8_lossy(&request[..length]));
                let _ = stream.write_all(answer.as_bytes()).await;
            });
        }
    });
    (addr, requests)
}

#[tokio::test]
async fn a_clock_that_is_off_and_metadata_that_are_not_there_are_told_and_nothing_secret_is_sent() {
    let page = "HTTP/1.1 404 Not Found\r\nserver: nginx\r\ndate: Sun, 06 Nov 1994 08:49:37 GMT\r\ncontent-type: text/html\r\n\
                content-length: 6\r\nconnection: close\r\n\r\n<html>";
    let (addr, requests) = answering(page).await;
    let place = Place::new();
    let found = doctor(&place, &[&format!("--url=http://{addr}")]).await;
    found.is("issuer.clock", "wrong", "days ahead", "chronyc");
    found.is(
        "issuer.discovery",
        "wrong",
        "404 Not Found (text/html): <html>",
        "nginx: `location / { proxy_pass",
    );
    found.is("grpc.http2", "wrong", "it answers \"HTTP/1.1 404 Not Found\"", "nginx: `listen 50051 http2;`");
    found.is("grpc.web", "warning", "404", "nginx");
    found.is("keys.published", "skipped", "", "");
    assert_eq!(found.1.code, Some(1));
    let requests = requests.lock().unwrap().to_ascii_lowercase();
    assert!(requests.contains("get /.well-known/") && !requests.contains("\nauthorization:"), "{requests}");
}

#[tokio::test]
async fn a_key_set_that_caches_keep_longer_than_keys_are_published_ahead_is_told() {
    let place = Place::embedded().await;
    let (_service, flags) = as_issuer(&place, &[]).await;
    let found = doctor(&place, &[&strs(&flags)[..], &["--key-publish-ahead=1m"]].concat()).await;
    found.is("keys.cache", "wrong", "kept for 5m, and the next key signs 1m after", "--key-publish-ahead");
    let found = doctor(&place, &strs(&flags)).await;
    found.is("keys.cache", "ok", "1h ahead", "");
}

/// A server of HTTP/2 that answers every call as gRPC does, but for the trailers; one that is asked nothing it sends away.
async fn without_trailers() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let addr = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            tokio::spawn(async move {
                let stream = stream.into_std().unwrap();
                let open = TcpStream::from_std(stream.try_clone().unwrap()).unwrap();
                answer_without_trailers(TcpStream::from_std(stream).unwrap()).await;
                // The other side may be pinging: a reset would overtake what it was told.
                let _ = tokio::io::copy(&mut { open }, &mut tokio::io::sink()).await;
            });
        }
    });
    addr
}

async fn answer_without_trailers(stream: TcpStream) {
    // It takes no body and answers nevertheless, so that each stream ends by a reset with NO_ERROR (RFC 9113, section 8.1).
    let handshake = h2::server::Builder::new().initial_window_size(0).handshake(stream);
    let Ok(mut connection) = handshake.await else { return };
    let mut count = 0;
    loop {
        // Longer than a busy machine leaves a client that is about to call.
        let patience = std::time::Duration::from_secs(if count == 0 { 15 } else { 60 });
        let Ok(next) = tokio::time::timeout(patience, connection.accept()).await else {
            connection.abrupt_shutdown(h2::Reason::ENHANCE_YOUR_CALM);
            count = 1;
            continue;
        };
        let Some(Ok((_, mut answering))) = next else { return };
        count += 1;
        let head = http::Response::builder().header("content-type", "application/grpc");
        let Ok(mut body) = answering.send_response(head.body(()).unwrap(), false) else { return };
        let _ = body.send_data(bytes::Bytes::from_static(&[0; 5]), true);
    }
}

#[tokio::test]
async fn trailers_that_are_lost_and_pings_that_are_not_wanted_are_told() {
    let (place, addr) = (Place::new(), without_trailers().await);
    let nowhere = format!("--url=http://{}", free_addr());
    let grpc = format!("--grpc-url=http://{addr}");
    let found = place.run(&["doctor", "--json", "--idle-for=20s", &nowhere, &grpc]).await;
    let found = Found(found.objects(), found);
    found.is("issuer.reached", "wrong", "no connection", "--url");
    found.is("grpc.trailers", "wrong", "without trailers", "grpc_pass");
    found.is("grpc.errors", "wrong", "not grpc-status 16", "grpc_intercept_errors");
    found.is("grpc.pings", "wrong", "ENHANCE_YOUR_CALM", "keepalive");
    assert_eq!(found.1.code, Some(1));
}

#[tokio::test]
async fn files_that_others_can_read_and_settings_that_do_not_fit_are_told_where_the_service_is() {
    let place = Place::embedded().await;
    let (_service, flags) = as_issuer(&place, &[]).await;
    let mode =
        |name: &str, mode| fs::set_permissions(place.data(name), fs::Permissions::from_mode(mode)).unwrap();
    mode("signet.db", 0o604);
    let found = doctor(&place, &strs(&flags)).await;
    let database = place.data("signet.db").file_name().unwrap().to_string_lossy().into_owned();
    found.is("here.files", "wrong", &database, "`chmod 600 ");
    found.is("here.database", "wrong", "signet.db", "`signet migrate status`");
    mode("signet.db", 0o600);

    // What a container is given may be a file of others, but not for all to read.
    let secret = place.write("url", "sqlite:other.db");
    fs::set_permissions(&secret, fs::Permissions::from_mode(0o644)).unwrap();
    let flag = format!("--master-key-file={secret}");
    let args = [&strs(&flags)[..], &[&flag]].concat();
    let found = doctor(&place, &args).await;
    found.is("here.files", "warning", "every user of this machine can read it", "`chmod o= ");
    found.is("here.settings", "wrong", "--master-key", "`--master-key");

    let listening = format!("--issuer=http://0.0.0.0:{}", free_addr().port());
    let found = doctor(&place, &[&listening, &flags[1], &flags[2]]).await;
    found.is("here.settings", "wrong", "an address to listen at", "`--issuer https://NAME`");
    let nobody = format!("--operations-addr={}", free_addr());
    let found = doctor(&place, &[&flags[0], &flags[1], &flags[3], &nobody]).await;
    found.is("here.ready", "warning", "does not answer", "--operations-addr");
    assert_eq!(found.1.code, Some(0), "a warning alone: {:?}", found.1);
}

#[tokio::test]
async fn where_nobody_answers_the_code_says_so_and_what_is_no_url_is_refused() {
    let place = Place::new();
    let found = doctor(&place, &[&format!("--url=http://{}", free_addr())]).await;
    found.is("issuer.reached", "wrong", "no connection", "--url");
    found.is("grpc.reached", "wrong", "no connection", "--grpc-url");
    found.is("grpc.trailers", "skipped", "nobody answers", "");
    assert_eq!(found.1.code, Some(69));
    for bad in ["--url=id.example", "--grpc-url=ftp://id.example", "--url=https://id.example?x"] {
        place.run(&["doctor", bad]).await.failed(2);
    }
    assert!(!place.has_data(), "it makes nothing");
}

/// The server's clock is an hour ahead, as far as it says: on PostgreSQL, whose functions can be others. SQLite has none.
#[tokio::test]
async fn a_database_whose_clock_is_off_is_told() {
    let place = Place::migrated().await;
    let (_service, flags) = as_issuer(&place, &[]).await;
    let found = doctor(&place, &strs(&flags)).await;
    found.is("here.clock", "ok", "", "");
    if place.server_kind() != Some("postgres") {
        return;
    }
    let url = place.database_url();
    let name = url.rsplit('/').next().unwrap().split('?').next().unwrap().to_owned();
    let database = place.connect().await;
    for statement in [
        "CREATE SCHEMA elsewhere".to_owned(),
        "CREATE FUNCTION elsewhere.clock_timestamp() RETURNS timestamptz LANGUAGE sql AS \
         'SELECT pg_catalog.clock_timestamp() + interval ''1 hour'''"
            .to_owned(),
        format!("ALTER DATABASE \"{name}\" SET search_path = public, elsewhere, pg_catalog"),
    ] {
        database.execute_unprepared(&statement).await.unwrap();
    }
    let found = doctor(&place, &strs(&flags)).await;
    found.is("here.clock", "wrong", "behind the database's", "chronyc");
}
