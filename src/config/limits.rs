//! Owns the settings of what one call, one connection and all of them may take.

use std::time::Duration;

use bytesize::ByteSize;
use clap::{Args, builder::RangedU64ValueParser, value_parser};

use super::duration;
use crate::admission::CallBounds;

/// What one call, one connection and all of them may take.
#[derive(Args, Clone, Debug)]
#[command(next_help_heading = "Limits")]
pub struct LimitConfig {
    /// How much memory the process should take, such as `512MiB`. The limits below that are not set follow from it
    /// (docs/OPERATIONS.md). If it is set, a start whose limits do not fit into it is refused. Default: three quarters of the
    /// container's limit or, without one, a quarter of the machine's memory, and at least 256MiB.
    #[arg(long, env = "SIGNET_MEMORY_BUDGET", global = true, value_name = "BYTES", value_parser = memory)]
    pub memory_budget: Option<ByteSize>,

    /// How long a call may take; a shorter deadline of the client's own wins (1s to 5m).
    #[arg(long, env = "SIGNET_REQUEST_TIMEOUT", global = true, value_name = "DURATION", default_value = "10s", value_parser = duration::<1, 300>)]
    pub request_timeout: Duration,

    /// How long a request message, or body over HTTP, may be on its way; a call counts once it is there (1s to 1m).
    #[arg(long, env = "SIGNET_RECEIVE_TIMEOUT", global = true, value_name = "DURATION", default_value = "5s", value_parser = duration::<1, 60>)]
    pub receive_timeout: Duration,

    /// The largest request message, or body over HTTP: no request of this API needs more than a few KiB.
    #[arg(long, env = "SIGNET_MAX_MESSAGE_BYTES", global = true, value_name = "BYTES", default_value_t = 65_536, value_parser = RangedU64ValueParser::<usize>::new().range(1_024..=16_777_216))]
    pub max_message_bytes: usize,

    /// The largest header list: room for a token of 8 KiB and a sidecar's own headers.
    #[arg(long, env = "SIGNET_MAX_HEADER_BYTES", global = true, value_name = "BYTES", default_value_t = 16_384, value_parser = value_parser!(u32).range(8_192..=1_048_576))]
    pub max_header_bytes: u32,

    /// How many calls one connection may have open: keeps one client from taking all places. Default: by --memory-budget, at
    /// most 256.
    #[arg(long, env = "SIGNET_MAX_CONCURRENT_STREAMS", global = true, value_name = "COUNT", value_parser = value_parser!(u32).range(1..=65_536))]
    pub max_concurrent_streams: Option<u32>,

    /// How many calls of strangers may be in flight on each address, one peer's at most a quarter; what comes on top is refused at once
    /// (RESOURCE_EXHAUSTED). Health, Envoy's Check and calls with a verified token have a reserve beside them. Default: by
    /// --memory-budget, at most 4096.
    #[arg(long, env = "SIGNET_MAX_IN_FLIGHT_CALLS", global = true, value_name = "COUNT", value_parser = RangedU64ValueParser::<usize>::new().range(1..=1_000_000))]
    pub max_in_flight_calls: Option<usize>,

    /// How many services may follow the stream of what has changed at --grpc-addr, one peer's at most a quarter; what comes on top is
    /// refused (RESOURCE_EXHAUSTED). Several may share a connection (1 to 1000000). Default: by --memory-budget, an eighth of the streams
    /// of an address, at least 64.
    #[arg(long, env = "SIGNET_MAX_WATCHERS", global = true, value_name = "COUNT", value_parser = RangedU64ValueParser::<usize>::new().range(1..=1_000_000))]
    pub max_watchers: Option<usize>,

    /// How many connections may be open on each address. When nearly as many are, one without a call in flight ends for each that comes,
    /// first of the peer with most. Default: by --memory-budget, at most 8192. Bounded by how many files the system lets the process open.
    #[arg(long, env = "SIGNET_MAX_CONNECTIONS", global = true, value_name = "COUNT", value_parser = RangedU64ValueParser::<usize>::new().range(1..=1_000_000))]
    pub max_connections: Option<usize>,

    /// How many of them one peer may have, on each address: an IPv4 address or an IPv6 /64; an IPv6 /48 may have twice as many. What
    /// comes on top is closed at once. Default: a quarter of --max-connections, and at least 16.
    #[arg(long, env = "SIGNET_MAX_CONNECTIONS_PER_PEER", global = true, value_name = "COUNT", value_parser = RangedU64ValueParser::<usize>::new().range(1..=1_000_000))]
    pub max_connections_per_peer: Option<usize>,

    /// How long a connection may be silent before it is pinged: shorter than what common load balancers take for dead (1s to 1h).
    #[arg(long, env = "SIGNET_KEEPALIVE_INTERVAL", global = true, value_name = "DURATION", default_value = "30s", value_parser = duration::<1, 3_600>)]
    pub keepalive_interval: Duration,

    /// How long the answer to a ping, a new connection's greeting, the head of a request, and a write that does not move may take (1s
    /// to 5m).
    #[arg(long, env = "SIGNET_KEEPALIVE_TIMEOUT", global = true, value_name = "DURATION", default_value = "10s", value_parser = duration::<1, 300>)]
    pub keepalive_timeout: Duration,

    /// After what time a connection is asked to close (GOAWAY), so that clients spread over new replicas; each connection's own
    /// age varies by a tenth (1s to 24h).
    #[arg(long, env = "SIGNET_MAX_CONNECTION_AGE", global = true, value_name = "DURATION", default_value = "30m", value_parser = duration::<1, 86_400>)]
    pub max_connection_age: Duration,

    /// How long a shutdown goes on taking calls after health has turned `NOT_SERVING`, so that load balancers hear of it before
    /// connections end: longer than the interval of its health checks (0s to 5m).
    #[arg(long, env = "SIGNET_SHUTDOWN_DELAY", global = true, value_name = "DURATION", default_value = "0s", value_parser = duration::<0, 300>)]
    pub shutdown_delay: Duration,

    /// How long calls in flight may take to finish on a shutdown, on all addresses at once, or on a connection past its age. The
    /// process ends within --shutdown-delay, this time and 5s, whatever hangs (0s to 1h).
    #[arg(long, env = "SIGNET_DRAIN_TIMEOUT", global = true, value_name = "DURATION", default_value = "30s", value_parser = duration::<0, 3_600>)]
    pub drain_timeout: Duration,
}

impl LimitConfig {
    /// What one call may take.
    pub(crate) const fn call_bounds(&self) -> CallBounds {
        CallBounds {
            message_bytes: self.max_message_bytes,
            receive_timeout: self.receive_timeout,
            request_timeout: self.request_timeout,
            stream_age: self.max_connection_age,
        }
    }
}

#[cfg(test)]
impl LimitConfig {
    /// The limits that `args` set, and otherwise the defaults.
    pub(crate) fn of(args: &[&str]) -> Self {
        let command = Self::augment_args(clap::Command::new("signet").no_binary_name(true));
        clap::FromArgMatches::from_arg_matches(&command.get_matches_from(args)).unwrap()
    }
}

/// An amount of memory, such as `512MiB`.
fn memory(text: &str) -> Result<ByteSize, String> {
    // Less than the program itself takes cannot be meant.
    let least = ByteSize::mib(64);
    match text.parse::<ByteSize>() {
        Ok(size) if size >= least => Ok(size),
        Ok(_) => Err(format!("must be at least {least}")),
        Err(_) => Err("must be an amount of memory such as `512MiB`, `1GiB` or `536870912`".to_owned()),
    }
}
