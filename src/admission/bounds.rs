//! Owns how many connections, calls, streams and bytes fit into the memory that the process may take, and the files that it may open.
//!
//! docs/OPERATIONS.md has the same formula for the operator.

use super::lanes::{HEALTH_BYTES, least_bytes};

/// What one connection takes: 21 KB when it is idle. The head of a request that is being read comes on top.
const CONNECTION_BYTES: u64 = 24 * KIB;

/// How far beyond their limit headers are still read, as a multiple of it: what hyper itself refuses, it refuses by a bare
/// status that clients can make little of, so the layers above must get to see it first.
pub(crate) const READ_HEADERS_FACTOR: u32 = 4;

/// What one call takes beside its bytes: its stream, its headers, and the state of its handler.
const CALL_BYTES: u64 = 16 * KIB;

/// What one stream takes that is no call yet, or a call that lasts, beside its bytes: 13 KB.
const STREAM_BYTES: u64 = 16 * KIB;

/// What the process takes before anybody connects, without hash threads, caches and connections to the database.
const BASE_BYTES: u64 = 24 * MIB;

/// How many parts the rest of the budget is divided into. Two of them are not given away: allocators keep more than they give.
const PARTS: u64 = 16;
const CONNECTION_PARTS: u64 = 6;
const BYTE_PARTS: u64 = 4;
const CALL_PARTS: u64 = 2;
const STREAM_PARTS: u64 = 2;

/// What one stream of what has changed takes, beside the messages, which all share: its state, and what its connection has yet to send.
const WATCHER_BYTES: u64 = 16 * KIB;

/// One part in so many of the streams of a listener are set apart for those who follow what changes, and some at least.
const WATCHER_PART: u64 = 8;
const FEWEST_WATCHERS: u64 = 64;

/// One part in so many of the memory, less this, is for what the stream of what has changed remembers, within these bounds: a small
/// container gives it little, and the most of it holds more than a snapshot may have. As much may wait to be told, and twice as much be
/// unread of what those are told first who begin; to make that, or the log smaller, takes four times as much.
const STREAM_LOG_PART: u64 = 64;
const STREAM_LOG_LESS: u64 = 3 * MIB;
const STREAM_LOG: (u64, u64) = (MIB, 32 * MIB);
const STREAM_LOG_COPIES: u64 = 8;

/// The largest bounds of a listener, however much memory there is: more would only hide that replicas are missing.
const MOST: Share = Share { connections: 8_192, calls: 4_096, streams: 65_536, bytes: 256 * MIB };

/// The smallest bounds of a listener, however little memory there is: with less the service is of no use.
const FEWEST: Share = Share { connections: 64, calls: 64, streams: 256, bytes: MIB };

/// One peer may have one part in [`PEERS`] of a listener's connections, and at least [`FEWEST_PER_PEER`].
const PEERS: usize = 4;
const FEWEST_PER_PEER: usize = 16;

/// One connection may have one part in [`CONNECTIONS_TO_FILL`] of a listener's streams, within [`FEWEST_STREAMS`] and [`MOST_STREAMS`].
const CONNECTIONS_TO_FILL: u64 = 4;
const FEWEST_STREAMS: u64 = 16;
const MOST_STREAMS: u64 = 256;

const KIB: u64 = 1_024;
const MIB: u64 = 1_024 * KIB;

/// The resources that bounds are derived from.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Resources {
    /// The bytes of memory that the process may take.
    pub(crate) memory_budget: u64,
    /// What hash threads, caches and the database take of them.
    pub(crate) reserved_bytes: u64,
    /// The headers that a request may have.
    pub(crate) max_header_bytes: u32,
    /// The largest message.
    pub(crate) max_message_bytes: usize,
    /// How many files may be open for connections; none: as many as are wanted.
    pub(crate) open_files: Option<u64>,
    /// How many listeners share all of that.
    pub(crate) listeners: u64,
}

/// The bounds that the operator has set: they hold, whatever follows from the resources.
#[derive(Clone, Copy, Debug, Default)]
#[expect(clippy::struct_field_names, reason = "they are named as the settings are")]
pub(crate) struct SetBounds {
    pub(crate) max_connections: Option<usize>,
    pub(crate) max_connections_per_peer: Option<usize>,
    pub(crate) max_concurrent_streams: Option<u32>,
    pub(crate) max_in_flight_calls: Option<usize>,
    pub(crate) max_watchers: Option<usize>,
}

/// What is bounded, in plain numbers. Each listener has its own: what one of them is full of takes nothing from the others.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Bounds {
    /// The bytes of memory that the process may take.
    pub(crate) memory_budget: u64,
    /// The bytes that everything comes to if each bound is reached.
    pub(crate) needed_bytes: u64,
    /// The connections of one listener.
    pub(crate) max_connections: usize,
    /// Of these the connections of one peer: [`crate::model::Network`].
    pub(crate) max_connections_per_peer: usize,
    /// Of these the connections of one site: [`crate::model::Network::site`].
    pub(crate) max_connections_per_site: usize,
    /// The streams of one connection.
    pub(crate) max_concurrent_streams: u32,
    /// The calls in flight of one listener.
    pub(crate) max_in_flight_calls: usize,
    /// The streams of one listener that are no calls yet, or last longer than a call.
    pub(crate) max_streams: usize,
    /// The streams of what has changed, which are at one listener alone.
    pub(crate) max_watchers: usize,
    /// What the stream of what has changed may remember, in bytes.
    pub(crate) stream_log_bytes: usize,
    /// The bytes of one listener that have arrived of requests, their headers among them, or are not sent yet of answers.
    pub(crate) max_pending_bytes: usize,
}

/// What one listener gets.
#[derive(Clone, Copy)]
struct Share {
    connections: u64,
    calls: u64,
    streams: u64,
    bytes: u64,
}

impl Bounds {
    /// The bounds that follow from `resources`, but for those that are `set`.
    pub(crate) fn new(resources: &Resources, set: &SetBounds) -> Self {
        let Resources {
            memory_budget,
            reserved_bytes,
            max_header_bytes,
            max_message_bytes,
            open_files,
            listeners,
        } = *resources;
        let listeners = listeners.max(1);
        let connection = CONNECTION_BYTES + u64::from(max_header_bytes) * u64::from(READ_HEADERS_FACTOR);
        let stream_log = memory_budget / STREAM_LOG_PART;
        let stream_log = stream_log.saturating_sub(STREAM_LOG_LESS).clamp(STREAM_LOG.0, STREAM_LOG.1);
        let set_watchers = set.max_watchers.map_or(0, wide).saturating_mul(WATCHER_BYTES);
        let fixed = reserved_bytes.saturating_add(BASE_BYTES + STREAM_LOG_COPIES * stream_log);
        let fixed = fixed.saturating_add(set_watchers);
        let left = (memory_budget.saturating_sub(fixed) / listeners).saturating_sub(HEALTH_BYTES);
        // However little there is, each peer can send messages of the size that the operator has set.
        let least_bytes = wide(least_bytes(max_message_bytes));
        let part = (left / PARTS).min(left.saturating_sub(least_bytes) / (PARTS - BYTE_PARTS));
        let fits = |parts: u64, cost: u64, fewest: u64, most: u64| (part * parts / cost).clamp(fewest, most);
        let derived = Share {
            connections: fits(CONNECTION_PARTS, connection, FEWEST.connections, MOST.connections),
            calls: fits(CALL_PARTS, CALL_BYTES, FEWEST.calls, MOST.calls),
            streams: fits(STREAM_PARTS, STREAM_BYTES, FEWEST.streams, MOST.streams),
            bytes: fits(BYTE_PARTS, 1, FEWEST.bytes, MOST.bytes).max(least_bytes),
        };
        let files = open_files.map_or(u64::MAX, |files| (files / listeners).max(1));
        let share = Share {
            connections: set.max_connections.map_or(derived.connections, wide).min(files),
            calls: set.max_in_flight_calls.map_or(derived.calls, wide),
            ..derived
        };
        let derived_watchers = (share.streams / WATCHER_PART).max(FEWEST_WATCHERS);
        let (watchers, watcher_bytes) = match set.max_watchers {
            // Theirs is taken from what is left to the others.
            Some(set) => (wide(set), 0),
            None => (derived_watchers, derived_watchers.saturating_mul(WATCHER_BYTES)),
        };
        let max_connections = narrow(share.connections);
        let per_peer =
            set.max_connections_per_peer.unwrap_or_else(|| (max_connections / PEERS).max(FEWEST_PER_PEER));
        let streams = (share.streams / CONNECTIONS_TO_FILL).clamp(FEWEST_STREAMS, MOST_STREAMS);
        Self {
            memory_budget,
            needed_bytes: fixed
                .saturating_add(share.bytes_needed(connection).saturating_mul(listeners))
                .saturating_add(watcher_bytes),
            max_connections,
            max_connections_per_peer: per_peer.min(max_connections),
            max_connections_per_site: per_peer.saturating_mul(2).min(max_connections),
            max_concurrent_streams: set
                .max_concurrent_streams
                .unwrap_or_else(|| u32::try_from(streams).unwrap_or(u32::MAX)),
            max_in_flight_calls: narrow(share.calls),
            max_streams: narrow(share.streams),
            max_watchers: narrow(watchers),
            stream_log_bytes: narrow(stream_log),
            max_pending_bytes: narrow(share.bytes),
        }
    }

    /// Whether the bounds do not fit into the memory.
    pub(crate) const fn exceed_budget(&self) -> bool {
        self.needed_bytes > self.memory_budget
    }
}

impl Share {
    /// What all of it takes, with what health has besides, if a connection takes `connection_bytes`.
    const fn bytes_needed(self, connection_bytes: u64) -> u64 {
        let connections = self.connections.saturating_mul(connection_bytes);
        let calls = self.calls.saturating_mul(CALL_BYTES);
        let streams = self.streams.saturating_mul(STREAM_BYTES);
        let health = HEALTH_BYTES;
        connections
            .saturating_add(calls)
            .saturating_add(streams)
            .saturating_add(self.bytes)
            .saturating_add(health)
    }
}

fn wide(count: usize) -> u64 {
    u64::try_from(count).unwrap_or(u64::MAX)
}

fn narrow(count: u64) -> usize {
    usize::try_from(count).unwrap_or(usize::MAX)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const LISTENERS: u64 = 3;

    const MAX_HEADER_BYTES: u32 = 16_384;

    /// What a connection takes then.
    const CONNECTION: u64 = 88 * KIB;

    fn resources(memory_budget: u64) -> Resources {
        Resources {
            memory_budget,
            reserved_bytes: 64 * MIB,
            max_header_bytes: MAX_HEADER_BYTES,
            max_message_bytes: 64 << 10,
            open_files: None,
            listeners: LISTENERS,
        }
    }

    fn derived(memory_budget: u64) -> Bounds {
        Bounds::new(&resources(memory_budget), &SetBounds::default())
    }

    /// The least budget that the fewest of everything fit into.
    fn least() -> u64 {
        let watching = FEWEST_WATCHERS * WATCHER_BYTES + STREAM_LOG_COPIES * STREAM_LOG.0;
        64 * MIB + BASE_BYTES + LISTENERS * FEWEST.bytes_needed(CONNECTION) + watching
    }

    #[test]
    fn a_small_container_and_a_large_machine_get_what_the_documents_say() {
        let bounds = derived(256 * MIB);
        assert_eq!((bounds.max_connections, bounds.max_connections_per_peer), (193, 48));
        assert_eq!((bounds.max_in_flight_calls, bounds.max_streams), (354, 354));
        assert_eq!((bounds.max_pending_bytes, bounds.max_concurrent_streams), (11_621_716, 88));
        let bounds = derived(4_096 * MIB);
        assert_eq!((bounds.max_connections, bounds.max_connections_per_peer), (5_418, 1_354));
        assert_eq!((bounds.max_in_flight_calls, bounds.max_streams), (4_096, 9_933));
        assert_eq!((bounds.max_pending_bytes, bounds.max_concurrent_streams), (256 << 20, 256));
    }

    #[test]
    fn set_bounds_hold_and_the_sum_tells_that_they_do_not_fit() {
        let set = SetBounds {
            max_connections: Some(100_000),
            max_connections_per_peer: Some(7),
            max_concurrent_streams: Some(3),
            max_in_flight_calls: Some(5),
            max_watchers: None,
        };
        let bounds = Bounds::new(&resources(256 * MIB), &set);
        assert_eq!((bounds.max_connections, bounds.max_connections_per_peer), (100_000, 7));
        assert_eq!(bounds.max_connections_per_site, 14);
        assert_eq!((bounds.max_concurrent_streams, bounds.max_in_flight_calls), (3, 5));
        assert!(bounds.exceed_budget() && bounds.needed_bytes > 100_000 * CONNECTION * LISTENERS);
    }

    #[test]
    fn room_for_large_messages_is_in_the_sum() {
        for (mib, exceeds) in [(1_024, false), (256, true)] {
            let large = Resources { max_message_bytes: 16 << 20, ..resources(mib * MIB) };
            let bounds = Bounds::new(&large, &SetBounds::default());
            // Two from each of four peers.
            assert_eq!(bounds.max_pending_bytes, 128 << 20);
            assert_eq!(bounds.exceed_budget(), exceeds, "{bounds:?}");
            assert!(bounds.needed_bytes > 3 * 128 * MIB);
        }
    }

    #[test]
    fn files_bound_connections_alone_and_set_ones_too() {
        let set = SetBounds { max_connections: Some(1_000), ..SetBounds::default() };
        for set in [SetBounds::default(), set] {
            let few = Resources { open_files: Some(150), ..resources(1_024 * MIB) };
            let bounds = Bounds::new(&few, &set);
            assert_eq!((bounds.max_connections, bounds.max_connections_per_peer), (50, 16));
            let all = Bounds::new(&resources(1_024 * MIB), &set);
            assert_eq!(bounds.max_in_flight_calls, all.max_in_flight_calls);
        }
    }

    proptest! {
        #[test]
        fn what_is_derived_fits_into_the_budget(budget in 0_u64..1 << 44) {
            let bounds = derived(budget);
            prop_assert_eq!(bounds.exceed_budget(), budget < least(), "{:?}", bounds);
        }

        #[test]
        fn more_memory_never_gives_less(budget in 0_u64..1 << 36, more in 0_u64..1 << 36) {
            let (small, large) = (derived(budget), derived(budget + more));
            prop_assert!(small.max_connections <= large.max_connections);
            prop_assert!(small.max_connections_per_peer <= large.max_connections_per_peer);
            prop_assert!(small.max_connections_per_site <= large.max_connections_per_site);
            prop_assert!(small.max_concurrent_streams <= large.max_concurrent_streams);
            prop_assert!(small.max_in_flight_calls <= large.max_in_flight_calls);
            prop_assert!(small.max_streams <= large.max_streams);
            prop_assert!(small.max_pending_bytes <= large.max_pending_bytes);
        }

        #[test]
        fn a_peer_never_has_more_than_there_is(
            budget in 0_u64..1 << 40,
            files in 0_u64..1 << 20,
            set in proptest::option::of(0_usize..1 << 20),
        ) {
            let resources = Resources { open_files: Some(files), ..resources(budget) };
            let set = SetBounds { max_connections_per_peer: set, ..SetBounds::default() };
            let bounds = Bounds::new(&resources, &set);
            prop_assert!(bounds.max_connections >= 1);
            prop_assert!(bounds.max_connections_per_peer <= bounds.max_connections_per_site);
            prop_assert!(bounds.max_connections_per_site <= bounds.max_connections);
        }
    }
}
