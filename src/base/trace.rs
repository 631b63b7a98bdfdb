//! Owns the trace of a request: whose it is, and the spans of what the request waited for.

use std::{
    borrow::Cow,
    fmt,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use super::{Clock, Entropy, Timestamp};

/// How many spans a trace has at most, that of the request among them.
const MAX_SPANS: usize = 64;

/// The id of a trace.
pub(crate) type TraceId = [u8; 16];

/// The id of a span.
pub(crate) type SpanId = [u8; 8];

/// The header by which a request tells its trace (W3C Trace Context).
pub(crate) const TRACEPARENT: &str = "traceparent";

/// What the header `traceparent` says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct TraceParent {
    pub(crate) trace_id: TraceId,
    pub(crate) span_id: SpanId,
    /// Whether its sender says that the trace is kept.
    pub(crate) is_sampled: bool,
}

/// The trace of one request. Clones are of the same.
#[derive(Clone)]
pub(crate) struct Trace(Arc<Shared>);

struct Shared {
    clock: Clock,
    entropy: Entropy,
    begun: Duration,
    begun_at: Timestamp,
    state: Mutex<State>,
}

struct State {
    trace_id: TraceId,
    /// Of the request's own span.
    span_id: SpanId,
    parent: Option<SpanId>,
    spans: Vec<Span>,
    /// How many spans found no room.
    left_out: u32,
    is_over: bool,
}

/// Whom a span is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum SpanKind {
    /// A request that was served.
    Server,
    /// A call of something else, as of the database.
    Client,
    /// What is done within.
    Internal,
}

/// The value of an attribute.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum AttributeValue {
    Text(Cow<'static, str>),
    Number(i64),
}

/// The attributes of a span. What clients send is never among them.
pub(crate) type Attributes = Vec<(&'static str, AttributeValue)>;

/// What happened in a span.
#[derive(Clone, Debug)]
pub(crate) struct Done {
    pub(crate) name: Cow<'static, str>,
    pub(crate) kind: SpanKind,
    pub(crate) is_error: bool,
    pub(crate) attributes: Attributes,
}

/// A span that has ended.
#[derive(Clone, Debug)]
pub(crate) struct Span {
    pub(crate) id: SpanId,
    pub(crate) begun_at: Timestamp,
    pub(crate) took: Duration,
    pub(crate) done: Done,
}

/// A trace that has ended: the request's own span is the first, and the parent of all others.
#[derive(Clone, Debug)]
pub(crate) struct FinishedTrace {
    pub(crate) id: TraceId,
    /// The span that has sent the request.
    pub(crate) parent: Option<SpanId>,
    pub(crate) spans: Vec<Span>,
    pub(crate) left_out: u32,
}

impl TraceParent {
    /// What `header` says; none if it cannot be read, which then counts as nothing said.
    pub(crate) fn parse(header: &[u8]) -> Option<Self> {
        let (known, rest) = header.split_at_checked(55)?;
        let version = hexadecimal::<1>(&known[..2])?[0];
        // A later version may have more behind a dash; the first has nothing.
        let is_whole = rest.is_empty() || (version > 0 && rest[0] == b'-');
        let are_dashes = [2, 35, 52].iter().all(|at| known[*at] == b'-');
        if version == u8::MAX || !is_whole || !are_dashes {
            return None;
        }
        let (trace_id, span_id) = (hexadecimal(&known[3..35])?, hexadecimal(&known[36..52])?);
        let is_sampled = hexadecimal::<1>(&known[53..])?[0] & 1 == 1;
        (trace_id != TraceId::default() && span_id != SpanId::default()).then_some(Self {
            trace_id,
            span_id,
            is_sampled,
        })
    }
}

/// What `text` says, which must have lower-case digits alone, two for each byte.
fn hexadecimal<const N: usize>(text: &[u8]) -> Option<[u8; N]> {
    let mut bytes = [0; N];
    let is_read = !text.iter().any(u8::is_ascii_uppercase) && hex::decode_to_slice(text, &mut bytes).is_ok();
    is_read.then_some(bytes)
}

impl Done {
    /// Something of the service itself, which `name` says.
    pub(crate) const fn internal(name: &'static str, is_error: bool) -> Self {
        let attributes = Vec::new();
        Self { name: Cow::Borrowed(name), kind: SpanKind::Internal, is_error, attributes }
    }
}

impl Trace {
    /// The trace of a request that begins now: that of its `parent`, or a new one.
    pub(crate) fn begin(parent: Option<TraceParent>, clock: Clock, entropy: Entropy) -> Self {
        let state = State {
            trace_id: parent.map_or_else(|| entropy.bytes(), |parent| parent.trace_id),
            span_id: entropy.bytes(),
            parent: parent.map(|parent| parent.span_id),
            spans: Vec::new(),
            left_out: 0,
            is_over: false,
        };
        let (begun, begun_at) = (clock.monotonic(), clock.now());
        Self(Arc::new(Shared { clock, entropy, begun, begun_at, state: Mutex::new(state) }))
    }

    /// The request turns out to be about another one, which `parent` is of: this is a part of that trace, unless it is one of another.
    pub(crate) fn join(&self, parent: TraceParent) {
        let mut state = self.state();
        if state.parent.is_none() {
            (state.trace_id, state.parent) = (parent.trace_id, Some(parent.span_id));
        }
    }

    /// What was `done` has ended now, and took so long.
    pub(crate) fn add(&self, took: Duration, done: Done) {
        self.add_before(Duration::ZERO, took, done);
    }

    /// The same, which had ended this time ago.
    pub(crate) fn add_before(&self, ago: Duration, took: Duration, done: Done) {
        let begun = self.0.clock.monotonic().saturating_sub(ago).saturating_sub(took);
        let begun_at = self.0.begun_at.after(begun.saturating_sub(self.0.begun));
        let mut state = self.state();
        if state.is_over {
            return;
        }
        if state.spans.len() + 1 < MAX_SPANS {
            let id = self.0.entropy.bytes();
            state.spans.push(Span { id, begun_at, took, done });
        } else {
            state.left_out = state.left_out.saturating_add(1);
        }
    }

    /// The request has ended now, which was `done`. None if it has ended before.
    pub(crate) fn finish(&self, done: Done) -> Option<FinishedTrace> {
        let took = self.0.clock.monotonic().saturating_sub(self.0.begun);
        let mut state = self.state();
        if std::mem::replace(&mut state.is_over, true) {
            return None;
        }
        let own = Span { id: state.span_id, begun_at: self.0.begun_at, took, done };
        let spans = std::iter::once(own).chain(std::mem::take(&mut state.spans)).collect();
        Some(FinishedTrace { id: state.trace_id, parent: state.parent, spans, left_out: state.left_out })
    }

    /// Its id, in hexadecimal.
    pub(crate) fn id(&self) -> String {
        hex::encode(self.state().trace_id)
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for Trace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Trace({})", self.id())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PARENT: &[u8] = b"00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";

    fn clock() -> Clock {
        Clock::manual(Timestamp::from_micros(1_000_000))
    }

    #[test]
    fn a_parent_is_read_as_the_standard_has_it_and_anything_else_is_nothing() {
        let parent = TraceParent::parse(PARENT).unwrap();
        assert_eq!((parent.trace_id[0], parent.span_id[7], parent.is_sampled), (0x0a, 0x31, true));
        let mut other = PARENT.to_vec();
        other[54] = b'2';
        assert!(!TraceParent::parse(&other).unwrap().is_sampled, "other flags are not this one");
        let later = [b"cc", &PARENT[2..], b"-more"].concat();
        assert_eq!(TraceParent::parse(&later), Some(parent), "a later version may say more");
        let zeros = |range: std::ops::Range<usize>| {
            let mut zeroed = PARENT.to_vec();
            zeroed[range].fill(b'0');
            zeroed
        };
        let with = |at: usize, byte: u8| {
            let mut changed = PARENT.to_vec();
            changed[at] = byte;
            changed
        };
        for bad in [
            b"".to_vec(),
            PARENT[..54].to_vec(),
            [PARENT, b"-more"].concat(),
            [b"cc", &PARENT[2..], b"more"].concat(),
            [b"ff", &PARENT[2..]].concat(),
            PARENT.to_ascii_uppercase(),
            zeros(3..35),
            zeros(36..52),
            with(2, b'_'),
            with(35, b'0'),
            with(52, b'0'),
            with(10, b'g'),
            with(40, 0xff),
        ] {
            assert_eq!(TraceParent::parse(&bad), None, "{:?}", String::from_utf8_lossy(&bad));
        }
    }

    #[test]
    fn spans_stand_where_they_were_and_find_no_room_beyond_the_bound() {
        let (clock, parent) = (clock(), TraceParent::parse(PARENT));
        let trace = Trace::begin(parent, clock.clone(), Entropy::seeded(1));
        clock.advance(Duration::from_millis(50));
        trace.add_before(Duration::from_millis(20), Duration::from_millis(10), Done::internal("wait", false));
        trace.add(Duration::from_millis(20), Done::internal("hash", true));
        for _ in 0..MAX_SPANS {
            trace.add(Duration::ZERO, Done::internal("statement", false));
        }
        let finished = trace.finish(Done::internal("request", false)).unwrap();
        assert!(trace.finish(Done::internal("request", false)).is_none(), "it ends once");
        let told: Vec<_> = finished
            .spans
            .iter()
            .take(3)
            .map(|span| (&*span.done.name, span.begun_at.as_micros(), span.took.as_millis()))
            .collect();
        assert_eq!(told, [("request", 1_000_000, 50), ("wait", 1_020_000, 10), ("hash", 1_030_000, 20)]);
        assert_eq!((finished.spans.len(), finished.left_out), (MAX_SPANS, 3));
        assert_eq!((finished.id, finished.parent), (parent.unwrap().trace_id, Some(parent.unwrap().span_id)));
        assert_eq!(trace.id(), "0af7651916cd43dd8448eb211c80319c");
    }

    #[test]
    fn a_request_about_another_is_a_part_of_its_trace_unless_it_is_one_of_its_own() {
        let parent = TraceParent::parse(PARENT).unwrap();
        let alone = Trace::begin(None, clock(), Entropy::seeded(1));
        assert_ne!(alone.id(), "0af7651916cd43dd8448eb211c80319c");
        alone.join(parent);
        assert_eq!(alone.id(), "0af7651916cd43dd8448eb211c80319c");
        let other = TraceParent { trace_id: [7; 16], ..parent };
        alone.join(other);
        assert_eq!(alone.id(), "0af7651916cd43dd8448eb211c80319c");
    }
}
