//! Owns what a command says of a call that was refused: the same as on the database, and what to do about a token.

use tonic::{Code, Status};
use tonic_types::{FieldViolation, StatusExt};

use crate::{
    cli::failure::{Failure, NamedFailure, Violation},
    model::error::chain,
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
        reason: Some(reason(status)).filter(|reason| !reason.is_empty()),
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
        // The connection broke, or what is there is no Signet.
        (_, "") if message.is_empty() || std::error::Error::source(status).is_some() => {
            let hint = "--server is the address of the service's --admin-addr, with https:// before it if it speaks TLS";
            format!("{}: {hint}", chain(status))
        }
        _ => message.to_owned(),
    }
}

/// The reason of `status`; empty if it has none.
pub(super) fn reason(status: &Status) -> String {
    status.get_details_error_info().map(|info| info.reason).unwrap_or_default()
}
