//! Owns `GetMe` with tokens that the server has never seen, beside the bare server with the same requests.

use std::sync::Arc;

use tokio::runtime::Runtime;

use crate::{
    Plan, Result,
    client::{self, Authorization},
    operation,
    process::Server,
    stats::{Spread, float, micros},
};

/// How many calls are open at a time, over one connection.
const STREAMS: usize = 32;

/// What a token's first sight costs, in microseconds.
#[derive(Clone, Copy, Debug)]
pub(crate) struct FirstSight {
    /// The bare server's CPU for a call of the same client.
    pub(crate) bare_cpu: Spread,
    /// The same of a bare server that does one raw signature check a call.
    pub(crate) checking_cpu: Spread,
    pub(crate) signet_cpu: Spread,
    /// One ES256 check by aws-lc-rs, with all cores busy as they are when the calls are made.
    pub(crate) raw_verification: Spread,
    /// The same while the other cores are idle.
    pub(crate) raw_verification_alone: Spread,
    /// The same check by jsonwebtoken, with all cores busy.
    pub(crate) library_verification: Spread,
    /// What Signet takes beyond the bare server that does the check, pair by pair.
    pub(crate) beyond: Spread,
}

pub(crate) fn measure(
    runtime: &Runtime,
    bare: &Server,
    checking: &Server,
    signet: &Server,
    plan: Plan,
) -> Result<FirstSight> {
    let mut client = runtime.block_on(client::connect(signet.grpc_addr))?;
    for stream in 0..STREAMS {
        runtime.block_on(client::sign_up(&mut client, &username(stream)))?;
    }
    let (mut bare_us, mut checking_us, mut signet_us) = (vec![], vec![], vec![]);
    let (mut raw_us, mut alone_us, mut library_us) = (vec![], vec![], vec![]);
    for _ in 0..plan.rounds {
        let (raw, library) = operation::verification_us(operation::cores(), plan.round / 10)?;
        raw_us.push(raw);
        library_us.push(library);
        alone_us.push(operation::verification_us(1, plan.round / 10)?.0);
        let tokens = Arc::new(runtime.block_on(mint(signet, plan.tokens))?);
        bare_us.push(cpu_per_call(runtime, bare, &tokens)?);
        checking_us.push(cpu_per_call(runtime, checking, &tokens)?);
        signet_us.push(cpu_per_call(runtime, signet, &tokens)?);
    }
    let beyond = checking_us.iter().zip(&signet_us).map(|(checking, signet)| signet - checking);
    Ok(FirstSight {
        beyond: Spread::of(beyond),
        bare_cpu: Spread::of(bare_us),
        checking_cpu: Spread::of(checking_us),
        signet_cpu: Spread::of(signet_us),
        raw_verification: Spread::of(raw_us),
        raw_verification_alone: Spread::of(alone_us),
        library_verification: Spread::of(library_us),
    })
}

/// Who logs in over one of the streams: one user alone must not have so many sessions.
fn username(stream: usize) -> String {
    format!("first-sight-{stream}")
}

/// `count` tokens, each of a login of its own.
async fn mint(signet: &Server, count: usize) -> Result<Vec<Authorization>> {
    let client = client::connect(signet.grpc_addr).await?;
    let minting: Vec<_> = (0..STREAMS)
        .map(|stream| {
            let (mut client, username) = (client.clone(), username(stream));
            tokio::spawn(async move {
                let mut tokens = Vec::new();
                for _ in 0..count / STREAMS {
                    tokens.push(client::authorization(&client::login(&mut client, &username).await?)?);
                }
                Result::Ok(tokens)
            })
        })
        .collect();
    let mut tokens = Vec::new();
    for minted in minting {
        tokens.extend(minted.await??);
    }
    Ok(tokens)
}

/// Shows each token once, and returns the server's CPU microseconds per call. Every call must succeed.
fn cpu_per_call(runtime: &Runtime, server: &Server, tokens: &Arc<Vec<Authorization>>) -> Result<f64> {
    let cpu_before = server.cpu()?;
    runtime.block_on(async {
        let client = client::connect(server.grpc_addr).await?;
        let callers: Vec<_> = (0..STREAMS)
            .map(|stream| {
                let (mut client, tokens) = (client.clone(), Arc::clone(tokens));
                tokio::spawn(async move {
                    for token in tokens.iter().skip(stream).step_by(STREAMS) {
                        client.get_me(client::get_me_request(token.clone())).await?;
                    }
                    Result::Ok(())
                })
            })
            .collect();
        for caller in callers {
            caller.await??;
        }
        Result::Ok(())
    })?;
    Ok(micros(server.cpu()?.saturating_sub(cpu_before)) / float(tokens.len()))
}
