//! Owns what every room builds on and what is no value of the domain: time, randomness, counting, the arithmetic of bounds, and
//! whether gzip is taken.

pub mod clock;
mod entropy;
#[cfg(feature = "server")]
mod gzip;
#[cfg(feature = "server")]
mod per_second;
mod shares;
#[cfg(test)]
pub(crate) mod snapshot;
#[cfg(feature = "server")]
mod system_random;
mod tally;
mod throttle;
#[cfg(feature = "server")]
mod trace;

pub use clock::{Clock, Deadline, Timestamp};
pub use entropy::Entropy;
#[cfg(feature = "server")]
pub(crate) use gzip::{GZIP, takes_gzip};
#[cfg(feature = "server")]
pub(crate) use per_second::PerSecond;
pub(crate) use shares::Shares;
#[cfg(feature = "server")]
pub(crate) use system_random::fill_from_system;
pub use tally::Tally;
pub(crate) use throttle::Throttle;
#[cfg(feature = "server")]
pub(crate) use trace::{
    AttributeValue, Done, FinishedTrace, Span, SpanId, SpanKind, TRACEPARENT, Trace, TraceId, TraceParent,
};
