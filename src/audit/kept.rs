//! Owns an event as the database keeps it: names and ids, and of what was changed the old and the new value.

use std::{
    mem::take,
    sync::{
        Arc,
        atomic::{AtomicU8, Ordering},
    },
};

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::{Actor, Entry, FieldChange};
use crate::{
    base::{Entropy, Timestamp},
    model::{ClientId, UserId, id::uuid_v7},
};

/// How long what was changed gets as JSON, in bytes: less than MySQL keeps of a text.
const MAX_CHANGES: usize = 60_000;

/// What ends a value that was too long.
const CUT: char = '…';

/// An event as the database keeps it. Its names are those of docs/AUDIT.md; a later release may have written others.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeptEvent {
    /// Its id: a UUIDv7 of its time.
    pub id: Uuid,
    /// When it happened; of one that stands for many, the last of them.
    pub time: Timestamp,
    /// What happened.
    pub event: String,
    /// Whether it was done.
    pub outcome: String,
    /// Why it was refused.
    pub reason: Option<String>,
    /// Which RPC was refused.
    pub method: Option<String>,
    /// What kind of actor did it.
    pub actor_kind: String,
    /// The user or client who did it.
    pub actor_id: Option<Uuid>,
    /// Of an operator, the number of the user on the machine where the command ran.
    pub local_uid: Option<u32>,
    /// The name of that user.
    pub local_user: Option<String>,
    /// The user whom it concerns.
    pub user_id: Option<Uuid>,
    /// The session that it concerns.
    pub session_id: Option<Uuid>,
    /// The client that it concerns.
    pub client_id: Option<Uuid>,
    /// The role that it concerns.
    pub role_id: Option<Uuid>,
    /// The group that it concerns.
    pub group_id: Option<Uuid>,
    /// The signing key that it concerns.
    pub key_id: Option<String>,
    /// The audience that it concerns.
    pub audience: Option<String>,
    /// What was changed.
    pub changes: Vec<KeptChange>,
    /// Where it came from.
    pub address: Option<String>,
    /// The address of the user for whom a client asked.
    pub claimed_address: Option<String>,
    /// What the client called itself.
    pub user_agent: Option<String>,
    /// By which id the request is found.
    pub request_id: Option<String>,
    /// How many more like it this one stands for; of `audit.lost`, how many are missing.
    pub repeats: u64,
}

/// What of something was changed, and from what into what, where that is told.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct KeptChange {
    /// What was changed.
    pub field: String,
    /// What it was.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub old: Option<String>,
    /// What it is now.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub new: Option<String>,
}

/// Whether a transaction keeps the event, since it makes the change: then nobody else puts it into the database. All copies of an entry
/// know it; entries are equal by what they tell.
#[derive(Clone, Debug, Default)]
pub(super) struct Keeper(Arc<AtomicU8>);

/// No transaction does.
const NOBODY: u8 = 0;
/// One does, which has not asked yet for its commit: nothing has come to pass.
const UNCOMMITTED: u8 = 1;
/// One does, which may be committed.
const COMMITTED: u8 = 2;

impl PartialEq for Keeper {
    fn eq(&self, _: &Self) -> bool {
        true
    }
}

impl Eq for Keeper {}

impl Entry {
    /// Leaves it to the transaction that makes the change to keep the event in the database: it is there if the change is, whatever this
    /// process hears of that.
    pub fn leave_to_transaction(&self) {
        self.keeper.0.store(COMMITTED, Ordering::Relaxed);
    }

    /// The same, of a transaction that is still to be judged: until [`Self::leave_to_transaction`] is said nothing has come to pass.
    pub fn await_judgement(&self) {
        self.keeper.0.store(UNCOMMITTED, Ordering::Relaxed);
    }

    /// Whether a transaction keeps it.
    pub(super) fn is_left_to_transaction(&self) -> bool {
        self.keeper.0.load(Ordering::Relaxed) != NOBODY
    }

    /// Whether it may have come to pass, as far as transactions are concerned.
    pub(super) fn may_be_committed(&self) -> bool {
        self.keeper.0.load(Ordering::Relaxed) != UNCOMMITTED
    }

    /// It as the database keeps it, as of `time`; it stands for `repeats` more.
    #[must_use]
    pub fn kept(&self, time: Timestamp, repeats: u64, entropy: &Entropy) -> KeptEvent {
        let actor_id = match self.actor {
            Actor::Oneself => self.user_id.map(|UserId(id)| id),
            Actor::User(UserId(id)) | Actor::Client(ClientId(id)) => Some(id),
            Actor::Anonymous | Actor::Operator(_) | Actor::Service => None,
        };
        let operator = if let Actor::Operator(local) = &self.actor { Some(local) } else { None };
        KeptEvent {
            id: uuid_v7(time, entropy),
            time,
            event: self.event.name().to_owned(),
            outcome: self.outcome.name().to_owned(),
            reason: self.reason.map(|reason| reason.name().to_owned()),
            method: self.method.clone(),
            actor_kind: self.actor.kind().name().to_owned(),
            actor_id,
            local_uid: operator.map(|local| local.uid),
            local_user: operator.and_then(|local| local.name.clone()),
            user_id: self.user_id.map(|UserId(id)| id),
            session_id: self.session_id.map(|id| id.0),
            client_id: self.client_id.as_deref().and_then(ClientId::parse).map(|ClientId(id)| id),
            role_id: self.role_id.map(|id| id.0),
            group_id: self.group_id.map(|id| id.0),
            key_id: self.key_id.as_ref().map(|id| id.0.clone()),
            audience: self.audience.clone(),
            changes: self.changed.iter().map(KeptChange::from).collect(),
            address: self.address.clone(),
            claimed_address: self.claimed_address.clone(),
            user_agent: self.user_agent.clone(),
            request_id: self.request_id.map(|id| id.as_str().to_owned()),
            repeats,
        }
    }
}

impl KeptEvent {
    /// The same, which changed `fields`.
    #[must_use]
    pub fn changing(mut self, fields: impl IntoIterator<Item = FieldChange>) -> Self {
        self.changes.extend(fields.into_iter().map(KeptChange::from));
        self
    }

    /// What was changed as JSON, with its longest values cut where it would be too long; none if nothing was.
    #[must_use]
    pub fn changes_as_json(&self) -> Option<String> {
        if self.changes.is_empty() {
            return None;
        }
        let mut longest = MAX_CHANGES;
        loop {
            let cut: Vec<_> = self.changes.iter().map(|change| change.cut(longest)).collect();
            // Texts always serialise.
            let json = serde_json::to_string(&cut).unwrap_or_default();
            if json.len() <= MAX_CHANGES || longest == 0 {
                return Some(json);
            }
            longest /= 2;
        }
    }

    /// What `json` says was changed; nothing if a later release wrote it in another way.
    #[must_use]
    pub fn changes_of_json(json: Option<&str>) -> Vec<KeptChange> {
        json.and_then(|json| serde_json::from_str(json).ok()).unwrap_or_default()
    }
}

impl KeptChange {
    /// The same with values of at most `longest` bytes.
    fn cut(&self, longest: usize) -> Self {
        let cut = |value: &Option<String>| {
            let mut value = value.clone()?;
            if value.len() > longest {
                let end = value.floor_char_boundary(longest.saturating_sub(CUT.len_utf8()));
                value.truncate(end);
                value.push(CUT);
            }
            Some(value)
        };
        Self { field: self.field.clone(), old: cut(&self.old), new: cut(&self.new) }
    }
}

impl From<&FieldChange> for KeptChange {
    fn from(change: &FieldChange) -> Self {
        Self::from(change.clone())
    }
}

impl From<FieldChange> for KeptChange {
    fn from(mut change: FieldChange) -> Self {
        Self { field: change.field.name().to_owned(), old: take(&mut change.old), new: take(&mut change.new) }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::audit::{Event, Field};

    fn kept(changes: Vec<KeptChange>) -> KeptEvent {
        KeptEvent {
            changes,
            ..Event::RoleUpdated.done().kept(Timestamp::from_micros(0), 0, &Entropy::system())
        }
    }

    fn change() -> impl Strategy<Value = KeptChange> {
        // Quotes and controls take up to six bytes each.
        let value = || {
            proptest::option::of(prop_oneof![
                any::<String>(),
                "[\u{0}-\u{20}\"]{0,12000}",
                "[a-zé\u{1f600}]{0,30000}"
            ])
        };
        ("[a-z_]{1,16}", value(), value()).prop_map(|(field, old, new)| KeptChange { field, old, new })
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]

        #[test]
        fn what_was_changed_is_read_as_it_was_written_and_never_too_long(
            changes in proptest::collection::vec(change(), 0..12)
        ) {
            let json = kept(changes.clone()).changes_as_json();
            prop_assert_eq!(json.is_none(), changes.is_empty());
            prop_assert!(json.as_ref().is_none_or(|json| json.len() <= MAX_CHANGES));
            let read = KeptEvent::changes_of_json(json.as_deref());
            prop_assert_eq!(read.len(), changes.len());
            let whole = serde_json::to_string(&changes).unwrap();
            for (read, written) in read.iter().zip(&changes) {
                prop_assert_eq!(&read.field, &written.field);
                for (read, written) in [(&read.old, &written.old), (&read.new, &written.new)] {
                    prop_assert_eq!(read.is_some(), written.is_some());
                    let (Some(read), Some(written)) = (read, written) else { continue };
                    let is_cut = read.strip_suffix(CUT).is_some_and(|start| written.starts_with(start));
                    prop_assert!(read == written || (whole.len() > MAX_CHANGES && is_cut));
                }
            }
        }
    }

    #[test]
    fn what_somebody_does_to_oneself_is_found_by_both() {
        let user = UserId(Uuid::from_u128(1));
        let password = Event::PasswordChanged.done().user(user);
        let kept = password.kept(Timestamp::from_micros(7), 3, &Entropy::system());
        assert_eq!((kept.actor_id, kept.user_id), (Some(user.0), Some(user.0)));
        assert_eq!((kept.time, kept.repeats), (Timestamp::from_micros(7), 3));
        let changed = kept.changing(FieldChange::of(Field::Scopes, "a", "a b"));
        let expected = r#"[{"field":"scopes","old":"a","new":"a b"}]"#;
        assert_eq!(changed.changes_as_json().as_deref(), Some(expected));
    }

    #[test]
    fn all_copies_of_an_entry_know_that_a_transaction_keeps_it() {
        let entry = Event::RoleBound.done();
        let copy = entry.clone().by_operator();
        assert!(!copy.is_left_to_transaction());
        entry.leave_to_transaction();
        assert!(copy.is_left_to_transaction());
        assert!(!Event::RoleBound.done().is_left_to_transaction());
    }
}
