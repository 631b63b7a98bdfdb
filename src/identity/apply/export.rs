//! Owns writing what is there as a manifest, which changes nothing where it is applied.

use std::{
    collections::HashMap,
    sync::atomic::{AtomicUsize, Ordering},
};

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
        OwnedAudience, Principal, Role, TokenTyp, UserId,
    },
    store::{BATCH, BindingFilter},
};

/// How many rows are read at a time.
const PAGE: u64 = BATCH as u64;

/// What something comes to in a manifest beside its texts, about: an id, and names.
const ITEM: usize = 192;

/// How many bytes a manifest may still come to, about.
pub(super) struct Room {
    most: usize,
    left: AtomicUsize,
}

impl Room {
    /// One for `most` bytes.
    pub(super) const fn of(most: usize) -> Self {
        Self { most, left: AtomicUsize::new(most) }
    }

    fn take(&self, bytes: usize) -> Result<(), Error> {
        let left = self.left.load(Ordering::Relaxed).checked_sub(bytes).ok_or_else(|| {
            let (whose, most) = ("a manifest over the admin API".to_owned(), self.most as u64);
            Error::LimitReached { whose, what: "bytes", most }
        })?;
        self.left.store(left, Ordering::Relaxed);
        Ok(())
    }
}

/// The pages that `read` finds after an id, put together. What each takes of `room`, `bytes` tells.
async fn all<T, Id, Reading: Future<Output = Result<Vec<T>, Error>>>(
    room: &Room,
    read: impl Fn(Option<Id>) -> Reading,
    id: impl Fn(&T) -> Id,
    bytes: impl Fn(&T) -> usize,
) -> Result<Vec<T>, Error> {
    let (mut found, mut after) = (Vec::new(), None);
    loop {
        let page = read(after).await?;
        let is_end = (page.len() as u64) < PAGE;
        after = page.last().map(&id);
        room.take(page.iter().map(&bytes).sum())?;
        found.extend(page);
        if is_end {
            return Ok(found);
        }
    }
}

impl Manifests {
    /// Attributes, clients, audiences that are owned or ask for another type of tokens, roles, groups and bindings, as a manifest of the
    /// set `set`: neither secrets, which nobody can read, nor what is built in or has ended.
    ///
    /// # Errors
    /// [`Error::Unavailable`] or [`Error::Internal`], with the cause.
    pub async fn export(&self, set: GroupName) -> Result<Manifest, Error> {
        self.export_within(set, &Room::of(usize::MAX)).await
    }

    /// The same, which comes to no more than there is `room` for.
    pub(super) async fn export_within(&self, set: GroupName, room: &Room) -> Result<Manifest, Error> {
        let store = &self.store;
        let read = |after| store.attributes(after, PAGE);
        let attributes =
            all(room, read, |declared| declared.id, |it| ITEM + it.description.as_str().len()).await?;
        let read = |after| store.clients(after, PAGE);
        let clients = all(room, read, |client| client.id, client_bytes).await?;
        let read = |after| store.groups(after, PAGE);
        let groups = all(room, read, |group| group.id, |_| ITEM).await?;
        let read = |after| store.roles(None, after, PAGE);
        let role_bytes = |role: &Role| ITEM + role.scopes.as_str().len() + role.description.as_str().len();
        let roles = all(room, read, |role| role.id, role_bytes).await?;
        let read = |after: Option<AudienceName>| async move { store.audiences(after.as_ref(), PAGE).await };
        let audiences =
            all(room, read, |audience| audience.name.clone(), |it| ITEM * (1 + it.owners.len())).await?;
        let filter = &BindingFilter::default();
        let read = |after| store.bindings(filter, after, PAGE);
        let mut bindings = all(room, read, |(binding, _)| binding.id, |_| ITEM).await?;
        let now = self.clock.now();
        bindings.retain(|(binding, _)| binding.holds_at(now));
        let owners = audiences.iter().flat_map(|audience| audience.owners.iter().copied());
        let subjects = bindings.iter().map(|(binding, _)| binding.subject);
        let names = store.names_of(&owners.chain(subjects).collect::<Vec<_>>()).await?;
        let who = |principal: Principal| who(principal, &names);
        let audience_item = |audience: OwnedAudience| AudienceItem {
            owners: audience.owners.iter().copied().filter_map(who).collect(),
            name: audience.name,
            token_typ: audience.token_typ,
        };
        let is_said = |audience: &OwnedAudience| {
            !audience.owners.is_empty() || audience.token_typ != TokenTyp::default()
        };
        let binding_item = |(binding, role): &(crate::model::Binding, Role)| {
            let WhoItem { user, group, client } = who(binding.subject)?;
            let (audience, expire_time) = (of(role), binding.expire_time);
            Some(BindingItem { role: role.name.clone(), audience, user, group, client, expire_time })
        };
        let mut group_items = Vec::with_capacity(groups.len());
        for group in groups {
            group_items.push(self.group_item(group, room).await?);
        }
        Ok(Manifest {
            set,
            attributes: attributes.into_iter().map(attribute_item).collect(),
            audiences: audiences.into_iter().filter(is_said).map(audience_item).collect(),
            clients: clients.iter().map(client_item).collect(),
            roles: roles.into_iter().filter(|role| !role.is_built_in()).map(role_item).collect(),
            groups: group_items,
            bindings: bindings.iter().filter_map(binding_item).collect(),
        })
    }

    async fn group_item(&self, group: Group, room: &Room) -> Result<GroupItem, Error> {
        // A member is kept by id and name alone: a user may have attributes of some kilobytes.
        let read = |after: Option<UserId>| async move {
            let page = self.store.members(group.id, after, PAGE).await?;
            let named = page.into_iter().map(|(_, user)| (user.id, user.username.typed().to_owned()));
            Ok(named.collect::<Vec<_>>())
        };
        let members = all(room, read, |(user, _)| *user, |(_, name)| ITEM + name.len()).await?;
        let member = |(user, name): (UserId, String)| UserItem { id: user.0, name: Some(name) };
        Ok(GroupItem { name: group.name.clone(), members: members.into_iter().map(member).collect() })
    }
}

/// What a client comes to, about.
fn client_bytes(client: &Client) -> usize {
    let keys = client.jwks.as_ref().map_or(0, String::len);
    ITEM + client.scopes.as_str().len() + client.audiences.as_str().len() + keys
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
        writer: declared.uses.writer(),
        in_tokens: declared.uses.in_tokens(),
        in_userinfo: declared.uses.in_userinfo,
        in_introspection: declared.uses.in_introspection,
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
        id: None,
    }
}
