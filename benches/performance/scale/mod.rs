//! Owns the measurement of growth: what the same work costs with a thousand users and with a million, on each database.

mod access;
mod idle;
mod plan;
mod report;
pub(crate) mod server;
mod site;
pub(crate) mod users;
mod work;

use std::{fs, path::Path, thread, time::Duration};

use tokio::runtime::Runtime;

use crate::{
    Result, machine, operation, say,
    stats::{Spread, float},
};
use idle::Idle;
use report::Report;
use server::{DatabaseServer, Kind};
pub(crate) use site::MASTER_KEY;
use site::Site;
use work::{Cost, Operation, Tokens};

/// How many users the small database has.
const SMALL: usize = 1_000;

/// How much is measured.
#[derive(Clone, Copy, Debug)]
struct Effort {
    /// How many rounds there are; the median counts.
    rounds: usize,
    /// How often each operation is done in a round at each size.
    calls: usize,
}

const NORMAL: Effort = Effort { rounds: 5, calls: 3_000 };
const QUICK: Effort = Effort { rounds: 2, calls: 320 };

/// A database that has just been filled is left alone until it takes less than this share of a core.
const QUIET: f64 = 0.05;

/// How often it is looked whether it is, and how long that is waited for.
const LOOK: Duration = Duration::from_secs(1);
const LOOKS: usize = 30;

/// Whether growth is measured, and up to what.
#[derive(clap::Args, Clone, Copy, Debug)]
pub(crate) struct ScaleArguments {
    /// Instead of all else, measure what the same work costs with 1,000 users and with 1,000,000, on every database, and write the plan
    /// for many more that follows.
    #[arg(long)]
    pub(crate) scale: bool,

    /// How many users the large database has.
    #[arg(long, value_name = "COUNT", default_value_t = 1_000_000, requires = "scale")]
    users: usize,
}

/// What one kind of database showed.
#[derive(Debug)]
struct Found {
    kind: Kind,
    growth: Vec<Growth>,
    rows_per_second: f64,
    bytes_per_user: f64,
    bytes_per_session: f64,
    memory: Memory,
    idle: Idle,
}

/// One operation at both sizes.
#[derive(Clone, Copy, Debug)]
struct Growth {
    operation: Operation,
    small: Costs,
    large: Costs,
    /// The CPU of Signet and the database together, large by small, pair by pair.
    cpu_ratio: Spread,
    time_ratio: Spread,
}

/// What one operation cost at one size, in microseconds.
#[derive(Clone, Copy, Debug)]
struct Costs {
    signet_cpu: Spread,
    database_cpu: Spread,
    cpu: Spread,
    time: Spread,
}

/// What Signet holds in memory at the end, in MB.
#[derive(Clone, Copy, Debug)]
struct Memory {
    /// The server that remembers nothing, with the small and the large database.
    small: f64,
    large: f64,
    /// What one remembered login takes (its session, user and token), in bytes.
    per_login: f64,
}

/// The whole run.
pub(crate) fn measure(
    arguments: ScaleArguments,
    runtime: &Runtime,
    quick: bool,
    to_docs: bool,
) -> Result<()> {
    let effort = if quick { QUICK } else { NORMAL };
    let mut machine = machine::Machine::watch()?;
    println!("{machine}");
    let mut found = Vec::new();
    for kind in Kind::ALL {
        found.push(on(kind, arguments.users, effort, runtime)?);
    }
    let hash_ms = Spread::of(
        (0..3)
            .map(|_| operation::hashes_per_second(1, LOOK))
            .collect::<Result<Vec<_>>>()?
            .into_iter()
            .map(|rate| 1e3 / rate),
    );
    machine.end()?;
    let report = Report { machine, users: arguments.users, found, hash_ms };
    println!("\n{}", report.markdown());
    report.write(to_docs)
}

/// Fills both databases of `kind`, and measures on them.
fn on(kind: Kind, users: usize, effort: Effort, runtime: &Runtime) -> Result<Found> {
    let folders = tempfile::tempdir()?;
    let server = DatabaseServer::start(kind)?;
    let fill = |count: usize| -> Result<Site> {
        say(&format!("{}: {count} users and their sessions", kind.name()));
        let folder = folders.path().join(count.to_string());
        fs::create_dir(&folder)?;
        runtime.block_on(Site::fill(&server, Path::new(&folder), count))
    };
    let (small, large) = (fill(SMALL)?, fill(users)?);
    wait_until_quiet(&server)?;
    let held_before = large.remembering.resident_mb()?;
    say(&format!("{}: the same work at both sizes, in pairs", kind.name()));
    let growth = runtime.block_on(grow(&small, &large, &server, effort))?;
    let per_login =
        (large.remembering.resident_mb()? - held_before) * 1e6 / float((effort.rounds + 1) * effort.calls);
    let memory =
        Memory { small: small.forgetful.resident_mb()?, large: large.forgetful.resident_mb()?, per_login };
    let (rows_per_second, bytes_per_user, bytes_per_session) =
        (large.filled.rows_per_second, large.bytes_per_user(), large.bytes_per_session());
    let program = large.program.clone();
    drop((small, large));
    say(&format!("{}: idle replicas", kind.name()));
    wait_until_quiet(&server)?;
    let idle = idle::measure(&program, &server)?;
    Ok(Found { kind, growth, rows_per_second, bytes_per_user, bytes_per_session, memory, idle })
}

/// All operations at both sizes, again and again.
async fn grow(small: &Site, large: &Site, server: &DatabaseServer, effort: Effort) -> Result<Vec<Growth>> {
    let mut costs = vec![(Vec::new(), Vec::new()); Operation::ALL.len()];
    let (mut small_tokens, mut large_tokens) = (Tokens::default(), Tokens::default());
    for round in 0..=effort.rounds {
        for (operation, (of_small, of_large)) in Operation::ALL.into_iter().zip(&mut costs) {
            let at_small = work::measure(operation, small, server, &mut small_tokens, effort.calls).await?;
            let at_large = work::measure(operation, large, server, &mut large_tokens, effort.calls).await?;
            // In the first round everything warms up.
            if round > 0 {
                of_small.push(at_small);
                of_large.push(at_large);
            }
        }
    }
    Ok(Operation::ALL
        .into_iter()
        .zip(costs)
        .map(|(operation, (small, large))| Growth {
            operation,
            cpu_ratio: Spread::of(small.iter().zip(&large).map(|(small, large)| large.cpu() / small.cpu())),
            time_ratio: Spread::of(small.iter().zip(&large).map(|(small, large)| large.time / small.time)),
            small: Costs::of(&small),
            large: Costs::of(&large),
        })
        .collect())
}

impl Costs {
    fn of(rounds: &[Cost]) -> Self {
        let spread = |of: fn(&Cost) -> f64| Spread::of(rounds.iter().map(of));
        Self {
            signet_cpu: spread(|cost| cost.signet_cpu),
            database_cpu: spread(|cost| cost.database_cpu),
            cpu: spread(|cost| cost.cpu()),
            time: spread(|cost| cost.time),
        }
    }
}

/// Waits until the database has done what it puts off: writing pages, removing what is dead.
fn wait_until_quiet(server: &DatabaseServer) -> Result<()> {
    for _ in 0..LOOKS {
        let before = server.cpu()?;
        thread::sleep(LOOK);
        if server.cpu()?.saturating_sub(before) < LOOK.mul_f64(QUIET) {
            break;
        }
    }
    Ok(())
}
