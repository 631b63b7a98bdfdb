//! Owns telling of the calls of the admin API that are refused: to whom, and why.

use crate::{
    audit::{Actor, Audit, Event, Reason},
    auth::Caller,
    model::{Origin, Subject},
};

/// What tells the audit log whom the admin API has refused.
#[derive(Clone, Debug)]
pub struct AdminRefusals(Audit);

impl AdminRefusals {
    /// What tells `audit`.
    #[must_use]
    pub const fn new(audit: Audit) -> Self {
        Self(audit)
    }

    /// Tells that the call of `method` by `caller`, which came from `origin`, was refused, with what `reason` its error has.
    pub fn tell(&self, caller: &Caller, origin: &Origin, method: &str, reason: &str) {
        let actor = match caller.subject() {
            Subject::User(user, _) => Actor::User(user),
            Subject::Client(client) => Actor::Client(client),
        };
        let refused = Event::AdminRefused.refused(of(reason)).by(actor).origin(origin);
        self.0.record(refused.method(method));
    }
}

/// What the audit log calls the reason of an error.
fn of(reason: &str) -> Reason {
    match reason {
        "INSUFFICIENT_SCOPE" => Reason::MissingScope,
        "GRANT_NOT_HELD" => Reason::GrantNotHeld,
        "HOLDS_MORE" => Reason::HoldsMore,
        "NOT_OWNER" => Reason::NotOwner,
        "LAST_ADMIN" => Reason::LastAdmin,
        _ => Reason::Forbidden,
    }
}
