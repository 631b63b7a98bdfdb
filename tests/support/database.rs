//! Owns the database of one test: the embedded one, or a fresh one on the server that `SIGNET_TEST_DATABASE_URL` names
//! (`scripts/databases` starts one).

use std::{env, path::Path, time::Duration};

use sea_orm::{ConnectionTrait, Database, DatabaseConnection};

/// What the private servers of the tests are told to seal keys with.
pub(crate) const MASTER_KEY: &str = "00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff";

/// How long a database may take to go.
const DROP_TIMEOUT: Duration = Duration::from_secs(20);

/// A database on a server; it goes with the test.
pub(crate) struct TestDatabase {
    admin: String,
    name: String,
}

impl TestDatabase {
    /// A fresh database, if the tests are to use a server.
    pub(crate) async fn new() -> Option<Self> {
        let admin = env::var("SIGNET_TEST_DATABASE_URL").ok()?;
        // A name that no other test has, in this process or another.
        let name = format!("signet_{}", uuid::Uuid::now_v7().simple());
        let database = Self { admin, name };
        database.administer("CREATE DATABASE").await;
        Some(database)
    }

    /// Its URL.
    pub(crate) fn url(&self) -> String {
        let (server, _) =
            self.admin.rsplit_once('/').expect("SIGNET_TEST_DATABASE_URL ends in `/` and a name");
        format!("{server}/{}", self.name)
    }

    async fn administer(&self, what: &str) {
        let db =
            Database::connect(&self.admin).await.expect("the server of SIGNET_TEST_DATABASE_URL answers");
        db.execute_unprepared(&format!("{what} {}", self.name)).await.expect(what);
        db.close().await.unwrap();
    }
}

impl Drop for TestDatabase {
    fn drop(&mut self) {
        // PostgreSQL drops no database that a connection is open to, unless forced.
        let force = if self.admin.starts_with("postgres") { " WITH (FORCE)" } else { "" };
        let drop = format!("DROP DATABASE {}{force}", self.name);
        std::thread::scope(|scope| {
            // The test's own runtime may be the one that is ending.
            let dropped = scope.spawn(|| {
                let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
                let dropping = async {
                    let db = Database::connect(&self.admin).await.unwrap();
                    db.execute_unprepared(&drop).await.unwrap();
                };
                // A server that a failed test has left without its standby would not answer for ever.
                runtime.block_on(async { tokio::time::timeout(DROP_TIMEOUT, dropping).await }).unwrap();
            });
            // What stays is gone with the server.
            let _ = dropped.join();
        });
    }
}

/// A connection behind the service's back, as an operator would have one: to `database`, or to the embedded one in `data_dir`.
pub(crate) async fn connect(database: Option<&TestDatabase>, data_dir: &Path) -> DatabaseConnection {
    let embedded = || format!("sqlite:{}", data_dir.join("signet.db").display());
    Database::connect(database.map_or_else(embedded, TestDatabase::url)).await.unwrap()
}
