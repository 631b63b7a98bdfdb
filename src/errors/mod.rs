//! Owns what an error is over every protocol: its row, its gRPC status, the log of calls that failed, and the reasons of commands.

#[cfg(feature = "server")]
mod commands;
#[cfg(feature = "server")]
mod connect;
#[cfg(test)]
mod document;
mod failures;
mod fields;
mod grpc;
mod oauth;
mod rows;

#[cfg(feature = "server")]
pub use commands::CommandReason;
#[cfg(feature = "server")]
pub(crate) use connect::{connect_code, connect_status};
pub use failures::{CallFailure, FailureLog, told_reason};
pub use fields::field_reason;
pub use grpc::status_telling;
#[cfg(feature = "server")]
pub(crate) use grpc::{PUSHBACK, details_telling, tell_request_id};
pub use oauth::OAuthCode;
#[cfg(test)]
pub(crate) use rows::examples;
pub use rows::{Row, reasons};
