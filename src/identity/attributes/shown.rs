//! Owns what is said of a user's attributes, and where: by what is declared, which is remembered until the feed tells of a change.

use std::{sync::Arc, time::Duration};

use uuid::Uuid;

use crate::{
    base::Clock,
    changes::{Known, RowCache, Subscriber, Watermark},
    model::{AttributeDeclaration, Declarations, Error, NamedAttributes, User},
    store::{Change, ChangeKind, Store},
};

/// All that is declared is remembered as one row.
const ALL: Uuid = Uuid::nil();

/// The attributes of users as they are said. Of who has none nothing is asked.
#[derive(Debug)]
pub struct ShownAttributes {
    store: Store,
    declared: RowCache<Uuid, Declarations>,
}

impl ShownAttributes {
    /// By what is declared in `store`, which is remembered for `max_age` at most.
    #[must_use]
    pub fn new(store: Store, max_age: Duration, clock: Clock, watermark: Arc<Watermark>) -> Self {
        Self { store, declared: RowCache::new(1, max_age, clock, watermark) }
    }

    /// What an access token says of `user`.
    ///
    /// # Errors
    /// [`Error::Unavailable`] or [`Error::Internal`], with the cause.
    pub(crate) async fn in_token(&self, user: &User) -> Result<NamedAttributes, Error> {
        self.of(user, |declared| declared.uses.in_tokens()).await
    }

    /// What the userinfo endpoint says of `user`.
    ///
    /// # Errors
    /// [`Error::Unavailable`] or [`Error::Internal`], with the cause.
    pub async fn in_userinfo(&self, user: &User) -> Result<NamedAttributes, Error> {
        self.of(user, |declared| declared.uses.in_userinfo).await
    }

    /// What is said of `user` to who asks what its token is worth.
    ///
    /// # Errors
    /// [`Error::Unavailable`] or [`Error::Internal`], with the cause.
    pub(crate) async fn in_introspection(&self, user: &User) -> Result<NamedAttributes, Error> {
        self.of(user, |declared| declared.uses.in_introspection).await
    }

    /// What `user` sees of itself.
    ///
    /// # Errors
    /// [`Error::Unavailable`] or [`Error::Internal`], with the cause.
    pub async fn to_oneself(&self, user: &User) -> Result<NamedAttributes, Error> {
        self.of(user, AttributeDeclaration::is_shown_to_user).await
    }

    async fn of(
        &self,
        user: &User,
        shown: impl Fn(&AttributeDeclaration) -> bool,
    ) -> Result<NamedAttributes, Error> {
        if user.attributes.is_empty() {
            return Ok(NamedAttributes::new());
        }
        Ok(self.declared().await?.names(&user.attributes, shown))
    }

    async fn declared(&self) -> Result<Arc<Declarations>, Error> {
        if let Some(Known(Some(known))) = self.declared.get(ALL) {
            return Ok(known);
        }
        let reading = self.declared.begin();
        let read = Arc::new(self.store.declarations().await?);
        self.declared.put(ALL, Some(Arc::clone(&read)), reading);
        Ok(read)
    }
}

impl Subscriber for ShownAttributes {
    fn hear(&self, change: &Change) {
        if change.concerns_by_name(ChangeKind::Attribute) {
            self.declared.forget_all();
        }
    }

    fn forget_everything(&self) {
        self.declared.forget_all();
    }
}
