//! Owns locking a table of the service behind its back, so that what it asks of the table hangs.

use sea_orm::{ConnectionTrait, DatabaseTransaction, DbBackend, TransactionTrait};

use crate::harness::TestServer;

/// A table that is locked until it is released.
pub(crate) struct Lock(DatabaseTransaction);

impl Lock {
    /// Has everything hang that reads or writes `table`. On SQLite nobody can make readers wait.
    pub(crate) async fn all(server: &TestServer, table: &str) -> Self {
        Self::take(server, table, "IN ACCESS EXCLUSIVE MODE", "WRITE").await
    }

    /// Has everything hang that writes `table`.
    pub(crate) async fn writes(server: &TestServer, table: &str) -> Self {
        Self::take(server, table, "IN SHARE MODE", "READ").await
    }

    async fn take(server: &TestServer, table: &str, postgres: &str, mysql: &str) -> Self {
        let locking = server.data.connect().await.begin().await.unwrap();
        let lock = match locking.get_database_backend() {
            DbBackend::Postgres => format!("LOCK TABLE {table} {postgres}"),
            // Whoever has written nothing yet has locked all of the file against others who write.
            DbBackend::Sqlite => format!("DELETE FROM {table} WHERE 1 = 0"),
            _ => format!("LOCK TABLES {table} {mysql}"),
        };
        locking.execute_unprepared(&lock).await.unwrap();
        Self(locking)
    }

    pub(crate) async fn release(self) {
        if self.0.get_database_backend() == DbBackend::MySql {
            self.0.execute_unprepared("UNLOCK TABLES").await.unwrap();
        }
        self.0.rollback().await.unwrap();
    }
}
