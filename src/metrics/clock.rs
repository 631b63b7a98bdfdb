//! Owns what is measured of this process's clock beside the database's.

use prometheus::{Gauge, IntCounterVec, Registry};

use super::{families, series};

/// What is not done while the clocks disagree.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TimedWork {
    /// Deleting expired sessions.
    Sessions,
    /// Deleting expired assertions of clients.
    Assertions,
    /// Deleting failures of passwords that count no longer.
    PasswordFailures,
    /// Deleting names that rest no longer.
    RestingUsernames,
    /// Deleting the ids of old requests of administrators.
    AdminRequests,
    /// Deleting changes that everybody has read.
    Changes,
    /// Deleting bindings that have ended.
    Bindings,
    /// Deleting audit events that are kept no longer.
    AuditEvents,
    /// Publishing the next signing key, and deleting the oldest.
    SigningKeys,
}

impl TimedWork {
    const ALL: [Self; 9] = [
        Self::Sessions,
        Self::Assertions,
        Self::PasswordFailures,
        Self::RestingUsernames,
        Self::AdminRequests,
        Self::Changes,
        Self::Bindings,
        Self::AuditEvents,
        Self::SigningKeys,
    ];

    const fn label(self) -> &'static str {
        match self {
            Self::Sessions => "sessions",
            Self::Assertions => "assertions",
            Self::PasswordFailures => "password_failures",
            Self::RestingUsernames => "resting_usernames",
            Self::AdminRequests => "admin_requests",
            Self::Changes => "changes",
            Self::Bindings => "bindings",
            Self::AuditEvents => "audit_events",
            Self::SigningKeys => "signing_keys",
        }
    }
}

/// The clock.
#[derive(Clone, Debug)]
pub struct ClockMetrics {
    offset: Gauge,
    withheld: IntCounterVec,
}

impl ClockMetrics {
    pub(super) fn register(registry: &Registry) -> Self {
        let withheld = series::counters(registry, &families::CLOCK_WITHHELD);
        for work in TimedWork::ALL {
            withheld.with_label_values(&[work.label()]);
        }
        let offset = series::gauge(registry, &families::CLOCK_OFFSET);
        Self { offset, withheld }
    }

    /// The clock was found to be ahead by so many seconds, or behind by as many below zero.
    pub fn offset(&self, seconds: f64) {
        self.offset.set(seconds);
    }

    /// `work` was not done.
    pub fn withheld(&self, work: TimedWork) {
        self.withheld.with_label_values(&[work.label()]).inc();
    }
}

impl Default for ClockMetrics {
    /// For a clock that nobody watches.
    fn default() -> Self {
        Self::register(&Registry::new())
    }
}
