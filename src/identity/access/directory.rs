//! Owns finding and listing roles, groups, bindings and audiences for those who manage them.

use uuid::Uuid;

use super::{AccessError, GroupRef, NamedPrincipal, PrincipalRef, RoleRef};
use crate::{
    identity::{ClientDirectory, UserDirectory, users::UserRef},
    model::{
        AudienceName, Binding, BindingId, Error, Group, GroupId, GroupName, Membership, OwnedAudience,
        Principal, Role, RoleId, User, UserId, role::AUDIENCE_MAX_ROLES,
    },
    store::{BindingFilter, Store},
};

/// All roles, groups, bindings and audiences.
#[derive(Debug)]
pub struct AccessDirectory {
    pub(super) store: Store,
    users: UserDirectory,
    clients: ClientDirectory,
}

/// A binding, its role, and who has it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ListedBinding {
    /// The binding.
    pub binding: Binding,
    /// Its role.
    pub role: Role,
    /// Who has it.
    pub subject: NamedPrincipal,
}

impl AccessDirectory {
    /// What `store` has.
    #[must_use]
    pub fn new(store: Store) -> Self {
        let (users, clients) = (UserDirectory::new(store.clone()), ClientDirectory::new(store.clone()));
        Self { store, users, clients }
    }

    /// The role `which`.
    ///
    /// # Errors
    /// [`AccessError::NoSuchRole`], [`AccessError::Failed`].
    pub async fn role(&self, which: &RoleRef) -> Result<Role, AccessError> {
        let found = self.store.role_named(&which.audience, &which.name).await?;
        found.ok_or_else(|| AccessError::NoSuchRole(which.clone()))
    }

    /// The group `which`.
    ///
    /// # Errors
    /// [`AccessError::NoSuchGroup`], [`AccessError::Failed`].
    pub async fn group(&self, which: &GroupRef) -> Result<Group, AccessError> {
        let found = match (Uuid::try_parse(&which.0), GroupName::parse(&which.0)) {
            (Ok(id), _) => self.store.group(GroupId(id)).await?,
            (Err(_), Ok(name)) => self.store.group_named(&name).await?,
            (Err(_), Err(_)) => None,
        };
        found.ok_or_else(|| AccessError::NoSuchGroup(which.clone()))
    }

    /// Who `who` is.
    ///
    /// # Errors
    /// [`AccessError::NoSuchGroup`], [`AccessError::Failed`].
    pub async fn principal(&self, who: &PrincipalRef) -> Result<NamedPrincipal, AccessError> {
        let (principal, name) = match who {
            PrincipalRef::User(who) => return Ok(self.user(who).await?.1),
            PrincipalRef::Group(which) => {
                let group = self.group(which).await?;
                (Principal::Group(group.id), group.name.as_str().to_owned())
            }
            PrincipalRef::Client(who) => {
                let client = self.clients.find(who).await?;
                (Principal::Client(client.id), client.name.as_str().to_owned())
            }
        };
        Ok(NamedPrincipal { principal, name })
    }

    /// The user that `who` names, as a principal too.
    pub(super) async fn user(&self, who: &UserRef) -> Result<(UserId, NamedPrincipal), AccessError> {
        let user = self.users.find(who).await?;
        let (principal, name) = (Principal::User(user.id), user.username.typed().to_owned());
        Ok((user.id, NamedPrincipal { principal, name }))
    }

    /// The roles after `after` in the order of their ids, which is the order of their making, of `audience` if one is named; at most
    /// `limit`.
    ///
    /// # Errors
    /// [`Error::Unavailable`] or [`Error::Internal`], with the cause.
    pub async fn roles(
        &self,
        audience: Option<&AudienceName>,
        after: Option<RoleId>,
        limit: u64,
    ) -> Result<Vec<Role>, Error> {
        self.store.roles(audience, after, limit).await
    }

    /// The groups after `after` in the order of their ids, which is the order of their making, and those of `user` alone if one is named;
    /// at most `limit`.
    ///
    /// # Errors
    /// [`Error::Unavailable`] or [`Error::Internal`], with the cause.
    pub async fn groups(
        &self,
        user: Option<UserId>,
        after: Option<GroupId>,
        limit: u64,
    ) -> Result<Vec<Group>, Error> {
        match user {
            Some(user) => self.store.groups_of_user(user, after, limit).await,
            None => self.store.groups(after, limit).await,
        }
    }

    /// The members of `group` after `after` in the order of their ids; at most `limit`.
    ///
    /// # Errors
    /// [`Error::Unavailable`] or [`Error::Internal`], with the cause.
    pub async fn members(
        &self,
        group: GroupId,
        after: Option<UserId>,
        limit: u64,
    ) -> Result<Vec<(Membership, User)>, Error> {
        self.store.members(group, after, limit).await
    }

    /// The roles of `audience` that give `scope`: what bindings are found by, by their scope.
    ///
    /// # Errors
    /// [`Error::Unavailable`] or [`Error::Internal`], with the cause.
    pub async fn roles_with(&self, audience: &AudienceName, scope: &str) -> Result<Vec<RoleId>, Error> {
        let roles = self.store.roles(Some(audience), None, AUDIENCE_MAX_ROLES).await?;
        Ok(roles.iter().filter(|role| role.scopes.contains(scope)).map(|role| role.id).collect())
    }

    /// The binding `id`.
    ///
    /// # Errors
    /// [`AccessError::NoSuchBinding`], [`AccessError::Failed`].
    pub async fn binding(&self, id: BindingId) -> Result<ListedBinding, AccessError> {
        let found = self.store.binding(id).await?;
        let Some((binding, role)) = found else { return Err(AccessError::NoSuchBinding(id)) };
        let subject = self.named(&[binding.subject]).await?.swap_remove(0);
        Ok(ListedBinding { binding, role, subject })
    }

    /// The bindings after `after` in the order of their ids, which is the order of their making; at most `limit`.
    ///
    /// # Errors
    /// [`Error::Unavailable`] or [`Error::Internal`], with the cause.
    pub async fn bindings(
        &self,
        filter: &BindingFilter,
        after: Option<BindingId>,
        limit: u64,
    ) -> Result<Vec<ListedBinding>, Error> {
        let found = self.store.bindings(filter, after, limit).await?;
        let subjects: Vec<_> = found.iter().map(|(binding, _)| binding.subject).collect();
        let named = self.named(&subjects).await?;
        let listed = |((binding, role), subject)| ListedBinding { binding, role, subject };
        Ok(found.into_iter().zip(named).map(listed).collect())
    }

    /// The audiences after `after` in the order of their names, each with its owners; at most `limit`.
    ///
    /// # Errors
    /// [`Error::Unavailable`] or [`Error::Internal`], with the cause.
    pub async fn audiences(
        &self,
        after: Option<&AudienceName>,
        limit: u64,
    ) -> Result<Vec<(OwnedAudience, Vec<NamedPrincipal>)>, Error> {
        let mut listed = Vec::new();
        for audience in self.store.audiences(after, limit).await? {
            let owners = self.named(&audience.owners).await?;
            listed.push((audience, owners));
        }
        Ok(listed)
    }

    /// Each of `principals` with its name; with its id, if it was deleted meanwhile.
    async fn named(&self, principals: &[Principal]) -> Result<Vec<NamedPrincipal>, Error> {
        if principals.is_empty() {
            return Ok(Vec::new());
        }
        let names = self.store.names_of(principals).await?;
        let with_name = |principal: &Principal| {
            let name = names.get(principal).cloned().unwrap_or_else(|| principal.id().to_string());
            NamedPrincipal { principal: *principal, name }
        };
        Ok(principals.iter().map(with_name).collect())
    }
}
