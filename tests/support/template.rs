//! Owns the schema that a test's database begins with: the migrations run once, and every test gets a copy of what came of it, so that a
//! new migration costs each run of the tests and not each test.

use std::{
    fs::{self, DirBuilder, OpenOptions},
    io::Write,
    os::unix::fs::{DirBuilderExt, OpenOptionsExt},
    path::Path,
    time::Duration,
};

use aws_lc_rs::digest::{Context, SHA256};
use sea_orm::{ConnectionTrait, Database, DatabaseConnection, Statement};
use signet::{
    base::Entropy,
    store::{Location, PoolSettings, Store},
};
use tempfile::TempDir;
use tokio::sync::OnceCell;

use super::database::{MASTER_KEY, TestDatabase};

/// How long the migrations may wait for others' locks, and a server may take to answer: nobody else knows the database yet.
const PATIENCE: Duration = Duration::from_mins(1);

// What makes a template is boxed: it would lie on the stack of whoever only copies it.

/// Puts the embedded database into `data_dir`, with its schema and a master key, as `signet migrate up` would.
pub(crate) async fn embed(data_dir: &Path) {
    static DATABASE: OnceCell<Vec<u8>> = OnceCell::const_new();
    let database = DATABASE.get_or_init(|| {
        Box::pin(async {
            let directory = TempDir::new().unwrap();
            let path = directory.path().join("signet.db");
            let store = Store::open_sqlite(path.clone(), Entropy::system()).await.unwrap();
            store.migrate(PATIENCE).await.unwrap();
            // All is in the one file then.
            store.close().await;
            fs::read(path).unwrap()
        })
    });
    let database = database.await;
    DirBuilder::new().recursive(true).mode(0o700).create(data_dir).unwrap();
    for (name, content) in [("signet.db", &**database), ("master.key", MASTER_KEY.as_bytes())] {
        let mut new = OpenOptions::new();
        let file = new.write(true).create_new(true).mode(0o600).open(data_dir.join(name));
        file.unwrap().write_all(content).unwrap();
    }
}

/// The name of a database on the PostgreSQL server `admin` that is copied for each test. It stays there: the next process that runs tests
/// of the same migrations finds it.
pub(super) async fn postgres(admin: &str) -> &'static str {
    static NAME: OnceCell<String> = OnceCell::const_new();
    let name = NAME.get_or_init(|| {
        Box::pin(async {
            let name = format!("signet_template_{}", fingerprint());
            let db = Database::connect(admin).await.unwrap();
            let is_there = format!("SELECT count(*) FROM pg_database WHERE datname = '{name}'");
            if column::<i64>(&db, &is_there).await == [0] {
                let made = made().await;
                // Whoever is first gives it the name, with all that belongs in it; others use that one then, and theirs goes.
                let renaming = format!("ALTER DATABASE {} RENAME TO {name}", made.name());
                match db.execute_unprepared(&renaming).await {
                    Ok(_) => made.keep(),
                    Err(error) => assert_eq!(column::<i64>(&db, &is_there).await, [1], "{error}"),
                }
            }
            db.close().await.unwrap();
            name
        })
    });
    name.await
}

/// The statements by which MySQL gets the schema at once: it copies no database.
pub(super) async fn mysql() -> &'static str {
    static STATEMENTS: OnceCell<String> = OnceCell::const_new();
    STATEMENTS.get_or_init(|| Box::pin(async { statements(&made().await.url()).await })).await
}

/// The statements that make what MySQL's database at `url` has: its tables, and what the migrations have written.
pub(super) async fn statements(url: &str) -> String {
    let db = Database::connect(url).await.unwrap();
    let mut statements = vec!["SET foreign_key_checks = 0".to_owned()];
    let tables = "SELECT table_name FROM information_schema.tables WHERE table_schema = DATABASE()";
    for table in column::<String>(&db, tables).await {
        let show = Statement::from_string(db.get_database_backend(), format!("SHOW CREATE TABLE {table}"));
        let shown = db.query_one_raw(show).await.unwrap().expect("the table");
        statements.push(shown.try_get_by_index(1).unwrap());
        // Bytes are no text: read as one, those that it cannot have would be lost.
        let columns = format!(
            "SELECT GROUP_CONCAT(IF(data_type IN ('binary', 'varbinary', 'blob'), \
             CONCAT('CONCAT(''UNHEX('', QUOTE(HEX(', column_name, ')), '')'')'), \
             CONCAT('QUOTE(', column_name, ')')) ORDER BY ordinal_position) \
             FROM information_schema.columns WHERE table_schema = DATABASE() AND table_name = '{table}'"
        );
        let quoted = column::<String>(&db, &columns).await.concat();
        let rows = format!("SELECT CONVERT(CONCAT_WS(',', {quoted}) USING utf8mb4) FROM {table}");
        let rows = column::<String>(&db, &rows).await.into_iter();
        statements.extend(rows.map(|row| format!("INSERT INTO {table} VALUES ({row})")));
    }
    db.close().await.unwrap();
    statements.join(";\n")
}

/// A new database to which the migrations were applied.
async fn made() -> TestDatabase {
    let made = TestDatabase::empty().await.expect("a server");
    let Ok(Location::Server(url)) = made.url().parse() else { panic!("{} names no server", made.url()) };
    let settings = PoolSettings {
        size: 1,
        acquire_timeout: PATIENCE,
        statement_timeout: PATIENCE,
        max_lifetime: PATIENCE,
    };
    let store = Store::connect(&url, settings, Entropy::system()).await.unwrap();
    store.migrate(PATIENCE).await.unwrap();
    store.close().await;
    made
}

/// What tells these migrations from any others.
fn fingerprint() -> String {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("migrations/src");
    let mut files: Vec<_> = fs::read_dir(folder).unwrap().map(|file| file.unwrap().path()).collect();
    files.sort();
    let mut all = Context::new(&SHA256);
    for file in files {
        all.update(&fs::read(file).unwrap());
    }
    hex::encode(&all.finish().as_ref()[..8])
}

/// The first column of what `sql` answers.
async fn column<T: sea_orm::TryGetable>(db: &DatabaseConnection, sql: &str) -> Vec<T> {
    let rows = db.query_all_raw(Statement::from_string(db.get_database_backend(), sql)).await.unwrap();
    rows.iter().map(|row| row.try_get_by_index(0).unwrap()).collect()
}
