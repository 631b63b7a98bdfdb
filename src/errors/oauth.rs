//! Owns the error codes of OAuth 2.0.

use crate::model::named::named;

named! {
    /// The error codes of OAuth 2.0, for the member `error` of an answer over HTTP.
    OAuthCode {
        /// RFC 6749 section 5.2.
        InvalidRequest = "invalid_request",
        /// RFC 6749 section 5.2.
        InvalidClient = "invalid_client",
        /// RFC 6749 section 5.2.
        InvalidGrant = "invalid_grant",
        /// RFC 6749 section 5.2.
        InvalidScope = "invalid_scope",
        /// RFC 6749 section 5.2.
        UnauthorizedClient = "unauthorized_client",
        /// RFC 6749 section 5.2.
        UnsupportedGrantType = "unsupported_grant_type",
        /// RFC 6750 section 3.1.
        InvalidToken = "invalid_token",
        /// RFC 6750 section 3.1.
        InsufficientScope = "insufficient_scope",
        /// RFC 7009 section 2.2.1.
        UnsupportedTokenType = "unsupported_token_type",
        /// RFC 8707 section 2.
        InvalidTarget = "invalid_target",
        /// RFC 6749 section 4.1.2.1, where the sections on errors of a token endpoint have no code.
        AccessDenied = "access_denied",
        /// The same.
        TemporarilyUnavailable = "temporarily_unavailable",
        /// The same.
        ServerError = "server_error",
        /// Signet's own: OAuth has no code for it.
        NotFound = "not_found",
    }
}
