//! Owns what the hub knows: what has ended, what is to be told next, and who watches.

use std::{
    collections::{HashMap, HashSet},
    time::Duration,
};

use uuid::Uuid;

use super::{
    audiences::Names,
    event::Event,
    group::{Group, Told},
    history::{History, When},
    watcher::{End, Watcher},
};
use crate::{
    base::Timestamp,
    model::{AdminScope, NameSet},
    store::{Change, ChangeKind},
};

/// What the hub knows.
pub(super) struct State {
    pub(super) names: Names,
    /// Whether changes are noted: from when the first begins to watch.
    pub(super) is_noting: bool,
    /// Whether what has ended before that has been read.
    pub(super) is_loaded: bool,
    /// How often everything was forgotten.
    pub(super) generation: u64,
    /// The last batch that was told.
    pub(super) batch: u64,
    /// Until when the feed has been read.
    pub(super) read_until: Timestamp,
    pub(super) forgot_at: Duration,
    pub(super) pending: Vec<(Event, Timestamp)>,
    /// The clients whose streams end, since something about them has changed; or all.
    pub(super) ending: HashSet<Uuid>,
    pub(super) ends_all: bool,
    pub(super) history: History,
    pub(super) groups: HashMap<Told, Group>,
    pub(super) watchers: usize,
    /// How many have watched.
    pub(super) serial: u64,
}

impl State {
    /// Nothing: nobody watches yet. `own` are the names of the service's own audience.
    pub(super) fn new(own: NameSet, now: Timestamp, monotonic: Duration) -> Self {
        Self {
            names: Names::new(own),
            is_noting: false,
            is_loaded: false,
            generation: 0,
            batch: 0,
            read_until: now,
            forgot_at: monotonic,
            pending: Vec::new(),
            ending: HashSet::new(),
            ends_all: false,
            history: History::default(),
            groups: HashMap::new(),
            watchers: 0,
            serial: 0,
        }
    }

    /// Forgets all that has ended, and those who watch.
    pub(super) fn forget_everything(&mut self) {
        self.generation += 1;
        (self.is_noting, self.is_loaded) = (false, false);
        self.history = History::default();
        self.pending.clear();
        self.groups.clear();
        self.watchers = 0;
    }

    /// Notes a change that was made before anybody watched.
    pub(super) fn note_earlier(&mut self, change: &Change) {
        if let Some(event) = Event::of(change, &mut self.names) {
            self.history.note(&event, When { time: change.create_time, batch: self.batch });
        }
    }

    /// Notes a change that the feed tells of.
    pub(super) fn note(&mut self, change: &Change) {
        if matches!(change.kind, Some(ChangeKind::Client | ChangeKind::Binding)) {
            self.ending.insert(change.subject);
        }
        let Some(event) = Event::of(change, &mut self.names) else { return };
        if let Event::Scopes { subject, client: None, audience, scopes } = &event
            && audience.is_signet()
            && scopes.contains(AdminScope::EventsWatch.name())
        {
            match subject {
                Some(subject) => drop(self.ending.insert(*subject)),
                None => self.ends_all = true,
            }
        }
        self.history.note(&event, When { time: change.create_time, batch: self.batch + 1 });
        self.pending.push((event, change.create_time));
    }

    /// Ends the streams of the watchers of whom `is_meant` says so.
    pub(super) fn end(&mut self, end: End, is_meant: impl Fn(&Watcher) -> bool) {
        for group in self.groups.values_mut() {
            let before = group.watchers.len();
            group.watchers.retain(|_, (_, watcher)| {
                let ends = is_meant(watcher);
                if ends {
                    watcher.end(end);
                }
                !ends
            });
            self.watchers -= before - group.watchers.len();
        }
        self.groups.retain(|_, group| !group.watchers.is_empty());
    }
}
