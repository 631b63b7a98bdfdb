//! Owns which keys one import has met so far, and where: on the disk, so that a million of them take no memory.

use std::collections::HashMap;

use sea_orm::sqlx::{
    self, AssertSqlSafe, ConnectOptions as _, Row,
    sqlite::{SqliteConnectOptions, SqliteConnection, SqliteJournalMode, SqliteSynchronous},
};

use crate::model::Error;

/// Keys, and the place of the row where each was met first.
///
/// They are kept in a temporary database of SQLite's own: a file without a name, which is gone with the process however that
/// ends.
#[derive(Debug)]
pub struct SeenKeys(SqliteConnection);

impl SeenKeys {
    /// None yet.
    ///
    /// # Errors
    /// [`Error::Internal`] if there is no room for a temporary file.
    pub async fn open() -> Result<Self, Error> {
        let mut connection = SqliteConnectOptions::new()
            // SQLite takes no name for a private, temporary file (<https://sqlite.org/inmemorydb.html#temp_db>).
            .filename("")
            .journal_mode(SqliteJournalMode::Off)
            .synchronous(SqliteSynchronous::Off)
            // 32 MiB of pages, so that keys in no order do not go to the disk and back for each batch.
            .pragma("cache_size", "-32768")
            .disable_statement_logging()
            .connect()
            .await
            .map_err(Error::internal)?;
        sqlx::query("CREATE TABLE seen (key TEXT PRIMARY KEY, place INTEGER NOT NULL) WITHOUT ROWID")
            .execute(&mut connection)
            .await
            .map_err(Error::internal)?;
        Ok(Self(connection))
    }

    /// Notes keys and their places. Returns for each the place where it was met before, if it was.
    ///
    /// # Errors
    /// [`Error::Internal`] if there is no more room for a temporary file.
    pub async fn note(&mut self, keys: &[(String, u64)]) -> Result<Vec<Option<u64>>, Error> {
        let mut places = Vec::with_capacity(keys.len());
        for keys in keys.chunks(crate::store::BATCH) {
            places.extend(self.note_some(keys).await.map_err(Error::internal)?);
        }
        Ok(places)
    }

    async fn note_some(&mut self, keys: &[(String, u64)]) -> Result<Vec<Option<u64>>, sqlx::Error> {
        let earlier = self.find(keys).await?;
        let rows = vec!["(?,?)"; keys.len()].join(",");
        let insert = AssertSqlSafe(format!("INSERT OR IGNORE INTO seen VALUES {rows}"));
        let mut insert = sqlx::query(insert);
        for (key, place) in keys {
            insert = insert.bind(key).bind(place.cast_signed());
        }
        insert.execute(&mut self.0).await?;
        let mut first = earlier;
        Ok(keys
            .iter()
            .map(|(key, place)| {
                let met = first.get(key.as_str()).copied();
                if met.is_none() {
                    first.insert(key.clone(), *place);
                }
                met
            })
            .collect())
    }

    async fn find(&mut self, keys: &[(String, u64)]) -> Result<HashMap<String, u64>, sqlx::Error> {
        let places = vec!["?"; keys.len()].join(",");
        let select = AssertSqlSafe(format!("SELECT key, place FROM seen WHERE key IN ({places})"));
        let mut select = sqlx::query(select);
        for (key, _) in keys {
            select = select.bind(key);
        }
        let rows = select.fetch_all(&mut self.0).await?;
        rows.iter().map(|row| Ok((row.try_get(0)?, row.try_get::<i64, _>(1)?.cast_unsigned()))).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_key_is_told_with_the_place_where_it_was_met_first() {
        let mut seen = SeenKeys::open().await.unwrap();
        let keys = |keys: &[(&str, u64)]| {
            keys.iter().map(|(key, place)| ((*key).to_owned(), *place)).collect::<Vec<_>>()
        };
        assert_eq!(seen.note(&keys(&[("a", 1), ("b", 2), ("a", 3)])).await.unwrap(), [None, None, Some(1)]);
        assert_eq!(seen.note(&keys(&[("c", 4), ("b", 5), ("A", 6)])).await.unwrap(), [None, Some(2), None]);
        let many: Vec<_> = (0..1_200).map(|number| (format!("key {number}"), number)).collect();
        assert!(seen.note(&many).await.unwrap().iter().all(Option::is_none));
        assert!(
            seen.note(&many).await.unwrap().iter().enumerate().all(|(place, met)| *met == Some(place as u64))
        );
    }
}
