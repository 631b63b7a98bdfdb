//! Owns the table `audit_events`: what has happened, by whose doing.
//!
//! The order of the ids is that of the times, so that the primary key leads to both.

use sea_orm::{ActiveValue::Set, ConnectionTrait, DbErr, EntityTrait};

use crate::store::tables::{
    access::INSTANCE,
    entity::audit_events::{ActiveModel, Entity},
};
use crate::{audit::KeptEvent, base::Entropy, model::id::uuid_v7};

/// Keeps `events`, within the transaction that makes what they tell of, if one does. They are few.
pub(in crate::store) async fn keep(
    db: &impl ConnectionTrait,
    events: impl IntoIterator<Item = KeptEvent>,
    entropy: &Entropy,
) -> Result<(), DbErr> {
    let rows: Vec<_> = events.into_iter().map(|event| row(event, entropy)).collect();
    if rows.is_empty() {
        return Ok(());
    }
    Entity::insert_many(rows).exec_without_returning(db).await.map(drop)
}

fn row(event: KeptEvent, entropy: &Entropy) -> ActiveModel {
    ActiveModel {
        organization_id: Set(INSTANCE),
        id: Set(uuid_v7(event.time, entropy)),
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
