//! Owns `/oauth2/userinfo`: `GetMe` in the claims of OpenID Connect.

use axum::{
    Json,
    extract::State,
    http::{Extensions, HeaderMap, Uri},
};
use serde::Serialize;

use super::{Error, Recogniser, Refusal};
use crate::{
    admission::ConnectionHandle,
    identity::user_of,
    model::{User, claims::USER_SCOPE},
};

/// The standard claims that there are values for (OpenID Connect Core 1.0 section 5.1).
#[derive(Serialize)]
pub(super) struct UserInfo {
    sub: String,
    preferred_username: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    name: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    email: Option<String>,
    /// Beside an e-mail address: nobody has verified it.
    #[serde(skip_serializing_if = "Option::is_none")]
    email_verified: Option<bool>,
    /// In seconds since the epoch.
    updated_at: i64,
}

/// The names of the claims, for discovery.
pub(in crate::http) const CLAIMS: &[&str] =
    &["sub", "preferred_username", "name", "email", "email_verified", "updated_at"];

pub(super) async fn userinfo(
    State(authenticator): State<Recogniser>,
    uri: Uri,
    headers: HeaderMap,
    extensions: Extensions,
) -> Result<Json<UserInfo>, Refusal> {
    refuse_token_in_query(&uri)?;
    let caller = authenticator.authenticate_request(&headers, &extensions, None).await?;
    if let Some(connection) = extensions.get::<ConnectionHandle>() {
        connection.note_caller(caller.subject());
    }
    caller.must_have([USER_SCOPE])?;
    Ok(Json(UserInfo::from(user_of(&caller)?)))
}

/// A token in a URL has been logged on its way (RFC 6750 section 5.3): its sender had better hear of it.
fn refuse_token_in_query(uri: &Uri) -> Result<(), Error> {
    let mut names = uri.query().unwrap_or_default().split('&').map(|pair| pair.split('=').next());
    if names.any(|name| name == Some("access_token")) {
        let problem = "its token belongs in the header `authorization`: URLs are logged";
        return Err(Error::MalformedRequest(problem.to_owned()));
    }
    Ok(())
}

impl From<&User> for UserInfo {
    fn from(user: &User) -> Self {
        Self {
            sub: user.id.to_string(),
            preferred_username: user.username.typed().to_owned(),
            name: user.display_name.as_ref().map(|name| name.as_str().to_owned()),
            email: user.email.as_ref().map(|email| email.as_str().to_owned()),
            email_verified: user.email.as_ref().map(|_| false),
            updated_at: user.update_time.as_secs(),
        }
    }
}
