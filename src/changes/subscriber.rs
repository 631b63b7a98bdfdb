//! Owns what the feed asks of those who keep a copy of what other processes may change.

use futures_util::{FutureExt, future::BoxFuture};

use crate::{model::Error, store::Change};

/// Keeps a copy of something in the database, and hears from the feed when that was changed by another process.
///
/// The composition root lists all subscribers, and hands them to [`Feed::follow`](super::Feed::follow).
pub trait Subscriber: Send + Sync {
    /// Something was changed or has ended: [`Change::concerns`] tells whether that may be something which it keeps.
    fn hear(&self, change: &Change);

    /// Any row may have changed: changes were missed.
    fn forget_everything(&self);

    /// A page of the feed was read, be it of changes that were heard of before.
    fn read_on(&self) {}

    /// Reads anew at once what cannot wait for the next call that needs it. The feed counts as read once this has succeeded.
    ///
    /// # Errors
    /// [`Error::Unavailable`] or [`Error::Internal`]: it is tried again with the next reading of the feed.
    fn settle(&self) -> BoxFuture<'_, Result<(), Error>> {
        std::future::ready(Ok(())).boxed()
    }
}
