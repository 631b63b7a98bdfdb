//! Owns what is kept: the only place that names SeaORM, one file per table.

mod changes;
mod client_assertions;
mod clients;
mod entity;
mod failure;
mod leases;
mod schema;
mod sessions;
mod signing_keys;
mod users;

use std::{path::PathBuf, time::Duration};

use sea_orm::{
    ConnectOptions, Database as SeaDatabase, DatabaseConnection, DatabaseTransaction, SqliteTransactionMode,
    TransactionOptions, TransactionTrait,
    sqlx::sqlite::{SqliteJournalMode, SqliteSynchronous},
};

pub use changes::{Change, SIGNING_KEYS};
pub use leases::Lease;
pub use schema::MigrationState;
pub use sessions::{RefreshState, Sha256, StoredSession};
pub use signing_keys::{KeyChange, StoredKey};
pub use users::{Credentials, NewUser, ProfileChange};

use crate::model::Error;

/// How many connections SQLite gets: one writes while the others read (WAL), and more than a handful gain nothing.
const SQLITE_CONNECTIONS: u32 = 8;

/// How long a statement waits for another process's write before the database counts as unavailable.
const SQLITE_BUSY_TIMEOUT: Duration = Duration::from_secs(5);

/// How long a call waits for a free connection.
const ACQUIRE_TIMEOUT: Duration = Duration::from_secs(2);

/// The database, open.
#[derive(Clone, Debug)]
pub struct Store {
    db: DatabaseConnection,
}

impl Store {
    /// Opens the SQLite file at `path`, making it if it is not there.
    ///
    /// # Errors
    /// [`Error::Unavailable`] if the file cannot be opened as a database.
    pub async fn open_sqlite(path: PathBuf) -> Result<Self, Error> {
        let mut options = ConnectOptions::new("sqlite:");
        options
            .max_connections(SQLITE_CONNECTIONS)
            .acquire_timeout(ACQUIRE_TIMEOUT)
            // A connection to a local file does not go stale.
            .test_before_acquire(false)
            .sqlx_logging(false)
            .map_sqlx_sqlite_opts(move |options| {
                options
                    .filename(&path)
                    .create_if_missing(true)
                    .journal_mode(SqliteJournalMode::Wal)
                    // Each commit is on the disk before it is acknowledged: it survives a power cut.
                    .synchronous(SqliteSynchronous::Full)
                    .busy_timeout(SQLITE_BUSY_TIMEOUT)
                    .foreign_keys(true)
            });
        let db = SeaDatabase::connect(options).await.map_err(failure::from)?;
        Ok(Self { db })
    }

    /// The same database; `told` hears of every statement how long it took, and whether it failed.
    #[must_use]
    pub fn observed(mut self, told: impl Fn(Duration, bool) + Send + Sync + 'static) -> Self {
        self.db.set_metric_callback(move |statement| told(statement.elapsed, statement.failed));
        self
    }

    /// Begins a transaction that holds SQLite's write lock from the start, so that what it reads cannot change before
    /// it writes, and so that it never fails for having read first.
    async fn begin_write(&self) -> Result<DatabaseTransaction, Error> {
        let options = TransactionOptions {
            sqlite_transaction_mode: Some(SqliteTransactionMode::Immediate),
            ..TransactionOptions::default()
        };
        self.db.begin_with_options(options).await.map_err(failure::from)
    }

    /// Closes every connection, and with the last one SQLite's write-ahead log.
    pub async fn close(self) {
        if let Err(error) = self.db.close().await {
            tracing::warn!(error = %error, "the database did not close cleanly");
        }
    }
}
