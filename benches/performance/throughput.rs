//! Owns calls with a token seen before, `GetMe`, `IntrospectToken` and Envoy's `Check`: Signet beside the bare server, driven by h2load in
//! pairs.

use prost::Message;
use signet::proto::{
    envoy::service::auth::v3::{CheckRequest, CheckResponse},
    identity::v1::{GetMeResponse, IntrospectTokenResponse},
};

use crate::{
    Plan, Result,
    h2load::{Call, H2load, Length, Shape},
    process::Server,
    stats::{Spread, float, micros},
};

/// More streams than two cores can serve at once: both servers and h2load always have work.
pub(crate) const FULL: Shape = Shape { connections: 4, streams: 32 };

/// A few calls at a time, so that latency is not the wait in a queue of h2load's own making.
pub(crate) const LIGHT: Shape = Shape { connections: 1, streams: 4 };

/// The length of a gRPC frame's head.
pub(crate) const FRAME_HEAD_BYTES: usize = 5;

/// Both servers under both shapes of load.
#[derive(Clone, Copy, Debug)]
pub(crate) struct GetMe {
    pub(crate) full: Comparison,
    pub(crate) light: Comparison,
    pub(crate) bare_peak_mb: f64,
    pub(crate) signet_peak_mb: f64,
}

/// Both servers under one shape of load.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Comparison {
    pub(crate) bare: Figures,
    pub(crate) signet: Figures,
    /// Signet's CPU per call divided by the bare server's, pair by pair.
    pub(crate) cpu_ratio: Spread,
    /// Signet's requests per second divided by the bare server's, pair by pair.
    pub(crate) rate_ratio: Spread,
}

/// One server under one shape of load.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Figures {
    pub(crate) rate: Spread,
    pub(crate) p50_us: Spread,
    pub(crate) p99_us: Spread,
    pub(crate) cpu_us: Spread,
}

/// One run of h2load.
pub(crate) struct Run {
    pub(crate) rate: f64,
    p50_us: f64,
    p99_us: f64,
    cpu_us: f64,
}

/// What h2load asks, and what must come back.
pub(crate) struct Question {
    pub(crate) call: Call,
    pub(crate) reply_bytes: usize,
}

impl Question {
    pub(crate) fn new(call: Call, reply: &impl Message) -> Self {
        Self { call, reply_bytes: FRAME_HEAD_BYTES + reply.encoded_len() }
    }
}

pub(crate) fn measure(
    bare: &Server,
    signet: &Server,
    token: &str,
    reply: &GetMeResponse,
    plan: Plan,
) -> Result<GetMe> {
    let question = Question::new(Call::get_me(token), reply);
    let sides = [(bare, &question), (signet, &question)];
    Ok(GetMe {
        full: compare(sides, FULL, plan)?,
        light: compare(sides, LIGHT, plan)?,
        bare_peak_mb: bare.peak_mb()?,
        signet_peak_mb: signet.peak_mb()?,
    })
}

/// A service asks about `token` with `asking`, its own token. Both have been seen before.
pub(crate) fn introspection(
    bare: &Server,
    signet: &Server,
    asking: &str,
    token: &str,
    reply: &IntrospectTokenResponse,
    plan: Plan,
) -> Result<Comparison> {
    let question = Question::new(Call::introspect(asking, token), reply);
    compare([(bare, &question), (signet, &question)], FULL, plan)
}

/// Envoy asks `request` again and again, which shows a token that has been seen before.
pub(crate) fn check(
    bare: &Server,
    signet: &Server,
    request: &CheckRequest,
    reply: &CheckResponse,
    plan: Plan,
) -> Result<Comparison> {
    let question = Question::new(Call::check(request), reply);
    compare([(bare, &question), (signet, &question)], FULL, plan)
}

/// Two servers, each with what it is asked, in turns: the first is what the second is measured by.
pub(crate) fn compare(sides: [(&Server, &Question); 2], shape: Shape, plan: Plan) -> Result<Comparison> {
    let [(bare, bare_question), (signet, signet_question)] = sides;
    // Both get the same number of requests.
    warm_up(signet, signet_question, shape)?;
    let rate = warm_up(bare, bare_question, shape)?;
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "some hundred thousand requests"
    )]
    let requests = (rate * plan.round.as_secs_f64()) as u64;
    let (mut bare_runs, mut signet_runs) = (Vec::new(), Vec::new());
    for _ in 0..plan.rounds {
        bare_runs.push(run(bare, bare_question, shape, requests)?);
        signet_runs.push(run(signet, signet_question, shape, requests)?);
    }
    let pairs = || bare_runs.iter().zip(&signet_runs);
    Ok(Comparison {
        bare: figures(&bare_runs),
        signet: figures(&signet_runs),
        cpu_ratio: Spread::of(pairs().map(|(bare, signet)| signet.cpu_us / bare.cpu_us)),
        rate_ratio: Spread::of(pairs().map(|(bare, signet)| signet.rate / bare.rate)),
    })
}

/// A first run warms a server up, and says by its requests/s how many fill a round.
pub(crate) fn warm_up(server: &Server, question: &Question, shape: Shape) -> Result<f64> {
    let length = Length::Time(std::time::Duration::from_secs(1));
    Ok(H2load::start(server.grpc_addr, &question.call, shape, length)?.finish()?.requests_per_second)
}

pub(crate) fn run(server: &Server, question: &Question, shape: Shape, requests: u64) -> Result<Run> {
    let cpu_before = server.cpu()?;
    let found =
        H2load::start(server.grpc_addr, &question.call, shape, Length::Requests(requests))?.finish()?;
    let cpu = server.cpu()?.saturating_sub(cpu_before);
    let calls = usize::try_from(requests)?;
    if found.succeeded != requests || usize::try_from(found.body_bytes)? != calls * question.reply_bytes {
        let expected = calls * question.reply_bytes;
        let problem = format!("{requests} calls should bring {expected} bytes of replies: {found:?}");
        return Err(problem.into());
    }
    let cpu_us = micros(cpu) / float(calls);
    Ok(Run { rate: found.requests_per_second, p50_us: found.p50_us, p99_us: found.p99_us, cpu_us })
}

pub(crate) fn figures(runs: &[Run]) -> Figures {
    let spread = |of: fn(&Run) -> f64| Spread::of(runs.iter().map(of));
    Figures {
        rate: spread(|run| run.rate),
        p50_us: spread(|run| run.p50_us),
        p99_us: spread(|run| run.p99_us),
        cpu_us: spread(|run| run.cpu_us),
    }
}
