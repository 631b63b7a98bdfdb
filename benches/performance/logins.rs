//! Owns how many logins per second there are, beside how many hashes.

use std::time::{Duration, Instant};

use tokio::runtime::Runtime;

use crate::{
    Plan, Result,
    client::{self, Account},
    operation,
    process::Server,
    stats::{Spread, float},
};

/// How many logins are open at a time, for each hash thread: there is always one waiting.
const PER_THREAD: usize = 4;

/// How long the machine is given to finish what a measurement left behind.
const PAUSE: Duration = Duration::from_millis(300);

#[derive(Clone, Copy, Debug)]
pub(crate) struct Logins {
    /// By default Signet has as many as there are cores.
    pub(crate) hash_threads: usize,
    /// The time of one hash while as many threads hash as Signet has.
    pub(crate) hash_ms: Spread,
    /// The time of one hash while one thread hashes.
    pub(crate) hash_alone_ms: Spread,
    /// Signet's capacity.
    pub(crate) per_second: Spread,
    /// Logins per second divided by hashes per second, round by round.
    pub(crate) share: Spread,
}

pub(crate) fn measure(runtime: &Runtime, signet: &Server, account: &Account, plan: Plan) -> Result<Logins> {
    // Signet's default.
    let hash_threads = operation::cores().saturating_sub(1).max(1);
    let (mut hashes, mut alone, mut logins) = (vec![], vec![], vec![]);
    for _ in 0..plan.rounds {
        std::thread::sleep(PAUSE);
        hashes.push(operation::hashes_per_second(hash_threads, plan.round)?);
        alone.push(operation::hashes_per_second(1, plan.round / 3)?);
        logins.push(closed_loop(runtime, signet, account, plan.round)?);
    }
    Ok(Logins {
        hash_threads,
        hash_ms: Spread::of(hashes.iter().map(|rate| float(hash_threads) / rate * 1e3)),
        hash_alone_ms: Spread::of(alone.iter().map(|rate| 1e3 / rate)),
        share: Spread::of(logins.iter().zip(&hashes).map(|(logins, hashes)| logins / hashes)),
        per_second: Spread::of(logins),
    })
}

/// Logins per second while each of so many clients logs in again as soon as it has been answered, for `time`. All must succeed.
pub(crate) fn closed_loop(
    runtime: &Runtime,
    signet: &Server,
    account: &Account,
    time: Duration,
) -> Result<f64> {
    runtime.block_on(async {
        let client = client::connect(signet.grpc_addr).await?;
        let started = Instant::now();
        let callers: Vec<_> = (0..PER_THREAD * operation::cores())
            .map(|_| {
                let (mut client, username) = (client.clone(), account.username.clone());
                tokio::spawn(async move {
                    let mut answered = 0;
                    while started.elapsed() < time {
                        client::login(&mut client, &username).await?;
                        answered += 1;
                    }
                    Result::Ok(answered)
                })
            })
            .collect();
        let mut answered = 0;
        for caller in callers {
            answered += caller.await??;
        }
        Ok(float(answered) / started.elapsed().as_secs_f64())
    })
}
