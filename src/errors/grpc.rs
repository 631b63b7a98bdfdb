//! Owns the gRPC status of an error.

use std::{collections::HashMap, sync::Arc, time::Duration};

#[cfg(feature = "server")]
use base64ct::{Base64Unpadded, Encoding};
#[cfg(feature = "server")]
use http::{HeaderMap, HeaderValue};
#[cfg(feature = "server")]
use prost::Message;
#[cfg(feature = "server")]
use prost_types::Any;
#[cfg(feature = "server")]
use tonic::Code;
use tonic::{
    Status,
    metadata::{Ascii, MetadataValue},
};
#[cfg(feature = "server")]
use tonic_types::pb;
use tonic_types::{ErrorDetails, FieldViolation, StatusExt};

use super::{CallFailure, Row, failures::StatusCause, field_reason};
use crate::{
    model::{self, Error, RefusedChange},
    proto::ERROR_DOMAIN,
};

/// What a `google.rpc.RequestInfo` is called where it stands among other details.
#[cfg(feature = "server")]
const REQUEST_INFO: &str = "type.googleapis.com/google.rpc.RequestInfo";

/// The trailer with the details of an error: a `google.rpc.Status`, in base64.
#[cfg(feature = "server")]
const DETAILS: &str = "grpc-status-details-bin";

/// The trailer that says to gRPC's own retries when to try again, in milliseconds: they read no `RetryInfo` (gRFC A6).
pub(crate) const PUSHBACK: &str = "grpc-retry-pushback-ms";

impl From<Error> for Status {
    /// Its reason, and the [`CallFailure`], if it is one, are the status' source: for the metrics and the log of who answers with it.
    fn from(error: Error) -> Self {
        status(error, None, [])
    }
}

/// The status of `error`, whose `ErrorInfo.metadata` has `more`, too: keys and their values.
#[must_use]
pub fn status_telling<const N: usize>(error: Error, more: [(&'static str, &str); N]) -> Status {
    status(error, None, more)
}

impl From<RefusedChange> for Status {
    /// Which change was refused stands in `ErrorInfo.metadata`, too: `change`.
    fn from(RefusedChange { change, error }: RefusedChange) -> Self {
        status(error, change, [])
    }
}

fn status<const N: usize>(error: Error, change: Option<String>, more: [(&'static str, &str); N]) -> Status {
    let (failure, mut message) = (CallFailure::of(&error), error.to_string());
    if let Some(change) = &change {
        message = RefusedChange::sentence(change, &message);
    }
    let row = Row::of(&error);
    debug_assert!(row.is_released(), "an RPC answers it, so its reason belongs into the proto: {row:?}");
    // What does not exist is gRPC's own affair: it has no reason of this API, and so no details.
    let Some(reason) = row.reason() else { return Status::new(row.code, message) };
    let (code, retry_after) = (row.code, row.retry_after);
    let metadata = row.metadata.map(|(key, value)| (key.to_owned(), value.into_owned()));
    let more = more.into_iter().map(|(key, value)| (key.to_owned(), value.to_owned()));
    let metadata = more.chain(metadata).chain(change.map(|change| ("change".to_owned(), change)));
    let mut details = ErrorDetails::new();
    details.set_error_info(reason, ERROR_DOMAIN, metadata.collect::<HashMap<_, _>>());
    if retry_after.is_some() {
        details.set_retry_info(retry_after);
    }
    if let Error::InvalidFields(violations) = error {
        details.set_bad_request(violations.into_iter().map(field_violation).collect::<Vec<_>>());
    }
    let mut status = Status::with_error_details(code, message, details);
    tell_retries(&mut status, retry_after);
    status.set_source(Arc::new(StatusCause { reason, failure }));
    status
}

/// What google.rpc.BadRequest says of `violation`.
fn field_violation(violation: model::FieldViolation) -> FieldViolation {
    FieldViolation {
        field: violation.field.into_owned(),
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

/// Has the error in `headers`, of an answer or its trailers, tell the `request_id` among its details: whoever raised it knows nothing of
/// the request, as tonic does not, or its health service. Where there is no error, nothing is told.
#[cfg(feature = "server")]
pub(crate) fn tell_request_id(headers: &mut HeaderMap, request_id: &str) {
    let code = headers.get(Status::GRPC_STATUS).map_or(Code::Ok, |code| Code::from_bytes(code.as_bytes()));
    if code == Code::Ok {
        return;
    }
    let told = match headers.get(DETAILS) {
        Some(details) => extended(details, &request_info(request_id)),
        None => Status::from_header_map(headers)
            .map(|status| Base64Unpadded::encode_string(&details_telling(&status, request_id))),
    };
    // What cannot be read as details stays as it is.
    if let Some(told) = told.and_then(|told| HeaderValue::try_from(told).ok()) {
        headers.insert(DETAILS, told);
    }
}

/// The text `details` in base64, with `more` at its end. Only what is left of them after the last whole group of three bytes is encoded
/// anew, so that telling the request does not encode every refusal twice.
#[cfg(feature = "server")]
fn extended(details: &HeaderValue, more: &[u8]) -> Option<String> {
    let text = details.to_str().ok()?.trim_end_matches('=');
    let (whole, rest) = text.split_at(text.len() - text.len() % 4);
    let mut end = Base64Unpadded::decode_vec(rest).ok()?;
    end.extend_from_slice(more);
    Some(format!("{whole}{}", Base64Unpadded::encode_string(&end)))
}

/// The details of `status`, which tell the `request_id`, too.
#[cfg(feature = "server")]
pub(crate) fn details_telling(status: &Status, request_id: &str) -> Vec<u8> {
    let mut details = status.details().to_vec();
    if details.is_empty() {
        let (code, message) = (status.code().into(), status.message().to_owned());
        details = pb::Status { code, message, details: Vec::new() }.encode_to_vec();
    }
    details.extend(request_info(request_id));
    details
}

/// What stands at the end of details that tell the `request_id`. What is encoded twice is merged when it is read, and a list then has the
/// elements of both (protobuf's encoding, "Last One Wins").
#[cfg(feature = "server")]
fn request_info(request_id: &str) -> Vec<u8> {
    let info = pb::RequestInfo { request_id: request_id.to_owned(), serving_data: String::new() };
    let detail = Any { type_url: REQUEST_INFO.to_owned(), value: info.encode_to_vec() };
    pb::Status { details: vec![detail], ..pb::Status::default() }.encode_to_vec()
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

    /// What a client reads of `status`, once the id of its request has been added.
    #[cfg(feature = "server")]
    fn with_id(status: &Status) -> Status {
        let mut headers = HeaderMap::new();
        status.add_header(&mut headers).unwrap();
        tell_request_id(&mut headers, "an-id");
        Status::from_header_map(&headers).unwrap()
    }

    #[cfg(feature = "server")]
    #[test]
    fn an_error_tells_the_request_beside_what_it_told_before() {
        let violation = model::RuleViolation::new(model::FieldReason::Required, "must be set").at("username");
        for status in [
            Status::from(Error::InvalidFields(vec![violation])),
            Status::from(Error::Overloaded { what: "tests", retry_after: Duration::from_secs(1) }),
            // Of others than this service, and of what has no reason.
            Status::from(Error::Unimplemented),
            Status::not_found("ein Wort: \u{fc}ber 100 %"),
        ] {
            let (before, told) = (status.get_error_details(), with_id(&status));
            assert_eq!((told.code(), told.message()), (status.code(), status.message()));
            let mut expected = before.clone();
            expected.set_request_info("an-id", "");
            assert_eq!(format!("{:?}", told.get_error_details()), format!("{expected:?}"));
            let inner = pb::Status::decode(told.details()).unwrap();
            assert_eq!((inner.code, inner.message.as_str()), (status.code().into(), status.message()));
        }
    }

    #[cfg(feature = "server")]
    #[test]
    fn details_are_extended_whatever_their_length_and_what_are_none_stay_as_they_are() {
        for length in 0..7 {
            let status = pb::Status { message: "x".repeat(length), ..pb::Status::default() };
            let status = Status::with_details(Code::NotFound, "no", status.encode_to_vec().into());
            assert_eq!(with_id(&status).details(), details_telling(&status, "an-id"), "{length}");
        }
        for none in ["A", "\u{e4}", "AB\u{e4}D"] {
            let mut headers = HeaderMap::new();
            headers.insert(Status::GRPC_STATUS, HeaderValue::from_static("5"));
            headers.insert(DETAILS, HeaderValue::from_bytes(none.as_bytes()).unwrap());
            let before = headers.clone();
            tell_request_id(&mut headers, "an-id");
            assert_eq!(headers, before);
        }
    }

    #[cfg(feature = "server")]
    #[test]
    fn a_success_tells_nothing_in_its_status() {
        let mut none = HeaderMap::new();
        tell_request_id(&mut none, "an-id");
        assert!(none.is_empty());
        let mut ok = HeaderMap::new();
        Status::ok("").add_header(&mut ok).unwrap();
        let before = ok.clone();
        tell_request_id(&mut ok, "an-id");
        assert_eq!(ok, before);
    }
}
