//! Owns what a migration promises to those who use the database meanwhile: it waits for the lock of a table briefly and again, so that
//! nobody else waits long behind it.

use sea_orm::{ConnectionTrait, DatabaseTransaction, DbBackend, Statement, TransactionTrait};
use serde_json::json;
use signet_migrations::{Migrator, MigratorTrait};
use tokio::time::timeout;

use crate::{
    harness::{PATIENCE, Place},
    support::database::migrations_from,
};

/// How often others are asked to read while a migration waits.
const READS: usize = 3;

/// The first of the migrations that are pending: it changes `sessions`.
const FIRST_PENDING: &str = "_roles";

/// A database whose newest migrations are pending; and a transaction that has read `sessions`, as a backup does. None for the embedded
/// database, where nobody writes while a migration does.
async fn locked() -> Option<(Place, DatabaseTransaction)> {
    let place = Place::migrated().await;
    place.server_kind()?;
    let db = place.connect().await;
    Migrator::down(&db, Some(migrations_from(FIRST_PENDING))).await.unwrap();
    let backup = db.begin().await.unwrap();
    read(&backup).await;
    Some((place, backup))
}

async fn read(db: &impl ConnectionTrait) {
    let count = Statement::from_string(db.get_database_backend(), "SELECT COUNT(*) FROM sessions");
    db.query_one_raw(count).await.unwrap();
}

/// Waits until somebody waits for the lock of a table.
async fn somebody_waits(db: &impl ConnectionTrait) {
    let sql = match db.get_database_backend() {
        DbBackend::Postgres => {
            "SELECT 1 FROM pg_locks JOIN pg_database d ON d.oid = database \
             WHERE d.datname = current_database() AND locktype = 'relation' AND NOT granted"
        }
        _ => {
            "SELECT 1 FROM information_schema.processlist \
             WHERE db = DATABASE() AND state = 'Waiting for table metadata lock'"
        }
    };
    let query = || Statement::from_string(db.get_database_backend(), sql);
    let waiting = async { while db.query_one_raw(query()).await.unwrap().is_none() {} };
    timeout(PATIENCE, waiting).await.expect("the migration waits for the lock");
}

#[tokio::test]
async fn nobody_waits_long_behind_a_migration_that_waits_for_a_backup() {
    let Some((place, backup)) = locked().await else { return };
    let migration = place.signet(&["migrate", "up", "--json"]).start();
    let others = place.connect().await;
    for _ in 0..READS {
        somebody_waits(&others).await;
        // Behind a migration that waited on, they would wait for the backup's end, which is below.
        timeout(PATIENCE, read(&others)).await.expect("others read while the migration waits");
    }
    assert!(!migration.has_ended(), "the backup goes on");
    backup.commit().await.unwrap();
    let applied = migration.finish().await.succeeded().object()["applied"].clone();
    let migrations = Migrator::migrations();
    let pending = migrations.iter().map(|migration| migration.name());
    let pending = pending.skip_while(|name| !name.ends_with(FIRST_PENDING));
    assert_eq!(applied, json!(pending.collect::<Vec<_>>()));
}

#[tokio::test]
async fn a_migration_says_what_it_waited_for_in_vain() {
    let Some((place, backup)) = locked().await else { return };
    let refused = place.run(&["migrate", "up", "--database-wait=2s", "--log-level=error"]).await;
    let sentence = refused.failed(1);
    let expected = "the schema could not be changed within 2s, since others use its tables in long transactions, such as a backup";
    assert!(sentence.starts_with(expected), "{sentence}");
    backup.commit().await.unwrap();
    place.run(&["migrate", "up"]).await.succeeded();
}
