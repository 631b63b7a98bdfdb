//! Owns creating and deleting bindings.

use sea_orm::{
    ActiveValue::Set,
    ColumnTrait, DbErr, EntityTrait, PaginatorTrait, QueryFilter, QuerySelect,
    sea_query::{Condition, Expr},
};

use super::{Bound, WhichBinding, of_subject, read, with_role};
use crate::store::{
    Store,
    engine::{attempts::Failed, transaction::Transaction},
    tables::{
        access::{self, INSTANCE},
        administration::{AdminChange, Administering, Applied, RolesOf},
        changes::{self, ChangeEffect, ChangeKind},
        entity::{
            bindings::{ActiveModel, Column, Entity},
            roles::Column as RoleColumn,
        },
        groups, roles, taken_scopes,
    },
};
use crate::{
    audit::{Field, FieldChange},
    base::Timestamp,
    model::{AudienceName, Binding, BindingId, Error, Principal, Role, binding::SUBJECT_MAX_BINDINGS},
};

/// How the feed is told of a binding of a user or a client.
const BOUND: (ChangeKind, ChangeEffect) = (ChangeKind::Binding, ChangeEffect::Changed);
pub(in crate::store::tables) const UNBOUND: (ChangeKind, ChangeEffect) =
    (ChangeKind::Binding, ChangeEffect::Ended);

impl Store {
    /// Gives `binding.subject` the role `binding.role`, or another end to what gives it already.
    ///
    /// # Errors
    /// [`Error::RoleNotFound`], [`Error::UserNotFound`], [`Error::GroupNotFound`], [`Error::ClientNotFound`], [`Error::BuiltInRole`],
    /// [`Error::LimitReached`]; why whoever gives it may not; [`Error::Unavailable`] or [`Error::Internal`], with the cause.
    pub async fn bind(&self, binding: &Binding, change: AdminChange<'_>) -> Result<Applied<Bound>, Error> {
        self.look_before_turn(change, RolesOf::Role(binding.role)).await?;
        self.change(change, |db| async move {
            let role = may_bind(&db, binding).await?;
            match find(&db, WhichBinding::Of(role.id, binding.subject)).await? {
                Some(old) if old.expire_time == binding.expire_time => {
                    db.unchanged(old.id.0, Bound::AsItWas(old)).await
                }
                Some(old) => {
                    let end = set_end(&db, &role, &old, binding.expire_time).await?;
                    let new = Binding { expire_time: binding.expire_time, ..old };
                    db.done(old.id.0, end, Bound::Changed(new)).await
                }
                None => {
                    let end = insert(&db, binding, &role.audience).await?;
                    db.done(binding.id.0, end, Bound::Made(*binding)).await
                }
            }
        })
        .await
    }

    /// Gives `binding.subject` the role `binding.role`, which it must not have by another binding.
    ///
    /// # Errors
    /// As [`Store::bind`], and [`Error::BindingExists`].
    pub async fn add_binding(
        &self,
        binding: &Binding,
        change: AdminChange<'_>,
    ) -> Result<Applied<()>, Error> {
        self.look_before_turn(change, RolesOf::Role(binding.role)).await?;
        self.change(change, |db| async move {
            let role = may_bind(&db, binding).await?;
            if let Some(old) = find(&db, WhichBinding::Of(role.id, binding.subject)).await? {
                return Err(Error::BindingExists(old.id).into());
            }
            let end = insert(&db, binding, &role.audience).await?;
            db.done(binding.id.0, end, ()).await
        })
        .await
    }

    /// Gives the binding `id`, whose etag must be `etag` if one is said, the end `end`, or none. Returns it as it was.
    ///
    /// # Errors
    /// [`Error::BindingNotFound`], [`Error::EtagMismatch`]; why whoever changes it may not; [`Error::Unavailable`] or [`Error::Internal`],
    /// with the cause.
    pub async fn set_binding_end(
        &self,
        id: BindingId,
        etag: Option<&str>,
        end: Option<Timestamp>,
        change: AdminChange<'_>,
    ) -> Result<Applied<Binding>, Error> {
        self.look_before_turn(change, RolesOf::Binding(id)).await?;
        self.change(change, |db| async move {
            let found = find(&db, WhichBinding::Id(id)).await?;
            let old = found.ok_or_else(|| Error::BindingNotFound(format!("there is no binding `{id}`")))?;
            let role = may_bind(&db, &old).await?;
            old.etag().must_match(etag)?;
            if old.expire_time == end {
                return db.unchanged(id.0, old).await;
            }
            let changed = set_end(&db, &role, &old, end).await?;
            db.done(id.0, changed, old).await
        })
        .await
    }

    /// Takes away what `which` gives, whose etag must be `etag` if one is said, and returns it; none if there is no such binding.
    ///
    /// # Errors
    /// [`Error::EtagMismatch`]; why whoever takes it away may not; [`Error::Unavailable`] or [`Error::Internal`], with the cause.
    pub async fn unbind(
        &self,
        which: WhichBinding,
        etag: Option<&str>,
        change: AdminChange<'_>,
    ) -> Result<Applied<Option<Binding>>, Error> {
        let of = match which {
            WhichBinding::Id(id) => RolesOf::Binding(id),
            WhichBinding::Of(role, _) => RolesOf::Role(role),
        };
        self.look_before_turn(change, of).await?;
        self.change(change, |db| async move {
            let Some(old) = find(&db, which).await? else { return Ok(Applied::Now(None)) };
            let role = roles::find(&*db, old.role).await?;
            db.may_change_roles_of(&role.audience).await?;
            db.rights().must_equal(&role.scopes)?;
            old.etag().must_match(etag)?;
            Entity::delete_by_id((INSTANCE, old.id.0)).exec(&*db).await?;
            db.must_leave_an_admin_but(&old);
            tell(&db, UNBOUND, old.subject, change.now).await?;
            taken_scopes::tell_of(&*db, old.subject, std::slice::from_ref(&role), change.now).await?;
            db.done(old.id.0, FieldChange::of(Field::ExpireTime, &text(old.expire_time), ""), Some(old)).await
        })
        .await
    }
}

/// The role of `binding`, if whoever changes it may give it to its subject.
async fn may_bind(db: &Administering<'_>, binding: &Binding) -> Result<Role, Failed> {
    // Who may not is told nothing of who is there.
    let role = roles::find(&**db, binding.role).await?;
    db.may_change_roles_of(&role.audience).await?;
    db.rights().must_have_to_grant(&role.scopes)?;
    if role.is_everyone() {
        return Err(roles::built_in(&role));
    }
    // The subject's row, so that nobody deletes it meanwhile.
    access::must_be_there(&**db, binding.subject).await?;
    Ok(role)
}

/// The binding that `which` means, whose row is locked until the transaction ends.
async fn find(db: &Transaction, which: WhichBinding) -> Result<Option<Binding>, DbErr> {
    let query = match which {
        WhichBinding::Id(id) => Entity::find_by_id((INSTANCE, id.0)),
        WhichBinding::Of(role, subject) => of_subject(subject).filter(Column::RoleId.eq(role.0)),
    };
    Ok(query.lock_exclusive().all(db).await?.first().and_then(read))
}

/// Gives the binding `old` of `role` another end, or none.
async fn set_end(
    db: &Administering<'_>,
    role: &Role,
    old: &Binding,
    end: Option<Timestamp>,
) -> Result<Option<FieldChange>, Failed> {
    Entity::update_many()
        .col_expr(Column::ExpireTime, Expr::value(end.map(Timestamp::as_micros)))
        .filter(Column::OrganizationId.eq(INSTANCE))
        .filter(Column::Id.eq(old.id.0))
        .exec(&**db)
        .await?;
    // Who was an admin without an end may be one no longer.
    db.must_leave_an_admin_but(old);
    tell(db, BOUND, old.subject, db.now()).await?;
    if let Some(end) = end.filter(|end| old.expire_time.is_none_or(|old| *end < old)) {
        taken_scopes::tell_of_end(&**db, old.subject, role, end, db.now()).await?;
    }
    Ok(FieldChange::of(Field::ExpireTime, &text(old.expire_time), &text(end)))
}

/// Adds `binding` to a role of `audience`, if its subject has not as many to such roles as it may have.
async fn insert(
    db: &Administering<'_>,
    binding: &Binding,
    audience: &AudienceName,
) -> Result<Option<FieldChange>, Failed> {
    let no_end_yet =
        Condition::any().add(Column::ExpireTime.is_null()).add(Column::ExpireTime.gt(db.now().as_micros()));
    let there = with_role(of_subject(binding.subject)).filter(RoleColumn::Audience.eq(audience.as_str()));
    if there.filter(no_end_yet).count(&**db).await? >= SUBJECT_MAX_BINDINGS {
        let whose = format!("the {} at the audience `{}`", binding.subject.kind(), audience.as_str());
        return Err(Error::LimitReached { whose, what: "bindings", most: SUBJECT_MAX_BINDINGS }.into());
    }
    write(db, binding).await?;
    tell(db, BOUND, binding.subject, db.now()).await?;
    Ok(FieldChange::of(Field::ExpireTime, "", &text(binding.expire_time)))
}

/// A time as it is recorded; empty if there is none.
fn text(time: Option<Timestamp>) -> String {
    time.map(|time| time.to_string()).unwrap_or_default()
}

/// Tells of what `subject` is bound to. What a group has its members have, whoever they are.
pub(in crate::store::tables) async fn tell(
    db: &Transaction,
    bound: (ChangeKind, ChangeEffect),
    subject: Principal,
    now: Timestamp,
) -> Result<(), DbErr> {
    let change = if matches!(subject, Principal::Group(_)) { groups::CHANGED } else { bound };
    changes::tell(db, change, &[subject.id()], now).await
}

async fn write(db: &Transaction, binding: &Binding) -> Result<(), DbErr> {
    let row = ActiveModel {
        organization_id: Set(INSTANCE),
        id: Set(binding.id.0),
        role_id: Set(binding.role.0),
        subject_kind: Set(binding.subject.kind().to_owned()),
        subject_id: Set(binding.subject.id()),
        expire_time: Set(binding.expire_time.map(Timestamp::as_micros)),
        create_time: Set(binding.create_time.as_micros()),
    };
    Entity::insert(row).exec_without_returning(db).await.map(drop)
}
