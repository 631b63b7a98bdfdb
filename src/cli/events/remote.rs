//! Owns `signet audit` over the admin API.

use uuid::Uuid;

use super::{List, Which, heading, tell, which_role};
use crate::{
    audit::Outcome,
    base::Clock,
    cli::{
        Failure, Output,
        remote::{Remote, answered, each, from_the_start, read},
    },
    identity::users::UserRef,
    model::ClientId,
    proto::identity::admin::v1::{ListAuditEventsRequest, audit_event},
};

pub(super) async fn list(list: List, remote: &Remote, output: Output) -> Result<(), Failure> {
    from_the_start("--before", list.before)?;
    let limit = u64::try_from(list.limit).unwrap_or(u64::MAX);
    let filter = filter(list, remote).await?;
    let read = async |page_size, page_token| {
        let request = ListAuditEventsRequest { page_size, page_token, ..filter.clone() };
        let page = answered(remote.audit().list_audit_events(request).await)?;
        Ok((page.events, page.next_page_token))
    };
    each(Some(limit), || heading(output), read, async |event| tell(&read::event(event)?, output)).await
}

/// Which events `list` means.
async fn filter(list: List, remote: &Remote) -> Result<ListAuditEventsRequest, Failure> {
    let now = Clock::system().now();
    let role = which_role(list.role, list.audience)?;
    let outcome =
        list.outcome.and_then(|said| Outcome::ALL.iter().copied().find(|outcome| outcome.name() == said));
    let outcome = match outcome {
        None => audit_event::Outcome::Unspecified,
        Some(Outcome::Success) => audit_event::Outcome::Success,
        Some(Outcome::Failure) => audit_event::Outcome::Failure,
        Some(Outcome::Unknown) => audit_event::Outcome::Unknown,
    };
    let actor_id = match (list.by_user, list.by_client) {
        (Some(user), _) => user_id(Some(user), remote).await?,
        (None, client) => client_id(client, remote).await?,
    };
    Ok(ListAuditEventsRequest {
        time_from: list.within.map(|within| read::wire_time(now.before(within))),
        time_before: list.older_than.map(|older| read::wire_time(now.before(older))),
        actor_id,
        user_id: user_id(list.user, remote).await?,
        client_id: client_id(list.client, remote).await?,
        role_id: match role {
            Some(Which::Id(id)) => id.to_string(),
            Some(Which::Named(role)) => remote.role(&role).await?.id,
            None => String::new(),
        },
        group_id: match list.group {
            Some(said) if Uuid::try_parse(&said).is_err() => remote.group(&said).await?.id,
            said => said.unwrap_or_default(),
        },
        event: list.event.unwrap_or_default(),
        outcome: outcome.into(),
        address: list.address.map(|address| address.to_string()).unwrap_or_default(),
        request_id: list.request_id.unwrap_or_default(),
        ..ListAuditEventsRequest::default()
    })
}

/// The id of the user that `said` names; empty if nobody is said. An id need not be anybody's: its user may be deleted.
async fn user_id(said: Option<String>, remote: &Remote) -> Result<String, Failure> {
    match said {
        None => Ok(String::new()),
        Some(said) if Uuid::try_parse(&said).is_ok() => Ok(said),
        Some(said) => Ok(remote.user(&UserRef::Name(said)).await?.id),
    }
}

async fn client_id(said: Option<String>, remote: &Remote) -> Result<String, Failure> {
    match said {
        None => Ok(String::new()),
        Some(said) if Uuid::try_parse(&said).is_ok() => Ok(said),
        Some(said) => {
            let id = remote.client(&said).await?.id;
            Ok(ClientId::parse(&id).map_or(id, |ClientId(id)| id.to_string()))
        }
    }
}
