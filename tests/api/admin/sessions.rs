//! Owns what administrators see of the sessions of others, and which they may end.

use std::time::Duration;

use signet::{
    model::{Authority, BuiltInRole, Error, Principal, RequestKey, Subject, UserId},
    proto::identity::admin::v1::{
        EndSessionRequest, EndSessionsRequest, EndSessionsResponse, GetSessionRequest, ListSessionsRequest,
        Session, end_sessions_request, list_sessions_request, session_service_client::SessionServiceClient,
    },
    store::{AdminChange, Applied, SessionsOf},
};
use tonic::{Code, Status, transport::Channel};
use tonic_types::StatusExt;
use uuid::Uuid;

use super::AdminApi;
use crate::{
    clients::refresh,
    harness::{assert_refused, with_token},
    operator::{ENTRY, applied, authority_of},
    sweeping::insert_sessions,
};

struct Sessions {
    client: SessionServiceClient<Channel>,
    token: String,
}

fn of_user(user: UserId) -> list_sessions_request::Of {
    list_sessions_request::Of::UserId(user.to_string())
}

impl Sessions {
    async fn of(api: &AdminApi, token: &str) -> Self {
        Self { client: SessionServiceClient::new(api.channel().await), token: token.to_owned() }
    }

    async fn page(
        &mut self,
        of: list_sessions_request::Of,
        page_size: i32,
        page_token: &str,
    ) -> Result<(Vec<Session>, String), Status> {
        let request = ListSessionsRequest { page_size, page_token: page_token.to_owned(), of: Some(of) };
        let answer = self.client.list_sessions(with_token(request, &self.token)).await?.into_inner();
        Ok((answer.sessions, answer.next_page_token))
    }

    /// The ids of all pages, of `page_size` each.
    async fn all(&mut self, of: list_sessions_request::Of, page_size: i32) -> Vec<String> {
        let (mut ids, mut token) = (Vec::new(), String::new());
        loop {
            let (page, next) = self.page(of.clone(), page_size, &token).await.unwrap();
            assert!(page.len() <= usize::try_from(page_size).unwrap());
            ids.extend(page.into_iter().map(|session| session.id));
            if next.is_empty() {
                return ids;
            }
            token = next;
        }
    }

    async fn get(&mut self, id: &str) -> Result<Session, Status> {
        let request = GetSessionRequest { id: id.to_owned() };
        Ok(self.client.get_session(with_token(request, &self.token)).await?.into_inner().session.unwrap())
    }

    async fn end(&mut self, id: &str, request_id: &str) -> Result<(), Status> {
        let request =
            EndSessionRequest { id: id.to_owned(), request_id: request_id.to_owned(), ..Default::default() };
        self.client.end_session(with_token(request, &self.token)).await.map(drop)
    }

    async fn end_all(
        &mut self,
        of: Option<end_sessions_request::Of>,
        request_id: &str,
    ) -> Result<EndSessionsResponse, Status> {
        let request = EndSessionsRequest { of, request_id: request_id.to_owned(), ..Default::default() };
        Ok(self.client.end_sessions(with_token(request, &self.token)).await?.into_inner())
    }
}

const fn ended(ended: i64, left: i64) -> EndSessionsResponse {
    EndSessionsResponse { ended, left }
}

#[tokio::test]
async fn sessions_of_a_user_are_shown_page_by_page_with_whose_they_are() {
    let api = AdminApi::start().await;
    let (_, token) = api.administrator(BuiltInRole::UserManager, "desk").await;
    let mut desk = Sessions::of(&api, &token).await;
    let alice = api.user("Alice").await;
    for _ in 0..3 {
        api.log_in("alice", "").await;
    }
    let (page, _) = desk.page(of_user(alice), 0, "").await.unwrap();
    let first = &page[0];
    assert_eq!((first.user_id.as_str(), first.username.as_str()), (alice.to_string().as_str(), "Alice"));
    assert_eq!((first.client_id.as_str(), &first.amr[..]), ("signet", &["pwd".to_owned()][..]));
    assert!(first.address.is_some() && first.create_time == first.last_use_time, "{first:?}");
    let seconds = |time: Option<prost_types::Timestamp>| time.unwrap().seconds;
    assert!(seconds(first.expire_time) > seconds(first.create_time));
    assert_eq!(desk.get(&first.id).await.unwrap(), *first);
    let ids: Vec<_> = page.into_iter().map(|session| session.id).collect();
    assert_eq!((ids.len(), desk.all(of_user(alice), 1).await), (3, ids));

    let (_, next) = desk.page(of_user(alice), 1, "").await.unwrap();
    let bob = api.user("bob").await;
    let refused = desk.page(of_user(bob), 1, &next).await;
    assert_refused(refused, Code::InvalidArgument, "INVALID_FIELDS");
    let nobody = UserId(Uuid::from_u128(7));
    assert_refused(desk.page(of_user(nobody), 0, "").await, Code::NotFound, "USER_NOT_FOUND");
    let nothing = list_sessions_request::Of::ClientId("nothing".to_owned());
    assert_refused(desk.page(nothing, 0, "").await, Code::NotFound, "CLIENT_NOT_FOUND");
    assert_refused(desk.get(&Uuid::nil().to_string()).await, Code::NotFound, "SESSION_NOT_FOUND");
}

#[tokio::test]
async fn an_ended_session_is_refused_from_the_next_call_on_everywhere() {
    let api = AdminApi::start().await;
    let replica = api.server.replica(&["--standing-cache-max-age=0s"]).await;
    let (root, token) = api.administrator(BuiltInRole::UserManager, "desk").await;
    let mut desk = Sessions::of(&api, &token).await;
    let alice = api.user("alice").await;
    let one = api.log_in("alice", "").await;
    // They are listed in the order in which they were opened.
    api.server.clock.advance(Duration::from_secs(1));
    let other = api.log_in("alice", "").await;
    let (mut here, mut there) = (api.server.client().await, replica.client().await);
    for client in [&mut here, &mut there] {
        client.get_me(&one.access_token).await.unwrap();
    }
    let sessions = desk.all(of_user(alice), 50).await;
    desk.end(&sessions[0], "").await.unwrap();
    for client in [&mut here, &mut there] {
        let refused = client.get_me(&one.access_token).await;
        assert_refused(refused, Code::Unauthenticated, "TOKEN_REVOKED");
        client.get_me(&other.access_token).await.unwrap();
    }
    let refreshed =
        here.0.issue_token(crate::clients::request(refresh(&one.refresh_token.unwrap()), None)).await;
    assert_refused(refreshed, Code::Unauthenticated, "REFRESH_TOKEN_INVALID");
    assert_refused(desk.end(&sessions[0], "").await, Code::NotFound, "SESSION_NOT_FOUND");
    let [told] = &api.audited("session.revoked", 1).await[..] else { unreachable!() };
    assert_eq!(
        (&told["session_id"], &told["actor_id"]),
        (&sessions[0].clone().into(), &root.to_string().into())
    );
    assert_eq!(told["user_id"], alice.to_string());

    let of_alice = || Some(end_sessions_request::Of::UserId(alice.to_string()));
    let id = Uuid::from_u128(1).to_string();
    assert_eq!(desk.end_all(of_alice(), &id).await.unwrap(), ended(1, 0));
    assert_refused(there.get_me(&other.access_token).await, Code::Unauthenticated, "TOKEN_REVOKED");
    // A repetition ends nothing that was opened since.
    let third = api.log_in("alice", "").await;
    assert_eq!(desk.end_all(of_alice(), &id).await.unwrap(), ended(0, 0));
    here.get_me(&third.access_token).await.unwrap();
    let refused = desk.end_all(Some(end_sessions_request::Of::Everybody(true)), &id).await;
    assert_refused(refused, Code::InvalidArgument, "REQUEST_ID_REUSED");
    let [told] = &api.audited("session.all_revoked", 1).await[..] else { unreachable!() };
    assert_eq!((&told["sessions"], &told["user_id"]), (&1.into(), &alice.to_string().into()));
}

#[tokio::test]
async fn nobody_ends_sessions_of_who_holds_more() {
    let api = AdminApi::start().await;
    let (root, admin) = api.administrator(BuiltInRole::Admin, "chief").await;
    let (desk_id, token) = api.administrator(BuiltInRole::UserManager, "desk").await;
    let mut desk = Sessions::of(&api, &token).await;
    let of = |user: UserId| Some(end_sessions_request::Of::UserId(user.to_string()));
    let refused = assert_refused(desk.end_all(of(root), "").await, Code::PermissionDenied, "HOLDS_MORE");
    let lacking = refused.get_details_error_info().unwrap().metadata["scope"].clone();
    assert!(lacking.contains("signet.keys.write") && !lacking.contains("signet.users.write"), "{lacking}");
    let session = desk.all(of_user(root), 50).await.remove(0);
    assert_refused(desk.end(&session, "").await, Code::PermissionDenied, "HOLDS_MORE");

    // An auditor reads more than the desk, and changes nothing.
    let (eve, _) = api.administrator(BuiltInRole::Auditor, "eve").await;
    assert_refused(desk.end_all(of(eve), "").await, Code::PermissionDenied, "HOLDS_MORE");
    // What was disabled may be enabled tomorrow.
    let change = crate::operator::by_operator(api.server.clock.now());
    api.store.set_active(eve, false, change).await.unwrap();
    assert_refused(desk.end_all(of(eve), "").await, Code::PermissionDenied, "HOLDS_MORE");

    // Of everybody, those are left.
    api.user("alice").await;
    let alice = api.log_in("alice", "").await.access_token;
    let everybody = || Some(end_sessions_request::Of::Everybody(true));
    assert_eq!(desk.end_all(everybody(), "").await.unwrap(), ended(2, 1), "alice's and its own");
    let mut client = api.server.client().await;
    assert_refused(client.get_me(&alice).await, Code::Unauthenticated, "TOKEN_REVOKED");
    client.get_me(&admin).await.unwrap();
    assert_refused(desk.end_all(everybody(), "").await, Code::Unauthenticated, "TOKEN_REVOKED");

    // Who has as much may.
    let mut boss = Sessions::of(&api, &admin).await;
    api.log_in("desk", "").await;
    assert_eq!(boss.end_all(of(desk_id), "").await.unwrap(), ended(1, 0));
    // A token that shows less than its user holds does not end that user's sessions.
    let less = api.log_in("chief", "signet.sessions.read signet.sessions.write").await.access_token;
    let refused = Sessions::of(&api, &less).await.end_all(of(root), "").await;
    assert_refused(refused, Code::PermissionDenied, "HOLDS_MORE");
}

#[tokio::test]
async fn sessions_of_a_client_are_found_among_many_and_ended_page_by_page() {
    let api = AdminApi::start().await;
    let (root, token) = api.administrator(BuiltInRole::Admin, "chief").await;
    let mut boss = Sessions::of(&api, &token).await;
    let alice = api.user("alice").await;
    let now = api.server.clock.now();
    let client = crate::clients::operator(&api.server).await;
    let shop = crate::clients::register(&client, "shop", crate::clients::Wanted::confidential("profile"))
        .await
        .unwrap();
    insert_sessions(&api.server.data, now, 1_200, alice, "signet").await;
    insert_sessions(&api.server.data, now, 3, alice, &shop.id).await;
    insert_sessions(&api.server.data, now, 700, alice, "signet").await;
    let of_shop = || list_sessions_request::Of::ClientId(shop.id.clone());
    let listed = boss.all(of_shop(), 2).await;
    assert_eq!(listed.len(), 3);

    let of = |client: &str| Some(end_sessions_request::Of::ClientId(client.to_owned()));
    assert_eq!(boss.end_all(of(&shop.id), "").await.unwrap(), ended(3, 0));
    assert!(boss.all(of_shop(), 2).await.is_empty());
    assert_eq!(boss.end_all(of("signet"), "").await.unwrap(), ended(1_901, 0), "root's own too");
    let pages = api.audited("session.all_revoked", 5).await;
    let sum: u64 = pages.iter().map(|page| page["sessions"].as_u64().unwrap()).sum();
    assert_eq!(sum, 1_904);
    assert!(pages.iter().all(|page| page["actor_id"] == root.to_string()));
}

#[tokio::test]
async fn a_request_with_an_id_ends_every_page_and_a_repetition_ends_nothing() {
    let api = AdminApi::start().await;
    let (_, token) = api.administrator(BuiltInRole::Admin, "chief").await;
    let mut boss = Sessions::of(&api, &token).await;
    let alice = api.user("alice").await;
    let now = api.server.clock.now();
    let registry = crate::clients::operator(&api.server).await;
    let wanted = crate::clients::Wanted::confidential("profile");
    let shop = crate::clients::register(&registry, "shop", wanted).await.unwrap();
    // More than are looked at for one page lie before the client's.
    insert_sessions(&api.server.data, now, 5_100, alice, "signet").await;
    insert_sessions(&api.server.data, now, 3, alice, &shop.id).await;

    let of_shop = || Some(end_sessions_request::Of::ClientId(shop.id.clone()));
    let id = Uuid::from_u128(1).to_string();
    assert_eq!(boss.end_all(of_shop(), &id).await.unwrap(), ended(3, 0));
    insert_sessions(&api.server.data, now, 1, alice, &shop.id).await;
    assert_eq!(boss.end_all(of_shop(), &id).await.unwrap(), ended(0, 0));

    let everybody = || Some(end_sessions_request::Of::Everybody(true));
    let id = Uuid::from_u128(2).to_string();
    assert_eq!(boss.end_all(everybody(), &id).await.unwrap(), ended(5_102, 0), "its own, too");
    assert_refused(boss.end_all(everybody(), &id).await, Code::Unauthenticated, "TOKEN_REVOKED");
    let again = api.log_in("chief", BuiltInRole::Admin.scopes().as_str()).await.access_token;
    let mut boss = Sessions::of(&api, &again).await;
    assert_eq!(boss.end_all(everybody(), &id).await.unwrap(), ended(0, 0));
    api.server.client().await.get_me(&api.log_in("alice", "").await.access_token).await.unwrap();
}

#[tokio::test]
async fn what_is_cut_short_goes_on_where_it_is_repeated_and_the_callers_own_session_ends_last() {
    let api = AdminApi::start().await;
    let (chief, _) = api.administrator(BuiltInRole::Admin, "chief").await;
    let alice = api.user("alice").await;
    api.server.clock.advance(Duration::from_secs(1));
    let now = api.server.clock.now();
    insert_sessions(&api.server.data, now, 700, alice, "signet").await;
    let scopes = BuiltInRole::Admin.scopes();
    let authority = authority_of(&api.store, chief, scopes.as_str(), now).await;
    let Authority::Caller { subject: Subject::User(_, own), .. } = authority else { unreachable!() };
    let request = RequestKey { caller: Principal::User(chief), id: Uuid::from_u128(1), sha256: [1; 32] };
    let first_page = async |authority: &Authority| {
        let asked = AdminChange::new(authority, now, Some(&request), false, &ENTRY);
        api.store.end_sessions(&SessionsOf::Everybody, None, Uuid::nil(), asked).await
    };

    let page = applied(first_page(&authority).await.unwrap());
    assert_eq!((page.ended.len(), page.ended.contains(&own)), (499, false));
    assert!(page.next.is_some());
    // Whoever asks heard nothing of it, and asks again.
    let page = applied(first_page(&authority).await.unwrap());
    assert_eq!((page.ended.len(), page.ended.contains(&own), page.next), (202, true, None));
    let refused = first_page(&authority).await;
    assert!(matches!(refused, Err(Error::TokenRevoked)), "{refused:?}");
    api.log_in("chief", scopes.as_str()).await;
    let authority = authority_of(&api.store, chief, scopes.as_str(), now).await;
    assert!(matches!(first_page(&authority).await, Ok(Applied::Before(_))));
}

#[tokio::test]
async fn whose_sessions_are_to_end_must_be_said() {
    let api = AdminApi::start().await;
    let (_, token) = api.administrator(BuiltInRole::Admin, "chief").await;
    let mut boss = Sessions::of(&api, &token).await;
    for of in [
        None,
        Some(end_sessions_request::Of::Everybody(false)),
        Some(end_sessions_request::Of::UserId(String::new())),
        Some(end_sessions_request::Of::UserId("alice".to_owned())),
        Some(end_sessions_request::Of::ClientId(String::new())),
    ] {
        assert_refused(boss.end_all(of, "").await, Code::InvalidArgument, "INVALID_FIELDS");
    }
    assert_refused(boss.end("", "").await, Code::InvalidArgument, "INVALID_FIELDS");
    api.server.client().await.get_me(&token).await.unwrap();
}
