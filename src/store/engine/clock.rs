//! Owns asking the database for the time.

use sea_orm::{ConnectionTrait, DbBackend, DbErr, Statement};

use crate::store::Store;
use crate::{
    base::{Clock, Timestamp},
    model::Error,
};

/// Microseconds since 1970 by the clock of the server, now, and not when a transaction began.
const POSTGRES: &str = "SELECT (EXTRACT(EPOCH FROM clock_timestamp()) * 1000000)::bigint";
const MYSQL: &str = "SELECT CAST(TIMESTAMPDIFF(MICROSECOND, '1970-01-01', UTC_TIMESTAMP(6)) AS SIGNED)";

/// Where the database's time comes from.
#[derive(Clone, Debug)]
pub enum DatabaseClock {
    /// From its server. SQLite has no clock but the machine's.
    Own,
    /// From this clock, whatever the server says: a test's.
    Given(Clock),
}

impl Store {
    /// The same database, whose time comes from `clock`.
    #[must_use]
    pub fn with_clock(self, clock: DatabaseClock) -> Self {
        Self { clock, ..self }
    }

    /// The time of the database; none if it has no clock of its own.
    ///
    /// # Errors
    /// [`Error::Unavailable`] or [`Error::Internal`], with the cause.
    pub async fn time(&self) -> Result<Option<Timestamp>, Error> {
        if let DatabaseClock::Given(clock) = &self.clock {
            return Ok(Some(clock.now()));
        }
        let db = &self.lanes.service.reader;
        let backend = db.get_database_backend();
        let sql = match backend {
            DbBackend::Postgres => POSTGRES,
            DbBackend::MySql => MYSQL,
            _ => return Ok(None),
        };
        let micros: i64 = self
            .ask(|| async {
                let row = db.query_one_raw(Statement::from_string(backend, sql)).await?;
                row.ok_or_else(|| DbErr::RecordNotFound("the database told no time".to_owned()))?
                    .try_get_by_index(0)
            })
            .await?;
        Ok(Some(Timestamp::from_micros(micros)))
    }
}
