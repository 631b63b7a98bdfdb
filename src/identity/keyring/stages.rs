//! Owns the stages of a key's life, which follow from its stored times, and how long others may cache the keys.

use std::{fmt, time::Duration};

use crate::{base::Timestamp, model::SigningAlg, store::StoredKey};

/// The longest that verifiers are told to keep the key set, so that a revoked key is out everywhere soon.
const MAX_CACHE_AGE: Duration = Duration::from_mins(5);

/// The settings of a service's signing keys.
#[derive(Clone, Debug)]
pub struct KeySettings {
    /// The algorithm of new keys.
    pub alg: SigningAlg,
    /// How long a key signs.
    pub rotation_interval: Duration,
    /// For how long a key is published before it signs.
    pub publish_ahead: Duration,
    /// For how long a key is kept after another has begun to sign: as long as a token that it signed may be accepted.
    pub retention: Duration,
    /// How long a change by another process may stay unseen.
    pub max_age: Duration,
    /// How far the clocks of replicas may be apart.
    pub leeway: Duration,
}

impl KeySettings {
    /// For how long a verifier may keep the key set (`Cache-Control: max-age`): a key must be in every set that is still kept when
    /// it begins to sign. Between its publication and that moment lies `publish_ahead`, of which other replicas may take `max_age`
    /// to learn of it, and their clocks be `leeway` fast; of the rest no more than half of `publish_ahead` is given away, and no
    /// more than 5 minutes.
    #[must_use]
    pub fn cache_age(&self) -> Duration {
        let certain = self.publish_ahead.saturating_sub(self.max_age).saturating_sub(self.leeway);
        certain.min(self.publish_ahead / 2).min(MAX_CACHE_AGE)
    }

    /// From when the key after `newest` should sign, if it is time to publish it: a key signs for `rotation_interval`, but none
    /// signs before it has been published for `publish_ahead`.
    pub(super) fn next_sign_time(&self, newest: &StoredKey, now: Timestamp) -> Option<Timestamp> {
        let planned = newest.sign_time.after(self.rotation_interval);
        let earliest = now.after(self.publish_ahead);
        (planned <= earliest).then_some(earliest)
    }
}

/// The stage of a key at a moment. A key verifies in every stage but the last.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stage {
    /// It is shown to verifiers, and does not sign yet.
    Published,
    /// New tokens are signed with it.
    Signing,
    /// Another signs. Tokens that it signed are still accepted.
    VerifyOnly,
    /// No token that it signed is accepted any more: it is about to be deleted.
    Gone,
}

impl fmt::Display for Stage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Published => "published",
            Self::Signing => "signing",
            Self::VerifyOnly => "verify-only",
            Self::Gone => "gone",
        })
    }
}

/// A key at a moment of its life.
#[derive(Clone, Copy, Debug)]
pub struct StagedKey<'a> {
    /// The key.
    pub key: &'a StoredKey,
    /// Its stage.
    pub stage: Stage,
    /// When another begins to sign; none as long as there is no other.
    pub retire_time: Option<Timestamp>,
    /// When the last token that it may have signed is accepted no more.
    pub expire_time: Option<Timestamp>,
}

/// The stages at `now` of `keys`, which stand in the order in which they sign.
#[must_use]
pub fn staged(keys: &[StoredKey], now: Timestamp) -> Vec<StagedKey<'_>> {
    let signing = signing(keys.iter().map(|key| key.sign_time), now);
    let stage = |(index, key): (usize, _)| {
        let key: &StoredKey = key;
        // Nothing is written when a key retires: it follows from its successor, and should that be revoked, from the next one.
        let retire_time = keys.get(index + 1).map(|next| next.sign_time);
        let expire_time = retire_time.map(|time| time.after(key.retention));
        let stage = match Some(index).cmp(&signing) {
            std::cmp::Ordering::Greater => Stage::Published,
            std::cmp::Ordering::Equal => Stage::Signing,
            std::cmp::Ordering::Less if expire_time.is_some_and(|time| time <= now) => Stage::Gone,
            std::cmp::Ordering::Less => Stage::VerifyOnly,
        };
        StagedKey { key, stage, retire_time, expire_time }
    };
    keys.iter().enumerate().map(stage).collect()
}

/// Which of the keys, by the times from which they sign, signs at `now`: the newest whose time has come. If it has come for none,
/// because this clock is behind the one of whoever made the first, that first one.
pub(super) fn signing(sign_times: impl ExactSizeIterator<Item = Timestamp>, now: Timestamp) -> Option<usize> {
    let count = sign_times.len();
    let come = sign_times.take_while(|time| *time <= now).count();
    (count > 0).then(|| come.saturating_sub(1))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::model::KeyId;

    fn key(sign_time: i64, retention: u64) -> StoredKey {
        StoredKey {
            kid: KeyId(sign_time.to_string()),
            alg: "ES256".to_owned(),
            sealed_private_key: Vec::new(),
            create_time: Timestamp::from_micros(0),
            sign_time: Timestamp::from_micros(sign_time),
            retention: Duration::from_micros(retention),
        }
    }

    fn settings(publish_ahead: u64, max_age: u64, leeway: u64) -> KeySettings {
        KeySettings {
            alg: SigningAlg::Es256,
            rotation_interval: Duration::from_hours(24),
            publish_ahead: Duration::from_secs(publish_ahead),
            retention: Duration::ZERO,
            max_age: Duration::from_secs(max_age),
            leeway: Duration::from_secs(leeway),
        }
    }

    fn stages(keys: &[StoredKey], now: i64) -> Vec<Stage> {
        staged(keys, Timestamp::from_micros(now)).iter().map(|key| key.stage).collect()
    }

    #[test]
    fn a_key_goes_through_its_stages_as_time_passes() {
        use Stage::{Gone, Published, Signing, VerifyOnly};
        let keys = [key(0, 15), key(100, 15)];
        for (now, expected) in [
            (-1, [Signing, Published]),
            (0, [Signing, Published]),
            (99, [Signing, Published]),
            (100, [VerifyOnly, Signing]),
            (114, [VerifyOnly, Signing]),
            (115, [Gone, Signing]),
        ] {
            assert_eq!(stages(&keys, now), expected, "{now}");
        }
        assert!(stages(&[], 0).is_empty());
    }

    #[test]
    fn verifiers_keep_the_keys_no_longer_than_the_rotation_allows() {
        for (publish_ahead, max_age, leeway, expected) in [
            (3_600, 1, 5, 300),
            (600, 1, 5, 300),
            (60, 1, 5, 30),
            (10, 1, 5, 4),
            (6, 1, 5, 0),
            (0, 60, 300, 0),
        ] {
            let age = settings(publish_ahead, max_age, leeway).cache_age();
            assert_eq!(age, Duration::from_secs(expected), "{publish_ahead} {max_age} {leeway}");
        }
    }

    proptest! {
        #[test]
        fn at_every_moment_one_key_signs_and_no_key_goes_before_its_time(
            mut times in proptest::collection::vec((0_i64..1_000, 0_u64..300), 1..6),
            now in -10_i64..1_500,
        ) {
            times.sort_unstable();
            let keys: Vec<_> = times.iter().map(|(time, retention)| key(*time, *retention)).collect();
            let staged = staged(&keys, Timestamp::from_micros(now));
            let signing: Vec<_> = staged.iter().filter(|key| key.stage == Stage::Signing).collect();
            prop_assert_eq!(signing.len(), 1);
            for key in staged.iter().filter(|key| key.stage == Stage::Gone) {
                let retired = key.retire_time.unwrap();
                prop_assert!(retired.after(key.key.retention) <= Timestamp::from_micros(now));
            }
        }

        #[test]
        fn a_verifier_that_keeps_the_keys_as_long_as_it_may_has_each_before_it_signs(
            publish_ahead in 0_u64..10_000, max_age in 0_u64..60, leeway in 0_u64..300,
        ) {
            let settings = settings(publish_ahead, max_age, leeway);
            let kept = settings.cache_age() + settings.max_age + settings.leeway;
            prop_assert!(kept <= settings.publish_ahead || settings.cache_age().is_zero());
        }
    }
}
