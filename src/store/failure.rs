//! Owns the judgement which database failures pass and which are defects.

use sea_orm::{DbErr, RuntimeErr, SqlErr, sqlx};

use crate::model::Error;

/// SQLite's primary result codes that say the database cannot serve at the moment: BUSY, LOCKED, NOMEM, READONLY, IOERR, FULL,
/// CANTOPEN, PROTOCOL (<https://sqlite.org/rescode.html>).
const SQLITE_UNAVAILABLE: [i32; 8] = [5, 6, 7, 8, 10, 13, 14, 15];

/// The error that a caller gets for `error`.
pub(super) fn from(error: DbErr) -> Error {
    if is_unavailable(&error) {
        Error::Unavailable { what: "database", source: Box::new(error) }
    } else {
        Error::Internal(Box::new(error))
    }
}

/// Whether `error` says that a unique value is there already.
pub(super) fn is_duplicate(error: &DbErr) -> bool {
    matches!(error.sql_err(), Some(SqlErr::UniqueConstraintViolation(_)))
}

fn is_unavailable(error: &DbErr) -> bool {
    match error {
        DbErr::ConnectionAcquire(_) | DbErr::Conn(_) => true,
        DbErr::Exec(RuntimeErr::SqlxError(cause)) | DbErr::Query(RuntimeErr::SqlxError(cause)) => {
            match cause.as_ref() {
                sqlx::Error::Io(_)
                | sqlx::Error::PoolTimedOut
                | sqlx::Error::PoolClosed
                | sqlx::Error::WorkerCrashed => true,
                sqlx::Error::Database(cause) => cause
                    .code()
                    .and_then(|code| code.parse::<i32>().ok())
                    // An extended code carries its primary code in its low byte.
                    .is_some_and(|code| SQLITE_UNAVAILABLE.contains(&(code & 0xff))),
                _ => false,
            }
        }
        _ => false,
    }
}
