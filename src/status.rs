//! Owns how an error looks on the wire: its gRPC status, and the stable reason that it has over every protocol.

mod failures;

use std::{collections::HashMap, sync::Arc, time::Duration};

use tonic::{
    Code, Status,
    metadata::{Ascii, MetadataValue},
};
use tonic_types::{ErrorDetails, FieldViolation, StatusExt};

use crate::{
    model::{self, Error, FieldReason, NameSet},
    proto::{
        ERROR_DOMAIN,
        identity::v1::{ErrorReason, FieldReason as WireFieldReason},
    },
};

pub use failures::{Failure, FailureLog};

/// The trailer that says to gRPC's own retries when to try again, in milliseconds: they read no `RetryInfo` (gRFC A6).
const PUSHBACK: &str = "grpc-retry-pushback-ms";

/// When to try again after something the service needs did not answer.
const UNAVAILABLE_RETRY_AFTER: Duration = Duration::from_secs(1);

impl From<Error> for Status {
    /// The [`Failure`], if it is one, is the status' source: for the log of who answers with it.
    fn from(error: Error) -> Self {
        let failure = Failure::of(&error);
        let (code, message) = (code_and_reason(&error).0, error.to_string());
        // An unknown method is gRPC's own affair: it has no reason of this API.
        let Some(reason) = reason(&error) else { return Self::new(code, message) };
        let (mut metadata, mut details) = (HashMap::new(), ErrorDetails::new());
        let retry_after = retry_after(&error);
        if retry_after.is_some() {
            details.set_retry_info(retry_after);
        }
        match error {
            Error::InvalidFields(violations) => {
                details.set_bad_request(violations.into_iter().map(field_violation).collect::<Vec<_>>());
            }
            Error::MessageTooLarge { max_bytes } => {
                metadata.insert("max_message_bytes".to_owned(), max_bytes.to_string());
            }
            Error::HeadersTooLarge { max_bytes } => {
                metadata.insert("max_header_bytes".to_owned(), max_bytes.to_string());
            }
            Error::InsufficientScope(scope) => {
                metadata.insert("required_scope".to_owned(), scope);
            }
            Error::InvalidScope(names) => note_names(&mut metadata, "scope", &names),
            Error::InvalidAudience(names) => note_names(&mut metadata, "audience", &names),
            Error::MalformedRequest(_)
            | Error::UsernameTaken
            | Error::SignUpOff
            | Error::InvalidCredentials
            | Error::TokenMissing
            | Error::TokenInvalid(_)
            | Error::TokenExpired
            | Error::TokenRevoked
            | Error::RefreshTokenInvalid
            | Error::RefreshTokenReused
            | Error::SessionNotFound
            | Error::AccessUndeclared
            | Error::InvalidClient
            | Error::TokenOfAnotherClient
            | Error::UnsupportedTokenType
            | Error::UnsupportedGrantType
            | Error::Unimplemented
            | Error::MetricsElsewhere { .. }
            | Error::HostNotAllowed
            | Error::AddressClaimNotAllowed
            | Error::Overloaded { .. }
            | Error::TooManyChanges { .. }
            | Error::TooManyAttempts { .. }
            | Error::TooManyRepeats { .. }
            | Error::TooManyRefreshes { .. }
            | Error::RouteMisconfigured
            | Error::OriginNotAllowed
            | Error::DeadlineExceeded
            | Error::Unavailable { .. }
            | Error::Internal(_) => {}
        }
        details.set_error_info(reason, ERROR_DOMAIN, metadata);
        let mut status = Self::with_error_details(code, message, details);
        tell_retries(&mut status, retry_after);
        if let Some(failure) = failure {
            status.set_source(Arc::new(failure));
        }
        status
    }
}

/// What google.rpc.BadRequest says of `violation`.
fn field_violation(violation: model::FieldViolation) -> FieldViolation {
    FieldViolation {
        field: violation.field.to_owned(),
        description: violation.description,
        reason: field_reason(violation.reason).to_owned(),
        localized_message: None,
    }
}

/// The stable reason of `error`, the same over every protocol: a name of `ErrorReason` without its prefix (AIP-193). None for
/// what does not exist.
#[must_use]
pub fn reason(error: &Error) -> Option<&'static str> {
    let (_, reason) = code_and_reason(error);
    (reason != ErrorReason::Unspecified).then(|| reason.as_str_name().trim_start_matches("ERROR_REASON_"))
}

/// When it is worth trying again, if it is.
#[must_use]
pub fn retry_after(error: &Error) -> Option<Duration> {
    match error {
        Error::TooManyChanges { retry_after }
        | Error::TooManyRepeats { retry_after }
        | Error::TooManyRefreshes { retry_after }
        | Error::Overloaded { retry_after, .. }
        | Error::TooManyAttempts { retry_after, .. } => Some(*retry_after),
        Error::Unavailable { .. } => Some(UNAVAILABLE_RETRY_AFTER),
        _ => None,
    }
}

/// Says to gRPC's retries what the `RetryInfo` says, if there is one.
fn tell_retries(status: &mut Status, retry_after: Option<Duration>) {
    if let Some(delay) = retry_after {
        status.metadata_mut().insert(PUSHBACK, pushback(delay));
    }
}

/// `delay` as gRPC's retries read it: whole milliseconds, of 31 bits. Too late is better than too early.
fn pushback(delay: Duration) -> MetadataValue<Ascii> {
    let millis = i32::try_from(delay.as_nanos().div_ceil(1_000_000)).unwrap_or(i32::MAX);
    millis.into()
}

fn code_and_reason(error: &Error) -> (Code, ErrorReason) {
    match error {
        Error::InvalidFields(_) => (Code::InvalidArgument, ErrorReason::InvalidFields),
        Error::MalformedRequest(_) => (Code::InvalidArgument, ErrorReason::MalformedRequest),
        Error::MessageTooLarge { .. } => (Code::ResourceExhausted, ErrorReason::MessageTooLarge),
        Error::HeadersTooLarge { .. } => (Code::ResourceExhausted, ErrorReason::HeadersTooLarge),
        Error::UsernameTaken => (Code::AlreadyExists, ErrorReason::UsernameTaken),
        Error::SignUpOff => (Code::PermissionDenied, ErrorReason::SignUpOff),
        Error::InvalidCredentials => (Code::Unauthenticated, ErrorReason::InvalidCredentials),
        Error::TokenMissing => (Code::Unauthenticated, ErrorReason::TokenMissing),
        Error::TokenInvalid(_) => (Code::Unauthenticated, ErrorReason::TokenInvalid),
        Error::TokenExpired => (Code::Unauthenticated, ErrorReason::TokenExpired),
        Error::TokenRevoked => (Code::Unauthenticated, ErrorReason::TokenRevoked),
        Error::RefreshTokenInvalid => (Code::Unauthenticated, ErrorReason::RefreshTokenInvalid),
        Error::RefreshTokenReused => (Code::Unauthenticated, ErrorReason::RefreshTokenReused),
        Error::SessionNotFound => (Code::NotFound, ErrorReason::SessionNotFound),
        Error::InvalidClient => (Code::Unauthenticated, ErrorReason::InvalidClient),
        Error::AddressClaimNotAllowed => (Code::PermissionDenied, ErrorReason::AddressClaimNotAllowed),
        Error::TooManyAttempts { .. } => (Code::ResourceExhausted, ErrorReason::TooManyAttempts),
        Error::TooManyRepeats { .. } => (Code::ResourceExhausted, ErrorReason::TooManyRepeats),
        Error::TooManyRefreshes { .. } => (Code::ResourceExhausted, ErrorReason::TooManyRefreshes),
        Error::InvalidScope(_) => (Code::InvalidArgument, ErrorReason::InvalidScope),
        Error::InvalidAudience(_) => (Code::InvalidArgument, ErrorReason::InvalidAudience),
        Error::TokenOfAnotherClient => (Code::PermissionDenied, ErrorReason::TokenOfAnotherClient),
        Error::UnsupportedTokenType => (Code::InvalidArgument, ErrorReason::UnsupportedTokenType),
        Error::UnsupportedGrantType => (Code::InvalidArgument, ErrorReason::UnsupportedGrantType),
        Error::InsufficientScope(_) => (Code::PermissionDenied, ErrorReason::InsufficientScope),
        Error::AccessUndeclared => (Code::PermissionDenied, ErrorReason::AccessUndeclared),
        Error::RouteMisconfigured => (Code::PermissionDenied, ErrorReason::RouteMisconfigured),
        Error::OriginNotAllowed => (Code::PermissionDenied, ErrorReason::OriginNotAllowed),
        Error::HostNotAllowed => (Code::PermissionDenied, ErrorReason::HostNotAllowed),
        Error::Unimplemented | Error::MetricsElsewhere { .. } => {
            (Code::Unimplemented, ErrorReason::Unspecified)
        }
        Error::Overloaded { .. } => (Code::ResourceExhausted, ErrorReason::Overloaded),
        Error::TooManyChanges { .. } => (Code::ResourceExhausted, ErrorReason::TooManyChanges),
        Error::DeadlineExceeded => (Code::DeadlineExceeded, ErrorReason::DeadlineExceeded),
        Error::Unavailable { .. } => (Code::Unavailable, ErrorReason::Unavailable),
        Error::Internal(_) => (Code::Internal, ErrorReason::Internal),
    }
}

/// Names what is not allowed, if anything was understood.
fn note_names(metadata: &mut HashMap<String, String>, key: &str, names: &NameSet) {
    if !names.is_empty() {
        metadata.insert(key.to_owned(), names.as_str().to_owned());
    }
}

/// The stable reason of a field's violation: a name of `FieldReason` without its prefix.
#[must_use]
pub fn field_reason(reason: FieldReason) -> &'static str {
    let wire = match reason {
        FieldReason::Required => WireFieldReason::Required,
        FieldReason::TooShort => WireFieldReason::TooShort,
        FieldReason::TooLong => WireFieldReason::TooLong,
        FieldReason::ForbiddenCharacter => WireFieldReason::ForbiddenCharacter,
        FieldReason::Malformed => WireFieldReason::Malformed,
        FieldReason::PasswordCommon => WireFieldReason::PasswordCommon,
        FieldReason::PasswordIsUsername => WireFieldReason::PasswordIsUsername,
        FieldReason::NotUpdatable => WireFieldReason::NotUpdatable,
    };
    wire.as_str_name().trim_start_matches("FIELD_REASON_")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn retries_are_told_the_time_of_the_retry_info_and_never_too_early() {
        for (micros, millis) in [(0, 0), (1, 1), (1_000, 1), (1_500_001, 1_501), (u64::MAX, i32::MAX)] {
            let retry_after = Duration::from_micros(micros);
            let status = Status::from(Error::Overloaded { what: "tests", retry_after });
            let told = status.metadata().get(PUSHBACK).unwrap().to_str().unwrap();
            assert_eq!(told, millis.to_string());
            assert!(status.get_details_retry_info().is_some());
        }
        let status = Status::from(Error::InvalidCredentials);
        assert!(status.metadata().get(PUSHBACK).is_none() && status.get_details_retry_info().is_none());
    }
}
