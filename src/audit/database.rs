//! Owns which events go to the database, beside those that the transaction of a change keeps itself: repeated ones are merged, as in the
//! log, but for longer and with less room, since rows stay for months.

use super::{
    Entry, Event, Outbox, Outcome,
    repeats::{Merging, Repeats},
};
use crate::base::{Entropy, Timestamp};

/// What of the events goes to the database.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AuditDatabase {
    /// All of them.
    All,
    /// What was changed, and whom the admin API has refused: no logins, and nothing of what strangers try.
    Changes,
}

/// What hands events on to those who keep them in the database.
#[derive(Debug)]
pub(super) struct Database {
    what: AuditDatabase,
    outbox: Outbox,
    repeats: Repeats,
    entropy: Entropy,
}

impl Database {
    pub(super) fn new(what: AuditDatabase, outbox: Outbox) -> Self {
        Self { what, outbox, repeats: Repeats::new(Merging::DATABASE), entropy: Entropy::system() }
    }

    /// Takes note of `entry`, unless the transaction of the change has.
    pub(super) fn record(&mut self, time: Timestamp, entry: &Entry) {
        if entry.is_left_to_transaction() || !self.what.has(entry) {
            return;
        }
        if self.repeats.is_due(time) {
            self.end_window();
        }
        if let Some(entry) = self.repeats.admit(time, entry.clone()) {
            self.outbox.put(entry.kept(time, 0, &self.entropy));
        }
    }

    /// Hands on what was repeated.
    pub(super) fn end_window(&mut self) {
        for (last, entry, count) in self.repeats.take() {
            self.outbox.put(entry.kept(last, count, &self.entropy));
        }
    }

    /// Whether something waits for the end of its window.
    pub(super) fn is_pending(&self) -> bool {
        self.repeats.is_pending()
    }

    /// Whether the window is over at `now`.
    pub(super) fn is_due(&self, now: Timestamp) -> bool {
        self.repeats.is_due(now)
    }
}

impl AuditDatabase {
    fn has(self, entry: &Entry) -> bool {
        match self {
            Self::All => true,
            Self::Changes => {
                entry.event == Event::AdminRefused
                    || (entry.outcome != Outcome::Failure && entry.event != Event::Login)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;
    use crate::{
        audit::{Actor, Reason},
        metrics::AuditMetrics,
        model::{Origin, UserId},
    };

    fn kept(what: AuditDatabase, entries: impl IntoIterator<Item = Entry>) -> Vec<String> {
        let outbox = Outbox::new(AuditMetrics::default());
        let mut database = Database::new(what, outbox.clone());
        let now = Timestamp::from_micros(0);
        entries.into_iter().for_each(|entry| database.record(now, &entry));
        database.end_window();
        let rows = outbox.oldest(usize::MAX).rows(now, &Entropy::system());
        rows.into_iter().map(|row| row.event).collect()
    }

    #[test]
    fn what_a_transaction_keeps_is_not_kept_twice() {
        let entry = Event::RoleBound.done().by_operator();
        entry.leave_to_transaction();
        assert!(kept(AuditDatabase::All, [entry]).is_empty());
    }

    #[test]
    fn without_logins_only_changes_and_refusals_of_the_admin_api_are_kept() {
        let user = UserId(Uuid::from_u128(1));
        let entries = || {
            [
                Event::Login.done().user(user),
                Event::Login.refused(Reason::WrongPassword).user(user),
                Event::PasswordChanged.refused(Reason::WrongPassword).user(user),
                Event::PasswordChanged.done().user(user),
                Event::AdminRefused.refused(Reason::MissingScope),
            ]
        };
        assert_eq!(kept(AuditDatabase::All, entries()).len(), 5);
        let changes = kept(AuditDatabase::Changes, entries());
        assert_eq!(changes, ["password.changed", "admin.refused"]);
    }

    /// Whatever others do in ten minutes: failures of made-up names, of every user and of every client, from everywhere, and every user at
    /// the admin API.
    #[test]
    fn no_flood_makes_more_rows_than_the_window_has_room_for() {
        let flood = (0..100_000_u32).map(|number| {
            let address = Some(std::net::Ipv4Addr::from(number).to_string());
            let origin = Origin { address, ..Origin::default() };
            let entry = Event::Login.refused(Reason::WrongPassword).origin(&origin);
            let user = UserId(Uuid::from_u128(number.into()));
            match number % 4 {
                0 => entry,
                1 => entry.user(user),
                2 => entry.client(number.to_string()),
                _ => Event::AdminRefused.refused(Reason::MissingScope).by(Actor::User(user)).origin(&origin),
            }
        });
        let rows = kept(AuditDatabase::All, flood).len();
        // Each kind has a row at once and one at the end; docs/AUDIT.md states it.
        assert!((512..=2 * 530).contains(&rows), "{rows}");
    }
}
