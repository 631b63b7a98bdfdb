//! Owns how an error looks on the wire: the only place that turns [`Error`] into a gRPC status.

use std::{collections::HashMap, time::Duration};

use tonic::{Code, Status};
use tonic_types::{ErrorDetails, FieldViolation, StatusExt};

use crate::{
    model::{Error, FieldReason, NameSet, error},
    proto::{
        ERROR_DOMAIN,
        identity::v1::{ErrorReason, FieldReason as WireFieldReason},
    },
};

/// When to try again after something the service needs did not answer.
const UNAVAILABLE_RETRY_AFTER: Duration = Duration::from_secs(1);

impl From<Error> for Status {
    fn from(error: Error) -> Self {
        let (code, reason) = code_and_reason(&error);
        if code == Code::Internal || code == Code::Unavailable {
            tracing::error!(reason = reason_name(reason), error = %error::chain(&error), "call failed");
        }
        let message = error.to_string();
        let mut metadata = HashMap::new();
        let mut details = ErrorDetails::new();
        match error {
            Error::InvalidFields(violations) => {
                details.set_bad_request(
                    violations
                        .into_iter()
                        .map(|violation| FieldViolation {
                            field: violation.field.to_owned(),
                            description: violation.description,
                            reason: field_reason_name(violation.reason).to_owned(),
                            localized_message: None,
                        })
                        .collect::<Vec<_>>(),
                );
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
            Error::Overloaded { retry_after, .. } => {
                details.set_retry_info(Some(retry_after));
            }
            Error::Unavailable { .. } => {
                details.set_retry_info(Some(UNAVAILABLE_RETRY_AFTER));
            }
            Error::MalformedRequest(_)
            | Error::UsernameTaken
            | Error::InvalidCredentials
            | Error::TokenMissing
            | Error::TokenInvalid(_)
            | Error::TokenExpired
            | Error::TokenRevoked
            | Error::RefreshTokenInvalid
            | Error::RefreshTokenReused
            | Error::SessionNotFound
            | Error::InvalidClient
            | Error::AccessUndeclared
            | Error::RouteMisconfigured
            | Error::DeadlineExceeded
            | Error::Internal(_) => {}
            // An unknown method is gRPC's own affair: it has no reason of this API.
            Error::Unimplemented => return Self::new(code, message),
        }
        details.set_error_info(reason_name(reason), ERROR_DOMAIN, metadata);
        Self::with_error_details(code, message, details)
    }
}

fn code_and_reason(error: &Error) -> (Code, ErrorReason) {
    match error {
        Error::InvalidFields(_) => (Code::InvalidArgument, ErrorReason::InvalidFields),
        Error::MalformedRequest(_) => (Code::InvalidArgument, ErrorReason::MalformedRequest),
        Error::MessageTooLarge { .. } => (Code::ResourceExhausted, ErrorReason::MessageTooLarge),
        Error::HeadersTooLarge { .. } => (Code::ResourceExhausted, ErrorReason::HeadersTooLarge),
        Error::UsernameTaken => (Code::AlreadyExists, ErrorReason::UsernameTaken),
        Error::InvalidCredentials => (Code::Unauthenticated, ErrorReason::InvalidCredentials),
        Error::TokenMissing => (Code::Unauthenticated, ErrorReason::TokenMissing),
        Error::TokenInvalid(_) => (Code::Unauthenticated, ErrorReason::TokenInvalid),
        Error::TokenExpired => (Code::Unauthenticated, ErrorReason::TokenExpired),
        Error::TokenRevoked => (Code::Unauthenticated, ErrorReason::TokenRevoked),
        Error::RefreshTokenInvalid => (Code::Unauthenticated, ErrorReason::RefreshTokenInvalid),
        Error::RefreshTokenReused => (Code::Unauthenticated, ErrorReason::RefreshTokenReused),
        Error::SessionNotFound => (Code::NotFound, ErrorReason::SessionNotFound),
        Error::InvalidClient => (Code::Unauthenticated, ErrorReason::InvalidClient),
        Error::InvalidScope(_) => (Code::InvalidArgument, ErrorReason::InvalidScope),
        Error::InvalidAudience(_) => (Code::InvalidArgument, ErrorReason::InvalidAudience),
        Error::InsufficientScope(_) => (Code::PermissionDenied, ErrorReason::InsufficientScope),
        Error::AccessUndeclared => (Code::PermissionDenied, ErrorReason::AccessUndeclared),
        Error::RouteMisconfigured => (Code::PermissionDenied, ErrorReason::RouteMisconfigured),
        Error::Unimplemented => (Code::Unimplemented, ErrorReason::Unspecified),
        Error::Overloaded { .. } => (Code::ResourceExhausted, ErrorReason::Overloaded),
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

/// The reason as `ErrorInfo` carries it: AIP-193 wants no prefix.
fn reason_name(reason: ErrorReason) -> &'static str {
    reason.as_str_name().trim_start_matches("ERROR_REASON_")
}

fn field_reason_name(reason: FieldReason) -> &'static str {
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
