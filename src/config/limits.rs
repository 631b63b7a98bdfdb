//! Owns the settings of what one call, one connection and all of them may take.

use std::time::Duration;

use clap::{Args, builder::RangedU64ValueParser, value_parser};

use super::duration;

/// What one call, one connection and all of them may take.
#[derive(Args, Clone, Debug)]
#[command(next_help_heading = "Limits")]
pub struct LimitConfig {
    /// How long a call may take; a shorter deadline of the client's own wins (1s to 5m).
    #[arg(long, env = "SIGNET_REQUEST_TIMEOUT", global = true, value_name = "DURATION", default_value = "10s", value_parser = duration::<1, 300>)]
    pub request_timeout: Duration,

    /// The largest request message, or body over HTTP: no request of this API needs more than a few KiB.
    #[arg(long, env = "SIGNET_MAX_MESSAGE_BYTES", global = true, value_name = "BYTES", default_value_t = 65_536, value_parser = RangedU64ValueParser::<usize>::new().range(1_024..=16_777_216))]
    pub max_message_bytes: usize,

    /// The largest header list: room for a token of 8 KiB and a sidecar's own headers.
    #[arg(long, env = "SIGNET_MAX_HEADER_BYTES", global = true, value_name = "BYTES", default_value_t = 16_384, value_parser = value_parser!(u32).range(8_192..=1_048_576))]
    pub max_header_bytes: u32,

    /// How many calls one connection may have open: keeps one client from taking all places.
    #[arg(long, env = "SIGNET_MAX_CONCURRENT_STREAMS", global = true, value_name = "COUNT", default_value_t = 256, value_parser = value_parser!(u32).range(1..=65_536))]
    pub max_concurrent_streams: u32,

    /// How many calls may be in flight over all connections, those over HTTP among them; what comes on top is refused at once
    /// (RESOURCE_EXHAUSTED).
    #[arg(long, env = "SIGNET_MAX_IN_FLIGHT_CALLS", global = true, value_name = "COUNT", default_value_t = 4_096, value_parser = RangedU64ValueParser::<usize>::new().range(1..=1_000_000))]
    pub max_in_flight_calls: usize,

    /// How many connections may be open on each address; what comes on top is closed at once. Bounded by the open-files limit.
    #[arg(long, env = "SIGNET_MAX_CONNECTIONS", global = true, value_name = "COUNT", default_value_t = 8_192, value_parser = RangedU64ValueParser::<usize>::new().range(1..=1_000_000))]
    pub max_connections: usize,

    /// How long a connection may be silent before it is pinged: shorter than what common load balancers take for dead (1s to 1h).
    #[arg(long, env = "SIGNET_KEEPALIVE_INTERVAL", global = true, value_name = "DURATION", default_value = "30s", value_parser = duration::<1, 3_600>)]
    pub keepalive_interval: Duration,

    /// How long the answer to a ping, and a new connection's greeting, may take (1s to 5m).
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

    /// How long calls in flight may take to finish on a shutdown, first those of gRPC and then those of HTTP, or on a connection past its
    /// age (0s to 1h).
    #[arg(long, env = "SIGNET_DRAIN_TIMEOUT", global = true, value_name = "DURATION", default_value = "30s", value_parser = duration::<0, 3_600>)]
    pub drain_timeout: Duration,
}
