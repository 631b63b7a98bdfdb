//! Owns what the stream needs to know of tokens, and the times that follow from it.

use std::time::Duration;

use crate::{base::Timestamp, model::NameSet};

/// What the stream needs to know of tokens.
#[derive(Clone, Debug)]
pub struct StreamSettings {
    /// The names of the service's own audience.
    pub own: NameSet,
    /// How long an access token lives.
    pub token_life: Duration,
    /// How far the clocks of replicas may be apart.
    pub leeway: Duration,
    /// How long a replica may go by roles that were changed.
    pub cache_max_age: Duration,
}

impl StreamSettings {
    /// Up to when tokens may have been issued by what a change at `time` has ended.
    #[must_use]
    pub fn until(&self, time: Timestamp) -> Timestamp {
        time.after(self.leeway + self.cache_max_age)
    }

    /// For how long after a change a token may live that was issued before.
    #[must_use]
    pub fn keep_for(&self) -> Duration {
        self.token_life + self.cache_max_age + self.leeway * 2
    }
}
