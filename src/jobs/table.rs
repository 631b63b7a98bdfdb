//! Owns the table of shared jobs: what one process does for all that share the database.

use std::{sync::Arc, time::Duration};

use futures_util::{FutureExt, future::BoxFuture};

use crate::{
    base::Timestamp,
    changes::Feed,
    identity::{AdminRequests, AuditTrail, Clients, Guessing, Sessions, UserSearchUpkeep, Usernames},
    metrics::TimedWork,
    model::Error,
};

/// The parts that shared jobs work on.
pub(crate) struct Upkeep {
    pub(crate) sessions: Arc<Sessions>,
    pub(crate) clients: Arc<Clients>,
    pub(crate) guessing: Arc<Guessing>,
    pub(crate) usernames: Usernames,
    pub(crate) admin_requests: AdminRequests,
    pub(crate) user_search: UserSearchUpkeep,
    pub(crate) audit_trail: Arc<AuditTrail>,
    pub(crate) changes: Arc<Feed>,
}

/// A job that one process runs for all.
pub(super) struct SharedJob {
    /// Its name, and that of its lease.
    pub(super) name: &'static str,
    /// The time between the beginnings of two runs, at least; seconds more at most, unless runs take longer.
    pub(super) period: Duration,
    /// Whether it also runs once after each process has started.
    pub(super) at_start: bool,
    /// What it is to the metrics, if it goes by the age of rows: then a process whose clock is wrong leaves it to others.
    pub(super) by_age: Option<TimedWork>,
    /// What does not work while the job fails, for the log.
    pub(super) failing: &'static str,
    /// Runs it, as of a moment.
    pub(super) run: for<'a> fn(&'a Upkeep, Timestamp) -> BoxFuture<'a, Result<(), Error>>,
}

/// For what others wait, or what grows with every change.
const MINUTE: Duration = Duration::from_mins(1);

/// What expires is refused from then on, and only takes up room until it is deleted.
const TEN_MINUTES: Duration = Duration::from_mins(10);

/// All of them. A new one is a line here, and the function that it names.
pub(super) static SHARED: [SharedJob; 11] = [
    SharedJob {
        name: "sessions",
        period: TEN_MINUTES,
        at_start: false,
        by_age: Some(TimedWork::Sessions),
        failing: "expired sessions stay for now",
        run: |on, now| on.sessions.sweep(now).boxed(),
    },
    SharedJob {
        name: "assertions",
        period: TEN_MINUTES,
        at_start: false,
        by_age: Some(TimedWork::Assertions),
        failing: "expired assertions stay for now",
        run: |on, now| on.clients.sweep(now).boxed(),
    },
    SharedJob {
        name: "password_failures",
        period: TEN_MINUTES,
        at_start: false,
        by_age: Some(TimedWork::PasswordFailures),
        failing: "failures that count no longer stay for now",
        run: |on, now| on.guessing.sweep(now).boxed(),
    },
    SharedJob {
        name: "changes",
        period: MINUTE,
        at_start: false,
        by_age: Some(TimedWork::Changes),
        failing: "old changes stay in the feed for now",
        run: |on, now| on.changes.delete_old(now).boxed(),
    },
    SharedJob {
        name: "resting_usernames",
        period: MINUTE,
        at_start: false,
        by_age: Some(TimedWork::RestingUsernames),
        failing: "names that rest no longer stay for now",
        run: |on, now| on.usernames.delete_rested(now).boxed(),
    },
    SharedJob {
        name: "admin_requests",
        period: TEN_MINUTES,
        at_start: false,
        by_age: Some(TimedWork::AdminRequests),
        failing: "the ids of old requests of administrators stay for now",
        run: |on, now| on.admin_requests.forget_old(now).boxed(),
    },
    SharedJob {
        name: "audit_events",
        period: TEN_MINUTES,
        at_start: false,
        by_age: Some(TimedWork::AuditEvents),
        failing: "old audit events stay for now",
        run: |on, now| on.audit_trail.sweep(now).boxed(),
    },
    SharedJob {
        name: "recent_usernames",
        period: MINUTE,
        at_start: false,
        by_age: None,
        failing: "what the names of new users look like is not looked up for now",
        run: |on, now| on.usernames.refresh_recent(now).boxed(),
    },
    // At the start, too: this release may know a newer Unicode than the one before.
    SharedJob {
        name: "usernames",
        period: Duration::from_hours(24),
        at_start: true,
        by_age: None,
        failing: "what names look like is not looked up for now",
        run: |on, _| on.usernames.refresh().boxed(),
    },
    SharedJob {
        name: "recent_user_search",
        period: MINUTE,
        at_start: false,
        by_age: None,
        failing: "new users are not found by search for now, if an earlier release added them",
        run: |on, now| on.user_search.refresh_recent(now).boxed(),
    },
    // At the start, too: an upgrade brings indexes, and the release before has written rows until now.
    SharedJob {
        name: "user_search",
        period: Duration::from_hours(24),
        at_start: true,
        by_age: None,
        failing: "what users are searched by is not built or filled for now",
        run: |on, now| on.user_search.refresh(now).boxed(),
    },
];

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn each_job_has_a_name_of_its_own_that_its_lease_can_have() {
        let names: BTreeSet<_> =
            SHARED.iter().map(|job| job.name).chain([crate::store::SIGNING_KEYS_LEASE]).collect();
        assert_eq!(names.len(), SHARED.len() + 1);
        assert!(names.iter().all(|name| name.len() <= 64));
    }
}
