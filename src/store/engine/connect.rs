//! Owns opening the database, and what every connection to it agrees on.

use std::{
    path::PathBuf,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use futures_util::future::BoxFuture;
use sea_orm::{
    DatabaseConnection, SqlxMySqlConnector, SqlxPostgresConnector, SqlxSqliteConnector,
    sqlx::{
        self, ConnectOptions as _, Connection, Executor, Row,
        mysql::{MySqlConnectOptions, MySqlConnection, MySqlDatabaseError, MySqlPoolOptions},
        pool::PoolOptions,
        postgres::{PgConnectOptions, PgConnection, PgPoolOptions},
        sqlite::{
            SqliteConnectOptions, SqliteConnection, SqliteJournalMode, SqlitePoolOptions, SqliteSynchronous,
        },
    },
};

use crate::store::{
    DatabaseClock, ServerUrl, Store,
    engine::file_use::FileUse,
    engine::{
        failure,
        lanes::{Division, Lane, Lanes},
        location::Server,
        pooler::{self, PoolerProblem},
        transaction::{Galera, UNMARK},
    },
};
use crate::{base::Entropy, model::Error};

/// How many connections read from SQLite, while another one writes (WAL): more than a handful gain nothing.
const SQLITE_READERS: u32 = 8;

/// Beside them, those of the service itself, and those that look up what strangers name: see lanes.rs.
const SQLITE_SERVICE_READERS: u32 = 1;
const SQLITE_STRANGERS_READERS: u32 = 2;

/// How long a statement waits for another process's write before the database counts as unavailable.
pub(in crate::store) const SQLITE_BUSY_TIMEOUT: Duration = Duration::from_secs(5);

/// How long a call waits for a free connection to SQLite.
pub(in crate::store) const SQLITE_ACQUIRE_TIMEOUT: Duration = Duration::from_secs(2);

/// How long a first connection may take before the server counts as one that does not answer.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

/// Has a node of Galera wait, before it reads (1), updates or deletes (2), or inserts (4), until it has applied what any node had
/// acknowledged by then. Else one that is behind would take a refresh token that another node has just given out for a copy of an
/// old one, and a session that was just opened for one that has ended. Within a transaction only its begin waits.
///
/// <https://mariadb.com/docs/galera-cluster/reference/galera-cluster-system-variables#wsrep_sync_wait>
const SEE_ALL_OF_GALERA: &str = "SET SESSION wsrep_sync_wait = 7";

/// By how many times the longest statement the server lets a transaction rest: its process hangs, and others wait for its locks.
const IDLE_IN_TRANSACTION: u32 = 5;

/// The connections to a database server.
#[derive(Clone, Copy, Debug)]
pub struct PoolSettings {
    /// How many there may be.
    pub size: u32,
    /// How long an operation waits for one.
    pub acquire_timeout: Duration,
    /// How long one statement may take.
    pub statement_timeout: Duration,
    /// After what time one is replaced.
    pub max_lifetime: Duration,
}

impl PoolSettings {
    /// For how long the server lets a transaction rest whose process does not go on.
    pub(in crate::store) fn longest_rest(&self) -> Duration {
        self.statement_timeout * IDLE_IN_TRANSACTION
    }
}

impl Store {
    /// Opens the SQLite file at `path`, making it if it is not there. New ids and pauses are made of `entropy`.
    ///
    /// # Errors
    /// [`Error::Unavailable`] if the file cannot be opened as a database.
    pub async fn open_sqlite(path: PathBuf, entropy: Entropy) -> Result<Self, Error> {
        let file_use = FileUse::shared(&path)
            .map_err(|error| Error::Unavailable { what: "database", source: Box::new(error) })?;
        let options = SqliteConnectOptions::new()
            .filename(path)
            .create_if_missing(true)
            .journal_mode(SqliteJournalMode::Wal)
            // Each commit is on the disk before it is acknowledged: it survives a power cut.
            .synchronous(SqliteSynchronous::Full)
            .busy_timeout(SQLITE_BUSY_TIMEOUT)
            .foreign_keys(true)
            .disable_statement_logging();
        let store = Self::of_sqlite(&options, entropy, Some(file_use));
        // Of processes that open a new file at once some are told that it is busy, whatever the busy timeout: it is asked again.
        // The writer first: it is the more patient one, and making a file can take a slow disk its time.
        store.ask(|| store.writer.ping()).await?;
        store.ask(|| store.db.ping()).await?;
        Ok(store)
    }

    /// A SQLite database with `options`, none of whose connections is open yet.
    fn of_sqlite(options: &SqliteConnectOptions, entropy: Entropy, file_use: Option<FileUse>) -> Self {
        // What lives in memory ends with its last connection: none ends by age.
        let lives_in_memory = file_use.is_none();
        let pool = |connections, acquire_timeout| {
            let pool = SqlitePoolOptions::new()
                .max_connections(connections)
                .acquire_timeout(acquire_timeout)
                // A connection to a local file does not go stale.
                .test_before_acquire(false)
                .after_release(|connection, _| Box::pin(is_between_transactions(connection)));
            let pool = if lives_in_memory {
                pool.max_lifetime(None).idle_timeout(None).min_connections(1)
            } else {
                pool
            };
            SqlxSqliteConnector::from_sqlx_sqlite_pool(pool.connect_lazy_with(options.clone()))
        };
        // Whoever waits for the one writer waits for other writes, be they of this process or of another.
        let writer = pool(1, SQLITE_BUSY_TIMEOUT);
        let readers = |count| pool(count, SQLITE_ACQUIRE_TIMEOUT);
        Self {
            db: readers(SQLITE_READERS),
            lanes: Lanes::new(
                Lane { reader: readers(SQLITE_SERVICE_READERS), writer: writer.clone() },
                readers(SQLITE_STRANGERS_READERS),
            ),
            writer,
            server: None,
            galera: Galera::default(),
            time_limit: SQLITE_ACQUIRE_TIMEOUT + SQLITE_BUSY_TIMEOUT,
            clock: DatabaseClock::Own,
            entropy,
            file_use: file_use.map(Arc::new),
        }
    }

    /// Opens a new database in the memory of this process, which is gone with it: no file is made. New ids and pauses are made of
    /// `entropy`.
    ///
    /// # Errors
    /// [`Error::Unavailable`] if there is no room.
    pub async fn open_in_memory(entropy: Entropy) -> Result<Self, Error> {
        static COUNT: AtomicU64 = AtomicU64::new(0);
        let number = COUNT.fetch_add(1, Ordering::Relaxed);
        let options = SqliteConnectOptions::new()
            // SQLite's own: all connections of a process that say one name, with a slash before it, share one database.
            .filename(format!("/signet-{number}"))
            .vfs("memdb")
            .create_if_missing(true)
            // Readers and the writer wait for each other: there is no write-ahead log in memory.
            .journal_mode(SqliteJournalMode::Memory)
            .pragma("temp_store", "memory")
            .busy_timeout(SQLITE_BUSY_TIMEOUT)
            .foreign_keys(true)
            .disable_statement_logging();
        let store = Self::of_sqlite(&options, entropy, None);
        // It is there for as long as a connection is: the writer's stays.
        store.ask(|| store.writer.ping()).await?;
        store.ask(|| store.db.ping()).await?;
        Ok(store)
    }

    /// Connects to the server at `url`. New ids and pauses are made of `entropy`.
    ///
    /// # Errors
    /// [`Error::Unavailable`] if it does not answer, and may yet; [`Error::Internal`] if it refuses.
    pub async fn connect(url: &ServerUrl, settings: PoolSettings, entropy: Entropy) -> Result<Self, Error> {
        // One connection by itself: a pool would not say why it has none.
        match &url.server {
            Server::Postgres(options) => {
                let connecting = pooler::connect_once(options, settings);
                let late = |elapsed| timed_out(elapsed).map_err(PoolerProblem::from);
                tokio::time::timeout(CONNECT_TIMEOUT, connecting).await.unwrap_or_else(late)?;
            }
            Server::MySql(_) => reach(url, settings).await?,
        }
        let galera = Galera::default();
        let pool = |size| server_pool(url, PoolSettings { size, ..settings }, &galera);
        let (db, lanes) = if let Some(Division { service, strangers, calls }) = Division::of(settings.size) {
            let service = pool(service);
            let service = Lane { reader: service.clone(), writer: service };
            (pool(calls), Lanes::new(service, pool(strangers)))
        } else {
            let shared = pool(settings.size);
            let lanes = Lanes::shared(&shared);
            (shared, lanes)
        };
        Ok(Self {
            writer: db.clone(),
            db,
            lanes,
            server: Some((url.clone(), settings)),
            galera,
            time_limit: settings.acquire_timeout + settings.statement_timeout,
            clock: DatabaseClock::Own,
            entropy,
            file_use: None,
        })
    }
}

/// Connects to the server at `url` once, to hear why not if it fails.
///
/// # Errors
/// As with [`Store::connect`].
pub(in crate::store) async fn reach(url: &ServerUrl, settings: PoolSettings) -> Result<(), Error> {
    match &url.server {
        Server::Postgres(options) => probe(postgres(options.clone(), settings).connect()).await,
        Server::MySql(options) => {
            probe(async {
                let mut connection = options.connect().await?;
                agree(&mut connection, mysql_session(settings), &Galera::default()).await?;
                Ok(connection)
            })
            .await
        }
    }
}

/// Connections to the server at `url`, none of which is open yet.
fn server_pool(url: &ServerUrl, settings: PoolSettings, galera: &Galera) -> DatabaseConnection {
    match &url.server {
        Server::Postgres(options) => {
            let pool: PgPoolOptions =
                pool(settings, |connection: &mut PgConnection| Box::pin(connection.ping()));
            let options = postgres(options.clone(), settings);
            SqlxPostgresConnector::from_sqlx_postgres_pool(pool.connect_lazy_with(options))
        }
        Server::MySql(options) => {
            let (session, noted) = (mysql_session(settings), galera.clone());
            let pool: MySqlPoolOptions = pool(settings, move |connection: &mut MySqlConnection| {
                let is_galera = noted.is_noted();
                Box::pin(async move {
                    if is_galera {
                        connection.execute(UNMARK).await.map(drop)
                    } else {
                        connection.ping().await
                    }
                })
            });
            let galera = galera.clone();
            let pool = pool.after_connect(move |connection, _| {
                let (session, galera) = (session.clone(), galera.clone());
                Box::pin(async move { agree(connection, session, &galera).await })
            });
            let options: MySqlConnectOptions = options.clone();
            SqlxMySqlConnector::from_sqlx_mysql_pool(pool.connect_lazy_with(options))
        }
    }
}

/// Whether SQLite and the driver agree that no transaction goes on.
///
/// When a disk is full or fails, SQLite may take back the transaction by itself (<https://sqlite.org/lang_transaction.html>, section
/// 3). The driver's own rollback then fails, and it would nest each later transaction in one that nobody commits: acknowledged, and
/// gone with the process. Such a connection is closed.
async fn is_between_transactions(connection: &mut SqliteConnection) -> Result<bool, sqlx::Error> {
    if connection.is_in_transaction() {
        // A rollback that has just begun is done when this is answered.
        connection.ping().await?;
    }
    Ok(!connection.is_in_transaction())
}

/// Connects once, to hear why not if it fails.
pub(in crate::store) async fn probe<C: Connection>(
    connecting: impl Future<Output = Result<C, sqlx::Error>>,
) -> Result<(), Error> {
    let connected = tokio::time::timeout(CONNECT_TIMEOUT, connecting).await.unwrap_or_else(timed_out);
    let connection = connected.map_err(failure::of_connecting)?;
    // It has served its purpose; if it does not close, the server will.
    let _ = connection.close().await;
    Ok(())
}

fn timed_out<T>(elapsed: tokio::time::error::Elapsed) -> Result<T, sqlx::Error> {
    Err(sqlx::Error::Io(std::io::Error::new(std::io::ErrorKind::TimedOut, elapsed)))
}

/// A pool whose connections are asked `ping` after each use.
fn pool<DB: sqlx::Database>(
    settings: PoolSettings,
    ping: impl for<'a> Fn(&'a mut DB::Connection) -> BoxFuture<'a, Result<(), sqlx::Error>>
    + Send
    + Sync
    + 'static,
) -> PoolOptions<DB> {
    let ping = Arc::new(ping);
    let patience = settings.statement_timeout;
    PoolOptions::new()
        .max_connections(settings.size)
        .acquire_timeout(settings.acquire_timeout)
        .max_lifetime(settings.max_lifetime)
        // A question before each use would cost a round trip. An operation that meets a dead connection is done again on
        // another one (attempts.rs).
        .test_before_acquire(false)
        // A connection whose answer never came would keep its place in the pool for as long as the network says nothing: the driver
        // pings whatever is given back, too, and waits for the answer without a bound. So here it is asked first, with one. That is
        // a second ping after each operation, which no call waits for.
        .after_release(move |connection: &mut DB::Connection, _| {
            let ping = Arc::clone(&ping);
            Box::pin(async move {
                tokio::time::timeout(patience, ping(connection)).await.unwrap_or_else(timed_out)?;
                Ok(true)
            })
        })
}

/// What every session with PostgreSQL agrees on.
pub(super) fn postgres(options: PgConnectOptions, settings: PoolSettings) -> PgConnectOptions {
    let statement = settings.statement_timeout;
    let milliseconds = |time: Duration| time.as_millis().to_string();
    options.options([
        // What the store's transactions are written for (attempts.rs), whatever the server's default is.
        ("default_transaction_isolation", "read committed".to_owned()),
        // The server does not go on with what nobody waits for any more.
        ("statement_timeout", milliseconds(statement)),
        ("idle_in_transaction_session_timeout", milliseconds(settings.longest_rest())),
    ])
}

/// What every session with MySQL or MariaDB agrees on, as a statement. The comments are read by MariaDB alone and by MySQL
/// alone: their names differ.
fn mysql_session(settings: PoolSettings) -> String {
    let statement = settings.statement_timeout;
    // Whole seconds, at least one.
    let seconds = |time: Duration| time.as_millis().div_ceil(1_000).max(1);
    format!(
        // What the store's transactions are written for (attempts.rs). The default would also lock gaps between rows.
        "SET SESSION TRANSACTION ISOLATION LEVEL READ COMMITTED; \
         SET SESSION sql_mode = CONCAT(@@sql_mode, ',STRICT_ALL_TABLES'), innodb_lock_wait_timeout = {lock} \
         /*M!100300 , idle_transaction_timeout = {idle}, max_statement_time = {exact} */ \
         /*!80000 , max_execution_time = {milliseconds} */",
        lock = seconds(statement),
        idle = seconds(settings.longest_rest()),
        exact = statement.as_secs_f64(),
        milliseconds = statement.as_millis(),
    )
}

/// Has the session of a new connection agree on all of it.
async fn agree(
    connection: &mut MySqlConnection,
    session: String,
    galera: &Galera,
) -> Result<(), sqlx::Error> {
    connection.execute(sqlx::AssertSqlSafe(session)).await?;
    if is_galera(connection).await? {
        galera.note();
        connection.execute(SEE_ALL_OF_GALERA).await?;
    }
    Ok(())
}

async fn is_galera(connection: &mut MySqlConnection) -> Result<bool, sqlx::Error> {
    /// `ER_UNKNOWN_SYSTEM_VARIABLE`: a server that knows of no cluster.
    const UNKNOWN_VARIABLE: u16 = 1193;
    match connection.fetch_one("SELECT @@wsrep_on").await {
        Ok(row) => row.try_get(0),
        Err(sqlx::Error::Database(error))
            if error
                .try_downcast_ref::<MySqlDatabaseError>()
                .is_some_and(|error| error.number() == UNKNOWN_VARIABLE) =>
        {
            Ok(false)
        }
        Err(error) => Err(error),
    }
}
