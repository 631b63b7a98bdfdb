//! Owns taking users in, batch by batch: new users in one transaction, replaced ones in several, so that it can be begun again.

use std::{
    collections::{HashMap, HashSet},
    sync::Arc,
};

use super::{Candidate, ImportCounts, Reason, RefusedRow, Row, RowOutcome, candidate::attributes_by};
use crate::{
    audit::{Actor, Audit, Event, Pending},
    base::Clock,
    model::{Declarations, Error, UserId},
    store::{ReplacedUser, SeenKeys, Store, StoredUser},
};

/// How often a batch is tried again when others add or change the same users at the same time.
const ATTEMPTS: usize = 10;

/// How many users are replaced in one transaction: each is a statement of its own.
const REPLACED_TOGETHER: usize = 50;

/// How many of those whose sessions end with it: each may have a thousand.
const LOGGED_OUT_TOGETHER: usize = 10;

/// What becomes of a row whose user is there with another password hash, or under another id.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OnConflict {
    /// The user stays as it is.
    Skip,
    /// The user stays as it is, and the row is refused.
    Fail,
    /// The user takes over what the row says; but for its id, which never changes.
    Update,
}

/// How users are taken in.
#[derive(Clone, Copy, Debug)]
pub struct ImportSettings {
    /// What becomes of users who are there.
    pub on_conflict: OnConflict,
    /// Whether nothing is written, and only told what would be.
    pub dry_run: bool,
    /// What the number of a row counts: `line` or `row`.
    pub place: &'static str,
}

/// One run, which is recorded at its end.
#[derive(Debug)]
pub struct Import<'a> {
    event: Pending<'a>,
    audit: &'a Audit,
    by: Actor,
    store: Store,
    settings: ImportSettings,
    clock: Clock,
    /// Which attributes users may have, as of the beginning.
    declared: Arc<Declarations>,
    /// Names and ids of the rows so far.
    seen: SeenKeys,
    tally: ImportCounts,
    /// How many users were added when the database was told last that there are more.
    told: u64,
}

/// What is to be done for a candidate, by what is in the database.
enum Decision {
    Add,
    /// The present state, and the one to come.
    Replace(Box<ReplacedUser>),
    Nothing(RowOutcome),
}

/// A candidate, and where in its batch it stands.
struct Waiting {
    index: usize,
    candidate: Candidate,
}

impl<'a> Import<'a> {
    /// A run that takes users into `store`, and of which `audit` is told.
    ///
    /// # Errors
    /// [`Error::Internal`] if there is no room for a temporary file; [`Error::Unavailable`] or [`Error::Internal`], with the cause.
    pub async fn begin(
        store: Store,
        settings: ImportSettings,
        clock: Clock,
        audit: &'a Audit,
        by: &Actor,
    ) -> Result<Self, Error> {
        store.expect_many().await?;
        let seen = SeenKeys::open().await?;
        let declared = Arc::new(store.declarations().await?);
        let event = audit.begin(Event::UsersImported.done().by(by.clone()));
        let (by, tally) = (by.clone(), ImportCounts::default());
        Ok(Self { event, audit, by, store, settings, clock, declared, seen, tally, told: 0 })
    }

    /// Ends the run, which need not have come to the end of its rows: it is an event if a user was added or changed.
    #[must_use]
    pub fn end(self) -> ImportCounts {
        let Self { event, settings, tally, .. } = self;
        event.done_if(!settings.dry_run && tally.added + tally.updated > 0);
        tally
    }

    /// Which attributes users may have: by these the rows are judged.
    #[must_use]
    pub fn declared(&self) -> Arc<Declarations> {
        Arc::clone(&self.declared)
    }

    /// What came of all rows so far.
    #[must_use]
    pub const fn tally(&self) -> ImportCounts {
        self.tally
    }

    /// Takes in one batch, and says of each row in turn what became of it.
    ///
    /// # Errors
    /// [`Error::Unavailable`] or [`Error::Internal`], with the cause; the batches before are there.
    pub async fn take(&mut self, rows: &[Row]) -> Result<Vec<RowOutcome>, Error> {
        let mut outcomes: Vec<Option<RowOutcome>> = rows
            .iter()
            .map(|row| row.candidate.as_ref().err().map(|refusal| RowOutcome::Refused(refusal.clone())))
            .collect();
        self.refuse_duplicates(rows, &mut outcomes).await?;
        let pending = |outcomes: &[Option<RowOutcome>]| -> Vec<Waiting> {
            let open = rows.iter().enumerate().filter(|(index, _)| outcomes[*index].is_none());
            open.filter_map(|(index, row)| {
                row.candidate.as_ref().ok().map(|candidate| Waiting { index, candidate: candidate.clone() })
            })
            .collect()
        };
        // Most batches are of new users alone.
        let mut waiting = pending(&outcomes);
        if !self.settings.dry_run && self.add(&waiting, &mut outcomes).await? {
            waiting.clear();
        }
        let mut attempts = ATTEMPTS;
        while !waiting.is_empty() {
            self.settle(waiting, &mut outcomes).await?;
            waiting = pending(&outcomes);
            attempts -= 1;
            if attempts == 0 && !waiting.is_empty() {
                return Err(Error::internal("others go on adding and changing the same users: try again"));
            }
        }
        let outcomes: Vec<_> = outcomes.into_iter().flatten().collect();
        for (row, outcome) in rows.iter().zip(&outcomes) {
            self.tally
                .count(outcome, row.candidate.as_ref().is_ok_and(|candidate| candidate.is_active_empty));
        }
        self.tell_of_growth().await;
        Ok(outcomes)
    }

    /// Has the database know that there are more users, each time when those that were added are twice as many. Without it the import
    /// becomes slower and slower, or ends by the timeout of a statement; what the database makes of it is no reason to end it.
    async fn tell_of_growth(&mut self) {
        let added = self.tally.added;
        if self.settings.dry_run || added == 0 || added < 2 * self.told {
            return;
        }
        self.told = added;
        if let Err(error) = self.store.users_have_grown().await {
            tracing::warn!(%error, "the database did not count its users: the import may be slow");
        }
    }

    /// Refuses whoever has a name or an id of an earlier row.
    async fn refuse_duplicates(
        &mut self,
        rows: &[Row],
        outcomes: &mut [Option<RowOutcome>],
    ) -> Result<(), Error> {
        let (mut keys, mut owners) = (Vec::new(), Vec::new());
        for (index, row) in rows.iter().enumerate() {
            let Ok(Candidate { user, given, .. }) = &row.candidate else { continue };
            keys.push((format!("name {}", user.user.username.stored()), row.place));
            owners.push((index, "name, by the rules of RFC 8265,"));
            if given.id {
                keys.push((format!("id {}", user.user.id), row.place));
                owners.push((index, "id"));
            }
        }
        for (met, (index, what)) in self.seen.note(&keys).await?.into_iter().zip(owners) {
            if let Some(place) = met.filter(|_| outcomes[index].is_none()) {
                let problem = format!("has the same {what} as {} {place}", self.settings.place);
                outcomes[index] =
                    Some(RowOutcome::Refused(RefusedRow::new(Reason::DuplicateInInput, problem)));
            }
        }
        Ok(())
    }

    /// Adds all of `new`; false if somebody stands in the way, and none was added.
    async fn add(&self, new: &[Waiting], outcomes: &mut [Option<RowOutcome>]) -> Result<bool, Error> {
        let users: Vec<_> = new.iter().map(|pending| pending.candidate.user.clone()).collect();
        let added = if self.settings.dry_run {
            Some(HashSet::new())
        } else {
            self.store.add_users(&users, self.clock.now()).await?
        };
        let Some(collided) = added else { return Ok(false) };
        for Waiting { index, candidate } in new {
            let id = candidate.user.user.id;
            let collision = || {
                let problem = "has a name that looks like another user's, or is one by its canonical form: `signet users list \
                               --collisions` shows whose";
                RefusedRow::new(Reason::UsernameCollides, problem)
            };
            let note = candidate.note.clone().or_else(|| collided.contains(&id).then(collision));
            outcomes[*index] = Some(note.map_or(RowOutcome::Added(id), |note| RowOutcome::Noted(id, note)));
        }
        Ok(true)
    }

    /// Does what is to be done for each of `waiting`. What somebody else changed meanwhile stays open.
    async fn settle(&self, waiting: Vec<Waiting>, outcomes: &mut [Option<RowOutcome>]) -> Result<(), Error> {
        let names: Vec<_> = waiting.iter().map(|pending| &pending.candidate.user.user.username).collect();
        let ids: Vec<_> = waiting.iter().map(|pending| pending.candidate.user.user.id).collect();
        let there = self.store.users_among(&names, &ids).await?;
        let by_name: HashMap<&str, &StoredUser> =
            there.iter().map(|found| (found.user.username.stored(), found)).collect();
        let by_id: HashMap<UserId, &StoredUser> = there.iter().map(|found| (found.user.id, found)).collect();
        let (mut new, mut replaced) = (Vec::new(), Vec::new());
        for pending in waiting {
            let user = &pending.candidate.user.user;
            let (same_name, same_id) = (by_name.get(user.username.stored()), by_id.get(&user.id));
            match self.decide(&pending.candidate, same_name.copied(), same_id.copied()) {
                Decision::Add => new.push(pending),
                Decision::Replace(change) => replaced.push((pending.index, *change)),
                Decision::Nothing(outcome) => outcomes[pending.index] = Some(outcome),
            }
        }
        self.add(&new, outcomes).await?;
        let (losers, others): (Vec<_>, Vec<_>) =
            replaced.into_iter().partition(|(_, change)| change.old.loses_sessions_to(&change.new));
        let losers = losers.chunks(LOGGED_OUT_TOGETHER);
        for changes in losers.chain(others.chunks(REPLACED_TOGETHER)) {
            let users: Vec<_> = changes.iter().map(|(_, change)| change.clone()).collect();
            if self.settings.dry_run || self.replace(&users).await? {
                for (index, change) in changes {
                    outcomes[*index] = Some(RowOutcome::Updated(change.old.user.id));
                }
            }
        }
        Ok(())
    }

    /// Replaces each of `users`, and records it; false if somebody else changed one of them meanwhile, and none was replaced.
    async fn replace(&self, users: &[ReplacedUser]) -> Result<bool, Error> {
        let told = self.store.replace_users(users, &self.by, self.clock.now()).await?;
        let is_done = told.is_some();
        told.into_iter().flatten().for_each(|entry| self.audit.record(entry));
        Ok(is_done)
    }

    fn decide(
        &self,
        candidate: &Candidate,
        same_name: Option<&StoredUser>,
        same_id: Option<&StoredUser>,
    ) -> Decision {
        let refused = |reason, problem: String| {
            Decision::Nothing(RowOutcome::Refused(RefusedRow::new(reason, problem)))
        };
        let Candidate { user: new, given, .. } = candidate;
        let Some(old) = same_name else {
            return match same_id {
                Some(other) => {
                    let name = other.user.username.typed().escape_debug();
                    refused(Reason::IdTaken, format!("has the id of the user `{name}`, who is there"))
                }
                None => Decision::Add,
            };
        };
        let id = old.user.id;
        if old.user.username.typed() != new.user.username.typed() {
            let name = old.user.username.typed().escape_debug();
            let problem = format!("has the name of the user `{name}` ({id}), by the rules of RFC 8265");
            return refused(Reason::UsernameCollision, problem);
        }
        let other_id = given.id && new.user.id != id;
        let same = !other_id && (given.id || old.password_hash == new.password_hash);
        match self.settings.on_conflict {
            OnConflict::Skip | OnConflict::Fail if same => Decision::Nothing(RowOutcome::AlreadyThere(id)),
            OnConflict::Skip => Decision::Nothing(RowOutcome::Skipped(id)),
            OnConflict::Fail if other_id => refused(Reason::IdDiffers, format!("is there under the id {id}")),
            OnConflict::Fail => {
                refused(Reason::UserExists, format!("is there, with another password ({id})"))
            }
            OnConflict::Update if other_id => {
                refused(Reason::IdDiffers, format!("is there under the id {id}"))
            }
            OnConflict::Update => self.update(old, candidate),
        }
    }

    /// `old` with what the row says.
    fn update(&self, old: &StoredUser, candidate: &Candidate) -> Decision {
        let Candidate { user: new, given, attributes, .. } = candidate;
        let mut next = old.clone();
        next.password_hash.clone_from(&new.password_hash);
        if given.email {
            next.user.email.clone_from(&new.user.email);
        }
        if given.display_name {
            next.user.display_name.clone_from(&new.user.display_name);
        }
        if given.is_active {
            next.user.is_active = new.user.is_active;
        }
        if given.create_time {
            next.user.create_time = new.user.create_time;
        }
        if given.login_time {
            next.login_time = new.login_time;
        }
        if given.update_time {
            next.user.update_time = new.user.update_time;
        }
        let mut changed = Vec::new();
        if let Some(edit) = attributes {
            match attributes_by(edit, &old.user.attributes, &self.declared) {
                Ok((having, names)) => (next.user.attributes, changed) = (having, names),
                Err(refusal) => return Decision::Nothing(RowOutcome::Refused(refusal)),
            }
        }
        if next == *old {
            return Decision::Nothing(RowOutcome::AlreadyThere(old.user.id));
        }
        if !given.update_time {
            next.user.update_time = self.clock.now();
        }
        Decision::Replace(Box::new(ReplacedUser { old: old.clone(), new: next, attributes: changed }))
    }
}
