//! Owns what a code of gRPC is by Connect: its name, and the status of HTTP that goes with it.

use tonic::Code;

/// 499, which HTTP itself does not know: the client has gone away.
const CLIENT_CLOSED_REQUEST: u16 = 499;

/// The name of `code`, and the status of HTTP that goes with it (the protocol's "Error Codes").
pub(crate) const fn connect_code(code: Code) -> (&'static str, u16) {
    match code {
        // A success is no error, and so has no name.
        Code::Ok | Code::Unknown => ("unknown", 500),
        Code::Cancelled => ("canceled", CLIENT_CLOSED_REQUEST),
        Code::InvalidArgument => ("invalid_argument", 400),
        Code::DeadlineExceeded => ("deadline_exceeded", 504),
        Code::NotFound => ("not_found", 404),
        Code::AlreadyExists => ("already_exists", 409),
        Code::PermissionDenied => ("permission_denied", 403),
        Code::ResourceExhausted => ("resource_exhausted", 429),
        Code::FailedPrecondition => ("failed_precondition", 400),
        Code::Aborted => ("aborted", 409),
        Code::OutOfRange => ("out_of_range", 400),
        Code::Unimplemented => ("unimplemented", 501),
        Code::Internal => ("internal", 500),
        Code::Unavailable => ("unavailable", 503),
        Code::DataLoss => ("data_loss", 500),
        Code::Unauthenticated => ("unauthenticated", 401),
    }
}

/// The status of HTTP that goes with the code that the proto calls `name`, such as `INVALID_ARGUMENT`.
pub(crate) fn connect_status(name: &str) -> Option<u16> {
    let errors = (1..=16).map(Code::from).map(connect_code);
    errors.into_iter().find(|(code, _)| code.eq_ignore_ascii_case(name)).map(|(_, status)| status)
}
