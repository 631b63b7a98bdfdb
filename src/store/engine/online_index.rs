//! Owns building an index of a table that is in use: nobody waits for it but for moments.

use sea_orm::{ConnectionTrait, DbBackend, DbErr, Statement};

use crate::model::Error;
use crate::store::{
    PoolSettings, Store,
    engine::{failure, schema::MIGRATION_TIMEOUT},
};

/// An index that a job builds.
#[derive(Clone, Copy, Debug)]
pub(in crate::store) struct OnlineIndex {
    pub(in crate::store) name: &'static str,
    pub(in crate::store) table: &'static str,
    pub(in crate::store) columns: [&'static str; 2],
}

/// How MySQL is to wait for whoever uses the table when the build begins and ends: briefly, since everybody else waits behind it. If that
/// is not enough, the build fails, and the job tries again later.
const MYSQL_LOCK_WAIT: &str = "SET SESSION lock_wait_timeout = 1";

impl Store {
    /// Builds `index`, unless it is there.
    ///
    /// # Errors
    /// [`Error::Unavailable`] or [`Error::Internal`], with the cause.
    pub(in crate::store) async fn build_index(&self, index: OnlineIndex) -> Result<(), Error> {
        let Some((url, settings)) = &self.server else {
            // It takes the turn of a writer, and is not cut off: SQLite would go on with it all the same.
            return build_on_sqlite(&self.writer, index).await.map_err(failure::from);
        };
        // What bounds a call must not cut a build, so it gets a connection of its own.
        let patient = PoolSettings { size: 1, statement_timeout: MIGRATION_TIMEOUT, ..*settings };
        let own = Self::connect(url, patient, self.entropy.clone()).await?;
        let built = match own.writer.get_database_backend() {
            DbBackend::MySql => build_on_mysql(&own.writer, index).await,
            _ => build_on_postgres(&own.writer, index).await,
        };
        own.close().await;
        built.map_err(failure::from)
    }
}

async fn build_on_sqlite(db: &impl ConnectionTrait, index: OnlineIndex) -> Result<(), DbErr> {
    let OnlineIndex { name, table, columns: [first, second] } = index;
    let sql = format!(r#"CREATE INDEX IF NOT EXISTS "{name}" ON "{table}" ("{first}", "{second}")"#);
    db.execute_unprepared(&sql).await.map(drop)
}

async fn build_on_postgres(db: &impl ConnectionTrait, index: OnlineIndex) -> Result<(), DbErr> {
    let OnlineIndex { name, table, columns: [first, second] } = index;
    // What was cut off leaves an index that is not valid, and is never used.
    let state = format!("SELECT indisvalid FROM pg_index WHERE indexrelid = to_regclass('\"{name}\"')");
    match ask(db, &state).await? {
        Some(true) => return Ok(()),
        Some(false) => {
            db.execute_unprepared(&format!(r#"DROP INDEX CONCURRENTLY IF EXISTS "{name}""#)).await?;
        }
        None => {}
    }
    let sql =
        format!(r#"CREATE INDEX CONCURRENTLY IF NOT EXISTS "{name}" ON "{table}" ("{first}", "{second}")"#);
    db.execute_unprepared(&sql).await?;
    match ask(db, &state).await? {
        Some(true) => Ok(()),
        _ => Err(DbErr::Custom(format!("the index {name} is not valid: another process may be building it"))),
    }
}

async fn build_on_mysql(db: &impl ConnectionTrait, index: OnlineIndex) -> Result<(), DbErr> {
    let OnlineIndex { name, table, columns: [first, second] } = index;
    let is_there = format!(
        "SELECT COUNT(*) > 0 FROM information_schema.statistics \
         WHERE table_schema = DATABASE() AND table_name = '{table}' AND index_name = '{name}'"
    );
    if ask(db, &is_there).await? == Some(true) {
        return Ok(());
    }
    db.execute_unprepared(MYSQL_LOCK_WAIT).await?;
    let sql = format!(
        "ALTER TABLE `{table}` ADD INDEX `{name}` (`{first}`, `{second}`), ALGORITHM=INPLACE, LOCK=NONE"
    );
    match db.execute_unprepared(&sql).await {
        Err(error) if failure::is_made_already(&error) => Ok(()),
        built => built.map(drop),
    }
}

/// The truth value that `sql` answers; none if it answers nothing.
async fn ask(db: &impl ConnectionTrait, sql: &str) -> Result<Option<bool>, DbErr> {
    let row = db.query_one_raw(Statement::from_string(db.get_database_backend(), sql)).await?;
    row.map(|row| row.try_get_by_index(0)).transpose()
}
