//! Owns the settings of passwords.

use clap::{Args, builder::RangedU64ValueParser, value_parser};

use super::ConfigError;
use crate::identity::passwords::{Argon2Params, PoolSize};

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
