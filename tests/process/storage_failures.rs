//! Owns what is promised while the database cannot write: calls that write say so, those that read go on, the log says why, and
//! nothing that was acknowledged is lost.

use std::process::Command;

use tokio::time::timeout;
use tonic::Code;
use tonic_types::StatusExt;

use sea_orm::ConnectionTrait;

use crate::{
    client::{Client, PASSWORD, reason},
    harness::{PATIENCE, Place, Service},
};

/// Signs up `user-0`, `user-1` and so on, until one is refused, and returns how many were not.
async fn fill(client: &Client) -> usize {
    for number in 0.. {
        let Err(status) = client.sign_up(&format!("user-{number}")).await else { continue };
        assert_eq!(status.code(), Code::Unavailable, "{status:?}");
        assert_eq!(reason(&Err::<(), _>(status.clone())), "UNAVAILABLE");
        assert!(status.get_details_retry_info().unwrap().retry_delay.is_some(), "{status:?}");
        assert_eq!(status.message(), "the service cannot reach its database at the moment");
        return number;
    }
    unreachable!()
}

/// Asserts that what only reads goes on for `token`, and that no writing does.
async fn only_reads(client: &Client, token: &str) {
    client.get_me(token).await.unwrap();
    let refused = [
        reason(&client.sign_up("bob").await),
        reason(&client.log_in("alice", PASSWORD).await),
        reason(&client.revoke_all(token).await),
    ];
    assert_eq!(refused, ["UNAVAILABLE"; 3], "sign-up, login, revocation");
    client.get_me(token).await.expect("what was refused has not been done");
}

/// Waits until the service writes again.
async fn writes_again(client: &Client) {
    let recovering = async { while reason(&client.log_in("alice", PASSWORD).await) != "OK" {} };
    timeout(PATIENCE, recovering).await.expect("it recovers without a restart");
}

/// Has the system let the service write files of at most `bytes`.
fn limit_files(service: &Service, bytes: &str) {
    let pid = service.id().to_string();
    let limited =
        Command::new("prlimit").args(["--pid", &pid, &format!("--fsize={bytes}:unlimited")]).status();
    assert!(limited.unwrap().success());
}

#[tokio::test]
async fn a_full_disk_costs_writes_and_nothing_that_was_acknowledged() {
    let place = Place::new();
    // A file that may not grow stands for a disk that has no room. What would end the process is told as an error, as there.
    let ignoring = "trap '' XFSZ; exec \"$0\" \"$@\"";
    let mut service = place.signet(&[]).through(&["sh", "-c", ignoring]).serve().await;
    let client = service.client().await;
    client.sign_up("alice").await.unwrap();
    let token = client.log_in("alice", PASSWORD).await.unwrap();
    limit_files(&service, "400000");
    let users = fill(&client).await;
    service.logs("disk I/O error").await;
    // By now SQLite may have made room for itself in its files. From here on there is none.
    limit_files(&service, "1");
    only_reads(&client, &token).await;

    limit_files(&service, "unlimited");
    writes_again(&client).await;
    for number in 0..users {
        assert_eq!(
            reason(&client.log_in(&format!("user-{number}"), PASSWORD).await),
            "OK",
            "{number} was acknowledged"
        );
    }
    client.sign_up(&format!("user-{users}")).await.expect("whoever was refused tries again");
    let log = service.stop().await.stderr;
    let failures: Vec<_> = log.lines().filter(|line| line.contains("call failed")).collect();
    for method in
        ["IdentityService/SignUp", "IdentityService/IssueToken", "IdentityService/RevokeAllSessions"]
    {
        let is_told = failures.iter().any(|line| line.contains("grpc") && line.contains(method));
        assert!(is_told, "{method} is not hidden by what failed before: {failures:?}");
    }
    println!("{users} users before the disk was full");
}

#[tokio::test]
async fn a_database_that_only_reads_costs_writes_alone() {
    let place = Place::migrated().await;
    if place.server_kind() != Some("postgres") {
        return; // Of SQLite below, of MariaDB in tests/failover: a whole server is read-only there, and other tests are on this one.
    }
    let mut service = place.serve(&[]).await;
    let client = service.client().await;
    client.sign_up("alice").await.unwrap();
    let token = client.log_in("alice", PASSWORD).await.unwrap();
    let db = place.connect().await;
    let name = place.url_at("").rsplit_once('/').unwrap().1.to_owned();
    // As an operator does before a maintenance: sessions that are there are ended, so that all see it.
    let end_sessions = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()";
    db.execute_unprepared(&format!("ALTER DATABASE {name} SET default_transaction_read_only = on"))
        .await
        .unwrap();
    db.execute_unprepared(end_sessions).await.unwrap();
    only_reads(&client, &token).await;
    service.logs("read-only transaction").await;

    let writable =
        format!("BEGIN READ WRITE; ALTER DATABASE {name} SET default_transaction_read_only = off; COMMIT");
    db.execute_unprepared(&writable).await.unwrap();
    db.execute_unprepared(end_sessions).await.unwrap();
    writes_again(&client).await;
    service.stop().await;
}

#[tokio::test]
async fn an_sqlite_file_that_cannot_be_written_is_refused_by_its_name() {
    let place = Place::new();
    place.create_user("alice").await;
    // Not even root may open a directory for writing.
    let path = place.data("signet.db");
    std::fs::remove_file(&path).unwrap();
    std::fs::create_dir(&path).unwrap();
    let refused = place.run(&["--audit-log=off"]).await;
    let sentence = refused.failed(2);
    assert!(sentence.contains("signet.db") && sentence.contains("cannot be opened"), "{sentence}");
}
