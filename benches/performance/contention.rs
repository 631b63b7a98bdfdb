//! Owns how logins and token verification bear each other, when there is too much of the one or of the other.

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

use prost::Message;
use signet::proto::identity::v1::GetMeResponse;
use tokio::{runtime::Runtime, task::JoinSet, time::MissedTickBehavior};
use tonic::Code;

use crate::{
    Plan, Result,
    client::{self, Account},
    h2load::{Call, H2load, Length},
    logins::{self, Logins},
    process::Server,
    stats::{Spread, float},
    throughput::{FRAME_HEAD_BYTES, FULL, LIGHT},
};

/// How many times its capacity of logins the server is asked for.
const OVERLOAD: f64 = 4.0;

/// How many calls a probe makes for each second of a round: somewhat fewer than are answered in one.
const PROBES_PER_SECOND: u64 = 12_000;

/// How long a storm blows before anything is measured: the queue is full by then.
const RAMP: Duration = Duration::from_secs(1);

/// `GetMe` beside a storm of logins.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Storm {
    pub(crate) idle_p50_ms: Spread,
    pub(crate) idle_p99_ms: Spread,
    pub(crate) stormy_p50_ms: Spread,
    pub(crate) stormy_p99_ms: Spread,
    /// The 99th percentile in the storm divided by the one before it, round by round.
    pub(crate) p99_ratio: Spread,
    pub(crate) calls: usize,
    pub(crate) failed_calls: u64,
    pub(crate) logins_offered_per_second: f64,
    pub(crate) logins_granted: usize,
    pub(crate) logins_refused: usize,
}

/// Logins beside as many calls of `GetMe` as the cores take.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Saturation {
    pub(crate) logins_per_second: Spread,
    /// Divided by the capacity.
    pub(crate) share: Spread,
    pub(crate) get_me_per_second: Spread,
}

/// What a few calls at a time saw.
struct Probe {
    p50_ms: f64,
    p99_ms: f64,
    calls: u64,
    failed: u64,
}

/// How logins were answered.
#[derive(Default)]
struct Answers {
    granted: AtomicUsize,
    refused: AtomicUsize,
    other: AtomicUsize,
}

pub(crate) fn storm(
    runtime: &Runtime,
    signet: &Server,
    account: &Account,
    reply: &GetMeResponse,
    logins: &Logins,
    plan: Plan,
) -> Result<Storm> {
    let reply_bytes = (FRAME_HEAD_BYTES + reply.encoded_len()) as u64;
    let calls = PROBES_PER_SECOND * plan.round.as_secs();
    let offered = logins.per_second.median * OVERLOAD;
    let answers = Arc::new(Answers::default());
    let (mut idle, mut stormy) = (vec![], vec![]);
    for _ in 0..plan.rounds {
        idle.push(probe(signet, account, reply_bytes, calls)?);
        let storm = runtime.spawn(blow(
            signet.grpc_addr,
            account.username.clone(),
            offered,
            RAMP + plan.round * 2,
            Arc::clone(&answers),
        ));
        thread::sleep(RAMP);
        stormy.push(probe(signet, account, reply_bytes, calls)?);
        runtime.block_on(storm)??;
    }
    let other = answers.other.load(Ordering::Relaxed);
    if other > 0 {
        return Err(format!("{other} logins were neither granted nor refused with RESOURCE_EXHAUSTED").into());
    }
    let p99 = |probe: &Probe| probe.p99_ms;
    let p50 = |probe: &Probe| probe.p50_ms;
    let both = || idle.iter().chain(&stormy);
    Ok(Storm {
        idle_p50_ms: Spread::of(idle.iter().map(p50)),
        idle_p99_ms: Spread::of(idle.iter().map(p99)),
        stormy_p50_ms: Spread::of(stormy.iter().map(p50)),
        stormy_p99_ms: Spread::of(stormy.iter().map(p99)),
        p99_ratio: Spread::of(idle.iter().zip(&stormy).map(|(idle, stormy)| p99(stormy) / p99(idle))),
        calls: usize::try_from(both().map(|probe| probe.calls).sum::<u64>())?,
        failed_calls: both().map(|probe| probe.failed).sum(),
        logins_offered_per_second: offered,
        logins_granted: answers.granted.load(Ordering::Relaxed),
        logins_refused: answers.refused.load(Ordering::Relaxed),
    })
}

/// Starts logins at a constant rate, whether or not the earlier ones have been answered, and waits for the last answer.
async fn blow(
    addr: std::net::SocketAddr,
    username: String,
    per_second: f64,
    time: Duration,
    answers: Arc<Answers>,
) -> Result<()> {
    let client = client::connect(addr).await?;
    let mut calls = JoinSet::new();
    let mut ticks = tokio::time::interval(Duration::from_secs_f64(1.0 / per_second));
    ticks.set_missed_tick_behavior(MissedTickBehavior::Burst);
    let started = Instant::now();
    while started.elapsed() < time {
        ticks.tick().await;
        let (mut client, username, answers) = (client.clone(), username.clone(), Arc::clone(&answers));
        calls.spawn(async move {
            let counter = match client::login(&mut client, &username).await {
                Ok(_) => &answers.granted,
                Err(status) if status.code() == Code::ResourceExhausted => &answers.refused,
                Err(_) => &answers.other,
            };
            counter.fetch_add(1, Ordering::Relaxed);
        });
    }
    while calls.join_next().await.is_some() {}
    Ok(())
}

/// Calls `GetMe` with a few streams over one connection, by h2load, and counts the replies by their bytes: a refusal has none.
fn probe(signet: &Server, account: &Account, reply_bytes: u64, calls: u64) -> Result<Probe> {
    let load =
        H2load::start(signet.grpc_addr, &Call::get_me(&account.token), LIGHT, Length::Requests(calls))?;
    let found = load.finish()?;
    Ok(Probe {
        p50_ms: found.p50_us / 1_000.0,
        p99_ms: found.p99_us / 1_000.0,
        calls,
        failed: calls - found.body_bytes / reply_bytes,
    })
}

pub(crate) fn saturation(
    runtime: &Runtime,
    signet: &Server,
    account: &Account,
    logins: &Logins,
    plan: Plan,
) -> Result<Saturation> {
    let (mut per_second, mut get_me) = (vec![], vec![]);
    for _ in 0..plan.rounds {
        let time = RAMP + plan.round + RAMP;
        let load = H2load::start(signet.grpc_addr, &Call::get_me(&account.token), FULL, Length::Time(time))?;
        thread::sleep(RAMP / 2);
        per_second.push(logins::closed_loop(runtime, signet, account, plan.round)?);
        get_me.push(load.finish()?.requests_per_second);
    }
    Ok(Saturation {
        share: Spread::of(per_second.iter().map(|rate| rate / logins.per_second.median)),
        logins_per_second: Spread::of(per_second),
        get_me_per_second: Spread::of(get_me),
    })
}

impl Storm {
    /// The share of the logins that were refused.
    pub(crate) fn refused_share(&self) -> f64 {
        float(self.logins_refused) / float(self.logins_refused + self.logins_granted)
    }
}
