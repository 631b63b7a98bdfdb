//! Owns the settings of the OAuth 2.0 endpoints over HTTP.

use clap::Args;

use super::Switch;

/// What the OAuth 2.0 endpoints do.
#[derive(Args, Clone, Debug)]
#[command(next_help_heading = "HTTP")]
pub struct HttpConfig {
    /// Whether passwords are exchanged for tokens at /oauth2/token, for first-party applications; gRPC is not concerned. RFC 9700
    /// section 2.4 advises against it where the application is somebody else's.
    #[arg(long, env = "SIGNET_HTTP_PASSWORD_GRANT", global = true, value_name = "WHETHER", value_enum, default_value_t = Switch::On)]
    pub http_password_grant: Switch,
}
