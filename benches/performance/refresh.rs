//! Owns what a refresh costs, beside the least that it can: one signature and one durable commit.

use std::time::{Duration, Instant};

use tokio::runtime::Runtime;

use crate::{
    Plan, Result, client,
    process::Server,
    stats::{Spread, float, micros},
};

/// How many sessions are refreshed at once.
pub(crate) const STREAMS: usize = 16;

/// Signet beside the bare server that signs and commits.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Refresh {
    pub(crate) floor: Cost,
    pub(crate) signet: Cost,
    /// Signet's CPU per call divided by the floor's, pair by pair.
    pub(crate) cpu_ratio: Spread,
    /// Signet's time per call divided by the floor's, pair by pair.
    pub(crate) time_ratio: Spread,
}

/// What one server did.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Cost {
    pub(crate) per_second: Spread,
    pub(crate) cpu_us: Spread,
}

/// One round of one server.
struct Round {
    per_second: f64,
    cpu_us: f64,
}

pub(crate) fn measure(runtime: &Runtime, floor: &Server, signet: &Server, plan: Plan) -> Result<Refresh> {
    let mut client = runtime.block_on(client::connect(signet.grpc_addr))?;
    runtime.block_on(client::sign_up(&mut client, "refresh"))?;
    let mut tokens = Vec::new();
    for _ in 0..STREAMS {
        tokens.push(runtime.block_on(client::session(&mut client, "refresh"))?);
    }
    // The bare server takes any token, and answers one of the same length.
    let mut bare_tokens = tokens.clone();
    // Both warm up first.
    run(runtime, floor, &mut bare_tokens, plan.round / 5)?;
    run(runtime, signet, &mut tokens, plan.round / 5)?;
    let (mut floors, mut signets) = (vec![], vec![]);
    for _ in 0..plan.rounds {
        floors.push(run(runtime, floor, &mut bare_tokens, plan.round)?);
        signets.push(run(runtime, signet, &mut tokens, plan.round)?);
    }
    let pairs = || floors.iter().zip(&signets);
    Ok(Refresh {
        floor: cost(&floors),
        signet: cost(&signets),
        cpu_ratio: Spread::of(pairs().map(|(floor, signet)| signet.cpu_us / floor.cpu_us)),
        time_ratio: Spread::of(pairs().map(|(floor, signet)| floor.per_second / signet.per_second)),
    })
}

/// Exchanges every token again and again for `time`. All must succeed.
fn run(runtime: &Runtime, server: &Server, tokens: &mut Vec<String>, time: Duration) -> Result<Round> {
    let cpu_before = server.cpu()?;
    let (count, took) = runtime.block_on(async {
        let client = client::connect(server.grpc_addr).await?;
        let started = Instant::now();
        let callers: Vec<_> = tokens
            .drain(..)
            .map(|mut token| {
                let mut client = client.clone();
                tokio::spawn(async move {
                    let mut count = 0;
                    while started.elapsed() < time {
                        token = client::refresh(&mut client, token).await?;
                        count += 1;
                    }
                    Result::Ok((token, count))
                })
            })
            .collect();
        let mut total = 0;
        for caller in callers {
            let (token, count) = caller.await??;
            tokens.push(token);
            total += count;
        }
        Result::Ok((float(total), started.elapsed()))
    })?;
    let cpu = server.cpu()?.saturating_sub(cpu_before);
    Ok(Round { per_second: count / took.as_secs_f64(), cpu_us: micros(cpu) / count })
}

fn cost(rounds: &[Round]) -> Cost {
    Cost {
        per_second: Spread::of(rounds.iter().map(|round| round.per_second)),
        cpu_us: Spread::of(rounds.iter().map(|round| round.cpu_us)),
    }
}
