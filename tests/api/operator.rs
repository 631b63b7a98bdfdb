//! Owns what an operator does to the database directly, as a command of another process would.

use std::sync::LazyLock;

use signet::{
    audit::{Entry, Event},
    base::Timestamp,
    model::Authority,
    store::{AdminChange, Applied},
};

static ENTRY: LazyLock<Entry> = LazyLock::new(|| Event::RoleBound.done());

/// A change by the operator, which is recorded nowhere.
pub(crate) fn by_operator(now: Timestamp) -> AdminChange<'static> {
    AdminChange { authority: &Authority::Operator, now, request: None, validate_only: false, entry: &ENTRY }
}

/// What came of a change that nobody has made before.
pub(crate) fn applied<T>(applied: Applied<T>) -> T {
    match applied {
        Applied::Now(value) => value,
        Applied::Before(id) => panic!("{id} was changed by the same request before"),
    }
}
