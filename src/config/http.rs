//! Owns the settings of what is served over HTTP.

use clap::{Args, ValueEnum};

use super::Switch;

/// What is served over HTTP.
#[derive(Args, Clone, Debug)]
#[command(next_help_heading = "HTTP")]
pub struct HttpConfig {
    /// Whether passwords are exchanged for tokens at /oauth2/token, for first-party applications; gRPC is not concerned. RFC 9700
    /// section 2.4 advises against it where the application is somebody else's.
    #[arg(long, env = "SIGNET_HTTP_PASSWORD_GRANT", global = true, value_name = "WHETHER", value_enum, default_value_t = Switch::On)]
    pub http_password_grant: Switch,

    /// Whether POST /auth/signup, POST /auth/token and GET /users/me are served as a service built with `FastAPI` serves them, for its
    /// clients (docs/MIGRATING.md). Their logins have no refresh token. --http-password-grant does not concern them, --sign-up does.
    #[arg(long, env = "SIGNET_MODEL_API", global = true, value_name = "WHETHER", value_enum, default_value_t = Switch::Off)]
    pub model_api: Switch,

    /// Where the explorer is (/explorer), a page on which every call can be tried: `on` --http-addr, `off`, or at --admin-addr alone, for
    /// the admin API (`admin`). On unless set if --http-addr and the host of --issuer are both of this machine alone and callers show no
    /// certificates (--tls-client-ca), and then not for requests that a proxy forwards. While it is on, --http-addr also serves the RPCs of
    /// identity.v1 by Connect (docs/EXPLORER.md).
    #[arg(long, env = "SIGNET_EXPLORER", global = true, value_name = "WHERE", value_enum)]
    pub explorer: Option<ExplorerPlace>,
}

/// Where the explorer is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum ExplorerPlace {
    /// At `--http-addr`.
    #[value(alias = "true")]
    On,
    /// Nowhere.
    #[value(alias = "false")]
    Off,
    /// At `--admin-addr`, for the admin API too.
    Admin,
}
