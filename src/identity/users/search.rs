//! Owns finding users by what is known of them: one filter gives the order and its index, and the others are applied while reading.

use std::collections::HashSet;

use super::{PasswordState, UserDirectory, UserRef};
use crate::{
    base::Timestamp,
    identity::passwords::fits_nothing,
    model::{Error, GroupId, Prefix, User, UserId},
    store::{FoundUser, Span, Store, UserOrder, UserPlace},
};

/// How many rows one page reads at most.
const MAX_READ: u64 = 5_000;

/// How many rows are read at once where a filter is applied to them.
const CHUNK: u64 = 500;

/// Which users are wanted: those of whom all of it is true.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct UserFilter {
    /// Their usernames begin with this.
    pub username: Option<Prefix>,
    /// Their e-mail addresses begin with this.
    pub email: Option<Prefix>,
    /// Their names to show begin with this.
    pub display_name: Option<Prefix>,
    /// They are in this group.
    pub group: Option<GroupId>,
    /// They were made in this time.
    pub created: Span,
    /// They last logged in in this time. Without a beginning it has those who never have, too.
    pub last_login: Span,
    /// They are active, or not.
    pub is_active: Option<bool>,
}

/// A page of users.
#[derive(Clone, Debug, Default)]
pub struct UserPage {
    /// The users: fewer than were asked for, it may be, and even none.
    pub users: Vec<FoundUser>,
    /// After whose place the next page begins; none after the last one.
    pub next: Option<UserPlace>,
}

impl UserFilter {
    /// Which of the filters leads: the first that is set, in the order of its fields.
    #[must_use]
    pub fn order(&self) -> UserOrder {
        let Self { username, email, display_name, group, created, last_login, .. } = self;
        if let Some(prefix) = username {
            UserOrder::Username(prefix.clone())
        } else if let Some(prefix) = email {
            UserOrder::Email(prefix.clone())
        } else if let Some(prefix) = display_name {
            UserOrder::DisplayName(prefix.clone())
        } else if let Some(group) = group {
            UserOrder::Group(*group)
        } else if !created.is_all() {
            UserOrder::CreateTime(*created)
        } else if last_login.from.is_some() {
            UserOrder::LoginTime(*last_login)
        } else {
            UserOrder::Id
        }
    }

    /// Whether rows that are read in `order` may be none that are wanted.
    fn is_applied_beside(&self, order: &UserOrder) -> bool {
        let leading = match order.clone() {
            UserOrder::Id => Self::default(),
            UserOrder::Username(prefix) => Self { username: Some(prefix), ..Self::default() },
            UserOrder::Email(prefix) => Self { email: Some(prefix), ..Self::default() },
            UserOrder::DisplayName(prefix) => Self { display_name: Some(prefix), ..Self::default() },
            UserOrder::Group(group) => Self { group: Some(group), ..Self::default() },
            UserOrder::CreateTime(created) => Self { created, ..Self::default() },
            UserOrder::LoginTime(last_login) => Self { last_login, ..Self::default() },
        };
        *self != leading
    }

    /// Whether `found` is wanted, as far as its row tells.
    fn takes(&self, FoundUser { user, login_time }: &FoundUser) -> bool {
        let begins = |prefix: &Option<Prefix>, text: Option<&str>| {
            prefix.as_ref().is_none_or(|prefix| text.is_some_and(|text| prefix.begins(text)))
        };
        let User { username, email, display_name, is_active, create_time, .. } = user;
        // What the index knows of a text is compared, too: it may be cut, or of a moment before.
        begins(&self.username, Some(username.canonical()))
            && begins(&self.email, email.as_ref().map(crate::model::profile::Email::as_str))
            && begins(
                &self.display_name,
                display_name.as_ref().map(crate::model::profile::DisplayName::as_str),
            )
            && self.created.has(*create_time)
            && login_time.map_or(self.last_login.from.is_none(), |time| self.last_login.has(time))
            && self.is_active.is_none_or(|wanted| wanted == *is_active)
    }
}

impl UserDirectory {
    /// The users that `filter` wants after `after`; at most `size`.
    ///
    /// # Errors
    /// [`Error::IndexBeingBuilt`]; [`Error::Unavailable`] or [`Error::Internal`], with the cause.
    pub async fn search(
        &self,
        filter: &UserFilter,
        after: Option<UserPlace>,
        size: u64,
    ) -> Result<UserPage, Error> {
        let order = filter.order();
        if let Some(index) = order.index()
            && !self.store.is_built(index).await?
        {
            return Err(Error::IndexBeingBuilt { index: index.name() });
        }
        let is_filtered = filter.is_applied_beside(&order);
        let (mut page, mut after, mut left) = (UserPage::default(), after, MAX_READ);
        loop {
            let wanted = size.saturating_sub(page.users.len() as u64);
            // One more tells whether there is another page.
            let limit = if is_filtered { CHUNK } else { wanted.saturating_add(1) }.min(left);
            let chunk = self.store.user_page(&order, after.as_ref(), limit).await?;
            let is_last = (chunk.len() as u64) < limit;
            left = left.saturating_sub(chunk.len() as u64);
            let members = members(&self.store, filter, &order, &chunk).await?;
            for (found, place) in chunk {
                if page.users.len() as u64 == size {
                    return Ok(UserPage { next: after, ..page });
                }
                after = Some(place);
                let is_member = members.as_ref().is_none_or(|members| members.contains(&found.user.id));
                if is_member && filter.takes(&found) {
                    page.users.push(found);
                }
            }
            if is_last {
                return Ok(page);
            }
            if left == 0 {
                return Ok(UserPage { next: after, ..page });
            }
        }
    }

    /// Where the user `who` stands in the order of `filter`: what comes after is listed by [`Self::search`].
    ///
    /// # Errors
    /// As [`Self::find`].
    pub async fn place(&self, filter: &UserFilter, who: UserId) -> Result<UserPlace, Error> {
        let place = self.store.user_place(&filter.order(), who).await?;
        place.ok_or_else(|| UserRef::Id(who).not_found())
    }

    /// Those of the users `ids` who are there, in this order.
    ///
    /// # Errors
    /// [`Error::Unavailable`] or [`Error::Internal`], with the cause.
    pub async fn those_of(&self, ids: &[UserId]) -> Result<Vec<FoundUser>, Error> {
        let mut found = self.store.found_users(ids).await?;
        found.sort_by_key(|found| ids.iter().position(|id| *id == found.user.id));
        Ok(found)
    }

    /// What each of `users` logs in with at `now`, in their order.
    ///
    /// # Errors
    /// [`Error::Unavailable`] or [`Error::Internal`], with the cause.
    pub async fn password_states(
        &self,
        users: &[UserId],
        now: Timestamp,
    ) -> Result<Vec<PasswordState>, Error> {
        let known = self.store.password_marks(users).await?;
        let state = |user: &UserId| match known.get(user) {
            Some((hash, _)) if !fits_nothing(hash) => PasswordState::Set,
            Some((_, Some(one_time))) if !one_time.is_void && now < one_time.expire_time => {
                PasswordState::OneTime { until: one_time.expire_time }
            }
            Some(_) | None => PasswordState::None,
        };
        Ok(users.iter().map(state).collect())
    }
}

/// Those of `chunk` who are in the group that `filter` wants; none if the order, or nothing, asks for a group.
async fn members(
    store: &Store,
    filter: &UserFilter,
    order: &UserOrder,
    chunk: &[(FoundUser, UserPlace)],
) -> Result<Option<HashSet<UserId>>, Error> {
    let Some(group) = filter.group.filter(|_| !matches!(order, UserOrder::Group(_))) else { return Ok(None) };
    let users: Vec<_> = chunk.iter().map(|(found, _)| found.user.id).collect();
    Ok(Some(store.members_among(group, &users).await?.into_iter().collect()))
}
