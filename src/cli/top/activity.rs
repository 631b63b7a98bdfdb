//! Owns what `signet top` tells of a service, for people and for programs.

use std::{net::SocketAddr, time::Duration};

use serde::Serialize;

use super::scrape::{Change, Quantile, Scrape, thousandths};
use crate::base::Clock;

/// How many methods are shown.
const METHODS: usize = 5;

/// What a service did between two scrapes, and how full it is.
#[derive(Debug, Serialize)]
pub(super) struct Activity {
    time: String,
    addr: SocketAddr,
    ready: bool,
    database_up: bool,
    /// None where the system does not tell when a process began.
    uptime_seconds: Option<f64>,
    calls_per_second: f64,
    calls_failed_per_second: f64,
    calls_in_flight: f64,
    call_seconds_p50: Quantile,
    call_seconds_p99: Quantile,
    http_requests_per_second: f64,
    http_seconds_p99: Quantile,
    methods: Vec<MethodRate>,
    logins_per_second: f64,
    logins_refused_per_second: f64,
    refreshes_per_second: f64,
    tokens_per_second: f64,
    hash_queue: f64,
    hash_threads_busy: f64,
    hash_threads: f64,
    hash_refused_per_second: f64,
    hash_seconds_p99: Quantile,
    /// Without those of operators, of which one is this command's own; so with the pools.
    connections: f64,
    /// The pool of which the most is taken: listener and lane.
    fullest_pool: Option<Pool>,
    statements_per_second: f64,
    statement_seconds_p99: Quantile,
    change_feed_lag_seconds: f64,
    memory_bytes: f64,
    memory_budget_bytes: f64,
    cores_busy: f64,
}

/// A method that is called.
#[derive(Debug, Serialize)]
struct MethodRate {
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

impl Activity {
    /// What the service at `addr` did in `change`.
    pub(super) fn of(addr: SocketAddr, change: &Change<'_>, clock: &Clock) -> Self {
        let now = change.now;
        let sum = |name: &str| now.sum(name, &[]);
        let time = clock.now();
        let start = now.series("process_start_time_seconds").next();
        #[expect(clippy::cast_precision_loss, reason = "whole seconds")]
        let uptime_seconds =
            start.map(|(_, start)| time.as_secs() as f64 - start).filter(|up| up.is_finite());
        let calls = "grpc_server_handled_total";
        let (calls_per_second, succeeded) =
            (change.rate(calls, &[]), change.rate(calls, &["grpc_code=\"OK\""]));
        Self {
            time: time.to_string(),
            addr,
            ready: sum("signet_ready") > 0.0,
            database_up: sum("signet_database_up") > 0.0,
            uptime_seconds,
            calls_per_second,
            calls_failed_per_second: thousandths(calls_per_second - succeeded),
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
    pub(super) fn text(&self) -> String {
        let lines = self.demand().into_iter().chain(self.resources());
        let lines = lines.map(|(name, said)| format!("{name:<12}{said}"));
        let methods =
            self.methods.iter().map(|busy| format!("{:12}{:>8.1}/s {}", "", busy.per_second, busy.method));
        lines.chain(methods).collect::<Vec<_>>().join("\n")
    }

    /// The lines about what callers ask for.
    fn demand(&self) -> [(&'static str, String); 4] {
        let state = match (self.ready, self.database_up) {
            (true, _) => "ready",
            (false, true) => "NOT READY",
            (false, false) => "NOT READY: the database does not answer",
        };
        // Whatever is at the address may say anything: not each number is a time.
        let up = self.uptime_seconds.map(|seconds| Duration::try_from_secs_f64(seconds.max(0.0).trunc()));
        let up = match up {
            Some(Ok(up)) => humantime::format_duration(up).to_string(),
            Some(Err(_)) | None => "-".to_owned(),
        };
        let calls = format!(
            "{:.1}/s, {:.1}/s refused or failed, {} in flight, p50 {}, p99 {}",
            self.calls_per_second,
            self.calls_failed_per_second,
            self.calls_in_flight,
            self.call_seconds_p50,
            self.call_seconds_p99,
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
            ("http", format!("{:.1}/s, p99 {}", self.http_requests_per_second, self.http_seconds_p99)),
            ("sessions", sessions),
        ]
    }

    /// The lines about what that takes.
    fn resources(&self) -> [(&'static str, String); 5] {
        let hashes = format!(
            "{} wait, {} of {} threads busy, {:.1}/s refused, p99 {}",
            self.hash_queue,
            self.hash_threads_busy,
            self.hash_threads,
            self.hash_refused_per_second,
            self.hash_seconds_p99,
        );
        let pool = self.fullest_pool.as_ref().map_or_else(String::new, |pool| {
            format!(", fullest: {} {} {} of {}", pool.listener, pool.lane, pool.taken, pool.places)
        });
        let statements =
            format!("{:.1} statements/s, p99 {}", self.statements_per_second, self.statement_seconds_p99);
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
fn busiest(change: &Change<'_>) -> Vec<MethodRate> {
    let started = "grpc_server_started_total";
    let mut methods: Vec<_> = change
        .now
        .series(started)
        .filter_map(|(labels, _)| {
            let (service, method) = (value(labels, "grpc_service")?, value(labels, "grpc_method")?);
            let of_method = [format!("grpc_service=\"{service}\""), format!("grpc_method=\"{method}\"")];
            let per_second = change.rate(started, &of_method.each_ref().map(String::as_str));
            Some(MethodRate { method: format!("{service}/{method}"), per_second })
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

fn mib(bytes: f64) -> f64 {
    bytes / 1_048_576.0
}
