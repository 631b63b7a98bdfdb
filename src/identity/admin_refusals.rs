//! Owns recording refused calls of the admin API: whose, and why.

use crate::{
    audit::{Actor, Audit, Event, Reason},
    auth::Caller,
    model::{Origin, Subject},
};

/// Records in the audit log which callers the admin API has refused.
#[derive(Clone, Debug)]
pub struct AdminRefusals(Audit);

impl AdminRefusals {
    /// Records refusals in `audit`.
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

/// The reason in the audit log for an error with this `reason`.
fn of(reason: &str) -> Reason {
    match reason {
        "INSUFFICIENT_SCOPE" => Reason::MissingScope,
        "GRANT_NOT_HELD" => Reason::GrantNotHeld,
        "HOLDS_MORE" => Reason::HoldsMore,
        "NOT_OWNER" => Reason::NotOwner,
        "LAST_ADMIN" => Reason::LastAdmin,
        "SET_OF_ANOTHER" => Reason::SetOfAnother,
        "MAKER_LACKS_SCOPE" => Reason::MakerLacksScope,
        "POLICY_WIDENS" => Reason::PolicyWidens,
        "BUILT_IN_ROLE" => Reason::BuiltInRole,
        "RESERVED" => Reason::ReservedScope,
        "TOKEN_REVOKED" => Reason::TokenRevoked,
        _ => Reason::Forbidden,
    }
}
