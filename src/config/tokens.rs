//! Owns the settings of tokens and of the sessions that they belong to.

use std::time::Duration;

use clap::{Args, builder::RangedU64ValueParser, value_parser};

use super::{ConfigError, duration, duration_in_millis};
use crate::{
    auth::{JwtTyp, VerifierSettings, issuer_identifier},
    identity::{keyring::KeySettings, sessions::RefreshSettings, tokens::TokenSettings},
    model::{NameSet, SigningAlg, name_set::one_name},
};

/// For how long an exchange of a refresh token is repeated by default, if access tokens live long enough: a client that gets no answer
/// asks again within it, and a thief at the owner's own address is seen if the owner comes later.
const DEFAULT_REPEAT_WINDOW: Duration = Duration::from_mins(2);

/// Who issues the tokens where nobody has said it, and other machines reach --http-addr by a name that is not known here.
const DEFAULT_ISSUER: &str = "http://127.0.0.1:8080";

/// What tokens say and how they are signed.
#[derive(Args, Clone, Debug)]
#[command(next_help_heading = "Tokens")]
pub struct TokenConfig {
    /// Who issues the tokens (`iss`): the URL by which verifiers know this service (RFC 8414 section 2). Unless it is set, it is
    /// --http-addr while that is reached from this machine alone, and `http://127.0.0.1:8080` otherwise.
    #[arg(long, env = "SIGNET_ISSUER", global = true, value_name = "URL", value_parser = issuer_identifier)]
    pub issuer: Option<String>,

    /// Whom the tokens are meant for (`aud`).
    #[arg(long, env = "SIGNET_AUDIENCE", global = true, value_name = "NAME", default_value = "signet", value_parser = one_name)]
    pub audience: String,

    /// How long an access token is valid (1s to 24h).
    #[arg(long, env = "SIGNET_ACCESS_TOKEN_TTL", global = true, value_name = "DURATION", default_value = "15m", value_parser = duration::<1, 86_400>)]
    pub access_token_ttl: Duration,

    /// What new tokens are signed with: ES256, EdDSA, RS256 or HS256. HS256 tokens can be verified by this service alone. Starting with
    /// another algorithm than before publishes a key for it, which takes over after --key-publish-ahead.
    #[arg(long, env = "SIGNET_SIGNING_ALG", global = true, value_name = "ALG", default_value = "ES256")]
    pub signing_alg: SigningAlg,

    /// How long a key signs before the next one takes over (1m to 10 years). Longer than --key-publish-ahead.
    #[arg(long, env = "SIGNET_KEY_ROTATION_INTERVAL", global = true, value_name = "DURATION", default_value = "30days", value_parser = duration::<60, 315_576_000>)]
    pub key_rotation_interval: Duration,

    /// How long a key is published before it signs (1s to 30days), so that those who verify have it by then: longer than the slowest
    /// of them keeps the key set. --standing-cache-max-age and --clock-leeway must fit in.
    #[arg(long, env = "SIGNET_KEY_PUBLISH_AHEAD", global = true, value_name = "DURATION", default_value = "1h", value_parser = duration::<1, 2_592_000>)]
    pub key_publish_ahead: Duration,

    /// How long a session may go without its refresh token being used (1m to 1 year).
    #[arg(long, env = "SIGNET_SESSION_IDLE_TIMEOUT", global = true, value_name = "DURATION", default_value = "14days", value_parser = duration::<60, 31_557_600>)]
    pub session_idle_timeout: Duration,

    /// How long a session may live at all, however much it is used (1m to 10 years).
    #[arg(long, env = "SIGNET_SESSION_MAX_AGE", global = true, value_name = "DURATION", default_value = "90days", value_parser = duration::<60, 315_576_000>)]
    pub session_max_age: Duration,

    /// For how long the exchange of a refresh token may be repeated from the same address with the same user agent, at most 10 times: an
    /// answer was lost, or a second tab asks (1s to half of --access-token-ttl). By default 2m, or that half if it is less.
    #[arg(long, env = "SIGNET_REFRESH_REPEAT_WINDOW", global = true, value_name = "DURATION", value_parser = duration::<1, 43_200>)]
    pub refresh_repeat_window: Option<Duration>,

    /// How many refreshes a user has at once, of all sessions together; one session has half of them. Each writes to the database. What
    /// comes on top is refused (RESOURCE_EXHAUSTED), and ends nothing (20 to 1000000).
    #[arg(long, env = "SIGNET_ACCOUNT_REFRESHES", global = true, value_name = "COUNT", default_value_t = 120, value_parser = value_parser!(u32).range(20..=1_000_000))]
    pub account_refreshes: u32,

    /// After how long a user has one more; one session in twice the time (10ms to 1h).
    #[arg(long, env = "SIGNET_ACCOUNT_REFRESH_INTERVAL", global = true, value_name = "DURATION", default_value = "1s", value_parser = duration_in_millis::<10, 3_600_000>)]
    pub account_refresh_interval: Duration,

    /// How far the clocks of replicas may be apart when a token's times are checked (0s to 5m), and how far this one from the
    /// database's before it stops deleting what has expired and rotating keys.
    #[arg(long, env = "SIGNET_CLOCK_LEEWAY", global = true, value_name = "DURATION", default_value = "5s", value_parser = duration::<0, 300>)]
    pub clock_leeway: Duration,

    /// How far ahead `iat` and `nbf` of a client's assertion (`private_key_jwt`) may lie (0s to 1m): clients' clocks are further off than
    /// those of replicas. Its `exp` goes by --clock-leeway.
    #[arg(long, env = "SIGNET_ASSERTION_LEEWAY", global = true, value_name = "DURATION", default_value = "15s", value_parser = duration::<0, 60>)]
    pub assertion_leeway: Duration,

    /// How many verified tokens are remembered, so that they cost no signature check again (about 700 bytes each).
    #[arg(long, env = "SIGNET_TOKEN_CACHE_SIZE", global = true, value_name = "COUNT", default_value_t = 10_000, value_parser = RangedU64ValueParser::<usize>::new().range(0..=100_000_000))]
    pub token_cache_size: usize,

    /// How many users, how many sessions and how many clients are remembered, and of how many of them the roles (about 500 bytes each).
    #[arg(long, env = "SIGNET_STANDING_CACHE_SIZE", global = true, value_name = "COUNT", default_value_t = 10_000, value_parser = RangedU64ValueParser::<usize>::new().range(0..=100_000_000))]
    pub standing_cache_size: usize,

    /// How long a change by another process (a user disabled, a session ended) may stay unseen (0s to 1m): the database is asked
    /// for changes twice within that time. What is
    /// changed by a call to this process it sees at once.
    #[arg(long, env = "SIGNET_STANDING_CACHE_MAX_AGE", global = true, value_name = "DURATION", default_value = "1s", value_parser = duration::<0, 60>)]
    pub standing_cache_max_age: Duration,
}

impl TokenConfig {
    /// Who issues the tokens.
    #[must_use]
    pub fn issuer(&self) -> &str {
        self.issuer.as_deref().unwrap_or(DEFAULT_ISSUER)
    }

    /// What tokens say.
    #[must_use]
    pub fn issuing(&self) -> TokenSettings {
        TokenSettings {
            issuer: self.issuer().to_owned(),
            audience: NameSet::from_stored(self.audience.clone()),
            access_token_ttl: self.access_token_ttl,
        }
    }

    /// For how long an exchange of a refresh token is repeated.
    ///
    /// # Errors
    /// If it is set, and longer than fits the access tokens.
    pub fn repeat_window(&self) -> Result<Duration, ConfigError> {
        let most = self.access_token_ttl / 2;
        match self.refresh_repeat_window {
            None => Ok(DEFAULT_REPEAT_WINDOW.min(most)),
            Some(window) if window <= most => Ok(window),
            Some(_) => {
                let problem = "must be at most half of --access-token-ttl: a repeat gives an access token that expires when the first \
                               one does";
                Err(ConfigError::new("--refresh-repeat-window", problem))
            }
        }
    }

    /// How often a user refreshes.
    #[must_use]
    pub const fn refreshes(&self) -> RefreshSettings {
        RefreshSettings { at_once: self.account_refreshes, interval: self.account_refresh_interval }
    }

    /// What the keys are made by.
    ///
    /// # Errors
    /// If the settings do not fit each other.
    pub fn keys(&self) -> Result<KeySettings, ConfigError> {
        let Self { key_publish_ahead: ahead, standing_cache_max_age: max_age, clock_leeway: leeway, .. } =
            self;
        if *ahead >= self.key_rotation_interval {
            let problem = "must be longer than --key-publish-ahead";
            return Err(ConfigError::new("--key-rotation-interval", problem));
        }
        if *ahead < *max_age + *leeway {
            let problem = "must be no shorter than --standing-cache-max-age and --clock-leeway together: other replicas would not \
                           have the key when it signs";
            return Err(ConfigError::new("--key-publish-ahead", problem));
        }
        Ok(KeySettings {
            alg: self.signing_alg,
            rotation_interval: self.key_rotation_interval,
            publish_ahead: *ahead,
            // The last token may have been signed by somebody who had not heard of the next key, by a clock that was behind, and be
            // verified by another that is ahead.
            retention: self.access_token_ttl + *max_age + *leeway * 2,
            max_age: *max_age,
            leeway: *leeway,
        })
    }

    /// What is expected of tokens.
    #[must_use]
    pub fn verifying(&self) -> VerifierSettings {
        VerifierSettings {
            issuer: self.issuer().to_owned(),
            audience: self.audience.clone(),
            leeway: self.clock_leeway,
            cache_size: self.token_cache_size,
            // Where their audience asks for them, which is looked up.
            token_typ_jwt: JwtTyp::ForOthers,
        }
    }
}
