//! Owns what an access token says: the claims of RFC 9068.

use serde::{Deserialize, Serialize};
use uuid::Uuid;

/// The scope that a user's own login carries: to read and manage the user's own account.
pub const USER_SCOPE: &str = "profile";

/// The `client_id` of tokens that a user got by password from no particular client.
pub const FIRST_PARTY_CLIENT: &str = "signet";

/// The `typ` header of an access token (RFC 9068 section 2.1).
pub const ACCESS_TOKEN_TYP: &str = "at+jwt";

/// The payload of an access token (RFC 9068 section 2.2), times in seconds since the epoch.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Claims {
    /// Who issued it.
    pub iss: String,
    /// Whom it stands for: a user's id, never a username.
    pub sub: Uuid,
    /// Whom it is meant for.
    pub aud: String,
    /// From when on it is refused.
    pub exp: i64,
    /// When it was issued.
    pub iat: i64,
    /// Before when it is refused, if said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub nbf: Option<i64>,
    /// The token's own id.
    pub jti: Uuid,
    /// The client that asked for it.
    pub client_id: String,
    /// What it allows, separated by spaces (RFC 6749 section 3.3).
    pub scope: String,
    /// The login session it belongs to.
    pub sid: Uuid,
}

impl Claims {
    /// Whether the token carries `scope`.
    #[must_use]
    pub fn has_scope(&self, scope: &str) -> bool {
        self.scope.split(' ').any(|held| held == scope)
    }
}
