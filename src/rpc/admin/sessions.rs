//! Owns `identity.admin.v1.SessionService` on the wire.

use std::sync::Arc;

use tonic::{Request, Response, Status};
use uuid::Uuid;

use super::{Page, administrator, id, request_key, required};
use crate::{
    identity::{Sessions, sessions::SessionsOf},
    model::{Error, SessionId, SessionLifetime, UserId},
    proto::identity::admin::v1::{
        EndSessionRequest, EndSessionResponse, EndSessionsRequest, EndSessionsResponse, GetSessionRequest,
        GetSessionResponse, ListSessionsRequest, ListSessionsResponse, Session, end_sessions_request,
        list_sessions_request, session_service_server::SessionService,
    },
    rpc::encode::time,
};

/// Serves `SessionService`.
#[derive(Debug)]
pub(crate) struct SessionRpc {
    sessions: Arc<Sessions>,
}

impl SessionRpc {
    pub(crate) const fn new(sessions: Arc<Sessions>) -> Self {
        Self { sessions }
    }
}

#[tonic::async_trait]
impl SessionService for SessionRpc {
    async fn get_session(
        &self,
        request: Request<GetSessionRequest>,
    ) -> Result<Response<GetSessionResponse>, Status> {
        let (session, user) = self.sessions.get(SessionId(id("id", &request.get_ref().id)?)).await?;
        let session = encode(session, &user, self.sessions.lifetime());
        Ok(Response::new(GetSessionResponse { session: Some(session) }))
    }

    async fn list_sessions(
        &self,
        request: Request<ListSessionsRequest>,
    ) -> Result<Response<ListSessionsResponse>, Status> {
        let mut filter = request.into_inner();
        let page = Page::<Uuid>::take(&mut filter)?;
        let of = match filter.of {
            None => return Err(required("of").into()),
            Some(list_sessions_request::Of::UserId(user)) => of_user(&user)?,
            Some(list_sessions_request::Of::ClientId(client)) => of_client(&client)?,
        };
        let found = self.sessions.list_of(&of, page.after.map(SessionId), page.size).await?;
        let lifetime = self.sessions.lifetime();
        Ok(Response::new(ListSessionsResponse {
            next_page_token: found.next.map_or_else(String::new, |last| page.token(&last.0)),
            sessions: found
                .sessions
                .into_iter()
                .map(|(session, user)| encode(session, &user, lifetime))
                .collect(),
        }))
    }

    async fn end_session(
        &self,
        request: Request<EndSessionRequest>,
    ) -> Result<Response<EndSessionResponse>, Status> {
        let by = administrator(&request)?;
        let message = request.into_inner();
        let session = SessionId(id("id", &message.id)?);
        let key = request_key(&by, "EndSession", &message.request_id, &message)?;
        let by = by.repeatable(key).validating(message.validate_only);
        self.sessions.end_as(session, &by).await?;
        Ok(Response::new(EndSessionResponse {}))
    }

    async fn end_sessions(
        &self,
        request: Request<EndSessionsRequest>,
    ) -> Result<Response<EndSessionsResponse>, Status> {
        let by = administrator(&request)?;
        let message = request.into_inner();
        let of = match &message.of {
            None | Some(end_sessions_request::Of::Everybody(false)) => return Err(required("of").into()),
            Some(end_sessions_request::Of::UserId(user)) => of_user(user)?,
            Some(end_sessions_request::Of::ClientId(client)) => of_client(client)?,
            Some(end_sessions_request::Of::Everybody(true)) => SessionsOf::Everybody,
        };
        let key = request_key(&by, "EndSessions", &message.request_id, &message)?;
        let by = by.repeatable(key).validating(message.validate_only);
        let sum = self.sessions.end_all_as(&of, &by).await?;
        let count = |count| i64::try_from(count).unwrap_or(i64::MAX);
        Ok(Response::new(EndSessionsResponse { ended: count(sum.ended), left: count(sum.left) }))
    }
}

fn of_user(text: &str) -> Result<SessionsOf, Error> {
    Ok(SessionsOf::User(UserId(id("user_id", text)?)))
}

fn of_client(client: &str) -> Result<SessionsOf, Error> {
    if client.is_empty() { Err(required("client_id")) } else { Ok(SessionsOf::Client(client.to_owned())) }
}

fn encode(session: crate::model::Session, user: &crate::model::User, lifetime: SessionLifetime) -> Session {
    Session {
        id: session.id.to_string(),
        user_id: session.user_id.to_string(),
        username: user.username.typed().to_owned(),
        create_time: Some(time(session.create_time)),
        last_use_time: Some(time(session.last_use_time)),
        expire_time: Some(time(session.expire_time(lifetime))),
        amr: session.authentication.methods.iter().map(str::to_owned).collect(),
        scope: session.scope.as_str().to_owned(),
        client_id: session.client_id,
        user_agent: session.origin.user_agent,
        address: session.origin.address,
    }
}
