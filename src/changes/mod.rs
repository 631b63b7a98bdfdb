//! Owns what has changed: reading the feed by which processes learn of each other's changes, the caches that live by it, and
//! the stream that other services follow.

mod feed;
mod negative_cache;
mod row_cache;
mod stream;
mod subscriber;
mod turns;
mod watermark;

pub use feed::Feed;
pub(crate) use negative_cache::NegativeCache;
pub(crate) use row_cache::{Fill, Known, RowCache};
pub use stream::{
    ChangesTold, Encode, EndedClient, EndedUser, Hub, Kind, Kinds, Part, StreamSettings, TakenScopes, Watch,
    WatchRequest,
};
pub use subscriber::Subscriber;
pub(crate) use turns::Turns;
pub use watermark::Watermark;
