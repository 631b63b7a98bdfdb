//! Owns deleting old changes from the feed.

use std::time::Duration;

use super::{AgreedTime, ClockCheck};
use crate::{changes::Feed, metrics::TimedWork, model::error};

/// How often old changes are deleted.
const INTERVAL: Duration = Duration::from_mins(1);

/// Deletes old changes from `feed`, again and again, until it is dropped.
pub async fn prune(feed: &Feed, clocks: &ClockCheck) {
    loop {
        clocks.wait(INTERVAL).await;
        let pruning = async {
            match clocks.agreed_time(TimedWork::Changes).await? {
                AgreedTime::Now(now) => feed.delete_old(now).await,
                AgreedTime::Apart(_) => Ok(()),
            }
        };
        if let Err(error) = pruning.await {
            tracing::warn!(error = %error::chain(&error), "old changes stay in the feed for now");
        }
    }
}
