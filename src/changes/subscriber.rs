//! Owns what the feed asks of those who keep a copy of what other processes may change.

use futures_util::{FutureExt, future::BoxFuture};
use uuid::Uuid;

use crate::{
    model::Error,
    store::{Change, ChangeKind},
};

/// Keeps a copy of something in the database, and hears from the feed when that was changed by another process.
///
/// The composition root lists all subscribers, and hands them to [`Feed::follow`](super::Feed::follow).
pub trait Subscriber: Send + Sync {
    /// The kind of changes that it must hear of.
    fn kind(&self) -> ChangeKind;

    /// Whether an earlier release knew of that kind, which told of changes without their kind.
    fn hears_unnamed(&self) -> bool {
        true
    }

    /// Something has changed. Those hear of it who keep things of its kind; everybody if its kind is not known.
    fn hear(&self, change: &Change) {
        let concerns = match change.kind {
            Some(kind) => kind == self.kind(),
            None => !change.is_unnamed || self.hears_unnamed(),
        };
        if concerns {
            self.forget_changed(change.subject);
        }
    }

    /// The row `id` was changed or ended. If the release before told of it, it may be a row of another kind.
    fn forget_changed(&self, id: Uuid);

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
