//! Owns `identity.admin.v1.AuditService` on the wire.

use std::sync::Arc;

use tonic::{Request, Response, Status};
use uuid::Uuid;

use super::{Page, id, moment, refused};
use crate::{
    identity::{AuditTrail, EventFilter, KeptChange, ListedEvent},
    model::{Error, FieldReason},
    proto::identity::admin::v1::{
        AuditEvent, GetAuditEventRequest, GetAuditEventResponse, ListAuditEventsRequest,
        ListAuditEventsResponse,
        audit_event::{Actor, FieldChange, Outcome, actor::Kind},
        audit_service_server::AuditService,
    },
    rpc::encode::time,
};

/// Each kind of actor, and its name among the events.
const KINDS: [(Kind, &str); 5] = [
    (Kind::Anonymous, "anonymous"),
    (Kind::User, "user"),
    (Kind::Client, "client"),
    (Kind::Operator, "operator"),
    (Kind::Service, "service"),
];

/// Each outcome, and its name among the events.
const OUTCOMES: [(Outcome, &str); 3] =
    [(Outcome::Success, "success"), (Outcome::Failure, "failure"), (Outcome::Unknown, "unknown")];

/// Serves `AuditService`.
#[derive(Debug)]
pub(crate) struct AuditRpc {
    trail: Arc<AuditTrail>,
}

impl AuditRpc {
    pub(crate) const fn new(trail: Arc<AuditTrail>) -> Self {
        Self { trail }
    }
}

#[tonic::async_trait]
impl AuditService for AuditRpc {
    async fn get_audit_event(
        &self,
        request: Request<GetAuditEventRequest>,
    ) -> Result<Response<GetAuditEventResponse>, Status> {
        let event = self.trail.event(id("id", &request.into_inner().id)?).await?;
        let event = event.ok_or(Error::AuditEventNotFound)?;
        Ok(Response::new(GetAuditEventResponse { event: Some(encode(event)) }))
    }

    async fn list_audit_events(
        &self,
        request: Request<ListAuditEventsRequest>,
    ) -> Result<Response<ListAuditEventsResponse>, Status> {
        let mut asked = request.into_inner();
        let page = Page::<Uuid>::take(&mut asked)?;
        let size = usize::try_from(page.size).unwrap_or(usize::MAX);
        let found = self.trail.list(&filter(asked)?, page.after, size).await?;
        let next_page_token = found.next.map_or_else(String::new, |next| page.token(&next));
        let events = found.events.into_iter().map(encode).collect();
        Ok(Response::new(ListAuditEventsResponse { events, next_page_token }))
    }
}

/// Which events are asked for.
fn filter(asked: ListAuditEventsRequest) -> Result<EventFilter, Error> {
    let outcome = Outcome::try_from(asked.outcome)
        .map_err(|_| refused("outcome", FieldReason::Malformed, "must be an outcome of this version"))?;
    let said = |text: String| Some(text).filter(|text| !text.is_empty());
    let meant = |field, text: &str| if text.is_empty() { Ok(None) } else { id(field, text).map(Some) };
    Ok(EventFilter {
        from: moment("time_from", asked.time_from.as_ref())?,
        before: moment("time_before", asked.time_before.as_ref())?,
        actor: meant("actor_id", &asked.actor_id)?,
        user: meant("user_id", &asked.user_id)?,
        client: meant("client_id", &asked.client_id)?,
        role: meant("role_id", &asked.role_id)?,
        group: meant("group_id", &asked.group_id)?,
        event: said(printable("event", asked.event)?),
        outcome: OUTCOMES.iter().find(|(known, _)| *known == outcome).map(|(_, name)| (*name).to_owned()),
        address: said(printable("address", asked.address)?),
        request_id: said(printable("request_id", asked.request_id)?),
    })
}

/// The text of the request's `field`, if it is one that an event may have: not every database compares the others.
fn printable(field: &'static str, text: String) -> Result<String, Error> {
    let rule = "must not have control characters";
    if text.chars().any(char::is_control) {
        Err(refused(field, FieldReason::Malformed, rule))
    } else {
        Ok(text)
    }
}

fn encode(listed: ListedEvent) -> AuditEvent {
    let ListedEvent { event, actor_name, username, client_name, role_name, group_name } = listed;
    let text = |id: Option<Uuid>| id.map_or_else(String::new, |id| id.to_string());
    let local = || event.local_user.clone().or_else(|| event.local_uid.map(|uid| uid.to_string()));
    let kind = KINDS.iter().find(|(_, name)| *name == event.actor_kind);
    let outcome = OUTCOMES.iter().find(|(_, name)| *name == event.outcome);
    let actor = Actor {
        kind: kind.map_or(Kind::Unspecified, |(kind, _)| *kind).into(),
        id: text(event.actor_id),
        name: actor_name.or_else(local).unwrap_or_default(),
    };
    let change = |change: KeptChange| FieldChange {
        field: change.field,
        old: change.old.unwrap_or_default(),
        new: change.new.unwrap_or_default(),
    };
    AuditEvent {
        id: event.id.to_string(),
        time: Some(time(event.time)),
        outcome: outcome.map_or(Outcome::Unspecified, |(outcome, _)| *outcome).into(),
        actor: Some(actor),
        user_id: text(event.user_id),
        username: username.unwrap_or_default(),
        session_id: text(event.session_id),
        client_id: text(event.client_id),
        client_name: client_name.unwrap_or_default(),
        role_id: text(event.role_id),
        role_name: role_name.unwrap_or_default(),
        group_id: text(event.group_id),
        group_name: group_name.unwrap_or_default(),
        changes: event.changes.into_iter().map(change).collect(),
        event: event.event,
        reason: event.reason.unwrap_or_default(),
        method: event.method.unwrap_or_default(),
        key_id: event.key_id.unwrap_or_default(),
        audience: event.audience.unwrap_or_default(),
        address: event.address.unwrap_or_default(),
        claimed_address: event.claimed_address.unwrap_or_default(),
        user_agent: event.user_agent.unwrap_or_default(),
        request_id: event.request_id.unwrap_or_default(),
        repeats: i64::try_from(event.repeats).unwrap_or(i64::MAX),
    }
}
