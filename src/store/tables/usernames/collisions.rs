//! Owns finding existing names that resemble each other, as earlier releases and the operator may have created them.

use std::collections::HashMap;

use sea_orm::{ColumnTrait, EntityTrait, QueryFilter, QueryOrder, QuerySelect};

use super::{BATCH, Column, Entity, Store, has_variants, looks};
use crate::model::{Error, User, UserId};

/// How many users one collision tells of at most.
const MAX_OTHERS: u64 = 100;

/// A user whose name has letters beyond ASCII, and others that it may be taken for.
#[derive(Debug)]
pub struct NameCollision {
    /// The user.
    pub user: User,
    /// Whether only this very spelling logs the user in, since an older user has the canonical form.
    pub needs_exact_spelling: bool,
    /// Whose names look the same, and who has the canonical form: a hundred at most, and that one.
    pub others: Vec<User>,
}

impl Store {
    /// The collisions of users after `after`, a page at most; and the page's last user, none after the last page.
    ///
    /// # Errors
    /// [`Error::Unavailable`] or [`Error::Internal`], with the cause.
    pub async fn name_collisions(
        &self,
        after: Option<UserId>,
    ) -> Result<(Vec<NameCollision>, Option<UserId>), Error> {
        let mut query = Entity::find()
            .filter(Column::IsBeyondAscii.eq(true))
            .order_by_asc(Column::UserId)
            .limit(BATCH as u64);
        if let Some(after) = after {
            query = query.filter(Column::UserId.gt(after.0));
        }
        let page = self.ask(|| query.clone().all(&self.db)).await?;
        let last = page.last().filter(|_| page.len() == BATCH).map(|row| UserId(row.user_id));
        let alike = self.ask(|| looks::shared(&self.db, &page)).await?;
        let ids: Vec<_> = page.iter().map(|row| UserId(row.user_id)).collect();
        let users: HashMap<_, _> =
            self.users_among(&[], &ids).await?.into_iter().map(|found| (found.user.id, found.user)).collect();
        let mut collisions = Vec::new();
        for row in page {
            let Some(user) = users.get(&UserId(row.user_id)) else { continue };
            let mut others = Vec::new();
            if let Some(shared) = alike.get(&user.id) {
                others = self.ask(|| looks::others(&self.db, user.id, shared, MAX_OTHERS)).await?;
            }
            let needs_exact_spelling = has_variants(&user.username) && row.canonical.is_none();
            if needs_exact_spelling {
                let holder = Entity::find().filter(Column::Canonical.eq(user.username.canonical()));
                others.extend(self.ask(|| holder.clone().all(&self.db)).await?.iter().map(|row| row.user_id));
            }
            if others.is_empty() {
                continue;
            }
            let ids: Vec<_> = others.into_iter().map(UserId).collect();
            let mut others: Vec<_> =
                self.users_among(&[], &ids).await?.into_iter().map(|found| found.user).collect();
            others.sort_by_key(|other| (other.create_time, other.id));
            collisions.push(NameCollision { user: user.clone(), needs_exact_spelling, others });
        }
        Ok((collisions, last))
    }
}
