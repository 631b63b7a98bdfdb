//! Owns records as rows of another service's table, and where that is.

use super::{BATCH, Batch, Columns, Field, Record, RefusedRow, RowRules, csv::text};
use crate::{
    model::Error,
    store::{ForeignTable, Location},
};

/// Another service's database.
#[derive(Debug)]
pub struct SourceDatabase(Location);

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
    SourceTable(table): &SourceTable,
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

fn record(fields: &[(&'static str, String)], values: Vec<Option<Vec<u8>>>) -> Result<Record, RefusedRow> {
    let mut record = Record::default();
    for ((name, _), value) in fields.iter().zip(values) {
        if let Some(field) = record.field(name) {
            *field = match value {
                Some(value) => Field::Text(text(name, &value)?),
                None => Field::Null,
            };
        }
    }
    Ok(record)
}

/// Where `url` leads: also in the forms of SQLAlchemy, with a driver in the scheme, and with three slashes before a file's path.
fn location(url: &str) -> Result<Location, String> {
    let (scheme, rest) = url.split_once(':').unwrap_or((url, ""));
    let scheme = scheme.split_once('+').map_or(scheme, |(scheme, _driver)| scheme);
    match rest.strip_prefix("///") {
        Some(path) if scheme == "sqlite" => format!("sqlite:{path}").parse(),
        _ => format!("{scheme}:{rest}").parse(),
    }
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
        ] {
            assert_eq!(shown(url), expected);
        }
        for url in
            ["", "app.db", "oracle://u:hunter2@db/app", "mysql+pymysql://u:hunter2@db/app?charset=utf8mb4"]
        {
            assert!(location(url).is_err_and(|problem| !problem.contains("hunter2")), "{url}");
        }
    }
}
