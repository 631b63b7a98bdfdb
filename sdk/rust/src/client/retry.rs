//! Owns which failed calls are made once more: those whose own token was refused, and of which nothing was done.

use signet::proto::ERROR_DOMAIN;
use tonic::{Code, Status};
use tonic_types::StatusExt;

/// A call that has failed.
pub(crate) struct FailedCall<'a> {
    /// Its path, `/package.Service/Method`.
    pub(crate) method: &'a str,
    /// Whom its token was for.
    pub(crate) audience: &'a str,
    /// Whether neither side streams.
    pub(crate) is_unary: bool,
    /// Whether a message of the answer was received.
    pub(crate) was_answered: bool,
    /// Which attempt it was, from 1 on.
    pub(crate) attempt: u32,
}

/// Whether `call`, which was refused by `status`, is worth another attempt with another token: only if its own token was refused, by the
/// service that was called. That one may have done its work, and pass on what the next service has answered to it.
pub(crate) fn is_worth_another(call: &FailedCall<'_>, status: &Status) -> bool {
    call.is_unary
        && !call.was_answered
        && call.attempt <= 1
        && refuses_token(call.method, call.audience, status)
}

/// Whether `status` says that the service which was called, at this method, no longer takes the token for this audience.
pub(super) fn refuses_token(method: &str, audience: &str, status: &Status) -> bool {
    if status.code() != Code::Unauthenticated {
        return false;
    }
    let Some(info) = status.get_details_error_info() else { return false };
    let says = |key: &str, value: &str| info.metadata.get(key).is_some_and(|said| said == value);
    info.domain == ERROR_DOMAIN
        && matches!(&*info.reason, "TOKEN_EXPIRED" | "TOKEN_REVOKED")
        && says("audience", audience)
        && says("method", method)
}
