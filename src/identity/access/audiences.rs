//! Owns changing audiences: who owns them, and what the tokens are called that are meant for one alone.

use super::{AccessRegistry, NamedPrincipal, PrincipalRef};
use crate::{
    audit::{Entry, Event, Field},
    identity::Administrator,
    model::{AudienceChange, AudienceName, Error, OwnedAudience, Principal},
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
        self.change_audience(name, None, owners_by(add), entry, by).await?;
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
        self.change_audience(name, None, owners_by(remove), entry, by).await?;
        Ok(owner)
    }

    /// Makes of the audience `name`, whose etag must be `etag` if one is said, what `change` says. Returns it as it is then.
    ///
    /// # Errors
    /// [`Error::AudienceNotFound`], [`Error::UserNotFound`], [`Error::GroupNotFound`], [`Error::ClientNotFound`], [`Error::LimitReached`],
    /// [`Error::EtagMismatch`]; [`Error::InvalidFields`] for a type of tokens that it may not ask for; why whoever changes it may not;
    /// [`Error::Unavailable`] or [`Error::Internal`], with the cause.
    pub async fn update_audience(
        &self,
        name: &AudienceName,
        etag: Option<&str>,
        change: &AudienceChange,
        by: &Administrator,
    ) -> Result<OwnedAudience, Error> {
        let entry = event_of(change).done().audience(name.as_str());
        self.change_audience(name, etag, |old| Ok(change.of(old)), entry, by).await
    }

    async fn change_audience(
        &self,
        name: &AudienceName,
        etag: Option<&str>,
        make: impl Fn(&OwnedAudience) -> Result<OwnedAudience, Error>,
        entry: Entry,
        by: &Administrator,
    ) -> Result<OwnedAudience, Error> {
        let entry = by.entry(entry);
        let pending = self.audit.begin(entry.clone());
        let change = by.change(&entry, self.clock.now());
        let updated = self.store.update_audience(name, etag, make, change).await;
        let changed = |(old, new): &(OwnedAudience, OwnedAudience)| {
            let fields = [
                (old.owners != new.owners).then_some(Field::Owners),
                (old.token_typ != new.token_typ).then_some(Field::TokenTyp),
            ];
            let fields: Vec<_> = fields.into_iter().flatten().collect();
            (!fields.is_empty()).then_some(fields)
        };
        match by.settled(pending, updated, changed)? {
            Applied::Now((_, audience)) => Ok(audience),
            Applied::Before(_) => self.directory.audience(name).await,
        }
    }
}

/// Which event `change` is.
pub(in crate::identity) const fn event_of(change: &AudienceChange) -> Event {
    match change.token_typ {
        Some(_) => Event::AudienceUpdated,
        None => Event::AudienceOwnersChanged,
    }
}

/// An audience with the owners that `make` makes of those that it has.
fn owners_by(
    make: impl Fn(&[Principal]) -> Result<Vec<Principal>, Error>,
) -> impl Fn(&OwnedAudience) -> Result<OwnedAudience, Error> {
    move |old| Ok(OwnedAudience { owners: make(&old.owners)?, ..old.clone() })
}
