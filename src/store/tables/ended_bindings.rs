//! Owns deleting bindings whose time is over.

use std::collections::BTreeSet;

use sea_orm::{ColumnTrait, EntityTrait, QueryFilter, QueryOrder, QuerySelect, Select};
use uuid::Uuid;

use crate::store::{
    Store,
    engine::transaction::commit,
    tables::{
        access::INSTANCE,
        administration, audit_events, bindings,
        entity::{
            bindings::{Column, Entity, Model},
            roles::{self as role_rows, Entity as RoleEntity},
        },
    },
};
use crate::{
    audit::Entry,
    base::Timestamp,
    model::{Binding, BindingId, Error, Principal, Role},
};

impl Store {
    /// The bindings that have ended by `now`, with their roles, the one first that ended first; at most `limit`.
    ///
    /// # Errors
    /// [`Error::Unavailable`] or [`Error::Internal`], with the cause.
    pub async fn ended_bindings(&self, now: Timestamp, limit: u64) -> Result<Vec<(Binding, Role)>, Error> {
        let query = bindings::with_role(ended_by(now)).select_also(RoleEntity);
        let query = query.order_by_asc(Column::ExpireTime).order_by_asc(Column::Id).limit(limit);
        let rows = self.ask(|| query.clone().all(&self.db)).await?;
        let found =
            |(row, role): (Model, Option<role_rows::Model>)| Some((bindings::read(&row)?, Role::from(role?)));
        Ok(rows.into_iter().filter_map(found).collect())
    }

    /// Deletes of `bindings` those that have ended by `now`, keeps the event of each, and tells the other processes. Returns them: of two
    /// who do it at once, one deletes each.
    ///
    /// # Errors
    /// [`Error::Unavailable`] or [`Error::Internal`], with the cause.
    pub async fn end_bindings(
        &self,
        bindings: &[(BindingId, Entry)],
        now: Timestamp,
    ) -> Result<Vec<BindingId>, Error> {
        let meant = ended_by(now).filter(Column::Id.is_in(bindings.iter().map(|(id, _)| id.0)));
        for (_, entry) in bindings {
            entry.leave_to_transaction();
        }
        self.write(|| async {
            let db = self.begin().await?;
            // Nobody gives one of them another end meanwhile.
            administration::take_turn(&db).await?;
            let rows = meant.clone().all(&db).await?;
            let gone: Vec<_> = rows.iter().filter_map(bindings::read).collect();
            let ids: Vec<_> = gone.iter().map(|binding| binding.id).collect();
            Entity::delete_many()
                .filter(Column::OrganizationId.eq(INSTANCE))
                .filter(Column::Id.is_in(ids.iter().map(|id| id.0)))
                .exec(&db)
                .await?;
            for subject in gone.iter().map(|binding| binding.subject).collect::<BTreeSet<_>>() {
                bindings::tell(&db, bindings::UNBOUND, subject, now).await?;
            }
            let events = bindings.iter().filter(|(id, _)| ids.contains(id));
            let events = events.map(|(_, entry)| entry.kept(now, 0, self.entropy()));
            audit_events::keep(&db, events).await?;
            commit(db, ids).await
        })
        .await
    }
}

/// The bindings that have ended by `now`, of subjects that this release knows.
fn ended_by(now: Timestamp) -> Select<Entity> {
    let nobody = Uuid::nil();
    let kinds = ["user", "group", "client"].map(|kind| Principal::of(kind, nobody).map(Principal::kind));
    Entity::find()
        .filter(Column::OrganizationId.eq(INSTANCE))
        .filter(Column::ExpireTime.lte(now.as_micros()))
        .filter(Column::SubjectKind.is_in(kinds.into_iter().flatten()))
}
