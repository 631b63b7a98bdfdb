//! Owns what changing the schema promises: wherever it is killed it can be run again, any number do it at once, and it starts from
//! every schema that there has been.

use std::{
    collections::BTreeSet,
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
};

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use sea_orm::{ConnectionTrait, Database, DatabaseConnection, DbBackend, Statement};
use serde_json::{Value, json};
use signet_migrations::{Migrator, MigratorTrait, names};
use tokio::{task::JoinSet, time::timeout};

use crate::{
    client::{PASSWORD, reason},
    gate::{Gate, killed_at_moments},
    harness::{PATIENCE, Place},
    support::runner::Process,
};

/// How many of the newest migrations are killed before each of their messages to the database.
const NEWEST: usize = 2;

/// How many kills all migrations get from an empty database on: before messages that are equally far apart, and others for each number of
/// migrations, so that in time it is each. `usize::MAX` kills before all of them at once: for a change of what all migrations share.
const SPREAD_KILLS: usize = 12;

/// How many are killed, or lifted from an old schema, at the same time.
const AT_ONCE: usize = 4;

/// How many kills SQLite's migration is given, at moments that are spread over what it takes.
const SQLITE_KILLS: u32 = 16;

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

/// The schema, and how many rows each table has: what is there after the migrations.
async fn outcome(place: &Place) -> Vec<String> {
    let db = place.connect().await;
    let mut lines = schema(&db).await;
    // What has columns is a table: an index, which SQLite lists among them, has none.
    let columns = lines.iter().filter_map(|line| line.split_once('.'));
    let columns = columns.filter(|(table, column)| !table.contains(' ') && !column.starts_with(' '));
    let tables: BTreeSet<String> = columns.map(|(table, _)| table.to_owned()).collect();
    for table in &tables {
        let count = format!("SELECT count(*) FROM {table}");
        let counted =
            db.query_one_raw(Statement::from_string(db.get_database_backend(), count)).await.unwrap();
        lines.push(format!("{table}: {} rows", counted.unwrap().try_get_by_index::<i64>(0).unwrap()));
    }
    db.close().await.unwrap();
    lines
}

/// Asserts that a migration that was cut off goes on, and leaves what an undisturbed one does.
async fn goes_on(place: &Place, expected: &[String]) {
    place.run(&["migrate", "up"]).await.succeeded();
    assert_eq!(outcome(place).await, expected);
}

/// Kills the migration of `place` when it is about to send its message after the first `messages`; false if it had been done by then.
async fn killed_after(messages: usize, place: &Place) -> bool {
    let gate = Gate::before(place.server(), messages).await;
    let url = format!("--database-url={}", place.url_at(&gate.addr.to_string()));
    let migration = place.signet(&["migrate", "up", "--json", &url]).start();
    gate.messages_of(migration).await.is_none()
}

/// Kills the migration of a copy of `start` before each message of `messages`, until it has no more; returns how many it had.
async fn killed_before_each(
    messages: impl Iterator<Item = usize> + Send + 'static,
    start: &Arc<Place>,
    expected: &Arc<Vec<String>>,
) -> usize {
    let (messages, kills) = (Arc::new(Mutex::new(messages)), Arc::new(AtomicUsize::new(0)));
    let mut killing = JoinSet::new();
    for _ in 0..AT_ONCE {
        let (start, expected) = (Arc::clone(start), Arc::clone(expected));
        let (messages, kills) = (Arc::clone(&messages), Arc::clone(&kills));
        killing.spawn(async move {
            loop {
                let Some(next) = messages.lock().unwrap().next() else { return };
                let place = start.copy().await;
                let is_cut = killed_after(next, &place).await;
                goes_on(&place, &expected).await;
                if !is_cut {
                    return;
                }
                kills.fetch_add(1, Ordering::Relaxed);
            }
        });
    }
    killing.join_all().await;
    kills.load(Ordering::Relaxed)
}

/// The newest are killed before each message, as each migration was that is older: it does not change any more. What it shares with others
/// may, so all of them are killed now and then.
#[tokio::test]
async fn a_migration_that_is_killed_anywhere_is_finished_by_the_next() {
    let migrated = Place::migrated().await;
    let expected = Arc::new(outcome(&migrated).await);
    if migrated.is_embedded() {
        let goes_on = async |place: &Place| goes_on(place, &expected).await;
        return killed_at_moments(SQLITE_KILLS, &["migrate", "up"], async || Place::new(), goes_on).await;
    }
    let names = names();
    let older = Place::on_database().await;
    let db = older.connect().await;
    Migrator::up(&db, Some(u32::try_from(names.len() - NEWEST).unwrap())).await.unwrap();
    db.close().await.unwrap();
    let kills = killed_before_each(0.., &Arc::new(older), &expected).await;
    assert!(kills > 20, "only {kills} messages make {NEWEST} migrations?");
    println!("killed before each of {kills} messages of the newest {NEWEST} migrations");

    // From nothing on, as a first start has it.
    let (undisturbed, empty) = (Place::on_database().await, Arc::new(Place::on_database().await));
    let gate = Gate::before(undisturbed.server(), usize::MAX).await;
    let url = format!("--database-url={}", undisturbed.url_at(&gate.addr.to_string()));
    undisturbed.run(&["migrate", "up", &url]).await.succeeded();
    assert_eq!(outcome(&undisturbed).await, *expected);
    let messages = gate.passed.load(Ordering::Relaxed);
    let apart = (messages / SPREAD_KILLS).max(1);
    let first = names.len() % apart;
    killed_before_each((first..messages).step_by(apart), &empty, &expected).await;
    println!("killed before each {apart}th of all {messages} messages, from message {first} on");
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
async fn a_database_that_is_being_copied_to_is_opened_by_no_command() {
    let place = Place::migrated().await;
    let db = place.connect().await;
    let mark = "INSERT INTO copies (direction, place, create_time) VALUES ('from', 'elsewhere', 0)";
    db.execute_unprepared(mark).await.unwrap();
    db.close().await.unwrap();
    for command in ["serve", "users list", "users export", "keys list", "migrate up", "migrate status"] {
        let refused = place.run(&command.split(' ').collect::<Vec<_>>()).await;
        assert!(refused.failed(2).contains("is being copied from elsewhere"), "{command}: {refused:?}");
    }
}

/// The schemas that there have been, by the number of their migrations, from an empty one on.
async fn schemas() -> Vec<Vec<String>> {
    let place = Place::on_database().await;
    let db = if place.is_embedded() {
        Database::connect("sqlite::memory:").await.unwrap()
    } else {
        place.connect().await
    };
    let mut schemas = vec![Vec::new()];
    for _ in names() {
        Migrator::up(&db, Some(1)).await.unwrap();
        schemas.push(schema(&db).await);
    }
    db.close().await.unwrap();
    schemas
}

/// The lines of `schema` but for the indexes that a job of the service builds where there are users, which the tests of that job show.
fn without_built_later(schema: &[String]) -> Vec<&String> {
    let indexes = ["username_key", "email_key", "display_name_key", "create_time", "login_time"];
    let is_later = |line: &&String| indexes.iter().any(|index| line.contains(&format!("users_{index}")));
    schema.iter().filter(|line| !is_later(line)).collect()
}

#[tokio::test]
async fn taking_migrations_back_leads_to_each_schema_that_there_has_been() {
    let (place, mut schemas) = (Place::migrated().await, schemas().await);
    let db = place.connect().await;
    assert_eq!(schema(&db).await, schemas.pop().unwrap());
    while schemas.len() > 1 {
        Migrator::down(&db, Some(1)).await.unwrap();
        assert_eq!(schema(&db).await, schemas.pop().unwrap(), "with {} migrations", schemas.len());
    }
}

/// The columns of the tables in which users, sessions and keys are, of a schema.
fn accounts(schema: &[String]) -> Vec<&String> {
    let tables = ["users.", "usernames.", "sessions.", "signing_keys."];
    schema.iter().filter(|line| tables.iter().any(|table| line.starts_with(table))).collect()
}

/// From each schema in which users, sessions or keys were kept in another way than in the one before it, and from the newest but one. What
/// is between two of these is on the way from the older one.
#[tokio::test]
async fn users_sessions_and_keys_of_every_schema_that_there_has_been_are_there_after_its_migration() {
    let schemas = Arc::new(schemas().await);
    let newest = names().len();
    let other =
        (1..newest).filter(|&at| at == newest - 1 || accounts(&schemas[at]) != accounts(&schemas[at - 1]));
    let lifted = Arc::new(Mutex::new(other.collect::<Vec<_>>()));
    let mut lifting = JoinSet::new();
    for _ in 0..AT_ONCE {
        let (lifted, schemas) = (Arc::clone(&lifted), Arc::clone(&schemas));
        lifting.spawn(async move {
            loop {
                let Some(at) = lifted.lock().unwrap().pop() else { return };
                lifted_from(at, &schemas).await;
            }
        });
    }
    lifting.join_all().await;
}

/// Asserts that what the service has written is there after it went back to the schema with `migrations`, and on from there.
async fn lifted_from(migrations: usize, schemas: &[Vec<String>]) {
    let (names, place) = (names(), Place::migrated().await);
    let service = place.serve(&[]).await;
    let client = service.client().await;
    client.sign_up("alice").await.unwrap();
    let tokens = client.open_session("alice", PASSWORD).await.unwrap();
    let key = service.started["signing_key"].clone();
    service.stop().await;

    let db = place.connect().await;
    Migrator::down(&db, Some(u32::try_from(names.len() - migrations).unwrap())).await.unwrap();
    assert_eq!(schema(&db).await, schemas[migrations], "with {migrations} migrations");
    let has_sessions = schemas[migrations].iter().any(|line| line.starts_with("sessions.refresh_newest"));
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
    assert_eq!(applied, json!(names[migrations..]));
    assert_eq!(
        without_built_later(&schema(&place.connect().await).await),
        without_built_later(&schemas[names.len()])
    );
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
