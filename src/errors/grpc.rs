//! Owns the gRPC status of an error.

use std::{collections::HashMap, sync::Arc, time::Duration};

use tonic::{
    Status,
    metadata::{Ascii, MetadataValue},
};
use tonic_types::{ErrorDetails, FieldViolation, StatusExt};

use super::{Failure, Row, field_reason};
use crate::{
    model::{self, Error},
    proto::ERROR_DOMAIN,
};

/// The trailer that says to gRPC's own retries when to try again, in milliseconds: they read no `RetryInfo` (gRFC A6).
const PUSHBACK: &str = "grpc-retry-pushback-ms";

impl From<Error> for Status {
    /// The [`Failure`], if it is one, is the status' source: for the log of who answers with it.
    fn from(error: Error) -> Self {
        let (failure, message) = (Failure::of(&error), error.to_string());
        let row = Row::of(&error);
        debug_assert!(row.is_released(), "an RPC answers it, so its reason belongs into the proto: {row:?}");
        // What does not exist is gRPC's own affair: it has no reason of this API, and so no details.
        let Some(reason) = row.reason() else { return Self::new(row.code, message) };
        let (code, retry_after) = (row.code, row.retry_after);
        let metadata = row.metadata.map(|(key, value)| (key.to_owned(), value.into_owned()));
        let mut details = ErrorDetails::new();
        details.set_error_info(reason, ERROR_DOMAIN, metadata.into_iter().collect::<HashMap<_, _>>());
        if retry_after.is_some() {
            details.set_retry_info(retry_after);
        }
        if let Error::InvalidFields(violations) = error {
            details.set_bad_request(violations.into_iter().map(field_violation).collect::<Vec<_>>());
        }
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
