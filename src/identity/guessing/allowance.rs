//! Owns the rest of accounts' allowances of failed passwords, for administrators.

use super::{GuessSettings, account_key, accounts::Rule};
use crate::{
    base::{Clock, Timestamp},
    identity::NameKey,
    model::{Error, User, Username},
    store::{FailureKey, Store},
};

/// The allowances of accounts, as they stand in the database: what is being tried at this moment is not counted yet.
#[derive(Clone, Debug)]
pub struct AccountAllowances {
    pub(super) rule: Rule,
    pub(super) names: NameKey,
    pub(super) store: Store,
    pub(super) clock: Clock,
}

/// The rest of an account's allowance.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AllowanceLeft {
    /// How many passwords more may fail now.
    pub failures: u32,
    /// When all of it is there again, if nothing fails before; none if it is.
    pub full_time: Option<Timestamp>,
}

impl AccountAllowances {
    /// The allowances of the accounts in `store`, whose names are kept under `names`.
    #[must_use]
    pub const fn new(store: Store, settings: &GuessSettings, names: NameKey, clock: Clock) -> Self {
        let rule = Rule { at_once: settings.account_failures, interval: settings.account_interval };
        Self { rule, names, store, clock }
    }

    /// The rest of the allowance of each of `users`, in their order.
    ///
    /// # Errors
    /// [`Error::Unavailable`] or [`Error::Internal`], with the cause.
    pub async fn left(&self, users: &[&User]) -> Result<Vec<AllowanceLeft>, Error> {
        let keys: Vec<_> = users.iter().map(|user| self.key(&user.username)).collect();
        let full_times = self.store.account_full_times(&keys).await?;
        let now = self.clock.now();
        Ok(keys.iter().map(|key| self.rule.left(full_times.get(key).copied(), now)).collect())
    }

    /// The key under which the failures of the account `name` are stored.
    pub(in crate::identity) fn key(&self, name: &Username) -> FailureKey {
        account_key(&self.names, name.canonical())
    }
}

impl Rule {
    /// The rest at `now` of an allowance that is full at `full_time`.
    fn left(self, full_time: Option<Timestamp>, now: Timestamp) -> AllowanceLeft {
        let full_time = full_time.filter(|time| *time > now);
        let used = full_time
            .map_or(0, |time| time.since(now).as_micros().div_ceil(self.interval.as_micros().max(1)));
        let failures = self.at_once.saturating_sub(u32::try_from(used).unwrap_or(u32::MAX));
        AllowanceLeft { failures, full_time }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn each_failure_takes_one_until_its_time_has_passed() {
        let rule = Rule { at_once: 10, interval: Duration::from_secs(30) };
        let now = Timestamp::from_micros(1_795_435_200_000_000);
        let left = |ahead: u64| rule.left(Some(now.after(Duration::from_secs(ahead))), now).failures;
        assert_eq!([0, 1, 30, 31, 299, 300, 10_000].map(left), [10, 9, 9, 8, 0, 0, 0]);
        let full = AllowanceLeft { failures: 10, full_time: None };
        assert_eq!([None, Some(now)].map(|time| rule.left(time, now)), [full, full]);
    }
}
