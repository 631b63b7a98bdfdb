//! Owns the configuration: one struct for flags, environment and `--help`.

mod accounts;
mod admin;
mod environment;
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
mod traces;
mod unusable_file;
mod web;

use std::{io, net::SocketAddr, path::Path, time::Duration};

use clap::{Args, ValueEnum};

use crate::{
    changes::StreamSettings,
    identity::{
        UsernameRests,
        accounts::AccountSettings,
        clients::{AssertionLeeway, ClientSettings},
        permissions::PermissionSettings,
        sessions::SessionSettings,
    },
    model::{PasswordRules, SessionLifetime},
};

pub use self::http::{ExplorerPlace, HttpConfig};
pub use accounts::AccountConfig;
pub use admin::{AdminConfig, DEFAULT_ADMIN_ADDR};
pub use environment::EnvironmentConfig;
pub use first_start::FirstStartConfig;
pub use guessing::GuessConfig;
pub use limits::LimitConfig;
pub use log::{LogConfig, LogFormat, RequestLogged};
pub use mesh::{ExtAuthzAddr, MeshConfig};
pub use observe::ObserveConfig;
pub use operations::{DEFAULT_OPERATIONS_ADDR, OperationsConfig};
pub use passwords::PasswordConfig;
pub use proxies::ProxyConfig;
pub(crate) use storage::read_secret_file;
pub use storage::{CopiedDatabase, Database, DatabaseLocation, StorageConfig};
pub use tls::{TlsConfig, TlsFiles};
pub use tokens::TokenConfig;
pub use traces::{OpenTelemetryVariables, TraceConfig, TracePlan};
pub(crate) use unusable_file::{UnusableFile, cause, is_forbidden, or_here, owner};
pub use web::WebConfig;

/// Every setting of the service. A flag wins over its environment variable, and that over the default.
#[derive(Args, Clone, Debug)]
#[command(next_help_heading = "Listening")]
pub struct Config {
    /// Where gRPC, gRPC-Web and Connect are served. Port 0 takes a free port, which is printed.
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
    pub traces: TraceConfig,

    #[command(flatten)]
    #[allow(missing_docs, reason = "clap would show the text as help")]
    pub mesh: MeshConfig,

    #[command(flatten)]
    #[allow(missing_docs, reason = "clap would show the text as help")]
    pub web: WebConfig,

    #[command(flatten)]
    #[allow(missing_docs, reason = "clap would show the text as help")]
    pub environment: EnvironmentConfig,
}

/// Whether something is there.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Switch {
    /// Yes.
    #[value(alias = "true")]
    On,
    /// No.
    #[value(alias = "false")]
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
    /// Whether it names a file that this user may not use.
    pub is_forbidden: bool,
}

impl ConfigError {
    /// The setting `setting` has the problem `problem`.
    pub fn new(setting: &'static str, problem: impl Into<String>) -> Self {
        Self { setting, problem: problem.into(), is_forbidden: false }
    }

    /// The file `path`, which is the setting `setting` or named by it, cannot be read, of which the system says `error`.
    pub(crate) fn unreadable(setting: &'static str, path: &Path, error: &io::Error) -> Self {
        Self::of_file(setting, UnusableFile::unreadable(path, error))
    }

    /// The file `path`, which is the setting `setting` or named by it, cannot be written, of which the system says `error`.
    pub(crate) fn unwritable(setting: &'static str, path: &Path, error: &io::Error) -> Self {
        Self::of_file(setting, UnusableFile::unwritable(path, error))
    }

    fn of_file(setting: &'static str, UnusableFile { problem, is_forbidden }: UnusableFile) -> Self {
        Self { setting, problem, is_forbidden }
    }
}

/// Options of one command, whose variables name it, too: a variable is everybody's.
const OF_COMMANDS: [(&str, &str); 3] =
    [("--from", "SIGNET_IMPORT_FROM"), ("--to", "SIGNET_COPY_TO"), ("--to-file", "SIGNET_COPY_TO_FILE")];

/// The environment variable of the flag `setting`: `SIGNET_GRPC_ADDR` for `--grpc-addr`.
#[must_use]
pub fn environment_variable(setting: &str) -> String {
    if let Some((_, variable)) = OF_COMMANDS.iter().find(|(flag, _)| *flag == setting) {
        return (*variable).to_owned();
    }
    format!("SIGNET_{}", setting.trim_start_matches('-').replace('-', "_").to_uppercase())
}

impl Config {
    /// Who issues the tokens of a service whose HTTP is at `http_addr`: that address, unless an issuer is set, or other machines reach it,
    /// too. Whoever follows the issuer must find this service.
    #[must_use]
    pub fn issuer_at(&self, http_addr: SocketAddr) -> String {
        if self.tokens.issuer.is_some() || !http_addr.ip().to_canonical().is_loopback() {
            return self.tokens.issuer().to_owned();
        }
        let scheme = if self.tls.tls_cert.is_some() { "https" } else { "http" };
        format!("{scheme}://{http_addr}")
    }

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
            issuer: self.tokens.issuer().to_owned(),
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
            clock_leeway: self.tokens.clock_leeway,
        }
    }

    /// What the stream of changes needs to know of tokens.
    #[must_use]
    pub fn stream(&self) -> StreamSettings {
        let issuing = self.tokens.issuing();
        StreamSettings {
            own: issuing.audience,
            token_life: issuing.access_token_ttl,
            leeway: self.tokens.clock_leeway,
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
pub(crate) fn duration<const MIN: u64, const MAX: u64>(text: &str) -> Result<Duration, String> {
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
