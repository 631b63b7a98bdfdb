//! Owns the configuration: one struct for flags, environment and `--help`.

mod accounts;
mod admin;
mod first_start;
mod guessing;
mod http;
mod limits;
mod log;
mod mesh;
mod observe;
mod operations;
mod passwords;
mod proxies;
mod storage;
mod tls;
mod tokens;
mod web;

use std::{net::SocketAddr, time::Duration};

use clap::{Args, ValueEnum};

use crate::{
    identity::{
        UsernameRests,
        accounts::AccountSettings,
        clients::{AssertionLeeway, ClientSettings},
        permissions::PermissionSettings,
        sessions::SessionSettings,
    },
    model::{PasswordRules, SessionLifetime},
};

pub use self::http::HttpConfig;
pub use accounts::AccountConfig;
pub use admin::{AdminConfig, DEFAULT_ADMIN_ADDR};
pub use first_start::FirstStartConfig;
pub use guessing::GuessConfig;
pub use limits::LimitConfig;
pub use log::{LogConfig, LogFormat};
pub use mesh::{ExtAuthzAddr, MeshConfig};
pub use observe::ObserveConfig;
pub use operations::{DEFAULT_OPERATIONS_ADDR, OperationsConfig};
pub use passwords::PasswordConfig;
pub use proxies::ProxyConfig;
pub use storage::{Database, StorageConfig};
pub use tls::{TlsConfig, TlsFiles};
pub use tokens::TokenConfig;
pub use web::WebConfig;

/// Every setting of the service. A flag wins over its environment variable, and that over the default.
#[derive(Args, Clone, Debug)]
#[command(next_help_heading = "Listening")]
pub struct Config {
    /// Where gRPC is served. Port 0 takes a free port, which is printed.
    #[arg(
        long,
        env = "SIGNET_GRPC_ADDR",
        global = true,
        value_name = "IP:PORT",
        default_value = "127.0.0.1:50051",
        value_parser = ip_and_port
    )]
    pub grpc_addr: SocketAddr,

    /// Where HTTP (OAuth 2.0, discovery, JWKS and probes) is served. Port 0 takes a free port, which is printed.
    #[arg(
        long,
        env = "SIGNET_HTTP_ADDR",
        global = true,
        value_name = "IP:PORT",
        default_value = "127.0.0.1:8080",
        value_parser = ip_and_port
    )]
    pub http_addr: SocketAddr,

    #[command(flatten)]
    #[allow(missing_docs, reason = "clap would show the text as help")]
    pub operations: OperationsConfig,

    #[command(flatten)]
    #[allow(missing_docs, reason = "clap would show the text as help")]
    pub admin: AdminConfig,

    #[command(flatten)]
    #[allow(missing_docs, reason = "clap would show the text as help")]
    pub tls: TlsConfig,

    #[command(flatten)]
    #[allow(missing_docs, reason = "clap would show the text as help")]
    pub proxies: ProxyConfig,

    #[command(flatten)]
    #[allow(missing_docs, reason = "clap would show the text as help")]
    pub storage: StorageConfig,

    #[command(flatten)]
    #[allow(missing_docs, reason = "clap would show the text as help")]
    pub first_start: FirstStartConfig,

    #[command(flatten)]
    #[allow(missing_docs, reason = "clap would show the text as help")]
    pub tokens: TokenConfig,

    #[command(flatten)]
    #[allow(missing_docs, reason = "clap would show the text as help")]
    pub passwords: PasswordConfig,

    #[command(flatten)]
    #[allow(missing_docs, reason = "clap would show the text as help")]
    pub accounts: AccountConfig,

    #[command(flatten)]
    #[allow(missing_docs, reason = "clap would show the text as help")]
    pub guessing: GuessConfig,

    #[command(flatten)]
    #[allow(missing_docs, reason = "clap would show the text as help")]
    pub http: HttpConfig,

    #[command(flatten)]
    #[allow(missing_docs, reason = "clap would show the text as help")]
    pub limits: LimitConfig,

    #[command(flatten)]
    #[allow(missing_docs, reason = "clap would show the text as help")]
    pub log: LogConfig,

    #[command(flatten)]
    #[allow(missing_docs, reason = "clap would show the text as help")]
    pub observe: ObserveConfig,

    #[command(flatten)]
    #[allow(missing_docs, reason = "clap would show the text as help")]
    pub mesh: MeshConfig,

    #[command(flatten)]
    #[allow(missing_docs, reason = "clap would show the text as help")]
    pub web: WebConfig,
}

/// Whether something is there.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Switch {
    /// Yes.
    On,
    /// No.
    Off,
}

/// Where something is served that can be turned off.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OptionalAddr {
    /// Nowhere.
    Off,
    /// There.
    At(SocketAddr),
}

impl OptionalAddr {
    /// Where it is to be served, if anywhere: at `default` if nothing is `set`.
    fn addr(set: Option<Self>, default: SocketAddr) -> Option<SocketAddr> {
        match set {
            None => Some(default),
            Some(Self::At(addr)) => Some(addr),
            Some(Self::Off) => None,
        }
    }
}

/// A setting has a value that cannot be used. Shown as one sentence that names the setting.
#[derive(Debug, thiserror::Error)]
#[error("{setting} ({}): {problem}", environment_variable(.setting))]
pub struct ConfigError {
    /// The setting, as a flag.
    pub setting: &'static str,
    /// What is wrong with its value.
    pub problem: String,
}

impl ConfigError {
    /// The setting `setting` has the problem `problem`.
    pub fn new(setting: &'static str, problem: impl Into<String>) -> Self {
        Self { setting, problem: problem.into() }
    }
}

/// The environment variable of the flag `setting`: `SIGNET_GRPC_ADDR` for `--grpc-addr`.
#[must_use]
pub fn environment_variable(setting: &str) -> String {
    format!("SIGNET_{}", setting.trim_start_matches('-').replace('-', "_").to_uppercase())
}

impl Config {
    /// What accounts are judged and remembered by; the names of those that are deleted by `rests`.
    #[must_use]
    pub fn accounts(&self, rests: UsernameRests) -> AccountSettings {
        AccountSettings {
            sign_up: self.accounts.sign_up == Switch::On,
            reserved_usernames: self.accounts.reserved_usernames.clone(),
            rests,
            password_rules: self.password_rules(),
            cache_size: self.tokens.standing_cache_size,
            cache_max_age: self.tokens.standing_cache_max_age,
        }
    }

    /// What a new password must satisfy.
    #[must_use]
    pub const fn password_rules(&self) -> PasswordRules {
        PasswordRules { min_chars: self.passwords.password_min_length }
    }

    /// What clients are authenticated and remembered by.
    #[must_use]
    pub fn clients(&self) -> ClientSettings {
        ClientSettings {
            issuer: self.tokens.issuer.clone(),
            leeway: AssertionLeeway {
                expired: self.tokens.clock_leeway,
                ahead: self.tokens.assertion_leeway,
            },
            cache_size: self.tokens.standing_cache_size,
            cache_max_age: self.tokens.standing_cache_max_age,
        }
    }

    /// How much is remembered of who may do what.
    #[must_use]
    pub const fn permissions(&self) -> PermissionSettings {
        PermissionSettings {
            cache_size: self.tokens.standing_cache_size,
            cache_max_age: self.tokens.standing_cache_max_age,
        }
    }

    /// How long sessions live.
    #[must_use]
    pub fn session_lifetime(&self) -> SessionLifetime {
        SessionLifetime { idle: self.tokens.session_idle_timeout, absolute: self.tokens.session_max_age }
    }

    /// How long sessions live and are remembered.
    ///
    /// # Errors
    /// If the settings do not fit each other.
    pub fn sessions(&self) -> Result<SessionSettings, ConfigError> {
        Ok(SessionSettings {
            lifetime: self.session_lifetime(),
            repeat_window: self.tokens.repeat_window()?,
            refreshes: self.tokens.refreshes(),
            cache_size: self.tokens.standing_cache_size,
            cache_max_age: self.tokens.standing_cache_max_age,
        })
    }
}

/// Where to listen. Names are not resolved: they may stand for several addresses.
fn ip_and_port(text: &str) -> Result<SocketAddr, String> {
    text.parse()
        .map_err(|_| "must be an IP address and a port, such as `127.0.0.1:50051` or `[::1]:0`".to_owned())
}

/// The same, or `off`.
fn ip_and_port_or_off(text: &str) -> Result<OptionalAddr, String> {
    if text == "off" {
        return Ok(OptionalAddr::Off);
    }
    ip_and_port(text).map(OptionalAddr::At).map_err(|problem| format!("{problem}; or `off`"))
}

/// A duration such as `90s` or `1h 30m`, from `MIN` to `MAX` seconds.
fn duration<const MIN: u64, const MAX: u64>(text: &str) -> Result<Duration, String> {
    duration_within(Duration::from_secs(MIN), Duration::from_secs(MAX), text)
}

/// A duration such as `90s` or `750ms`, from `MIN` to `MAX` milliseconds.
pub(crate) fn duration_in_millis<const MIN: u64, const MAX: u64>(text: &str) -> Result<Duration, String> {
    duration_within(Duration::from_millis(MIN), Duration::from_millis(MAX), text)
}

fn duration_within(min: Duration, max: Duration, text: &str) -> Result<Duration, String> {
    let value = humantime::parse_duration(text)
        .map_err(|_| "must be a duration such as `500ms`, `30s` or `15m`".to_owned())?;
    if (min..=max).contains(&value) {
        return Ok(value);
    }
    let (min, max) = (humantime::format_duration(min), humantime::format_duration(max));
    Err(format!("must be between {min} and {max}"))
}
