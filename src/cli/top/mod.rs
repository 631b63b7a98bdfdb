//! Owns `signet top`.

mod scrape;

use std::{net::SocketAddr, time::Duration};

use clap::Args;
use http::StatusCode;
use serde::Serialize;
use tokio::time::{sleep, timeout};

use super::{
    CommandReason, Failure, Output,
    operations::{ask, reachable},
};
use crate::{
    base::Clock,
    config::{Config, duration_in_millis},
};
use scrape::{Change, Scrape};

/// How long an answer may take.
const TIMEOUT: Duration = Duration::from_secs(5);

/// How much of it is read: more series than there are methods and codes.
const MOST_BYTES: usize = 8 * 1_024 * 1_024;

/// How many methods are shown.
const METHODS: usize = 5;

#[derive(Args, Debug)]
pub(super) struct Top {
    /// How long each look is (100ms to 1h).
    #[arg(long, value_name = "DURATION", default_value = "2s", value_parser = duration_in_millis::<100, 3_600_000>)]
    every: Duration,

    /// End after so many. Without it, go on until Ctrl-C.
    #[arg(long, value_name = "NUMBER", value_parser = clap::value_parser!(u64).range(1..))]
    times: Option<u64>,
}

/// What a service does, within one look.
#[derive(Debug, Serialize)]
struct Look {
    time: String,
    addr: SocketAddr,
    ready: bool,
    database_up: bool,
    uptime_seconds: f64,
    calls_per_second: f64,
    calls_failed_per_second: f64,
    calls_in_flight: f64,
    call_seconds_p50: Option<f64>,
    call_seconds_p99: Option<f64>,
    http_requests_per_second: f64,
    http_seconds_p99: Option<f64>,
    methods: Vec<Busy>,
    logins_per_second: f64,
    logins_refused_per_second: f64,
    refreshes_per_second: f64,
    tokens_per_second: f64,
    hash_queue: f64,
    hash_threads_busy: f64,
    hash_threads: f64,
    hash_refused_per_second: f64,
    hash_seconds_p99: Option<f64>,
    connections: f64,
    /// The pool of which the most is taken: listener and lane.
    fullest_pool: Option<Pool>,
    statements_per_second: f64,
    statement_seconds_p99: Option<f64>,
    change_feed_lag_seconds: f64,
    memory_bytes: f64,
    memory_budget_bytes: f64,
    cores_busy: f64,
}

/// A method that is called.
#[derive(Debug, Serialize)]
struct Busy {
    method: String,
    per_second: f64,
}

/// Places that calls take.
#[derive(Debug, Serialize)]
struct Pool {
    listener: String,
    lane: String,
    taken: f64,
    places: f64,
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
    let (mut before, mut read) = (scraped(addr, speaks_tls).await?, clock.monotonic());
    let mut left = top.times;
    while left != Some(0) {
        sleep(top.every).await;
        let now = scraped(addr, speaks_tls).await?;
        let moment = clock.monotonic();
        let took = moment.saturating_sub(read);
        let look = Look::of(addr, &Change { before: &before, now: &now, took }, &clock);
        if !output.answer_anew(&look.text(), &look)? {
            break;
        }
        (before, read) = (now, moment);
        left = left.map(|left| left - 1);
    }
    Ok(())
}

/// The metrics at `addr` now.
async fn scraped(addr: SocketAddr, speaks_tls: bool) -> Result<Scrape, Failure> {
    let unreachable = |problem: String| {
        let hint = "this command needs the service's settings: --operations-addr, and TLS";
        Failure::because(CommandReason::ServerUnreachable, format!("{addr}: {problem} ({hint})"))
    };
    let asked = timeout(TIMEOUT, ask(addr, speaks_tls, "/metrics", MOST_BYTES)).await;
    let (status, text) =
        asked.unwrap_or_else(|_| Err(format!("no answer within {TIMEOUT:?}"))).map_err(unreachable)?;
    if status != StatusCode::OK || !text.contains("signet_build_info") {
        return Err(unreachable(format!("it answers {status}, and no metrics of Signet")));
    }
    Ok(Scrape::read(&text))
}

impl Look {
    fn of(addr: SocketAddr, change: &Change<'_>, clock: &Clock) -> Self {
        let now = change.now;
        let sum = |name: &str| now.sum(name, &[]);
        let time = clock.now();
        #[expect(clippy::cast_precision_loss, reason = "whole seconds")]
        let uptime_seconds = (time.as_secs() as f64 - sum("process_start_time_seconds")).max(0.0);
        let calls = "grpc_server_handled_total";
        Self {
            time: time.to_string(),
            addr,
            ready: sum("signet_ready") > 0.0,
            database_up: sum("signet_database_up") > 0.0,
            uptime_seconds,
            calls_per_second: change.rate(calls, &[]),
            calls_failed_per_second: change.rate(calls, &[]) - change.rate(calls, &["grpc_code=\"OK\""]),
            calls_in_flight: sum("signet_grpc_calls_in_flight"),
            call_seconds_p50: change.quantile("grpc_server_handling_seconds", 0.5),
            call_seconds_p99: change.quantile("grpc_server_handling_seconds", 0.99),
            http_requests_per_second: change.rate("signet_http_requests_total", &[]),
            http_seconds_p99: change.quantile("signet_http_request_seconds", 0.99),
            methods: busiest(change),
            logins_per_second: change.rate("signet_logins_total", &["result=\"succeeded\""]),
            logins_refused_per_second: change.rate("signet_logins_total", &["result=\"refused\""]),
            refreshes_per_second: change.rate("signet_refreshes_total", &["result=\"done\""]),
            tokens_per_second: change.rate("signet_tokens_issued_total", &[]),
            hash_queue: sum("signet_hash_queue_length"),
            hash_threads_busy: sum("signet_hash_threads_busy"),
            hash_threads: sum("signet_hash_threads"),
            hash_refused_per_second: change.rate("signet_hash_refused_total", &[]),
            hash_seconds_p99: change.quantile("signet_hash_seconds", 0.99),
            connections: sum("signet_connections_open"),
            fullest_pool: fullest(now),
            statements_per_second: change.rate("signet_database_statement_seconds_count", &[]),
            statement_seconds_p99: change.quantile("signet_database_statement_seconds", 0.99),
            change_feed_lag_seconds: sum("signet_change_feed_lag_seconds"),
            memory_bytes: sum("process_resident_memory_bytes"),
            memory_budget_bytes: sum("signet_memory_budget_bytes"),
            cores_busy: change.rate("process_cpu_seconds_total", &[]),
        }
    }

    /// For people.
    fn text(&self) -> String {
        let lines = self.of_callers().into_iter().chain(self.of_what_they_take());
        let lines = lines.map(|(name, said)| format!("{name:<12}{said}"));
        let methods =
            self.methods.iter().map(|busy| format!("{:12}{:>8.1}/s {}", "", busy.per_second, busy.method));
        lines.chain(methods).collect::<Vec<_>>().join("\n")
    }

    /// What callers ask for.
    fn of_callers(&self) -> [(&'static str, String); 4] {
        let state = match (self.ready, self.database_up) {
            (true, _) => "ready",
            (false, true) => "NOT READY",
            (false, false) => "NOT READY: the database does not answer",
        };
        let up = humantime::format_duration(Duration::from_secs_f64(self.uptime_seconds.trunc()));
        let calls = format!(
            "{:.1}/s, {:.1}/s refused or failed, {} in flight, p50 {}, p99 {}",
            self.calls_per_second,
            self.calls_failed_per_second,
            self.calls_in_flight,
            millis(self.call_seconds_p50),
            millis(self.call_seconds_p99),
        );
        let sessions = format!(
            "{:.1}/s logins, {:.1}/s refused, {:.1}/s refreshes, {:.1}/s tokens",
            self.logins_per_second,
            self.logins_refused_per_second,
            self.refreshes_per_second,
            self.tokens_per_second,
        );
        [
            ("signet", format!("{} at {}, up {up}: {state}", self.time, self.addr)),
            ("calls", calls),
            (
                "http",
                format!("{:.1}/s, p99 {}", self.http_requests_per_second, millis(self.http_seconds_p99)),
            ),
            ("sessions", sessions),
        ]
    }

    /// What that takes.
    fn of_what_they_take(&self) -> [(&'static str, String); 5] {
        let hashes = format!(
            "{} wait, {} of {} threads busy, {:.1}/s refused, p99 {}",
            self.hash_queue,
            self.hash_threads_busy,
            self.hash_threads,
            self.hash_refused_per_second,
            millis(self.hash_seconds_p99),
        );
        let pool = self.fullest_pool.as_ref().map_or_else(String::new, |pool| {
            format!(", fullest: {} {} {} of {}", pool.listener, pool.lane, pool.taken, pool.places)
        });
        let statements = format!(
            "{:.1} statements/s, p99 {}",
            self.statements_per_second,
            millis(self.statement_seconds_p99)
        );
        let process = format!(
            "{:.0} of {:.0} MiB, {:.2} cores",
            mib(self.memory_bytes),
            mib(self.memory_budget_bytes),
            self.cores_busy
        );
        [
            ("hashes", hashes),
            ("places", format!("{} connections{pool}", self.connections)),
            ("database", statements),
            ("feed lag", format!("{:.1} s", self.change_feed_lag_seconds)),
            ("process", process),
        ]
    }
}

/// The methods that are called most.
fn busiest(change: &Change<'_>) -> Vec<Busy> {
    let started = "grpc_server_started_total";
    let mut methods: Vec<_> = change
        .now
        .series(started)
        .filter_map(|(labels, _)| {
            let (service, method) = (value(labels, "grpc_service")?, value(labels, "grpc_method")?);
            let of_method = [format!("grpc_service=\"{service}\""), format!("grpc_method=\"{method}\"")];
            let per_second = change.rate(started, &of_method.each_ref().map(String::as_str));
            Some(Busy { method: format!("{service}/{method}"), per_second })
        })
        .filter(|busy| busy.per_second > 0.0)
        .collect();
    methods.sort_by(|one, other| other.per_second.total_cmp(&one.per_second));
    methods.truncate(METHODS);
    methods
}

/// The pool of which the most is taken.
fn fullest(now: &Scrape) -> Option<Pool> {
    let pools = now.series("signet_places_taken").filter_map(|(labels, taken)| {
        let places = now.series("signet_places").find(|(other, _)| *other == labels)?.1;
        let (listener, lane) = (value(labels, "listener")?.to_owned(), value(labels, "lane")?.to_owned());
        Some(Pool { listener, lane, taken, places })
    });
    let part = |pool: &Pool| if pool.places > 0.0 { pool.taken / pool.places } else { 0.0 };
    pools.filter(|pool| pool.taken > 0.0).max_by(|one, other| part(one).total_cmp(&part(other)))
}

/// The value of `label` among `labels`.
fn value<'a>(labels: &'a str, label: &str) -> Option<&'a str> {
    let (_, rest) = labels.split_once(&format!("{label}=\""))?;
    rest.split_once('"').map(|(value, _)| value)
}

/// The upper bound of a bucket.
fn millis(seconds: Option<f64>) -> String {
    match seconds {
        None => "-".to_owned(),
        Some(seconds) if seconds.is_infinite() => "beyond all buckets".to_owned(),
        Some(seconds) => format!("<= {} ms", seconds * 1_000.0),
    }
}

fn mib(bytes: f64) -> f64 {
    bytes / 1_048_576.0
}
