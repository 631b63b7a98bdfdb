//! Owns what a command says of a call that was refused: the same as on the database, and what to do about a token.

use tonic::{Code, Status};
use tonic_types::StatusExt;

use crate::{cli::Failure, model::error::chain};

/// Why a call failed.
pub(in crate::cli) fn failure(status: &Status) -> Failure {
    let violations = status.get_details_bad_request().map(|details| details.field_violations);
    if let Some(violations) = violations.filter(|violations| !violations.is_empty()) {
        // Each rule, as the operator is told on the database.
        let rules: Vec<_> =
            violations.iter().map(|rule| format!("the {} {}", rule.field, rule.description)).collect();
        return Failure::Usage(rules.join("; "));
    }
    let message = status.message();
    Failure::Failed(match (status.code(), reason(status).as_str()) {
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
    })
}

/// The reason of `status`; empty if it has none.
pub(super) fn reason(status: &Status) -> String {
    status.get_details_error_info().map(|info| info.reason).unwrap_or_default()
}
