//! Owns what has changed: reading the feed by which processes learn of each other's changes, and the caches that live by it.

mod feed;
mod negative_cache;
mod row_cache;
mod subscriber;
mod turns;
mod watermark;

pub use feed::Feed;
pub(crate) use negative_cache::NegativeCache;
pub(crate) use row_cache::{Fill, Known, RowCache};
pub use subscriber::Subscriber;
pub(crate) use turns::Turns;
pub use watermark::Watermark;
