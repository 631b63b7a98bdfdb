//! Owns the table `applied_sets`: whose each set of manifests is.

use std::fmt;

use sea_orm::{ActiveValue::Set, ColumnTrait, ConnectionTrait, DbErr, EntityTrait, QueryFilter};
use uuid::Uuid;

use crate::store::{
    Store,
    tables::{
        access::INSTANCE,
        administration::{AdminChange, Administering, Applied},
        entity::applied_sets::{ActiveModel, Column, Entity},
    },
};
use crate::{
    audit::{Field, FieldChange},
    model::{AdminScope, Authority, Error, Principal},
};

/// How the operator stands in the table.
const OPERATOR: &str = "operator";

/// Whose a set is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SetOwner {
    /// The operator's, who has applied it on the database.
    Operator,
    /// A user's or a client's.
    Caller(Principal),
}

impl SetOwner {
    /// Who applies something by `authority`.
    #[must_use]
    pub const fn of(authority: &Authority) -> Self {
        match authority {
            Authority::Operator => Self::Operator,
            Authority::Caller { subject, .. } => Self::Caller(subject.principal()),
        }
    }

    /// Succeeds if `self` may apply `set`, which is `owner`'s if it is anybody's, without taking it over. The operator may.
    ///
    /// # Errors
    /// [`Error::SetOfAnother`].
    pub fn must_have(self, set: &str, owner: Option<Self>) -> Result<(), Error> {
        match owner {
            Some(owner) if owner != self && self != Self::Operator => {
                Err(Error::SetOfAnother(format!("the set `{set}` belongs to {owner}")))
            }
            _ => Ok(()),
        }
    }

    const fn columns(self) -> (&'static str, Uuid) {
        match self {
            Self::Operator => (OPERATOR, Uuid::nil()),
            Self::Caller(principal) => (principal.kind(), principal.id()),
        }
    }
}

impl fmt::Display for SetOwner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Operator => f.write_str("the operator"),
            Self::Caller(principal) => write!(f, "the {} `{}`", principal.kind(), principal.id()),
        }
    }
}

impl Store {
    /// Makes the set `set` that of whoever makes the change; it was `from`'s.
    ///
    /// # Errors
    /// Why whoever takes it may not; [`Error::Unavailable`] or [`Error::Internal`], with the cause.
    pub async fn take_set(
        &self,
        set: &str,
        from: SetOwner,
        change: AdminChange<'_>,
    ) -> Result<Applied<()>, Error> {
        self.change(change, |db| async move {
            db.rights().must_have(AdminScope::ManifestsApply)?;
            let owner = SetOwner::of(change.authority);
            give(&db, set, owner).await?;
            let fields = [
                FieldChange::of(Field::Set, "", set),
                FieldChange::of(Field::Owners, &from.to_string(), &owner.to_string()),
            ];
            db.done(INSTANCE, fields.into_iter().flatten(), ()).await
        })
        .await
    }
}

/// Whose the set `set` is: the operator's if it `has_made` something and no row says whose it is, as before there was the table, or since
/// its owner was deleted; nobody's if it has made nothing.
pub(super) async fn owner_of(
    db: &impl ConnectionTrait,
    set: &str,
    has_made: bool,
) -> Result<Option<SetOwner>, DbErr> {
    let row = Entity::find_by_id((INSTANCE, set.to_owned())).all(db).await?.pop();
    let of_row = |(kind, id): (&str, Uuid)| {
        // A kind of a later release: it is read as the operator's, who needs no take-over of it; every other caller does.
        Principal::of(kind, id).map_or(SetOwner::Operator, SetOwner::Caller)
    };
    Ok(match row {
        Some(row) => Some(of_row((&row.owner_kind, row.owner_id))),
        None => has_made.then_some(SetOwner::Operator),
    })
}

/// Makes the set `set` `owner`'s.
pub(super) async fn give(db: &Administering<'_>, set: &str, owner: SetOwner) -> Result<(), DbErr> {
    Entity::delete_by_id((INSTANCE, set.to_owned())).exec(&**db).await?;
    let (kind, id) = owner.columns();
    let row = ActiveModel {
        organization_id: Set(INSTANCE),
        set_name: Set(set.to_owned()),
        owner_kind: Set(kind.to_owned()),
        owner_id: Set(id),
        create_time: Set(db.now().as_micros()),
    };
    Entity::insert(row).exec_without_returning(&**db).await.map(drop)
}

/// Forgets which sets are `principal`'s, which is deleted: they are the operator's.
pub(in crate::store::tables) async fn forget_owner(
    db: &impl ConnectionTrait,
    principal: Principal,
) -> Result<(), DbErr> {
    let of_it = Entity::delete_many()
        .filter(Column::OrganizationId.eq(INSTANCE))
        .filter(Column::OwnerKind.eq(principal.kind()))
        .filter(Column::OwnerId.eq(principal.id()));
    of_it.exec(db).await.map(drop)
}
