//! Owns the configuration: one struct for flags, environment and `--help`.

use std::{fs, net::SocketAddr, path::PathBuf, time::Duration};

use clap::{Args, ValueEnum, builder::RangedU64ValueParser, value_parser};
use secrecy::{ExposeSecret, SecretString};
use tracing_subscriber::filter::{LevelFilter, Targets};

use crate::{
    auth::VerifierSettings,
    identity::{
        MasterKey, accounts::AccountSettings, passwords::Argon2Params, passwords::PoolSize,
        sessions::SessionSettings, tokens::TokenSettings,
    },
    model::{PasswordRules, SessionLifetime, SigningAlg},
};

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

    /// Where HTTP (JWKS and probes) is served. Port 0 takes a free port, which is printed.
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
    pub storage: StorageConfig,

    #[command(flatten)]
    #[allow(missing_docs, reason = "clap would show the text as help")]
    pub tokens: TokenConfig,

    #[command(flatten)]
    #[allow(missing_docs, reason = "clap would show the text as help")]
    pub passwords: PasswordConfig,

    #[command(flatten)]
    #[allow(missing_docs, reason = "clap would show the text as help")]
    pub limits: LimitConfig,

    #[command(flatten)]
    #[allow(missing_docs, reason = "clap would show the text as help")]
    pub log: LogConfig,
}

/// Where the data are.
#[derive(Args, Clone, Debug)]
#[command(next_help_heading = "Storage")]
pub struct StorageConfig {
    /// Where the embedded database (signet.db) and its master key (master.key) live. Made if it is not there.
    #[arg(long, env = "SIGNET_DATA_DIR", global = true, value_name = "DIR", default_value = "./signet-data")]
    pub data_dir: PathBuf,

    /// Another database than the embedded one: `sqlite:PATH`. Needs --master-key.
    #[arg(long, env = "SIGNET_DATABASE_URL", global = true, value_name = "URL", hide_env_values = true)]
    pub database_url: Option<SecretString>,

    /// A file that holds --database-url.
    #[arg(long, env = "SIGNET_DATABASE_URL_FILE", global = true, value_name = "FILE")]
    pub database_url_file: Option<PathBuf>,

    /// The key that seals the signing keys in the database: 32 bytes as 64 hexadecimal digits. The embedded database makes its
    /// own in the data directory.
    #[arg(long, env = "SIGNET_MASTER_KEY", global = true, value_name = "HEX", hide_env_values = true)]
    pub master_key: Option<SecretString>,

    /// A file that holds --master-key.
    #[arg(long, env = "SIGNET_MASTER_KEY_FILE", global = true, value_name = "FILE")]
    pub master_key_file: Option<PathBuf>,
}

/// What tokens say and how they are signed.
#[derive(Args, Clone, Debug)]
#[command(next_help_heading = "Tokens")]
pub struct TokenConfig {
    /// Who issues the tokens (`iss`): the URL by which verifiers know this service (RFC 8414 section 2).
    #[arg(long, env = "SIGNET_ISSUER", global = true, value_name = "URL", default_value = "http://127.0.0.1:8080", value_parser = issuer)]
    pub issuer: String,

    /// Whom the tokens are meant for (`aud`).
    #[arg(long, env = "SIGNET_AUDIENCE", global = true, value_name = "NAME", default_value = "signet", value_parser = not_empty)]
    pub audience: String,

    /// How long an access token is valid (1s to 24h).
    #[arg(long, env = "SIGNET_ACCESS_TOKEN_TTL", global = true, value_name = "DURATION", default_value = "15m", value_parser = duration::<1, 86_400>)]
    pub access_token_ttl: Duration,

    /// What new tokens are signed with: ES256, EdDSA, RS256 or HS256. HS256 tokens can be verified by this service alone.
    #[arg(long, env = "SIGNET_SIGNING_ALG", global = true, value_name = "ALG", default_value = "ES256")]
    pub signing_alg: SigningAlg,

    /// How long a session may go without its refresh token being used (1m to 1 year).
    #[arg(long, env = "SIGNET_SESSION_IDLE_TIMEOUT", global = true, value_name = "DURATION", default_value = "14days", value_parser = duration::<60, 31_557_600>)]
    pub session_idle_timeout: Duration,

    /// How long a session may live at all, however much it is used (1m to 10 years).
    #[arg(long, env = "SIGNET_SESSION_MAX_AGE", global = true, value_name = "DURATION", default_value = "90days", value_parser = duration::<60, 315_576_000>)]
    pub session_max_age: Duration,

    /// How far the clocks of replicas may be apart when a token's times are judged (0s to 5m).
    #[arg(long, env = "SIGNET_CLOCK_LEEWAY", global = true, value_name = "DURATION", default_value = "5s", value_parser = duration::<0, 300>)]
    pub clock_leeway: Duration,

    /// How many verified tokens are remembered, so that they cost no signature check again (about 700 bytes each).
    #[arg(long, env = "SIGNET_TOKEN_CACHE_SIZE", global = true, value_name = "COUNT", default_value_t = 10_000, value_parser = RangedU64ValueParser::<usize>::new().range(0..=100_000_000))]
    pub token_cache_size: usize,

    /// How many users and how many sessions are remembered (about 500 bytes each).
    #[arg(long, env = "SIGNET_STANDING_CACHE_SIZE", global = true, value_name = "COUNT", default_value_t = 10_000, value_parser = RangedU64ValueParser::<usize>::new().range(0..=100_000_000))]
    pub standing_cache_size: usize,

    /// How long a change by another process (a user disabled, a session ended) may stay unseen (0s to 1m): the database is asked
    /// for changes twice within that time. Changes by this process are seen at once.
    #[arg(long, env = "SIGNET_STANDING_CACHE_MAX_AGE", global = true, value_name = "DURATION", default_value = "1s", value_parser = duration::<0, 60>)]
    pub standing_cache_max_age: Duration,
}

/// What passwords must satisfy and what a hash costs.
#[derive(Args, Clone, Debug)]
#[command(next_help_heading = "Passwords")]
pub struct PasswordConfig {
    /// The fewest characters of a new password (8 to 64; NIST SP 800-63B-4 asks for 15 where it is the only factor).
    #[arg(long, env = "SIGNET_PASSWORD_MIN_LENGTH", global = true, value_name = "CHARS", default_value_t = 8, value_parser = RangedU64ValueParser::<usize>::new().range(8..=64))]
    pub password_min_length: usize,

    /// Argon2id memory of one hash, in KiB (OWASP: 19456 with 2 iterations).
    #[arg(long, env = "SIGNET_ARGON2_MEMORY_KIB", global = true, value_name = "KIB", default_value_t = 19_456, value_parser = value_parser!(u32).range(8..=4_194_304))]
    pub argon2_memory_kib: u32,

    /// Argon2id passes over the memory.
    #[arg(long, env = "SIGNET_ARGON2_ITERATIONS", global = true, value_name = "COUNT", default_value_t = 2, value_parser = value_parser!(u32).range(1..=1_000))]
    pub argon2_iterations: u32,

    /// Argon2id lanes. One thread computes them all.
    #[arg(long, env = "SIGNET_ARGON2_PARALLELISM", global = true, value_name = "COUNT", default_value_t = 1, value_parser = value_parser!(u32).range(1..=255))]
    pub argon2_parallelism: u32,

    /// How many passwords are hashed at once, each in memory of its own. Default: one less than there are
    /// cores, so that one is left to those who check tokens.
    #[arg(long, env = "SIGNET_HASH_THREADS", global = true, value_name = "COUNT", value_parser = RangedU64ValueParser::<usize>::new().range(1..=1_024))]
    pub hash_threads: Option<usize>,

    /// How many more passwords may wait to be hashed; what comes on top is refused at once (RESOURCE_EXHAUSTED).
    #[arg(long, env = "SIGNET_HASH_QUEUE", global = true, value_name = "COUNT", default_value_t = 64, value_parser = RangedU64ValueParser::<usize>::new().range(0..=1_000_000))]
    pub hash_queue: usize,
}

/// What one call, one connection and all of them may take.
#[derive(Args, Clone, Debug)]
#[command(next_help_heading = "Limits")]
pub struct LimitConfig {
    /// How long a call may take; a shorter deadline of the client's own wins (1s to 5m).
    #[arg(long, env = "SIGNET_REQUEST_TIMEOUT", global = true, value_name = "DURATION", default_value = "10s", value_parser = duration::<1, 300>)]
    pub request_timeout: Duration,

    /// The largest request message: no request of this API needs more than a few KiB.
    #[arg(long, env = "SIGNET_MAX_MESSAGE_BYTES", global = true, value_name = "BYTES", default_value_t = 65_536, value_parser = RangedU64ValueParser::<usize>::new().range(1_024..=16_777_216))]
    pub max_message_bytes: usize,

    /// The largest header list: room for a token of 8 KiB and a sidecar's own headers.
    #[arg(long, env = "SIGNET_MAX_HEADER_BYTES", global = true, value_name = "BYTES", default_value_t = 16_384, value_parser = value_parser!(u32).range(8_192..=1_048_576))]
    pub max_header_bytes: u32,

    /// How many calls one connection may have open: keeps one client from taking all places.
    #[arg(long, env = "SIGNET_MAX_CONCURRENT_STREAMS", global = true, value_name = "COUNT", default_value_t = 256, value_parser = value_parser!(u32).range(1..=65_536))]
    pub max_concurrent_streams: u32,

    /// How many calls may be in flight over all connections; what comes on top is refused at once (RESOURCE_EXHAUSTED).
    #[arg(long, env = "SIGNET_MAX_IN_FLIGHT_CALLS", global = true, value_name = "COUNT", default_value_t = 4_096, value_parser = RangedU64ValueParser::<usize>::new().range(1..=1_000_000))]
    pub max_in_flight_calls: usize,

    /// How many connections may be open on each address; what comes on top is closed at once. Bounded by the open-files limit.
    #[arg(long, env = "SIGNET_MAX_CONNECTIONS", global = true, value_name = "COUNT", default_value_t = 8_192, value_parser = RangedU64ValueParser::<usize>::new().range(1..=1_000_000))]
    pub max_connections: usize,

    /// How long a connection may be silent before it is pinged: shorter than what common load balancers take for dead (1s to 1h).
    #[arg(long, env = "SIGNET_KEEPALIVE_INTERVAL", global = true, value_name = "DURATION", default_value = "30s", value_parser = duration::<1, 3_600>)]
    pub keepalive_interval: Duration,

    /// How long the answer to a ping, and a new connection's greeting, may take (1s to 5m).
    #[arg(long, env = "SIGNET_KEEPALIVE_TIMEOUT", global = true, value_name = "DURATION", default_value = "10s", value_parser = duration::<1, 300>)]
    pub keepalive_timeout: Duration,

    /// After what time a connection is asked to close (GOAWAY), so that clients spread over new replicas; each connection's own
    /// age varies by a tenth (1s to 24h).
    #[arg(long, env = "SIGNET_MAX_CONNECTION_AGE", global = true, value_name = "DURATION", default_value = "30m", value_parser = duration::<1, 86_400>)]
    pub max_connection_age: Duration,

    /// How long calls in flight may take to finish on a shutdown, or on a connection past its age (0s to 1h).
    #[arg(long, env = "SIGNET_DRAIN_TIMEOUT", global = true, value_name = "DURATION", default_value = "30s", value_parser = duration::<0, 3_600>)]
    pub drain_timeout: Duration,
}

/// What is logged, and how.
#[derive(Args, Clone, Debug)]
#[command(next_help_heading = "Logs")]
pub struct LogConfig {
    /// How log lines look on standard error.
    #[arg(long, env = "SIGNET_LOG_FORMAT", global = true, value_name = "FORMAT", value_enum, default_value_t = LogFormat::Text)]
    pub log_format: LogFormat,

    /// What is logged: off, error, warn, info, debug, trace, or directives such as `warn,signet=debug`.
    #[arg(
        long,
        env = "SIGNET_LOG_LEVEL",
        global = true,
        value_name = "LEVEL",
        default_value = "warn,signet=info",
        value_parser = log_level
    )]
    pub log_level: Targets,
}

/// How log lines look.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum LogFormat {
    /// For people.
    Text,
    /// One JSON object a line, for programs.
    Json,
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

/// Which database, and where its master key comes from.
#[derive(Debug)]
pub enum Database {
    /// The file in the data directory; the master key beside it, unless one is given.
    Embedded(Option<MasterKey>),
    /// Another SQLite file.
    Sqlite(PathBuf, MasterKey),
}

impl StorageConfig {
    /// The database that is configured.
    ///
    /// # Errors
    /// If the settings contradict each other, or a secret cannot be read or used.
    pub fn database(&self) -> Result<Database, ConfigError> {
        let master_key = MASTER_KEY
            .read(self.master_key.as_ref(), self.master_key_file.as_ref())?
            .map(|text| MasterKey::from_hex(text.expose_secret()))
            .transpose()
            .map_err(|problem| ConfigError::new(MASTER_KEY.direct, problem))?;
        let Some(url) = DATABASE_URL.read(self.database_url.as_ref(), self.database_url_file.as_ref())?
        else {
            return Ok(Database::Embedded(master_key));
        };
        let path =
            url.expose_secret().strip_prefix("sqlite:").filter(|path| !path.is_empty()).ok_or_else(|| {
                ConfigError::new(
                    "--database-url",
                    "must be `sqlite:` and a path: this version knows no other database",
                )
            })?;
        let master_key = master_key.ok_or_else(|| {
            ConfigError::new(
                "--master-key",
                "must be set when --database-url is: 32 bytes as 64 hexadecimal digits",
            )
        })?;
        Ok(Database::Sqlite(PathBuf::from(path), master_key))
    }
}

impl PasswordConfig {
    /// What one hash costs.
    ///
    /// # Errors
    /// If Argon2 does not take the combination.
    pub fn argon2(&self) -> Result<Argon2Params, ConfigError> {
        let params = Argon2Params {
            memory_kib: self.argon2_memory_kib,
            iterations: self.argon2_iterations,
            parallelism: self.argon2_parallelism,
        };
        params.validate().map_err(|error| {
            let problem = format!("does not fit --argon2-parallelism (at least 8 KiB a lane): {error}");
            ConfigError::new("--argon2-memory-kib", problem)
        })?;
        Ok(params)
    }

    /// How much hashing happens at once.
    #[must_use]
    pub fn pool(&self) -> PoolSize {
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        PoolSize {
            threads: self.hash_threads.unwrap_or(cores.saturating_sub(1).max(1)),
            queue: self.hash_queue,
        }
    }
}

impl Config {
    /// What accounts are judged and remembered by.
    #[must_use]
    pub fn accounts(&self) -> AccountSettings {
        AccountSettings {
            password_rules: PasswordRules { min_chars: self.passwords.password_min_length },
            cache_size: self.tokens.standing_cache_size,
            cache_max_age: self.tokens.standing_cache_max_age,
        }
    }
}

impl Config {
    /// How long sessions live and are remembered.
    #[must_use]
    pub fn sessions(&self) -> SessionSettings {
        SessionSettings {
            lifetime: SessionLifetime {
                idle: self.tokens.session_idle_timeout,
                absolute: self.tokens.session_max_age,
            },
            cache_size: self.tokens.standing_cache_size,
            cache_max_age: self.tokens.standing_cache_max_age,
        }
    }
}

impl TokenConfig {
    /// What tokens say.
    #[must_use]
    pub fn issuing(&self) -> TokenSettings {
        TokenSettings {
            issuer: self.issuer.clone(),
            audience: self.audience.clone(),
            access_token_ttl: self.access_token_ttl,
        }
    }

    /// What is expected of tokens.
    #[must_use]
    pub fn verifying(&self) -> VerifierSettings {
        VerifierSettings {
            issuer: self.issuer.clone(),
            audience: self.audience.clone(),
            leeway: self.clock_leeway,
            cache_size: self.token_cache_size,
        }
    }
}

/// A secret that is given directly or in a file, but not both: the flags of the two.
struct Secret {
    direct: &'static str,
    file: &'static str,
}

const MASTER_KEY: Secret = Secret { direct: "--master-key", file: "--master-key-file" };
const DATABASE_URL: Secret = Secret { direct: "--database-url", file: "--database-url-file" };

impl Secret {
    fn read(
        &self,
        direct: Option<&SecretString>,
        file: Option<&PathBuf>,
    ) -> Result<Option<SecretString>, ConfigError> {
        match (direct, file) {
            (Some(_), Some(_)) => {
                Err(ConfigError::new(self.direct, format!("is set twice: directly, and by {}", self.file)))
            }
            (Some(secret), None) => Ok(Some(secret.clone())),
            (None, Some(file)) => {
                let text = fs::read_to_string(file).map_err(|error| {
                    ConfigError::new(self.file, format!("{} cannot be read: {error}", file.display()))
                })?;
                Ok(Some(text.trim().to_owned().into()))
            }
            (None, None) => Ok(None),
        }
    }
}

/// Where to listen. Names are not resolved: they may stand for several addresses.
fn ip_and_port(text: &str) -> Result<SocketAddr, String> {
    text.parse()
        .map_err(|_| "must be an IP address and a port, such as `127.0.0.1:50051` or `[::1]:0`".to_owned())
}

/// What to log. A word that is no level is refused: it would be taken for a target, and nothing else be logged.
fn log_level(text: &str) -> Result<Targets, String> {
    let level = |directive: &str| directive.rsplit('=').next().unwrap_or_default().parse::<LevelFilter>();
    text.split(',').all(|directive| level(directive).is_ok()).then(|| text.parse().ok()).flatten().ok_or_else(
        || {
            "must be off, error, warn, info, debug, trace, or directives such as `warn,signet=debug`"
                .to_owned()
        },
    )
}

/// A duration such as `90s` or `1h 30m`, from `MIN` to `MAX` seconds.
fn duration<const MIN: u64, const MAX: u64>(text: &str) -> Result<Duration, String> {
    let (min, max) = (Duration::from_secs(MIN), Duration::from_secs(MAX));
    let value = humantime::parse_duration(text)
        .map_err(|_| "must be a duration such as `500ms`, `30s` or `15m`".to_owned())?;
    if (min..=max).contains(&value) {
        return Ok(value);
    }
    let (min, max) = (humantime::format_duration(min), humantime::format_duration(max));
    Err(format!("must be between {min} and {max}"))
}

fn not_empty(text: &str) -> Result<String, String> {
    if text.is_empty() { Err("must not be empty".to_owned()) } else { Ok(text.to_owned()) }
}

/// An issuer identifier: an http or https URL without query or fragment (RFC 8414 section 2).
fn issuer(text: &str) -> Result<String, String> {
    let parsed = text.parse::<http::Uri>().ok().filter(|uri| {
        matches!(uri.scheme_str(), Some("https" | "http")) && uri.host().is_some() && uri.query().is_none()
    });
    if parsed.is_none() || text.contains('#') {
        return Err("must be an http or https URL without query or fragment (RFC 8414)".to_owned());
    }
    Ok(text.to_owned())
}
