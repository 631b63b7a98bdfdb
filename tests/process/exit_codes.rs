//! Owns the exit codes of commands that fail, and that what is told is what is wrong.

use std::{
    fs::Permissions,
    os::unix::fs::{PermissionsExt, chown},
    path::Path,
};

use crate::{
    harness::{Finished, Place},
    support::{database::MASTER_KEY, ports::free_addr},
};

/// The user and group that own nothing.
const NOBODY: u32 = 65_534;

#[tokio::test]
async fn what_does_not_answer_is_no_wrong_setting() {
    let (place, nowhere) = (Place::new(), free_addr());
    let database = format!("--database-url=postgres://signet@{nowhere}/signet");
    let key = format!("--master-key={MASTER_KEY}");
    for args in
        [&["users", "list"][..], &["migrate", "status"], &["serve", "--database-wait=0s"], &["keys", "list"]]
    {
        let finished = place.run(&[args, &[&database, &key]].concat()).await;
        let told = finished.failed(69);
        assert!(
            told.starts_with(&format!("the database postgres://{nowhere}/signet cannot be reached: ")),
            "{told}"
        );
    }
    let server = format!("--server={nowhere}");
    place.run(&["login", "alice", &server]).await.failed(69);
    let nobody = place.signet(&["users", "list", &server]).env("XDG_STATE_HOME", "/nonexistent").run().await;
    assert!(matches!(nobody.code, Some(69 | 77)), "{nobody:?}");
    let reason = place.run(&["jobs", "--json", &database, &key]).await;
    assert!(reason.stderr.contains("\"DATABASE_UNAVAILABLE\""), "{reason:?}");
}

/// Keeps `path` from the user who runs the tests, or gives it back.
fn keep(path: &Path, is_kept: bool) {
    let mode = match (is_kept, path.is_dir()) {
        (true, _) if !is_root() => 0o000,
        (_, true) => 0o700,
        (_, false) => 0o600,
    };
    std::fs::set_permissions(path, Permissions::from_mode(mode)).unwrap();
    if is_root() {
        let owner = Some(if is_kept { NOBODY } else { 0 });
        chown(path, owner, owner).unwrap();
    }
}

fn is_root() -> bool {
    std::process::Command::new("id").arg("-u").output().unwrap().stdout == b"0\n"
}

/// Runs `signet` with `args`, without what lets root look everywhere.
async fn bounded(place: &Place, args: &[&str]) -> Finished {
    let invocation = place.signet(args);
    let bounded = ["setpriv", "--bounding-set=-dac_override,-dac_read_search"];
    if is_root() { invocation.through(&bounded).run().await } else { invocation.run().await }
}

#[tokio::test]
async fn a_database_that_may_not_be_seen_is_not_one_that_is_not_there() {
    let place = Place::embedded().await;
    let data = place.path("signet-data");
    keep(&data, true);
    for args in [&["users", "list", "--audit-log=off"][..], &["serve", "--audit-log=off"]] {
        let refused = bounded(&place, args).await;
        let told = refused.failed(77);
        assert!(told.contains("signet.db may not be read and written: "), "{told}");
        assert!(
            told.contains("signet-data belongs to the user ") && !told.contains("there is no database"),
            "{told}"
        );
    }
    keep(&data, false);
    place.run(&["users", "list"]).await.succeeded();
}

#[tokio::test]
async fn a_file_that_this_user_may_not_use_is_told_with_whose_it_is() {
    let place = Place::embedded().await;
    place.serve(&[]).await.stop().await;
    let file = place.write("kept", "x");
    keep(&place.path("kept"), true);
    let named = |flag: &str| format!("{flag}={file}");
    let (key, url, to, log) =
        (named("--master-key-file"), named("--database-url-file"), named("--to-file"), named("--audit-log"));
    let (password, new_key) = (named("--password-file"), named("--new-master-key-file"));
    let tls = named("--tls-key");
    for args in [
        &["keys", "list", &key][..],
        &["users", "list", &url],
        &["serve", &url],
        &["copy", &to],
        &["serve", &log],
        &["keys", "rotate", &log],
        &["users", "create", "bob", &password],
        &["keys", "reseal", &new_key],
        &["serve", &format!("--tls-cert={}", place.write("tls.crt", "")), &tls],
    ] {
        let refused = bounded(&place, args).await;
        let told = refused.failed(77);
        let flag = args.last().unwrap().split_once('=').unwrap().0;
        assert!(told.starts_with(flag) && told.contains(&format!("; {file} belongs to the user ")), "{told}");
        let reason = bounded(&place, &[args, &["--json"]].concat()).await;
        assert!(reason.stderr.contains("\"FILE_FORBIDDEN\""), "{reason:?}");
    }
    let first = Place::new();
    let bootstrap = bounded(&first, &["serve", &named("--bootstrap")]).await;
    assert!(bootstrap.failed(77).starts_with("--bootstrap"), "{bootstrap:?}");
    let manifest = bounded(&place, &["apply", "-f", &file, "--yes"]).await;
    assert!(manifest.failed(77).contains(&format!("; {file} belongs to the user ")), "{manifest:?}");
    let master_key = place.data("master.key");
    keep(&master_key, true);
    for args in
        [&["serve"][..], &["keys", "list"], &["keys", "reset"], &["copy", "--to=postgres://x@127.0.0.1:1/x"]]
    {
        let refused = bounded(&place, args).await;
        let told = refused.failed(77);
        assert!(
            told.contains("master.key cannot be read: ") && told.contains("master.key belongs to"),
            "{told}"
        );
    }
    keep(&master_key, false);
    place.serve(&[]).await.stop().await;
}

#[tokio::test]
async fn one_port_for_two_settings_is_no_other_process() {
    let place = Place::new();
    let addr = free_addr().to_string();
    let every = format!("0.0.0.0:{}", addr.rsplit_once(':').unwrap().1);
    for (second, at) in [
        ("--http-addr", &addr),
        ("--operations-addr", &addr),
        ("--admin-addr", &addr),
        ("--http-addr", &every),
    ] {
        let refused = place.run(&["--grpc-addr", &addr, second, at]).await;
        let told = refused.failed(2);
        let expected = format!("{at} is taken by --grpc-addr of this service itself ({addr})");
        assert!(told.starts_with(second) && told.contains(&expected), "{told}");
    }
    assert!(!place.has_data());
}

#[tokio::test]
async fn a_log_that_cannot_be_written_is_named() {
    let place = Place::embedded().await;
    let nowhere = place.path("nowhere/audit.log").display().to_string();
    for args in [&["serve"][..], &["keys", "rotate"]] {
        let refused = place.run(&[args, &["--audit-log", &nowhere]].concat()).await;
        let told = refused.failed(2);
        assert!(
            told.contains(&format!("--audit-log (SIGNET_AUDIT_LOG): {nowhere} cannot be written: ")),
            "{told}"
        );
    }
}
