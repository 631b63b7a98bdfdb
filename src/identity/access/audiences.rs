//! Owns changing the owners of audiences.

use super::{AccessRegistry, NamedPrincipal, PrincipalRef};
use crate::{
    audit::{Entry, Event, Field},
    identity::Administrator,
    model::{AudienceName, Error, OwnedAudience, Principal},
    store::Applied,
};

impl AccessRegistry {
    /// Adds `who` to the owners of the audience `name`. If it is one already, nothing is done.
    ///
    /// # Errors
    /// [`Error::AudienceNotFound`], [`Error::UserNotFound`], [`Error::GroupNotFound`], [`Error::ClientNotFound`], [`Error::LimitReached`];
    /// why whoever adds it may not; [`Error::Unavailable`] or [`Error::Internal`], with the cause.
    pub async fn add_owner(
        &self,
        name: &AudienceName,
        who: &PrincipalRef,
        by: &Administrator,
    ) -> Result<NamedPrincipal, Error> {
        self.directory.audience(name).await?;
        let owner = self.directory.principal(who).await?;
        let entry = Event::AudienceOwnerAdded.done().audience(name.as_str()).principal(owner.principal);
        let add = |owners: &[Principal]| {
            let is_another = |one: &&Principal| **one != owner.principal;
            Ok(owners.iter().filter(is_another).copied().chain([owner.principal]).collect())
        };
        self.change_owners(name, None, add, entry, by).await?;
        Ok(owner)
    }

    /// Takes `who` from the owners of the audience `name`.
    ///
    /// # Errors
    /// [`Error::AudienceNotFound`], [`Error::UserNotFound`], [`Error::GroupNotFound`], [`Error::ClientNotFound`], [`Error::OwnerNotFound`];
    /// why whoever takes it may not; [`Error::Unavailable`] or [`Error::Internal`], with the cause.
    pub async fn remove_owner(
        &self,
        name: &AudienceName,
        who: &PrincipalRef,
        by: &Administrator,
    ) -> Result<NamedPrincipal, Error> {
        self.directory.audience(name).await?;
        let owner = self.directory.principal(who).await?;
        let entry = Event::AudienceOwnerRemoved.done().audience(name.as_str()).principal(owner.principal);
        let remove = |owners: &[Principal]| {
            if owners.contains(&owner.principal) {
                Ok(owners.iter().copied().filter(|one| *one != owner.principal).collect())
            } else {
                let (who, audience) = (owner.to_string(), name.as_str().to_owned());
                Err(Error::OwnerNotFound { who, audience })
            }
        };
        self.change_owners(name, None, remove, entry, by).await?;
        Ok(owner)
    }

    /// Makes `owners` the owners of the audience `name`, whose etag must be `etag` if one is said. Returns it as it is then.
    ///
    /// # Errors
    /// [`Error::AudienceNotFound`], [`Error::UserNotFound`], [`Error::GroupNotFound`], [`Error::ClientNotFound`], [`Error::LimitReached`],
    /// [`Error::EtagMismatch`]; why whoever changes it may not; [`Error::Unavailable`] or [`Error::Internal`], with the cause.
    pub async fn set_owners(
        &self,
        name: &AudienceName,
        etag: Option<&str>,
        owners: &[Principal],
        by: &Administrator,
    ) -> Result<OwnedAudience, Error> {
        let entry = Event::AudienceOwnersChanged.done().audience(name.as_str());
        self.change_owners(name, etag, |_| Ok(owners.to_vec()), entry, by).await
    }

    async fn change_owners(
        &self,
        name: &AudienceName,
        etag: Option<&str>,
        make: impl Fn(&[Principal]) -> Result<Vec<Principal>, Error>,
        entry: Entry,
        by: &Administrator,
    ) -> Result<OwnedAudience, Error> {
        let entry = by.entry(entry);
        let pending = self.audit.begin(entry.clone());
        let change = by.change(&entry, self.clock.now());
        let updated = self.store.update_audience(name, etag, make, change).await;
        let changed = |(old, new): &(OwnedAudience, OwnedAudience)| {
            (old.owners != new.owners).then(|| vec![Field::Owners])
        };
        match by.settled(pending, updated, changed)? {
            Applied::Now((_, audience)) => Ok(audience),
            Applied::Before(_) => self.directory.audience(name).await,
        }
    }
}
