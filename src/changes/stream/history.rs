//! Owns what has ended within the life of the longest access token: what those are told who begin to watch, or go on.

use std::collections::{HashMap, hash_map::Entry};

use uuid::Uuid;

use super::{
    audiences::{At, Names, union},
    event::Event,
    group::Told,
    told::{ChangesTold, EndedAt, Kind},
};
use crate::{
    base::Timestamp,
    model::{AudienceName, NameSet},
};

/// How many ended sessions of one user are named. Beyond that it is told since when none counts.
const MOST_OF_A_USER: usize = 20;

/// How many things are remembered in all, of about 100 bytes each. Beyond that the older half is forgotten, and no older token counts.
const MOST: usize = 250_000;

/// How many bytes a snapshot may have in all.
const SNAPSHOT_BYTES: usize = 16 * 1_024 * 1_024;

/// What one thing takes in a message, at most: an id, a time, and their tags. Names come on top.
const ITEM_BYTES: usize = 96;

/// From when on something is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Since {
    /// All that is remembered.
    All,
    /// What was heard after this batch.
    Batch(u64),
    /// What was changed at this time or later.
    Time(Timestamp),
}

/// When something happened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct When {
    /// By the clock of whoever made the change.
    pub(super) time: Timestamp,
    /// The batch in which it is told.
    pub(super) batch: u64,
}

/// What is remembered.
#[derive(Debug, Default)]
pub(super) struct History {
    /// Of sessions whose user is not known, each by its own id.
    users: HashMap<Uuid, Ended>,
    clients: HashMap<Uuid, (When, At)>,
    /// By whose, those of which client's tokens, where, and which.
    scopes: HashMap<(Option<Uuid>, Option<Uuid>, AudienceName, String), When>,
    keys: Option<When>,
    policies: HashMap<Uuid, When>,
    count: usize,
    /// Before when no token counts, since what ended before has been forgotten.
    not_before: Option<Timestamp>,
    /// Differs each time that something has changed.
    version: u64,
}

/// The sessions of a user that ended.
#[derive(Debug)]
enum Ended {
    Named(Vec<(Uuid, When, At)>),
    Many(When, At),
}

/// What is told.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Selected {
    pub(super) changes: ChangesTold,
    /// Before when no token counts, if not all can be told.
    pub(super) not_before: Option<Timestamp>,
}

impl When {
    fn is_since(self, since: Since) -> bool {
        match since {
            Since::All => true,
            Since::Batch(batch) => self.batch > batch,
            Since::Time(time) => self.time >= time,
        }
    }

    fn latest(self, other: Self) -> Self {
        Self { time: self.time.max(other.time), batch: self.batch.max(other.batch) }
    }
}

impl History {
    /// Which state it is in.
    pub(super) const fn version(&self) -> u64 {
        self.version
    }

    /// Whether something was forgotten that may still count.
    pub(super) const fn is_cut(&self) -> bool {
        self.not_before.is_some()
    }

    /// Remembers `event`. Returns whether something had to be forgotten for it.
    pub(super) fn note(&mut self, event: &Event, when: When) -> bool {
        self.version += 1;
        match event {
            Event::Session { id, user, at } => self.note_session(*id, user.unwrap_or(*id), when, at),
            Event::Client { id, at } => match self.clients.entry(*id) {
                Entry::Occupied(mut entry) => {
                    let (known, known_at) = entry.get_mut();
                    (*known, *known_at) = (known.latest(when), union(known_at, at));
                }
                Entry::Vacant(entry) => {
                    entry.insert((when, at.clone()));
                    self.count += 1;
                }
            },
            Event::Scopes { subject, client, audience, scopes } => {
                let key = (*subject, *client, audience.clone(), scopes.as_str().to_owned());
                match self.scopes.entry(key) {
                    Entry::Occupied(mut entry) => *entry.get_mut() = entry.get().latest(when),
                    Entry::Vacant(entry) => {
                        entry.insert(when);
                        self.count += 1;
                    }
                }
            }
            Event::Keys => self.keys = Some(self.keys.map_or(when, |known| known.latest(when))),
            Event::Policy { key } => {
                let known = self.policies.entry(*key).or_insert(when);
                *known = known.latest(when);
            }
        }
        self.count > MOST && self.forget_older_half()
    }

    fn note_session(&mut self, id: Uuid, user: Uuid, when: When, at: &At) {
        let ended = self.users.entry(user).or_insert_with(|| Ended::Named(Vec::new()));
        match ended {
            Ended::Many(known, known_at) => {
                (*known, *known_at) = (known.latest(when), union(known_at, at));
            }
            Ended::Named(named) => {
                if let Some((_, known, _)) = named.iter_mut().find(|(known, ..)| *known == id) {
                    *known = known.latest(when);
                } else if named.len() < MOST_OF_A_USER {
                    named.push((id, when, at.clone()));
                    self.count += 1;
                } else {
                    let (latest, all) =
                        named.iter().fold((when, at.clone()), |(latest, all), (_, when, at)| {
                            (latest.latest(*when), union(&all, at))
                        });
                    self.count -= named.len() - 1;
                    *ended = Ended::Many(latest, all);
                }
            }
        }
    }

    /// Forgets what no living token can have been issued before: what happened before `time`.
    pub(super) fn forget_before(&mut self, time: Timestamp) {
        self.retain(|when| when.time >= time);
        if self.not_before.is_some_and(|cut| cut < time) {
            self.not_before = None;
            self.version += 1;
        }
    }

    fn forget_older_half(&mut self) -> bool {
        let mut times: Vec<_> = self.times().collect();
        let middle = times.len() / 2;
        let (_, cut, _) = times.select_nth_unstable(middle);
        // What is as old as the oldest that stays goes, too: many may have ended at one moment.
        let cut = *cut;
        self.retain(|when| when.time > cut);
        self.not_before = Some(self.not_before.map_or(cut, |known| known.max(cut)));
        true
    }

    fn times(&self) -> impl Iterator<Item = Timestamp> {
        let of_users = self.users.values().flat_map(|ended| {
            let (named, many): (&[_], _) = match ended {
                Ended::Named(named) => (named, None),
                Ended::Many(when, _) => (&[], Some(when.time)),
            };
            named.iter().map(|(_, when, _)| when.time).chain(many)
        });
        let of_clients = self.clients.values().map(|(when, _)| when.time);
        of_users.chain(of_clients).chain(self.scopes.values().map(|when| when.time))
    }

    fn retain(&mut self, stays: impl Fn(When) -> bool) {
        let before = self.count;
        self.users.retain(|_, ended| match ended {
            Ended::Named(named) => {
                named.retain(|(_, when, _)| stays(*when));
                !named.is_empty()
            }
            Ended::Many(when, _) => stays(*when),
        });
        self.clients.retain(|_, (when, _)| stays(*when));
        self.scopes.retain(|_, when| stays(*when));
        self.count = self.times().count();
        if self.count != before {
            self.version += 1;
        }
    }

    /// What `told` are told of what happened `since`; tokens count no longer that were issued at the time that `until` makes of a change's,
    /// or before.
    pub(super) fn select(
        &self,
        told: &Told,
        since: Since,
        until: impl Fn(Timestamp) -> Timestamp,
        names: &Names,
    ) -> Selected {
        let mut found = Found { told, since, items: Vec::new() };
        for (user, ended) in &self.users {
            match ended {
                Ended::Named(named) => {
                    for (id, when, at) in named {
                        found.add(*when, ITEM_BYTES, || Event::Session {
                            id: *id,
                            user: Some(*user),
                            at: at.clone(),
                        });
                    }
                }
                Ended::Many(when, at) => found.add_many(*user, *when, at),
            }
        }
        for (id, (when, at)) in &self.clients {
            found.add(*when, ITEM_BYTES, || Event::Client { id: *id, at: at.clone() });
        }
        for ((subject, client, audience, scopes), when) in &self.scopes {
            found.add(*when, ITEM_BYTES + audience.as_str().len() + 2 * scopes.len(), || Event::Scopes {
                subject: *subject,
                client: *client,
                audience: audience.clone(),
                scopes: NameSet::from_stored(scopes.clone()),
            });
        }
        let not_before =
            self.not_before.filter(|_| told.kinds.has(Kind::Sessions) || told.kinds.has(Kind::Clients));
        let mut selected = found.selected(not_before, &until, names);
        if self.keys.is_some_and(|when| since != Since::All && when.is_since(since)) && told.has(&Event::Keys)
        {
            selected.changes.keys_changed = true;
        }
        for (key, when) in &self.policies {
            let event = Event::Policy { key: *key };
            if since != Since::All && when.is_since(since) && told.has(&event) {
                told.add(&mut selected.changes, &event, when.time, names);
            }
        }
        selected
    }
}

/// What is found for those who are told it.
struct Found<'a> {
    told: &'a Told,
    since: Since,
    items: Vec<(Timestamp, usize, Item)>,
}

enum Item {
    Event(Event),
    Many(Uuid),
}

impl Found<'_> {
    fn add(&mut self, when: When, bytes: usize, event: impl FnOnce() -> Event) {
        if when.is_since(self.since) {
            let event = event();
            if self.told.has(&event) {
                self.items.push((when.time, bytes, Item::Event(event)));
            }
        }
    }

    fn add_many(&mut self, user: Uuid, when: When, at: &At) {
        let is_told = self.told.kinds.has(Kind::Sessions) && self.told.audiences.has_one_of(at);
        if is_told && when.is_since(self.since) {
            self.items.push((when.time, ITEM_BYTES, Item::Many(user)));
        }
    }

    /// The newest of them, as many as fit.
    fn selected(
        mut self,
        mut not_before: Option<Timestamp>,
        until: &impl Fn(Timestamp) -> Timestamp,
        names: &Names,
    ) -> Selected {
        self.items.sort_unstable_by_key(|(time, ..)| std::cmp::Reverse(*time));
        let mut changes = ChangesTold::default();
        let mut bytes = 0;
        for (time, size, item) in self.items {
            bytes += size;
            if bytes > SNAPSHOT_BYTES {
                // The next newest, so that all older ones are covered.
                not_before = Some(not_before.map_or(time, |known| known.max(time)));
                break;
            }
            match item {
                Item::Event(event) => self.told.add(&mut changes, &event, until(time), names),
                Item::Many(id) => changes.ended_user_sessions.push(EndedAt { id, time: until(time) }),
            }
        }
        Selected { changes, not_before: not_before.map(until) }
    }
}

#[cfg(test)]
mod tests;
