//! Owns writing what is there as a manifest, which changes nothing where it is applied.

use std::collections::HashMap;

use super::{
    Manifests,
    manifest::{
        AttributeItem, AudienceItem, BindingItem, ClientItem, GroupItem, Manifest, RoleItem, UserItem,
        WhoItem,
    },
};
use crate::{
    model::{
        AttributeDeclaration, AudienceName, CertificateSubject, Client, ClientKind, Error, Group, GroupName,
        Principal, Role, UserId,
    },
    store::{BATCH, BindingFilter},
};

/// How many rows are read at a time.
const PAGE: u64 = BATCH as u64;

/// The pages that `read` finds after an id, put together.
async fn all<T, Id>(
    read: impl AsyncFn(Option<Id>) -> Result<Vec<T>, Error>,
    id: impl Fn(&T) -> Id,
) -> Result<Vec<T>, Error> {
    let (mut found, mut after) = (Vec::new(), None);
    loop {
        let page = read(after).await?;
        let is_end = (page.len() as u64) < PAGE;
        after = page.last().map(&id);
        found.extend(page);
        if is_end {
            return Ok(found);
        }
    }
}

impl Manifests {
    /// Attributes, clients, owned audiences, roles, groups and bindings, as a manifest of the set `set`: neither secrets, which nobody can
    /// read, nor what is built in or has ended.
    ///
    /// # Errors
    /// [`Error::Unavailable`] or [`Error::Internal`], with the cause.
    pub async fn export(&self, set: GroupName) -> Result<Manifest, Error> {
        let store = &self.store;
        let attributes =
            all(async |after| store.attributes(after, PAGE).await, |declared| declared.id).await?;
        let clients = all(async |after| store.clients(after, PAGE).await, |client| client.id).await?;
        let groups = all(async |after| store.groups(after, PAGE).await, |group| group.id).await?;
        let roles = all(async |after| store.roles(None, after, PAGE).await, |role| role.id).await?;
        let audiences = all(
            async |after: Option<AudienceName>| store.audiences(after.as_ref(), PAGE).await,
            |audience| audience.name.clone(),
        )
        .await?;
        let filter = BindingFilter::default();
        let mut bindings =
            all(async |after| store.bindings(&filter, after, PAGE).await, |(binding, _)| binding.id).await?;
        let now = self.clock.now();
        bindings.retain(|(binding, _)| binding.holds_at(now));
        let owners = audiences.iter().flat_map(|audience| audience.owners.iter().copied());
        let subjects = bindings.iter().map(|(binding, _)| binding.subject);
        let names = store.names_of(&owners.chain(subjects).collect::<Vec<_>>()).await?;
        let who = |principal: Principal| who(principal, &names);
        let audience_item = |name: AudienceName, owners: &[Principal]| AudienceItem {
            name,
            owners: owners.iter().copied().filter_map(who).collect(),
        };
        let owned = audiences.into_iter().filter(|audience| !audience.owners.is_empty());
        let binding_item = |(binding, role): &(crate::model::Binding, Role)| {
            let WhoItem { user, group, client } = who(binding.subject)?;
            let (audience, expire_time) = (of(role), binding.expire_time);
            Some(BindingItem { role: role.name.clone(), audience, user, group, client, expire_time })
        };
        let mut group_items = Vec::with_capacity(groups.len());
        for group in groups {
            group_items.push(self.group_item(group).await?);
        }
        Ok(Manifest {
            set,
            attributes: attributes.into_iter().map(attribute_item).collect(),
            audiences: owned.map(|audience| audience_item(audience.name, &audience.owners)).collect(),
            clients: clients.iter().map(client_item).collect(),
            roles: roles.into_iter().filter(|role| !role.is_built_in()).map(role_item).collect(),
            groups: group_items,
            bindings: bindings.iter().filter_map(binding_item).collect(),
        })
    }

    async fn group_item(&self, group: Group) -> Result<GroupItem, Error> {
        let read = async |after: Option<UserId>| self.store.members(group.id, after, PAGE).await;
        let members = all(read, |(membership, _)| membership.user).await?;
        let member = |(_, user): (_, crate::model::User)| UserItem {
            id: user.id.0,
            name: Some(user.username.typed().to_owned()),
        };
        Ok(GroupItem { name: group.name.clone(), members: members.into_iter().map(member).collect() })
    }
}

/// Who `principal` is; none if it was deleted meanwhile.
fn who(principal: Principal, names: &HashMap<Principal, String>) -> Option<WhoItem> {
    let name = names.get(&principal)?.clone();
    Some(match principal {
        Principal::User(UserId(id)) => {
            WhoItem { user: Some(UserItem { id, name: Some(name) }), ..WhoItem::default() }
        }
        Principal::Group(_) => WhoItem { group: Some(GroupName::from_stored(name)), ..WhoItem::default() },
        Principal::Client(_) => WhoItem { client: Some(name), ..WhoItem::default() },
    })
}

/// The audience of `role`; none if it is the service itself.
fn of(role: &Role) -> Option<AudienceName> {
    (!role.audience.is_signet()).then(|| role.audience.clone())
}

fn attribute_item(declared: AttributeDeclaration) -> AttributeItem {
    AttributeItem {
        name: declared.name,
        kind: declared.kind,
        writer: declared.writer,
        in_tokens: declared.uses.tokens,
        in_userinfo: declared.uses.userinfo,
        in_introspection: declared.uses.introspection,
        description: Some(declared.description).filter(|text| !text.as_str().is_empty()),
    }
}

fn role_item(role: Role) -> RoleItem {
    RoleItem {
        audience: of(&role),
        description: Some(role.description).filter(|text| !text.as_str().is_empty()),
        name: role.name,
        scopes: role.scopes,
    }
}

fn client_item(client: &Client) -> ClientItem {
    let (mut spiffe_id, mut tls_san_dns) = (None, None);
    match &client.certificate {
        Some(CertificateSubject::SpiffeId(id)) => spiffe_id = Some(id.clone()),
        Some(CertificateSubject::DnsName(name)) => tls_san_dns = Some(name.clone()),
        None => {}
    }
    ClientItem {
        name: client.name.as_str().to_owned(),
        public: client.kind == ClientKind::Public,
        scopes: client.scopes.clone(),
        audiences: client.audiences.clone(),
        token_claims: client.token_claims.clone(),
        secret: None,
        public_keys: client.jwks.as_deref().and_then(|jwks| serde_json::from_str(jwks).ok()),
        spiffe_id,
        tls_san_dns,
        may_claim_address: client.may_claim_address,
        active: client.is_active,
    }
}
