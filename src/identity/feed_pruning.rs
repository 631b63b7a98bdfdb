//! Owns deleting changes from the feed once every process has read them.

use std::time::Duration;

use super::{AgreedTime, ClockCheck};
use crate::{changes::Feed, metrics::TimedWork, model::error};

/// How often changes that every process has read are deleted.
const INTERVAL: Duration = Duration::from_mins(1);

/// Deletes from `feed` what every process has read, again and again, until it is dropped.
pub async fn prune(feed: &Feed, clocks: &ClockCheck) {
    loop {
        clocks.wait(INTERVAL).await;
        let pruning = async {
            match clocks.agreed_time(TimedWork::Changes).await? {
                AgreedTime::Now(now) => feed.delete_read(now).await,
                AgreedTime::Apart(_) => Ok(()),
            }
        };
        if let Err(error) = pruning.await {
            tracing::warn!(error = %error::chain(&error), "changes that everybody has read stay for now");
        }
    }
}
