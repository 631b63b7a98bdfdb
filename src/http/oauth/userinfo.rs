//! Owns `/oauth2/userinfo`: `GetMe` in the claims of OpenID Connect.

use std::sync::Arc;

use axum::{
    Json,
    extract::State,
    http::{Extensions, HeaderMap, Uri},
};
use serde::Serialize;

use super::{Error, Recogniser, Refusal};
use crate::{
    admission::ConnectionHandle,
    identity::{ShownAttributes, user_of},
    model::{NamedAttributes, User, claims::USER_SCOPE},
};

/// The endpoint.
#[derive(Clone, Debug)]
pub(crate) struct UserInfoEndpoint {
    /// Who recognises the bearers of tokens.
    pub(crate) authenticator: Recogniser,
    /// Who knows what is said of their attributes.
    pub(crate) attributes: Arc<ShownAttributes>,
}

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
    /// Those of the operator's own that it has declared for this, apart from the standard ones.
    #[serde(skip_serializing_if = "NamedAttributes::is_empty")]
    attributes: NamedAttributes,
}

/// The names of the claims, for discovery.
pub(in crate::http) const CLAIMS: &[&str] =
    &["sub", "preferred_username", "name", "email", "email_verified", "updated_at", "attributes"];

pub(super) async fn userinfo(
    State(endpoint): State<UserInfoEndpoint>,
    uri: Uri,
    headers: HeaderMap,
    extensions: Extensions,
) -> Result<Json<UserInfo>, Refusal> {
    refuse_token_in_query(&uri)?;
    let caller = endpoint.authenticator.authenticate_request(&headers, &extensions, None).await?;
    if let Some(connection) = extensions.get::<ConnectionHandle>() {
        connection.note_caller(caller.subject());
    }
    caller.must_have([USER_SCOPE])?;
    let user = user_of(&caller)?;
    let attributes = endpoint.attributes.in_userinfo(user).await?;
    Ok(Json(UserInfo::new(user, attributes)))
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

impl UserInfo {
    fn new(user: &User, attributes: NamedAttributes) -> Self {
        Self {
            sub: user.id.to_string(),
            preferred_username: user.username.typed().to_owned(),
            name: user.display_name.as_ref().map(|name| name.as_str().to_owned()),
            email: user.email.as_ref().map(|email| email.as_str().to_owned()),
            email_verified: user.email.as_ref().map(|_| false),
            updated_at: user.update_time.as_secs(),
            attributes,
        }
    }
}
