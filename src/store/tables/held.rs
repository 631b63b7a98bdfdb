//! Owns reading all roles that a user has, directly and by groups, when a process sees the user for the first time.

use sea_orm::{
    ColumnTrait, Condition, ConnectionTrait, DbErr, EntityTrait, FromQueryResult, JoinType, QueryFilter,
    QuerySelect,
    sea_query::{Expr, ExprTrait, IntoCondition},
};
use uuid::Uuid;

use crate::store::{
    Store,
    tables::{
        access::INSTANCE,
        bindings,
        entity::{
            bindings::{Column, Entity},
            groups::{Column as GroupColumn, Entity as GroupEntity},
            memberships::{Column as MemberColumn, Entity as MemberEntity},
            roles::{self as role_rows, Column as RoleColumn, Entity as RoleEntity},
        },
    },
};
use crate::{
    base::Timestamp,
    model::{BindingId, Error, Grant, Group, GroupId, GroupName, Principal, Role, UserId},
};

/// The grants of a user, its own and those of its groups.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct HeldGrants {
    /// Each way by which it has a role.
    pub grants: Vec<Grant>,
    /// The groups that it is in, whether or not they give anything.
    pub groups: Vec<GroupId>,
}

/// A group that a user is in, and one of the bindings of the group, if it has any.
#[derive(FromQueryResult)]
struct MemberRow {
    group_id: Uuid,
    group_name: String,
    group_create_time: i64,
    binding_id: Option<Uuid>,
    expire_time: Option<i64>,
    role_id: Option<Uuid>,
    audience: Option<String>,
    name: Option<String>,
    scopes: Option<String>,
}

impl Store {
    /// The grants of `user` at every audience, in no order. Expired ones are among them: see [`Grant::holds_at`].
    ///
    /// # Errors
    /// [`Error::Unavailable`] or [`Error::Internal`], with the cause.
    pub async fn held_by_user(&self, user: UserId) -> Result<HeldGrants, Error> {
        self.ask(|| held_in(&self.db, user)).await
    }
}

/// Two statements, each a walk along indices: one with an `OR` for both would have MySQL read all bindings.
async fn held_in(db: &impl ConnectionTrait, user: UserId) -> Result<HeldGrants, DbErr> {
    let mut held =
        HeldGrants { grants: bindings::own_grants_in(db, Principal::User(user)).await?, groups: Vec::new() };
    for row in groups_and_their_bindings(db, user).await? {
        let group = GroupId(row.group_id);
        held.grants.extend(row.into_grant());
        held.groups.push(group);
    }
    held.groups.sort_unstable();
    held.groups.dedup();
    Ok(held)
}

/// The groups of `user`, each once for each of its bindings; once, too, if it has none.
async fn groups_and_their_bindings(db: &impl ConnectionTrait, user: UserId) -> Result<Vec<MemberRow>, DbErr> {
    let group = MemberEntity::belongs_to(GroupEntity).from(MemberColumn::GroupId).to(GroupColumn::Id);
    let binding = MemberEntity::belongs_to(Entity).from(MemberColumn::GroupId).to(Column::SubjectId);
    let binding = binding.on_condition(|_, bindings| {
        let kind = Principal::Group(GroupId(Uuid::nil())).kind();
        Condition::all()
            .add(Expr::col((bindings.clone(), Column::OrganizationId)).eq(INSTANCE))
            .add(Expr::col((bindings, Column::SubjectKind)).eq(kind))
    });
    let role =
        Entity::belongs_to(RoleEntity).from(Column::RoleId).to(RoleColumn::Id).on_condition(|_, roles| {
            Expr::col((roles, RoleColumn::OrganizationId)).eq(INSTANCE).into_condition()
        });
    MemberEntity::find()
        .select_only()
        .join(JoinType::InnerJoin, group.into())
        .join(JoinType::LeftJoin, binding.into())
        .join(JoinType::LeftJoin, role.into())
        .filter(MemberColumn::OrganizationId.eq(INSTANCE))
        .filter(MemberColumn::UserId.eq(user.0))
        .filter(GroupColumn::OrganizationId.eq(INSTANCE))
        .column_as(GroupColumn::Id, "group_id")
        .column_as(GroupColumn::Name, "group_name")
        .column_as(GroupColumn::CreateTime, "group_create_time")
        .column_as(Column::Id, "binding_id")
        .column_as(Column::ExpireTime, "expire_time")
        .column_as(RoleColumn::Id, "role_id")
        .column_as(RoleColumn::Audience, "audience")
        .column_as(RoleColumn::Name, "name")
        .column_as(RoleColumn::Scopes, "scopes")
        .into_model::<MemberRow>()
        .all(db)
        .await
}

impl MemberRow {
    /// The binding, with as much of its role as tokens go by; none if the group has none.
    fn into_grant(self) -> Option<Grant> {
        let role = role_rows::Model {
            organization_id: INSTANCE,
            id: self.role_id?,
            audience: self.audience?,
            name: self.name?,
            scopes: self.scopes?,
            description: String::new(),
            create_time: 0,
            update_time: 0,
        };
        let group = Group {
            id: GroupId(self.group_id),
            name: GroupName::from_stored(self.group_name),
            create_time: Timestamp::from_micros(self.group_create_time),
        };
        Some(Grant {
            binding: BindingId(self.binding_id?),
            role: Role::from(role),
            group: Some(group),
            expire_time: self.expire_time.map(Timestamp::from_micros),
        })
    }
}
