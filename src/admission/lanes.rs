//! Owns the numbers of one listener's pool: how many places each lane has, the shares in them, and what memory that may take.

use std::time::Duration;

use super::{Bounds, share::Limits};

/// A kind of place in the pool of a listener. Each has a number of its own: no lane takes places from another.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Lane {
    /// Calls of whoever has not shown a token that was verified.
    Strangers,
    /// Calls with a verified token, once the strangers' places are taken.
    Verified,
    /// Health and probes.
    Health,
    /// Questions of Envoy about a request with a verified token, once the strangers' places are taken.
    Check,
    /// Public keys and discovery.
    Documents,
    /// Messages of strangers that have not arrived whole.
    ArrivingStrangers,
    /// Messages with a verified token that have not arrived whole.
    ArrivingVerified,
    /// Health's messages that have not arrived whole.
    ArrivingHealth,
    /// Envoy's messages that have not arrived whole.
    ArrivingCheck,
    /// Tokens whose signature is verified to find out whether their calls have a reserve.
    Verifying,
    /// Watches of health.
    Watches,
    /// Streams of what has changed, whose token is verified.
    Watchers,
    /// Streams: calls whose answer has no end of its own.
    Streams,
    /// Bytes of messages and answers beyond what belongs to a place.
    Bytes,
}

/// Every lane, in the order of their numbers.
pub(crate) const LANES: [Lane; 14] = [
    Lane::Strangers,
    Lane::Verified,
    Lane::Health,
    Lane::Check,
    Lane::Documents,
    Lane::ArrivingStrangers,
    Lane::ArrivingVerified,
    Lane::ArrivingHealth,
    Lane::ArrivingCheck,
    Lane::Verifying,
    Lane::Watches,
    Lane::Watchers,
    Lane::Streams,
    Lane::Bytes,
];

impl Lane {
    /// Whether it is of messages that have not arrived whole.
    pub(super) const fn is_arriving(self) -> bool {
        matches!(
            self,
            Self::ArrivingStrangers | Self::ArrivingVerified | Self::ArrivingHealth | Self::ArrivingCheck
        )
    }

    /// What it is called in metrics and in the log.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Strangers => "strangers",
            Self::Verified => "verified",
            Self::Health => "health",
            Self::Check => "check",
            Self::Documents => "documents",
            Self::ArrivingStrangers => "arriving_strangers",
            Self::ArrivingVerified => "arriving_verified",
            Self::ArrivingHealth => "arriving_health",
            Self::ArrivingCheck => "arriving_check",
            Self::Verifying => "verifying",
            Self::Watches => "watches",
            Self::Watchers => "watchers",
            Self::Streams => "streams",
            Self::Bytes => "bytes",
        }
    }
}

/// The headers and the message of a call of ordinary size, in bytes: they belong to its place, and are not charged apart.
pub(super) const FREE_BYTES: usize = 8 * 1_024;

/// How many places for health there are, for calls and as many for watches: of 256 hosts that ask, each has two.
const HEALTH: usize = 512;

/// How many messages for health may be on their way: they are a few bytes, and the oldest gives way.
const ARRIVING_HEALTH: usize = 64;

/// What all of that takes: 6 KB for an answer that nobody reads, 13 KB for a stream that is no call yet.
pub(super) const HEALTH_BYTES: u64 = (2 * HEALTH * 8 + ARRIVING_HEALTH * 16) as u64 * 1_024;

/// How many places for health one peer has: two who ask at the same time, from one host.
const HEALTH_PER_PEER: u64 = 2;

/// How many places for health all hosts of one IPv6 site have.
const HEALTH_PER_SITE: u64 = 32;

/// Into how many parts a lane is cut for each peer: a peer has one, so that it takes four hosts at the least to fill a lane, and a
/// host that stands for many (a NAT, a proxy) still has many places.
const PEER_PART: usize = 4;

/// Into how many parts a lane is cut for each IPv6 site.
const SITE_PART: usize = 2;

/// Into how many parts the strangers' places are cut for each peer that names other peers in its questions: what it says of them is
/// believed, but it cannot take all places by naming many.
const ASKER_PART: usize = 2;

/// Into how many parts the streams are cut for each peer: whoever watches health keeps one open for each connection.
const STREAMS_PEER_PART: usize = 8;

/// Into how many parts a reserve is cut for each user or client.
const SUBJECT_PART: usize = 16;

/// Into how many parts a reserve is cut for all new accounts together: whoever can sign up can have any number of them.
const NEW_ACCOUNTS_PART: usize = 2;

/// How many signatures are verified at a time to find out who has a reserve: more than there are cores, since some wait for keys.
const VERIFYING: usize = 64;

/// How many bytes one stream may leave unread before it gets no more.
const STREAM_UNREAD_BYTES: usize = 64 * 1_024;

/// What one call may take.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct CallBounds {
    /// The largest message.
    pub(crate) message_bytes: usize,
    /// How long a message may be on its way.
    pub(crate) receive_timeout: Duration,
    /// How long a call may take, to the end of its answer.
    pub(crate) request_timeout: Duration,
    /// How old a stream may get.
    pub(crate) stream_age: Duration,
}

/// The bounds of one listener's pool: plain numbers that fit together.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct PoolBounds {
    /// What one call may take.
    pub(crate) call: CallBounds,
    /// Calls of strangers in flight.
    strangers: usize,
    /// Calls with a verified token in flight, beside those.
    verified: usize,
    /// Envoy's questions about requests with a verified token in flight, beside those.
    check: usize,
    /// Requests for keys and discovery in flight, beside those.
    documents: usize,
    /// Messages that have not arrived whole: of strangers.
    arriving_strangers: usize,
    /// The same with a verified token, beside those.
    arriving_verified: usize,
    /// The same of Envoy, beside those.
    arriving_check: usize,
    /// The same of one connection.
    arriving_per_connection: usize,
    /// Streams that are open.
    streams: usize,
    /// Streams of what has changed, beside those.
    watchers: usize,
    /// Bytes of messages, and of answers that are not read, beyond what belongs to places.
    bytes: usize,
    /// How many of these bytes one stream may leave unread before it gets no more.
    pub(super) stream_unread_bytes: usize,
}

/// The fewest bytes of requests and answers that may be on their way: each peer can send two messages of `message_bytes` at once.
pub(super) const fn least_bytes(message_bytes: usize) -> usize {
    message_bytes.saturating_mul(2 * PEER_PART)
}

impl PoolBounds {
    /// The bounds of a pool that has what one listener gets of `all`, for calls that take no more than `call`.
    ///
    /// Strangers have `all.max_in_flight_calls` places. Everything else is divided from `all.max_streams`, by what it costs: a call in
    /// a reserve as much as two streams that are no calls yet, a stream that lasts as much as four. No part is larger than what
    /// strangers have. docs/OPERATIONS.md has the same table.
    pub(crate) fn derived(all: &Bounds, call: &CallBounds) -> Self {
        let calls = all.max_in_flight_calls;
        let part = |divisor: usize, least: usize| (all.max_streams / divisor).min(calls).max(least);
        Self {
            call: *call,
            strangers: calls,
            // A reserve has at least one place for each part of it.
            verified: part(16, SUBJECT_PART),
            check: part(16, SUBJECT_PART),
            documents: part(32, PEER_PART),
            arriving_strangers: part(4, PEER_PART),
            arriving_verified: part(16, SUBJECT_PART),
            arriving_check: part(8, PEER_PART),
            arriving_per_connection: usize::try_from(all.max_concurrent_streams).unwrap_or(usize::MAX),
            streams: part(16, SUBJECT_PART),
            watchers: all.max_watchers,
            bytes: all
                .max_pending_bytes
                .min(calls.saturating_mul(call.message_bytes))
                .max(least_bytes(call.message_bytes)),
            stream_unread_bytes: STREAM_UNREAD_BYTES,
        }
    }

    /// The shares of `lane`.
    pub(super) fn limits(&self, lane: Lane) -> Limits {
        let number = |count: usize| u64::try_from(count).unwrap_or(u64::MAX);
        let part = |count: usize, divisor: usize| Some(number((count / divisor).max(1)));
        let by_peer = |count: usize| Limits {
            all: number(count),
            peer: part(count, PEER_PART),
            site: part(count, SITE_PART),
            ..Limits::default()
        };
        let by_subject = |count: usize, limits: Limits| Limits {
            all: number(count),
            subject: part(count, SUBJECT_PART),
            new_accounts: part(count, NEW_ACCOUNTS_PART),
            ..limits
        };
        let for_health = |count: usize| Limits {
            all: number(count),
            peer: Some(HEALTH_PER_PEER),
            site: Some(HEALTH_PER_SITE),
            ..Limits::default()
        };
        let arriving = |limits: Limits| Limits {
            connection: Some(number(self.arriving_per_connection.max(1))),
            ..limits
        };
        match lane {
            Lane::Strangers => Limits { asker: part(self.strangers, ASKER_PART), ..by_peer(self.strangers) },
            Lane::Verified => by_subject(self.verified, by_peer(self.verified)),
            Lane::Health | Lane::Watches => for_health(HEALTH),
            Lane::ArrivingHealth => for_health(ARRIVING_HEALTH),
            // Its peers are the sidecars of a mesh, and each asks for all clients of its service.
            Lane::Check => by_subject(self.check, Limits::default()),
            Lane::Documents => by_peer(self.documents),
            Lane::ArrivingStrangers => arriving(by_peer(self.arriving_strangers)),
            Lane::ArrivingVerified => {
                arriving(by_subject(self.arriving_verified, by_peer(self.arriving_verified)))
            }
            Lane::ArrivingCheck => arriving(by_peer(self.arriving_check)),
            Lane::Verifying => by_peer(VERIFYING),
            // A client's are as many as its service has replicas: it is not bounded but by its peers.
            Lane::Watchers => by_peer(self.watchers),
            Lane::Streams => Limits { peer: part(self.streams, STREAMS_PEER_PART), ..by_peer(self.streams) },
            Lane::Bytes => by_peer(self.bytes),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::admission::{Resources, SetBounds};

    const KIB: usize = 1_024;

    fn bounds(memory_mib: u64, calls: Option<usize>) -> (Bounds, PoolBounds) {
        let second = Duration::from_secs(1);
        let call = CallBounds {
            message_bytes: 64 * KIB,
            receive_timeout: second,
            request_timeout: second,
            stream_age: second,
        };
        let memory_budget = memory_mib << 20;
        let resources = Resources {
            memory_budget,
            reserved_bytes: 0,
            open_files: None,
            listeners: 2,
            max_header_bytes: 16_384,
            max_message_bytes: 64 * KIB,
        };
        let all = Bounds::new(&resources, &SetBounds { max_in_flight_calls: calls, ..SetBounds::default() });
        let pool = PoolBounds::derived(&all, &call);
        (all, pool)
    }

    #[test]
    fn lanes_stand_at_their_numbers() {
        for (number, lane) in LANES.into_iter().enumerate() {
            assert_eq!(lane as usize, number, "{}", lane.name());
        }
    }

    #[test]
    fn the_lanes_have_the_shares_that_are_promised() {
        // So much memory that a listener has as many places as it may.
        let (_, bounds) = bounds(65_536, None);
        let verified = bounds.limits(Lane::Verified);
        assert_eq!((verified.all, verified.subject, verified.peer), (4_096, Some(256), Some(1_024)));
        assert_eq!(verified.new_accounts, Some(2_048));
        assert_eq!(bounds.limits(Lane::Health).peer, Some(2));
        assert_eq!(bounds.limits(Lane::Check).peer, None);
        assert_eq!(bounds.limits(Lane::Strangers).peer, Some(1_024));
    }

    #[test]
    fn the_smallest_pool_serves_everybody_and_takes_the_largest_message() {
        for calls in [1, 2, 7, 100, 1_000_000] {
            let (_, bounds) = bounds(256, Some(calls));
            for lane in LANES {
                let limits = bounds.limits(lane);
                let shares = [
                    limits.peer,
                    limits.site,
                    limits.asker,
                    limits.subject,
                    limits.new_accounts,
                    limits.connection,
                ];
                assert!(limits.all > 0 && shares.into_iter().flatten().all(|share| share > 0), "{lane:?}");
                assert!(limits.peer <= limits.site, "{lane:?} of {calls}");
            }
            let bytes = bounds.limits(Lane::Bytes).peer.unwrap();
            assert!(bytes >= 2 * 65_536, "{calls}: {bytes}");
        }
    }

    #[test]
    fn all_lanes_together_cost_no_more_than_the_listener_has() {
        for memory_mib in [128, 256, 512, 1_024, 16_384] {
            let (all, pool) = bounds(memory_mib, None);
            let in_flight = pool.strangers + pool.verified + pool.check + pool.documents;
            let arriving = pool.arriving_strangers + pool.arriving_verified + pool.arriving_check;
            let cost = 16 * KIB * in_flight + 8 * KIB * arriving + 32 * KIB * pool.streams + pool.bytes;
            let has = 16 * KIB * all.max_in_flight_calls + 8 * KIB * all.max_streams + all.max_pending_bytes;
            assert!(cost <= has, "{cost} > {has} at {memory_mib} MiB");
        }
    }
}
