//! Owns what an error is over every protocol: its row, its gRPC status, and the log of calls that failed.

#[cfg(test)]
mod document;
mod failures;
mod fields;
mod grpc;
mod oauth;
mod rows;

pub use failures::{CallFailure, FailureLog};
pub use fields::field_reason;
#[cfg(feature = "server")]
pub(crate) use grpc::{details_telling, tell_request_id};
pub use oauth::OAuthCode;
pub use rows::Row;
#[cfg(test)]
pub(crate) use rows::examples;
