//! Owns who administers: the actor for the audit log, and the authority by which changes are judged.

use std::time::Duration;

use crate::{
    audit::{Actor, Entry, Field, FieldChange, Pending},
    auth::Caller,
    base::Timestamp,
    model::{AdminScope, Authority, Error, NameSet, Origin, Principal, RequestKey, Subject},
    store::{AdminChange, Applied, SetOwner, Store},
};

/// How long the id of a request tells a repetition of it.
const REQUEST_ID_AGE: Duration = Duration::from_hours(24);

/// The fields of an event that lists none.
pub(super) const NO_FIELDS: [Field; 0] = [];

/// Whoever administers, and how the change is asked for.
#[derive(Clone, Debug)]
pub struct Administrator {
    actor: Actor,
    authority: Authority,
    origin: Origin,
    request: Option<RequestKey>,
    validate_only: bool,
}

/// The requests of administrators that a repetition is told from.
#[derive(Debug)]
pub struct AdminRequests {
    store: Store,
}

impl AdminRequests {
    /// The requests that `store` keeps.
    #[must_use]
    pub const fn new(store: Store) -> Self {
        Self { store }
    }

    /// Forgets those that were done a day before `now`, or earlier.
    ///
    /// # Errors
    /// [`Error::Unavailable`] or [`Error::Internal`], with the cause.
    pub async fn forget_old(&self, now: Timestamp) -> Result<(), Error> {
        self.store.forget_admin_requests(now.before(REQUEST_ID_AGE)).await
    }
}

impl Administrator {
    /// `actor`, who asks by this `authority`.
    #[must_use]
    pub const fn new(actor: Actor, authority: Authority, origin: Origin) -> Self {
        Self { actor, authority, origin, request: None, validate_only: false }
    }

    /// The operator who runs this process.
    #[must_use]
    pub fn operator() -> Self {
        Self::new(Actor::operator(), Authority::Operator, Origin::default())
    }

    /// The caller of an RPC.
    #[must_use]
    pub fn of_caller(caller: &Caller, origin: Origin) -> Self {
        let subject = caller.subject();
        let actor = match subject {
            Subject::User(user, _) => Actor::User(user),
            Subject::Client(client) => Actor::Client(client),
        };
        let scopes = NameSet::from_stored(caller.claims().scope.clone());
        // That it is meant for this service is known: it was let in.
        let is_for_service_alone = caller.claims().aud.names().len() == 1;
        Self::new(actor, Authority::Caller { subject, scopes, is_for_service_alone }, origin)
    }

    /// The same, whose request a repetition of is known by `request`.
    #[must_use]
    pub fn repeatable(self, request: Option<RequestKey>) -> Self {
        Self { request, ..self }
    }

    /// The same, who only wants to know whether it could be done.
    #[must_use]
    pub fn validating(self, validate_only: bool) -> Self {
        Self { validate_only, ..self }
    }

    /// The actor in the audit log.
    #[must_use]
    pub const fn actor(&self) -> &Actor {
        &self.actor
    }

    /// The user or client; none for the operator.
    #[must_use]
    pub const fn principal(&self) -> Option<Principal> {
        match &self.authority {
            Authority::Operator => None,
            Authority::Caller { subject, .. } => Some(subject.principal()),
        }
    }

    /// Succeeds if the token shown has `scope`, as far as it counted when the call was let in: what is read is judged by that.
    ///
    /// # Errors
    /// [`Error::InsufficientScope`].
    pub(super) fn must_show(&self, scope: AdminScope) -> Result<(), Error> {
        match &self.authority {
            Authority::Caller { scopes, .. } if !scopes.contains(scope.name()) => {
                Err(Error::InsufficientScope(scope.name().to_owned()))
            }
            Authority::Caller { .. } | Authority::Operator => Ok(()),
        }
    }

    /// Whose the sets of manifests are that it applies.
    #[must_use]
    pub const fn as_owner(&self) -> SetOwner {
        SetOwner::of(&self.authority)
    }

    /// Records what has become of `pending`, which was asked for: `changed` says of what was done which fields it changed, and none if it
    /// changed nothing.
    pub(super) fn settled<T, Changed>(
        &self,
        pending: Pending<'_>,
        done: Result<Applied<T>, Error>,
        changed: impl FnOnce(&T) -> Option<Changed>,
    ) -> Result<Applied<T>, Error>
    where
        Changed: IntoIterator<Item: Into<FieldChange>>,
    {
        match &done {
            Ok(Applied::Now(value)) if !self.only_validates() => match changed(value) {
                Some(fields) => pending.done_changing(fields),
                None => pending.dismiss(),
            },
            Ok(_) => pending.dismiss(),
            Err(error) => pending.settle(Some(error)),
        }
        done
    }

    /// Whether nothing is to be done: only to be judged.
    #[must_use]
    pub const fn only_validates(&self) -> bool {
        self.validate_only
    }

    /// `entry`, as the doing of this administrator.
    #[must_use]
    pub fn entry(&self, entry: Entry) -> Entry {
        entry.by(self.actor.clone()).origin(&self.origin)
    }

    /// The change that `entry` tells of, as this administrator asks for it.
    #[must_use]
    pub const fn change<'a>(&'a self, entry: &'a Entry, now: Timestamp) -> AdminChange<'a> {
        AdminChange::new(&self.authority, now, self.request.as_ref(), self.validate_only, entry)
    }
}
