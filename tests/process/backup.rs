//! Owns what `signet backup` and `signet restore` promise: whatever was acknowledged is in a backup, a backup is whole or is refused,
//! and no crash leaves anything but the one database or the other.

use std::{
    fs::{self, File},
    os::unix::fs::{MetadataExt, PermissionsExt},
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

use sea_orm::ConnectionTrait;
use serde_json::{Value, json};
use signet_migrations::{Migrator, MigratorTrait};
use tokio::task::{JoinSet, yield_now};

use crate::{
    client::{PASSWORD, reason},
    harness::Place,
    support::runner::Process,
};

/// Enough rows for a copy to take longer than it takes to kill it.
const MANY: u32 = 12_000;

/// After how many looks at the disk a process is killed: early, amid its work, or late, as chance has it.
const KILL_AFTER: [usize; 6] = [1, 4, 16, 64, 256, 1_024];

impl Place {
    /// Backs the database up into `name` and returns that as an argument.
    async fn back_up(&self, name: &str) -> String {
        let file = self.path(name).display().to_string();
        self.run(&["backup", &file]).await.succeeded();
        file
    }

    /// A place with no database, that has the master key of this one.
    fn other_with_its_key(&self) -> Self {
        let other = Self::new();
        fs::create_dir(other.data("")).unwrap();
        // With its mode.
        fs::copy(self.data("master.key"), other.data("master.key")).unwrap();
        other
    }

    async fn usernames(&self) -> Vec<String> {
        let users = self.run(&["users", "list", "--json"]).await.succeeded().objects();
        users.iter().map(|user| user["username"].as_str().unwrap().to_owned()).collect()
    }

    /// Adds [`MANY`] users behind the service's back.
    async fn fill(&self) {
        let db = self.connect().await;
        let many = format!(
            "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < {MANY}) \
             INSERT INTO users (id, username, username_canonical, password_hash, is_active, create_time, update_time) \
             SELECT randomblob(16), 'u' || i, 'u' || i, hex(randomblob(48)), 1, 0, 0 FROM n"
        );
        db.execute_unprepared(&many).await.unwrap();
        db.close().await.unwrap();
    }
}

#[tokio::test]
async fn a_backup_of_a_running_service_is_restored_elsewhere_and_sessions_go_on() {
    let place = Place::new();
    let service = place.serve(&[]).await;
    let client = service.client().await;
    client.sign_up("alice").await.unwrap();
    let token = client.log_in("alice", PASSWORD).await.unwrap();
    let file = place.path("backup").display().to_string();
    let told = place.run(&["backup", &file]).await.succeeded().stdout;
    assert!(
        told.contains("1 users") && told.contains("keep a copy of ./signet-data/master.key apart"),
        "{told}"
    );
    let meta = fs::metadata(&file).unwrap();
    assert_eq!(meta.mode() & 0o777, 0o600);
    assert!(!place.path("backup.part").exists());
    client.sign_up("bob").await.unwrap();

    let other = place.other_with_its_key();
    let restored = other.run(&["restore", &file, "--json"]).await.succeeded().object();
    let expected = json!({ "database": "./signet-data/signet.db", "users": 1, "migrations_applied": [], "sessions_ended": 0 });
    assert_eq!(restored, expected);
    assert_eq!(fs::metadata(other.data("signet.db")).unwrap().mode() & 0o777, 0o600);
    let service = other.serve(&[]).await;
    let client = service.client().await;
    client.get_me(&token).await.expect("its key and its session are in the backup");
    client.log_in("alice", PASSWORD).await.unwrap();
    assert_eq!(reason(&client.log_in("bob", PASSWORD).await), "INVALID_CREDENTIALS");
    client.sign_up("bob").await.unwrap();
}

#[tokio::test]
async fn nothing_is_replaced_unasked_and_nothing_but_a_backup_by_a_backup() {
    let place = Place::new();
    place.create_user("alice").await;
    let file = place.back_up("backup").await;
    let first = fs::read(&file).unwrap();
    place.create_user("bob").await;

    let refused = place.run(&["backup", &file]).await;
    assert_eq!(
        refused.failed(1),
        format!("{file} is there already: with --replace a new backup takes its place")
    );
    assert_eq!(fs::read(&file).unwrap(), first);
    let made = place.run(&["backup", &file, "--replace", "--json"]).await.succeeded().object();
    assert_eq!(made, json!({ "file": file, "users": 2, "bytes": fs::metadata(&file).unwrap().len() }));

    for precious in ["signet-data/master.key", "signet-data/signet.db"] {
        let before = fs::read(place.path(precious)).unwrap();
        let refused = place.run(&["backup", precious, "--replace"]).await;
        assert_eq!(
            refused.failed(1),
            format!("{precious} cannot be written: it is a file that the service itself needs: ./{precious}")
        );
        assert_eq!(fs::read(place.path(precious)).unwrap(), before);
    }
    let nowhere = place.run(&["backup", "/nowhere/backup"]).await;
    assert_eq!(
        nowhere.failed(1),
        "/nowhere/backup cannot be written: No such file or directory (os error 2)"
    );

    let refused = place.run(&["restore", &file]).await;
    let expected =
        "./signet-data/signet.db is there already: with --replace it gives way, and what is in it is lost";
    assert_eq!(refused.failed(1), expected);
    assert_eq!(place.usernames().await, ["alice", "bob"]);
}

#[tokio::test]
async fn no_database_is_replaced_while_it_is_used_or_used_while_it_is_replaced() {
    let place = Place::new();
    place.create_user("alice").await;
    let file = place.back_up("backup").await;
    let service = place.serve(&[]).await;
    let client = service.client().await;
    client.sign_up("bob").await.unwrap();
    let refused = place.run(&["restore", &file, "--replace"]).await;
    let expected = "./signet-data/signet.db cannot be restored: a service or another command has it open";
    assert_eq!(refused.failed(1), expected);
    client.log_in("bob", PASSWORD).await.unwrap();
    // What only stands in the write-ahead log when it is killed is not read into what takes its place.
    service.kill().await;
    assert!(place.data("signet.db-wal").metadata().unwrap().len() > 0);

    let restored = place.run(&["restore", &file, "--replace"]).await.succeeded().stdout;
    assert_eq!(restored, "Restored ./signet-data/signet.db: 1 users.\n");
    assert!(!place.data("signet.db-wal").exists());
    assert_eq!(place.usernames().await, ["alice"]);

    let restoring = File::open(place.data("signet.db.lock")).unwrap();
    restoring.lock().unwrap();
    let refused = place.run(&["serve", "--log-level=off"]).await;
    assert!(refused.failed(2).contains("it is being restored"), "{refused:?}");
    drop(restoring);
    place.serve(&[]).await;
}

#[tokio::test]
async fn a_backup_that_is_cut_off_or_changed_is_refused_and_nothing_is_touched() {
    let place = Place::new();
    place.create_user("alice").await;
    let file = place.back_up("backup").await;
    let whole = fs::read(&file).unwrap();
    let (middle, end) = (whole.len() / 2, whole.len() - 1);
    let mut changed = whole.clone();
    changed[middle] ^= 1;
    let database = fs::read(place.data("signet.db")).unwrap();
    let no_backup = "is no backup that `signet backup` made, or its end is missing";
    let damaged = "is damaged: its SHA-256 is not the one that it was written with";
    let cases = [
        (vec![], no_backup),
        (whole[..end].to_vec(), no_backup),
        (whole[..middle].to_vec(), no_backup),
        (database, no_backup),
        ([&whole[..middle], &whole[middle + 1..]].concat(), damaged),
        (changed, damaged),
    ];
    let other = place.other_with_its_key();
    for (content, expected) in cases {
        fs::write(&file, content).unwrap();
        for place in [&place, &other] {
            let refused = place.run(&["restore", &file, "--replace"]).await;
            assert_eq!(refused.failed(1), format!("{file} {expected}"));
        }
        assert_eq!(place.usernames().await, ["alice"]);
        assert!(!other.data("signet.db").exists() && !other.data("signet.db.part").exists());
    }
    let missing = Place::new();
    let refused = missing.run(&["restore", "nowhere"]).await;
    assert_eq!(refused.failed(1), "nowhere cannot be read: No such file or directory (os error 2)");
    assert!(!missing.has_data());
}

#[tokio::test]
async fn a_restore_that_fails_at_its_end_says_why_and_leaves_no_lock_behind() {
    let place = Place::new();
    place.create_user("alice").await;
    let file = place.back_up("backup").await;
    let other = place.other_with_its_key();
    fs::write(other.data("signet.db-wal"), "another's").unwrap();
    let refused = other.run(&["restore", &file]).await;
    assert!(refused.failed(1).contains("signet.db-wal is there, of a database that is not"), "{refused:?}");
    let left = fs::read_dir(other.data("")).unwrap().map(|entry| entry.unwrap().file_name());
    let mut left: Vec<_> = left.collect();
    left.sort();
    assert_eq!(left, ["master.key", "signet.db-wal"]);
}

#[tokio::test]
async fn a_backup_is_restored_with_its_own_master_key_alone() {
    let place = Place::new();
    place.serve(&[]).await.stop().await;
    let file = place.back_up("backup").await;
    let other = Place::new();
    let refused = other.run(&["restore", &file]).await;
    let expected = "--data-dir (SIGNET_DATA_DIR): ./signet-data/master.key is missing: without it the signing keys in the \
                    database cannot be opened; restore it, or set --master-key";
    assert_eq!(refused.failed(2), expected);
    let wrong = format!("--master-key={}", "0f".repeat(32));
    let refused = other.run(&["restore", &file, &wrong]).await;
    let expected = "--master-key (SIGNET_MASTER_KEY): does not open the signing keys in the backup: restore with the one of \
                    the time when it was made";
    assert_eq!(refused.failed(2), expected);
    assert!(!other.data("signet.db").exists() && !other.data("signet.db.part").exists());

    let right = format!("--master-key-file={}", place.data("master.key").display());
    other.run(&["restore", &file, &right]).await.succeeded();
    assert!(!other.data("master.key").exists(), "a key that is given is written nowhere");
    other.serve(&[&right]).await;
}

#[tokio::test]
async fn sessions_go_on_or_are_ended_as_the_operator_says() {
    let place = Place::new();
    let service = place.serve(&[]).await;
    let client = service.client().await;
    client.sign_up("alice").await.unwrap();
    let token = client.log_in("alice", PASSWORD).await.unwrap();
    let file = place.back_up("backup").await;
    service.stop().await;
    let restored = place.run(&["restore", &file, "--replace", "--end-sessions"]).await.succeeded().stdout;
    assert_eq!(restored, "Restored ./signet-data/signet.db: 1 users. Ended 1 session(s).\n");
    let service = place.serve(&[]).await;
    let client = service.client().await;
    assert_eq!(reason(&client.get_me(&token).await), "TOKEN_REVOKED");
    client.log_in("alice", PASSWORD).await.unwrap();
}

#[tokio::test]
async fn a_backup_of_an_older_schema_is_migrated_and_one_of_a_newer_schema_taken_if_it_can_be_used() {
    let place = Place::new();
    let older = place.path("older.db");
    File::create(&older).unwrap().set_permissions(fs::Permissions::from_mode(0o600)).unwrap();
    let db = sea_orm::Database::connect(format!("sqlite:{}", older.display())).await.unwrap();
    Migrator::up(&db, Some(1)).await.unwrap();
    db.close().await.unwrap();
    let url = format!("--database-url=sqlite:{}", older.display());
    let key = format!("--master-key={}", "0f".repeat(32));
    let file = place.path("backup").display().to_string();
    place.run(&["backup", &file, &url, &key]).await.succeeded();

    let target = format!("--database-url=sqlite:{}", place.path("target.db").display());
    let restored = place.run(&["restore", &file, &target, &key, "--json"]).await.succeeded().object();
    let applied: Vec<_> =
        restored["migrations_applied"].as_array().unwrap().iter().map(Value::to_string).collect();
    assert_eq!(applied.len(), Migrator::migrations().len() - 1, "{applied:?}");
    let service = place.serve(&[&target, &key]).await;
    service.client().await.sign_up("alice").await.unwrap();
    service.stop().await;

    let db =
        sea_orm::Database::connect(format!("sqlite:{}", place.path("target.db").display())).await.unwrap();
    let with_newer = async |name: &str| {
        let newer = format!("INSERT INTO seaql_migrations (version, applied_at) VALUES ('{name}', 0)");
        db.execute_unprepared(&newer).await.unwrap();
        let file = place.path(name).display().to_string();
        place.run(&["backup", &file, &target, &key]).await.succeeded();
        place.run(&["restore", &file, &url, &key, "--replace", "--json"]).await
    };
    let expanded = with_newer("m29990101_000099_expands").await.succeeded();
    assert_eq!(
        (&expanded.object()["users"], &expanded.object()["migrations_applied"]),
        (&json!(1), &json!([]))
    );
    assert!(expanded.stderr.contains("m29990101_000099_expands"), "{expanded:?}");
    let refused = with_newer("m29990101_000100_contracts_needs_000099").await;
    assert_eq!((refused.code, refused.stdout.as_str()), (Some(1), ""), "{refused:?}");
    assert!(refused.stderr.contains("(m29990101_000100_contracts_needs_000099)"), "{refused:?}");
}

#[tokio::test]
async fn every_sign_up_that_was_acknowledged_before_a_backup_is_in_it_and_none_fails_meanwhile() {
    const CLIENTS: usize = 4;
    const BACKUPS: usize = 4;
    let place = Place::new();
    let service = place.serve(&[]).await;
    place.fill().await;
    let stop = Arc::new(AtomicBool::new(false));
    let (sender, mut acknowledged) = tokio::sync::mpsc::unbounded_channel();
    let mut clients = JoinSet::new();
    for number in 0..CLIENTS {
        let (client, sender, stop) = (service.client().await, sender.clone(), Arc::clone(&stop));
        clients.spawn(async move {
            for count in 0.. {
                if stop.load(Ordering::SeqCst) {
                    break;
                }
                let username = format!("user-{number}-{count}");
                client.sign_up(&username).await.expect("no call fails because of a backup");
                sender.send(username).unwrap();
            }
        });
    }
    let mut before = Vec::new();
    let other = place.other_with_its_key();
    for round in 0..BACKUPS {
        // The load goes on: there is something new before each backup.
        before.push(acknowledged.recv().await.unwrap());
        while let Ok(username) = acknowledged.try_recv() {
            before.push(username);
        }
        let file = place.back_up(&format!("backup-{round}")).await;
        other.run(&["restore", &file, "--replace"]).await.succeeded();
        let restored: std::collections::HashSet<_> = other.usernames().await.into_iter().collect();
        let missing: Vec<_> = before.iter().filter(|username| !restored.contains(*username)).collect();
        assert!(missing.is_empty(), "{missing:?} of {}", before.len());
    }
    stop.store(true, Ordering::SeqCst);
    clients.join_all().await;
}

/// Kills `process` when there have been so many looks at a file in the making, or lets it end first.
async fn kill_amid(process: Process, draft: &Path, looks: usize) {
    let mut seen = 0;
    while seen < looks && !process.has_ended() {
        seen += usize::from(draft.exists());
        yield_now().await;
    }
    // Dropped, it is killed by SIGKILL.
    drop(process);
}

#[tokio::test]
async fn a_backup_that_is_killed_is_there_whole_or_not_at_all() {
    let place = Place::new();
    place.create_user("alice").await;
    place.fill().await;
    let other = place.other_with_its_key();
    let (file, mut cut) = (place.path("backup"), 0);
    for looks in KILL_AFTER {
        let process = place.signet(&["backup", "backup"]).start();
        kill_amid(process, &place.path("backup.part"), looks).await;
        if file.exists() {
            other.run(&["restore", &file.display().to_string(), "--replace"]).await.succeeded();
            fs::remove_file(&file).unwrap();
        } else {
            cut += 1;
        }
    }
    assert!(cut > 0, "none was killed in time");
    let file = place.back_up("backup").await;
    assert!(!place.path("backup.part").exists(), "what the killed ones left is gone");
    other.run(&["restore", &file, "--replace"]).await.succeeded();
    assert_eq!(other.usernames().await.len(), 1 + MANY as usize);
}

#[tokio::test]
async fn a_restore_that_is_killed_leaves_the_one_database_or_the_other() {
    let place = Place::new();
    place.create_user("alice").await;
    place.fill().await;
    let file = place.back_up("backup").await;
    let (mut old, mut new) = (0, 0);
    for looks in KILL_AFTER {
        let service = place.serve(&[]).await;
        let username = format!("since-{looks}");
        service.client().await.sign_up(&username).await.unwrap();
        service.kill().await;
        let process = place.signet(&["restore", &file, "--replace"]).start();
        kill_amid(process, &place.data("signet.db.part"), looks).await;
        let found = place.usernames().await;
        if found.contains(&username) {
            old += 1;
        } else {
            assert_eq!(found.len(), 1 + MANY as usize, "the backup, whole");
            new += 1;
        }
    }
    assert!(old > 0, "none was killed in time: {new} were not");
    place.run(&["restore", &file, "--replace"]).await.succeeded();
    assert_eq!(place.usernames().await.len(), 1 + MANY as usize);
    assert!(!place.data("signet.db.part").exists());
    place.serve(&[]).await.client().await.log_in("alice", PASSWORD).await.unwrap();
}

#[tokio::test]
async fn a_database_server_is_backed_up_by_its_own_programs() {
    let place = Place::new();
    let key = format!("--master-key={}", "0f".repeat(32));
    for (url, program) in [("postgres", "pg_dump"), ("mysql", "mariadb-dump or mysqldump")] {
        let url = format!("--database-url={url}://signet:hunter2@127.0.0.1:1/signet");
        for command in ["backup", "restore"] {
            let refused = place.run(&[command, "file", &url, &key]).await;
            let sentence = refused.failed(2);
            assert!(sentence.contains(program) && !sentence.contains("hunter2"), "{sentence}");
        }
    }
    assert!(!place.has_data() && !place.path("file").exists());
}

#[tokio::test]
async fn a_program_is_told_by_a_reason_what_is_wrong_with_a_backup() {
    let place = Place::new();
    place.create_user("alice").await;
    let file = place.back_up("backup").await;
    let reason = async |args: &[&str]| {
        let refused = place.run(&[args, &["--json", "--audit-log=off"]].concat()).await;
        assert_eq!((refused.code, refused.stdout.as_str()), (Some(1), ""), "{refused:?}");
        let told: Value = serde_json::from_str(&refused.stderr).unwrap();
        told["reason"].as_str().unwrap().to_owned()
    };
    assert_eq!(reason(&["backup", &file]).await, "FILE_EXISTS");
    assert_eq!(reason(&["backup", "nowhere/backup"]).await, "FILE_UNUSABLE");
    assert_eq!(reason(&["restore", &file]).await, "FILE_EXISTS");
    assert_eq!(reason(&["restore", "nowhere", "--replace"]).await, "FILE_UNUSABLE");
    let service = place.serve(&[]).await;
    assert_eq!(reason(&["restore", &file, "--replace"]).await, "DATABASE_IN_USE");
    service.stop().await;
    let mut damaged = fs::read(&file).unwrap();
    damaged[0] ^= 1;
    fs::write(&file, &damaged).unwrap();
    assert_eq!(reason(&["restore", &file, "--replace"]).await, "BACKUP_UNUSABLE");
    fs::write(&file, "nothing").unwrap();
    assert_eq!(reason(&["restore", &file, "--replace"]).await, "BACKUP_UNUSABLE");
}
