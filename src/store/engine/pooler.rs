//! Owns noticing a pooler between this service and PostgreSQL, and whether it keeps what each connection has prepared.
//!
//! In transaction mode PgBouncer gives each transaction whichever connection to the server is free. What one client has prepared there,
//! another then meets, and each loses its own: logins would fail now and then, under load most. From 1.21 on `max_prepared_statements`
//! prevents it.

use std::{borrow::Cow, time::Duration};

use sea_orm::sqlx::{
    self, AssertSqlSafe, ConnectOptions as _, Connection, Row, postgres::PgConnectOptions,
    postgres::PgConnection,
};

use super::{
    connect::{PoolSettings, postgres},
    failure,
};
use crate::model::Error;

/// What is told of a pooler that the service cannot use.
const UNUSABLE: &str = "a connection pooler stands there that does not keep what each connection prepares, such as PgBouncer in \
     transaction mode before 1.21 or without max_prepared_statements: name the database's own address (docs/OPERATIONS.md, \"PgBouncer\")";

/// How often it is tried whether two connections meet: others may use the pooler at the same time.
const ROUNDS: u32 = 4;

/// What the server is asked for beside what the settings say, to see whether it hears it.
const MARK: Duration = Duration::from_millis(1);

/// Connects to a server of PostgreSQL once, to hear why not if it fails; and refuses a pooler that would lose what is prepared.
///
/// # Errors
/// The driver's, or what is told of the pooler.
pub(super) async fn connect_once(
    options: &PgConnectOptions,
    settings: PoolSettings,
) -> Result<(), PoolerProblem> {
    let marked = settings.statement_timeout + MARK;
    let options_marked = postgres(options.clone(), PoolSettings { statement_timeout: marked, ..settings });
    let mut connection = options_marked.connect().await?;
    let shown = statement_timeout(&mut connection).await?;
    if !is_shown(&shown, marked) {
        // What each connection asks for at its start has not come to the server.
        let mut other = postgres(options.clone(), settings).connect().await?;
        meet(&mut connection, &mut other).await?;
        let expected = settings.statement_timeout;
        if !is_shown(&shown, expected) {
            tracing::warn!(
                statement_timeout = shown,
                ?expected,
                "a connection pooler keeps settings from the database: give them to its role (docs/OPERATIONS.md, \"PgBouncer\")"
            );
        }
        let _ = other.close().await;
    }
    // It has served its purpose; if it does not close, the server will.
    let _ = connection.close().await;
    Ok(())
}

/// Why a server cannot be used.
#[derive(Debug)]
pub(super) enum PoolerProblem {
    /// The driver's error.
    Driver(sqlx::Error),
    /// A pooler stands there.
    Pooler,
}

impl From<sqlx::Error> for PoolerProblem {
    fn from(error: sqlx::Error) -> Self {
        let code = error.as_database_error().and_then(|answer| answer.code().map(Cow::into_owned));
        let is_pooler = match code.as_deref() {
            // A prepared statement that another has made, or that is gone.
            Some("42P05" | "26000") => true,
            // PgBouncer takes no settings at the start but those that it is told to ignore. PostgreSQL says otherwise what it does not
            // know.
            Some("08P01") => error.to_string().contains("unsupported startup parameter"),
            _ => false,
        };
        if is_pooler { Self::Pooler } else { Self::Driver(error) }
    }
}

impl From<PoolerProblem> for Error {
    fn from(problem: PoolerProblem) -> Self {
        match problem {
            PoolerProblem::Driver(error) => failure::of_connecting(error),
            PoolerProblem::Pooler => Self::internal(UNUSABLE),
        }
    }
}

/// How long a statement may take on the server, as it says itself: in the simple protocol, which prepares nothing.
async fn statement_timeout(connection: &mut PgConnection) -> Result<String, sqlx::Error> {
    sqlx::raw_sql("SHOW statement_timeout").fetch_one(connection).await?.try_get(0)
}

/// Has two connections prepare the same, by turns: where they share one to the server, the second meets what the first has left.
async fn meet(one: &mut PgConnection, other: &mut PgConnection) -> Result<(), sqlx::Error> {
    for round in 0..ROUNDS {
        let sql = format!("SELECT {round} + $1::int4");
        for of_one in [true, false, true] {
            let connection = if of_one { &mut *one } else { &mut *other };
            sqlx::query(AssertSqlSafe(sql.clone())).bind(1_i32).execute(connection).await?;
        }
    }
    Ok(())
}

/// Whether the server says `shown` of a setting of `time`: in milliseconds, or in a larger unit that has it whole.
fn is_shown(shown: &str, time: Duration) -> bool {
    let digits = shown.trim_end_matches(|char: char| char.is_ascii_alphabetic());
    let unit = match &shown[digits.len()..] {
        "" | "ms" => 1,
        "s" => 1_000,
        "min" => 60_000,
        "h" => 3_600_000,
        _ => return false,
    };
    digits.trim().parse::<u128>().is_ok_and(|number| number * unit == time.as_millis())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_setting_is_known_in_every_unit() {
        for (shown, millis, expected) in [
            ("1001ms", 1_001, true),
            ("1s", 1_000, true),
            ("2min", 120_000, true),
            ("1001", 1_001, true),
            ("0", 1_001, false),
            ("1s", 1_001, false),
            ("never", 1_001, false),
        ] {
            assert_eq!(is_shown(shown, Duration::from_millis(millis)), expected, "{shown}");
        }
    }
}
