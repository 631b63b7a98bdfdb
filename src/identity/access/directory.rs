//! Owns finding and listing roles, groups, bindings and audiences for administrators.

use uuid::Uuid;

use super::{GroupRef, NamedPrincipal, PrincipalRef, RoleRef};
use crate::{
    identity::{ClientDirectory, UserDirectory, users::UserRef},
    model::{
        AudienceName, Binding, BindingId, Client, Error, Group, GroupId, GroupName, Membership, NameSet,
        OwnedAudience, Principal, Role, RoleId, User, UserId, role::AUDIENCE_MAX_ROLES,
    },
    store::{BindingFilter, Store},
};

/// All roles, groups, bindings and audiences.
#[derive(Debug)]
pub struct AccessDirectory {
    pub(super) store: Store,
    users: UserDirectory,
    pub(super) clients: ClientDirectory,
}

/// A binding, its role, and who has it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ListedBinding {
    /// The binding.
    pub binding: Binding,
    /// Its role.
    pub role: Role,
    /// The principal that has the role.
    pub subject: NamedPrincipal,
}

impl AccessDirectory {
    /// What `store` has; `own` is the service's own audience.
    #[must_use]
    pub fn new(store: Store, own: NameSet) -> Self {
        let (users, clients) = (UserDirectory::new(store.clone()), ClientDirectory::new(store.clone(), own));
        Self { store, users, clients }
    }

    /// The role `which`.
    ///
    /// # Errors
    /// [`Error::RoleNotFound`]; [`Error::Unavailable`] or [`Error::Internal`], with the cause.
    pub async fn role(&self, which: &RoleRef) -> Result<Role, Error> {
        let found = match which {
            RoleRef::Id(id) => self.store.role(*id).await?,
            RoleRef::Name(audience, name) => self.store.role_named(audience, name).await?,
        };
        found.ok_or_else(|| which.not_found())
    }

    /// The id of the role `which`, and its audience if it is still there.
    pub(super) async fn place(&self, which: &RoleRef) -> Result<(RoleId, Option<AudienceName>), Error> {
        match (self.role(which).await, which) {
            (Ok(role), _) => Ok((role.id, Some(role.audience))),
            (Err(Error::RoleNotFound { .. }), RoleRef::Id(id)) => Ok((*id, None)),
            (Err(error), _) => Err(error),
        }
    }

    /// The group `which`.
    ///
    /// # Errors
    /// [`Error::GroupNotFound`]; [`Error::Unavailable`] or [`Error::Internal`], with the cause.
    pub async fn group(&self, which: &GroupRef) -> Result<Group, Error> {
        let found = match (Uuid::try_parse(&which.0), GroupName::parse(&which.0)) {
            (Ok(id), _) => self.store.group(GroupId(id)).await?,
            (Err(_), Ok(name)) => self.store.group_named(&name).await?,
            (Err(_), Err(_)) => None,
        };
        found.ok_or_else(|| Error::GroupNotFound(which.to_string()))
    }

    /// The id of the group `which`; what reads as an id is taken for one, whether or not there is such a group.
    pub(super) async fn group_id(&self, which: &GroupRef) -> Result<GroupId, Error> {
        match Uuid::try_parse(&which.0) {
            Ok(id) => Ok(GroupId(id)),
            Err(_) => Ok(self.group(which).await?.id),
        }
    }

    /// The audience `name`.
    ///
    /// # Errors
    /// [`Error::AudienceNotFound`]; [`Error::Unavailable`] or [`Error::Internal`], with the cause.
    pub async fn audience(&self, name: &AudienceName) -> Result<OwnedAudience, Error> {
        let found = self.store.audience(name).await?;
        found.ok_or_else(|| Error::AudienceNotFound(name.as_str().to_owned()))
    }

    /// The membership of `user`, whose id is `id`, in `group`.
    pub(super) async fn membership(
        &self,
        group: &Group,
        id: UserId,
        user: &NamedPrincipal,
    ) -> Result<Membership, Error> {
        let found = self.store.membership(group.id, id).await?;
        found.ok_or_else(|| {
            let (who, group) = (user.to_string(), group.name.as_str().to_owned());
            Error::MembershipNotFound { who, group }
        })
    }

    /// The principal that `who` means, with its name.
    ///
    /// # Errors
    /// [`Error::UserNotFound`], [`Error::UserAmbiguous`], [`Error::GroupNotFound`], [`Error::ClientNotFound`]; [`Error::Unavailable`] or
    /// [`Error::Internal`], with the cause.
    pub async fn principal(&self, who: &PrincipalRef) -> Result<NamedPrincipal, Error> {
        match who {
            PrincipalRef::User(who) => Ok(self.user(who).await?.1),
            PrincipalRef::Group(which) => Ok(self.group(which).await?.into()),
            PrincipalRef::Client(who) => Ok(self.clients.find(who).await?.into()),
            PrincipalRef::Id(Principal::User(id)) => Ok(self.user(&UserRef::Id(*id)).await?.1),
            PrincipalRef::Id(Principal::Group(id)) => Ok(self.group(&(*id).into()).await?.into()),
            PrincipalRef::Id(Principal::Client(id)) => Ok(self.clients.find(&(*id).into()).await?.into()),
        }
    }

    /// The principal that `who` means; an id is not looked up.
    pub(super) async fn principal_id(&self, who: &PrincipalRef) -> Result<Principal, Error> {
        match who {
            PrincipalRef::Id(principal) => Ok(*principal),
            other => Ok(self.principal(other).await?.principal),
        }
    }

    /// The user that `who` names, as a principal too.
    pub(super) async fn user(&self, who: &UserRef) -> Result<(UserId, NamedPrincipal), Error> {
        let user = self.users.find(who).await?;
        let (principal, name) = (Principal::User(user.id), user.username.typed().to_owned());
        Ok((user.id, NamedPrincipal { principal, name }))
    }

    /// The roles after `after` in the order of their ids, the order of their creation, of `audience` if one is named; at most
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

    /// The same of `audience`, of those that give `scope`.
    ///
    /// # Errors
    /// [`Error::Unavailable`] or [`Error::Internal`], with the cause.
    pub async fn roles_giving(
        &self,
        audience: &AudienceName,
        scope: &str,
        after: Option<RoleId>,
        limit: u64,
    ) -> Result<Vec<Role>, Error> {
        // An audience has no more: they are read at once, and looked through here.
        let mut roles = self.store.roles(Some(audience), after, AUDIENCE_MAX_ROLES).await?;
        roles.retain(|role| role.scopes.contains(scope));
        roles.truncate(usize::try_from(limit).unwrap_or(usize::MAX));
        Ok(roles)
    }

    /// The groups after `after` in the order of their ids, the order of their creation, and those of `user` alone if one is named;
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
            Some(user) => {
                let found = self.store.groups_of_user(user, after, limit).await?;
                Ok(found.into_iter().map(|(_, group)| group).collect())
            }
            None => self.store.groups(after, limit).await,
        }
    }

    /// The memberships of `user` in groups after `after` in the order of their ids; at most `limit`.
    ///
    /// # Errors
    /// [`Error::Unavailable`] or [`Error::Internal`], with the cause.
    pub async fn memberships(
        &self,
        user: UserId,
        after: Option<GroupId>,
        limit: u64,
    ) -> Result<Vec<(Membership, Group)>, Error> {
        self.store.groups_of_user(user, after, limit).await
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
        let roles = self.roles_giving(audience, scope, None, AUDIENCE_MAX_ROLES).await?;
        Ok(roles.iter().map(|role| role.id).collect())
    }

    /// The binding `id`.
    ///
    /// # Errors
    /// [`Error::BindingNotFound`]; [`Error::Unavailable`] or [`Error::Internal`], with the cause.
    pub async fn binding(&self, id: BindingId) -> Result<ListedBinding, Error> {
        let found = self.store.binding(id).await?;
        let (binding, role) =
            found.ok_or_else(|| Error::BindingNotFound(format!("there is no binding `{id}`")))?;
        self.listed(binding, role).await
    }

    /// `binding`, which gives `role`, with the name of who has it.
    pub(super) async fn listed(&self, binding: Binding, role: Role) -> Result<ListedBinding, Error> {
        let subject = self.named(&[binding.subject]).await?.swap_remove(0);
        Ok(ListedBinding { binding, role, subject })
    }

    /// The bindings after `after` in the order of their ids, the order of their creation; at most `limit`.
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

    /// The owners of `audience` with their names.
    ///
    /// # Errors
    /// [`Error::Unavailable`] or [`Error::Internal`], with the cause.
    pub async fn owners(&self, audience: &OwnedAudience) -> Result<Vec<NamedPrincipal>, Error> {
        self.named(&audience.owners).await
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

impl From<Group> for NamedPrincipal {
    fn from(group: Group) -> Self {
        Self { principal: Principal::Group(group.id), name: group.name.as_str().to_owned() }
    }
}

impl From<Client> for NamedPrincipal {
    fn from(client: Client) -> Self {
        Self { principal: Principal::Client(client.id), name: client.name.as_str().to_owned() }
    }
}
