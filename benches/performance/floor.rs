//! Owns the least that a durable write costs: one row, committed to a SQLite file with the settings of Signet's own.

use std::path::Path;

use sea_orm::sqlx::{
    self, SqlitePool,
    sqlite::{SqliteConnectOptions, SqliteJournalMode, SqlitePoolOptions, SqliteSynchronous},
};

use crate::Result;

/// A table that grows by a row a commit.
pub(crate) struct Commits(SqlitePool);

impl Commits {
    pub(crate) async fn open(folder: &Path) -> Result<Self> {
        let options = SqliteConnectOptions::new()
            .filename(folder.join("floor.db"))
            .create_if_missing(true)
            .journal_mode(SqliteJournalMode::Wal)
            .synchronous(SqliteSynchronous::Full);
        // One connection: several that write would wait for each other by sleeping.
        let pool = SqlitePoolOptions::new().max_connections(1).connect_with(options).await?;
        sqlx::query(
            "CREATE TABLE commits (id INTEGER PRIMARY KEY, hash BLOB NOT NULL, time INTEGER NOT NULL)",
        )
        .execute(&pool)
        .await?;
        Ok(Self(pool))
    }

    pub(crate) async fn commit(&self) -> Result<()> {
        sqlx::query("INSERT INTO commits (hash, time) VALUES (?, ?)")
            .bind(vec![7_u8; 32])
            .bind(1_795_435_200_000_000_i64)
            .execute(&self.0)
            .await?;
        Ok(())
    }
}
