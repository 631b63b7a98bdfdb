//! Owns how roles, groups, bindings and audiences look on the wire, and how those who have roles are named there.

use super::{at, id, refused, required};
use crate::{
    base::Timestamp,
    identity::access::{ListedBinding, ScopeAccess, Way},
    model::{
        AudienceName, ClientId, Error, FieldReason, FieldViolation, Group, GroupId, Membership, NameSet,
        OwnedAudience, Principal, Role, RoleName, RuleViolation, TokenTyp, UserId,
    },
    proto::identity::admin::v1::{
        self as wire, audience::TokenTyp as WireTokenTyp, principal::Kind, scope_access,
    },
    rpc::encode::time,
    wire::{read_token_typ, token_typ as wire_token_typ},
};

/// Whom `principal` names, which stands in the request's `field`.
///
/// # Errors
/// [`Error::InvalidFields`] if it names nobody, or by no UUID.
pub(super) fn principal(
    field: &'static str,
    principal: Option<&wire::Principal>,
) -> Result<Principal, Error> {
    match principal.and_then(|principal| principal.kind.as_ref()) {
        None => Err(required(field)),
        Some(Kind::UserId(text)) => Ok(Principal::User(UserId(id(field, text)?))),
        Some(Kind::GroupId(text)) => Ok(Principal::Group(GroupId(id(field, text)?))),
        Some(Kind::ClientId(text)) => Ok(Principal::Client(ClientId(id(field, text)?))),
    }
}

/// The audience that is called `name`, which stands in `field`; `own` are the names of the service's own one.
pub(super) fn audience(field: &'static str, name: &str, own: &NameSet) -> Result<AudienceName, Error> {
    let checked = AudienceName::parse(name).map_err(|rule| at(field, rule))?;
    Ok(if own.contains(name) { AudienceName::signet() } else { checked })
}

/// The scopes in `field`.
pub(super) fn scopes(field: &'static str, scopes: &[String]) -> Result<NameSet, FieldViolation> {
    NameSet::of(scopes.iter().map(String::as_str))
        .map_err(|rule| RuleViolation::new(FieldReason::Malformed, rule.to_string()).at(field))
}

/// A role.
pub(super) fn encode_role(role: &Role) -> wire::Role {
    let is_built_in = role.is_built_in();
    let unless_built_in = |of: Timestamp| (!is_built_in).then(|| time(of));
    wire::Role {
        id: role.id.to_string(),
        name: role.name.as_str().to_owned(),
        audience: role.audience.as_str().to_owned(),
        scopes: role.scopes.iter().map(str::to_owned).collect(),
        description: role.description.as_str().to_owned(),
        is_built_in,
        create_time: unless_built_in(role.create_time),
        update_time: unless_built_in(role.update_time),
        etag: role.etag().as_str().to_owned(),
    }
}

/// A binding.
pub(super) fn encode_binding(listed: &ListedBinding) -> wire::Binding {
    let ListedBinding { binding, role, subject } = listed;
    wire::Binding {
        id: binding.id.to_string(),
        role_id: binding.role.to_string(),
        subject: Some(encode_principal(subject.principal)),
        expire_time: binding.expire_time.map(time),
        role_name: role.name.as_str().to_owned(),
        role_audience: role.audience.as_str().to_owned(),
        create_time: Some(time(binding.create_time)),
        etag: binding.etag().as_str().to_owned(),
    }
}

/// An audience.
pub(super) fn encode_audience(audience: &OwnedAudience) -> wire::Audience {
    wire::Audience {
        name: audience.name.as_str().to_owned(),
        owners: audience.owners.iter().copied().map(encode_principal).collect(),
        create_time: Some(time(audience.create_time)),
        etag: audience.etag().as_str().to_owned(),
        token_typ: wire_token_typ(audience.token_typ).into(),
    }
}

/// What the tokens of `audience`, which stands in a request, are to be called.
///
/// # Errors
/// [`Error::InvalidFields`] for what this release does not know.
pub(super) fn token_typ(audience: &wire::Audience) -> Result<TokenTyp, Error> {
    match WireTokenTyp::try_from(audience.token_typ) {
        Ok(said) => Ok(read_token_typ(said).unwrap_or_default()),
        Err(_) => Err(refused("audience.token_typ", FieldReason::Malformed, "must be AT_JWT or JWT")),
    }
}

/// A group.
pub(super) fn encode_group(group: &Group) -> wire::Group {
    wire::Group {
        id: group.id.to_string(),
        name: group.name.as_str().to_owned(),
        create_time: Some(time(group.create_time)),
        etag: group.etag().as_str().to_owned(),
    }
}

/// That a user, who is called `username`, is in a group, which is called `group`.
pub(super) fn encode_membership(membership: &Membership, group: &str, username: &str) -> wire::Membership {
    wire::Membership {
        group_id: membership.group.to_string(),
        user_id: membership.user.to_string(),
        group_name: group.to_owned(),
        username: username.to_owned(),
        create_time: Some(time(membership.create_time)),
    }
}

/// A scope that somebody has, and all that gives it.
pub(super) fn encode_access(access: &ScopeAccess) -> wire::ScopeAccess {
    let ways = access.ways.iter().map(encode_way).collect();
    wire::ScopeAccess { scope: access.scope.clone(), ways }
}

fn encode_way(way: &Way) -> scope_access::Way {
    match way {
        Way::Everyone(role) => scope_access::Way {
            role_id: role.to_string(),
            role_name: RoleName::EVERYONE.to_owned(),
            ..scope_access::Way::default()
        },
        Way::Registered => scope_access::Way { is_registered: true, ..scope_access::Way::default() },
        Way::Role(grant) => scope_access::Way {
            role_id: grant.role.id.to_string(),
            role_name: grant.role.name.as_str().to_owned(),
            binding_id: grant.binding.to_string(),
            group_id: grant.group.as_ref().map(|group| group.id.to_string()).unwrap_or_default(),
            group_name: grant.group.as_ref().map(|group| group.name.as_str().to_owned()).unwrap_or_default(),
            expire_time: grant.expire_time.map(time),
            is_registered: false,
        },
    }
}

fn encode_principal(principal: Principal) -> wire::Principal {
    let kind = match principal {
        Principal::User(id) => Kind::UserId(id.to_string()),
        Principal::Group(id) => Kind::GroupId(id.to_string()),
        Principal::Client(id) => Kind::ClientId(id.to_string()),
    };
    wire::Principal { kind: Some(kind) }
}
