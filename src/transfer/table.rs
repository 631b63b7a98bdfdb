//! Owns records as rows of another service's table, and where that is.

use std::fmt;

use super::{
    BATCH, Batch, Columns, Field, Record, RefusedRow, RowRules,
    csv::{field, malformed_field, utf8},
};
use crate::{
    model::Error,
    store::{ForeignTable, ForeignValue, Location},
};

/// Another service's database.
#[derive(Debug)]
pub struct SourceDatabase(Location);

impl fmt::Display for SourceDatabase {
    /// Without its user and password.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Location::File(path) => path.display().fmt(f),
            Location::Server(url) => url.fmt(f),
        }
    }
}

/// A table in it. It is only read.
#[derive(Debug)]
pub struct SourceTable(ForeignTable);

impl SourceDatabase {
    /// The database at `url`, which may have one of the forms of SQLAlchemy.
    ///
    /// # Errors
    /// What is wrong with it: it cannot be read, or there is no such file.
    pub fn find(url: &str) -> Result<Self, String> {
        let location = location(url)?;
        match &location {
            Location::File(path) if !path.is_file() => {
                Err(format!("there is no database at {}", path.display()))
            }
            _ => Ok(Self(location)),
        }
    }

    /// Its table `name`, or `schema.name`.
    ///
    /// # Errors
    /// [`Error::Unavailable`] if a server does not answer; [`Error::Internal`] if it refuses, or for a name that cannot be one.
    pub async fn table(&self, name: &str) -> Result<SourceTable, Error> {
        ForeignTable::open(&self.0, name).await.map(SourceTable)
    }
}

/// Reads the `table` to its end, and gives `take` its rows in batches; until it wants no more.
///
/// # Errors
/// [`Error::Unavailable`] or [`Error::Internal`], with the cause.
pub async fn read_table<Taken: Future<Output = bool>>(
    SourceTable(table): &mut SourceTable,
    columns: &Columns,
    rules: &RowRules,
    take: impl Fn(Batch) -> Taken,
) -> Result<(), Error> {
    let fields: Vec<_> = columns.in_table();
    let names: Vec<_> = fields.iter().map(|(_, column)| column.as_str()).collect();
    let mut rows = table.read(&names).await?;
    let (mut batch, mut place) = (Batch::default(), 0);
    while let Some(values) = rows.next().await? {
        place += 1;
        batch.rows.push(rules.row(place, record(&fields, values).map(|record| columns.settle(record))));
        if batch.rows.len() == BATCH && !take(std::mem::take(&mut batch)).await {
            return Ok(());
        }
    }
    take(batch).await;
    Ok(())
}

fn record(
    fields: &[(&'static str, String)],
    values: Vec<Option<ForeignValue>>,
) -> Result<Record, RefusedRow> {
    let mut record = Record::default();
    for ((name, _), value) in fields.iter().zip(values) {
        if let Some(held) = record.field(name) {
            *held = match value {
                // What is no bytes there is the text that it is, whatever it looks like: the source knows its users by it.
                Some(ForeignValue::Text(text)) if *name == "id" => Field::Text(utf8(name, &text)?.to_owned()),
                Some(ForeignValue::Text(text)) => field(name, &text)?,
                Some(ForeignValue::Bytes(digits)) => {
                    Field::of_bytes(name, &digits).map_err(|problem| malformed_field(name, problem))?
                }
                None => Field::Null,
            };
        }
    }
    Ok(record)
}

/// What URLs of SQLite say beyond the file, in SQLAlchemy, Django and Prisma: how their own clients open it.
const SQLITE_PARAMETERS: [&str; 10] = [
    "cache",
    "cached_statements",
    "check_same_thread",
    "connection_limit",
    "isolation_level",
    "mode",
    "socket_timeout",
    "timeout",
    "transaction_mode",
    "uri",
];

/// Where `url` leads: also in the forms of SQLAlchemy and Django, with three slashes before the path of a SQLite file, and of Prisma,
/// `file:`.
fn location(url: &str) -> Result<Location, String> {
    let (scheme, rest) = url.split_once(':').unwrap_or((url, ""));
    let scheme = scheme.split_once('+').map_or(scheme, |(scheme, _driver)| scheme);
    let written = match scheme {
        "sqlite" => rest.strip_prefix("///"),
        "file" => Some(rest),
        _ => None,
    };
    let Some(path) = written else { return url.parse() };
    let (path, query) = path.split_once('?').unwrap_or((path, ""));
    let known = |pair: &str| SQLITE_PARAMETERS.contains(&pair.split('=').next().unwrap_or(pair));
    if !query.split('&').all(|pair| pair.is_empty() || known(pair)) {
        return Err(format!(
            "has a parameter that is not known; known are {}; `sqlite:PATH` takes any path",
            SQLITE_PARAMETERS.join(", ")
        ));
    }
    format!("sqlite:{path}").parse()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urls_of_sqlalchemy_are_understood() {
        let shown = |url: &str| match location(url) {
            Ok(Location::File(path)) => path.display().to_string(),
            Ok(Location::Server(url)) => url.to_string(),
            Err(problem) => problem,
        };
        for (url, expected) in [
            ("sqlite:app.db", "app.db"),
            ("sqlite:///./app.db", "./app.db"),
            ("sqlite:////var/app.db", "/var/app.db"),
            ("sqlite+aiosqlite:///app.db", "app.db"),
            ("mysql+pymysql://u:hunter2@db/app?ssl-mode=REQUIRED", "mysql://db:3306/app"),
            ("postgresql+asyncpg://u:hunter2@db/app", "postgres://db:5432/app"),
            ("mysql+mysqldb://u:hunter2@db/app?charset=utf8mb4", "mysql://db:3306/app"),
            ("sqlite:///./app.db?check_same_thread=false&timeout=30", "./app.db"),
            ("sqlite:a?b.db", "a?b.db"),
            ("file:./dev.db?connection_limit=1", "./dev.db"),
        ] {
            assert_eq!(shown(url), expected);
        }
        for url in [
            "",
            "app.db",
            "oracle://u:hunter2@db/app",
            "mysql+pymysql://u:hunter2@db/app?tls=hunter2",
            "sqlite:///a.db?x=hunter2",
        ] {
            assert!(location(url).is_err_and(|problem| !problem.contains("hunter2")), "{url}");
        }
    }
}
