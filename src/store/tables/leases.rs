//! Owns the table `leases`: which process may do what only one may do at a time.

use std::time::Duration;

use sea_orm::{ColumnTrait, Condition, ConnectionTrait, DbErr, EntityTrait, QueryFilter, sea_query::Expr};
use uuid::Uuid;

use super::entity::leases::{Column, Entity};
use crate::{base::Timestamp, model::Error, store::Store};

/// The lease of whoever changes the signing keys; its row comes with the schema.
pub const SIGNING_KEYS: &str = "signing_keys";

/// The lease of whoever applies a manifest over the admin API; its row comes with the schema, too.
pub const MANIFESTS: &str = "manifests";

/// How long a lease that was taken and not given back keeps the others from it.
pub(in crate::store) const TERM: Duration = Duration::from_mins(1);

/// A request of one process for a lease.
#[derive(Clone, Copy, Debug)]
pub struct Lease {
    holder: Uuid,
    /// Whether it is taken from whoever has it.
    by_force: bool,
}

impl Lease {
    /// Asked for by one of several processes that would all do the same: not had while another holds it.
    #[must_use]
    pub const fn of_leader(holder: Uuid) -> Self {
        Self { holder, by_force: false }
    }

    /// Asked for by an operator, who need not wait until a leader's term is over.
    #[must_use]
    pub const fn of_operator(holder: Uuid) -> Self {
        Self { holder, by_force: true }
    }
}

impl Store {
    /// Takes the lease `name` for `lease`, as of `now`, by itself; false if another holds it.
    ///
    /// # Errors
    /// [`Error::Unavailable`] or [`Error::Internal`], with the cause.
    pub async fn take_lease(&self, name: &str, lease: Lease, now: Timestamp) -> Result<bool, Error> {
        self.ask(|| take(&self.lanes.service.writer, name, lease, now)).await
    }

    /// Gives the lease `name` back at `now`, if the holder of `lease` has it.
    ///
    /// # Errors
    /// [`Error::Unavailable`] or [`Error::Internal`], with the cause.
    pub async fn give_back_lease(&self, name: &str, lease: Lease, now: Timestamp) -> Result<(), Error> {
        let update = Entity::update_many()
            .col_expr(Column::ExpireTime, Expr::value(now.as_micros()))
            .filter(Column::Name.eq(name))
            .filter(Column::Holder.eq(lease.holder));
        self.ask(|| update.clone().exec(&self.lanes.service.writer)).await.map(drop)
    }
}

/// Takes the lease `name` for `lease`; false if another holds it. One that would keep others out for longer than any lease is given for
/// was taken by a clock that was wrong, and is free.
///
/// To be called first in a transaction. It changes the row, so that whoever does the same waits until the transaction has ended, and
/// sees what it did; a cluster that lets both go on (Galera) finds the conflict when they commit, and undoes one.
pub(in crate::store) async fn take(
    db: &impl ConnectionTrait,
    name: &str,
    lease: Lease,
    now: Timestamp,
) -> Result<bool, DbErr> {
    let free = Condition::any()
        .add(Column::Holder.eq(lease.holder))
        .add(Column::Holder.is_null())
        .add(Column::ExpireTime.lte(now.as_micros()))
        .add(Column::ExpireTime.gt(now.after(TERM * 2).as_micros()));
    let mut update = Entity::update_many()
        .col_expr(Column::Holder, Expr::value(lease.holder))
        .col_expr(Column::ExpireTime, Expr::value(now.after(TERM).as_micros()))
        .filter(Column::Name.eq(name));
    if !lease.by_force {
        update = update.filter(free);
    }
    let taken = update.exec(db).await?;
    Ok(taken.rows_affected > 0)
}
