//! Owns the setting of what is there at the first start.

use std::path::PathBuf;

use clap::Args;

/// What is there at the first start.
#[derive(Args, Clone, Debug)]
#[command(next_help_heading = "First start")]
pub struct FirstStartConfig {
    /// A manifest, as `apply` takes it (a file, or a folder of files), that `serve` applies once: together with the first signing key,
    /// so at the first start on a database, and of several processes by one. Later starts leave it alone, and say so in the log.
    #[arg(long, env = "SIGNET_BOOTSTRAP", global = true, value_name = "FILE|DIR")]
    pub bootstrap: Option<PathBuf>,
}
