//! Owns creating, changing and deleting bindings.

use super::{AccessRegistry, ListedBinding, PrincipalRef, RoleRef};
use crate::{
    audit::{Entry, Event, Field},
    base::Timestamp,
    identity::{Administrator, administrator::NO_FIELDS},
    model::{Binding, BindingId, Error, Role},
    store::{Applied, Bound, WhichBinding},
};

impl AccessRegistry {
    /// Gives `who` the role `which`, until `expire_time` if that is said. If it has the role already, the end is changed to that. Returns
    /// the binding.
    ///
    /// # Errors
    /// [`Error::RoleNotFound`], [`Error::UserNotFound`], [`Error::GroupNotFound`], [`Error::ClientNotFound`], [`Error::BuiltInRole`],
    /// [`Error::LimitReached`]; why whoever gives it may not; [`Error::Unavailable`] or [`Error::Internal`], with the cause.
    pub async fn bind(
        &self,
        which: &RoleRef,
        who: &PrincipalRef,
        expire_time: Option<Timestamp>,
        by: &Administrator,
    ) -> Result<ListedBinding, Error> {
        let (role, binding) = self.binding_of(which, who, expire_time).await?;
        let entry = by.entry(told(Event::RoleBound, &binding, &role));
        let pending = self.audit.begin(entry.clone());
        let bound = self.store.bind(&binding, by.change(&entry, binding.create_time)).await;
        let changed = |bound: &Bound| match bound {
            Bound::Made(_) => Some(Vec::new()),
            Bound::Changed(_) => Some(vec![Field::ExpireTime]),
            Bound::AsItWas(_) => None,
        };
        match by.settled(pending, bound, changed)? {
            Applied::Now(Bound::Made(binding) | Bound::Changed(binding) | Bound::AsItWas(binding)) => {
                self.directory.listed(binding, role).await
            }
            Applied::Before(id) => self.directory.binding(BindingId(id)).await,
        }
    }

    /// The same, if it has the role by no binding of its own.
    ///
    /// # Errors
    /// As [`bind`](Self::bind), and [`Error::BindingExists`].
    pub async fn create_binding(
        &self,
        which: &RoleRef,
        who: &PrincipalRef,
        expire_time: Option<Timestamp>,
        by: &Administrator,
    ) -> Result<ListedBinding, Error> {
        let (role, binding) = self.binding_of(which, who, expire_time).await?;
        let entry = by.entry(told(Event::RoleBound, &binding, &role));
        let pending = self.audit.begin(entry.clone());
        let added = self.store.add_binding(&binding, by.change(&entry, binding.create_time)).await;
        match by.settled(pending, added, |()| Some(NO_FIELDS))? {
            Applied::Now(()) => self.directory.listed(binding, role).await,
            Applied::Before(id) => self.directory.binding(BindingId(id)).await,
        }
    }

    /// Gives the binding `id`, whose etag must be `etag` if one is said, the end `expire_time`, or none. Returns the binding.
    ///
    /// # Errors
    /// [`Error::BindingNotFound`], [`Error::EtagMismatch`]; why whoever changes it may not; [`Error::Unavailable`] or [`Error::Internal`],
    /// with the cause.
    pub async fn update_binding(
        &self,
        id: BindingId,
        etag: Option<&str>,
        expire_time: Option<Timestamp>,
        by: &Administrator,
    ) -> Result<ListedBinding, Error> {
        let found = self.directory.binding(id).await?;
        let entry = by.entry(told(Event::RoleBound, &found.binding, &found.role));
        let pending = self.audit.begin(entry.clone());
        let change = by.change(&entry, self.clock.now());
        let set = self.store.set_binding_end(id, etag, expire_time, change).await;
        let changed = |old: &Binding| (old.expire_time != expire_time).then(|| vec![Field::ExpireTime]);
        match by.settled(pending, set, changed)? {
            Applied::Now(old) => Ok(ListedBinding { binding: Binding { expire_time, ..old }, ..found }),
            Applied::Before(id) => self.directory.binding(BindingId(id)).await,
        }
    }

    /// Takes the role `which` from `who`, who may have it by a group all the same. Returns the binding as it was.
    ///
    /// # Errors
    /// [`Error::RoleNotFound`], [`Error::UserNotFound`], [`Error::GroupNotFound`], [`Error::ClientNotFound`], [`Error::BindingNotFound`];
    /// why whoever takes it may not; [`Error::Unavailable`] or [`Error::Internal`], with the cause.
    pub async fn unbind(
        &self,
        which: &RoleRef,
        who: &PrincipalRef,
        by: &Administrator,
    ) -> Result<ListedBinding, Error> {
        let role = self.directory.role(which).await?;
        let subject = self.directory.principal(who).await?;
        let entry = Event::RoleUnbound.done().role(role.id).audience(role.audience.as_str());
        let entry = entry.principal(subject.principal);
        let which = WhichBinding::Of(role.id, subject.principal);
        match self.take(which, None, entry, by).await? {
            Applied::Now(Some(binding)) => Ok(ListedBinding { binding, role, subject }),
            Applied::Now(None) | Applied::Before(_) => {
                let role = role.name.as_str();
                let sentence = format!("{subject} does not have the role `{role}` by a binding of its own");
                Err(Error::BindingNotFound(sentence))
            }
        }
    }

    /// Takes away what the binding `id` gives, whose etag must be `etag` if one is said.
    ///
    /// # Errors
    /// [`Error::BindingNotFound`], [`Error::EtagMismatch`]; why whoever takes it away may not; [`Error::Unavailable`] or
    /// [`Error::Internal`], with the cause.
    pub async fn delete_binding(
        &self,
        id: BindingId,
        etag: Option<&str>,
        by: &Administrator,
    ) -> Result<(), Error> {
        // The same request may have deleted it before.
        let entry = match self.directory.binding(id).await {
            Ok(found) => told(Event::RoleUnbound, &found.binding, &found.role),
            Err(Error::BindingNotFound(_)) => Event::RoleUnbound.done(),
            Err(error) => return Err(error),
        };
        match self.take(WhichBinding::Id(id), etag, entry, by).await? {
            Applied::Now(None) => Err(Error::BindingNotFound(format!("there is no binding `{id}`"))),
            Applied::Now(Some(_)) | Applied::Before(_) => Ok(()),
        }
    }

    async fn take(
        &self,
        which: WhichBinding,
        etag: Option<&str>,
        entry: Entry,
        by: &Administrator,
    ) -> Result<Applied<Option<Binding>>, Error> {
        let entry = by.entry(entry);
        let pending = self.audit.begin(entry.clone());
        let taken = self.store.unbind(which, etag, by.change(&entry, self.clock.now())).await;
        by.settled(pending, taken, |taken| taken.map(|_| NO_FIELDS))
    }

    /// The role `which`, and a new binding that gives it to `who`.
    async fn binding_of(
        &self,
        which: &RoleRef,
        who: &PrincipalRef,
        expire_time: Option<Timestamp>,
    ) -> Result<(Role, Binding), Error> {
        let role = self.directory.role(which).await?;
        let subject = self.directory.principal_id(who).await?;
        let now = self.clock.now();
        let id = BindingId::new(now, self.store.entropy());
        Ok((role.clone(), Binding { id, role: role.id, subject, expire_time, create_time: now }))
    }
}

/// The entry for `event` of `binding`, which gives `role`.
fn told(event: Event, binding: &Binding, role: &Role) -> Entry {
    event.done().role(role.id).audience(role.audience.as_str()).principal(binding.subject)
}
