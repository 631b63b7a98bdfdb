//! Owns what those are told first who begin to watch, or go on: made beside the hub, once for all who are told the same.

use std::{
    cmp::Reverse,
    collections::{HashMap, hash_map},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use hyper::body::Bytes;
use uuid::Uuid;

use super::{
    audiences::Names,
    event::{Event, ToldEvent, When},
    interest::Interest,
    log::{OfUser, Since, View, deduplicated},
    split::in_messages,
    told::{ChangesTold, Encode, Kind, Part},
};
use crate::{base::Timestamp, changes::StreamSettings};

/// How many clients it takes at least to fill the room for what is unread.
const CLIENTS_TO_FILL: usize = 4;

/// How many bytes a snapshot may have in all.
const SNAPSHOT_BYTES: usize = 16 * 1_024 * 1_024;

/// What somebody is told first.
#[derive(Debug)]
pub(super) struct Answer {
    pub(super) messages: Vec<Bytes>,
    /// The last batch that it tells.
    pub(super) batch: u64,
    /// Whether it says of a time instead of all that has ended.
    pub(super) is_cut: bool,
    bytes: usize,
    client: Uuid,
    held: Arc<Held>,
}

/// How many bytes answers take that somebody has yet to read: all of them, and those that a client had made.
#[derive(Debug, Default)]
struct Held(Mutex<(usize, HashMap<Uuid, usize>)>);

/// How answers are made.
pub(super) struct Answers {
    pub(super) settings: StreamSettings,
    pub(super) names: Names,
    pub(super) encode: Arc<dyn Encode>,
    held: Arc<Held>,
    /// How many bytes they may take that somebody has yet to read.
    most: usize,
}

/// What is told, and whether that is all.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Selected {
    pub(super) changes: ChangesTold,
    /// Before when no token counts, if not all can be told.
    pub(super) not_before: Option<Timestamp>,
    /// How many bytes that takes, about.
    pub(super) bytes: usize,
}

/// Why there is no answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum NoAnswer {
    /// Not all that has changed since fits: a snapshot can say so, and nothing else.
    Past,
    /// So much is unread of others that there is no room.
    Room,
}

/// What an answer is made of.
pub(super) struct AnswerRequest {
    /// The client that has it made.
    pub(super) client: Uuid,
    pub(super) interest: Interest,
    pub(super) since: Since,
    pub(super) view: View,
    /// The last batch in the view, and where whoever is told it goes on.
    pub(super) batch: u64,
    pub(super) position: Vec<u8>,
}

impl Answers {
    /// As `settings` say and `encode` writes, of which at most `most` bytes are unread at a time.
    pub(super) fn new(settings: StreamSettings, encode: Arc<dyn Encode>, most: usize) -> Self {
        let names = Names::new(settings.own.clone());
        Self { settings, names, encode, held: Arc::default(), most }
    }

    /// The answer to what is `asked`.
    ///
    /// # Errors
    /// What it lacks.
    pub(super) fn make(&self, asked: &AnswerRequest) -> Result<Answer, NoAnswer> {
        let Selected { mut changes, not_before, bytes } =
            select(&asked.interest, &asked.view, asked.since, self);
        let is_snapshot = asked.since == Since::All;
        if not_before.is_some() && !is_snapshot {
            return Err(NoAnswer::Past);
        }
        if !self.held.has_room(asked.client, bytes, self.most) {
            return Err(NoAnswer::Room);
        }
        // How far another process had told of keys and policies is not known. To read them anew costs little.
        if matches!(asked.since, Since::Time(_)) {
            self.add_documents(&asked.interest, &mut changes);
        }
        let messages = if is_snapshot {
            self.snapshot(changes, not_before, &asked.position)
        } else if changes.is_empty() {
            vec![self.encode.encode(Some(&asked.position), &Part::Heartbeat)]
        } else {
            self.in_messages(changes, &asked.position)
        };
        let bytes = messages.iter().map(Bytes::len).sum();
        self.held.take(asked.client, bytes);
        let (client, held) = (asked.client, Arc::clone(&self.held));
        Ok(Answer { messages, batch: asked.batch, is_cut: not_before.is_some(), bytes, client, held })
    }

    /// Has `changes` say that keys and policies have changed.
    fn add_documents(&self, interest: &Interest, changes: &mut ChangesTold) {
        let policies = interest.audiences.iter().map(|audience| Event::Policy { key: audience.key() });
        for event in policies.chain([Event::Keys]).filter(|event| interest.has(event)) {
            let when = When { time: Timestamp::from_micros(0), batch: 0 };
            interest.add(changes, &ToldEvent { event, when }, |time| time, &self.names);
        }
    }

    /// Whether half of what may be unread is.
    pub(super) fn is_half_full(&self) -> bool {
        self.held.all() > self.most / 2
    }

    /// `changes` as they are sent, the last message of which is told at `position`: whoever has only some of them goes on before all.
    pub(super) fn in_messages(&self, changes: ChangesTold, position: &[u8]) -> Vec<Bytes> {
        let parts = in_messages(changes);
        let last = parts.len() - 1;
        let encoded = parts.into_iter().enumerate().map(|(at, changes)| {
            self.encode.encode(Some(position).filter(|_| at == last), &Part::Changes(changes))
        });
        encoded.collect()
    }

    fn snapshot(&self, changes: ChangesTold, not_before: Option<Timestamp>, position: &[u8]) -> Vec<Bytes> {
        let parts = in_messages(changes);
        let last = parts.len() - 1;
        let encoded = parts.into_iter().enumerate().map(|(at, changes)| {
            let part = Part::Snapshot {
                changes,
                tokens_not_before: not_before.filter(|_| at == 0),
                is_last: at == last,
                keep_for: (at == 0).then(|| self.settings.keep_for()),
            };
            self.encode.encode(Some(position).filter(|_| at == last), &part)
        });
        encoded.collect()
    }
}

#[cfg(test)]
impl Answer {
    /// One of these messages.
    pub(super) fn of(messages: Vec<Bytes>) -> Self {
        Self { messages, batch: 0, is_cut: false, bytes: 0, client: Uuid::nil(), held: Arc::default() }
    }
}

impl Held {
    /// Whether `client` may have `bytes` more made, if all together may be `most`: one answer always, if nothing is unread, or nothing of
    /// its own and there is room; more only in its share.
    fn has_room(&self, client: Uuid, bytes: usize, most: usize) -> bool {
        let (all, clients) = &*self.lock();
        let own = clients.get(&client).copied().unwrap_or_default();
        *all == 0 || all + bytes <= most && (own == 0 || own + bytes <= most / CLIENTS_TO_FILL)
    }

    fn take(&self, client: Uuid, bytes: usize) {
        let (all, clients) = &mut *self.lock();
        *all += bytes;
        *clients.entry(client).or_default() += bytes;
    }

    fn give_back(&self, client: Uuid, bytes: usize) {
        let (all, clients) = &mut *self.lock();
        *all = all.saturating_sub(bytes);
        if let hash_map::Entry::Occupied(mut own) = clients.entry(client) {
            *own.get_mut() = own.get().saturating_sub(bytes);
            if *own.get() == 0 {
                own.remove();
            }
        }
    }

    fn all(&self) -> usize {
        self.lock().0
    }

    fn lock(&self) -> MutexGuard<'_, (usize, HashMap<Uuid, usize>)> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Answer {
    fn drop(&mut self) {
        self.held.give_back(self.client, self.bytes);
    }
}

/// What those of `interest` are told of what `view` has `since`.
fn select(interest: &Interest, view: &View, since: Since, answers: &Answers) -> Selected {
    let until = |time| answers.settings.until(time);
    let is_told = |entry: &&ToldEvent| {
        let is_since = match since {
            // Whoever begins fetches keys and policies anyway.
            Since::All => !matches!(entry.event, Event::Keys | Event::Policy { .. }),
            Since::Batch(batch) => entry.when.batch > batch,
            Since::Time(time) => entry.when.time >= time,
        };
        is_since && interest.has(&entry.event)
    };
    let mut entries = deduplicated(view.entries().rev().filter(is_told), OfUser::Together);
    entries.sort_by_key(|entry| Reverse(entry.when.time));
    // What was forgotten may have been theirs, unless they are told of no such thing.
    let has_forgotten =
        [Kind::Sessions, Kind::Clients, Kind::Scopes].iter().any(|kind| interest.kinds.has(*kind));
    let forgotten = view.forgotten.filter(|_| since == Since::All && has_forgotten);
    let mut not_before = forgotten.and_then(|forgotten| forgotten.of_tokens);
    let (mut changes, mut bytes) = (ChangesTold::default(), 0);
    for entry in &entries {
        let more = entry.event.message_bytes();
        if bytes + more > SNAPSHOT_BYTES {
            // The newest that does not fit, so that all older ones are covered.
            not_before = Some(not_before.map_or(entry.when.time, |known| known.max(entry.when.time)));
            break;
        }
        bytes += more;
        interest.add(&mut changes, entry, until, &answers.names);
    }
    // Times of tokens are whole seconds.
    let not_before = not_before.map(|time| until(time).after(Duration::from_secs(1)));
    Selected { changes, not_before, bytes }
}

#[cfg(test)]
mod tests;
