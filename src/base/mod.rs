//! Owns what every room builds on and what is no value of the domain: time, counting, and the arithmetic of bounds.

pub mod clock;
mod shares;
mod tally;
mod throttle;

pub use clock::{Clock, Deadline, Timestamp};
pub(crate) use shares::Shares;
pub use tally::Tally;
pub(crate) use throttle::Throttle;
