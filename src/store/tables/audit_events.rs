//! Owns the table `audit_events`: what has happened, to whom, and who did it.
//!
//! The order of the ids is that of the times, so that the primary key leads to both.

use sea_orm::{
    ActiveValue::Set,
    ColumnTrait, Condition, ConnectionTrait, DbErr, EntityTrait, QueryFilter, QueryOrder, QuerySelect,
    sea_query::{OnConflict, SimpleExpr},
};
use uuid::Uuid;

use crate::store::{
    BATCH, Store, Strangers,
    tables::{
        access::INSTANCE,
        entity::audit_events::{ActiveModel, Column, Entity, Model},
    },
};
use crate::{
    audit::KeptEvent,
    base::Timestamp,
    model::{Error, id::uuid_v7_of},
};

/// How many rows one statement writes: each has some two dozen values.
const ROWS: usize = 250;

/// Which events are looked for: of all that is set, each must hold.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct EventFilter {
    /// At this time or later.
    pub from: Option<Timestamp>,
    /// Before this time.
    pub before: Option<Timestamp>,
    /// Only events whose actor is this user or client.
    pub actor: Option<Uuid>,
    /// Concerning this user.
    pub user: Option<Uuid>,
    /// Concerning this client.
    pub client: Option<Uuid>,
    /// Concerning this role.
    pub role: Option<Uuid>,
    /// Concerning this group.
    pub group: Option<Uuid>,
    /// Only events of this name.
    pub event: Option<String>,
    /// Only events with this outcome.
    pub outcome: Option<String>,
    /// From this address.
    pub address: Option<String>,
    /// Only events that the request of this id caused.
    pub request_id: Option<String>,
}

/// Keeps `events`, within the transaction that makes what they tell of. They are few.
pub(in crate::store) async fn keep(
    db: &impl ConnectionTrait,
    events: impl IntoIterator<Item = KeptEvent>,
) -> Result<(), DbErr> {
    let rows: Vec<_> = events.into_iter().map(ActiveModel::from).collect();
    if rows.is_empty() {
        return Ok(());
    }
    Entity::insert_many(rows).exec_without_returning(db).await.map(drop)
}

impl Strangers {
    /// Keeps `events` that come with no change. Those that are kept already are left as they are, so that they may be given again. One
    /// task alone writes them, so that no place is asked for.
    ///
    /// # Errors
    /// [`Error::Unavailable`] or [`Error::Internal`], with the cause.
    pub async fn keep_events(&self, events: &[KeptEvent]) -> Result<(), Error> {
        for events in events.chunks(ROWS) {
            self.0.ask(|| again(events).exec_without_returning(&self.0.writer)).await?;
        }
        Ok(())
    }
}

fn again(events: &[KeptEvent]) -> sea_orm::InsertMany<ActiveModel> {
    let key = [Column::OrganizationId, Column::Id];
    let unless_there = OnConflict::columns(key).do_nothing_on(key).to_owned();
    Entity::insert_many(events.iter().cloned().map(ActiveModel::from)).on_conflict(unless_there)
}

impl Store {
    /// The events of `filter` that come before `before` in the order of their ids, the newest first, `limit` at most, whatever else than
    /// the one that leads is asked of them: see [`EventFilter::admits`].
    ///
    /// # Errors
    /// [`Error::Unavailable`] or [`Error::Internal`], with the cause.
    pub async fn leading_events(
        &self,
        filter: &EventFilter,
        before: Option<Uuid>,
        limit: u64,
    ) -> Result<Vec<KeptEvent>, Error> {
        let mut query = Entity::find().filter(Column::OrganizationId.eq(INSTANCE));
        if let Some(leading) = filter.leading() {
            query = query.filter(leading);
        }
        if let Some(before) = before {
            query = query.filter(Column::Id.lt(before));
        }
        // The ids tell the milliseconds.
        if let Some(from) = filter.from {
            query = query.filter(Column::Id.gte(first_at(from)));
        }
        if let Some(before) = filter.before {
            query = query.filter(Column::Id.lt(first_at(before.after(MILLISECOND))));
        }
        let query = query.order_by_desc(Column::Id).limit(limit);
        let rows = self.ask(|| query.clone().all(&self.db)).await?;
        Ok(rows.into_iter().map(KeptEvent::from).collect())
    }

    /// The event `id`.
    ///
    /// # Errors
    /// [`Error::Unavailable`] or [`Error::Internal`], with the cause.
    pub async fn event(&self, id: Uuid) -> Result<Option<KeptEvent>, Error> {
        let query = Entity::find_by_id((INSTANCE, id));
        Ok(self.ask_for_one(|| query.clone().all(&self.db)).await?.map(KeptEvent::from))
    }

    /// Deletes the events from before `time`, a page at a time.
    ///
    /// # Errors
    /// [`Error::Unavailable`] or [`Error::Internal`], with the cause; the next run goes on there.
    pub async fn delete_events_before(&self, time: Timestamp) -> Result<(), Error> {
        let old =
            Condition::all().add(Column::OrganizationId.eq(INSTANCE)).add(Column::Id.lt(first_at(time)));
        let page = Entity::find().filter(old.clone()).select_only().column(Column::Id);
        let page = page.order_by_asc(Column::Id).limit(BATCH as u64);
        loop {
            let ids: Vec<Uuid> = self.ask(|| page.clone().into_tuple().all(&self.db)).await?;
            self.delete_rows::<Entity, _>(Column::Id, &ids, old.clone()).await?;
            if ids.len() < BATCH {
                return Ok(());
            }
        }
    }
}

/// The bits of an id below its milliseconds.
const MILLISECOND: std::time::Duration = std::time::Duration::from_millis(1);

/// The least id of an event at `time`, or before it in the same millisecond.
fn first_at(time: Timestamp) -> Uuid {
    uuid_v7_of(time, [0; 10])
}

impl EventFilter {
    /// What an index leads to: the first of these that is set, and the time.
    fn leading(&self) -> Option<SimpleExpr> {
        let actor = self.actor.map(|id| Column::ActorId.eq(id));
        let user = || self.user.map(|id| Column::UserId.eq(id));
        let client = || self.client.map(|id| Column::ClientId.eq(id));
        let event = || self.event.as_ref().map(|event| Column::Event.eq(event.as_str()));
        actor.or_else(user).or_else(client).or_else(event)
    }

    /// Whether nothing is asked but what leads, so that each row that is read is one that is meant.
    #[must_use]
    pub fn is_led(&self) -> bool {
        let leading =
            [self.actor.is_some(), self.user.is_some(), self.client.is_some(), self.event.is_some()];
        let others = [
            self.role.is_some(),
            self.group.is_some(),
            self.outcome.is_some(),
            self.address.is_some(),
            self.request_id.is_some(),
        ];
        leading.iter().filter(|is| **is).count() <= 1 && !others.contains(&true)
    }

    /// Whether `event` is one that is meant.
    #[must_use]
    pub fn admits(&self, event: &KeptEvent) -> bool {
        fn is<T: PartialEq>(asked: Option<&T>, has: Option<&T>) -> bool {
            asked.is_none() || asked == has
        }
        self.from.is_none_or(|from| event.time >= from)
            && self.before.is_none_or(|before| event.time < before)
            && is(self.actor.as_ref(), event.actor_id.as_ref())
            && is(self.user.as_ref(), event.user_id.as_ref())
            && is(self.client.as_ref(), event.client_id.as_ref())
            && is(self.role.as_ref(), event.role_id.as_ref())
            && is(self.group.as_ref(), event.group_id.as_ref())
            && is(self.event.as_ref(), Some(&event.event))
            && is(self.outcome.as_ref(), Some(&event.outcome))
            && is(self.address.as_ref(), event.address.as_ref())
            && is(self.request_id.as_ref(), event.request_id.as_ref())
    }
}

impl From<KeptEvent> for ActiveModel {
    fn from(event: KeptEvent) -> Self {
        Self {
            organization_id: Set(INSTANCE),
            id: Set(event.id),
            time: Set(event.time.as_micros()),
            changes: Set(event.changes_as_json()),
            event: Set(event.event),
            outcome: Set(event.outcome),
            reason: Set(event.reason),
            method: Set(event.method),
            actor_kind: Set(event.actor_kind),
            actor_id: Set(event.actor_id),
            local_uid: Set(event.local_uid.map(i64::from)),
            local_user: Set(event.local_user),
            user_id: Set(event.user_id),
            session_id: Set(event.session_id),
            client_id: Set(event.client_id),
            role_id: Set(event.role_id),
            group_id: Set(event.group_id),
            key_id: Set(event.key_id),
            audience: Set(event.audience),
            address: Set(event.address),
            claimed_address: Set(event.claimed_address),
            user_agent: Set(event.user_agent),
            request_id: Set(event.request_id),
            repeats: Set(i64::try_from(event.repeats).unwrap_or(i64::MAX)),
        }
    }
}

impl From<Model> for KeptEvent {
    fn from(row: Model) -> Self {
        Self {
            id: row.id,
            time: Timestamp::from_micros(row.time),
            changes: Self::changes_of_json(row.changes.as_deref()),
            event: row.event,
            outcome: row.outcome,
            reason: row.reason,
            method: row.method,
            actor_kind: row.actor_kind,
            actor_id: row.actor_id,
            local_uid: row.local_uid.and_then(|uid| u32::try_from(uid).ok()),
            local_user: row.local_user,
            user_id: row.user_id,
            session_id: row.session_id,
            client_id: row.client_id,
            role_id: row.role_id,
            group_id: row.group_id,
            key_id: row.key_id,
            audience: row.audience,
            address: row.address,
            claimed_address: row.claimed_address,
            user_agent: row.user_agent,
            request_id: row.request_id,
            repeats: u64::try_from(row.repeats).unwrap_or_default(),
        }
    }
}
