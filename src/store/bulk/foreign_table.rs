//! Owns reading a table of another service's: as texts, in one pass, in constant memory. It is never written to.

use std::{pin::Pin, time::Duration};

use futures_util::{Stream, StreamExt};
use sea_orm::{
    DatabaseConnection, DbBackend, DbErr, QueryResult, SqlxMySqlConnector, SqlxPostgresConnector,
    SqlxSqliteConnector, Statement, StreamTrait,
    sqlx::{ConnectOptions as _, Database, pool::PoolOptions, sqlite::SqliteConnectOptions},
};
use tokio::time::timeout;

use crate::model::Error;
use crate::store::{
    Location,
    engine::{connect::probe, failure, location::Server},
};

/// How long the source may take to answer, and for each further row: the first may wait for a sort.
const READ_TIMEOUT: Duration = Duration::from_mins(1);

/// The longest name of a table or a column, in bytes: PostgreSQL's 63, MySQL's 64 characters.
const MAX_NAME_BYTES: usize = 128;

/// How much of a value is read, in characters: every field has its own limit below.
const MAX_VALUE_CHARS: usize = 8_192;

/// A table in a database that is not ours.
#[derive(Debug)]
pub struct ForeignTable {
    db: DatabaseConnection,
    /// Each with its quotation marks, joined by dots.
    name: String,
}

/// The rows of a [`ForeignTable`], one after the other.
pub struct ForeignRows<'a> {
    stream: Pin<Box<dyn Stream<Item = Result<QueryResult, DbErr>> + Send + 'a>>,
    columns: usize,
}

impl ForeignTable {
    /// The table `name` (or `schema.name`) at `location`.
    ///
    /// # Errors
    /// [`Error::Unavailable`] if a server does not answer; [`Error::Internal`] if it refuses, or for a name that cannot be one.
    pub async fn open(location: &Location, name: &str) -> Result<Self, Error> {
        let db = match location {
            Location::File(path) => {
                let options =
                    SqliteConnectOptions::new().filename(path).read_only(true).disable_statement_logging();
                SqlxSqliteConnector::from_sqlx_sqlite_pool(pool().connect_lazy_with(options))
            }
            // A connection by itself comes first: a pool would not say why it has none.
            Location::Server(url) => match &url.server {
                Server::Postgres(options) => {
                    probe(options.connect()).await?;
                    SqlxPostgresConnector::from_sqlx_postgres_pool(pool().connect_lazy_with(options.clone()))
                }
                Server::MySql(options) => {
                    probe(options.connect()).await?;
                    SqlxMySqlConnector::from_sqlx_mysql_pool(pool().connect_lazy_with(options.clone()))
                }
            },
        };
        let quoted: Result<Vec<_>, _> = name.split('.').map(|part| quoted(&db, part)).collect();
        Ok(Self { name: quoted?.join("."), db })
    }

    /// Begins to read `columns`, in the order of the first of them.
    ///
    /// # Errors
    /// [`Error::Unavailable`] if the source does not answer; [`Error::Internal`] with what it says otherwise, such as that it has no
    /// such column.
    pub async fn read(&self, columns: &[&str]) -> Result<ForeignRows<'_>, Error> {
        let quoted: Result<Vec<_>, _> = columns.iter().map(|column| quoted(&self.db, column)).collect();
        let quoted = quoted?;
        let values: Vec<_> = quoted.iter().map(|column| value(&self.db, column)).collect();
        // A name with its table before it is never taken for a text, as SQLite does with one that it does not know.
        let first = quoted.first().map_or("1", String::as_str);
        let sql =
            format!("SELECT {} FROM {} AS source ORDER BY source.{first}", values.join(", "), self.name);
        let statement = Statement::from_string(self.db.get_database_backend(), sql);
        let stream = in_time(self.db.stream_raw(statement)).await?.map_err(failure::from)?;
        Ok(ForeignRows { stream: Box::pin(stream), columns: columns.len() })
    }
}

impl ForeignRows<'_> {
    /// The next row, a value for each column, none for NULL; none at the end.
    ///
    /// # Errors
    /// As [`ForeignTable::read`].
    pub async fn next(&mut self) -> Result<Option<Vec<Option<Vec<u8>>>>, Error> {
        let Some(row) = in_time(self.stream.next()).await? else { return Ok(None) };
        let row = row.map_err(failure::from)?;
        let values: Result<_, _> = (0..self.columns).map(|column| row.try_get_by_index(column)).collect();
        values.map(Some).map_err(failure::from)
    }
}

/// One connection: there is one pass.
fn pool<DB: Database>() -> PoolOptions<DB> {
    PoolOptions::new().max_connections(1).acquire_timeout(READ_TIMEOUT)
}

async fn in_time<T>(answer: impl Future<Output = T>) -> Result<T, Error> {
    timeout(READ_TIMEOUT, answer).await.map_err(|_| Error::Unavailable {
        what: "source",
        source: format!("it said nothing for {READ_TIMEOUT:?}").into(),
    })
}

/// `name` in the quotation marks of its database. With such marks in it, it is refused rather than escaped.
fn quoted(db: &DatabaseConnection, name: &str) -> Result<String, Error> {
    let unfit = |char: char| char.is_control() || ['"', '`', '\'', '\\', '[', ']'].contains(&char);
    if name.is_empty() || name.len() > MAX_NAME_BYTES || name.contains(unfit) {
        return Err(Error::internal(format!(
            "`{}` cannot be the name of a table or a column",
            name.escape_debug()
        )));
    }
    let mark = if db.get_database_backend() == DbBackend::MySql { '`' } else { '"' };
    Ok(format!("{mark}{name}{mark}"))
}

/// The value of `column` as the bytes of its text in UTF-8, whatever its type is.
fn value(db: &DatabaseConnection, column: &str) -> String {
    let (as_text, before, after) = match db.get_database_backend() {
        DbBackend::MySql => ("CHAR", "CAST(", " AS BINARY)"),
        DbBackend::Postgres => ("TEXT", "CONVERT_TO(", ", 'UTF8')"),
        _ => ("TEXT", "CAST(", " AS BLOB)"),
    };
    format!("{before}SUBSTR(CAST(source.{column} AS {as_text}), 1, {MAX_VALUE_CHARS}){after}")
}
