//! Owns making and deleting groups, and who is in them.

use super::{AccessError, AccessRegistry, GroupRef, NamedPrincipal, registry::settled};
use crate::{
    audit::Event,
    identity::{Administrator, users::UserRef},
    model::{Group, GroupId, GroupName, UserId},
};

impl AccessRegistry {
    /// Makes a group.
    ///
    /// # Errors
    /// [`AccessError::GroupTaken`], [`AccessError::Failed`].
    pub async fn create_group(&self, name: GroupName, by: &Administrator) -> Result<Group, AccessError> {
        let now = self.clock.now();
        let group = Group { id: GroupId::new(now, self.store.entropy()), name, create_time: now };
        let pending = self.begin(Event::GroupCreated.done().group(group.id), by);
        let added = self.store.add_group(&group).await.map_err(|error| {
            let taken = || AccessError::GroupTaken(group.name.clone());
            AccessError::not_written(error, taken, ("the service", "groups"), "the group")
        });
        settled(pending, added, |()| true)?;
        Ok(group)
    }

    /// Deletes a group: its members lose what it gave them. Returns it as it was.
    ///
    /// # Errors
    /// [`AccessError::NoSuchGroup`], [`AccessError::Failed`].
    pub async fn delete_group(&self, which: &GroupRef, by: &Administrator) -> Result<Group, AccessError> {
        let group = self.directory.group(which).await?;
        let pending = self.begin(Event::GroupDeleted.done().group(group.id), by);
        let deleted = self.store.delete_group(group.id, self.clock.now()).await.map_err(AccessError::from);
        if settled(pending, deleted, |deleted| *deleted)? {
            Ok(group)
        } else {
            Err(AccessError::NoSuchGroup(which.clone()))
        }
    }

    /// Adds a user to a group. Returns who that is; if it is in it already, nothing is done.
    ///
    /// # Errors
    /// [`AccessError`]: no such group or user, [`AccessError::TooMany`], [`AccessError::Gone`], [`AccessError::Failed`].
    pub async fn add_member(
        &self,
        which: &GroupRef,
        who: &UserRef,
        by: &Administrator,
    ) -> Result<(Group, NamedPrincipal), AccessError> {
        let (group, id, user) = self.group_and_user(which, who).await?;
        let pending = self.begin(Event::GroupMemberAdded.done().group(group.id).user(id), by);
        let added = self.store.add_member(group.id, id, self.clock.now()).await.map_err(|error| {
            let taken = || AccessError::GroupTaken(group.name.clone());
            AccessError::not_written(
                error,
                taken,
                (&user.to_string(), "groups"),
                &format!("{user} or the group `{}`", group.name.as_str()),
            )
        });
        settled(pending, added, |added| *added)?;
        Ok((group, user))
    }

    /// Takes a user out of a group. Returns who that is.
    ///
    /// # Errors
    /// [`AccessError`]: no such group or user, [`AccessError::NotMember`], [`AccessError::Failed`].
    pub async fn remove_member(
        &self,
        which: &GroupRef,
        who: &UserRef,
        by: &Administrator,
    ) -> Result<(Group, NamedPrincipal), AccessError> {
        let (group, id, user) = self.group_and_user(which, who).await?;
        let pending = self.begin(Event::GroupMemberRemoved.done().group(group.id).user(id), by);
        let removed = self.store.remove_member(group.id, id, self.clock.now()).await;
        if settled(pending, removed.map_err(AccessError::from), |removed| *removed)? {
            Ok((group, user))
        } else {
            Err(AccessError::NotMember(user, group.name))
        }
    }

    async fn group_and_user(
        &self,
        which: &GroupRef,
        who: &UserRef,
    ) -> Result<(Group, UserId, NamedPrincipal), AccessError> {
        let group = self.directory.group(which).await?;
        let (id, user) = self.directory.user(who).await?;
        Ok((group, id, user))
    }
}
