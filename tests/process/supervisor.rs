//! Owns what SIGHUP promises, and what the service manager is told that started the service.

use std::{fs, io::ErrorKind, os::unix::net::UnixDatagram, process::Command, time::Duration};

use tokio::time::Instant;
use tokio_rustls::rustls::pki_types::{CertificateDer, pem::PemObject};

use crate::{
    harness::{PATIENCE, Place},
    support::pki::{Authority, Dialer, SERVER},
};

/// How long to leave the machine to whoever makes a fact true, before asking for it again.
const PAUSE: Duration = Duration::from_millis(20);

/// What a service manager hears from: `NOTIFY_SOCKET`.
struct Manager(UnixDatagram);

impl Manager {
    fn at(place: &Place) -> (Self, String) {
        let path = place.path("notify");
        let socket = UnixDatagram::bind(&path).unwrap();
        socket.set_read_timeout(Some(PATIENCE)).unwrap();
        (Self(socket), path.to_str().unwrap().to_owned())
    }

    /// What it is told next.
    fn hears(&self) -> String {
        let mut told = [0; 4_096];
        let length = self.0.recv(&mut told).unwrap();
        String::from_utf8(told[..length].to_vec()).unwrap()
    }

    /// What it is told next of the service's state, and not of its life.
    fn hears_of_state(&self) -> String {
        loop {
            let told = self.hears();
            if told != "WATCHDOG=1\n" {
                return told;
            }
        }
    }
}

#[tokio::test]
async fn a_service_manager_is_told_of_the_beginning_each_reload_and_the_end() {
    let place = Place::new();
    let (manager, socket) = Manager::at(&place);
    let service = place.signet(&[]).env("NOTIFY_SOCKET", &socket).serve().await;
    assert_eq!(manager.hears(), "READY=1\n");
    let mut before = 0;
    for _ in 0..2 {
        service.signal("HUP");
        let told = manager.hears();
        let mut lines = told.lines();
        assert_eq!(lines.next(), Some("RELOADING=1"), "{told}");
        let time = lines.next().and_then(|line| line.strip_prefix("MONOTONIC_USEC=")).unwrap();
        let time: u64 = time.parse().unwrap();
        assert!(time > before, "{time} is later than {before}");
        before = time;
        assert_eq!(manager.hears(), "READY=1\n");
    }
    service.client().await.sign_up("alice").await.unwrap();
    service.signal("TERM");
    assert_eq!(manager.hears(), "STOPPING=1\n");
    service.finish().await.succeeded();
    manager.0.set_nonblocking(true).unwrap();
    assert_eq!(
        manager.0.recv(&mut [0; 64]).unwrap_err().kind(),
        ErrorKind::WouldBlock,
        "nobody watches over it"
    );
}

#[tokio::test]
async fn a_watchdog_hears_twice_in_its_time_that_the_service_lives() {
    let place = Place::new();
    let (manager, socket) = Manager::at(&place);
    let watched = [("NOTIFY_SOCKET", socket.as_str()), ("WATCHDOG_USEC", "2000000")];
    let service = place.signet(&[]).envs(watched).serve().await;
    assert_eq!(manager.hears_of_state(), "READY=1\n");
    let begun = Instant::now();
    for _ in 0..3 {
        while manager.hears() != "WATCHDOG=1\n" {}
    }
    // Not as often as it can: that would say nothing of the time between.
    assert!(begun.elapsed() >= Duration::from_millis(900), "{:?}", begun.elapsed());
    service.signal("TERM");
    assert_eq!(manager.hears_of_state(), "STOPPING=1\n");
    service.finish().await.succeeded();

    // Meant for another process: one that has started this one.
    let other = [("NOTIFY_SOCKET", socket.as_str()), ("WATCHDOG_USEC", "1000"), ("WATCHDOG_PID", "1")];
    let service = place.signet(&[]).envs(other).serve().await;
    assert_eq!(manager.hears(), "READY=1\n");
    service.signal("TERM");
    assert_eq!(manager.hears(), "STOPPING=1\n");
    service.finish().await.succeeded();
}

#[tokio::test]
async fn nobody_who_hears_is_no_reason_not_to_serve() {
    let place = Place::new();
    let nobody = place.path("nobody");
    let mut service = place.signet(&[]).env("NOTIFY_SOCKET", nobody.to_str().unwrap()).serve().await;
    service.logs("the service manager could not be told").await;
    service.client().await.sign_up("alice").await.unwrap();
    service.stop().await;
}

#[tokio::test]
async fn a_hangup_opens_an_audit_log_again_that_was_moved_away() {
    let place = Place::new();
    let mut service = place.serve(&["--audit-log=./audit.log"]).await;
    service.client().await.sign_up("alice").await.unwrap();
    // An event is written after the call is answered.
    let written = async {
        while !fs::read_to_string(place.path("audit.log")).unwrap().contains("user.signed_up") {
            tokio::time::sleep(PAUSE).await;
        }
    };
    tokio::time::timeout(PATIENCE, written).await.unwrap();
    fs::rename(place.path("audit.log"), place.path("audit.log.1")).unwrap();
    service.signal("HUP");
    service.logs("a signal to reload").await;
    assert_eq!(fs::read_to_string(place.path("audit.log")).unwrap(), "", "before there is another event");
    let moved = fs::read_to_string(place.path("audit.log.1")).unwrap();
    assert!(moved.contains("user.signed_up"), "{moved}");
    service.client().await.sign_up("bob").await.unwrap();
    service.stop().await;
    assert_eq!(fs::read_to_string(place.path("audit.log.1")).unwrap(), moved, "nobody writes to it any more");
    assert!(fs::read_to_string(place.path("audit.log")).unwrap().contains("user.signed_up"));
}

#[tokio::test]
async fn an_audit_log_that_cannot_be_opened_again_is_told_and_the_service_goes_on() {
    let place = Place::new();
    let mut service = place.serve(&["--audit-log=./audit.log"]).await;
    fs::rename(place.path("audit.log"), place.path("audit.log.1")).unwrap();
    fs::create_dir(place.path("audit.log")).unwrap();
    service.signal("HUP");
    service.logs("the audit log cannot be opened again").await;
    service.client().await.sign_up("alice").await.unwrap();
    service.signal("HUP");
    service.logs("the audit log cannot be opened again").await;
    let log = service.stop().await.stderr;
    assert!(!log.contains("a signal to reload"), "it is not the one that is there now: {log}");
    let told = log.lines().filter(|line| line.contains("cannot be opened again"));
    assert!(told.clone().count() == 3 && told.clone().all(|line| line.contains("audit.log")), "{log}");
    let kept = fs::read_to_string(place.path("audit.log.1")).unwrap();
    assert!(kept.contains("user.signed_up") && !log.contains("are being lost"), "{log}");
}

#[tokio::test]
async fn a_hangup_takes_up_a_replaced_certificate_before_the_log_says_so() {
    let (place, authority) = (Place::new(), Authority::new("tests"));
    authority.issue(&[SERVER]).write(&place.path(""));
    let mut service = place.serve(&["--tls-cert=tls.crt", "--tls-key=tls.key"]).await;
    let dialer = Dialer::new(&authority, None);
    let addr = service.http_addr();
    let shown = async || {
        let stream = dialer.dial(addr).await.unwrap();
        stream.get_ref().1.peer_certificates().unwrap()[0].clone().into_owned()
    };
    let mut used = shown().await;
    for _ in 0..2 {
        let next = authority.issue(&[SERVER]);
        next.write(&place.path(""));
        service.signal("HUP");
        service.logs("a signal to reload").await;
        used = CertificateDer::from_pem_slice(next.cert.as_bytes()).unwrap();
        assert_eq!(shown().await, used, "not a second later");
    }
    place.write("tls.key", "nonsense");
    // Each time it is asked for, though by themselves the files are told of once.
    for _ in 0..2 {
        service.signal("HUP");
        service.logs("the TLS files cannot be used").await;
        assert_eq!(shown().await, used);
    }
    let log = service.stop().await.stderr;
    assert_eq!(log.lines().filter(|line| line.contains("a signal to reload")).count(), 2, "{log}");
}

/// What a terminal that is closed sends is a hangup, too.
#[tokio::test]
async fn a_service_whose_terminal_is_closed_stops() {
    let place = Place::new();
    // `script` has the terminal, at which a shell starts the service in its own place.
    let at_terminal = "exec script --quiet --return --command \"exec $0 $* 2>log\" /dev/null";
    let service = place.signet(&[]).through(&["sh", "-c", at_terminal]).serve().await;
    let script = service.id();
    let children = fs::read_to_string(format!("/proc/{script}/task/{script}/children")).unwrap();
    let [id] = children.split_whitespace().collect::<Vec<_>>()[..] else { panic!("{children:?}") };
    let told = async |text: &str| {
        let log = || fs::read_to_string(place.path("log")).unwrap();
        let waiting = async {
            while !log().contains(text) {
                tokio::time::sleep(PAUSE).await;
            }
        };
        tokio::time::timeout(PATIENCE, waiting).await.unwrap_or_else(|_| panic!("{text}: {}", log()));
    };
    assert!(Command::new("kill").args(["-s", "HUP", id]).status().unwrap().success());
    told("a signal to reload").await;
    service.client().await.sign_up("alice").await.unwrap();
    service.kill().await;
    told("every call in flight was finished").await;
}
