//! Owns reading what the admin API answers, so that it is shown as what the database has. A service of another release may have names by
//! other rules: they are shown as they are.

use std::collections::BTreeMap;

use prost_types::Timestamp as WireTimestamp;
use uuid::Uuid;

use crate::{
    audit::{ActorKind, KeptEvent, Outcome},
    base::Timestamp,
    cli::Failure,
    identity::{
        KeptChange, ListedEvent,
        access::{ListedBinding, NamedPrincipal, ScopeAccess, Way},
        guessing::AllowanceLeft,
        users::FoundUser,
    },
    model::{
        AttributeDeclaration, AttributeId, AttributeName, AttributeSource, AttributeUses, AudienceName,
        Authentication, Binding, BindingId, CertificateSubject, Client, ClientId, ClientKind, ClientName,
        Description, DnsName, Grant, Group, GroupId, GroupName, Membership, NameSet, NamedAttributes, Origin,
        PolicyState, PolicyVersionId, PolicyVersionName, Principal, Role, RoleId, RoleName, Session,
        SessionId, SpiffeId, User, UserAttributes, UserId, Username,
        policy::PolicyVersion,
        profile::{DisplayName, Email},
    },
    proto::identity::{
        admin::v1::{self as wire, audit_event, client, principal::Kind, scope_access},
        policy::v1 as policy,
        v1,
    },
    wire::{read_attribute_type, read_attribute_value, read_attribute_writer, read_policy_state},
};

/// A time, which a service of this release always tells where it is needed.
pub(in crate::cli) fn time(told: Option<WireTimestamp>) -> Timestamp {
    if_told(told).unwrap_or(Timestamp::from_micros(0))
}

/// A time, if it is told.
pub(in crate::cli) fn if_told(told: Option<WireTimestamp>) -> Option<Timestamp> {
    told.map(|WireTimestamp { seconds, nanos }| {
        Timestamp::from_micros(seconds.saturating_mul(1_000_000).saturating_add(i64::from(nanos / 1_000)))
    })
}

/// A time, for a request.
pub(in crate::cli) fn wire_time(time: Timestamp) -> WireTimestamp {
    WireTimestamp { seconds: time.as_secs(), nanos: time.subsec_nanos() }
}

/// A user.
pub(in crate::cli) fn user(user: &wire::User) -> Result<User, Failure> {
    Ok(User {
        id: UserId(id(&user.id)?),
        username: Username::from_stored(user.username.clone(), user.username.clone()),
        email: user.email.clone().map(Email::from_stored),
        display_name: user.display_name.clone().map(DisplayName::from_stored),
        // They are told by their names, and shown from there.
        attributes: UserAttributes::default(),
        is_active: user.is_active,
        create_time: time(user.create_time),
        update_time: time(user.update_time),
    })
}

/// A user, when it last logged in, and what is left of its allowance.
pub(in crate::cli) fn found_user(found: &wire::User) -> Result<(FoundUser, Option<AllowanceLeft>), Failure> {
    let left = found.throttle.as_ref().map(|throttle| AllowanceLeft {
        failures: u32::try_from(throttle.failures_left).unwrap_or_default(),
        full_time: if_told(throttle.full_time),
    });
    Ok((FoundUser { user: user(found)?, login_time: if_told(found.last_login_time) }, left))
}

/// The attributes of a user, by their names. Of one of a type that this release does not know nothing is shown.
pub(in crate::cli) fn attributes(told: BTreeMap<String, v1::AttributeValue>) -> NamedAttributes {
    told.into_iter().filter_map(|(name, told)| Some((name, read_attribute_value(told)?))).collect()
}

/// What is declared of an attribute.
pub(in crate::cli) fn attribute(told: wire::Attribute) -> Result<AttributeDeclaration, Failure> {
    let kind = read_attribute_type(told.r#type()).ok_or_else(super::who::nothing)?;
    let writer = read_attribute_writer(told.writer()).ok_or_else(super::who::nothing)?;
    Ok(AttributeDeclaration {
        id: AttributeId(id(&told.id)?),
        name: AttributeName::from_stored(told.name),
        kind,
        uses: AttributeUses {
            source: AttributeSource::from_stored(writer, told.in_tokens),
            in_userinfo: told.in_userinfo,
            in_introspection: told.in_introspection,
        },
        description: Description::from_stored(told.description),
        create_time: time(told.create_time),
        update_time: time(told.update_time),
    })
}

/// A version of a policy. What it does, if this release does not know that, is shown as nothing.
pub(in crate::cli) fn policy_version(told: policy::PolicyVersion) -> Result<PolicyVersion, Failure> {
    let state = read_policy_state(told.state()).unwrap_or(PolicyState::Pushed);
    Ok(PolicyVersion {
        id: PolicyVersionId(id(&told.id)?),
        service: AudienceName::from_stored(told.service),
        name: PolicyVersionName::from_stored(told.version),
        state,
        sha256: told.sha256,
        methods: u64::try_from(told.method_count).unwrap_or_default(),
        create_time: time(told.create_time),
        update_time: time(told.update_time),
    })
}

/// A session, and when it ends.
pub(in crate::cli) fn session(session: wire::Session) -> Result<(Session, Timestamp), Failure> {
    let scope = NameSet::from_stored(session.scope);
    let create_time = time(session.create_time);
    let read = Session {
        id: SessionId(id(&session.id)?),
        user_id: UserId(id(&session.user_id)?),
        client_id: session.client_id,
        asked_scope: scope.clone(),
        scope,
        audience: None,
        origin: Origin { user_agent: session.user_agent, address: session.address, ..Origin::default() },
        authentication: Authentication { methods: names(&session.amr), time: create_time, level: None },
        create_time,
        last_use_time: time(session.last_use_time),
        // When it ends is told beside it.
        end_time: None,
    };
    Ok((read, time(session.expire_time)))
}

/// A role.
pub(in crate::cli) fn role(role: wire::Role) -> Result<Role, Failure> {
    Ok(Role {
        id: RoleId(id(&role.id)?),
        name: RoleName::from_stored(role.name),
        audience: AudienceName::from_stored(role.audience),
        scopes: names(&role.scopes),
        description: Description::from_stored(role.description),
        create_time: time(role.create_time),
        update_time: time(role.update_time),
    })
}

/// A group.
pub(in crate::cli) fn group(group: wire::Group) -> Result<Group, Failure> {
    Ok(Group {
        id: GroupId(id(&group.id)?),
        name: GroupName::from_stored(group.name),
        create_time: time(group.create_time),
    })
}

/// The group of which a user is a member, as much as a membership tells of it, and the name of the user.
pub(in crate::cli) fn membership(of: wire::Membership) -> Result<(Membership, String), Failure> {
    let (group, user) = (GroupId(id(&of.group_id)?), UserId(id(&of.user_id)?));
    Ok((Membership { group, user, create_time: time(of.create_time) }, of.username))
}

/// Somebody who is called `name`.
pub(in crate::cli) fn principal(
    principal: Option<&wire::Principal>,
    name: String,
) -> Result<NamedPrincipal, Failure> {
    let kind = principal.and_then(|principal| principal.kind.as_ref()).ok_or_else(super::who::nothing)?;
    let principal = match kind {
        Kind::UserId(user) => Principal::User(UserId(id(user)?)),
        Kind::GroupId(group) => Principal::Group(GroupId(id(group)?)),
        Kind::ClientId(client) => Principal::Client(client_id(client)?),
    };
    Ok(NamedPrincipal { principal, name })
}

/// A binding of `role` to somebody who is called `name`.
pub(in crate::cli) fn binding(
    binding: &wire::Binding,
    role: Role,
    name: String,
) -> Result<ListedBinding, Failure> {
    let subject = principal(binding.subject.as_ref(), name)?;
    let read = Binding {
        id: BindingId(id(&binding.id)?),
        role: role.id,
        subject: subject.principal,
        expire_time: if_told(binding.expire_time),
        create_time: time(binding.create_time),
    };
    Ok(ListedBinding { binding: read, role, subject })
}

/// A scope that somebody has, with what gives it at `audience`.
pub(in crate::cli) fn access(
    access: wire::ScopeAccess,
    audience: &AudienceName,
) -> Result<ScopeAccess, Failure> {
    let ways = access.ways.into_iter().map(|way| read_way(way, audience)).collect::<Result<_, _>>()?;
    Ok(ScopeAccess { scope: access.scope, ways })
}

fn read_way(way: scope_access::Way, audience: &AudienceName) -> Result<Way, Failure> {
    if way.is_registered {
        return Ok(Way::Registered);
    }
    let role = RoleId(id(&way.role_id)?);
    if way.binding_id.is_empty() {
        return Ok(Way::Everyone(role));
    }
    let group = if way.group_id.is_empty() {
        None
    } else {
        Some(group(wire::Group { id: way.group_id, name: way.group_name, ..wire::Group::default() })?)
    };
    Ok(Way::Role(Box::new(Grant {
        binding: BindingId(id(&way.binding_id)?),
        role: Role {
            id: role,
            name: RoleName::from_stored(way.role_name),
            audience: audience.clone(),
            scopes: NameSet::default(),
            description: Description::default(),
            create_time: time(None),
            update_time: time(None),
        },
        group,
        expire_time: if_told(way.expire_time),
    })))
}

/// A client. Of its secrets their number alone is told.
pub(in crate::cli) fn client(client: wire::Client) -> Result<Client, Failure> {
    let kind = match client.kind() {
        client::Kind::Public => ClientKind::Public,
        client::Kind::Confidential | client::Kind::Unspecified => ClientKind::Confidential,
    };
    Ok(Client {
        id: client_id(&client.id)?,
        name: ClientName::from_stored(client.name),
        kind,
        scopes: names(&client.scopes),
        audiences: names(&client.audiences),
        secrets: vec![[0; 32]; usize::try_from(client.secrets).unwrap_or_default()],
        jwks: Some(client.jwks).filter(|jwks| !jwks.is_empty()),
        certificate: client.certificate.map(|subject| match subject {
            client::Certificate::SpiffeId(id) => CertificateSubject::SpiffeId(SpiffeId::from_stored(id)),
            client::Certificate::TlsClientAuthSanDns(name) => {
                CertificateSubject::DnsName(DnsName::from_stored(name))
            }
        }),
        may_claim_address: client.may_claim_address,
        token_claims: names(&client.token_claims),
        is_active: client.is_active,
        create_time: time(client.create_time),
        update_time: time(client.update_time),
    })
}

/// An audit event.
pub(in crate::cli) fn event(event: wire::AuditEvent) -> Result<ListedEvent, Failure> {
    let said = |text: String| Some(text).filter(|text| !text.is_empty());
    let outcome = match event.outcome() {
        audit_event::Outcome::Success => Outcome::Success,
        audit_event::Outcome::Failure => Outcome::Failure,
        audit_event::Outcome::Unknown | audit_event::Outcome::Unspecified => Outcome::Unknown,
    };
    let actor = event.actor.unwrap_or_default();
    let kind = match actor.kind() {
        audit_event::actor::Kind::User => ActorKind::User,
        audit_event::actor::Kind::Client => ActorKind::Client,
        audit_event::actor::Kind::Operator => ActorKind::Operator,
        audit_event::actor::Kind::Service => ActorKind::Service,
        audit_event::actor::Kind::Anonymous | audit_event::actor::Kind::Unspecified => ActorKind::Anonymous,
    };
    let change = |change: audit_event::FieldChange| KeptChange {
        field: change.field,
        old: said(change.old),
        new: said(change.new),
    };
    // Of an operator the API tells the one name, or number, that is known.
    let is_operator = kind == ActorKind::Operator;
    let (local_uid, local_user, actor_name) = match (is_operator, said(actor.name)) {
        (true, Some(name)) => name.parse().map_or((None, Some(name), None), |uid| (Some(uid), None, None)),
        (_, name) => (None, None, name),
    };
    Ok(ListedEvent {
        event: KeptEvent {
            id: id(&event.id)?,
            time: time(event.time),
            event: event.event,
            outcome: outcome.name().to_owned(),
            reason: said(event.reason),
            method: said(event.method),
            actor_kind: kind.name().to_owned(),
            actor_id: if_id(&actor.id)?,
            local_uid,
            local_user,
            user_id: if_id(&event.user_id)?,
            session_id: if_id(&event.session_id)?,
            client_id: if_id(&event.client_id)?,
            role_id: if_id(&event.role_id)?,
            group_id: if_id(&event.group_id)?,
            key_id: said(event.key_id),
            audience: said(event.audience),
            changes: event.changes.into_iter().map(change).collect(),
            address: said(event.address),
            claimed_address: said(event.claimed_address),
            user_agent: said(event.user_agent),
            request_id: said(event.request_id),
            repeats: u64::try_from(event.repeats).unwrap_or_default(),
        },
        actor_name,
        username: said(event.username),
        client_name: said(event.client_name),
        role_name: said(event.role_name),
        group_name: said(event.group_name),
    })
}

/// The set of `names`.
fn names(names: &[String]) -> NameSet {
    NameSet::default().with(names.iter().map(String::as_str))
}

fn client_id(text: &str) -> Result<ClientId, Failure> {
    ClientId::parse(text).ok_or_else(super::who::nothing)
}

fn id(text: &str) -> Result<Uuid, Failure> {
    Uuid::parse_str(text).map_err(|_| super::who::nothing())
}

/// The id, if one is told.
fn if_id(text: &str) -> Result<Option<Uuid>, Failure> {
    match ClientId::parse(text) {
        _ if text.is_empty() => Ok(None),
        Some(ClientId(id)) => Ok(Some(id)),
        None => id(text).map(Some),
    }
}
