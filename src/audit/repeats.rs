//! Owns merging events that repeat, so that a flood of them fills no disk and hides nothing.
//!
//! The first refusal of a kind is written at once; equal ones are counted, and told in one line when the minute is over. Of what a user
//! does with success, the first ten of a kind are written one by one. Where something comes from counts by its network, since one host has
//! as many addresses of IPv6 as it likes.

use std::{collections::HashMap, net::IpAddr, time::Duration};

use super::{Actor, Entry, Event, Field, Outcome, Reason};
use crate::{
    base::Timestamp,
    model::{Network, UserId},
};

/// How events are merged.
#[derive(Clone, Copy, Debug)]
pub(super) struct Merging {
    /// For how long equal events are counted before they are told.
    window: Duration,
    /// How many kinds of refusals are told apart within the window. Those of users that exist, of clients that exist, of nobody, and of
    /// who is refused by the admin API have a room each: who floods with names that nobody has cannot hide what is tried on a user, and
    /// failed logins do not hide who tries to administer. Beyond it, the user, the client and the address are not told apart any more.
    kinds: usize,
    /// How many of a room may be of one user, or of one client. Beyond it, the addresses are not told apart, nor the methods that one was
    /// refused at, and so whoever floods one user from everywhere hides neither that user nor any other.
    of_one: usize,
}

impl Merging {
    /// In the log: no flood writes more than some 7,000 lines a minute.
    pub(super) const LOG: Self = Self { window: Duration::from_mins(1), kinds: 1_024, of_one: 64 };

    /// In the database: no flood writes more than some 1,000 rows in ten minutes.
    pub(super) const DATABASE: Self = Self { window: Duration::from_mins(10), kinds: 128, of_one: 16 };

    /// How many kinds of a room may tell addresses and methods at all.
    const fn in_full(self) -> usize {
        self.kinds / 4 * 3
    }
}

/// How many equal successes are told one by one in a window: no person does more, and which sessions they concern is of interest.
const ONE_BY_ONE: u64 = 10;

/// How many kinds of successes are told apart. Beyond it they are told one by one: each has cost somebody a hash, or an account's
/// allowance.
const SUCCESS_KINDS: usize = 4_096;

/// What makes two events equal.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Kind {
    event: Event,
    outcome: Outcome,
    reason: Option<Reason>,
    changed: Vec<Field>,
    user_id: Option<UserId>,
    client_id: Option<String>,
    from: Option<EventAddress>,
    claimed: Option<EventAddress>,
    /// Who was refused, and what, where that is known.
    actor: Option<About>,
    method: Option<String>,
}

/// Where an event comes from.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
enum EventAddress {
    Network(Network),
    /// What is no address.
    Text(String),
}

/// Whom a kind of event is about.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
enum About {
    User(UserId),
    Client(String),
}

/// What has a room of its own among refusals.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Room {
    Users,
    Clients,
    Nobody,
    /// Whoever the admin API refuses, whose token was right.
    Administration,
}

/// The events of the present window.
#[derive(Debug)]
pub(super) struct Repeats {
    merging: Merging,
    /// When the window began; none if there was nothing that may repeat.
    since: Option<Timestamp>,
    /// Refusals, and what nobody knows the end of.
    kinds: HashMap<Kind, Repeated>,
    successes: HashMap<Kind, Repeated>,
    /// How many kinds of refusals there are in each.
    rooms: HashMap<Room, usize>,
    /// How many kinds there are of each in each room, of refusals and of successes.
    of_one: HashMap<(Room, About, Outcome), usize>,
}

#[derive(Debug)]
struct Repeated {
    entry: Entry,
    /// How many were written.
    told: u64,
    /// How many were not.
    count: u64,
    last: Timestamp,
}

impl Repeats {
    pub(super) fn new(merging: Merging) -> Self {
        Self {
            merging,
            since: None,
            kinds: HashMap::new(),
            successes: HashMap::new(),
            rooms: HashMap::new(),
            of_one: HashMap::new(),
        }
    }

    /// The entry to write now; none if it was counted as a repetition.
    pub(super) fn admit(&mut self, time: Timestamp, mut entry: Entry) -> Option<Entry> {
        if entry.outcome == Outcome::Success {
            return self.admit_success(time, entry);
        }
        self.since.get_or_insert(time);
        let mut kind = Kind::of(&entry);
        if !self.kinds.contains_key(&kind) && !self.has_room_in_full(&kind) {
            kind.forget_address(&mut entry);
            (kind.method, entry.method) = (None, None);
        }
        if !self.kinds.contains_key(&kind) && !self.take_room(&kind) {
            (kind.user_id, kind.client_id, kind.actor) = (None, None, None);
            (entry.user_id, entry.client_id, entry.session_id) = (None, None, None);
            entry.actor = Actor::Anonymous;
            kind.forget_address(&mut entry);
        }
        if let Some(known) = self.kinds.get_mut(&kind) {
            known.count += 1;
            known.last = time;
            return None;
        }
        // The line stands for many, each of which is of a request of its own.
        let told_as = Entry { request_id: None, ..entry.clone() };
        self.kinds.insert(kind, Repeated { entry: told_as, told: 1, count: 0, last: time });
        Some(entry)
    }

    /// Whether a new `kind` of refusals may tell where it comes from, and what was called. Of nobody, that is all there is to tell.
    fn has_room_in_full(&self, kind: &Kind) -> bool {
        let Some(about) = kind.about() else { return true };
        let room = self.rooms.get(&kind.room()).copied().unwrap_or_default();
        let of_one = self.of_one.get(&(kind.room(), about, kind.outcome)).copied().unwrap_or_default();
        room < self.merging.in_full() && of_one < self.merging.of_one
    }

    /// Takes the room of a new `kind` of refusals; false if there is none.
    fn take_room(&mut self, kind: &Kind) -> bool {
        let room = self.rooms.entry(kind.room()).or_default();
        if *room >= self.merging.kinds {
            return false;
        }
        *room += 1;
        if let Some(about) = kind.about() {
            *self.of_one.entry((kind.room(), about, kind.outcome)).or_default() += 1;
        }
        true
    }

    /// The same, for what has come to pass. What was done to a user by somebody else is told one by one,
    /// and so is what concerns no user.
    fn admit_success(&mut self, time: Timestamp, entry: Entry) -> Option<Entry> {
        let is_of_others = matches!(entry.actor, Actor::User(_) | Actor::Client(_) | Actor::Operator(_));
        if is_of_others || entry.user_id.is_none() {
            return Some(entry);
        }
        let mut kind = Kind::of(&entry);
        let mut told_as = entry.clone();
        if let Some(about) = kind.about()
            && !self.successes.contains_key(&kind)
        {
            let of_one = self.of_one.entry((kind.room(), about, Outcome::Success)).or_default();
            if *of_one < self.merging.of_one {
                *of_one += 1;
            } else {
                kind.forget_address(&mut told_as);
            }
        }
        if let Some(known) = self.successes.get_mut(&kind) {
            if known.told < ONE_BY_ONE {
                known.told += 1;
                return Some(entry);
            }
            known.count += 1;
            known.last = time;
            return None;
        }
        if self.successes.len() < SUCCESS_KINDS {
            self.since.get_or_insert(time);
            // The line stands for many, each of which is of a request, and may be of a session, of its own.
            let told_as = Entry { session_id: None, request_id: None, ..told_as };
            self.successes.insert(kind, Repeated { entry: told_as, told: 1, count: 0, last: time });
        }
        Some(entry)
    }

    /// Whether repetitions wait to be told.
    pub(super) fn is_pending(&self) -> bool {
        self.since.is_some()
    }

    /// Whether there were refusals in the present window.
    pub(super) fn has_refusals(&self) -> bool {
        !self.kinds.is_empty()
    }

    /// Whether the window is over at `now`.
    pub(super) fn is_due(&self, now: Timestamp) -> bool {
        // A clock that was set back ends it too, rather than have it wait for the clock to catch up.
        self.since.is_some_and(|since| now >= since.after(self.merging.window) || now < since)
    }

    /// Ends the window: what was repeated, how often, and when last, the earliest first.
    pub(super) fn take(&mut self) -> Vec<(Timestamp, Entry, u64)> {
        let merging = self.merging;
        let Self { kinds, successes, .. } = std::mem::replace(self, Self::new(merging));
        let ended = kinds.into_values().chain(successes.into_values());
        let ended = ended.filter(|repeated| repeated.count > 0);
        let mut told: Vec<_> =
            ended.map(|repeated| (repeated.last, repeated.entry, repeated.count)).collect();
        told.sort_by_key(|(last, ..)| *last);
        told
    }
}

impl Kind {
    fn of(entry: &Entry) -> Self {
        Self {
            event: entry.event,
            outcome: entry.outcome,
            reason: entry.reason,
            changed: entry.changed.iter().map(|change| change.field).collect(),
            user_id: entry.user_id,
            client_id: entry.client_id.clone(),
            from: entry.address.as_deref().map(EventAddress::of),
            claimed: entry.claimed_address.as_deref().map(EventAddress::of),
            actor: About::actor(&entry.actor),
            method: entry.method.clone(),
        }
    }

    fn about(&self) -> Option<About> {
        let client = || self.client_id.clone().map(About::Client);
        self.user_id.map(About::User).or_else(client).or_else(|| self.actor.clone())
    }

    /// In which room it is told apart from others.
    fn room(&self) -> Room {
        match self.about() {
            _ if self.event == Event::AdminRefused => Room::Administration,
            Some(About::User(_)) => Room::Users,
            Some(About::Client(_)) => Room::Clients,
            None => Room::Nobody,
        }
    }

    /// Has the kind, and `entry` which stands for it, come from anywhere.
    fn forget_address(&mut self, entry: &mut Entry) {
        (self.from, self.claimed) = (None, None);
        (entry.address, entry.claimed_address, entry.user_agent) = (None, None, None);
    }
}

impl About {
    fn actor(actor: &Actor) -> Option<Self> {
        match actor {
            Actor::User(id) => Some(Self::User(*id)),
            Actor::Client(id) => Some(Self::Client(id.to_string())),
            Actor::Anonymous | Actor::Oneself | Actor::Operator(_) | Actor::Service => None,
        }
    }
}

impl EventAddress {
    fn of(address: &str) -> Self {
        let network = address.parse::<IpAddr>().map(Network::of);
        network.map_or_else(|_| Self::Text(address.to_owned()), Self::Network)
    }
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;
    use crate::model::{Origin, SessionId};

    fn refusal(user: Option<u128>, address: &str) -> Entry {
        let origin = Origin { address: Some(address.to_owned()), ..Origin::default() };
        let entry = Event::Login.refused(Reason::WrongPassword).origin(&origin);
        match user {
            Some(user) => entry.user(UserId(Uuid::from_u128(user))),
            None => entry,
        }
    }

    #[test]
    fn a_repetition_is_told_once_when_the_minute_is_over() {
        let mut repeats = Repeats::new(Merging::LOG);
        let start = Timestamp::from_micros(0);
        assert!(repeats.admit(start, refusal(Some(1), "a")).is_some());
        for _ in 0..5 {
            assert_eq!(repeats.admit(start.after(Duration::from_secs(1)), refusal(Some(1), "a")), None);
        }
        assert!(repeats.admit(start, refusal(Some(1), "b")).is_some(), "another address");
        assert!(repeats.admit(start, refusal(Some(2), "a")).is_some(), "another user");
        assert!(!repeats.is_due(start.after(Duration::from_secs(59))));
        assert!(repeats.is_due(start.after(Merging::LOG.window)));
        assert_eq!(
            repeats.take(),
            [(start.after(Duration::from_secs(1)), refusal(Some(1), "a"), 5)],
            "and only what was repeated"
        );
        assert!(!repeats.is_pending());
        assert!(repeats.admit(start, refusal(Some(1), "a")).is_some(), "a new window");
    }

    fn success(user: u128, session: u128) -> Entry {
        let entry = Event::Login.done().user(UserId(Uuid::from_u128(user)));
        entry.session(SessionId(Uuid::from_u128(session)))
    }

    #[test]
    fn ten_successes_of_a_user_are_told_one_by_one_and_more_together() {
        let mut repeats = Repeats::new(Merging::LOG);
        let now = Timestamp::from_micros(0);
        for session in 0..10 {
            assert_eq!(repeats.admit(now, success(1, session)), Some(success(1, session)));
        }
        for session in 10..15 {
            assert_eq!(repeats.admit(now, success(1, session)), None);
            assert!(repeats.admit(now, success(2, session)).is_some(), "another user");
        }
        assert!(!repeats.has_refusals() && repeats.is_pending());
        assert_eq!(repeats.take(), [(now, Entry { session_id: None, ..success(1, 0) }, 5)]);
    }

    #[test]
    fn what_an_operator_does_and_what_users_do_beyond_the_bound_is_told_one_by_one() {
        let mut repeats = Repeats::new(Merging::LOG);
        let now = Timestamp::from_micros(0);
        for _ in 0..20 {
            assert!(repeats.admit(now, success(1, 1).by_operator()).is_some());
            assert!(repeats.admit(now, Event::UsersImported.done()).is_some());
        }
        assert!(!repeats.is_pending());
        for user in 0..2 * SUCCESS_KINDS as u128 {
            assert!(repeats.admit(now, success(user, 1)).is_some());
        }
        for _ in 0..20 {
            assert!(repeats.admit(now, success(2 * SUCCESS_KINDS as u128, 1)).is_some());
        }
        assert_eq!(repeats.successes.len(), SUCCESS_KINDS);
    }

    #[test]
    fn a_flood_of_addresses_writes_no_more_than_its_room_and_hides_no_user() {
        let mut repeats = Repeats::new(Merging::LOG);
        let now = Timestamp::from_micros(0);
        let written =
            (0..50_000).filter(|number| repeats.admit(now, refusal(None, &number.to_string())).is_some());
        assert_eq!(written.count(), Merging::LOG.kinds + 1);
        let told = repeats.admit(now, refusal(Some(7), "z")).unwrap();
        assert_eq!(told, refusal(Some(7), "z"), "a user is still told");
        let (_, rest, count) = repeats.take().pop().unwrap();
        assert_eq!((rest.address, count), (None, 50_000 - Merging::LOG.kinds as u64 - 1));
    }

    /// A call of `method` that the admin API has refused to the user `number`, from the address `host`.
    fn administering(number: u128, method: &str, host: &str) -> Entry {
        let origin = Origin { address: Some(host.to_owned()), ..Origin::default() };
        let refused = Event::AdminRefused.refused(Reason::MissingScope).origin(&origin);
        let actor = Actor::User(UserId(Uuid::from_u128(number)));
        Entry { method: Some(method.to_owned()), ..refused.by(actor) }
    }

    #[test]
    fn whom_the_admin_api_refuses_is_told_whatever_others_fail_at_and_however_many_methods_are_tried() {
        for merging in [Merging::LOG, Merging::DATABASE] {
            let mut repeats = Repeats::new(merging);
            let now = Timestamp::from_micros(0);
            for user in 0..10_000 {
                repeats.admit(now, refusal(Some(user), "192.0.2.1"));
                repeats.admit(now, refusal(None, &user.to_string()));
            }
            // Nor does what is tried on the account of whoever is refused, who may do that itself.
            for number in 0..10_000_u64 {
                repeats.admit(now, refusal(Some(7), &format!("2001:db8:0:{number:x}::")));
            }
            let told = repeats.admit(now, administering(7, "DeleteUser", "192.0.2.1")).unwrap();
            assert_eq!(told, administering(7, "DeleteUser", "192.0.2.1"));
            // Every door, from everywhere: who it is stays.
            for number in 0..10_000_u64 {
                let host = format!("2001:db8:0:{number:x}::");
                if let Some(told) = repeats.admit(now, administering(7, &number.to_string(), &host)) {
                    assert_eq!(told.actor, Actor::User(UserId(Uuid::from_u128(7))));
                }
            }
            let other = repeats.admit(now, administering(8, "DeleteUser", "192.0.2.1"));
            assert_eq!(other, Some(administering(8, "DeleteUser", "192.0.2.1")));
            // More callers than are told apart: those who tried first stay, and no more is written than there is room for.
            let callers =
                (100..10_000).filter(|user| repeats.admit(now, administering(*user, "x", "y")).is_some());
            assert!(callers.count() <= merging.kinds);
        }
    }

    #[test]
    fn a_host_that_changes_its_addresses_within_its_network_is_one() {
        let mut repeats = Repeats::new(Merging::LOG);
        let now = Timestamp::from_micros(0);
        let of_network = |number: u64| format!("2001:db8::{number:x}");
        let written =
            (0..5_000).filter(|number| repeats.admit(now, refusal(Some(1), &of_network(*number))).is_some());
        assert_eq!(written.count(), 1);
        assert!(repeats.admit(now, refusal(Some(1), "2001:db8:0:1::1")).is_some());
    }

    #[test]
    fn a_flood_at_one_user_from_everywhere_hides_neither_that_user_nor_another() {
        let mut repeats = Repeats::new(Merging::LOG);
        let now = Timestamp::from_micros(0);
        let network = |number: u64| format!("2001:db8:0:{number:x}::");
        for user in 0..20 {
            for number in 0..2_000 {
                if let Some(told) = repeats.admit(now, refusal(Some(user), &network(number))) {
                    assert!(told.user_id.is_some());
                }
            }
        }
        let told = repeats.admit(now, refusal(Some(100), "192.0.2.1")).unwrap();
        assert_eq!(told.user_id, refusal(Some(100), "").user_id, "another user is told of");
        assert!(repeats.kinds.len() <= Merging::LOG.kinds);
        let first = repeats.kinds.keys().filter(|kind| kind.user_id == Some(UserId(Uuid::from_u128(0))));
        assert_eq!(first.count(), Merging::LOG.of_one + 1);
    }

    #[test]
    fn successes_of_one_user_from_everywhere_are_told_together_in_the_end() {
        let mut repeats = Repeats::new(Merging::LOG);
        let now = Timestamp::from_micros(0);
        let written = (0..5_000_u64).filter(|number| {
            let origin = Origin { address: Some(format!("2001:db8:0:{number:x}::")), ..Origin::default() };
            repeats.admit(now, success(1, 1).origin(&origin)).is_some()
        });
        assert_eq!(written.count() as u64, Merging::LOG.of_one as u64 + ONE_BY_ONE);
        assert_eq!(repeats.successes.len(), Merging::LOG.of_one + 1);
    }
}
