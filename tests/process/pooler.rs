//! Owns what the service does behind PgBouncer: in transaction mode, where a release before 1.21 loses what connections prepare, and in
//! session mode.

use std::{
    net::TcpStream,
    process::{Child, Command, Stdio},
};

use tokio::time::{sleep, timeout};

use crate::{
    client::PASSWORD,
    harness::{PATIENCE, Place},
    support::{ports::free_addr, program::find},
};

/// A PgBouncer before the server of a test; it ends with the test.
struct PgBouncer {
    process: Child,
    url: String,
}

impl Drop for PgBouncer {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

impl PgBouncer {
    /// One with the settings `more`, before the database of `place`.
    async fn start(place: &Place, more: &str) -> Self {
        let server = place.server();
        let (host, port) = server.split_once(':').unwrap();
        let addr = free_addr();
        // It does not run as root.
        let root = if rustix::process::geteuid().is_root() { "user = nobody" } else { "" };
        let settings = format!(
            "[databases]\n* = host={host} port={port} user=signet\n[pgbouncer]\nlisten_addr = {}\nlisten_port = {}\n\
             unix_socket_dir =\nauth_type = any\nlogfile =\npidfile =\n{root}\n{more}\n",
            addr.ip(),
            addr.port()
        );
        let file = place.write("pgbouncer.ini", &settings);
        let process = Command::new(find("SIGNET_TEST_PGBOUNCER", "pgbouncer"))
            .arg("--quiet")
            .arg(file)
            .stdin(Stdio::null())
            .spawn()
            .expect("PgBouncer runs");
        let bouncer = Self { process, url: place.url_at(&addr.to_string()) };
        let answers = async {
            while TcpStream::connect(addr).is_err() {
                sleep(std::time::Duration::from_millis(20)).await;
            }
        };
        timeout(PATIENCE, answers).await.expect("PgBouncer answers");
        bouncer
    }
}

#[tokio::test]
async fn a_pooler_that_loses_what_is_prepared_is_told_at_the_start_in_one_sentence() {
    let place = Place::migrated().await;
    if place.server_kind() != Some("postgres") {
        return; // It is a pooler of PostgreSQL's.
    }
    for more in [
        "pool_mode = transaction",
        "pool_mode = transaction\nignore_startup_parameters = extra_float_digits, options",
        "pool_mode = statement\nignore_startup_parameters = extra_float_digits, options",
    ] {
        let bouncer = PgBouncer::start(&place, more).await;
        let refused = place.signet(&["serve"]).env("SIGNET_DATABASE_URL", &bouncer.url).run().await;
        assert_ne!(refused.code, Some(0), "{refused:?}");
        let told: Vec<_> = refused.stderr.lines().filter(|line| line.contains("connection pooler")).collect();
        assert!(told.len() == 1 && told[0].contains("the database's own address"), "{more}: {refused:?}");
        assert!(!refused.stderr.contains("already exists"), "{more}: {refused:?}");
    }
}

#[tokio::test]
async fn behind_a_pooler_in_session_mode_the_service_serves_and_tells_which_settings_are_lost() {
    let place = Place::migrated().await;
    if place.server_kind() != Some("postgres") {
        return;
    }
    place.create_user("ann").await;
    let more = "pool_mode = session\ndefault_pool_size = 40\nignore_startup_parameters = extra_float_digits, options";
    let bouncer = PgBouncer::start(&place, more).await;
    let service = place.signet(&[]).env("SIGNET_DATABASE_URL", &bouncer.url).serve().await;
    service.client().await.log_in("ann", PASSWORD).await.unwrap();
    let log = service.stop().await.stderr;
    assert!(log.contains("a connection pooler keeps settings from the database"), "{log}");
}
