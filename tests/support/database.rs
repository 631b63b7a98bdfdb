//! Owns the database of one test: the embedded one, or a fresh one on the server that `SIGNET_TEST_DATABASE_URL` names
//! (`scripts/databases` starts one).

use std::{env, mem, path::Path, time::Duration};

use sea_orm::{ConnectionTrait, Database, DatabaseConnection};
use signet_migrations::{Migrator, MigratorTrait};

use super::template;

/// What the private servers of the tests are told to seal keys with.
pub(crate) const MASTER_KEY: &str = "00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff";

/// How long a database may take to go.
const DROP_TIMEOUT: Duration = Duration::from_secs(20);

/// How many migrations there are from the one on whose name ends in `what`: as many as a schema lacks that is from before it.
pub(crate) fn migrations_from(what: &str) -> u32 {
    let migrations = Migrator::migrations();
    let before = migrations.iter().take_while(|migration| !migration.name().ends_with(what)).count();
    assert!(before < migrations.len(), "no migration is called {what}");
    u32::try_from(migrations.len() - before).unwrap()
}

/// A database on a server; it goes with the test.
pub(crate) struct TestDatabase {
    admin: String,
    name: String,
}

impl TestDatabase {
    /// An empty database, if the tests are to use a server.
    pub(crate) async fn empty() -> Option<Self> {
        let admin = env::var("SIGNET_TEST_DATABASE_URL").ok()?;
        let database = Self::unmade(admin);
        database.administer(&format!("CREATE DATABASE {}", database.name)).await;
        Some(database)
    }

    /// A database with the schema of this version, if the tests are to use a server.
    pub(crate) async fn migrated() -> Option<Self> {
        let admin = env::var("SIGNET_TEST_DATABASE_URL").ok()?;
        Some(if admin.starts_with("postgres") {
            let template = template::postgres(&admin).await;
            Self::cut(admin, template).await
        } else {
            Self::filled(admin, template::mysql().await).await
        })
    }

    /// A copy of this one, which nobody may be connected to; on MySQL, of the schema and what the migrations have written.
    pub(crate) async fn copy(&self) -> Self {
        let admin = self.admin.clone();
        if admin.starts_with("postgres") {
            Self::cut(admin, &self.name).await
        } else {
            Self::filled(admin, &template::statements(&self.url()).await).await
        }
    }

    /// A copy of PostgreSQL's database `template`.
    async fn cut(admin: String, template: &str) -> Self {
        let database = Self::unmade(admin);
        database.administer(&format!("CREATE DATABASE {} TEMPLATE {template}", database.name)).await;
        database
    }

    /// A database of MySQL's that `statements` fill.
    async fn filled(admin: String, statements: &str) -> Self {
        let database = Self::unmade(admin);
        let name = &database.name;
        database.administer(&format!("CREATE DATABASE {name}; USE {name}; {statements}")).await;
        database
    }

    fn unmade(admin: String) -> Self {
        // A name that no other test has, in this process or another.
        Self { admin, name: format!("signet_{}", uuid::Uuid::now_v7().simple()) }
    }

    pub(super) fn name(&self) -> &str {
        &self.name
    }

    /// Its URL.
    pub(crate) fn url(&self) -> String {
        let (server, _) =
            self.admin.rsplit_once('/').expect("SIGNET_TEST_DATABASE_URL ends in `/` and a name");
        format!("{server}/{}", self.name)
    }

    /// Leaves it on the server.
    pub(super) fn keep(self) {
        mem::forget(self);
    }

    async fn administer(&self, statements: &str) {
        let db =
            Database::connect(&self.admin).await.expect("the server of SIGNET_TEST_DATABASE_URL answers");
        db.execute_unprepared(statements).await.expect(statements);
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
