//! Owns whole copies of a SQLite database: making one while the database is used, checking one, and putting one in a database's place.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use sea_orm::{
    ConnectionTrait, DbErr, SqlxSqliteConnector, Statement,
    sqlx::{
        ConnectOptions as _, Connection as _,
        sqlite::{SqliteConnectOptions, SqliteJournalMode, SqlitePoolOptions, SqliteSynchronous},
    },
};

use crate::store::{
    DatabaseClock, Store,
    engine::file_use::{FileUse, beside, remove_companions},
    engine::{
        connect::{SQLITE_ACQUIRE_TIMEOUT, SQLITE_BUSY_TIMEOUT},
        failure,
        lanes::Lanes,
        schema::MIGRATION_TIMEOUT,
        transaction::Galera,
    },
};
use crate::{base::Entropy, model::Error};

impl Store {
    /// Writes the database as it is at this moment into `path`, an empty file, without waiting for those who write or having
    /// them wait. Everything that was committed before is in it.
    ///
    /// # Errors
    /// [`Error::Unavailable`] or [`Error::Internal`], with the cause.
    pub async fn copy_to(&self, path: &Path) -> Result<(), Error> {
        let path = path.to_str().ok_or_else(|| Error::internal("the file's name is not UTF-8"))?;
        let copy = Statement::from_sql_and_values(
            self.db.get_database_backend(),
            "VACUUM INTO ?",
            [path.to_owned().into()],
        );
        self.db.execute_raw(copy).await.map(drop).map_err(failure::from)
    }

    /// Opens the SQLite file `path`, which nobody else has open, so that it stays one file. What stands beside it is of no use to it.
    ///
    /// # Errors
    /// [`Error::Unavailable`] or [`Error::Internal`], with the cause.
    pub async fn open_copy(path: &Path, entropy: Entropy) -> Result<Self, Error> {
        remove_companions(path).map_err(Error::internal)?;
        Self::open_one_file(path, entropy).await
    }

    /// Opens the SQLite file `path`, which nobody else has open. What stands beside it comes into it.
    async fn open_one_file(path: &Path, entropy: Entropy) -> Result<Self, Error> {
        let pool = SqlitePoolOptions::new().max_connections(1).acquire_timeout(SQLITE_ACQUIRE_TIMEOUT);
        let db = SqlxSqliteConnector::from_sqlx_sqlite_pool(pool.connect_lazy_with(one_file(path)));
        // What is done to all of it takes as long as it takes: no caller waits.
        let time_limit = MIGRATION_TIMEOUT;
        let lanes = Lanes::shared(&db);
        let store = Self {
            writer: db.clone(),
            db,
            lanes,
            server: None,
            galera: Galera::default(),
            clock: DatabaseClock::Own,
            entropy,
            time_limit,
            file_use: None,
        };
        store.ask(|| store.db.ping()).await?;
        Ok(store)
    }

    /// Fails unless SQLite finds the whole database sound: every page, every index, every rule of a column.
    ///
    /// # Errors
    /// [`Error::Internal`], with what is wrong.
    pub async fn check_integrity(&self) -> Result<(), Error> {
        let check = Statement::from_string(self.db.get_database_backend(), "PRAGMA integrity_check(1)");
        let rows = self.db.query_all_raw(check).await.map_err(failure::from)?;
        let found: Result<Vec<String>, DbErr> = rows.iter().map(|row| row.try_get_by_index(0)).collect();
        match found.map_err(failure::from)?.as_slice() {
            [ok] if ok == "ok" => Ok(()),
            problems => Err(Error::internal(format!("the database is damaged: {}", problems.join("; ")))),
        }
    }
}

/// A SQLite file that nobody has open, and nobody opens, until this is dropped.
#[derive(Debug)]
pub struct SoleUse {
    path: PathBuf,
    lock: FileUse,
    /// Whether nobody has ever used the file.
    is_new: bool,
}

impl SoleUse {
    /// For the database at `path`, which need not exist yet.
    ///
    /// # Errors
    /// If somebody has it open, or its lock cannot be made.
    pub fn of(path: &Path) -> io::Result<Self> {
        let is_new = !FileUse::is_known(path);
        Ok(Self { path: path.to_owned(), lock: FileUse::sole(path)?, is_new })
    }

    /// Opens the database, which stays one file while it is open. A write-ahead log that a crash has left comes into it.
    ///
    /// # Errors
    /// [`Error::Unavailable`] or [`Error::Internal`], with the cause.
    pub async fn open(&self, entropy: Entropy) -> Result<Store, Error> {
        Store::open_one_file(&self.path, entropy).await
    }

    /// Leaves nothing of it behind, since the file was not replaced.
    ///
    /// # Errors
    /// If its lock cannot be deleted.
    pub fn give_up(self) -> io::Result<()> {
        if self.is_new { self.lock.give_up(&self.path) } else { Ok(()) }
    }

    /// Puts the whole database `copy`, on the same disk, in the place of this one: a crash leaves the one or the other.
    ///
    /// # Errors
    /// If the database that is there cannot be brought into one file: a write-ahead log that is left would be read into the new one.
    pub async fn replace_with(&self, copy: &Path) -> Result<(), Error> {
        if self.path.exists() {
            let left = |error: &dyn std::fmt::Display| {
                let shown = self.path.display();
                Error::internal(format!(
                    "{shown} cannot be closed for good ({error}): move it away with {shown}-wal and {shown}-shm, and restore again"
                ))
            };
            let old = one_file(&self.path).connect().await.map_err(|error| left(&error))?;
            old.close().await.map_err(|error| left(&error))?;
        }
        let log = beside(&self.path, "-wal");
        if log.exists() {
            let problem = format!("{} is there, of a database that is not: move it away", log.display());
            return Err(Error::internal(problem));
        }
        remove_companions(&self.path).and_then(|()| fs::rename(copy, &self.path)).map_err(Error::internal)
    }
}

/// Without a write-ahead log: what there is of one goes into the file.
fn one_file(path: &Path) -> SqliteConnectOptions {
    SqliteConnectOptions::new()
        .filename(path)
        .journal_mode(SqliteJournalMode::Delete)
        .synchronous(SqliteSynchronous::Full)
        .busy_timeout(SQLITE_BUSY_TIMEOUT)
        .foreign_keys(true)
        .disable_statement_logging()
}
