//! Owns the span of a statement in the trace of the request that has caused it.

use std::time::Duration;

use sea_orm::{DbBackend, Statement};

use crate::{
    base::{AttributeValue, Done, SpanKind},
    model::current_trace,
};

/// How statements begin that have a name.
const OPERATIONS: [&str; 9] =
    ["SELECT", "INSERT", "UPDATE", "DELETE", "WITH", "BEGIN", "COMMIT", "ROLLBACK", "SAVEPOINT"];

/// Adds `statement`, which has ended now and took so long, to the trace of the request that this task works for, if it is traced. What the
/// statement says is not told: its first word is.
pub(super) fn trace(statement: &Statement, took: Duration, has_failed: bool) {
    let Some(trace) = current_trace() else { return };
    let operation = operation(&statement.sql);
    let system = match statement.db_backend {
        DbBackend::Sqlite => "sqlite",
        DbBackend::Postgres => "postgresql",
        DbBackend::MySql => "mysql",
        _ => "other_sql",
    };
    let text = |value: &'static str| AttributeValue::Text(value.into());
    trace.add(
        took,
        Done {
            name: operation.into(),
            kind: SpanKind::Client,
            is_error: has_failed,
            attributes: vec![("db.system.name", text(system)), ("db.operation.name", text(operation))],
        },
    );
}

fn operation(sql: &str) -> &'static str {
    let first =
        sql.trim_start().split(|letter: char| !letter.is_ascii_alphabetic()).next().unwrap_or_default();
    OPERATIONS.into_iter().find(|name| name.eq_ignore_ascii_case(first)).unwrap_or("OTHER")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_statement_is_told_by_its_first_word_alone() {
        assert_eq!(operation("SELECT * FROM users WHERE name = 'alice'"), "SELECT");
        assert_eq!(operation(" insert into users"), "INSERT");
        assert_eq!(operation("alice"), "OTHER");
        assert_eq!(operation(""), "OTHER");
    }
}
