//! Owns the exit codes of commands that fail, after `sysexits.h`: what a script does next depends on what went wrong.

use super::Failure;
use crate::{errors::CommandReason, install::FileProblem};

/// The command was refused, or failed.
const FAILED: u8 = 1;

/// A setting or an argument cannot be used: what shells take, and not the 64 of `sysexits.h`.
const USAGE: u8 = 2;

/// Rows of an import were refused, and everything else was done (`EX_DATAERR`).
const ROWS_REFUSED: u8 = 65;

/// What the command needs does not answer (`EX_UNAVAILABLE`): it may another time.
const UNAVAILABLE: u8 = 69;

/// Who asks may not (`EX_NOPERM`).
const NO_PERMISSION: u8 = 77;

/// Reasons that have a code of their own.
const BY_REASON: [(&str, u8); 8] = [
    (CommandReason::RowsRefused.name(), ROWS_REFUSED),
    (CommandReason::DatabaseUnavailable.name(), UNAVAILABLE),
    (CommandReason::SourceUnavailable.name(), UNAVAILABLE),
    (CommandReason::ServerUnreachable.name(), UNAVAILABLE),
    // Of a statement, and of a call.
    ("UNAVAILABLE", UNAVAILABLE),
    (CommandReason::NotLoggedIn.name(), NO_PERMISSION),
    (FileProblem::Forbidden.name(), NO_PERMISSION),
    (CommandReason::DatabaseForbidden.name(), NO_PERMISSION),
];

/// The codes of gRPC that say so whatever the reason.
const BY_CODE: [(&str, u8); 3] =
    [("UNAVAILABLE", UNAVAILABLE), ("UNAUTHENTICATED", NO_PERMISSION), ("PERMISSION_DENIED", NO_PERMISSION)];

/// The code that a command ends with which failed by `failure`.
pub(super) fn code(failure: &Failure) -> u8 {
    let Failure::Named(named) = failure else { return if failure.is_usage() { USAGE } else { FAILED } };
    if named.is_usage {
        return USAGE;
    }
    let of = |name: Option<&String>, table: &[(&str, u8)]| {
        table.iter().find(|(known, _)| name.is_some_and(|name| name == known)).map(|(_, code)| *code)
    };
    of(named.reason.as_ref(), &BY_REASON).or_else(|| of(named.code.as_ref(), &BY_CODE)).unwrap_or(FAILED)
}
