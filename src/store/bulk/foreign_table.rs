//! Owns reading a table of another service's: as texts, in one pass, in constant memory. It is never written to.

use std::{pin::Pin, time::Duration};

use futures_util::{Stream, StreamExt};
use sea_orm::{
    ConnectionTrait, DatabaseConnection, DatabaseTransaction, DbBackend, DbErr, QueryResult,
    SqlxMySqlConnector, SqlxPostgresConnector, SqlxSqliteConnector, Statement, StreamTrait, TransactionTrait,
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
    /// The one that it is read in.
    transaction: Option<DatabaseTransaction>,
}

/// A value, as the table has it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ForeignValue {
    /// The text of a value that is no bytes, in UTF-8.
    Text(Vec<u8>),
    /// The hexadecimal digits of bytes.
    Bytes(String),
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
                    // There is one statement: where a pooler stands between, another's of the same name would be in its way.
                    let options = options.clone().statement_cache_capacity(0);
                    probe(options.connect()).await?;
                    SqlxPostgresConnector::from_sqlx_postgres_pool(pool().connect_lazy_with(options))
                }
                Server::MySql(options) => {
                    probe(options.connect()).await?;
                    SqlxMySqlConnector::from_sqlx_mysql_pool(pool().connect_lazy_with(options.clone()))
                }
            },
        };
        let quoted: Result<Vec<_>, _> = name.split('.').map(|part| quoted(&db, part)).collect();
        Ok(Self { name: quoted?.join("."), db, transaction: None })
    }

    /// Begins to read `columns`, in the order of the first of them: each value as its text, and bytes, which need not be one, in
    /// hexadecimal digits.
    ///
    /// # Errors
    /// [`Error::Unavailable`] if the source does not answer; [`Error::Internal`] with what it says otherwise, such as that it has no
    /// such column.
    pub async fn read(&mut self, columns: &[&str]) -> Result<ForeignRows<'_>, Error> {
        let quoted: Result<Vec<_>, _> = columns.iter().map(|column| quoted(&self.db, column)).collect();
        let quoted = quoted?;
        let binary = self.binary_columns().await?;
        let values = columns.iter().zip(&quoted).map(|(name, column)| {
            let is_binary = binary.iter().any(|binary| binary.eq_ignore_ascii_case(name));
            value(self.db.get_database_backend(), column, is_binary)
        });
        let values: Vec<_> = values.collect();
        // A name with its table before it is never taken for a text, as SQLite does with one that it does not know.
        let first = quoted.first().map_or("1", String::as_str);
        let sql =
            format!("SELECT {} FROM {} AS source ORDER BY source.{first}", values.join(", "), self.name);
        let statement = Statement::from_string(self.db.get_database_backend(), sql);
        let transaction = self.transaction.insert(self.agreed().await?);
        let stream = in_time(transaction.stream_raw(statement)).await?.map_err(failure::from)?;
        Ok(ForeignRows { stream: Box::pin(stream), columns: columns.len() })
    }
}

impl ForeignTable {
    /// A transaction in which the source writes values as they are read here, whatever the user's or the database's settings are. Within
    /// one a pooler does not change the session, and takes what it would refuse as a parameter of the start.
    async fn agreed(&self) -> Result<DatabaseTransaction, Error> {
        let settings = match self.db.get_database_backend() {
            DbBackend::Postgres => {
                "SET LOCAL bytea_output = 'hex'; SET LOCAL datestyle = 'ISO, YMD'; SET LOCAL timezone = 'UTC'"
            }
            // With PAD_CHAR_TO_FULL_LENGTH each CHAR would end in spaces. The driver sees to time zone and character set.
            DbBackend::MySql => "SET SESSION sql_mode = ''",
            _ => "",
        };
        let transaction = in_time(self.db.begin()).await?.map_err(failure::from)?;
        if !settings.is_empty() {
            in_time(transaction.execute_unprepared(settings)).await?.map_err(failure::from)?;
        }
        Ok(transaction)
    }

    /// The names of the columns that hold bytes, where the database must be asked for them: those of MySQL are cut off, or become others,
    /// where they are read as a text. PostgreSQL and SQLite say in the statement itself what a value is.
    async fn binary_columns(&self) -> Result<Vec<String>, Error> {
        const SQL: &str = "SELECT CAST(COLUMN_NAME AS BINARY) FROM information_schema.COLUMNS \
             WHERE TABLE_SCHEMA = COALESCE(?, DATABASE()) AND TABLE_NAME = ? \
             AND DATA_TYPE IN ('binary', 'varbinary', 'tinyblob', 'blob', 'mediumblob', 'longblob')";
        if self.db.get_database_backend() != DbBackend::MySql {
            return Ok(Vec::new());
        }
        let name = self.name.replace('`', "");
        let (schema, table) =
            name.rsplit_once('.').map_or((None, name.as_str()), |(schema, table)| (Some(schema), table));
        let values = [schema.map(str::to_owned).into(), table.into()];
        let statement = Statement::from_sql_and_values(DbBackend::MySql, SQL, values);
        let rows = in_time(self.db.query_all_raw(statement)).await?.map_err(failure::from)?;
        let names = rows.iter().map(|row| row.try_get_by_index::<Vec<u8>>(0));
        let names: Result<Vec<_>, _> = names.collect();
        let names = names.map_err(failure::from)?;
        Ok(names.into_iter().map(|name| String::from_utf8_lossy(&name).into_owned()).collect())
    }
}

impl ForeignRows<'_> {
    /// The next row, a value for each column, none for NULL; none at the end.
    ///
    /// # Errors
    /// As [`ForeignTable::read`].
    pub async fn next(&mut self) -> Result<Option<Vec<Option<ForeignValue>>>, Error> {
        let Some(row) = in_time(self.stream.next()).await? else { return Ok(None) };
        let row = row.map_err(failure::from)?;
        let value = |column| {
            let written = row.try_get_by_index::<Option<Vec<u8>>>(column);
            written.map(|written| written.as_deref().map(ForeignValue::read))
        };
        let values: Result<_, _> = (0..self.columns).map(value).collect();
        values.map(Some).map_err(failure::from)
    }
}

impl ForeignValue {
    /// What [`value`] had the database write.
    fn read(written: &[u8]) -> Self {
        match written.split_first() {
            Some((b'b', digits)) => {
                // PostgreSQL writes `\x` before them.
                let digits = digits.strip_prefix(b"\\x").unwrap_or(digits);
                Self::Bytes(String::from_utf8_lossy(digits).into_owned())
            }
            Some((_, text)) => Self::Text(text.to_vec()),
            None => Self::Text(Vec::new()),
        }
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

/// The value of `column` as the bytes of its text in UTF-8, whatever its type is, and before it a letter: `b` if it is bytes, in
/// hexadecimal digits, and `t` otherwise. A text may look like bytes, and whoever chose it must not become somebody else.
fn value(database: DbBackend, column: &str, is_binary: bool) -> String {
    let column = format!("source.{column}");
    let as_text = match database {
        DbBackend::MySql if is_binary => format!("CONCAT('b', HEX({column}))"),
        DbBackend::MySql => format!("CONCAT('t', CAST({column} AS CHAR))"),
        DbBackend::Postgres => format!(
            "CASE CAST(PG_TYPEOF({column}) AS TEXT) WHEN 'bytea' THEN 'b' ELSE 't' END || CAST({column} AS TEXT)"
        ),
        _ => format!(
            "CASE typeof({column}) WHEN 'blob' THEN 'b' || hex({column}) ELSE 't' || CAST({column} AS TEXT) END"
        ),
    };
    let (before, after) = match database {
        DbBackend::MySql => ("CAST(", " AS BINARY)"),
        DbBackend::Postgres => ("CONVERT_TO(", ", 'UTF8')"),
        _ => ("CAST(", " AS BLOB)"),
    };
    format!("{before}SUBSTR({as_text}, 1, {MAX_VALUE_CHARS} + 1){after}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_is_bytes_if_its_table_says_so_whatever_it_looks_like() {
        for (written, expected) in [
            ("b616E6E", ForeignValue::Bytes("616E6E".to_owned())),
            ("b\\x616e6e", ForeignValue::Bytes("616e6e".to_owned())),
            ("b", ForeignValue::Bytes(String::new())),
            ("t\\x616e6e", ForeignValue::Text(b"\\x616e6e".to_vec())),
            ("t", ForeignValue::Text(Vec::new())),
        ] {
            assert_eq!(ForeignValue::read(written.as_bytes()), expected, "{written}");
        }
    }
}
