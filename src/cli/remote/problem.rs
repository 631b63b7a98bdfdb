//! Owns what a command says of a call that was refused: the same as on the database, and what to do about a token.

use tonic::{Code, Status};
use tonic_types::{FieldViolation, StatusExt};

use crate::{
    cli::failure::{Failure, NamedFailure, Violation},
    errors::CommandReason,
};

/// Why a call failed.
pub(in crate::cli) fn failure(status: &Status) -> Failure {
    let details = status.get_error_details();
    let violations = details.bad_request().map(|request| request.field_violations.as_slice());
    let violations: Vec<_> = violations.unwrap_or_default().iter().map(violation).collect();
    let is_usage = !violations.is_empty();
    Failure::Named(Box::new(NamedFailure {
        // Each rule, as the operator is told on the database.
        error: if is_usage { Violation::sentence(&violations) } else { sentence(status) },
        reason: Some(reason(status)).filter(|reason| !reason.is_empty()).or_else(|| of_broken(status)),
        violations,
        code: Some(code(status.code())),
        request_id: details.request_info().map(|info| info.request_id.clone()),
        is_usage,
    }))
}

/// A field that breaks a rule.
fn violation(told: &FieldViolation) -> Violation {
    Violation {
        field: Violation::name(&told.field),
        reason: told.reason.clone(),
        description: told.description.clone(),
    }
}

/// The name of a code: `PERMISSION_DENIED`.
fn code(code: Code) -> String {
    let mut name = String::new();
    for letter in format!("{code:?}").chars() {
        if letter.is_ascii_uppercase() && !name.is_empty() {
            name.push('_');
        }
        name.push(letter.to_ascii_uppercase());
    }
    name
}

fn sentence(status: &Status) -> String {
    let message = status.message();
    match (status.code(), reason(status).as_str()) {
        (
            Code::Unauthenticated,
            "TOKEN_REVOKED" | "TOKEN_EXPIRED" | "TOKEN_INVALID" | "REFRESH_TOKEN_REUSED",
        ) => {
            format!("{message}: log in by `signet login`")
        }
        (Code::PermissionDenied, "INSUFFICIENT_SCOPE") => {
            format!(
                "{message}: whoever was given it since the login logs in again, by `signet login`; a client is registered with \
                 it (`signet clients update --add-scope`)"
            )
        }
        (Code::Unimplemented, _) => {
            "there is no admin API there: --server is the address of the service's --admin-addr".to_owned()
        }
        (_, "SET_OF_ANOTHER") => format!("{message}, by --take-over"),
        _ if is_broken(status) => {
            let hint = "--server is the address of the service's --admin-addr, with https:// before it if it speaks TLS";
            format!("the call was not answered ({}): {hint}", cause(status))
        }
        _ => message.to_owned(),
    }
}

/// Whether the connection broke, or what is there is no Signet.
fn is_broken(status: &Status) -> bool {
    reason(status).is_empty()
        && status.code() != Code::Unimplemented
        && (status.message().is_empty() || std::error::Error::source(status).is_some())
}

/// The reason of a call that broke.
fn of_broken(status: &Status) -> Option<String> {
    // A cause is the connection's: what a broken one is told by first, a pipe, an alert of TLS or a frame, is a race.
    let is_of_connection = std::error::Error::source(status).is_some();
    let reason = match status.code() {
        _ if is_of_connection => CommandReason::ServerUnreachable,
        Code::Unavailable | Code::Cancelled | Code::DeadlineExceeded => CommandReason::ServerUnreachable,
        _ => CommandReason::AnswerNotUnderstood,
    };
    is_broken(status).then(|| reason.name().to_owned())
}

/// What a call broke by, in one sentence: what stands around it is the library's, for who debugs it.
fn cause(status: &Status) -> String {
    let mut innermost = std::error::Error::source(status);
    while let Some(inner) = innermost.and_then(std::error::Error::source) {
        innermost = Some(inner);
    }
    innermost.map_or_else(|| status.code().description().to_owned(), ToString::to_string)
}

/// The reason of `status`; empty if it has none.
pub(super) fn reason(status: &Status) -> String {
    status.get_details_error_info().map(|info| info.reason).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_broke_is_told_in_one_sentence_with_a_reason() {
        // Of one kind, whichever comes first.
        for cause in ["frame with invalid size", "broken pipe", "received fatal alert: UnexpectedMessage"] {
            let object = failure(&Status::from_error(Box::new(std::io::Error::other(cause)))).object();
            assert_eq!(object["reason"], "SERVER_UNREACHABLE", "{object}");
            let said = object["error"].as_str().unwrap();
            assert!(said.starts_with(&format!("the call was not answered ({cause}): --server")), "{said}");
        }
        for (status, reason) in
            [(Status::unavailable(""), "SERVER_UNREACHABLE"), (Status::unknown(""), "ANSWER_NOT_UNDERSTOOD")]
        {
            assert_eq!(failure(&status).object()["reason"], reason);
        }
    }
}
