//! Owns the settings of passwords.

use clap::{Args, builder::RangedU64ValueParser, value_parser};

use super::{ConfigError, Switch};
use crate::identity::passwords::{Argon2Params, PoolSize};

/// Pairs of memory in KiB and passes that OWASP's Password Storage Cheat Sheet gives for Argon2id with one lane: each as strong as
/// the others.
const OWASP_PAIRS: [(u32, u32); 5] = [(47_104, 1), (19_456, 2), (12_288, 3), (9_216, 4), (7_168, 5)];

/// What passwords must satisfy and what a hash costs.
#[derive(Args, Clone, Debug)]
#[command(next_help_heading = "Passwords")]
pub struct PasswordConfig {
    /// The fewest characters of a new password (8 to 64; NIST SP 800-63B-4 asks for 15 where it is the only factor).
    #[arg(long, env = "SIGNET_PASSWORD_MIN_LENGTH", global = true, value_name = "CHARS", default_value_t = 8, value_parser = RangedU64ValueParser::<usize>::new().range(8..=64))]
    pub password_min_length: usize,

    /// Argon2id memory of one hash, in KiB (OWASP: 19456 with 2 iterations). Not weaker than OWASP's pairs: see --argon2-below-owasp.
    #[arg(long, env = "SIGNET_ARGON2_MEMORY_KIB", global = true, value_name = "KIB", default_value_t = 19_456, value_parser = value_parser!(u32).range(8..=4_194_304))]
    pub argon2_memory_kib: u32,

    /// Argon2id passes over the memory.
    #[arg(long, env = "SIGNET_ARGON2_ITERATIONS", global = true, value_name = "COUNT", default_value_t = 2, value_parser = value_parser!(u32).range(1..=1_000))]
    pub argon2_iterations: u32,

    /// Argon2id lanes. One thread computes them all.
    #[arg(long, env = "SIGNET_ARGON2_PARALLELISM", global = true, value_name = "COUNT", default_value_t = 1, value_parser = value_parser!(u32).range(1..=255))]
    pub argon2_parallelism: u32,

    /// Whether Argon2id may be weaker than each of the pairs that OWASP gives (47104 KiB with 1 pass, 19456 with 2, 12288 with 3, 9216
    /// with 4, 7168 with 5): for tests alone.
    #[arg(
        long,
        env = "SIGNET_ARGON2_BELOW_OWASP",
        global = true,
        value_name = "WHETHER",
        value_enum,
        num_args = 0..=1,
        require_equals = true,
        default_value_t = Switch::Off,
        default_missing_value = "on"
    )]
    pub argon2_below_owasp: Switch,

    /// How many passwords are hashed at once, each in memory of its own. Default: one less than there are cores, so that one is left
    /// to those who check tokens. Hashes that other systems made have at most half of them; if there is one alone, a second one that
    /// serves nothing else.
    #[arg(long, env = "SIGNET_HASH_THREADS", global = true, value_name = "COUNT", value_parser = RangedU64ValueParser::<usize>::new().range(1..=1_024))]
    pub hash_threads: Option<usize>,

    /// How many more passwords may wait to be hashed; and as many again with hashes that other systems made. Beyond that, whoever has
    /// had the most of the threads of late is refused (RESOURCE_EXHAUSTED), by address, and by account where addresses have had as much.
    #[arg(long, env = "SIGNET_HASH_QUEUE", global = true, value_name = "COUNT", default_value_t = 64, value_parser = RangedU64ValueParser::<usize>::new().range(0..=1_000))]
    pub hash_queue: usize,
}

impl PasswordConfig {
    /// What one hash costs.
    ///
    /// # Errors
    /// If Argon2 does not take the combination, or it is weaker than it may be.
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
        let Argon2Params { memory_kib, iterations, .. } = params;
        let is_as_strong = |&(memory, passes): &(u32, u32)| memory_kib >= memory && iterations >= passes;
        if self.argon2_below_owasp == Switch::Off && !OWASP_PAIRS.iter().any(is_as_strong) {
            let pairs = OWASP_PAIRS.map(|(memory, passes)| format!("{memory} with {passes}")).join(", ");
            let problem = format!(
                "{memory_kib} KiB with {iterations} pass(es) is weaker than each of the pairs that OWASP's Password Storage Cheat Sheet \
                 gives for Argon2id ({pairs}): raise it or --argon2-iterations, or set --argon2-below-owasp"
            );
            return Err(ConfigError::new("--argon2-memory-kib", problem));
        }
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
