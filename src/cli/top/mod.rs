//! Owns `signet top`.

mod activity;
mod scrape;

use std::{net::SocketAddr, time::Duration};

use clap::Args;
use http::StatusCode;
use tokio::time::{sleep, timeout};

use super::{
    CommandReason, Failure, Output,
    operations::{ask, reachable},
};
use crate::{
    base::Clock,
    config::{Config, duration_in_millis},
};
use activity::Activity;
use scrape::{Change, Scrape};

/// How long an answer may take.
const TIMEOUT: Duration = Duration::from_secs(5);

/// How much of it is read: more series than there are methods and codes.
const MOST_BYTES: usize = 8 * 1_024 * 1_024;

#[derive(Args, Debug)]
pub(super) struct Top {
    /// How long each look is (100ms to 1h).
    #[arg(long, value_name = "DURATION", default_value = "2s", value_parser = duration_in_millis::<100, 3_600_000>)]
    every: Duration,

    /// End after so many. Without it, go on until Ctrl-C.
    #[arg(long, value_name = "NUMBER", value_parser = clap::value_parser!(u64).range(1..))]
    times: Option<u64>,
}

/// Shows what the service at the operations address does, again and again.
pub(super) async fn run(top: Top, config: &Config, output: Output) -> Result<(), Failure> {
    let speaks_tls = config.tls.files().map_err(|error| Failure::Usage(error.to_string()))?.is_some();
    let Some(addr) = config.operations.addr().map(reachable) else {
        return Err(Failure::Usage(
            "--operations-addr: it is off, and metrics are served nowhere else".to_owned(),
        ));
    };
    let clock = Clock::system();
    let first = scraped(addr, speaks_tls).await.map_err(|problem| unreachable(addr, &problem))?;
    let (mut before, mut read) = (first, clock.monotonic());
    let mut left = top.times;
    while left != Some(0) {
        sleep(top.every).await;
        let has_reader = match scraped(addr, speaks_tls).await {
            Ok(now) => {
                let moment = clock.monotonic();
                let change = Change::new(&before, &now, moment.saturating_sub(read));
                let activity = Activity::of(addr, &change, &clock);
                (before, read) = (now, moment);
                output.answer_anew(&activity.text(), &activity)?
            }
            Err(problem) if output.is_json() => return Err(unreachable(addr, &problem)),
            // It may be restarting, or be too busy to answer: that is when somebody looks.
            Err(problem) => {
                let text = format!("{:<12}{} at {addr}: NO METRICS: {problem}", "signet", clock.now());
                output.answer_anew(&text, &())?
            }
        };
        if !has_reader {
            break;
        }
        left = left.map(|left| left - 1);
    }
    Ok(())
}

/// The service at `addr` cannot be asked, for a `problem`.
fn unreachable(addr: SocketAddr, problem: &str) -> Failure {
    let hint = "this command needs the service's settings: --operations-addr, and TLS";
    Failure::because(CommandReason::ServerUnreachable, format!("{addr}: {problem} ({hint})"))
}

/// The metrics at `addr` now; else why there are none.
async fn scraped(addr: SocketAddr, speaks_tls: bool) -> Result<Scrape, String> {
    let asked = timeout(TIMEOUT, ask(addr, speaks_tls, "/metrics", MOST_BYTES)).await;
    let (status, text) = asked.unwrap_or_else(|_| Err(format!("no answer within {TIMEOUT:?}")))?;
    if status == StatusCode::NOT_FOUND {
        return Err(format!("it answers {status}: its --metrics is off, or it is not Signet"));
    }
    if status != StatusCode::OK || !text.contains("signet_build_info") {
        return Err(format!("it answers {status}, and no metrics of Signet"));
    }
    Ok(Scrape::read(&text))
}
