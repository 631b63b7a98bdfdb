//! Owns how an error looks over HTTP: the JSON of its row, and the headers that belong to it.

use std::sync::Arc;

use axum::{
    Json,
    http::{HeaderMap, HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
};
use serde::Serialize;

use crate::{
    errors::{CallFailure, OAuthCode, Row, field_reason},
    model::{Error, FieldViolation},
};

/// A request that is refused. Every handler's error.
#[derive(Debug)]
pub(super) struct Refusal {
    error: Error,
    /// Instead of the error's own status, where HTTP has one that says more.
    status: Option<StatusCode>,
}

/// For what an answer refuses: an extension of it, for whoever says the same in other words.
#[derive(Clone, Debug)]
pub(super) struct Cause(pub(super) Arc<Error>);

/// The body of a refusal: RFC 6749 section 5.2, and the stable reason that the RPCs give, too.
#[derive(Serialize)]
struct Body<'a> {
    error: &'static str,
    error_description: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<&'static str>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    field_violations: Vec<Violation<'a>>,
}

/// One field at fault, as `google.rpc.BadRequest` has it.
#[derive(Serialize)]
struct Violation<'a> {
    field: &'a str,
    reason: &'static str,
    description: &'a str,
}

impl Refusal {
    /// `error`, answered with `status`.
    pub(super) const fn with_status(error: Error, status: StatusCode) -> Self {
        Self { error, status: Some(status) }
    }

    /// Whether it is answered with `status` instead of the error's own.
    pub(super) fn has_status(&self, status: StatusCode) -> bool {
        self.status == Some(status)
    }
}

impl From<Error> for Refusal {
    fn from(error: Error) -> Self {
        Self { error, status: None }
    }
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        let Self { error, status } = self;
        let row = Row::of(&error);
        let description = printable(&error.to_string());
        let field_violations = match &error {
            Error::InvalidFields(violations) => violations.iter().map(Violation::from).collect(),
            _ => Vec::new(),
        };
        let body = Body {
            error: row.oauth.name(),
            error_description: &description,
            reason: row.reason(),
            field_violations,
        };
        let mut headers = HeaderMap::new();
        headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
        if let Some(challenge) = challenge(&error, &row, &description) {
            headers.insert(header::WWW_AUTHENTICATE, challenge);
        }
        if let Some(delay) = row.retry_after {
            // The header has whole seconds: too late is better than too early.
            let seconds = delay.as_secs() + u64::from(delay.subsec_nanos() > 0);
            headers.insert(header::RETRY_AFTER, seconds.into());
        }
        let mut response = (status.unwrap_or_else(|| own_status(&row)), headers, Json(body)).into_response();
        // For the log, which knows the route.
        if let Some(failure) = CallFailure::of(&error) {
            response.extensions_mut().insert(failure);
        }
        response.extensions_mut().insert(Cause(Arc::new(error)));
        response
    }
}

impl<'a> From<&'a FieldViolation> for Violation<'a> {
    fn from(violation: &'a FieldViolation) -> Self {
        let reason = field_reason(violation.reason);
        Self { field: &violation.field, reason, description: &violation.description }
    }
}

/// The status of a row. A test holds that each is one.
fn own_status(row: &Row<'_>) -> StatusCode {
    StatusCode::from_u16(row.http_status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR)
}

/// What `WWW-Authenticate` says to `error`: RFC 6750 section 3 for tokens, RFC 6749 section 5.2 for clients.
fn challenge(error: &Error, row: &Row<'_>, description: &str) -> Option<HeaderValue> {
    let code = row.oauth.name();
    let challenge = match (error, row.oauth) {
        // Whoever showed nothing is told nothing but what to show.
        (Error::TokenMissing, _) => r#"Bearer realm="signet""#.to_owned(),
        (_, OAuthCode::InvalidToken) => {
            format!(r#"Bearer realm="signet", error="{code}", error_description="{description}""#)
        }
        (Error::InsufficientScope(scope), _) => {
            let scope = printable(scope);
            format!(
                r#"Bearer realm="signet", error="{code}", error_description="{description}", scope="{scope}""#
            )
        }
        (_, OAuthCode::InvalidClient) => r#"Basic realm="signet""#.to_owned(),
        _ => return None,
    };
    HeaderValue::from_str(&challenge).ok()
}

/// `text` in the characters that `error_description` may have: printable ASCII but `"` and `\` (RFC 6749 section 5.2).
fn printable(text: &str) -> String {
    let printable = |c| match c {
        '"' | '\\' => '\'',
        ' '..='~' => c,
        _ => '?',
    };
    text.chars().map(printable).collect()
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use proptest::prelude::*;

    use super::*;
    use crate::{
        errors::examples,
        model::{FieldReason, RuleViolation},
    };

    async fn answer(error: Error) -> (StatusCode, HeaderMap, serde_json::Value) {
        let (head, body) = Refusal::from(error).into_response().into_parts();
        let body = axum::body::to_bytes(body, usize::MAX).await.unwrap();
        (head.status, head.headers, serde_json::from_slice(&body).unwrap())
    }

    #[tokio::test]
    async fn every_error_is_answered_by_its_row() {
        for error in examples() {
            let what = format!("{error:?}");
            let Row { http_status, oauth, retry_after, .. } = Row::of(&error);
            let (reason, said) = (Row::of(&error).reason(), error.to_string());
            let (status, headers, body) = answer(error).await;
            assert_eq!(
                (status.as_u16(), body["error"].as_str()),
                (http_status, Some(oauth.name())),
                "{what}"
            );
            assert_eq!(body["reason"].as_str(), reason, "{what}");
            assert_eq!(body["error_description"], printable(&said), "{what}");
            assert!(!body.to_string().contains("secret"), "{what}");
            assert_eq!(headers[header::CACHE_CONTROL], "no-store");
            let challenge = match oauth {
                OAuthCode::InvalidClient => Some("Basic realm="),
                OAuthCode::InvalidToken | OAuthCode::InsufficientScope => Some("Bearer realm="),
                _ => None,
            };
            let shown = headers.get(header::WWW_AUTHENTICATE).map(|value| value.to_str().unwrap());
            assert_eq!(shown.is_some(), challenge.is_some(), "{what}");
            assert!(
                shown.unwrap_or_default().starts_with(challenge.unwrap_or_default()),
                "{what}: {shown:?}"
            );
            // RFC 9110 section 15.5.2: a 401 must say how to authenticate.
            assert!(http_status != 401 || shown.is_some(), "{what}");
            assert_eq!(headers.contains_key(header::RETRY_AFTER), retry_after.is_some(), "{what}");
        }
    }

    #[tokio::test]
    async fn what_belongs_to_an_error_is_told() {
        let violation = RuleViolation::new(FieldReason::Required, "must be set").at("token");
        let (_, _, body) = answer(Error::InvalidFields(vec![violation])).await;
        let expected =
            serde_json::json!([{"field": "token", "reason": "REQUIRED", "description": "must be set"}]);
        assert_eq!(body["field_violations"], expected);

        let retry_after = Duration::from_millis(1_001);
        let (_, headers, _) = answer(Error::Overloaded { what: "passwords", retry_after }).await;
        assert_eq!(headers[header::RETRY_AFTER], "2");

        let (_, headers, body) = answer(Error::InsufficientScope("pro\"file".into())).await;
        let expected = r#"Bearer realm="signet", error="insufficient_scope", error_description="the scope `pro'file` is needed, and was not granted", scope="pro'file""#;
        assert_eq!(headers[header::WWW_AUTHENTICATE], expected);
        assert_eq!(body.get("field_violations"), None);

        let (_, headers, _) = answer(Error::TokenMissing).await;
        assert_eq!(headers[header::WWW_AUTHENTICATE], r#"Bearer realm="signet""#);
    }

    proptest! {
        #[test]
        fn a_description_has_only_the_characters_that_it_may_have(text in any::<String>()) {
            let allowed = |c: char| matches!(c, ' '..='!' | '#'..='[' | ']'..='~');
            prop_assert!(printable(&text).chars().all(allowed));
        }
    }
}
