//! Owns whether an open session of a user came from the address that a password is tried from.

use std::{net::IpAddr, time::Duration};

use quick_cache::sync::Cache;
use uuid::Uuid;

use crate::{
    base::Clock,
    model::{Error, Network, SessionLifetime, UserId},
    store::{FailureKey, Strangers},
};

/// For how long an answer is remembered: whoever guesses without a pause has the database asked once in this time.
const MAX_AGE: Duration = Duration::from_secs(5);

/// How many answers are remembered.
const CAPACITY: usize = 4_096;

/// Knows from where open sessions came.
#[derive(Debug)]
pub(super) struct FamiliarAddresses {
    strangers: Strangers,
    sessions: SessionLifetime,
    /// By account and site, whether or not the account exists; and when that was asked, on the monotonic clock.
    known: Cache<FailureKey, (bool, Duration)>,
    clock: Clock,
}

impl FamiliarAddresses {
    /// Knows the addresses of sessions that live for `sessions`.
    pub(super) fn new(strangers: Strangers, sessions: SessionLifetime, clock: Clock) -> Self {
        Self { strangers, sessions, known: Cache::new(CAPACITY), clock }
    }

    /// Whether an open session of `user`, if there is one, came from the site of `network`; `key` stands for the account and the site.
    ///
    /// # Errors
    /// [`Error::Overloaded`], [`Error::Unavailable`].
    pub(super) async fn has(
        &self,
        key: FailureKey,
        user: Option<UserId>,
        network: Option<Network>,
    ) -> Result<bool, Error> {
        let now = self.clock.monotonic();
        if let Some((is_familiar, asked)) = self.known.get(&key)
            && now.saturating_sub(asked) < MAX_AGE
        {
            return Ok(is_familiar);
        }
        // Asked of a user that does not exist, too: whether there is one must not be heard from how long this takes.
        let user = user.unwrap_or(UserId(Uuid::nil()));
        let found = self.strangers.session_addresses(user, self.sessions, self.clock.now()).await?;
        let site = network.map(Network::site);
        let mut sites = found.iter().filter_map(|address| address.parse::<IpAddr>().ok());
        let is_familiar = site.is_some_and(|site| sites.any(|address| Network::of(address).site() == site));
        self.known.insert(key, (is_familiar, now));
        Ok(is_familiar)
    }
}
