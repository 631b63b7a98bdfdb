//! Owns what admission asks about a token: whether it is genuine, and whose it is.

use std::time::Duration;

use uuid::Uuid;

use crate::{
    auth::{Authenticator, Keys, Standing, VerifiedToken},
    base::Timestamp,
    model::Subject,
};

/// How old an account must be to count as one that somebody uses: whoever signs up many must wait that long.
const NEW_ACCOUNT_AGE: Duration = Duration::from_hours(24);

/// Tells tokens that are genuine from those that are made up. Nobody is let in by that, so it goes by the keys that were last known: who
/// waits for a place waits for no database.
pub(crate) trait Recognise: Send + Sync + 'static {
    /// `token`, if it has been verified before, which costs next to nothing.
    fn remembered(&self, token: &str) -> Option<VerifiedToken>;

    /// `token`, if its signature verifies.
    fn verified(&self, token: &str) -> Option<VerifiedToken>;
}

/// Believes no token.
#[cfg(test)]
pub(crate) struct Nobody;

#[cfg(test)]
impl Recognise for Nobody {
    fn remembered(&self, _: &str) -> Option<VerifiedToken> {
        None
    }

    fn verified(&self, _: &str) -> Option<VerifiedToken> {
        None
    }
}

impl<K: Keys, S: Standing> Recognise for Authenticator<K, S> {
    fn remembered(&self, token: &str) -> Option<VerifiedToken> {
        Self::remembered(self, token)
    }

    fn verified(&self, token: &str) -> Option<VerifiedToken> {
        self.verify_at_once(token)
    }
}

/// The user or client that a token counts for.
pub(super) struct NamedSubject {
    pub(super) id: Uuid,
    /// Whether it is a user whose account is new.
    pub(super) is_new: bool,
}

/// Whom `subject` counts for at `now`.
pub(super) fn named(subject: Subject, now: Timestamp) -> NamedSubject {
    match subject {
        Subject::User(user, _) => NamedSubject { id: user.0, is_new: is_new(user.0, now) },
        Subject::Client(client) => NamedSubject { id: client.0, is_new: false },
    }
}

/// Whether the time in a UUIDv7 is less than a day ago. Ids of other versions were imported, so their accounts are old.
fn is_new(id: Uuid, now: Timestamp) -> bool {
    let Some((seconds, _)) =
        id.get_timestamp().filter(|_| id.get_version_num() == 7).map(|time| time.to_unix())
    else {
        return false;
    };
    let created = i64::try_from(seconds).unwrap_or(i64::MAX);
    created > now.before(NEW_ACCOUNT_AGE).as_secs()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_account_is_new_for_a_day_by_the_time_in_its_id() {
        let created = Timestamp::from_micros(1_795_435_200_000_000);
        let millis = created.as_millis();
        let id = uuid::Builder::from_unix_timestamp_millis(millis, &[7; 10]).into_uuid();
        let after = |hours| created.after(Duration::from_hours(hours));
        assert!(is_new(id, created) && is_new(id, after(23)));
        assert!(!is_new(id, after(24)) && !is_new(id, after(1_000)));
        // A clock that is behind the one that made the account.
        assert!(is_new(id, created.before(Duration::from_hours(1))));
        let imported = Uuid::from_u128(0x1234_5678_1234_4234_9234_1234_5678_1234);
        assert_eq!(imported.get_version_num(), 4);
        assert!(!is_new(imported, created));
    }
}
