//! Owns what changing the schema promises: wherever it is killed it can be run again, any number do it at once, and it starts from
//! every schema that there has been.

use std::{
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
};

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use sea_orm::{ConnectionTrait, Database, DatabaseConnection, DbBackend, Statement};
use serde_json::{Value, json};
use signet_migrations::{Migrator, MigratorTrait, names};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt, copy},
    net::{TcpListener, TcpStream},
    sync::Notify,
    task::JoinSet,
    time::{sleep, timeout},
};

use crate::{
    client::{PASSWORD, reason},
    harness::{PATIENCE, Place},
    support::runner::Process,
};

/// How many migrations are killed at the same time.
const AT_ONCE: usize = 4;

/// How many kills SQLite's migration is given, at moments that are spread over what it takes.
const SQLITE_KILLS: u32 = 16;

/// Between a program and its database: passes the program's first messages, and no more.
struct Gate {
    addr: SocketAddr,
    shut: Arc<Notify>,
}

impl Gate {
    async fn before(server: String, messages: usize) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let (addr, shut) = (listener.local_addr().unwrap(), Arc::new(Notify::new()));
        let (passed, told) = (Arc::new(AtomicUsize::new(0)), Arc::clone(&shut));
        tokio::spawn(async move {
            while let Ok((program, _)) = listener.accept().await {
                let server = TcpStream::connect(&server).await.unwrap();
                let (mut requests, mut answers) = program.into_split();
                let (mut from_server, mut to_server) = server.into_split();
                tokio::spawn(async move { copy(&mut from_server, &mut answers).await });
                let (passed, told) = (Arc::clone(&passed), Arc::clone(&told));
                tokio::spawn(async move {
                    let mut message = vec![0; 65536];
                    while let Ok(length @ 1..) = requests.read(&mut message).await {
                        // The connection stays until the program has ended.
                        if passed.fetch_add(1, Ordering::Relaxed) >= messages {
                            told.notify_one();
                        } else if to_server.write_all(&message[..length]).await.is_err() {
                            return;
                        }
                    }
                });
            }
        });
        Self { addr, shut }
    }
}

/// Every table, column and index, as the database describes them.
async fn schema(db: &DatabaseConnection) -> Vec<String> {
    let of_server = |schema: &str| {
        format!(
            "SELECT CONCAT(table_name, '.', column_name, ' ', data_type, ' ', is_nullable) AS line \
             FROM information_schema.columns WHERE table_schema = {schema}"
        )
    };
    let sql = match db.get_database_backend() {
        DbBackend::Postgres => {
            of_server("'public'") + " UNION ALL SELECT indexdef FROM pg_indexes WHERE schemaname = 'public'"
        }
        DbBackend::MySql => {
            of_server("DATABASE()")
                + " UNION ALL SELECT CONCAT(table_name, ' ', index_name, ' ', seq_in_index, ' ', column_name) \
                   FROM information_schema.statistics WHERE table_schema = DATABASE()"
        }
        _ => "SELECT m.name || '.' || COALESCE(c.name, '') || ' ' || COALESCE(c.type, '') AS line \
              FROM sqlite_master m LEFT JOIN pragma_table_info(m.name) c WHERE m.name <> 'sqlite_sequence'"
            .to_owned(),
    };
    let rows = db.query_all_raw(Statement::from_string(db.get_database_backend(), sql)).await.unwrap();
    let mut lines: Vec<String> = rows.iter().map(|row| row.try_get_by_index(0).unwrap()).collect();
    lines.sort();
    lines
}

/// The claims of a token, decoded without looking at its signature.
fn claims(token: &str) -> Value {
    let payload = URL_SAFE_NO_PAD.decode(token.split('.').nth(1).unwrap()).unwrap();
    serde_json::from_slice(&payload).unwrap()
}

/// The schema that a migration makes which nothing disturbs.
async fn undisturbed() -> Vec<String> {
    let place = Place::on_database().await;
    place.run(&["migrate", "up"]).await.succeeded();
    schema(&place.connect().await).await
}

/// Asserts that a migration that was cut off goes on, and leaves what an undisturbed one does.
async fn goes_on(place: &Place, expected: &[String]) {
    place.run(&["migrate", "up"]).await.succeeded();
    assert_eq!(schema(&place.connect().await).await, expected);
    place.create_user("alice").await;
}

/// Kills a migration when it is about to send its message after the first `messages`; false if it had been done by then.
async fn killed_after(messages: usize, expected: &[String]) -> bool {
    let place = Place::on_database().await;
    let gate = Gate::before(place.server(), messages).await;
    let url = format!("--database-url={}", place.url_at(&gate.addr.to_string()));
    let migration = place.signet(&["migrate", "up", "--json", &url]).start();
    let is_cut = tokio::select! {
        () = gate.shut.notified() => true,
        finished = migration.finish() => {
            finished.succeeded();
            false
        }
    };
    // Letting go of the process has killed it: SIGKILL.
    goes_on(&place, expected).await;
    is_cut
}

#[tokio::test]
async fn a_migration_that_is_killed_anywhere_is_finished_by_the_next() {
    let expected = undisturbed().await;
    if Place::on_database().await.is_embedded() {
        return killed_at_moments(&expected).await;
    }
    let expected = Arc::new(expected);
    let next = Arc::new(AtomicUsize::new(0));
    let mut killing = JoinSet::new();
    for _ in 0..AT_ONCE {
        let (expected, next) = (Arc::clone(&expected), Arc::clone(&next));
        killing.spawn(
            async move { while killed_after(next.fetch_add(1, Ordering::Relaxed), &expected).await {} },
        );
    }
    killing.join_all().await;
    let kills = next.load(Ordering::Relaxed) - AT_ONCE;
    assert!(kills > 20, "only {kills} messages make a schema?");
    println!("killed before each of {kills} messages");
}

/// SQLite has no messages to count: its migration is killed after one part of its time, after two, and so on.
async fn killed_at_moments(expected: &[String]) {
    let place = Place::new();
    let start = tokio::time::Instant::now();
    place.run(&["migrate", "up"]).await.succeeded();
    let part = start.elapsed() / SQLITE_KILLS;
    for parts in 0..SQLITE_KILLS {
        let place = Place::new();
        let migration = place.signet(&["migrate", "up"]).start();
        sleep(part * parts).await;
        drop(migration);
        goes_on(&place, expected).await;
    }
}

#[tokio::test]
async fn of_migrations_at_once_each_is_applied_by_one_process_and_all_succeed() {
    let place = Place::on_database().await;
    let migrations: Vec<Process> =
        (0..6).map(|_| place.signet(&["migrate", "up", "--json"]).start()).collect();
    let mut applied = Vec::new();
    for migration in migrations {
        let object = migration.finish().await.succeeded().object();
        applied.extend(
            object["applied"].as_array().unwrap().iter().map(|name| name.as_str().unwrap().to_owned()),
        );
    }
    applied.sort();
    assert_eq!(applied, names());
}

#[tokio::test]
async fn users_sessions_and_keys_of_every_schema_that_there_has_been_are_there_after_its_migration() {
    let expected = undisturbed().await;
    let names = names();
    for age in 1..names.len() {
        let (place, fresh) = (Place::on_database().await, Place::on_database().await);
        let service = place.serve(&[]).await;
        let client = service.client().await;
        client.sign_up("alice").await.unwrap();
        let tokens = client.open_session("alice", PASSWORD).await.unwrap();
        let key = service.started["signing_key"].clone();
        service.stop().await;

        let db = place.connect().await;
        Migrator::down(&db, Some(u32::try_from(age).unwrap())).await.unwrap();
        let newly = if place.is_embedded() {
            Database::connect("sqlite::memory:").await.unwrap()
        } else {
            fresh.connect().await
        };
        Migrator::up(&newly, Some(u32::try_from(names.len() - age).unwrap())).await.unwrap();
        let of_then = schema(&newly).await;
        assert_eq!(schema(&db).await, of_then, "{age} migrations ago");
        let has_sessions = of_then.iter().any(|line| line.starts_with("sessions.refresh_newest"));
        db.close().await.unwrap();

        // Who waits for the migration is told which are missing; the embedded database does not wait.
        if !place.is_embedded() {
            let refused = place.signet(&["users", "list", "--auto-migrate=off"]).run().await;
            let sentence = refused.failed(2);
            assert!(
                sentence.contains(names.last().unwrap()) && sentence.contains("signet migrate up"),
                "{sentence}"
            );
        }
        let applied = place.run(&["migrate", "up", "--json"]).await.succeeded().object()["applied"].clone();
        assert_eq!(applied, json!(names[names.len() - age..]));
        assert_eq!(schema(&place.connect().await).await, expected);
        let service = place.serve(&[]).await;
        assert_eq!(service.started["signing_key"], key);
        let client = service.client().await;
        client.log_in("alice", PASSWORD).await.unwrap();
        if has_sessions {
            assert_eq!(reason(&client.get_me(&tokens.access_token).await), "OK");
            let next = client.refresh(&tokens.refresh_token.unwrap()).await.unwrap();
            let (login, next) = (claims(&tokens.access_token), claims(&next.access_token));
            assert_eq!(next["amr"], json!(["pwd"]));
            // A session of then that does not say when the password was shown was opened right after: in the next second, maybe.
            assert!([&login["auth_time"], &login["iat"]].contains(&&next["auth_time"]), "{login} {next}");
        }
        timeout(PATIENCE, service.stop()).await.unwrap();
    }
}
