//! Owns the classification of database failures: which of them pass, after which to try again, and which are defects.

use sea_orm::{
    DbErr, RuntimeErr, SqlErr,
    sqlx::{
        self, error::DatabaseError, mysql::MySqlDatabaseError, postgres::PgDatabaseError, sqlite::SqliteError,
    },
};

use crate::model::{Error, error::chain};

/// The class of a database failure: whether another attempt makes sense.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::store) enum FailureClass {
    /// The database took back the transaction in favour of another one, or refused it for the moment: done again, it may well
    /// succeed.
    Conflict,
    /// The connection is gone, and with it a transaction that was not yet being committed.
    Disconnected,
    /// The database cannot serve at the moment.
    Unavailable,
    /// Not a failure of the database.
    Defect,
}

/// The error that a caller gets for `error`.
#[expect(
    clippy::needless_pass_by_value,
    reason = "it is what is done with an error that is there: `map_err`"
)]
pub(in crate::store) fn from(error: DbErr) -> Error {
    let sentence = match &error {
        DbErr::Conn(RuntimeErr::SqlxError(cause))
        | DbErr::Exec(RuntimeErr::SqlxError(cause))
        | DbErr::Query(RuntimeErr::SqlxError(cause)) => told(cause),
        _ => chain(&error),
    };
    match classify(&error) {
        FailureClass::Defect if is_denial(&error) => Error::denied(sentence),
        FailureClass::Defect => Error::internal(sentence),
        FailureClass::Conflict | FailureClass::Disconnected | FailureClass::Unavailable => {
            Error::Unavailable { what: "database", source: sentence.into() }
        }
    }
}

/// The error that a caller gets if connecting fails with `error`.
#[expect(
    clippy::needless_pass_by_value,
    reason = "it is what is done with an error that is there: `map_err`"
)]
pub(in crate::store) fn of_connecting(error: sqlx::Error) -> Error {
    let sentence = if speaks_otherwise(&error) { OTHER_PROTOCOL.to_owned() } else { told(&error) };
    match classify_cause(&error) {
        // A wrong password, a database that is not there, a certificate that is not trusted: waiting does not help.
        FailureClass::Defect => Error::internal(sentence),
        _ if is_untrusted(&error) => Error::internal(sentence),
        _ => Error::Unavailable { what: "database", source: sentence.into() },
    }
}

/// What is told of a server that does not keep to the protocol.
const OTHER_PROTOCOL: &str = "what answers there does not speak as such a database does: is it another one, or a proxy with none behind it?";

/// Whether `error` says that the server does not keep to the protocol: the driver has names of its own source for that.
fn speaks_otherwise(error: &sqlx::Error) -> bool {
    match error {
        sqlx::Error::Protocol(_) => true,
        sqlx::Error::Io(cause) => {
            cause.kind() == std::io::ErrorKind::UnexpectedEof
                && cause.to_string().starts_with("expected to read")
        }
        _ => false,
    }
}

/// Whether `error` says that the server's certificate is not trusted: the driver has it among the failures of the connection.
fn is_untrusted(error: &sqlx::Error) -> bool {
    let sqlx::Error::Io(cause) = error else { return false };
    let cause = cause.get_ref().and_then(|cause| cause.downcast_ref::<rustls::Error>());
    matches!(cause, Some(rustls::Error::InvalidCertificate(_)))
}

/// What the database says, or why it says nothing, without what libraries put before it. The driver adds to PostgreSQL's sentences the line
/// of PostgreSQL's own source in which they stand: whoever reads it looks for it in their files.
pub(in crate::store) fn told(cause: &sqlx::Error) -> String {
    let Some(answer) = cause.as_database_error() else { return chain(cause) };
    let sentence = answer.to_string();
    match answer.try_downcast_ref::<PgDatabaseError>().and_then(PgDatabaseError::line) {
        Some(line) => sentence.replace(&format!(" at line {line}"), ""),
        None => sentence,
    }
}

/// Whether `error` says that the database's user may not do what a statement does.
fn is_denial(error: &DbErr) -> bool {
    let (DbErr::Exec(RuntimeErr::SqlxError(cause)) | DbErr::Query(RuntimeErr::SqlxError(cause))) = error
    else {
        return false;
    };
    let Some(answer) = cause.as_database_error() else { return false };
    if let Some(answer) = answer.try_downcast_ref::<PgDatabaseError>() {
        return answer.code() == "42501";
    }
    let number = answer.try_downcast_ref::<MySqlDatabaseError>().map(MySqlDatabaseError::number);
    // Of a database, a table, a column, and what is nobody's but an administrator's.
    matches!(number, Some(1044 | 1142 | 1143 | 1227))
}

/// Whether `error` says that a unique value is there already.
pub(in crate::store) fn is_duplicate(error: &DbErr) -> bool {
    matches!(error.sql_err(), Some(SqlErr::UniqueConstraintViolation(_)))
}

/// Whether `error` says that what a migration was to make is there already: another process has made it meanwhile.
pub(in crate::store) fn is_made_already(error: &DbErr) -> bool {
    let (DbErr::Exec(RuntimeErr::SqlxError(cause)) | DbErr::Query(RuntimeErr::SqlxError(cause))) = error
    else {
        return false;
    };
    let number = cause
        .as_database_error()
        .and_then(|answer| answer.try_downcast_ref::<MySqlDatabaseError>())
        .map(MySqlDatabaseError::number);
    // A table, a column, an index of that name.
    is_duplicate(error) || matches!(number, Some(1050 | 1060 | 1061))
}

pub(in crate::store) fn classify(error: &DbErr) -> FailureClass {
    match error {
        DbErr::Conn(RuntimeErr::SqlxError(cause)) => match classify_cause(cause) {
            // What the server says of a new connection, such as of its password, concerns no statement.
            FailureClass::Defect => FailureClass::Unavailable,
            other => other,
        },
        // There is no connection to be had: the pool has tried for as long as it may.
        DbErr::Conn(_) | DbErr::ConnectionAcquire(_) => FailureClass::Unavailable,
        DbErr::Exec(RuntimeErr::SqlxError(cause)) | DbErr::Query(RuntimeErr::SqlxError(cause)) => {
            classify_cause(cause)
        }
        _ => FailureClass::Defect,
    }
}

pub(in crate::store) fn classify_cause(cause: &sqlx::Error) -> FailureClass {
    match cause {
        // What does not keep to the protocol is no database: a proxy with none behind it closes what it has just accepted, which is
        // told so where PostgreSQL would have answered about TLS.
        sqlx::Error::Io(_) | sqlx::Error::Protocol(_) => FailureClass::Disconnected,
        sqlx::Error::PoolTimedOut | sqlx::Error::PoolClosed | sqlx::Error::WorkerCrashed => {
            FailureClass::Unavailable
        }
        sqlx::Error::Database(cause) => classify_answer(cause.as_ref()),
        _ => FailureClass::Defect,
    }
}

fn classify_answer(answer: &dyn DatabaseError) -> FailureClass {
    if let Some(answer) = answer.try_downcast_ref::<PgDatabaseError>() {
        classify_sqlstate(answer.code())
    } else if let Some(answer) = answer.try_downcast_ref::<MySqlDatabaseError>() {
        classify_mysql(answer.number())
    } else if answer.try_downcast_ref::<SqliteError>().is_some() {
        answer.code().and_then(|code| code.parse().ok()).map_or(FailureClass::Defect, classify_sqlite)
    } else {
        FailureClass::Defect
    }
}

/// By the result codes of SQLite (<https://sqlite.org/rescode.html>).
const fn classify_sqlite(code: i32) -> FailureClass {
    // An extended code carries its primary code in its low byte.
    match code & 0xff {
        // BUSY: another process writes, or opens the database for the first time.
        5 => FailureClass::Conflict,
        // LOCKED, NOMEM, READONLY, IOERR, FULL, CANTOPEN, PROTOCOL.
        6..=8 | 10 | 13..=15 => FailureClass::Unavailable,
        _ => FailureClass::Defect,
    }
}

/// By the codes of PostgreSQL, appendix A.
fn classify_sqlstate(code: &str) -> FailureClass {
    match code {
        // Serialization failure, deadlock, a lock that was not to be had.
        "40001" | "40P01" | "55P03" => FailureClass::Conflict,
        // The administrator, a crash, or the start ends connections; so do limits on idle ones.
        "57P01" | "57P02" | "57P03" | "57P05" | "25P03" => FailureClass::Disconnected,
        // A statement that took too long; a standby, which only reads.
        "57014" | "25006" => FailureClass::Unavailable,
        _ => match code.get(..2) {
            Some("08") => FailureClass::Disconnected,
            // Out of disk, memory or connections; the operating system failed.
            Some("53" | "58") => FailureClass::Unavailable,
            _ => FailureClass::Defect,
        },
    }
}

/// By the error numbers of MySQL and MariaDB.
fn classify_mysql(number: u16) -> FailureClass {
    match number {
        // Lock wait timeout, deadlock (Galera's failed certification too), a row changed since it was read.
        1205 | 1213 | 1020
        // A savepoint that is not there: the transaction that it was in is gone (transaction.rs).
        | 1305
        // A node of Galera that is not ready, and did nothing: it, or the one that a proxy leads to next, may soon be.
        | 1047 => FailureClass::Conflict,
        // Shutting down, aborted, network errors, a connection that was killed or was idle for too long.
        1053 | 1152 | 1158..=1161 | 1184 | 1927 | 4031 => FailureClass::Disconnected,
        // Out of memory, disk, connections; errors in reading and writing files.
        1021 | 1026 | 1030 | 1037 | 1040 | 1041 | 1114 | 1129 | 1135 | 1180 | 1203 | 1226 | 1878
        // Read-only, by any of its names.
        | 1223 | 1290 | 1792 | 1836
        // Interrupted, or took too long.
        | 1317 | 1969 | 3024 => FailureClass::Unavailable,
        _ => FailureClass::Defect,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_certificate_that_is_not_trusted_does_not_pass_and_a_connection_that_broke_does() {
        let io = |cause: rustls::Error| {
            of_connecting(sqlx::Error::Io(std::io::Error::new(std::io::ErrorKind::InvalidData, cause)))
        };
        let untrusted = io(rustls::Error::InvalidCertificate(rustls::CertificateError::UnknownIssuer));
        assert!(matches!(untrusted, Error::Internal(_)), "{untrusted:?}");
        let broken = io(rustls::Error::HandshakeNotComplete);
        assert!(matches!(broken, Error::Unavailable { .. }), "{broken:?}");
    }

    #[test]
    fn what_passes_is_never_a_defect_and_a_defect_is_never_tried_again() {
        let failures =
            ["40001", "40P01", "57P01", "08006", "53100", "57014", "25006", "23505", "42P01", "", "5"];
        assert_eq!(
            failures.map(classify_sqlstate),
            [
                FailureClass::Conflict,
                FailureClass::Conflict,
                FailureClass::Disconnected,
                FailureClass::Disconnected,
                FailureClass::Unavailable,
                FailureClass::Unavailable,
                FailureClass::Unavailable,
                FailureClass::Defect,
                FailureClass::Defect,
                FailureClass::Defect,
                FailureClass::Defect,
            ]
        );
        // BUSY, BUSY_SNAPSHOT, FULL, READONLY_DBMOVED; CONSTRAINT_UNIQUE, NOTADB.
        assert_eq!(
            [5, 517, 13, 1032, 2067, 26].map(classify_sqlite),
            [
                FailureClass::Conflict,
                FailureClass::Conflict,
                FailureClass::Unavailable,
                FailureClass::Unavailable,
                FailureClass::Defect,
                FailureClass::Defect,
            ]
        );
        assert_eq!(
            [1213, 1205, 1053, 1021, 1047, 1290, 1062, 1146].map(classify_mysql),
            [
                FailureClass::Conflict,
                FailureClass::Conflict,
                FailureClass::Disconnected,
                FailureClass::Unavailable,
                FailureClass::Conflict,
                FailureClass::Unavailable,
                FailureClass::Defect,
                FailureClass::Defect,
            ]
        );
    }
}
