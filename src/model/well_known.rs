//! Owns where an issuer's metadata are, below its own path or in front of it.

/// Of OpenID Connect Discovery 1.0, section 4: behind the issuer's path.
pub(crate) const OPENID_CONFIGURATION: &str = "/.well-known/openid-configuration";

/// Of RFC 8414, section 3.1: in front of the issuer's path.
pub(crate) const OAUTH_AUTHORIZATION_SERVER: &str = "/.well-known/oauth-authorization-server";
