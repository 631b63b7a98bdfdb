//! Owns who owns an audience.

use super::{AccessError, AccessRegistry, NamedPrincipal, PrincipalRef, registry::settled};
use crate::{audit::Event, identity::Administrator, model::AudienceName};

impl AccessRegistry {
    /// Adds `who` to the owners of the audience `name`. If it is one already, nothing is done.
    ///
    /// # Errors
    /// [`AccessError`]: no such audience, user, group or client, [`AccessError::TooMany`], [`AccessError::Gone`],
    /// [`AccessError::Failed`].
    pub async fn add_owner(
        &self,
        name: &AudienceName,
        who: &PrincipalRef,
        by: &Administrator,
    ) -> Result<NamedPrincipal, AccessError> {
        self.find(name).await?;
        let owner = self.directory.principal(who).await?;
        let entry = Event::AudienceOwnerAdded.done().audience(name.as_str()).principal(owner.principal);
        let pending = self.begin(entry, by);
        let now = self.clock.now();
        let added = self.store.add_audience_owner(name, owner.principal, now).await.map_err(|error| {
            let whose = format!("the audience `{}`", name.as_str());
            let taken = || AccessError::NoSuchAudience(name.clone());
            AccessError::not_written(error, taken, (&whose, "owners"), &owner.to_string())
        });
        settled(pending, added, |added| *added)?;
        Ok(owner)
    }

    /// Takes `who` from the owners of the audience `name`.
    ///
    /// # Errors
    /// [`AccessError`]: no such audience, user, group or client, [`AccessError::NotOwner`], [`AccessError::Failed`].
    pub async fn remove_owner(
        &self,
        name: &AudienceName,
        who: &PrincipalRef,
        by: &Administrator,
    ) -> Result<NamedPrincipal, AccessError> {
        self.find(name).await?;
        let owner = self.directory.principal(who).await?;
        let entry = Event::AudienceOwnerRemoved.done().audience(name.as_str()).principal(owner.principal);
        let pending = self.begin(entry, by);
        let removed = self.store.remove_audience_owner(name, owner.principal).await;
        if settled(pending, removed.map_err(AccessError::from), |removed| *removed)? {
            Ok(owner)
        } else {
            Err(AccessError::NotOwner(owner, name.clone()))
        }
    }

    async fn find(&self, name: &AudienceName) -> Result<(), AccessError> {
        let found = self.store.audience(name).await?;
        found.map(drop).ok_or_else(|| AccessError::NoSuchAudience(name.clone()))
    }
}
