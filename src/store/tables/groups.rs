//! Owns the tables `groups` and `memberships`.

use sea_orm::{
    ActiveValue::Set, ColumnTrait, EntityTrait, JoinType, PaginatorTrait, QueryFilter, QueryOrder,
    QuerySelect,
};

use crate::store::{
    Store,
    engine::{failure, transaction::commit},
    tables::{
        access::{self, AccessWriteError, INSTANCE},
        changes::{self, ChangeEffect, ChangeKind},
        entity::{
            groups::{ActiveModel, Column, Entity, Model},
            memberships as members,
            users::{Column as UserColumn, Entity as UserEntity},
        },
    },
};
use crate::{
    base::Timestamp,
    model::{Error, Group, GroupId, GroupName, Membership, Principal, User, UserId, group::USER_MAX_GROUPS},
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
    /// [`AccessWriteError::NameTaken`], [`AccessWriteError::Failed`].
    pub async fn add_group(&self, group: &Group) -> Result<(), AccessWriteError> {
        let row = ActiveModel {
            organization_id: Set(INSTANCE),
            id: Set(group.id.0),
            name: Set(group.name.as_str().to_owned()),
            create_time: Set(group.create_time.as_micros()),
        };
        let added = self.write(|| async {
            let db = self.begin().await?;
            match Entity::insert(row.clone()).exec_without_returning(&db).await {
                Ok(_) => {}
                Err(error) if failure::is_duplicate(&error) => return Ok(Err(AccessWriteError::NameTaken)),
                Err(error) => return Err(error.into()),
            }
            // Nobody is told: it has no members yet, and gives nothing.
            commit(db, Ok(())).await
        });
        added.await?
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

    /// The groups after `after` in the order of their ids, which is the order of their making; at most `limit`.
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
    ) -> Result<Vec<Group>, Error> {
        let membership = Entity::belongs_to(members::Entity).from(Column::Id).to(members::Column::GroupId);
        let mut query = Entity::find()
            .join(JoinType::InnerJoin, membership.into())
            .filter(members::Column::OrganizationId.eq(INSTANCE))
            .filter(members::Column::UserId.eq(user.0))
            .filter(Column::OrganizationId.eq(INSTANCE))
            .order_by_asc(Column::Id)
            .limit(limit);
        if let Some(after) = after {
            query = query.filter(Column::Id.gt(after.0));
        }
        let rows = self.ask(|| query.clone().all(&self.db)).await?;
        Ok(rows.into_iter().map(Group::from).collect())
    }

    /// Deletes the group `id` with its members and bindings; false if there is none.
    ///
    /// # Errors
    /// [`Error::Unavailable`] or [`Error::Internal`], with the cause.
    pub async fn delete_group(&self, id: GroupId, now: Timestamp) -> Result<bool, Error> {
        self.write(|| async {
            let db = self.begin().await?;
            // The group first: whoever is just adding to it is waited for, and nobody does after that.
            let done = Entity::delete_by_id((INSTANCE, id.0)).exec(&db).await?;
            access::take_all(&db, Principal::Group(id)).await?;
            changes::tell(&db, ENDED, &[id.0], now).await?;
            commit(db, done.rows_affected > 0).await
        })
        .await
    }

    /// Adds `user` to `group`; false if it is in it already.
    ///
    /// # Errors
    /// [`AccessWriteError`], but for [`AccessWriteError::NameTaken`].
    pub async fn add_member(
        &self,
        group: GroupId,
        user: UserId,
        now: Timestamp,
    ) -> Result<bool, AccessWriteError> {
        let row = members::ActiveModel {
            organization_id: Set(INSTANCE),
            group_id: Set(group.0),
            user_id: Set(user.0),
            create_time: Set(now.as_micros()),
        };
        let of_user = members::Entity::find()
            .filter(members::Column::OrganizationId.eq(INSTANCE))
            .filter(members::Column::UserId.eq(user.0));
        let added = self.write(|| async {
            let db = self.begin().await?;
            // The user's row makes whoever else adds it to a group wait, so that they count each other.
            if !access::lock(&db, Principal::User(user)).await?
                || !access::lock(&db, Principal::Group(group)).await?
            {
                return Ok(Err(AccessWriteError::Gone));
            }
            let is_in = of_user.clone().filter(members::Column::GroupId.eq(group.0));
            if !is_in.all(&db).await?.is_empty() {
                return Ok(Ok(false));
            }
            if of_user.clone().count(&db).await? >= USER_MAX_GROUPS {
                return Ok(Err(AccessWriteError::TooMany(USER_MAX_GROUPS)));
            }
            members::Entity::insert(row.clone()).exec_without_returning(&db).await?;
            changes::tell(&db, JOINED, &[user.0], now).await?;
            commit(db, Ok(true)).await
        });
        added.await?
    }

    /// Takes `user` out of `group`; false if it is not in it.
    ///
    /// # Errors
    /// [`Error::Unavailable`] or [`Error::Internal`], with the cause.
    pub async fn remove_member(&self, group: GroupId, user: UserId, now: Timestamp) -> Result<bool, Error> {
        self.write(|| async {
            let db = self.begin().await?;
            let done = members::Entity::delete_by_id((INSTANCE, group.0, user.0)).exec(&db).await?;
            changes::tell(&db, LEFT, &[user.0], now).await?;
            commit(db, done.rows_affected > 0).await
        })
        .await
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
        let member = |(row, user): (members::Model, Option<_>)| {
            let create_time = Timestamp::from_micros(row.create_time);
            Some((Membership { group, user: UserId(row.user_id), create_time }, User::from(user?)))
        };
        Ok(rows.into_iter().filter_map(member).collect())
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
