//! Owns the plan on paper: what many more users would take, by the figures that were measured.

use super::{Found, work::Operation};
use crate::{stats::number, table::Table};

/// What is planned for.
const USERS: f64 = 100e6;
const VERIFICATIONS: f64 = 100e3;

/// What is assumed of the users; each is a line of the plan.
const SECONDS_BETWEEN_CALLS: f64 = 10.0;
const LOGINS_PER_SECOND: f64 = 100.0;

/// Signet's defaults: `--access-token-ttl`, how long a row is remembered at most, `--database-pool-size`.
const TOKEN_SECONDS: f64 = 900.0;
const REMEMBERED_SECONDS: f64 = 900.0;
const POOL: f64 = 16.0;

/// Cores of one replica, and how much of a core is used at the peak.
const CORES: f64 = 4.0;
const USED: f64 = 0.5;

/// The least number of replicas that lets one be replaced while another fails.
const MIN_REPLICAS: f64 = 3.0;

/// More than these are no plan.
const MAX_REPLICAS: f64 = 1_000.0;

/// What the plan comes to, for one way of spreading calls over replicas.
struct Plan {
    replicas: f64,
    /// Cores that Signet is busy with, over all replicas.
    signet_cores: f64,
    /// The share of it that is hashing.
    hash_cores: f64,
    database_cores: f64,
    reads_per_second: f64,
    commits_per_second: f64,
    memory_gb: f64,
}

/// CPU per second of an operation at a rate: cores.
#[derive(Clone, Copy)]
struct Load {
    signet: f64,
    database: f64,
}

/// Users who are active at once, so that all verifications come about.
const fn active() -> f64 {
    VERIFICATIONS * SECONDS_BETWEEN_CALLS
}

fn refreshes() -> f64 {
    active() / TOKEN_SECONDS
}

/// Any one user's calls are seen by every replica, or by one. None if no number of replicas is enough: each new one has everybody's
/// rows to read, too.
fn plan(found: &Found, hash_ms: f64, every_replica_sees_everybody: bool) -> Option<Plan> {
    let load = |operation: Operation, rate: f64| {
        let costs = found.of(operation).large;
        Load {
            signet: costs.signet_cpu.median * rate / 1e6,
            database: costs.database_cpu.median * rate / 1e6,
        }
    };
    let hash_cores = LOGINS_PER_SECOND * hash_ms / 1e3;
    let mut replicas = MIN_REPLICAS;
    while replicas <= MAX_REPLICAS {
        let seen_by = if every_replica_sees_everybody { replicas } else { 1.0 };
        let first_sights = (refreshes() + LOGINS_PER_SECOND) * seen_by;
        let read_again = active() / REMEMBERED_SECONDS * seen_by;
        let loads = [
            load(Operation::Remembered, VERIFICATIONS),
            load(Operation::FirstSight, first_sights),
            load(Operation::SeenAgain, read_again),
            load(Operation::RefreshUnknown, refreshes()),
            load(Operation::LogIn, LOGINS_PER_SECOND),
        ];
        let signet_cores = loads.iter().map(|load| load.signet).sum::<f64>() + hash_cores;
        let needed = (signet_cores / USED / CORES).ceil().max(MIN_REPLICAS);
        if needed <= replicas {
            let remembered = active() * seen_by / replicas;
            return Some(Plan {
                replicas,
                signet_cores,
                hash_cores,
                database_cores: loads.iter().map(|load| load.database).sum(),
                // A user and a session each time, and one question for both at a refresh.
                reads_per_second: 2.0 * (first_sights + read_again) + refreshes() + LOGINS_PER_SECOND,
                commits_per_second: refreshes() + LOGINS_PER_SECOND,
                memory_gb: (remembered * found.memory.per_login + found.memory.large * 1e6) / 1e9,
            });
        }
        replicas = needed;
    }
    None
}

pub(super) fn markdown(found: &Found, hash_ms: f64) -> String {
    let (any, one) = (plan(found, hash_ms, true), plan(found, hash_ms, false));
    let mut table = Table::new(&["on paper", "any replica", "each user's calls to one replica", "from"]);
    let mut row = |what: &str, of: fn(&Plan) -> String, from: &str| {
        let [any, one] = [&any, &one].map(|plan| plan.as_ref().map_or("none is enough".to_owned(), of));
        table.row([what.to_owned(), any, one, from.to_owned()]);
    };
    row("cores busy in Signet", |plan| number(plan.signet_cores, 1), "rates x CPU above, and hashes");
    row("of these, hashing", |plan| number(plan.hash_cores, 1), "logins/s x the time of a hash");
    row("replicas of 4 cores, half used", |plan| number(plan.replicas, 0), "at least 3");
    row("memory per replica, GB", |plan| number(plan.memory_gb, 1), "remembered logins x bytes above");
    row(
        "`--standing-cache-size`, `--token-cache-size`",
        |_| number(active(), 0),
        "active users; less, if each replica has its own",
    );
    row(
        "rows read per second",
        |plan| number(plan.reads_per_second, 0),
        "first sights, and each user and session every 15 minutes",
    );
    row("commits per second", |plan| number(plan.commits_per_second, 0), "refreshes and logins");
    row("cores busy in the database", |plan| number(plan.database_cores, 1), "rates x its CPU above");
    row("connections", |plan| number(plan.replicas * POOL, 0), "16 for each replica");
    let disk = |bytes: f64| number(bytes * USERS / 1e9, 0);
    format!(
        "### The plan for {users} users and {verifications} verifications a second\n\n\
         On paper: PostgreSQL's figures from the tables above, multiplied. Assumed: a user who is active makes a call every \
         {SECONDS_BETWEEN_CALLS:.0} s, so {active} are at once; their tokens live 15 minutes, so {refreshes} are refreshed a second; \
         {LOGINS_PER_SECOND:.0} log in a second, at {hash_ms:.0} ms a hash. The disk holds {user_gb} GB of users, and {session_gb} GB of \
         sessions if each has one.\n\n{table}",
        users = number(USERS, 0),
        verifications = number(VERIFICATIONS, 0),
        active = number(active(), 0),
        refreshes = number(refreshes(), 0),
        user_gb = disk(found.bytes_per_user),
        session_gb = disk(found.bytes_per_session),
    )
}
