//! Owns what Signet takes before it does anything: the time to start, and memory.

use std::{
    thread,
    time::{Duration, Instant},
};

use tokio::runtime::Runtime;

use crate::{
    Plan, Result,
    client::{self, Account},
    process::{Program, Server},
    stats::{Spread, millis},
};

/// How many users there are when Signet starts again.
pub(crate) const USERS: usize = 50;

/// How long Signet has been idle when its memory is read.
const IDLE: Duration = Duration::from_secs(2);

#[derive(Clone, Copy, Debug)]
pub(crate) struct Footprint {
    /// From starting the process to the first answered `GetMe`, on existing data.
    pub(crate) start_ms: Spread,
    pub(crate) idle_mb: f64,
}

/// Makes the data, starts Signet on them again and again, and leaves the last one running.
pub(crate) fn measure(
    runtime: &Runtime,
    program: &Program,
    plan: Plan,
) -> Result<(Footprint, Server, Account)> {
    let first = program.start()?;
    let account = runtime.block_on(populate(&first))?;
    first.stop();
    let mut times = Vec::new();
    loop {
        let started = Instant::now();
        let signet = program.start()?;
        runtime.block_on(client::get_me(signet.grpc_addr, &account.token))?;
        times.push(millis(started.elapsed()));
        if times.len() == plan.rounds {
            thread::sleep(IDLE);
            let footprint = Footprint { start_ms: Spread::of(times), idle_mb: signet.resident_mb()? };
            return Ok((footprint, signet, account));
        }
        signet.stop();
    }
}

/// Signs up some users, and logs the first in.
async fn populate(signet: &Server) -> Result<Account> {
    let mut client = client::connect(signet.grpc_addr).await?;
    for number in 0..USERS {
        client::sign_up(&mut client, &format!("user-{number}")).await?;
    }
    let token = client::login(&mut client, "user-0").await?;
    Ok(Account { username: "user-1".to_owned(), token })
}
