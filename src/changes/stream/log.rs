//! Owns what has ended within the life of the longest access token, in the order in which it is told.

use std::{
    cmp::Reverse,
    collections::{HashMap, HashSet, hash_map::Entry},
    mem::take,
    sync::Arc,
};

use uuid::Uuid;

use super::{
    audiences::{At, union},
    event::{Event, Taken, ToldEvent, When},
};
use crate::{base::Timestamp, model::ClientId};

/// How many ended sessions of one user are named, the latest. Of older ones it is told up to when none counts.
pub(super) const MOST_OF_A_USER: usize = 20;

/// And how many of those at all sets of audiences: who logs in says at which, and many are the sets of a few.
const MOST_OF_A_USER_AT_ALL: u16 = 200;

/// How many entries are sealed at a time: so many are copied at most for whoever reads them.
const SEGMENT: usize = 1_024;

/// What has ended. It grows at its end alone; what reads it does so beside.
#[derive(Debug)]
pub(super) struct Log {
    sealed: Vec<Segment>,
    open: Vec<ToldEvent>,
    /// How many bytes both take.
    bytes: usize,
    /// Beyond how many the older half is forgotten.
    most_bytes: usize,
    /// What was forgotten though it may still count.
    forgotten: Option<Forgotten>,
}

type Segment = Arc<[ToldEvent]>;

/// The log as it was at a moment.
#[derive(Clone, Debug)]
pub(super) struct View {
    segments: Vec<Segment>,
    /// What was forgotten though it may still count.
    pub(super) forgotten: Option<Forgotten>,
}

/// The latest of what was forgotten.
#[derive(Clone, Copy, Debug)]
pub(super) struct Forgotten {
    /// Of all.
    of_all: When,
    /// Of that by which tokens are revoked: of keys and policies it is enough that whoever lacks them begins anew.
    pub(super) of_tokens: Option<Timestamp>,
}

/// What is left of a view once it says the same in less.
pub(super) struct Compacted {
    /// How many segments it takes the place of, and what they take.
    of: usize,
    of_bytes: usize,
    segments: Vec<Segment>,
    bytes: usize,
    forgotten: Option<Forgotten>,
}

/// From when on something is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Since {
    /// All that is remembered.
    All,
    /// What was told after this batch.
    Batch(u64),
    /// What happened at this time or later.
    Time(Timestamp),
}

impl Log {
    /// An empty one, of `most_bytes` at most.
    pub(super) const fn new(most_bytes: usize) -> Self {
        Self { sealed: Vec::new(), open: Vec::new(), bytes: 0, most_bytes, forgotten: None }
    }

    /// Nothing is remembered, as if it were new.
    pub(super) fn clear(&mut self) {
        *self = Self::new(self.most_bytes);
    }

    /// Adds what is told next.
    pub(super) fn add(&mut self, event: Event, when: When) {
        let entry = ToldEvent { event, when };
        self.bytes += entry.bytes();
        self.open.push(entry);
        if self.open.len() >= SEGMENT {
            self.sealed.push(take(&mut self.open).into());
        }
    }

    /// Whether it is larger than it may be: then it is to be compacted.
    pub(super) const fn is_full(&self) -> bool {
        self.bytes > self.most_bytes
    }

    /// Whether all is known that is told `since`.
    pub(super) fn knows(&self, since: Since) -> bool {
        self.forgotten.is_none_or(|forgotten| match since {
            Since::All => true,
            Since::Batch(batch) => batch >= forgotten.of_all.batch,
            Since::Time(time) => time > forgotten.of_all.time,
        })
    }

    /// What is remembered now.
    pub(super) fn view(&self) -> View {
        let mut segments = self.sealed.clone();
        if !self.open.is_empty() {
            segments.push(self.open.as_slice().into());
        }
        View { segments, forgotten: self.forgotten }
    }

    /// What may be compacted, which the next changes are not added to.
    pub(super) fn sealed(&mut self) -> View {
        if !self.open.is_empty() {
            self.sealed.push(take(&mut self.open).into());
        }
        View { segments: self.sealed.clone(), forgotten: self.forgotten }
    }

    /// Puts `compacted` in the place of what it was made of, if that is here still.
    pub(super) fn replace(&mut self, of: &View, compacted: Compacted) {
        let is_same = compacted.of > 0
            && self.sealed.len() >= compacted.of
            && of.segments.iter().zip(&self.sealed).all(|(one, other)| Arc::ptr_eq(one, other));
        if is_same {
            self.bytes = self.bytes - compacted.of_bytes + compacted.bytes;
            self.sealed.splice(..compacted.of, compacted.segments);
            self.forgotten = compacted.forgotten;
        }
    }

    /// How many bytes a log may take.
    pub(super) const fn most_bytes(&self) -> usize {
        self.most_bytes
    }
}

impl Forgotten {
    /// What is `known` to be forgotten, and `entry`.
    fn with(known: Option<Self>, entry: &ToldEvent) -> Self {
        let revokes = !matches!(entry.event, Event::Keys | Event::Policy { .. });
        let of_tokens = revokes.then_some(entry.when.time);
        Self {
            of_all: known.map_or(entry.when, |known| known.of_all.latest(entry.when)),
            of_tokens: of_tokens.max(known.and_then(|known| known.of_tokens)),
        }
    }
}

impl View {
    /// All that is remembered, the latest last.
    pub(super) fn entries(&self) -> impl DoubleEndedIterator<Item = &ToldEvent> {
        self.segments.iter().flat_map(|segment| segment.iter())
    }

    fn bytes(&self) -> usize {
        self.entries().map(ToldEvent::bytes).sum()
    }

    /// The same without what happened before `keep`, with each thing once; and if that is most of `most_bytes`, only the latest that fit
    /// into half of them.
    pub(super) fn compact(&self, keep: Timestamp, most_bytes: usize) -> Compacted {
        let mut forgotten = self.forgotten.filter(|forgotten| forgotten.of_all.time >= keep);
        let mut kept =
            deduplicated(self.entries().rev().filter(|entry| entry.when.time >= keep), OfUser::ByAudiences);
        let mut bytes: usize = kept.iter().map(ToldEvent::bytes).sum();
        // So much is free afterwards that it is not made smaller again in a moment.
        if bytes > most_bytes / 8 * 7 {
            // What was heard while the past was read lies among that.
            kept.sort_by_key(|entry| Reverse(entry.when.time));
            let mut fitting = 0;
            let fit = kept.iter().take_while(|entry| {
                fitting += entry.bytes();
                fitting <= most_bytes / 2
            });
            let fit = fit.count();
            for entry in kept.drain(fit..) {
                bytes -= entry.bytes();
                forgotten = Some(Forgotten::with(forgotten, &entry));
            }
        }
        kept.reverse();
        let segments = kept.chunks(SEGMENT).map(Arc::from).collect();
        Compacted { of: self.segments.len(), of_bytes: self.bytes(), segments, bytes, forgotten }
    }
}

/// What `entries` say, who come from the latest on, with each thing once: where it was told last.
pub(super) fn deduplicated<'a>(
    entries: impl Iterator<Item = &'a ToldEvent>,
    of_user: OfUser,
) -> Vec<ToldEvent> {
    let mut once = Deduplication { of_user, ..Deduplication::default() };
    for entry in entries {
        once.note(entry);
    }
    once.kept
}

/// What is kept, each thing once, and where which one is.
#[derive(Default)]
struct Deduplication {
    kept: Vec<ToldEvent>,
    of_user: OfUser,
    sessions: HashSet<Uuid>,
    users: HashMap<(Uuid, At), Sessions>,
    /// How many sessions of a user are named.
    named: HashMap<Uuid, u16>,
    clients: HashMap<ClientId, usize>,
    scopes: HashMap<Taken, usize>,
    policies: HashMap<Uuid, usize>,
    keys: HashMap<(), usize>,
}

/// Which sessions of a user are counted together.
#[derive(Clone, Copy, Default, PartialEq, Eq)]
pub(super) enum OfUser {
    /// All of them.
    #[default]
    Together,
    /// Those at the same audiences: what a user did at others is nothing to who watches one.
    ByAudiences,
}

/// The sessions of a user: how many are named, and where the others are. Small, since there is one for each user.
#[derive(Default)]
struct Sessions {
    named: u8,
    others: Option<u32>,
}

impl Deduplication {
    fn note(&mut self, entry: &ToldEvent) {
        match &entry.event {
            Event::Session { id, user, at } => self.note_session((*id, user.unwrap_or(*id)), at, entry),
            Event::UserSessions { user, at } => self.note_others(self.key(*user, at), at, entry.when),
            Event::Client { id, .. } => note_in(self.clients.entry(*id), entry, &mut self.kept),
            Event::Scopes(taken) => note_in(self.scopes.entry((**taken).clone()), entry, &mut self.kept),
            Event::Policy { key } => note_in(self.policies.entry(*key), entry, &mut self.kept),
            Event::Keys => note_in(self.keys.entry(()), entry, &mut self.kept),
        }
    }

    fn note_session(&mut self, (id, user): (Uuid, Uuid), at: &At, entry: &ToldEvent) {
        if !self.sessions.insert(id) {
            return;
        }
        let key = self.key(user, at);
        let at_all = self.named.entry(user).or_default();
        if *at_all >= MOST_OF_A_USER_AT_ALL {
            self.note_others((user, None), at, entry.when);
            return;
        }
        let of_user = self.users.entry(key.clone()).or_default();
        if usize::from(of_user.named) < MOST_OF_A_USER {
            of_user.named += 1;
            *at_all += 1;
            self.kept.push(entry.clone());
        } else {
            self.note_others(key, at, entry.when);
        }
    }

    fn key(&self, user: Uuid, at: &At) -> (Uuid, At) {
        (user, if self.of_user == OfUser::ByAudiences { at.clone() } else { None })
    }

    /// Sessions of the user that `key` begins with, and that ended at `at`, are not named.
    fn note_others(&mut self, key: (Uuid, At), at: &At, when: When) {
        let user = key.0;
        let of_user = self.users.entry(key).or_default();
        let known = of_user.others.and_then(|place| self.kept.get_mut(place as usize));
        if let Some(ToldEvent { event: Event::UserSessions { at: known_at, .. }, when: known }) = known {
            (*known, *known_at) = (known.latest(when), union(known_at, at));
        } else {
            of_user.others = u32::try_from(self.kept.len()).ok();
            self.kept.push(ToldEvent { event: Event::UserSessions { user, at: at.clone() }, when });
        }
    }
}

/// Adds `entry` where `place` says, or to what is there.
fn note_in<K>(place: Entry<'_, K, usize>, entry: &ToldEvent, kept: &mut Vec<ToldEvent>) {
    match place {
        Entry::Vacant(place) => {
            place.insert(kept.len());
            kept.push(entry.clone());
        }
        Entry::Occupied(place) => {
            let known = &mut kept[*place.get()];
            known.when = known.when.latest(entry.when);
            if let (Event::Client { at: known, .. }, Event::Client { at, .. }) =
                (&mut known.event, &entry.event)
            {
                *known = union(known, at);
            }
        }
    }
}
