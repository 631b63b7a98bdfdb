//! Owns giving the errors that tonic itself raises the codes and reasons of this API.

use http::Response;
use tonic::{Code, Status, body::Body};

use crate::model::Error;

/// Rewrites a refusal that did not come from this service's own [`Error`]: those carry details, tonic's do not.
///
/// tonic answers `INTERNAL` to bytes that are no message, and `OUT_OF_RANGE` to a message beyond the limit. A handler never
/// raises either without details, so what is left is the caller's doing.
pub(crate) fn rename(response: Response<Body>, max_message_bytes: usize) -> Response<Body> {
    let headers = response.headers();
    if !headers.contains_key(Status::GRPC_STATUS) || headers.contains_key("grpc-status-details-bin") {
        return response;
    }
    let error = Status::from_header_map(headers).and_then(|status| error_of(&status, max_message_bytes));
    error.map_or(response, |error| Status::from(error).into_http())
}

/// What the caller has done, if `status` is one by which tonic refuses a message.
pub(super) fn error_of(status: &Status, max_message_bytes: usize) -> Option<Error> {
    match status.code() {
        Code::Internal | Code::InvalidArgument => Some(Error::MalformedRequest(status.message().to_owned())),
        Code::OutOfRange => Some(Error::MessageTooLarge { max_bytes: max_message_bytes }),
        _ => None,
    }
}
