//! Owns what an operator is promised of TLS: files that are followed, mistakes that are told, and probes that go on.

use std::{
    fs,
    process::Command,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU32, Ordering},
    },
    time::Duration,
};

use http_body_util::{BodyExt, Empty};
use hyper_util::rt::{TokioExecutor, TokioIo};
use serde_json::Value;
use tokio_rustls::rustls::pki_types::{CertificateDer, pem::PemObject};
use tonic_health::pb::{HealthCheckRequest, health_client::HealthClient};

use crate::{
    client::Client,
    harness::{PATIENCE, Place, Service},
    support::pki::{Authority, Dialer, Issued, SERVER},
};

const BILLING: &str = "spiffe://example.org/billing";

/// How long to leave the machine to whoever makes a fact true, before asking for it again.
const PAUSE: Duration = Duration::from_millis(20);

/// Flags of a server whose files are in its working directory.
const TLS: [&str; 2] = ["--tls-cert=tls.crt", "--tls-key=tls.key"];
const MUTUAL: [&str; 3] = ["--tls-cert=tls.crt", "--tls-key=tls.key", "--tls-client-ca=ca.crt"];

/// A place with an authority, and a certificate of a server.
fn place() -> (Place, Authority) {
    let (place, authority) = (Place::new(), Authority::new("tests"));
    authority.issue(&[SERVER]).write(&place.path(""));
    place.write("ca.crt", &authority.pem);
    (place, authority)
}

/// The certificate that `service` shows to whoever connects now.
async fn shown(service: &Service, dialer: &Dialer) -> Option<CertificateDer<'static>> {
    let stream = dialer.dial(service.grpc_addr()).await.ok()?;
    stream.get_ref().1.peer_certificates()?.first().map(|certificate| certificate.clone().into_owned())
}

/// Waits until `service` shows `expected`.
async fn shows(service: &Service, dialer: &Dialer, expected: &Issued) {
    let expected = CertificateDer::from_pem_slice(expected.cert.as_bytes()).unwrap();
    let waiting = async {
        while shown(service, dialer).await.as_ref() != Some(&expected) {
            tokio::time::sleep(PAUSE).await;
        }
    };
    tokio::time::timeout(PATIENCE, waiting).await.expect("the new certificate is shown in time");
}

/// Waits until `service` counts `count` changes of its files that came to this `result`.
async fn reloaded(service: &Service, dialer: &Dialer, result: &str, count: u32) {
    let counted = format!("signet_tls_reloads_total{{result=\"{result}\"}} {count}\n");
    let waiting = async {
        while !metrics(service, dialer).await.contains(&counted) {
            tokio::time::sleep(PAUSE).await;
        }
    };
    tokio::time::timeout(PATIENCE, waiting).await.expect("the change is seen in time");
}

async fn metrics(service: &Service, dialer: &Dialer) -> String {
    let stream = dialer.dial(service.operations_addr()).await.unwrap();
    let (mut sender, connection) =
        hyper::client::conn::http2::handshake(TokioExecutor::new(), TokioIo::new(stream)).await.unwrap();
    tokio::spawn(connection);
    let request = http::Request::get("https://localhost/metrics").body(Empty::<&[u8]>::new()).unwrap();
    let body = sender.send_request(request).await.unwrap().into_body();
    String::from_utf8(body.collect().await.unwrap().to_bytes().to_vec()).unwrap()
}

/// Calls without a pause, on a connection that stays and on new ones, until it is told to stop. Returns how many were answered, and
/// panics if one was not.
async fn call_on(service: &Service, dialer: Dialer, stop: Arc<AtomicBool>, answered: Arc<AtomicU32>) {
    let channel = dialer.channel(service.grpc_addr()).await.unwrap();
    while !stop.load(Ordering::SeqCst) {
        let fresh = dialer.channel(service.grpc_addr()).await.expect("new connections are taken");
        for channel in [channel.clone(), fresh] {
            HealthClient::new(channel)
                .check(HealthCheckRequest::default())
                .await
                .expect("calls are answered");
            answered.fetch_add(1, Ordering::SeqCst);
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn files_are_followed_and_no_call_fails_by_it() {
    let (place, authority) = place();
    let service = place.serve(&MUTUAL).await;
    let own = authority.issue(&[BILLING]);
    let dialer = Dialer::new(&authority, Some(&own));
    let (stop, answered) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU32::new(0)));
    let calling = call_on(&service, dialer.clone(), Arc::clone(&stop), Arc::clone(&answered));
    let changing = async {
        let next = authority.issue(&[SERVER]);
        // One file long after the other: for a while they do not match.
        place.write("tls.key", &next.key);
        reloaded(&service, &dialer, "failed", 1).await;
        place.write("tls.crt", &next.cert);
        shows(&service, &dialer, &next).await;
        // As Kubernetes does it: a symbolic link that leads elsewhere from one moment to the next.
        for version in ["one", "two"] {
            let issued = authority.issue(&[SERVER]);
            fs::create_dir(place.path(version)).unwrap();
            issued.write(&place.path(version));
            for file in ["tls.crt", "tls.key"] {
                let _ = fs::remove_file(place.path("link"));
                std::os::unix::fs::symlink(place.path(version).join(file), place.path("link")).unwrap();
                fs::rename(place.path("link"), place.path(file)).unwrap();
            }
            shows(&service, &dialer, &issued).await;
        }
        let before = answered.load(Ordering::SeqCst);
        while answered.load(Ordering::SeqCst) < before + 10 {
            tokio::time::sleep(PAUSE).await;
        }
        stop.store(true, Ordering::SeqCst);
    };
    tokio::join!(calling, changing);
    assert!(answered.load(Ordering::SeqCst) > 50, "{answered:?}");

    let log = service.stop().await.stderr;
    let lines = |text: &str| log.lines().filter(|line| line.contains(text)).count();
    assert_eq!(lines("is not the key of the certificate in"), 1, "once for each change: {log}");
    assert_eq!(lines("the TLS certificate was replaced"), 3, "{log}");
    assert!(!log.contains("PRIVATE KEY"), "{log}");
}

#[tokio::test]
async fn what_cannot_be_used_is_told_once_and_the_old_stays() {
    let (place, authority) = place();
    let service = place.serve(&MUTUAL).await;
    let own = authority.issue(&[BILLING]);
    let dialer = Dialer::new(&authority, Some(&own));
    let first = shown(&service, &dialer).await;
    assert!(first.is_some());
    for (count, (file, text)) in (1..).zip([("tls.crt", "nonsense"), ("ca.crt", ""), ("tls.key", "")]) {
        let before = fs::read_to_string(place.path(file)).unwrap();
        place.write(file, text);
        reloaded(&service, &dialer, "failed", count).await;
        assert_eq!(shown(&service, &dialer).await, first, "{file}");
        place.write(file, &before);
        reloaded(&service, &dialer, "succeeded", count).await;
    }
    // Another authority: whoever has a certificate of the first one is let in no more.
    let other = Authority::new("other");
    place.write("ca.crt", &other.pem);
    let newcomer = Dialer::new(&authority, Some(&other.issue(&[BILLING])));
    let is_let_in = async |dialer: &Dialer| match dialer.channel(service.grpc_addr()).await {
        Ok(channel) => HealthClient::new(channel).check(HealthCheckRequest::default()).await.is_ok(),
        Err(_) => false,
    };
    let waiting = async {
        while !is_let_in(&newcomer).await {
            tokio::time::sleep(PAUSE).await;
        }
    };
    tokio::time::timeout(PATIENCE, waiting).await.expect("the new authority is believed in time");
    assert!(!is_let_in(&dialer).await);
    let log = service.stop().await.stderr;
    for told in [
        "tls.crt holds no certificate in PEM",
        "ca.crt holds no certificate in PEM",
        "tls.key holds no private key in PEM",
    ] {
        let lines = log.lines().filter(|line| line.contains(told) && line.contains("stays in use")).count();
        assert_eq!(lines, 1, "{told}: {log}");
    }
}

#[tokio::test]
async fn a_fifo_in_place_of_a_file_is_told_and_does_not_stop_what_follows_the_files() {
    let (place, authority) = place();
    let service = place.serve(&MUTUAL).await;
    let dialer = Dialer::new(&authority, Some(&authority.issue(&[BILLING])));
    let first = shown(&service, &dialer).await;
    for (count, file) in (1..).zip(["tls.crt", "tls.key", "ca.crt"]) {
        let before = fs::read_to_string(place.path(file)).unwrap();
        assert!(Command::new("mkfifo").arg(place.path("fifo")).status().unwrap().success());
        fs::rename(place.path("fifo"), place.path(file)).unwrap();
        reloaded(&service, &dialer, "failed", count).await;
        assert_eq!(shown(&service, &dialer).await, first, "{file}");
        fs::remove_file(place.path(file)).unwrap();
        place.write(file, &before);
        // Whether it was seen to be missing depends on the moment.
        let waiting = async {
            while !metrics(&service, &dialer).await.contains(&format!("{{result=\"succeeded\"}} {count}\n")) {
                tokio::time::sleep(PAUSE).await;
            }
        };
        tokio::time::timeout(PATIENCE, waiting).await.expect("the file is taken again in time");
    }
    let renewed = authority.issue(&[SERVER]);
    renewed.write(&place.path(""));
    shows(&service, &dialer, &renewed).await;
    let log = service.stop().await.stderr;
    for file in ["tls.crt", "tls.key", "ca.crt"] {
        let told = format!("{file} is not a regular file");
        assert_eq!(log.lines().filter(|line| line.contains(&told)).count(), 1, "{log}");
    }
    let refused = place.run(&["--tls-cert=/dev/tty", TLS[1]]).await;
    assert!(refused.failed(2).starts_with("--tls-cert"), "{refused:?}");
}

#[tokio::test]
async fn a_start_with_files_that_cannot_be_used_is_refused_with_the_reason() {
    let (place, authority) = place();
    place.write("other.key", &authority.issue(&[SERVER]).key);
    place.write("empty.pem", "");
    place.write("broken.pem", "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n");
    let label = "ENCRYPTED PRIVATE KEY";
    place.write("locked.key", &format!("-----BEGIN {label}-----\nMIIB\n-----END {label}-----\n"));
    for (args, flag, problem) in [
        (&["--tls-cert=tls.crt"][..], "--tls-cert", "means nothing without --tls-key"),
        (&["--tls-key=tls.key"], "--tls-key", "means nothing without --tls-cert"),
        (&["--tls-client-ca=ca.crt"], "--tls-client-ca", "means nothing without --tls-cert"),
        (
            &[TLS[0], TLS[1], "--trusted-proxy=spiffe://a/b"],
            "--trusted-proxy",
            "means nothing without --tls-client-ca",
        ),
        (&["--trusted-proxy=spiffe://a/b"], "--trusted-proxy", "means nothing without --tls-client-ca"),
        (&["--tls-cert=none.crt", TLS[1]], "--tls-cert", "none.crt cannot be read: No such file"),
        (&["--tls-cert=empty.pem", TLS[1]], "--tls-cert", "empty.pem holds no certificate in PEM"),
        (&["--tls-cert=tls.key", TLS[1]], "--tls-cert", "tls.key holds no certificate in PEM"),
        (
            &["--tls-cert=broken.pem", TLS[1]],
            "--tls-cert",
            "broken.pem holds no certificate that can be read",
        ),
        (
            &[TLS[0], "--tls-key=other.key"],
            "--tls-key",
            "other.key is not the key of the certificate in tls.crt",
        ),
        (&[TLS[0], "--tls-key=tls.crt"], "--tls-key", "tls.crt holds no private key in PEM"),
        (&[TLS[0], "--tls-key=locked.key"], "--tls-key", "locked.key is encrypted"),
        (
            &[TLS[0], TLS[1], "--tls-client-ca=tls.key"],
            "--tls-client-ca",
            "tls.key holds no certificate in PEM",
        ),
        (
            &[TLS[0], TLS[1], "--tls-client-ca=broken.pem"],
            "--tls-client-ca",
            "broken.pem holds an authority that cannot be used",
        ),
    ] {
        let finished = place.run(args).await;
        let sentence = finished.failed(2);
        assert!(sentence.starts_with(flag) && sentence.contains(problem), "{args:?}: {sentence}");
    }
    assert!(!place.has_data(), "nothing is made before the settings are right");
}

#[tokio::test]
async fn an_expired_certificate_is_shown_with_a_warning() {
    let (place, authority) = place();
    authority.issue_until(&[SERVER], (2020, 1, 1)).write(&place.path(""));
    let service = place.serve(&TLS).await;
    let log = service.stop().await.stderr;
    let told = log.lines().filter(|line| line.contains("the TLS certificate has expired")).count();
    assert_eq!(told, 1, "{log}");
    assert!(log.contains("2020-01-01T00:00:00Z"), "{log}");
}

#[tokio::test]
async fn the_health_check_speaks_tls_and_goes_on_while_the_files_cannot_be_used() {
    for args in [&TLS[..], &MUTUAL] {
        let (place, authority) = place();
        let service = place.serve(args).await;
        let addr = service.operations_addr().to_string();
        let check = async |flags: &[&str]| {
            place.run(&[&["healthcheck", "--operations-addr", &addr], flags].concat()).await
        };
        assert_eq!(check(args).await.succeeded().stdout, format!("{addr} serves.\n"));
        let plaintext = check(&[]).await;
        assert!(
            plaintext.failed(1).contains("it speaks TLS, and the settings here have no --tls-cert"),
            "{plaintext:?}"
        );
        // A renewal that went wrong reaches all replicas at once: the service goes on with what it has, and so must its probe.
        place.write("tls.key", &authority.issue(&[SERVER]).key);
        let dialer = Dialer::new(&authority, Some(&authority.issue(&[BILLING])));
        reloaded(&service, &dialer, "failed", 1).await;
        check(args).await.succeeded();
        service.stop().await;
        assert!(check(args).await.failed(1).contains("does not serve"));
    }
}

#[tokio::test]
async fn nobody_without_a_certificate_reaches_the_admin_api() {
    let (place, authority) = place();
    let service = place.serve(&MUTUAL).await;
    let is_let_in = async |dialer: Dialer| match dialer.channel(service.admin_addr()).await {
        Ok(channel) => HealthClient::new(channel).check(HealthCheckRequest::default()).await.is_ok(),
        Err(_) => false,
    };
    assert!(is_let_in(Dialer::new(&authority, Some(&authority.issue(&[BILLING])))).await);
    assert!(!is_let_in(Dialer::new(&authority, None)).await);
    let other = Authority::new("other");
    assert!(!is_let_in(Dialer::new(&authority, Some(&other.issue(&[BILLING])))).await);
    service.stop().await;
}

#[tokio::test]
async fn what_is_printed_at_the_start_says_https() {
    let (place, authority) = place();
    let service = place.serve(&MUTUAL).await;
    assert_eq!(service.started["tls"], true);
    service.stop().await;
    let mut process = place.signet(&MUTUAL).start();
    let mut text = String::new();
    while let Some(line) = process.line().await {
        text.push_str(&line);
        text.push('\n');
        if line.contains("GetMe") {
            break;
        }
    }
    assert!(text.contains("HTTP:        https://127.0.0.1:"), "{text}");
    assert!(text.contains("grpcurl -cacert ca.pem -cert client.pem -key client.key -d"), "{text}");
    assert!(!text.contains("-plaintext"), "{text}");
    drop(authority);
}

#[tokio::test]
async fn clients_are_made_and_changed_by_certificate() {
    let (place, authority) = place();
    let created = place
        .run(&["clients", "create", "billing", "--spiffe-id", BILLING, "--json"])
        .await
        .succeeded()
        .object();
    assert_eq!((created["spiffe_id"].as_str(), created.get("secret")), (Some(BILLING), None), "{created}");
    for (args, told) in [
        (&["clients", "create", "second", "--spiffe-id", BILLING][..], "another client has this SPIFFE ID"),
        (&["clients", "create", "billing", "--spiffe-id", "spiffe://a/b"], "the name is taken"),
    ] {
        assert!(place.run(args).await.failed(1).contains(told), "{args:?}");
    }
    for args in [
        &["clients", "create", "x", "--spiffe-id", "spiffe://example.org"][..],
        &["clients", "create", "x", "--spiffe-id", BILLING, "--tls-san-dns", "a.example"],
        &["clients", "create", "x", "--spiffe-id", BILLING, "--public"],
        &["clients", "create", "x", "--tls-san-dns", "*.example.org"],
        &["clients", "set-certificate", "billing"],
        &["clients", "set-certificate", "billing", "--none", "--spiffe-id", BILLING],
    ] {
        place.run(args).await.failed(2);
    }
    let set = async |args: &[&str]| -> Value {
        let all = [&["clients", "set-certificate", "billing", "--json"], args].concat();
        place.run(&all).await.succeeded().object()
    };
    assert_eq!(set(&["--tls-san-dns", "Billing.example.org"]).await["tls_san_dns"], "billing.example.org");
    let shown = place.run(&["clients", "show", "billing"]).await.succeeded();
    assert!(shown.stdout.contains("certificate:  billing.example.org\n"), "{shown:?}");
    assert_eq!(set(&["--none"]).await.get("tls_san_dns"), None);
    place.run(&["clients", "create", "app", "--public"]).await.succeeded();
    let refused = place.run(&["clients", "set-certificate", "app", "--spiffe-id", "spiffe://a/b"]).await;
    assert!(refused.failed(1).starts_with("`app` is a public client: "), "{refused:?}");

    // And the running service knows it.
    let service = place.serve(&MUTUAL).await;
    assert_eq!(set(&["--spiffe-id", BILLING]).await["spiffe_id"], BILLING);
    let own = authority.issue(&[BILLING]);
    let channel = Dialer::new(&authority, Some(&own)).channel(service.grpc_addr()).await.unwrap();
    let token = Client::of(channel).client_credentials().await.unwrap();
    assert_eq!(token.token_type, "Bearer");
    service.stop().await;
}
