//! Owns what an operator does to the database directly, as a command of another process would.

use std::{sync::LazyLock, time::Duration};

use signet::{
    audit::{Entry, Event},
    base::Timestamp,
    model::{Authority, Error, NameSet, OwnedAudience, Principal, SessionLifetime, Subject, UserId},
    store::{AdminChange, Applied, SessionsOf, Store},
};

/// What is recorded of changes that are recorded nowhere.
pub(crate) static ENTRY: LazyLock<Entry> = LazyLock::new(|| Event::RoleBound.done());

/// A change by the operator, which is recorded nowhere.
pub(crate) fn by_operator(now: Timestamp) -> AdminChange<'static> {
    by(&Authority::Operator, now)
}

/// A change by `authority`, which is recorded nowhere.
pub(crate) fn by(authority: &Authority, now: Timestamp) -> AdminChange<'_> {
    AdminChange::new(authority, now, None, false, &ENTRY)
}

/// By the authority of `user`, who shows a token with `scopes` of the oldest of its sessions.
pub(crate) async fn authority_of(store: &Store, user: UserId, scopes: &str, now: Timestamp) -> Authority {
    let lifetime = SessionLifetime { idle: Duration::from_hours(1), absolute: Duration::from_hours(1) };
    let page = store.list_sessions(&SessionsOf::User(user), None, 1, lifetime, now).await.unwrap();
    let subject = Subject::User(user, page.sessions[0].0.id);
    Authority::Caller { subject, scopes: NameSet::parse(scopes).unwrap(), is_for_service_alone: true }
}

/// What came of a change that nobody has made before.
pub(crate) fn applied<T>(applied: Applied<T>) -> T {
    match applied {
        Applied::Now(value) => value,
        Applied::Before(id) => panic!("{id} was changed by the same request before"),
    }
}

/// What gives an audience the owners that `make` makes of those that it has.
pub(crate) fn owned(
    make: impl Fn(&[Principal]) -> Vec<Principal>,
) -> impl Fn(&OwnedAudience) -> Result<OwnedAudience, Error> {
    move |old| Ok(OwnedAudience { owners: make(&old.owners), ..old.clone() })
}
