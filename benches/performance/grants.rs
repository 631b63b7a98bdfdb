//! Owns what exchanging a grant costs, beside the least that it can: one signature, and for a refresh one durable commit.

use std::time::{Duration, Instant};

use signet::proto::identity::v1::{
    ClientCredentialsGrant, IssueTokenRequest, RefreshTokenGrant, issue_token_request::Grant,
};
use tokio::runtime::Runtime;

use crate::{
    Plan, Result,
    client::{self, Service},
    process::Server,
    stats::{Spread, float, micros},
};

/// How many callers there are at once.
pub(crate) const STREAMS: usize = 16;

/// Both grants, each beside bare servers that answer the same call.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Grants {
    /// Beside one signature and one durable commit.
    pub(crate) refresh: Comparison,
    /// The same of a Signet that remembers no session and no user.
    pub(crate) refresh_unknown: Comparison,
    /// Beside the same.
    pub(crate) client_credentials: Comparison,
    /// What one signature costs without a commit.
    pub(crate) signature_alone: Cost,
}

/// Signet beside a bare server.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Comparison {
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

/// The bare servers, and Signet with a client of its own.
pub(crate) struct Servers<'a> {
    /// One signature and one durable commit.
    pub(crate) committing: &'a Server,
    /// One signature.
    pub(crate) signing: &'a Server,
    pub(crate) signet: &'a Server,
    /// The same on the same data, remembering no session and no user.
    pub(crate) forgetful: &'a Server,
    pub(crate) service: &'a Service,
}

/// One round of one server.
struct Round {
    per_second: f64,
    cpu_us: f64,
}

/// What each of the callers asks next.
type Requests = Vec<IssueTokenRequest>;

pub(crate) fn measure(runtime: &Runtime, servers: &Servers<'_>, plan: Plan) -> Result<Grants> {
    let Servers { committing, signing, signet, forgetful, service } = servers;
    let mut client = runtime.block_on(client::connect(signet.grpc_addr))?;
    runtime.block_on(client::sign_up(&mut client, "refresh"))?;
    let mut refreshes = || -> Result<Requests> {
        let login = |_| Ok(refresh(runtime.block_on(client::session(&mut client, "refresh"))?));
        (0..STREAMS).map(login).collect()
    };
    let (known, unknown) = (refreshes()?, refreshes()?);
    let grant = Grant::ClientCredentials(ClientCredentialsGrant {});
    let request = IssueTokenRequest {
        grant: Some(grant),
        client: Some(service.authentication()),
        ..IssueTokenRequest::default()
    };
    let credentials = vec![request; STREAMS];
    let mut alone = vec![];
    for _ in 0..plan.rounds {
        alone.push(run(runtime, signing, &mut credentials.clone(), plan.round / 3)?);
    }
    Ok(Grants {
        refresh: compare(runtime, committing, signet, known, plan)?,
        refresh_unknown: compare(runtime, committing, forgetful, unknown, plan)?,
        client_credentials: compare(runtime, committing, signet, credentials, plan)?,
        signature_alone: cost(&alone),
    })
}

fn refresh(refresh_token: String) -> IssueTokenRequest {
    let grant = Grant::RefreshToken(RefreshTokenGrant { refresh_token });
    IssueTokenRequest { grant: Some(grant), ..IssueTokenRequest::default() }
}

fn compare(
    runtime: &Runtime,
    floor: &Server,
    signet: &Server,
    mut requests: Requests,
    plan: Plan,
) -> Result<Comparison> {
    // The bare server takes any request, and answers with tokens of the same length.
    let mut to_floor = requests.clone();
    // Both warm up first.
    run(runtime, floor, &mut to_floor, plan.round / 5)?;
    run(runtime, signet, &mut requests, plan.round / 5)?;
    let (mut floors, mut signets) = (vec![], vec![]);
    for _ in 0..plan.rounds {
        floors.push(run(runtime, floor, &mut to_floor, plan.round)?);
        signets.push(run(runtime, signet, &mut requests, plan.round)?);
    }
    let pairs = || floors.iter().zip(&signets);
    Ok(Comparison {
        floor: cost(&floors),
        signet: cost(&signets),
        cpu_ratio: Spread::of(pairs().map(|(floor, signet)| signet.cpu_us / floor.cpu_us)),
        time_ratio: Spread::of(pairs().map(|(floor, signet)| floor.per_second / signet.per_second)),
    })
}

/// Has every caller ask again and again for `time`, each with the refresh token that it was answered last. All must succeed.
fn run(runtime: &Runtime, server: &Server, requests: &mut Requests, time: Duration) -> Result<Round> {
    let cpu_before = server.cpu()?;
    let (count, took) = runtime.block_on(async {
        let client = client::connect(server.grpc_addr).await?;
        let started = Instant::now();
        let callers: Vec<_> = requests
            .drain(..)
            .map(|mut request| {
                let mut client = client.clone();
                tokio::spawn(async move {
                    let mut count = 0;
                    while started.elapsed() < time {
                        let answer = client.issue_token(request.clone()).await?.into_inner();
                        if let (Some(Grant::RefreshToken(_)), Some(next)) =
                            (&request.grant, answer.refresh_token)
                        {
                            request = refresh(next);
                        }
                        count += 1;
                    }
                    Result::Ok((request, count))
                })
            })
            .collect();
        let mut total = 0;
        for caller in callers {
            let (request, count) = caller.await??;
            requests.push(request);
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
