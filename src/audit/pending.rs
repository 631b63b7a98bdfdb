//! Owns audit events whose outcome is not known yet: if dropped, it is unknown.

use super::{Audit, Entry, FieldChange, Outcome};
use crate::{errors::Row, model::Error};

/// An event whose outcome is not known yet. Dropped before it is, the event is recorded with the outcome `unknown`: a call
/// whose client goes away is dropped wherever it waits, and the database may do all the same what it was told. Of a change that is judged
/// in its transaction nothing is recorded before that has asked for its commit.
#[derive(Debug)]
#[must_use]
pub struct Pending<'a> {
    audit: &'a Audit,
    /// None once the outcome is known.
    entry: Option<Entry>,
}

impl<'a> Pending<'a> {
    pub(super) const fn new(audit: &'a Audit, entry: Entry) -> Self {
        Self { audit, entry: Some(entry) }
    }

    /// It was done.
    pub fn done(mut self) {
        if let Some(entry) = self.entry.take() {
            self.audit.record(entry);
        }
    }

    /// It was done, and changed `fields`: perhaps fewer than were asked for.
    pub fn done_changing(mut self, fields: impl IntoIterator<Item = impl Into<FieldChange>>) {
        if let Some(entry) = self.entry.take() {
            self.audit.record(entry.changed(fields));
        }
    }

    /// It was done, and the `others` with it, in the same transaction.
    pub fn done_with(mut self, others: impl IntoIterator<Item = Entry>) {
        if let Some(entry) = self.entry.take() {
            self.audit.record_all([entry].into_iter().chain(others).collect());
        }
    }

    /// The same, which ended `count` sessions.
    pub fn ending(mut self, count: usize) -> Self {
        if count > 0 {
            self.entry = self.entry.take().map(|entry| entry.sessions(count as u64));
        }
        self
    }

    /// It did not: there is nothing to tell.
    pub fn dismiss(mut self) {
        self.entry = None;
    }

    /// It was done, or not.
    pub fn done_if(self, came_to_pass: bool) {
        if came_to_pass {
            self.done();
        } else {
            self.dismiss();
        }
    }

    /// It was done if there is no `error`, and not if the error says so; others leave it unknown.
    pub fn settle(self, error: Option<&Error>) {
        match error {
            None => self.done(),
            Some(error) if Row::of(error).leaves_unknown() => drop(self),
            Some(_) => self.dismiss(),
        }
    }
}

impl Drop for Pending<'_> {
    fn drop(&mut self) {
        if let Some(entry) = self.entry.take().filter(Entry::may_be_committed) {
            self.audit.record(Entry { outcome: Outcome::Unknown, ..entry });
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::{
        audit::{AuditLog, Event},
        base::Clock,
        metrics::AuditMetrics,
    };

    #[tokio::test]
    async fn what_is_given_up_half_way_is_told_as_unknown() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("audit.log");
        let audit =
            Audit::open(&AuditLog::File(path.clone()), Clock::system(), AuditMetrics::default()).unwrap();
        audit.begin(Event::SignedUp.done()).settle(None);
        audit.begin(Event::UserDeleted.done()).settle(Some(&Error::UsernameTaken));
        audit.begin(Event::UserEnabled.done()).settle(Some(&Error::internal("who knows")));
        drop(audit.begin(Event::PasswordChanged.done()));
        for is_committed in [false, true] {
            let entry = Event::RoleBound.done();
            let pending = audit.begin(entry.clone());
            entry.await_judgement();
            if is_committed {
                entry.leave_to_transaction();
            }
            drop(pending);
        }
        assert!(audit.flush(Duration::from_mins(1)).await);
        let text = std::fs::read_to_string(path).unwrap();
        let outcomes = text.lines().map(|line| {
            let line: serde_json::Value = serde_json::from_str(line).unwrap();
            (line["event"].as_str().unwrap().to_owned(), line["outcome"].as_str().unwrap().to_owned())
        });
        let expected = [
            ("user.signed_up", "success"),
            ("user.enabled", "unknown"),
            ("password.changed", "unknown"),
            ("role.bound", "unknown"),
        ];
        assert!(outcomes.eq(expected.map(|(event, outcome)| (event.to_owned(), outcome.to_owned()))));
    }
}
