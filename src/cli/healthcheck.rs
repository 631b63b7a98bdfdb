//! Owns `signet healthcheck`.

use std::{net::SocketAddr, time::Duration};

use http::StatusCode;
use serde_json::json;
use tokio::time::{Instant, timeout_at};

use super::{
    CommandReason, Failure, Output,
    operations::{self, reachable},
};
use crate::config::Config;

/// How long the answer may take: container probes give a second or a few.
const TIMEOUT: Duration = Duration::from_secs(3);

/// How much of the answer is read.
const MOST_TOLD_BYTES: usize = 1_024;

/// Asks `/readyz`. Not `grpc.health.v1`, which says the same: with `--tls-client-ca` that takes a certificate, which a probe does not
/// have.
pub(super) async fn run(config: &Config, output: Output) -> Result<(), Failure> {
    let speaks_tls = config.tls.files().map_err(|error| Failure::Usage(error.to_string()))?.is_some();
    let addrs = addrs(config);
    let share = TIMEOUT / u32::try_from(addrs.len()).unwrap_or(1);
    let mut problems = Vec::new();
    for addr in addrs.into_iter().map(reachable) {
        let until = Instant::now() + share;
        let status = timeout_at(until, ask(addr, speaks_tls))
            .await
            .unwrap_or_else(|_| Err(format!("no answer within {share:?}")));
        let problem = match status {
            Ok((StatusCode::OK, _)) => {
                return output.answer(&format!("{addr} serves."), &json!({ "status": "SERVING" }));
            }
            Ok((StatusCode::SERVICE_UNAVAILABLE, told)) => {
                let cause =
                    told.strip_prefix("not ready: ").map_or_else(String::new, |cause| format!(": {cause}"));
                return Err(Failure::because(
                    CommandReason::NotServing,
                    format!("{addr} does not serve: it is not ready{cause}"),
                ));
            }
            Ok((other, _)) => format!("it answers {other}"),
            Err(_) if matches!(timeout_at(until, ask(addr, !speaks_tls)).await, Ok(Ok(_))) => {
                let differs = if speaks_tls {
                    "it speaks plaintext, and the settings here have --tls-cert"
                } else {
                    "it speaks TLS, and the settings here have no --tls-cert"
                };
                differs.to_owned()
            }
            Err(problem) => problem,
        };
        problems.push(format!("{addr} does not serve: {problem}"));
    }
    let problems = problems.join("; ");
    Err(Failure::because(
        CommandReason::NotServing,
        format!("{problems} (this command needs the service's settings: where it listens, and TLS)"),
    ))
}

/// Where to ask, one after the other until one says whether it serves. Where nothing is set, the service may have had to start
/// without its operations address; and where it took any free port, nobody here knows which.
fn addrs(config: &Config) -> Vec<SocketAddr> {
    let operations = config.operations.addr().filter(|addr| addr.port() != 0);
    let http = if config.operations.operations_addr.is_some() && operations.is_some() {
        None
    } else {
        Some(config.http_addr)
    };
    operations.into_iter().chain(http).collect()
}

/// The status, and the first line of what is told with it.
async fn ask(addr: SocketAddr, speaks_tls: bool) -> Result<(StatusCode, String), String> {
    let (status, told) = operations::ask(addr, speaks_tls, "/readyz", MOST_TOLD_BYTES).await?;
    Ok((status, told.lines().next().unwrap_or_default().to_owned()))
}
