//! Owns the settings of how often passwords may be guessed.

use std::time::Duration;

use clap::{Args, value_parser};

use super::duration_in_millis;
use crate::identity::guessing::GuessSettings;

/// How often passwords may be wrong.
#[derive(Args, Clone, Debug)]
#[command(next_help_heading = "Guessing")]
pub struct GuessConfig {
    /// How many failures an address has at once: wrong passwords, and each sign-up. An address may be an office or a NAT. An IPv6 /64 is
    /// one address; a /48 has twice as many. What comes on top is refused (RESOURCE_EXHAUSTED), but from a private or loopback address,
    /// which may be a proxy that is not named in --trusted-proxy-addresses: its logins then wait behind all others (10 to 1000000).
    #[arg(long, env = "SIGNET_ADDRESS_FAILURES", global = true, value_name = "COUNT", default_value_t = 100, value_parser = value_parser!(u32).range(10..=1_000_000))]
    pub address_failures: u32,

    /// After how long an address has one more (10ms to 1h).
    #[arg(long, env = "SIGNET_ADDRESS_FAILURE_INTERVAL", global = true, value_name = "DURATION", default_value = "1s", value_parser = duration_in_millis::<10, 3_600_000>)]
    pub address_failure_interval: Duration,
}

impl GuessConfig {
    /// How often passwords may be wrong.
    #[must_use]
    pub const fn settings(&self) -> GuessSettings {
        GuessSettings {
            address_failures: self.address_failures,
            address_interval: self.address_failure_interval,
        }
    }
}
