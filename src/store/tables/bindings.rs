//! Owns the table `bindings`: which principal has which role until when, and which roles a user has by its groups.

mod giving;

use sea_orm::{
    ColumnTrait, ConnectionTrait, DbErr, EntityTrait, FromQueryResult, JoinType, QueryFilter, QueryOrder,
    QuerySelect, Select,
};
use uuid::Uuid;

use crate::store::{
    Store,
    tables::{
        access::INSTANCE,
        entity::{
            bindings::{Column, Entity, Model},
            groups::{Column as GroupColumn, Entity as GroupEntity},
            memberships::{Column as MemberColumn, Entity as MemberEntity},
            roles::{self as role_rows, Column as RoleColumn, Entity as RoleEntity},
        },
    },
};
use crate::{
    base::Timestamp,
    model::{
        AudienceName, Binding, BindingId, ClientId, Error, Grant, Group, GroupId, GroupName, Principal, Role,
        RoleId, UserId,
    },
};

pub(super) use giving::{UNBOUND, tell};

/// The result of creating a binding.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Bound {
    /// The binding is new.
    Made(Binding),
    /// It was there, and has another end now.
    Changed(Binding),
    /// The binding exists already, with this end.
    AsItWas(Binding),
}

/// Which binding is meant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WhichBinding {
    /// The one with this id.
    Id(BindingId),
    /// The one that gives the role to somebody.
    Of(RoleId, Principal),
}

/// Which bindings are meant: those of which all holds.
#[derive(Clone, Debug, Default)]
pub struct BindingFilter {
    /// Only bindings of these roles.
    pub roles: Option<Vec<RoleId>>,
    /// Only bindings of this user, group or client.
    pub subject: Option<Principal>,
    /// Only bindings of roles of this audience.
    pub audience: Option<AudienceName>,
    /// Only bindings that end at this time or before.
    pub end_by: Option<Timestamp>,
}

/// The columns of a grant, and of the group that it comes by, if any.
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
    /// The binding `id`, with its role.
    ///
    /// # Errors
    /// [`Error::Unavailable`] or [`Error::Internal`], with the cause.
    pub async fn binding(&self, id: BindingId) -> Result<Option<(Binding, Role)>, Error> {
        let query = with_role(Entity::find_by_id((INSTANCE, id.0))).select_also(RoleEntity);
        let row = self.ask_for_one(|| query.clone().all(&self.db)).await?;
        Ok(row.and_then(|(row, role)| Some((read(&row)?, Role::from(role?)))))
    }

    /// The bindings after `after` in the order of their ids, the order of their creation, with their roles; at most `limit`.
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

    /// The grants of `user`, its own and those of its groups, at every audience. Expired ones are among them: see [`Grant::holds_at`].
    ///
    /// # Errors
    /// [`Error::Unavailable`] or [`Error::Internal`], with the cause.
    pub async fn grants_of_user(&self, user: UserId) -> Result<Vec<Grant>, Error> {
        let mut grants = self.ask(|| grants_in(&self.db, Principal::User(user))).await?;
        grants.sort_unstable_by_key(|grant| (grant.role.id, grant.binding));
        Ok(grants)
    }

    /// The grants of `client` in its own name, at every audience. Expired ones are among them.
    ///
    /// # Errors
    /// [`Error::Unavailable`] or [`Error::Internal`], with the cause.
    pub async fn grants_of_client(&self, client: ClientId) -> Result<Vec<Grant>, Error> {
        let mut grants = self.ask(|| grants_in(&self.db, Principal::Client(client))).await?;
        grants.sort_unstable_by_key(|grant| (grant.role.id, grant.binding));
        Ok(grants)
    }
}

/// The grants of `subject`, of a user those of its groups too, in no order.
pub(super) async fn grants_in(db: &impl ConnectionTrait, subject: Principal) -> Result<Vec<Grant>, DbErr> {
    let mut grants = own_grants_in(db, subject).await?;
    // Two statements, each a walk along indices: one with an `OR` for both would have MySQL read all bindings.
    if let Principal::User(user) = subject {
        let rows = by_groups(user).into_model::<GroupGrantRow>().all(db).await?;
        grants.extend(rows.into_iter().map(Grant::from));
    }
    Ok(grants)
}

/// The grants of `subject` itself, in no order.
pub(super) async fn own_grants_in(
    db: &impl ConnectionTrait,
    subject: Principal,
) -> Result<Vec<Grant>, DbErr> {
    let rows = grant_columns(with_role(of_subject(subject))).into_model::<GrantRow>().all(db).await?;
    Ok(rows.into_iter().map(|row| row.into_grant(None)).collect())
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

/// The columns of a [`GrantRow`].
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

/// Deletes the bindings of `subject`, within the transaction that deletes it; returns how many there were.
pub(super) async fn delete_of(db: &impl ConnectionTrait, subject: Principal) -> Result<u64, DbErr> {
    let of_subject = Entity::delete_many()
        .filter(Column::OrganizationId.eq(INSTANCE))
        .filter(Column::SubjectKind.eq(subject.kind()))
        .filter(Column::SubjectId.eq(subject.id()));
    Ok(of_subject.exec(db).await?.rows_affected)
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
