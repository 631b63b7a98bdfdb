//! Owns the schema's version: what is applied, what is pending, and applying it.

use std::time::Duration;

use sea_orm::{ConnectionTrait, DatabaseTransaction, DbBackend, DbErr, Statement, TransactionTrait};
use signet_migrations::{MigratorTraitSelf, Schema, names};
use tokio::time::{Instant, sleep};

use crate::model::Error;
use crate::store::{
    PoolSettings, ServerUrl, Store,
    engine::{
        connect::reach,
        failure::{self, FailureClass},
        transaction::begin_unmarked,
    },
};

/// How long one step of a migration may take on a database server, and how long one process waits for another's migration.
pub(in crate::store) const MIGRATION_TIMEOUT: Duration = Duration::from_hours(1);

/// How often a process that migrates makes sure that the server still takes connections, and for how long at least it may not.
const PRESENCE_INTERVAL: Duration = Duration::from_secs(1);
const MIN_SILENCE: Duration = Duration::from_secs(5);

/// How long a migration rests before it tries again to get a lock: whoever queued behind it goes on meanwhile.
const LOCK_PAUSE: Duration = Duration::from_secs(1);

/// The lock that a migration holds: of a number on PostgreSQL, of a name on MySQL. Nothing else must use it in the same server.
///
/// Once it has that, it waits for the lock of a table only briefly, since every later statement on the table waits behind it: for less
/// than the service's statements may take by default, or for the least that MySQL has.
const POSTGRES_LOCK: &str =
    "SELECT pg_advisory_xact_lock(6001423587713271412); SET LOCAL lock_timeout = '500ms'";
///
/// On MySQL it is a lock of the server: of a cluster's nodes, each has its own. Who migrates by another node at the same time is then
/// met in what both make, and begins again from what is there.
const MYSQL_LOCK: &str = "SELECT GET_LOCK(CONCAT('signet_migrations_', MD5(DATABASE())), 3600)";
const MYSQL_UNLOCK: &str = "SELECT RELEASE_LOCK(CONCAT('signet_migrations_', MD5(DATABASE())))";
const MYSQL_LOCK_WAIT: &str = "SET SESSION lock_wait_timeout = 1, innodb_lock_wait_timeout = 1";

/// One migration and how the database stands to it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MigrationState {
    /// Its name, which sorts by age.
    pub name: String,
    /// Whether it has been applied.
    pub applied: bool,
    /// Whether this binary knows it. If not, it is a newer version's, and this binary can use the schema after it.
    pub known: bool,
}

/// The result of bringing the schema up to date.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Migrated {
    /// The names of the migrations that were applied.
    pub applied: Vec<String>,
    /// The names of those that were there, of newer versions.
    pub newer: Vec<String>,
}

/// Why a step was not made.
enum Stopped {
    /// The database's doing.
    Failed(DbErr),
    /// The step is not allowed.
    Refused(Error),
}

impl From<DbErr> for Stopped {
    fn from(error: DbErr) -> Self {
        Self::Failed(error)
    }
}

impl From<Stopped> for Error {
    fn from(stopped: Stopped) -> Self {
        match stopped {
            Stopped::Failed(error) => failure::from(error),
            Stopped::Refused(error) => error,
        }
    }
}

impl Store {
    /// Applies what is pending: each migration whole or not at all; but MySQL cannot take the first half of one back, and goes on
    /// after it the next time. If others hold locks on the tables, it is tried again until `patience` has passed for one migration.
    ///
    /// Safe when several processes do it at once: each migration is applied by one of them.
    ///
    /// # Errors
    /// [`Error::Unavailable`] or [`Error::Internal`], with the cause.
    pub async fn migrate(&self, patience: Duration) -> Result<Migrated, Error> {
        let Some((url, settings)) = &self.server else { return self.migrate_here(patience).await };
        // What bounds a call must not cut a migration, so it gets a connection of its own.
        let patient = PoolSettings { size: 1, statement_timeout: MIGRATION_TIMEOUT, ..*settings };
        let own = Self::connect(url, patient, self.entropy.clone()).await?;
        let migrated = tokio::select! {
            migrated = own.migrate_here(patience) => migrated,
            silent = silence(url, *settings, patience.max(MIN_SILENCE)) => Err(silent),
        };
        own.close().await;
        migrated
    }

    /// Every migration that this binary knows or the database has, oldest first. Changes nothing.
    ///
    /// # Errors
    /// [`Error::Internal`] if a newer version has changed the schema so that this binary cannot use it; otherwise as with
    /// [`Store::migrate`].
    pub async fn migrations(&self) -> Result<Vec<MigrationState>, Error> {
        let schema = self
            .ask(|| async {
                let transaction = self.db.begin().await?;
                let schema = Schema::read(&transaction).await?;
                transaction.rollback().await?;
                Ok(schema)
            })
            .await?;
        check(&schema)?;
        Ok(states(&schema))
    }

    async fn migrate_here(&self, patience: Duration) -> Result<Migrated, Error> {
        let mut all = Migrated::default();
        let (mut until, mut told) = (Instant::now() + patience, false);
        loop {
            match self.step().await {
                Ok(step) => {
                    all.newer = step.newer;
                    if step.applied.is_empty() {
                        return Ok(all);
                    }
                    all.applied.extend(step.applied);
                    until = Instant::now() + patience;
                }
                Err(Stopped::Failed(error))
                    if failure::classify(&error) == FailureClass::Conflict
                        || failure::is_made_already(&error) =>
                {
                    if Instant::now() + LOCK_PAUSE > until {
                        return Err(Error::internal(format!(
                            "the schema could not be changed within {patience:?}, since others use its tables in long transactions, \
                             such as a backup: run it again when they have ended, or let it wait longer by --database-wait ({error})"
                        )));
                    }
                    if !told {
                        tracing::warn!(error = %error, at_most = ?patience, "waiting for others to release the database's tables");
                        told = true;
                    }
                    sleep(LOCK_PAUSE).await;
                }
                Err(stopped) => return Err(stopped.into()),
            }
        }
    }

    /// Applies the oldest migration that is pending, if any is, in a transaction of its own: so that no table stays locked while the next
    /// one waits for another table. On SQLite it applies all, since nobody writes meanwhile.
    async fn step(&self) -> Result<Migrated, Stopped> {
        let transaction = begin_unmarked(&self.writer).await?;
        lock(&transaction).await?;
        let applied = apply(&transaction).await;
        if transaction.get_database_backend() == DbBackend::MySql {
            // Of the connection, not of the transaction.
            query(&transaction, MYSQL_UNLOCK).await?;
        }
        let applied = applied?;
        transaction.commit().await?;
        Ok(applied)
    }
}

/// Ends when nobody could connect to the server `url` for `patience`. A statement of a migration, or its turn after another process's, may
/// take an hour: the time that it takes does not tell whether the server is still there.
async fn silence(url: &ServerUrl, settings: PoolSettings, patience: Duration) -> Error {
    let mut answered = Instant::now();
    loop {
        sleep(PRESENCE_INTERVAL).await;
        match reach(url, settings).await {
            Ok(()) => answered = Instant::now(),
            Err(error) if answered.elapsed() >= patience => return error,
            Err(error) => tracing::debug!(error = %error, "the database does not answer during a migration"),
        }
    }
}

/// Keeps other processes from migrating; and has the statements that follow wait briefly for other locks.
async fn lock(transaction: &DatabaseTransaction) -> Result<(), Stopped> {
    match transaction.get_database_backend() {
        DbBackend::Postgres => {
            transaction.execute_unprepared(POSTGRES_LOCK).await?;
        }
        DbBackend::MySql => {
            if query(transaction, MYSQL_LOCK).await? != Some(1) {
                let problem = "the lock for migrations was not to be had: another process may hold it";
                return Err(Stopped::Refused(Error::internal(problem)));
            }
            transaction.execute_unprepared(MYSQL_LOCK_WAIT).await?;
        }
        // SQLite's write lock is held already.
        _ => {}
    }
    Ok(())
}

async fn apply(transaction: &DatabaseTransaction) -> Result<Migrated, Stopped> {
    let schema = Schema::read(transaction).await?;
    check(&schema).map_err(Stopped::Refused)?;
    let newer = schema.newer().to_vec();
    let steps =
        if transaction.get_database_backend() == DbBackend::Sqlite { schema.pending().len() } else { 1 };
    let applied: Vec<_> = schema.pending().iter().take(steps).cloned().collect();
    if !applied.is_empty() {
        schema.up(transaction, u32::try_from(steps).ok()).await?;
    }
    Ok(Migrated { applied, newer })
}

fn states(schema: &Schema) -> Vec<MigrationState> {
    let known = names().into_iter().map(|name| {
        let applied = !schema.pending().contains(&name);
        MigrationState { name, applied, known: true }
    });
    let newer = schema.newer().iter();
    let newer = newer.map(|name| MigrationState { name: name.clone(), applied: true, known: false });
    known.chain(newer).collect()
}

/// Refuses a schema that a newer version has changed so that this one cannot use it.
fn check(schema: &Schema) -> Result<(), Error> {
    match schema.unusable().as_slice() {
        [] => Ok(()),
        names => Err(Error::internal(format!(
            "a newer version has changed the database's schema ({}): run that version, or one that is newer still",
            names.join(", ")
        ))),
    }
}

/// The whole number that `sql` answers; none if it is null, or no number.
async fn query(transaction: &DatabaseTransaction, sql: &str) -> Result<Option<i64>, DbErr> {
    let statement = Statement::from_string(transaction.get_database_backend(), sql);
    let row = transaction.query_one_raw(statement).await?;
    Ok(row.and_then(|row| row.try_get_by_index(0).ok()).flatten())
}
