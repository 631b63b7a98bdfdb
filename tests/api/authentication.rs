//! Owns what is told of a login for as long as its session goes on: how the user proved who they are, and when.

use std::time::Duration;

use sea_orm::ConnectionTrait;
use serde_json::{Value, json};
use signet::proto::identity::v1::{ChangePasswordRequest, IntrospectTokenResponse};

use crate::{
    clients::{Registered, Service, Wanted, claims},
    harness::{Client, PASSWORD, START, TestServer, with_token},
};

const HOUR: Duration = Duration::from_hours(1);

/// What an access token says of the login.
fn login_of(token: &str) -> Value {
    let claims = claims(token);
    let members = ["amr", "auth_time", "acr"].into_iter();
    members.filter_map(|name| Some((name.to_owned(), claims.get(name)?.clone()))).collect()
}

fn by_password(auth_time: i64) -> Value {
    json!({ "amr": ["pwd"], "auth_time": auth_time })
}

/// The same, as introspection says it.
fn told(answer: &IntrospectTokenResponse) -> Value {
    assert!(answer.active);
    let mut told = json!({ "amr": answer.amr, "auth_time": answer.auth_time });
    if let Some(acr) = &answer.acr {
        told["acr"] = acr.as_str().into();
    }
    told
}

async fn change_password(client: &mut Client, token: &str) -> (String, String) {
    let change =
        ChangePasswordRequest { current_password: PASSWORD.to_owned(), new_password: PASSWORD.to_owned() };
    let changed = client.0.change_password(with_token(change, token)).await.unwrap().into_inner();
    (changed.access_token.unwrap(), changed.refresh_token.unwrap())
}

/// A client that may introspect.
async fn inspector(service: &Service) -> Registered {
    service.register("inspector", Wanted::confidential("introspect")).await
}

#[tokio::test]
async fn a_refresh_says_of_the_login_what_the_login_said() {
    let service = Service::start().await;
    let (mut client, clock) = (service.client.clone(), &service.server.clock);
    let login = client.log_in("alice", PASSWORD).await.unwrap();
    assert_eq!(login_of(&login.access_token), by_password(START.as_secs()));
    let (mut refresh_token, inspector) = (login.refresh_token.unwrap(), inspector(&service).await);
    for _ in 0..3 {
        clock.advance(HOUR);
        let next = client.refresh(&refresh_token).await.unwrap();
        assert_eq!(claims(&next.access_token)["iat"], clock.now().as_secs());
        assert_eq!(login_of(&next.access_token), by_password(START.as_secs()));
        refresh_token = next.refresh_token.unwrap();
        let bearer = service.token_of(&inspector).await;
        for token in [&next.access_token, &refresh_token] {
            let answer = service.introspect(token, &bearer).await.unwrap();
            assert_eq!(told(&answer), by_password(START.as_secs()));
        }
    }
    let again = client.log_in("alice", PASSWORD).await.unwrap().access_token;
    assert_eq!(login_of(&again), by_password(clock.now().as_secs()), "another login is another time");
}

#[tokio::test]
async fn a_repeat_says_what_the_exchange_said_to_the_last_claim() {
    let server = TestServer::start(&[]).await;
    let mut client = server.client().await;
    client.sign_up("alice", PASSWORD).await.unwrap();
    let token = client.log_in("alice", PASSWORD).await.unwrap().refresh_token.unwrap();
    server.clock.advance(HOUR);
    let first = client.refresh(&token).await.unwrap();
    assert_eq!(login_of(&first.access_token), by_password(START.as_secs()));
    let other = server.replica(&[]).await;
    server.clock.advance(Duration::from_mins(1));
    for replica in [&server, &other] {
        let again = replica.client().await.refresh(&token).await.unwrap();
        assert_eq!(claims(&again.access_token), claims(&first.access_token));
    }
}

#[tokio::test]
async fn a_change_of_password_is_a_login_of_that_time() {
    let server = TestServer::start(&[]).await;
    let mut client = server.client().await;
    client.sign_up("alice", PASSWORD).await.unwrap();
    let login = client.log_in("alice", PASSWORD).await.unwrap();
    // As if it had been proven by more than a password.
    let db = server.data.connect().await;
    db.execute_unprepared("UPDATE sessions SET amr = 'pwd otp mfa', acr = 'two'").await.unwrap();
    server.clock.advance(Duration::from_mins(10));
    let (access, refresh) = change_password(&mut client, &login.access_token).await;
    let changed = by_password(server.clock.now().as_secs());
    assert_eq!(login_of(&access), changed, "only the password was shown");
    server.clock.advance(HOUR);
    let next = client.refresh(&refresh).await.unwrap();
    assert_eq!(login_of(&next.access_token), changed);
}

/// Sessions that were opened before there was such a thing, and those that a replica of the release before opens.
#[tokio::test]
async fn of_a_session_that_says_nothing_it_is_the_password_and_the_time_at_which_it_opened() {
    let service = Service::start().await;
    let mut client = service.client.clone();
    service.server.clock.advance(HOUR);
    let opened = service.server.clock.now().as_secs();
    let login = client.log_in("alice", PASSWORD).await.unwrap();
    let db = service.server.data.connect().await;
    db.execute_unprepared("UPDATE sessions SET amr = NULL, auth_time = NULL, acr = NULL").await.unwrap();
    service.server.clock.advance(Duration::from_mins(1));
    // A replica that does not remember it.
    let other = service.server.replica(&[]).await;
    let next = other.client().await.refresh(&login.refresh_token.unwrap()).await.unwrap();
    assert_eq!(login_of(&next.access_token), by_password(opened));
    let bearer = service.token_of(&inspector(&service).await).await;
    let answer = service.introspect(&next.refresh_token.unwrap(), &bearer).await.unwrap();
    assert_eq!(told(&answer), by_password(opened));
}

/// While the next release rolls out, its sessions are refreshed here too.
#[tokio::test]
async fn what_a_later_release_says_of_a_login_is_passed_on() {
    let service = Service::start().await;
    let mut client = service.client.clone();
    let login = client.log_in("alice", PASSWORD).await.unwrap();
    let db = service.server.data.connect().await;
    let later =
        "UPDATE sessions SET amr = 'pwd otp mfa', auth_time = 1795435140000000, acr = 'urn:example:two'";
    db.execute_unprepared(later).await.unwrap();
    let other = service.server.replica(&[]).await;
    let next = other.client().await.refresh(&login.refresh_token.unwrap()).await.unwrap();
    let expected =
        json!({ "amr": ["pwd", "otp", "mfa"], "auth_time": 1_795_435_140, "acr": "urn:example:two" });
    assert_eq!(login_of(&next.access_token), expected);
    let bearer = service.token_of(&inspector(&service).await).await;
    for token in [&next.access_token, &next.refresh_token.unwrap()] {
        assert_eq!(told(&service.introspect(token, &bearer).await.unwrap()), expected);
    }
}

#[tokio::test]
async fn of_a_client_in_its_own_name_nothing_is_said() {
    let service = Service::start().await;
    let bearer = service.token_of(&inspector(&service).await).await;
    assert_eq!(login_of(&bearer), json!({}));
    let answer = service.introspect(&bearer, &bearer).await.unwrap();
    assert_eq!((answer.active, answer.amr, answer.auth_time, answer.acr), (true, vec![], None, None));
}
