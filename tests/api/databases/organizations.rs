//! Owns that there is room for organisations: each table since roles came says whose its rows are, and nothing in it is unique but within
//! one of them.

use std::collections::BTreeSet;

use sea_orm::{ConnectOptions, ConnectionTrait, Database, DatabaseConnection};
use signet_migrations::{Migrator, MigratorTrait};

use crate::support::database::migrations_from;

/// Tables that are about the database itself, whoever has rows in it.
const OF_THE_DATABASE: [&str; 1] = ["copies"];

/// The first column of what `query` finds.
async fn texts(db: &DatabaseConnection, query: &str) -> Vec<String> {
    let rows = db.query_all_raw(sea_orm::Statement::from_string(db.get_database_backend(), query)).await;
    rows.unwrap().iter().map(|row| row.try_get_by_index(0).unwrap()).collect()
}

async fn tables(db: &DatabaseConnection) -> BTreeSet<String> {
    texts(db, "SELECT name FROM sqlite_master WHERE type = 'table'").await.into_iter().collect()
}

/// By the embedded database: the migrations of all are the same.
#[tokio::test]
async fn every_table_since_roles_came_has_room_for_organisations() {
    let mut options = ConnectOptions::new("sqlite::memory:");
    // Each connection would have a database of its own.
    options.max_connections(1).min_connections(1);
    let db = Database::connect(options).await.unwrap();
    let all = u32::try_from(Migrator::migrations().len()).unwrap();
    Migrator::up(&db, Some(all - migrations_from("_roles"))).await.unwrap();
    let before = tables(&db).await;
    Migrator::up(&db, None).await.unwrap();
    let new: Vec<_> = tables(&db).await.difference(&before).cloned().collect();
    assert!(new.len() > 10, "{new:?}");
    for table in new.iter().filter(|table| !OF_THE_DATABASE.contains(&&***table)) {
        let column = format!(
            "SELECT name FROM pragma_table_info('{table}') WHERE name = 'organization_id' AND \"notnull\" = 1"
        );
        assert_eq!(texts(&db, &column).await, ["organization_id"], "{table}");
        let unique = format!("SELECT name FROM pragma_index_list('{table}') WHERE \"unique\" = 1");
        let unique = texts(&db, &unique).await;
        assert_ne!(unique, [""; 0], "{table} has a primary key of several columns");
        for index in unique {
            let first = format!("SELECT name FROM pragma_index_info('{index}') WHERE seqno = 0");
            assert_eq!(texts(&db, &first).await, ["organization_id"], "{table}: {index}");
        }
    }
}
