//! Owns what a listener for few may take: operators and administrators. It follows from no budget, and is set aside.

use crate::admission::{Bounds, CallBounds};

/// The most connections. They are counted apart from those of callers.
pub(super) const MAX_CONNECTIONS: usize = 32;

/// Of these those of one peer, and of one site.
const MAX_CONNECTIONS_PER_PEER: usize = 16;
const MAX_CONNECTIONS_PER_SITE: usize = 24;

/// The most requests that one connection may have open, and those that are no calls yet or last; whatever they are, all connections
/// together never have more than 512.
const MAX_CONCURRENT_STREAMS: u32 = 16;
const MAX_STREAMS: usize = 256;

/// What all of that may come to: 32 connections of 88 KiB, and 512 streams of 16 KiB.
const CONNECTION_BYTES: u64 = 11 * 1_024 * 1_024;

/// What the listener may take, if `pending_bytes` of requests and answers may be on their way.
pub(super) const fn max_bytes(pending_bytes: usize) -> u64 {
    CONNECTION_BYTES + pending_bytes as u64
}

/// What one request may take, if one of callers may take `call`: a message of `message_bytes` at most.
pub(super) fn call_bounds(call: &CallBounds, message_bytes: usize) -> CallBounds {
    CallBounds { message_bytes: call.message_bytes.min(message_bytes), ..*call }
}

/// What the listener may take, of what one of callers may, if `pending_bytes` of requests and answers may be on their way.
pub(super) fn bounds(bounds: &Bounds, pending_bytes: usize) -> Bounds {
    Bounds {
        max_connections: bounds.max_connections.min(MAX_CONNECTIONS),
        max_connections_per_peer: bounds.max_connections_per_peer.min(MAX_CONNECTIONS_PER_PEER),
        max_connections_per_site: bounds.max_connections_per_site.min(MAX_CONNECTIONS_PER_SITE),
        max_concurrent_streams: bounds.max_concurrent_streams.min(MAX_CONCURRENT_STREAMS),
        max_in_flight_calls: bounds.max_in_flight_calls.min(MAX_STREAMS),
        max_streams: bounds.max_streams.min(MAX_STREAMS),
        max_pending_bytes: bounds.max_pending_bytes.min(pending_bytes),
        ..*bounds
    }
}
