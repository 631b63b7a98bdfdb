//! Owns the tables `groups` and `memberships`: groups of users, and who is in each.

use sea_orm::{
    ActiveValue::Set, ColumnTrait, EntityTrait, JoinType, PaginatorTrait, QueryFilter, QueryOrder,
    QuerySelect,
};

use crate::store::{
    Store,
    engine::{attempts::Failed, failure},
    tables::{
        access::{self, INSTANCE},
        administration::{AdminChange, Administering, Applied},
        bindings,
        changes::{self, ChangeEffect, ChangeKind},
        entity::{
            audience_owners as owners,
            groups::{ActiveModel, Column, Entity, Model},
            memberships as members,
            users::{Column as UserColumn, Entity as UserEntity},
        },
        taken_scopes,
    },
};
use crate::{
    audit::{Field, FieldChange},
    base::Timestamp,
    model::{
        AdminScope, BuiltInRole, Error, Grant, Group, GroupId, GroupName, Membership, Principal, Role, User,
        UserId, group::USER_MAX_GROUPS,
    },
};

/// How the feed is told of a group, and of who came into one or left it.
pub(super) const CHANGED: (ChangeKind, ChangeEffect) = (ChangeKind::Group, ChangeEffect::Changed);
const ENDED: (ChangeKind, ChangeEffect) = (ChangeKind::Group, ChangeEffect::Ended);
const JOINED: (ChangeKind, ChangeEffect) = (ChangeKind::Membership, ChangeEffect::Changed);
const LEFT: (ChangeKind, ChangeEffect) = (ChangeKind::Membership, ChangeEffect::Ended);

impl Store {
    /// Adds `group`.
    ///
    /// # Errors
    /// [`Error::GroupExists`]; why whoever adds it may not; [`Error::Unavailable`] or [`Error::Internal`], with the cause.
    pub async fn add_group(&self, group: &Group, change: AdminChange<'_>) -> Result<Applied<()>, Error> {
        let row = ActiveModel {
            organization_id: Set(INSTANCE),
            id: Set(group.id.0),
            name: Set(group.name.as_str().to_owned()),
            create_time: Set(group.create_time.as_micros()),
        };
        let row = &row;
        self.change(change, |db| async move {
            db.rights().must_have(AdminScope::GroupsWrite)?;
            match Entity::insert(row.clone()).exec_without_returning(&*db).await {
                Ok(_) => {}
                Err(error) if failure::is_duplicate(&error) => {
                    return Err(Error::GroupExists(group.name.as_str().to_owned()).into());
                }
                Err(error) => return Err(error.into()),
            }
            // Nobody is told: it has no members yet, and gives nothing.
            db.done(group.id.0, FieldChange::of(Field::Name, "", group.name.as_str()), ()).await
        })
        .await
    }

    /// The group `id`.
    ///
    /// # Errors
    /// [`Error::Unavailable`] or [`Error::Internal`], with the cause.
    pub async fn group(&self, id: GroupId) -> Result<Option<Group>, Error> {
        let query = Entity::find_by_id((INSTANCE, id.0));
        Ok(self.ask_for_one(|| query.clone().all(&self.db)).await?.map(Group::from))
    }

    /// The group of the name `name`.
    ///
    /// # Errors
    /// [`Error::Unavailable`] or [`Error::Internal`], with the cause.
    pub async fn group_named(&self, name: &GroupName) -> Result<Option<Group>, Error> {
        let query = Entity::find().filter(Column::OrganizationId.eq(INSTANCE));
        let query = query.filter(Column::Name.eq(name.as_str()));
        Ok(self.ask_for_one(|| query.clone().all(&self.db)).await?.map(Group::from))
    }

    /// The groups after `after` in the order of their ids, the order of their creation; at most `limit`.
    ///
    /// # Errors
    /// [`Error::Unavailable`] or [`Error::Internal`], with the cause.
    pub async fn groups(&self, after: Option<GroupId>, limit: u64) -> Result<Vec<Group>, Error> {
        let mut query = Entity::find().filter(Column::OrganizationId.eq(INSTANCE));
        query = query.order_by_asc(Column::Id).limit(limit);
        if let Some(after) = after {
            query = query.filter(Column::Id.gt(after.0));
        }
        let rows = self.ask(|| query.clone().all(&self.db)).await?;
        Ok(rows.into_iter().map(Group::from).collect())
    }

    /// The groups after `after` that `user` is in, in the order of their ids; at most `limit`.
    ///
    /// # Errors
    /// [`Error::Unavailable`] or [`Error::Internal`], with the cause.
    pub async fn groups_of_user(
        &self,
        user: UserId,
        after: Option<GroupId>,
        limit: u64,
    ) -> Result<Vec<(Membership, Group)>, Error> {
        let group = members::Entity::belongs_to(Entity).from(members::Column::GroupId).to(Column::Id);
        let mut query = members::Entity::find()
            .join(JoinType::InnerJoin, group.into())
            .select_also(Entity)
            .filter(members::Column::OrganizationId.eq(INSTANCE))
            .filter(members::Column::UserId.eq(user.0))
            .filter(Column::OrganizationId.eq(INSTANCE))
            .order_by_asc(members::Column::GroupId)
            .limit(limit);
        if let Some(after) = after {
            query = query.filter(members::Column::GroupId.gt(after.0));
        }
        let rows = self.ask(|| query.clone().all(&self.db)).await?;
        let listed = |(row, group): (_, Option<_>)| Some((Membership::from(row), Group::from(group?)));
        Ok(rows.into_iter().filter_map(listed).collect())
    }

    /// Deletes the group `id`, whose etag must be `etag` if one is said, with its members and bindings, and returns it as it was.
    ///
    /// # Errors
    /// [`Error::GroupNotFound`], [`Error::EtagMismatch`]; why whoever deletes it may not; [`Error::Unavailable`] or [`Error::Internal`],
    /// with the cause.
    pub async fn delete_group(
        &self,
        id: GroupId,
        etag: Option<&str>,
        change: AdminChange<'_>,
    ) -> Result<Applied<Group>, Error> {
        self.change(change, |db| async move {
            let (makes_admins, given) = may_take(&db, id).await?;
            let row = Entity::find_by_id((INSTANCE, id.0)).lock_exclusive().all(&*db).await?.pop();
            let group = row.map(Group::from).ok_or_else(|| Error::GroupNotFound(id.to_string()))?;
            group.etag().must_match(etag)?;
            let members = taken_scopes::of_principal(&*db, Principal::Group(id)).await?;
            Entity::delete_by_id((INSTANCE, id.0)).exec(&*db).await?;
            access::take_all(&*db, Principal::Group(id), change.now).await?;
            if makes_admins {
                db.must_leave_an_admin();
            }
            changes::tell(&*db, ENDED, &[id.0], change.now).await?;
            taken_scopes::tell_of_group(&*db, &members, &given, change.now).await?;
            db.done(id.0, FieldChange::of(Field::Name, group.name.as_str(), ""), group).await
        })
        .await
    }

    /// Adds `user` to `group`. Returns the membership, and whether it is new.
    ///
    /// # Errors
    /// [`Error::UserNotFound`], [`Error::GroupNotFound`], [`Error::LimitReached`]; why whoever adds it may not; [`Error::Unavailable`] or
    /// [`Error::Internal`], with the cause.
    pub async fn add_member(
        &self,
        group: GroupId,
        user: UserId,
        change: AdminChange<'_>,
    ) -> Result<Applied<(Membership, bool)>, Error> {
        let row = members::ActiveModel {
            organization_id: Set(INSTANCE),
            group_id: Set(group.0),
            user_id: Set(user.0),
            create_time: Set(change.now.as_micros()),
        };
        let of_user = members::Entity::find()
            .filter(members::Column::OrganizationId.eq(INSTANCE))
            .filter(members::Column::UserId.eq(user.0));
        let (of_user, row) = (&of_user, &row);
        self.change(change, |db| async move {
            may_give(&db, group).await?;
            // The user's row first: whoever deletes it is waited for.
            access::must_be_there(&*db, Principal::User(user)).await?;
            access::must_be_there(&*db, Principal::Group(group)).await?;
            let is_in = of_user.clone().filter(members::Column::GroupId.eq(group.0));
            if let Some(row) = is_in.all(&*db).await?.pop() {
                return db.unchanged(group.0, (Membership::from(row), false)).await;
            }
            if of_user.clone().count(&*db).await? >= USER_MAX_GROUPS {
                let whose = "the user".to_owned();
                return Err(Error::LimitReached { whose, what: "groups", most: USER_MAX_GROUPS }.into());
            }
            members::Entity::insert(row.clone()).exec_without_returning(&*db).await?;
            changes::tell(&*db, JOINED, &[user.0], change.now).await?;
            db.done(group.0, [], (Membership { group, user, create_time: change.now }, true)).await
        })
        .await
    }

    /// Takes `user` out of `group`; false if it is not in it.
    ///
    /// # Errors
    /// Why whoever takes it out may not; [`Error::Unavailable`] or [`Error::Internal`], with the cause.
    pub async fn remove_member(
        &self,
        group: GroupId,
        user: UserId,
        change: AdminChange<'_>,
    ) -> Result<Applied<bool>, Error> {
        self.change(change, |db| async move {
            let (makes_admins, given) = may_take(&db, group).await?;
            let done = members::Entity::delete_by_id((INSTANCE, group.0, user.0)).exec(&*db).await?;
            if done.rows_affected == 0 {
                return Ok(Applied::Now(false));
            }
            if makes_admins {
                db.must_leave_an_admin();
            }
            changes::tell(&*db, LEFT, &[user.0], change.now).await?;
            taken_scopes::tell_of(&*db, Principal::User(user), &given, change.now).await?;
            db.done(group.0, [], true).await
        })
        .await
    }

    /// The membership of `user` in `group`, if there is one.
    ///
    /// # Errors
    /// [`Error::Unavailable`] or [`Error::Internal`], with the cause.
    pub async fn membership(&self, group: GroupId, user: UserId) -> Result<Option<Membership>, Error> {
        let query = members::Entity::find_by_id((INSTANCE, group.0, user.0));
        Ok(self.ask_for_one(|| query.clone().all(&self.db)).await?.map(Membership::from))
    }

    /// The members of `group` after `after` in the order of their ids, with the users; at most `limit`.
    ///
    /// # Errors
    /// [`Error::Unavailable`] or [`Error::Internal`], with the cause.
    pub async fn members(
        &self,
        group: GroupId,
        after: Option<UserId>,
        limit: u64,
    ) -> Result<Vec<(Membership, User)>, Error> {
        let user = members::Entity::belongs_to(UserEntity).from(members::Column::UserId).to(UserColumn::Id);
        let mut query = members::Entity::find()
            .join(JoinType::InnerJoin, user.into())
            .select_also(UserEntity)
            .filter(members::Column::OrganizationId.eq(INSTANCE))
            .filter(members::Column::GroupId.eq(group.0))
            .order_by_asc(members::Column::UserId)
            .limit(limit);
        if let Some(after) = after {
            query = query.filter(members::Column::UserId.gt(after.0));
        }
        let rows = self.ask(|| query.clone().all(&self.db)).await?;
        let member = |(row, user): (_, Option<_>)| Some((Membership::from(row), User::from(user?)));
        Ok(rows.into_iter().filter_map(member).collect())
    }
}

/// Succeeds if whoever changes it may give somebody all that `group` gives: to be its member is as good as a binding to each of its
/// roles, and makes an owner of each of its audiences.
///
/// # Errors
/// [`Error::InsufficientScope`], [`Error::NotOwner`], [`Error::GrantNotHeld`].
async fn may_give(db: &Administering<'_>, group: GroupId) -> Result<(), Failed> {
    for grant in may_change(db, group).await? {
        db.rights().must_have_to_grant(&grant.role.scopes)?;
    }
    Ok(())
}

/// Succeeds if whoever changes it may take from somebody all that `group` gives. Returns whether it makes admins without an end, and the
/// roles that it gives.
///
/// # Errors
/// [`Error::InsufficientScope`], [`Error::NotOwner`], [`Error::HoldsMore`].
async fn may_take(db: &Administering<'_>, group: GroupId) -> Result<(bool, Vec<Role>), Failed> {
    let (mut makes_admins, mut roles) = (false, Vec::new());
    for grant in may_change(db, group).await? {
        db.rights().must_equal(&grant.role.scopes)?;
        makes_admins |= grant.role.id == BuiltInRole::Admin.id() && grant.expire_time.is_none();
        roles.push(grant.role);
    }
    Ok((makes_admins, roles))
}

/// The grants of `group` at this moment, at audiences whose roles the administrator may change.
async fn may_change(db: &Administering<'_>, group: GroupId) -> Result<Vec<Grant>, Failed> {
    db.rights().must_have(AdminScope::GroupsWrite)?;
    let group = Principal::Group(group);
    let owned = owners::Entity::find()
        .filter(owners::Column::OrganizationId.eq(INSTANCE))
        .filter(owners::Column::OwnerKind.eq(group.kind()))
        .filter(owners::Column::OwnerId.eq(group.id()));
    if owned.count(&**db).await? > 0 {
        db.rights().must_have(AdminScope::AudiencesAdmin)?;
    }
    let mut grants = bindings::grants_in(&**db, group).await?;
    grants.retain(|grant| grant.holds_at(db.now()));
    for grant in &grants {
        db.may_change_roles_of(&grant.role.audience).await?;
    }
    Ok(grants)
}

impl From<members::Model> for Membership {
    fn from(row: members::Model) -> Self {
        let create_time = Timestamp::from_micros(row.create_time);
        Self { group: GroupId(row.group_id), user: UserId(row.user_id), create_time }
    }
}

impl From<Model> for Group {
    fn from(row: Model) -> Self {
        Self {
            id: GroupId(row.id),
            name: GroupName::from_stored(row.name),
            create_time: Timestamp::from_micros(row.create_time),
        }
    }
}
