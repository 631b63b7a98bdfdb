//! Owns what administrators see of the audit events, and that whom the admin API refuses is told among them.

use sea_orm::{ConnectionTrait, sea_query::Query};
use signet::{
    model::{AdminScope, BuiltInRole, UserId},
    proto::identity::admin::v1::{
        AuditEvent, BatchDisableUsersRequest, Client, CreateClientRequest, DeleteUserRequest,
        DisableClientRequest, DisableUserRequest, EnableUserRequest, GetAuditEventRequest,
        ListAuditEventsRequest, ResetPasswordRequest, RotateClientSecretRequest,
        audit_event::{FieldChange, Outcome, actor::Kind},
        audit_service_client::AuditServiceClient,
        client_service_client::ClientServiceClient,
        user_service_client::UserServiceClient,
    },
};
use tonic::{Code, Status, transport::Channel};
use uuid::Uuid;

use super::AdminApi;
use crate::harness::{assert_refused, eventually, with_token};

struct Events {
    client: AuditServiceClient<Channel>,
    token: String,
}

impl Events {
    async fn of(api: &AdminApi, token: &str) -> Self {
        Self { client: AuditServiceClient::new(api.channel().await), token: token.to_owned() }
    }

    async fn list(&mut self, request: ListAuditEventsRequest) -> Result<(Vec<AuditEvent>, String), Status> {
        let answer = self.client.list_audit_events(with_token(request, &self.token)).await?.into_inner();
        Ok((answer.events, answer.next_page_token))
    }

    async fn get(&mut self, id: &str) -> Result<AuditEvent, Status> {
        let request = GetAuditEventRequest { id: id.to_owned() };
        let answer = self.client.get_audit_event(with_token(request, &self.token)).await?.into_inner();
        Ok(answer.event.unwrap())
    }

    /// All of this name, once there are `count`.
    async fn named(&mut self, event: &str, count: usize) -> Vec<AuditEvent> {
        let (client, token, event) = (self.client.clone(), self.token.clone(), event.to_owned());
        let list = async || {
            let request =
                ListAuditEventsRequest { event: event.clone(), ..ListAuditEventsRequest::default() };
            Self { client: client.clone(), token: token.clone() }.list(request).await.unwrap().0
        };
        eventually("they are there", async || list().await.len() >= count).await;
        let events = list().await;
        assert_eq!(events.len(), count, "{events:#?}");
        events
    }
}

#[tokio::test]
async fn who_did_what_to_whom_is_listed_and_read_by_the_names_of_today() {
    let api = AdminApi::start().await;
    let alice = api.user("alice").await;
    let (_, token) = api.administrator(BuiltInRole::Auditor, "auditor").await;
    let mut events = Events::of(&api, &token).await;
    api.log_in("alice", "").await;
    // The auditor logged in, too.
    let logins = events.named("login", 2).await;
    let [login] = &logins.iter().filter(|event| event.username == "alice").collect::<Vec<_>>()[..] else {
        panic!("{logins:#?}")
    };
    let actor = login.actor.clone().unwrap();
    assert_eq!((actor.kind(), actor.name.as_str()), (Kind::User, "alice"));
    assert_eq!((login.outcome(), login.user_id.parse()), (Outcome::Success, Ok(alice.0)));
    assert_eq!((&*login.address, login.repeats), ("127.0.0.1", 0));
    assert!(!login.session_id.is_empty() && !login.user_agent.is_empty() && !login.request_id.is_empty());
    assert_eq!(&events.get(&login.id).await.unwrap(), *login);

    let nobodys = Uuid::from_u128(7).to_string();
    assert_refused(events.get(&nobodys).await, Code::NotFound, "AUDIT_EVENT_NOT_FOUND");
    for id in ["", "x"] {
        assert_refused(events.get(id).await, Code::InvalidArgument, "INVALID_FIELDS");
    }
}

#[tokio::test]
async fn the_events_come_page_by_page_by_a_token_that_is_bound_to_its_filter() {
    let api = AdminApi::start().await;
    let alice = api.user("alice").await;
    for _ in 0..5 {
        api.log_in("alice", "").await;
    }
    let (_, token) = api.administrator(BuiltInRole::Auditor, "auditor").await;
    let mut events = Events::of(&api, &token).await;
    events.named("login", 6).await;
    let of = |user: UserId, page_size: i32, page_token: &str| ListAuditEventsRequest {
        user_id: user.to_string(),
        event: "login".to_owned(),
        page_size,
        page_token: page_token.to_owned(),
        ..ListAuditEventsRequest::default()
    };
    let (all, end) = events.list(of(alice, 0, "")).await.unwrap();
    assert_eq!((all.len(), end.as_str()), (5, ""));
    let (mut paged, mut next) = (Vec::new(), String::new());
    loop {
        let (page, token) = events.list(of(alice, 2, &next)).await.unwrap();
        paged.extend(page);
        if token.is_empty() {
            break;
        }
        let other = ListAuditEventsRequest { address: "10.0.0.1".to_owned(), ..of(alice, 2, &token) };
        assert_refused(events.list(other).await, Code::InvalidArgument, "INVALID_FIELDS");
        next = token;
    }
    assert_eq!(paged, all);
    for wrong in [
        ListAuditEventsRequest { user_id: "alice".to_owned(), ..ListAuditEventsRequest::default() },
        ListAuditEventsRequest { outcome: 77, ..ListAuditEventsRequest::default() },
        ListAuditEventsRequest { event: "a\0".to_owned(), ..ListAuditEventsRequest::default() },
        ListAuditEventsRequest {
            time_from: Some(prost_types::Timestamp { seconds: i64::MAX, nanos: 0 }),
            ..ListAuditEventsRequest::default()
        },
        ListAuditEventsRequest { page_size: -1, ..ListAuditEventsRequest::default() },
        ListAuditEventsRequest { page_token: "x".to_owned(), ..ListAuditEventsRequest::default() },
    ] {
        assert_refused(events.list(wrong).await, Code::InvalidArgument, "INVALID_FIELDS");
    }
}

#[tokio::test]
async fn whom_the_admin_api_refuses_is_told_with_the_call_and_the_reason() {
    let api = AdminApi::start().await;
    let (alice, _) = api.administrator(BuiltInRole::UserManager, "alice").await;
    let lacking = api.log_in("alice", AdminScope::UsersRead.name()).await.access_token;
    let (_, token) = api.administrator(BuiltInRole::Auditor, "auditor").await;
    let path = "/identity.admin.v1.AuditService/ListAuditEvents";
    for _ in 0..3 {
        let refused = api.call_empty(path, Some(&lacking)).await;
        assert_refused(refused, Code::PermissionDenied, "INSUFFICIENT_SCOPE");
    }
    // Who is not known is no event: anybody could make any number of them.
    api.call_empty(path, None).await.unwrap_err();
    let mut events = Events::of(&api, &token).await;
    let [refused] = &events.named("admin.refused", 1).await[..] else { panic!("one, and the others later") };
    let actor = refused.actor.clone().unwrap();
    assert_eq!((actor.kind(), actor.id.parse(), actor.name.as_str()), (Kind::User, Ok(alice.0), "alice"));
    assert_eq!((refused.outcome(), refused.reason.as_str()), (Outcome::Failure, "missing_scope"));
    assert_eq!(refused.method, path.trim_start_matches('/'));
    assert_eq!(refused.address, "127.0.0.1");
    let line = &api.audited("admin.refused", 1).await[0];
    assert_eq!((&line["method"], &line["actor_id"]), (&refused.method.as_str().into(), &actor.id.into()));
}

#[tokio::test]
async fn whoever_reaches_for_what_no_role_may_give_is_told_of() {
    let api = AdminApi::start().await;
    let root = api.caller(BuiltInRole::Admin, "rita").await;
    let built_in = root.create_role("signet", "auditor", "signet.users.write").await;
    assert_refused(built_in, Code::FailedPrecondition, "BUILT_IN_ROLE");
    let reserved = root.create_role("stock", "picker", "signet.users.write").await;
    assert_refused(reserved, Code::InvalidArgument, "RESERVED");
    let mut reasons: Vec<_> =
        api.audited("admin.refused", 2).await.iter().map(|line| line["reason"].to_string()).collect();
    reasons.sort_unstable();
    assert_eq!(reasons, ["\"built_in_role\"", "\"reserved_scope\""]);
}

#[tokio::test]
async fn whose_token_has_ended_by_the_time_that_a_change_is_judged_is_told_of() {
    // What is remembered of the session lets the call in.
    let api = AdminApi::start_as(&[]).await;
    let root = api.caller(BuiltInRole::Admin, "rita").await;
    root.role("signet", "admin").await.unwrap();
    let delete = Query::delete().from_table("sessions").to_owned();
    api.server.data.connect().await.execute(&delete).await.unwrap();
    let refused = root.create_role("stock", "picker", "").await;
    assert_refused(refused, Code::Unauthenticated, "TOKEN_REVOKED");
    let line = &api.audited("admin.refused", 1).await[0];
    assert_eq!((&line["reason"], &line["actor_id"]), (&"token_revoked".into(), &root.id.to_string().into()));
    assert_eq!(line["method"], "identity.admin.v1.RoleService/CreateRole");
}

fn change(field: &str, old: &str, new: &str) -> FieldChange {
    let [field, old, new] = [field, old, new].map(str::to_owned);
    FieldChange { field, old, new }
}

/// What the events `events` tell of the user `id`, the oldest first.
fn told(events: &[AuditEvent], id: UserId) -> Vec<Vec<FieldChange>> {
    let of_user = events.iter().rev().filter(|event| event.user_id == id.to_string());
    of_user.map(|event| event.changes.clone()).collect()
}

#[tokio::test]
async fn what_disables_a_user_or_ends_sessions_tells_what_was_and_what_is() {
    let api = AdminApi::start().await;
    let (_, token) = api.administrator(BuiltInRole::Admin, "boss").await;
    let mut events = Events::of(&api, &token).await;
    let mut users = UserServiceClient::new(api.channel().await);
    let (alice, bob) = (api.user("alice").await, api.user("bob").await);
    for name in ["alice", "alice", "bob"] {
        api.log_in(name, "").await;
    }
    let disable = DisableUserRequest { id: alice.to_string(), ..Default::default() };
    users.disable_user(with_token(disable.clone(), &token)).await.unwrap();
    // That is no event.
    users.disable_user(with_token(disable, &token)).await.unwrap();
    let enable = EnableUserRequest { id: alice.to_string(), ..Default::default() };
    users.enable_user(with_token(enable, &token)).await.unwrap();
    let reset = ResetPasswordRequest { id: bob.to_string(), ..Default::default() };
    users.reset_password(with_token(reset, &token)).await.unwrap();
    api.log_in("alice", "").await;
    let ids = vec![alice.to_string(), bob.to_string()];
    let batch = BatchDisableUsersRequest { ids, ..Default::default() };
    api.server.clock.advance(std::time::Duration::from_millis(1));
    users.batch_disable_users(with_token(batch, &token)).await.unwrap();
    let delete = DeleteUserRequest { id: bob.to_string(), ..Default::default() };
    users.delete_user(with_token(delete, &token)).await.unwrap();

    let (disabled, ended) = (change("active", "true", "false"), |count| change("sessions", count, ""));
    let all = events.named("user.disabled", 3).await;
    let of_alice = [vec![disabled.clone(), ended("2")], vec![disabled.clone(), ended("1")]];
    assert_eq!(told(&all, alice), of_alice);
    assert_eq!(told(&all, bob), [vec![disabled.clone()]]);
    let enabled = events.named("user.enabled", 1).await;
    assert_eq!(enabled[0].changes, [change("active", "false", "true")]);
    assert_eq!(events.named("password.reset", 1).await[0].changes, [ended("1")]);
    assert_eq!(events.named("user.deleted", 1).await[0].changes, []);
    let lines = api.audited("user.disabled", 3).await;
    let of_alice: Vec<_> = lines.iter().filter(|line| line["user_id"] == alice.to_string()).collect();
    let members = of_alice.iter().map(|line| (&line["changed"], &line["sessions"])).collect::<Vec<_>>();
    let active = &serde_json::json!(["active"]);
    assert_eq!(members, [(active, &2.into()), (active, &1.into())]);
}

#[tokio::test]
async fn what_disables_a_client_or_gives_it_a_secret_tells_what_was_and_what_is() {
    let api = AdminApi::start().await;
    let (_, token) = api.administrator(BuiltInRole::Admin, "boss").await;
    let mut events = Events::of(&api, &token).await;
    let mut clients = ClientServiceClient::new(api.channel().await);
    let client = Some(Client { name: "billing".to_owned(), ..Client::default() });
    let create = CreateClientRequest { client, ..Default::default() };
    let created = clients.create_client(with_token(create, &token)).await.unwrap().into_inner();
    let id = created.client.unwrap().id;
    let rotate = RotateClientSecretRequest { id: id.clone(), ..Default::default() };
    clients.rotate_client_secret(with_token(rotate, &token)).await.unwrap();
    let disable = DisableClientRequest { id, ..Default::default() };
    clients.disable_client(with_token(disable, &token)).await.unwrap();
    let rotated = &events.named("client.secret_rotated", 1).await[0];
    assert_eq!(
        (&*rotated.client_name, &rotated.changes[..]),
        ("billing", &[change("secrets", "1", "2")][..])
    );
    let disabled = &events.named("client.disabled", 1).await[0];
    assert_eq!(disabled.changes, [change("active", "true", "false")]);
}
