//! Owns creating and deleting groups, and their members.

use super::{AccessRegistry, GroupRef, NamedPrincipal};
use crate::{
    audit::Event,
    identity::{Administrator, administrator::NO_FIELDS, users::UserRef},
    model::{Error, Group, GroupId, GroupName, Membership, UserId},
    store::Applied,
};

impl AccessRegistry {
    /// Makes a group.
    ///
    /// # Errors
    /// [`Error::GroupExists`]; why whoever makes it may not; [`Error::Unavailable`] or [`Error::Internal`], with the cause.
    pub async fn create_group(&self, name: GroupName, by: &Administrator) -> Result<Group, Error> {
        let now = self.clock.now();
        let group = Group { id: GroupId::new(now, self.store.entropy()), name, create_time: now };
        let entry = by.entry(Event::GroupCreated.done().group(group.id));
        let pending = self.audit.begin(entry.clone());
        let added = self.store.add_group(&group, by.change(&entry, now)).await;
        match by.settled(pending, added, |()| Some(NO_FIELDS))? {
            Applied::Now(()) => Ok(group),
            Applied::Before(id) => self.directory.group(&GroupId(id).into()).await,
        }
    }

    /// Deletes a group, whose etag must be `etag` if one is said: its members lose what it gave them. Returns it as it was.
    ///
    /// # Errors
    /// [`Error::GroupNotFound`], [`Error::EtagMismatch`]; why whoever deletes it may not; [`Error::Unavailable`] or [`Error::Internal`],
    /// with the cause.
    pub async fn delete_group(
        &self,
        which: &GroupRef,
        etag: Option<&str>,
        by: &Administrator,
    ) -> Result<Option<Group>, Error> {
        let id = self.directory.group_id(which).await?;
        let entry = by.entry(Event::GroupDeleted.done().group(id));
        let pending = self.audit.begin(entry.clone());
        let deleted = self.store.delete_group(id, etag, by.change(&entry, self.clock.now())).await;
        match by.settled(pending, deleted, |_| Some(NO_FIELDS))? {
            Applied::Now(group) => Ok(Some(group)),
            Applied::Before(_) => Ok(None),
        }
    }

    /// Adds a user to a group. Returns who that is, and since when; if it is in it already, nothing is done.
    ///
    /// # Errors
    /// [`Error::GroupNotFound`], [`Error::UserNotFound`], [`Error::LimitReached`]; why whoever adds it may not; [`Error::Unavailable`] or
    /// [`Error::Internal`], with the cause.
    pub async fn add_member(
        &self,
        which: &GroupRef,
        who: &UserRef,
        by: &Administrator,
    ) -> Result<(Group, NamedPrincipal, Membership), Error> {
        let (group, id, user) = self.group_and_user(which, who).await?;
        let entry = by.entry(Event::GroupMemberAdded.done().group(group.id).user(id));
        let pending = self.audit.begin(entry.clone());
        let added = self.store.add_member(group.id, id, by.change(&entry, self.clock.now())).await;
        let changed = |(_, is_new): &(Membership, bool)| is_new.then_some(NO_FIELDS);
        let membership = match by.settled(pending, added, changed)? {
            Applied::Now((membership, _)) => membership,
            Applied::Before(_) => self.directory.membership(&group, id, &user).await?,
        };
        Ok((group, user, membership))
    }

    /// Takes a user out of a group. Returns who that is.
    ///
    /// # Errors
    /// [`Error::GroupNotFound`], [`Error::UserNotFound`], [`Error::MembershipNotFound`]; why whoever takes it out may not;
    /// [`Error::Unavailable`] or [`Error::Internal`], with the cause.
    pub async fn remove_member(
        &self,
        which: &GroupRef,
        who: &UserRef,
        by: &Administrator,
    ) -> Result<(Group, NamedPrincipal), Error> {
        let (group, id, user) = self.group_and_user(which, who).await?;
        if self.end_membership(group.id, id, by).await? {
            Ok((group, user))
        } else {
            let (who, group) = (user.to_string(), group.name.as_str().to_owned());
            Err(Error::MembershipNotFound { who, group })
        }
    }

    /// Takes the user `user` out of the group `group`, by their ids: the same request may have done it before, and both may be gone since.
    ///
    /// # Errors
    /// [`Error::MembershipNotFound`]; why whoever takes it out may not; [`Error::Unavailable`] or [`Error::Internal`], with the cause.
    pub async fn delete_membership(
        &self,
        group: GroupId,
        user: UserId,
        by: &Administrator,
    ) -> Result<(), Error> {
        if self.end_membership(group, user, by).await? {
            Ok(())
        } else {
            Err(Error::MembershipNotFound { who: format!("the user `{user}`"), group: group.to_string() })
        }
    }

    /// Takes `user` out of `group`; false if it is not in it, and the same request has not taken it out before.
    async fn end_membership(&self, group: GroupId, user: UserId, by: &Administrator) -> Result<bool, Error> {
        let entry = by.entry(Event::GroupMemberRemoved.done().group(group).user(user));
        let pending = self.audit.begin(entry.clone());
        let removed = self.store.remove_member(group, user, by.change(&entry, self.clock.now())).await;
        let changed = |removed: &bool| removed.then_some(NO_FIELDS);
        Ok(by.settled(pending, removed, changed)? != Applied::Now(false))
    }

    async fn group_and_user(
        &self,
        which: &GroupRef,
        who: &UserRef,
    ) -> Result<(Group, UserId, NamedPrincipal), Error> {
        let group = self.directory.group(which).await?;
        let (id, user) = self.directory.user(who).await?;
        Ok((group, id, user))
    }
}
