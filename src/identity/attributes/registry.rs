//! Owns declaring attributes, and finding what is declared.

use uuid::Uuid;

use crate::{
    audit::{Audit, Event},
    base::Clock,
    identity::Administrator,
    model::{
        AttributeDeclaration, AttributeId, AttributeName, AttributeSource, AttributeType, AttributeUses,
        Description, Error,
    },
    store::{Applied, Store, attribute_differences},
};

/// What is declared, in the hands of those who manage it. Each act is recorded, and told to the other processes.
#[derive(Debug)]
pub struct AttributeRegistry {
    store: Store,
    clock: Clock,
    audit: Audit,
}

/// Which attribute is meant.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AttributeRef {
    /// The one with this id.
    Id(AttributeId),
    /// The one of this name, which reads as no id.
    Name(AttributeName),
}

/// What is said of a new attribute.
#[derive(Clone, Debug)]
pub struct NewAttribute {
    /// Its name.
    pub name: AttributeName,
    /// What its values are.
    pub kind: AttributeType,
    /// Who may write it, and where it is said.
    pub uses: AttributeUses,
    /// What it is for.
    pub description: Description,
}

/// What of an attribute is changed: for each, nothing, or a new value.
#[derive(Clone, Debug, Default)]
pub struct AttributeChange {
    /// Whether it goes into tokens.
    pub in_tokens: Option<bool>,
    /// Whether it is said at the userinfo endpoint.
    pub in_userinfo: Option<bool>,
    /// Whether it is said where somebody asks what a token is worth.
    pub in_introspection: Option<bool>,
    /// What it is for.
    pub description: Option<Description>,
}

impl AttributeRef {
    /// The one that `said` names: an id, if it reads as one.
    ///
    /// # Errors
    /// [`Error::AttributeNotFound`] for what is neither.
    pub fn parse(said: &str) -> Result<Self, Error> {
        match Uuid::try_parse(said) {
            Ok(id) => Ok(Self::Id(AttributeId(id))),
            Err(_) => match AttributeName::parse(said) {
                Ok(name) => Ok(Self::Name(name)),
                Err(_) => Err(Error::AttributeNotFound(said.to_owned())),
            },
        }
    }
}

impl AttributeRegistry {
    /// What `store` has; `audit` is told of each act.
    #[must_use]
    pub const fn new(store: Store, clock: Clock, audit: Audit) -> Self {
        Self { store, clock, audit }
    }

    /// The attribute that is meant.
    ///
    /// # Errors
    /// [`Error::AttributeNotFound`]; [`Error::Unavailable`] or [`Error::Internal`], with the cause.
    pub async fn find(&self, which: &AttributeRef) -> Result<AttributeDeclaration, Error> {
        let (found, said) = match which {
            AttributeRef::Id(id) => (self.store.attribute(*id).await?, id.to_string()),
            AttributeRef::Name(name) => (self.store.attribute_named(name).await?, name.as_str().to_owned()),
        };
        found.ok_or(Error::AttributeNotFound(said))
    }

    /// The attributes after `after` in the order of their ids, the order of their declaration; at most `limit`.
    ///
    /// # Errors
    /// [`Error::Unavailable`] or [`Error::Internal`], with the cause.
    pub async fn page(
        &self,
        after: Option<AttributeId>,
        limit: u64,
    ) -> Result<Vec<AttributeDeclaration>, Error> {
        self.store.attributes(after, limit).await
    }

    /// Declares an attribute.
    ///
    /// # Errors
    /// [`Error::AttributeExists`], [`Error::LimitReached`]; [`Error::InvalidFields`] for one that users may write and that goes into
    /// tokens; why whoever declares it may not; [`Error::Unavailable`] or [`Error::Internal`], with the cause.
    pub async fn create(&self, new: NewAttribute, by: &Administrator) -> Result<AttributeDeclaration, Error> {
        let NewAttribute { name, kind, uses, description } = new;
        let now = self.clock.now();
        let id = AttributeId::new(now, self.store.entropy());
        let (create_time, update_time) = (now, now);
        let declared = AttributeDeclaration { id, name, kind, uses, description, create_time, update_time };
        let entry = by.entry(Event::AttributeCreated.done());
        let pending = self.audit.begin(entry.clone());
        let added = self.store.add_attribute(&declared, by.change(&entry, now)).await;
        match by.settled(pending, added, |()| Some(attribute_differences(None, Some(&declared))))? {
            Applied::Now(()) => Ok(declared),
            Applied::Before(id) => self.find(&AttributeRef::Id(AttributeId(id))).await,
        }
    }

    /// Changes where an attribute is said, and what it is for, if its etag still is `etag` or none is said.
    ///
    /// # Errors
    /// [`Error::AttributeNotFound`], [`Error::EtagMismatch`]; [`Error::InvalidFields`] for one that users may write and that is to go into
    /// tokens; why whoever changes it may not; [`Error::Unavailable`] or [`Error::Internal`], with the cause.
    pub async fn update(
        &self,
        which: &AttributeRef,
        change: &AttributeChange,
        etag: Option<&str>,
        by: &Administrator,
    ) -> Result<AttributeDeclaration, Error> {
        let id = self.id_of(which).await?;
        let entry = by.entry(Event::AttributeUpdated.done());
        let pending = self.audit.begin(entry.clone());
        let now = self.clock.now();
        let make = |old: &AttributeDeclaration| {
            let in_tokens = change.in_tokens.unwrap_or(old.uses.in_tokens());
            let uses = AttributeUses {
                source: AttributeSource::of(old.uses.writer(), in_tokens)?,
                in_userinfo: change.in_userinfo.unwrap_or(old.uses.in_userinfo),
                in_introspection: change.in_introspection.unwrap_or(old.uses.in_introspection),
            };
            let description = change.description.clone().unwrap_or_else(|| old.description.clone());
            Ok(AttributeDeclaration { uses, description, update_time: now, ..old.clone() })
        };
        let updated = self.store.update_attribute(id, etag, make, by.change(&entry, now)).await;
        let changed = |(old, new): &(AttributeDeclaration, AttributeDeclaration)| {
            (old != new).then(|| attribute_differences(Some(old), Some(new)))
        };
        match by.settled(pending, updated, changed)? {
            Applied::Now((_, new)) => Ok(new),
            Applied::Before(id) => self.find(&AttributeRef::Id(AttributeId(id))).await,
        }
    }

    /// Deletes an attribute, whose etag must be `etag` if one is said: what users have of it is never said again, also if one of this name
    /// is declared anew. Returns it as it was; none if the same request has deleted it before.
    ///
    /// # Errors
    /// [`Error::AttributeNotFound`], [`Error::EtagMismatch`]; why whoever deletes it may not; [`Error::Unavailable`] or
    /// [`Error::Internal`], with the cause.
    pub async fn delete(
        &self,
        which: &AttributeRef,
        etag: Option<&str>,
        by: &Administrator,
    ) -> Result<Option<AttributeDeclaration>, Error> {
        let id = self.id_of(which).await?;
        let entry = by.entry(Event::AttributeDeleted.done());
        let pending = self.audit.begin(entry.clone());
        let deleted = self.store.delete_attribute(id, etag, by.change(&entry, self.clock.now())).await;
        match by.settled(pending, deleted, |old| Some(attribute_differences(Some(old), None)))? {
            Applied::Now(old) => Ok(Some(old)),
            Applied::Before(_) => Ok(None),
        }
    }

    /// The id of what is meant: that it is there is judged where it is changed.
    async fn id_of(&self, which: &AttributeRef) -> Result<AttributeId, Error> {
        match which {
            AttributeRef::Id(id) => Ok(*id),
            AttributeRef::Name(_) => Ok(self.find(which).await?.id),
        }
    }
}
