//! Owns the table `bindings`: who has which role, and what follows for a user by its groups.

use sea_orm::{
    ActiveValue::Set,
    ColumnTrait, ConnectionTrait, DbErr, EntityTrait, FromQueryResult, JoinType, PaginatorTrait, QueryFilter,
    QueryOrder, QuerySelect, Select,
    sea_query::{Condition, Expr},
};
use uuid::Uuid;

use crate::store::{
    Store,
    engine::transaction::Transaction,
    tables::{
        access::{self, AccessWriteError, INSTANCE},
        administration::{AdminChange, Applied, Begun},
        changes::{self, ChangeEffect, ChangeKind},
        ended_bindings,
        entity::{
            bindings::{ActiveModel, Column, Entity, Model},
            groups::{Column as GroupColumn, Entity as GroupEntity},
            memberships::{Column as MemberColumn, Entity as MemberEntity},
            roles::{self as role_rows, Column as RoleColumn, Entity as RoleEntity},
        },
        groups, roles,
    },
};
use crate::{
    audit::{Field, FieldChange},
    base::Timestamp,
    model::{
        AudienceName, Binding, BindingId, ClientId, Error, Grant, Group, GroupId, GroupName, Principal, Role,
        RoleId, UserId, binding::SUBJECT_MAX_BINDINGS,
    },
};

/// How the feed is told of a binding of a user or a client.
const BOUND: (ChangeKind, ChangeEffect) = (ChangeKind::Binding, ChangeEffect::Changed);
pub(super) const UNBOUND: (ChangeKind, ChangeEffect) = (ChangeKind::Binding, ChangeEffect::Ended);

/// What came of giving somebody a role.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Bound {
    /// The binding is new.
    Made(Binding),
    /// It was there, and has another end now.
    Changed(Binding),
    /// It was there, with this end.
    AsItWas(Binding),
}

/// Which bindings are meant: those of which all holds.
#[derive(Clone, Debug, Default)]
pub struct BindingFilter {
    /// Of one of these roles.
    pub roles: Option<Vec<RoleId>>,
    /// Of this user, group or client.
    pub subject: Option<Principal>,
    /// Of roles of this audience.
    pub audience: Option<AudienceName>,
    /// With an end that is no later.
    pub end_by: Option<Timestamp>,
}

/// What is read of a grant; of one that comes by a group, that too.
#[derive(FromQueryResult)]
struct GrantRow {
    binding_id: Uuid,
    expire_time: Option<i64>,
    role_id: Uuid,
    audience: String,
    name: String,
    scopes: String,
    description: String,
    create_time: i64,
    update_time: i64,
}

#[derive(FromQueryResult)]
struct GroupGrantRow {
    #[sea_orm(nested)]
    grant: GrantRow,
    group_id: Uuid,
    group_name: String,
    group_create_time: i64,
}

impl Store {
    /// Gives `binding.subject` the role `binding.role`, or another end to what gives it already.
    ///
    /// # Errors
    /// [`AccessWriteError::Gone`], [`AccessWriteError::TooMany`]; [`AccessWriteError::Failed`], with why whoever changes it may not, too.
    pub async fn bind(
        &self,
        binding: &Binding,
        change: AdminChange<'_>,
    ) -> Result<Applied<Bound>, AccessWriteError> {
        let role = RoleEntity::find_by_id((INSTANCE, binding.role.0)).lock_exclusive();
        let bound = self.write(|| async {
            let db = match self.begin_change(change).await? {
                Begun::Now(db) => db,
                Begun::Before(id) => return Ok(Ok(Applied::Before(id))),
            };
            // The subject's row, so that nobody deletes it meanwhile.
            let is_there = access::lock(&*db, binding.subject).await?;
            let role = role.clone().all(&*db).await?.pop().map(Role::from);
            let Some(role) = role.filter(|_| is_there) else { return Ok(Err(AccessWriteError::Gone)) };
            db.may_change_roles_of(&role.audience).await?;
            db.rights().must_have_to_grant(&role.scopes)?;
            let of_role = of_subject(binding.subject).filter(Column::RoleId.eq(binding.role.0));
            let (bound, changes) = match of_role.all(&*db).await?.first().and_then(read) {
                Some(old) if old.expire_time == binding.expire_time => {
                    return Ok(Ok(db.unchanged(old.id.0, Bound::AsItWas(old)).await?));
                }
                Some(old) => {
                    set_end(&db, old.id, binding.expire_time).await?;
                    // Who was an admin without an end may be one no longer.
                    db.must_leave_an_admin_if(role.id).await?;
                    let end = FieldChange::of(
                        Field::ExpireTime,
                        &text(old.expire_time),
                        &text(binding.expire_time),
                    );
                    (Bound::Changed(Binding { expire_time: binding.expire_time, ..old }), end)
                }
                None => {
                    let no_end_yet = Condition::any()
                        .add(Column::ExpireTime.is_null())
                        .add(Column::ExpireTime.gt(change.now.as_micros()));
                    let count = of_subject(binding.subject).filter(no_end_yet).count(&*db).await?;
                    if count >= SUBJECT_MAX_BINDINGS {
                        return Ok(Err(AccessWriteError::TooMany(SUBJECT_MAX_BINDINGS)));
                    }
                    insert(&db, binding).await?;
                    (
                        Bound::Made(*binding),
                        FieldChange::of(Field::ExpireTime, "", &text(binding.expire_time)),
                    )
                }
            };
            tell(&db, BOUND, binding.subject, change.now).await?;
            let (Bound::Made(now) | Bound::Changed(now) | Bound::AsItWas(now)) = bound;
            Ok(Ok(db.done(now.id.0, changes, bound).await?))
        });
        bound.await?
    }

    /// Takes the role `role` from `subject`, and returns the binding that gave it; none if none did.
    ///
    /// # Errors
    /// [`Error::Unavailable`] or [`Error::Internal`], with the cause; why whoever changes it may not.
    pub async fn unbind(
        &self,
        role: &Role,
        subject: Principal,
        change: AdminChange<'_>,
    ) -> Result<Applied<Option<Binding>>, Error> {
        self.write(|| async {
            let db = match self.begin_change(change).await? {
                Begun::Now(db) => db,
                Begun::Before(id) => return Ok(Applied::Before(id)),
            };
            db.may_change_roles_of(&role.audience).await?;
            db.rights().must_equal(&role.scopes)?;
            let query = of_subject(subject).filter(Column::RoleId.eq(role.id.0)).lock_exclusive();
            let Some(old) = query.all(&*db).await?.first().and_then(read) else {
                return Ok(Applied::Now(None));
            };
            Entity::delete_by_id((INSTANCE, old.id.0)).exec(&*db).await?;
            db.must_leave_an_admin_if(role.id).await?;
            tell(&db, UNBOUND, subject, change.now).await?;
            ended_bindings::tell_unbound_roles(&*db, [role.id.0], change.now).await?;
            db.done(old.id.0, FieldChange::of(Field::ExpireTime, &text(old.expire_time), ""), Some(old)).await
        })
        .await
    }

    /// The binding `id`, with its role.
    ///
    /// # Errors
    /// [`Error::Unavailable`] or [`Error::Internal`], with the cause.
    pub async fn binding(&self, id: BindingId) -> Result<Option<(Binding, Role)>, Error> {
        let query = with_role(Entity::find_by_id((INSTANCE, id.0))).select_also(RoleEntity);
        let row = self.ask_for_one(|| query.clone().all(&self.db)).await?;
        Ok(row.and_then(|(row, role)| Some((read(&row)?, Role::from(role?)))))
    }

    /// The bindings after `after` in the order of their ids, which is the order of their making, with their roles; at most `limit`.
    ///
    /// # Errors
    /// [`Error::Unavailable`] or [`Error::Internal`], with the cause.
    pub async fn bindings(
        &self,
        filter: &BindingFilter,
        after: Option<BindingId>,
        limit: u64,
    ) -> Result<Vec<(Binding, Role)>, Error> {
        let mut query = match filter.subject {
            Some(subject) => of_subject(subject),
            None => Entity::find().filter(Column::OrganizationId.eq(INSTANCE)),
        };
        query = with_role(query);
        if let Some(roles) = &filter.roles {
            query = query.filter(Column::RoleId.is_in(roles.iter().map(|role| role.0)));
        }
        if let Some(audience) = &filter.audience {
            query = query.filter(RoleColumn::Audience.eq(audience.as_str()));
        }
        if let Some(end) = filter.end_by {
            query = query.filter(Column::ExpireTime.lte(end.as_micros()));
        }
        if let Some(after) = after {
            query = query.filter(Column::Id.gt(after.0));
        }
        let query = query.select_also(RoleEntity).order_by_asc(Column::Id).limit(limit);
        let rows = self.ask(|| query.clone().all(&self.db)).await?;
        let listed = |(row, role): (Model, Option<role_rows::Model>)| Some((read(&row)?, Role::from(role?)));
        Ok(rows.into_iter().filter_map(listed).collect())
    }

    /// What `user` is bound to, by itself and by its groups, at every audience. Ends are not looked at: see [`Grant::holds_at`].
    ///
    /// # Errors
    /// [`Error::Unavailable`] or [`Error::Internal`], with the cause.
    pub async fn grants_of_user(&self, user: UserId) -> Result<Vec<Grant>, Error> {
        let mut grants = self.ask(|| grants_in(&self.db, Principal::User(user))).await?;
        grants.sort_unstable_by_key(|grant| (grant.role.id, grant.binding));
        Ok(grants)
    }

    /// What `client` is bound to in its own name, at every audience. Ends are not looked at.
    ///
    /// # Errors
    /// [`Error::Unavailable`] or [`Error::Internal`], with the cause.
    pub async fn grants_of_client(&self, client: ClientId) -> Result<Vec<Grant>, Error> {
        let mut grants = self.ask(|| grants_in(&self.db, Principal::Client(client))).await?;
        grants.sort_unstable_by_key(|grant| (grant.role.id, grant.binding));
        Ok(grants)
    }
}

/// What `subject` is bound to, and a user by its groups too, in no order.
pub(super) async fn grants_in(db: &impl ConnectionTrait, subject: Principal) -> Result<Vec<Grant>, DbErr> {
    let own = grant_columns(with_role(of_subject(subject))).into_model::<GrantRow>().all(db).await?;
    let mut grants: Vec<_> = own.into_iter().map(|row| row.into_grant(None)).collect();
    // Two statements, each a walk along indices: one with an `OR` for both would have MySQL read all bindings.
    if let Principal::User(user) = subject {
        let rows = by_groups(user).into_model::<GroupGrantRow>().all(db).await?;
        grants.extend(rows.into_iter().map(Grant::from));
    }
    Ok(grants)
}

/// The bindings of `subject`.
fn of_subject(subject: Principal) -> Select<Entity> {
    Entity::find()
        .filter(Column::OrganizationId.eq(INSTANCE))
        .filter(Column::SubjectKind.eq(subject.kind()))
        .filter(Column::SubjectId.eq(subject.id()))
}

/// `query`, with the role of each.
pub(super) fn with_role(query: Select<Entity>) -> Select<Entity> {
    let role = Entity::belongs_to(RoleEntity).from(Column::RoleId).to(RoleColumn::Id);
    query.join(JoinType::InnerJoin, role.into()).filter(RoleColumn::OrganizationId.eq(INSTANCE))
}

/// The bindings of the groups of `user`.
fn by_groups(user: UserId) -> Select<Entity> {
    let member = Entity::belongs_to(MemberEntity).from(Column::SubjectId).to(MemberColumn::GroupId);
    let group = Entity::belongs_to(GroupEntity).from(Column::SubjectId).to(GroupColumn::Id);
    let bindings = Entity::find()
        .filter(Column::OrganizationId.eq(INSTANCE))
        .filter(Column::SubjectKind.eq(Principal::Group(GroupId(Uuid::nil())).kind()))
        .join(JoinType::InnerJoin, member.into())
        .filter(MemberColumn::OrganizationId.eq(INSTANCE))
        .filter(MemberColumn::UserId.eq(user.0))
        .join(JoinType::InnerJoin, group.into())
        .filter(GroupColumn::OrganizationId.eq(INSTANCE));
    grant_columns(with_role(bindings))
        .column_as(GroupColumn::Id, "group_id")
        .column_as(GroupColumn::Name, "group_name")
        .column_as(GroupColumn::CreateTime, "group_create_time")
}

/// What a [`GrantRow`] is read from.
fn grant_columns(query: Select<Entity>) -> Select<Entity> {
    query
        .select_only()
        .column_as(Column::Id, "binding_id")
        .column_as(Column::ExpireTime, "expire_time")
        .column_as(RoleColumn::Id, "role_id")
        .column_as(RoleColumn::Audience, "audience")
        .column_as(RoleColumn::Name, "name")
        .column_as(RoleColumn::Scopes, "scopes")
        .column_as(RoleColumn::Description, "description")
        .column_as(RoleColumn::CreateTime, "create_time")
        .column_as(RoleColumn::UpdateTime, "update_time")
}

/// Gives the binding `id` another end, or none.
async fn set_end(db: &Transaction, id: BindingId, end: Option<Timestamp>) -> Result<(), DbErr> {
    Entity::update_many()
        .col_expr(Column::ExpireTime, Expr::value(end.map(Timestamp::as_micros)))
        .filter(Column::OrganizationId.eq(INSTANCE))
        .filter(Column::Id.eq(id.0))
        .exec(db)
        .await
        .map(drop)
}

/// A time as it is recorded; empty if there is none.
fn text(time: Option<Timestamp>) -> String {
    time.map(|time| time.to_string()).unwrap_or_default()
}

/// Tells of what `subject` is bound to. What a group has its members have, whoever they are.
pub(super) async fn tell(
    db: &Transaction,
    bound: (ChangeKind, ChangeEffect),
    subject: Principal,
    now: Timestamp,
) -> Result<(), DbErr> {
    let change = if matches!(subject, Principal::Group(_)) { groups::CHANGED } else { bound };
    changes::tell(db, change, &[subject.id()], now).await
}

async fn insert(db: &Transaction, binding: &Binding) -> Result<(), DbErr> {
    let of_role = Entity::find()
        .select_only()
        .column(Column::Id)
        .filter(Column::OrganizationId.eq(INSTANCE))
        .filter(Column::RoleId.eq(binding.role.0))
        .limit(1)
        // Whoever is just taking away the last one is waited for: else both would find that the other's makes the scopes known.
        .lock_exclusive();
    let others: Vec<Uuid> = of_role.into_tuple().all(db).await?;
    let row = ActiveModel {
        organization_id: Set(INSTANCE),
        id: Set(binding.id.0),
        role_id: Set(binding.role.0),
        subject_kind: Set(binding.subject.kind().to_owned()),
        subject_id: Set(binding.subject.id()),
        expire_time: Set(binding.expire_time.map(Timestamp::as_micros)),
        create_time: Set(binding.create_time.as_micros()),
    };
    Entity::insert(row).exec_without_returning(db).await?;
    if others.is_empty() {
        // From now on somebody has its scopes: they are known at its audience (`Store::known_scopes`).
        changes::tell(db, roles::CHANGED, &[binding.role.0], binding.create_time).await?;
    }
    Ok(())
}

/// Deletes the bindings of `subject`, within the transaction that deletes it.
pub(super) async fn delete_of(db: &impl ConnectionTrait, subject: Principal) -> Result<(), DbErr> {
    Entity::delete_many()
        .filter(Column::OrganizationId.eq(INSTANCE))
        .filter(Column::SubjectKind.eq(subject.kind()))
        .filter(Column::SubjectId.eq(subject.id()))
        .exec(db)
        .await
        .map(drop)
}

/// Deletes the bindings of `role`, within the transaction that deletes it.
pub(super) async fn delete_of_role(db: &impl ConnectionTrait, role: RoleId) -> Result<(), DbErr> {
    Entity::delete_many()
        .filter(Column::OrganizationId.eq(INSTANCE))
        .filter(Column::RoleId.eq(role.0))
        .exec(db)
        .await
        .map(drop)
}

/// The binding of `row`; none if a later release wrote whom it is of.
pub(super) fn read(row: &Model) -> Option<Binding> {
    Some(Binding {
        id: BindingId(row.id),
        role: RoleId(row.role_id),
        subject: Principal::of(&row.subject_kind, row.subject_id)?,
        expire_time: row.expire_time.map(Timestamp::from_micros),
        create_time: Timestamp::from_micros(row.create_time),
    })
}

impl GrantRow {
    fn into_grant(self, group: Option<Group>) -> Grant {
        let role = role_rows::Model {
            organization_id: INSTANCE,
            id: self.role_id,
            audience: self.audience,
            name: self.name,
            scopes: self.scopes,
            description: self.description,
            create_time: self.create_time,
            update_time: self.update_time,
        };
        let expire_time = self.expire_time.map(Timestamp::from_micros);
        Grant { binding: BindingId(self.binding_id), role: Role::from(role), group, expire_time }
    }
}

impl From<GroupGrantRow> for Grant {
    fn from(row: GroupGrantRow) -> Self {
        let GroupGrantRow { grant, group_id, group_name, group_create_time } = row;
        let group = Group {
            id: GroupId(group_id),
            name: GroupName::from_stored(group_name),
            create_time: Timestamp::from_micros(group_create_time),
        };
        grant.into_grant(Some(group))
    }
}
