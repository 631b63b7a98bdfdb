//! Owns what was told of revocations, and which tokens are revoked by it (docs/EVENTS.md, "Which tokens are revoked").

use std::{collections::HashMap, hash::Hash, time::Duration};

use prost_types::Timestamp;
use signet::{
    auth::Claims,
    proto::identity::events::v1::{Changes, Snapshot, TakenScopes},
};
use uuid::Uuid;

/// How long what was told is kept before the stream says for how long: longer than any token lives.
const FIRST_KEEP_FOR: Duration = Duration::from_hours(24);

/// How much is remembered: a snapshot has fewer than half of that.
const MAX_ENTRIES: usize = 1_000_000;

/// How often what has been kept for long enough is looked for.
const CLEANING_INTERVAL: Duration = Duration::from_mins(1);

/// A moment as the stream tells it: seconds, and nanoseconds beyond.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
struct Moment(i64, i32);

/// Tokens that were issued at `until` or before are revoked. `at` is when that was told, on the monotonic clock.
#[derive(Clone, Copy, Debug)]
struct Ended {
    until: Moment,
    at: Duration,
}

/// Whose tokens have lost a scope, each with the clients that are meant: none stands for all.
type Takers = HashMap<Option<Uuid>, HashMap<Option<String>, Ended>>;

/// Everything that was told and still counts.
#[derive(Debug)]
pub(super) struct Revoked {
    sessions: HashMap<Uuid, Ended>,
    users: HashMap<Uuid, Ended>,
    clients: HashMap<String, Ended>,
    /// By audience and scope.
    scopes: HashMap<String, HashMap<String, Takers>>,
    not_before: Moment,
    keep_for: Duration,
    cleaned: Duration,
    /// How much is remembered, and how much may be.
    entries: usize,
    max_entries: usize,
}

impl Default for Revoked {
    fn default() -> Self {
        Self {
            sessions: HashMap::new(),
            users: HashMap::new(),
            clients: HashMap::new(),
            scopes: HashMap::new(),
            not_before: Moment(i64::MIN, 0),
            keep_for: FIRST_KEEP_FOR,
            cleaned: Duration::ZERO,
            entries: 0,
            max_entries: MAX_ENTRIES,
        }
    }
}

impl Revoked {
    /// Takes in a part of a snapshot, at `now` on the monotonic clock.
    pub(super) fn take_snapshot(&mut self, snapshot: Snapshot, now: Duration) {
        let keep_for = snapshot.keep_for.and_then(|keep_for| Duration::try_from(keep_for).ok());
        self.keep_for = keep_for.filter(|keep_for| !keep_for.is_zero()).unwrap_or(self.keep_for);
        if let Some(time) = snapshot.tokens_not_before {
            self.not_before = self.not_before.max(Moment::of(Some(time)));
        }
        self.take(snapshot.changes.unwrap_or_default(), now);
    }

    /// Takes in `changes`, at `now` on the monotonic clock.
    pub(super) fn take(&mut self, changes: Changes, now: Duration) {
        // Of an id that is none there are no tokens.
        for session in changes.ended_sessions.iter().filter_map(|id| Uuid::try_parse(id).ok()) {
            self.entries += keep(&mut self.sessions, session, Moment(i64::MAX, 0), now);
        }
        for user in changes.ended_user_sessions {
            if let Ok(subject) = Uuid::try_parse(&user.subject) {
                self.entries += keep(&mut self.users, subject, Moment::of(user.time), now);
            }
        }
        for client in changes.ended_clients {
            self.entries += keep(&mut self.clients, client.client_id, Moment::of(client.time), now);
        }
        for taken in changes.taken_scopes {
            self.take_scopes(taken, now);
        }
    }

    fn take_scopes(&mut self, taken: TakenScopes, now: Duration) {
        let subject = if taken.subject.is_empty() { None } else { Uuid::try_parse(&taken.subject).ok() };
        if subject.is_none() && !taken.subject.is_empty() {
            return;
        }
        let client = Some(taken.client_id).filter(|id| !id.is_empty());
        let of_audience = self.scopes.entry(taken.audience).or_default();
        for scope in taken.scopes {
            let clients = of_audience.entry(scope).or_default().entry(subject).or_default();
            self.entries += keep(clients, client.clone(), Moment::of(taken.time), now);
        }
    }

    /// Whether the token that says `claims` is revoked, at `now` on the monotonic clock.
    pub(super) fn revokes(&self, claims: &Claims, now: Duration) -> bool {
        let ends = |ended: &Ended| self.ends(ended, claims, now);
        claims.sid.and_then(|session| self.sessions.get(&session)).is_some_and(ends)
            || self.not_before.is_after(claims.iat)
            || self.users.get(&claims.sub).is_some_and(ends)
            || self.clients.get(&claims.client_id).is_some_and(ends)
            || (!self.scopes.is_empty() && self.has_lost_a_scope(claims, now))
    }

    /// Whether that ended the token, and is kept still.
    fn ends(&self, ended: &Ended, claims: &Claims, now: Duration) -> bool {
        ended.until.is_not_before(claims.iat) && self.is_kept(ended, now)
    }

    /// What has been kept for long enough counts no more: no token lives that is as old.
    fn is_kept(&self, ended: &Ended, now: Duration) -> bool {
        ended.at.saturating_add(self.keep_for) > now
    }

    fn has_lost_a_scope(&self, claims: &Claims, now: Duration) -> bool {
        let client = Some(claims.client_id.clone());
        let takes = |takers: &Takers| {
            let of = [None, Some(claims.sub)].into_iter().filter_map(|subject| takers.get(&subject));
            let mut ended = of.flat_map(|clients| [clients.get(&None), clients.get(&client)]).flatten();
            ended.any(|ended| self.ends(ended, claims, now))
        };
        let mut of_audiences = claims.aud.names().iter().filter_map(|audience| self.scopes.get(audience));
        of_audiences.any(|scopes| claims.scope.split(' ').filter_map(|scope| scopes.get(scope)).any(takes))
    }

    /// Forgets now and then what has been kept for long enough. If there is too much nonetheless it forgets all, and refuses every token
    /// that this may have meant: those that were issued by the second `today` of the wall clock, or by a later one that was told.
    pub(super) fn clean(&mut self, now: Duration, today: i64) {
        let is_full = self.entries > self.max_entries;
        if now.saturating_sub(self.cleaned) < CLEANING_INTERVAL && !is_full {
            return;
        }
        self.forget_the_old(now);
        if self.entries <= self.max_entries {
            return;
        }
        tracing::warn!(
            entries = self.entries,
            "more was revoked than is remembered: all tokens that were issued by now are refused"
        );
        let scopes = self.scopes.values().flat_map(HashMap::values).flat_map(HashMap::values);
        let scopes = scopes.flat_map(HashMap::values);
        // A session says no time: its tokens are not younger than this second.
        let told = self.users.values().chain(self.clients.values()).chain(scopes).map(|ended| ended.until.0);
        let latest = told.fold(today, i64::max);
        *self = Self {
            // A nanosecond later: the whole second counts.
            not_before: self.not_before.max(Moment(latest, 1)),
            keep_for: self.keep_for,
            cleaned: now,
            max_entries: self.max_entries,
            ..Self::default()
        };
    }

    fn forget_the_old(&mut self, now: Duration) {
        let keep_for = self.keep_for;
        let counts = |ended: &Ended| ended.at.saturating_add(keep_for) > now;
        self.sessions.retain(|_, ended| counts(ended));
        self.users.retain(|_, ended| counts(ended));
        self.clients.retain(|_, ended| counts(ended));
        self.scopes.retain(|_, scopes| {
            scopes.retain(|_, takers| {
                takers.retain(|_, clients| {
                    clients.retain(|_, ended| counts(ended));
                    !clients.is_empty()
                });
                !takers.is_empty()
            });
            !scopes.is_empty()
        });
        self.cleaned = now;
        self.entries = self.count();
    }

    fn count(&self) -> usize {
        let scopes = self.scopes.values().flat_map(HashMap::values).flat_map(HashMap::values);
        self.sessions.len() + self.users.len() + self.clients.len() + scopes.map(HashMap::len).sum::<usize>()
    }
}

impl Moment {
    /// What a message says; of one that lacks it, all that there has ever been.
    fn of(time: Option<Timestamp>) -> Self {
        time.map_or(Self(i64::MAX, 0), |time| Self(time.seconds, time.nanos))
    }

    /// Whether whole `seconds` are this moment or before it.
    const fn is_not_before(self, seconds: i64) -> bool {
        seconds <= self.0
    }

    /// Whether whole `seconds` are before this moment.
    const fn is_after(self, seconds: i64) -> bool {
        seconds < self.0 || (seconds == self.0 && self.1 > 0)
    }
}

/// Of several times the latest counts; and what is told again is kept anew. Returns how many entries were added: one, or none.
fn keep<K: Eq + Hash>(map: &mut HashMap<K, Ended>, key: K, until: Moment, at: Duration) -> usize {
    let before = map.len();
    let kept = map.entry(key).or_insert(Ended { until, at });
    *kept = Ended { until: kept.until.max(until), at: kept.at.max(at) };
    map.len() - before
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use signet::proto::identity::events::v1::{EndedClient, EndedUserSessions};

    use super::*;
    use crate::testing::Token;

    const NOW: Duration = Duration::from_secs(1_000);

    fn at(seconds: i64, nanos: i32) -> Timestamp {
        Timestamp { seconds, nanos }
    }

    fn after(changes: Changes) -> Revoked {
        let mut told = Revoked::default();
        told.take(changes, NOW);
        told
    }

    #[test]
    fn times_count_with_their_nanoseconds() {
        let claims = Token::user().issued(100).claims();
        let subject = claims.sub.to_string();
        for (seconds, nanos, revoked) in
            [(99, 999_999_999, false), (100, 0, true), (100, 1, true), (101, 0, true)]
        {
            let user = EndedUserSessions { subject: subject.clone(), time: Some(at(seconds, nanos)) };
            let told = after(Changes { ended_user_sessions: vec![user], ..Changes::default() });
            assert_eq!(told.revokes(&claims, NOW), revoked, "{seconds}.{nanos}");
        }
        for (seconds, nanos, revoked) in [(100, 0, false), (100, 1, true), (101, 0, true)] {
            let mut told = Revoked::default();
            let tokens_not_before = Some(at(seconds, nanos));
            told.take_snapshot(Snapshot { tokens_not_before, ..Snapshot::default() }, NOW);
            assert_eq!(told.revokes(&claims, NOW), revoked, "not before {seconds}.{nanos}");
        }
    }

    #[test]
    fn what_is_told_without_a_time_covers_every_token_that_it_names() {
        let claims = Token::user().issued(i64::MAX).audiences(["stock"]).scopes(["stock:read"]).claims();
        let other = Token::user().issued(0).audiences(["stock"]).scopes(["stock:read"]).claims();
        let (subject, client_id) = (claims.sub.to_string(), claims.client_id.clone());
        let taken = TakenScopes {
            subject: subject.clone(),
            audience: "stock".to_owned(),
            scopes: vec!["stock:read".to_owned()],
            ..TakenScopes::default()
        };
        for changes in [
            Changes {
                ended_user_sessions: vec![EndedUserSessions { subject, time: None }],
                ..Changes::default()
            },
            Changes { ended_clients: vec![EndedClient { client_id, time: None }], ..Changes::default() },
            Changes { taken_scopes: vec![taken], ..Changes::default() },
        ] {
            let told = after(changes);
            assert!(told.revokes(&claims, NOW) && !told.revokes(&other, NOW), "{told:?}");
        }
    }

    #[test]
    fn what_is_told_again_changes_nothing_and_what_has_been_kept_for_long_enough_is_forgotten() {
        let claims = Token::user().issued(100).claims();
        let client = |time| EndedClient { client_id: claims.client_id.clone(), time };
        let mut told = after(Changes {
            ended_clients: vec![client(Some(at(100, 0))), client(Some(at(50, 0)))],
            ..Changes::default()
        });
        assert!(told.revokes(&claims, NOW));
        let keep_for = prost_types::Duration { seconds: 600, nanos: 0 };
        told.take_snapshot(Snapshot { keep_for: Some(keep_for), ..Snapshot::default() }, NOW);
        for (later, entries) in [(599, 1), (601, 0), (700, 0)] {
            told.cleaned = Duration::ZERO;
            let now = NOW + Duration::from_secs(later);
            told.clean(now, 0);
            assert_eq!((told.count(), told.entries), (entries, entries));
            assert_eq!((told.entries, told.revokes(&claims, now)), (entries, entries > 0), "{later}");
        }
    }

    #[test]
    fn of_more_than_is_remembered_every_token_issued_by_then_is_refused() {
        let issued = |seconds| Token::user().issued(seconds).claims();
        let session = || Uuid::now_v7().to_string();
        let taken = |seconds| TakenScopes {
            audience: "stock".to_owned(),
            scopes: vec!["a".to_owned(), "b".to_owned()],
            time: Some(at(seconds, 0)),
            ..TakenScopes::default()
        };
        for (time, refused, accepted) in [(100, 1_000, 1_001), (2_000, 2_000, 2_001)] {
            let mut told = Revoked { max_entries: 3, ..Revoked::default() };
            let ended_sessions = vec![session()];
            told.take(Changes { ended_sessions, taken_scopes: vec![taken(time)], ..Changes::default() }, NOW);
            told.take(Changes { taken_scopes: vec![taken(time)], ..Changes::default() }, NOW);
            told.clean(NOW, 1_000);
            assert_eq!((told.entries, told.count()), (3, 3), "what is told again is the same");
            assert!(!told.revokes(&issued(1), NOW));
            told.take(Changes { ended_sessions: vec![session()], ..Changes::default() }, NOW);
            told.clean(NOW, 1_000);
            assert_eq!((told.entries, told.count()), (0, 0));
            assert!(told.revokes(&issued(1), NOW) && told.revokes(&issued(refused), NOW), "{time}");
            assert!(!told.revokes(&issued(accepted), NOW), "{time}");
        }
        // What has been kept for long enough makes room first.
        let mut told = Revoked { max_entries: 3, ..Revoked::default() };
        for later in [Duration::ZERO, FIRST_KEEP_FOR] {
            let ended_sessions = (0..3).map(|_| session()).collect();
            told.take(Changes { ended_sessions, ..Changes::default() }, NOW + later);
            told.clean(NOW + later, 1_000);
            assert_eq!(told.entries, 3);
        }
        assert!(!told.revokes(&issued(1), NOW));
    }

    proptest! {
        #[test]
        fn a_scope_is_lost_by_those_alone_who_are_meant(
            subject in 0..3_u8, client in 0..3_u8, audience in 0..2_u8, scope in 0..2_u8, time in 98..102_i64,
        ) {
            let claims = Token::user().issued(100).audiences(["stock"]).scopes(["stock:read"]).claims();
            let other = Uuid::from_u128(7).to_string();
            let one_of = |which: u8, own: String| [String::new(), own, other.clone()][usize::from(which)].clone();
            let taken = TakenScopes {
                subject: one_of(subject, claims.sub.to_string()),
                client_id: one_of(client, claims.client_id.clone()),
                audience: ["stock", "orders"][usize::from(audience)].to_owned(),
                scopes: vec![["stock:read", "stock:write"][usize::from(scope)].to_owned()],
                time: Some(at(time, 0)),
            };
            let told = after(Changes { taken_scopes: vec![taken], ..Changes::default() });
            let is_meant = subject < 2 && client < 2 && audience == 0 && scope == 0 && time >= 100;
            prop_assert_eq!(told.revokes(&claims, NOW), is_meant);
        }
    }
}
