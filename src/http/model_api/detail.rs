//! Owns how an error looks to clients of the model service: `FastAPI`'s `{"detail": ...}`, with the sentences of its tutorials.

use std::borrow::Cow;

use axum::{
    Json,
    body::Body,
    http::{HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
};
use serde::Serialize;
use serde_json::{Value, json};

use crate::{
    http::refusal::{Cause, Refusal},
    model::{Error, FieldReason, FieldViolation},
};

/// What is wrong with a field, or with the body as a whole, as pydantic tells it. It never has `input`, which `FastAPI` adds: that is what
/// was sent, the password among it.
#[derive(Debug, Serialize)]
pub(super) struct Problem {
    r#type: &'static str,
    loc: Vec<Cow<'static, str>>,
    msg: String,
}

/// Why a request is refused.
#[derive(Debug)]
pub(super) enum Refused {
    /// Its body is not one of this API.
    Unprocessable(Vec<Problem>),
    /// For what is refused everywhere.
    Alike(Refusal),
}

impl Problem {
    /// Of the body as a whole.
    pub(super) fn of_body(r#type: &'static str, msg: &str) -> Self {
        Self { r#type, loc: vec!["body".into()], msg: msg.to_owned() }
    }

    /// Of the field `name`.
    pub(super) fn of_field(name: impl Into<Cow<'static, str>>, r#type: &'static str, msg: &str) -> Self {
        Self { r#type, loc: vec!["body".into(), name.into()], msg: msg.to_owned() }
    }
}

impl From<&FieldViolation> for Problem {
    fn from(violation: &FieldViolation) -> Self {
        let r#type = match violation.reason {
            FieldReason::Required => {
                return Self::of_field(violation.field.clone(), "missing", "Field required");
            }
            FieldReason::TooShort => "string_too_short",
            FieldReason::TooLong => "string_too_long",
            FieldReason::Malformed => "string_pattern_mismatch",
            FieldReason::ForbiddenCharacter
            | FieldReason::PasswordCommon
            | FieldReason::PasswordIsUsername
            | FieldReason::NotUpdatable
            | FieldReason::UnknownField => "value_error",
        };
        Self::of_field(violation.field.clone(), r#type, &violation.description)
    }
}

impl From<Error> for Refused {
    fn from(error: Error) -> Self {
        Self::Alike(error.into())
    }
}

impl IntoResponse for Refused {
    fn into_response(self) -> Response {
        match self {
            Self::Unprocessable(problems) => {
                (StatusCode::UNPROCESSABLE_ENTITY, Json(json!({ "detail": problems }))).into_response()
            }
            Self::Alike(refusal) => refusal.into_response(),
        }
    }
}

/// `answer`, in the words of this API if it is a refusal: of a handler, or of a layer before it.
pub(super) async fn told(answer: Response) -> Response {
    let (mut head, body) = answer.into_parts();
    let cause = head.extensions.remove::<Cause>();
    let (status, detail) = match cause.as_ref().map(|Cause(error)| &**error) {
        // The service is ending, which is nobody's failure: as FastAPI words a status without more.
        None if head.status.is_server_error() => (head.status, json!(head.status.canonical_reason())),
        None => return Response::from_parts(head, body),
        Some(error) => worded(error, head.status),
    };
    head.status = status;
    head.headers.remove(header::CONTENT_LENGTH);
    if status == StatusCode::UNAUTHORIZED {
        head.headers.insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
    }
    Response::from_parts(head, Body::from(json!({ "detail": detail }).to_string()))
}

/// The status and the detail of `error`, which has `status` elsewhere.
fn worded(error: &Error, status: StatusCode) -> (StatusCode, Value) {
    match error {
        Error::UsernameTaken => (StatusCode::BAD_REQUEST, json!("Username already registered")),
        // Whoever has a one-time password is told what everybody is told: these clients know no other answer.
        Error::InvalidCredentials | Error::PasswordChangeRequired => {
            (StatusCode::UNAUTHORIZED, json!("Incorrect username or password"))
        }
        Error::TokenMissing => (StatusCode::UNAUTHORIZED, json!("Not authenticated")),
        Error::TokenInvalid(_) | Error::TokenExpired | Error::TokenRevoked => {
            (StatusCode::UNAUTHORIZED, json!("Could not validate credentials"))
        }
        Error::InvalidFields(violations) => {
            let problems: Vec<_> = violations.iter().map(Problem::from).collect();
            (StatusCode::UNPROCESSABLE_ENTITY, json!(problems))
        }
        _ if status == StatusCode::METHOD_NOT_ALLOWED => (status, json!(status.canonical_reason())),
        other => (status, json!(other.to_string())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::errors::examples;

    #[tokio::test]
    async fn every_error_is_told_as_fastapi_tells_errors_and_says_no_more_than_elsewhere() {
        for error in examples() {
            let what = format!("{error:?}");
            let elsewhere = Refusal::from(error).into_response();
            let retry_after = elsewhere.headers().get(header::RETRY_AFTER).cloned();
            let (head, body) = told(elsewhere).await.into_parts();
            let body = axum::body::to_bytes(body, usize::MAX).await.unwrap();
            let body: serde_json::Value = serde_json::from_slice(&body).unwrap();
            let members: Vec<_> = body.as_object().unwrap().keys().collect();
            assert_eq!(members, ["detail"], "{what}");
            assert!(!body.to_string().contains("secret"), "{what}");
            assert_eq!(body["detail"].is_array(), head.status == StatusCode::UNPROCESSABLE_ENTITY, "{what}");
            assert_eq!(head.headers[header::CONTENT_TYPE], "application/json", "{what}");
            assert_eq!(head.headers.get(header::RETRY_AFTER).cloned(), retry_after, "{what}");
            assert_eq!(head.extensions.get::<Cause>().map(|_| ()), None, "{what}");
            let challenge = head.headers.get(header::WWW_AUTHENTICATE);
            assert!(head.status != StatusCode::UNAUTHORIZED || challenge.unwrap() == "Bearer", "{what}");
        }
    }
}
