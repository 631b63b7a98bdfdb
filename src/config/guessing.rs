//! Owns the settings of how often passwords may be guessed.

use std::time::Duration;

use clap::{Args, value_parser};

use super::{duration, duration_in_millis};
use crate::{identity::guessing::GuessSettings, model::SessionLifetime};

/// How often passwords may be wrong.
#[derive(Args, Clone, Debug)]
#[command(next_help_heading = "Guessing")]
pub struct GuessConfig {
    /// How many failures an address has at once: wrong passwords, and each sign-up that breaks no rule; and apart from these as many wrong
    /// client secrets, assertions and refresh tokens. An address may be an office or a NAT. An IPv6 /64 is one address; a /48 has twice as
    /// many. What comes on top is refused (RESOURCE_EXHAUSTED). Passwords from a private, loopback, link-local or shared address are not:
    /// it may be a proxy that is not named in --trusted-proxy-addresses, and its logins wait behind all others (10 to 1000000).
    #[arg(long, env = "SIGNET_ADDRESS_FAILURES", global = true, value_name = "COUNT", default_value_t = 100, value_parser = value_parser!(u32).range(10..=1_000_000))]
    pub address_failures: u32,

    /// After how long an address has one more (10ms to 1h).
    #[arg(long, env = "SIGNET_ADDRESS_FAILURE_INTERVAL", global = true, value_name = "DURATION", default_value = "1s", value_parser = duration_in_millis::<10, 3_600_000>)]
    pub address_failure_interval: Duration,

    /// How many failures an account has at once, from all addresses together; names that nobody has as well. Beyond that, passwords are
    /// judged only from addresses that have not failed at it within the hour (3 tries an hour, 300 a day together) or from which an open
    /// session of the user came (10 more an hour), so that nobody is locked out (10 to 1000000).
    #[arg(long, env = "SIGNET_ACCOUNT_FAILURES", global = true, value_name = "COUNT", default_value_t = 100, value_parser = value_parser!(u32).range(10..=1_000_000))]
    pub account_failures: u32,

    /// After how long an account has one more (1s to 24h).
    #[arg(long, env = "SIGNET_ACCOUNT_FAILURE_INTERVAL", global = true, value_name = "DURATION", default_value = "30s", value_parser = duration::<1, 86_400>)]
    pub account_failure_interval: Duration,
}

impl GuessConfig {
    /// How often passwords may be wrong, where sessions live for `sessions`.
    #[must_use]
    pub const fn settings(&self, sessions: SessionLifetime) -> GuessSettings {
        GuessSettings {
            address_failures: self.address_failures,
            address_interval: self.address_failure_interval,
            account_failures: self.account_failures,
            account_interval: self.account_failure_interval,
            sessions,
        }
    }
}
