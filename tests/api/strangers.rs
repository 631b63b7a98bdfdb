//! Owns what it costs to be asked for what does not exist: a look-up now and then, and no place among what does.

#![allow(clippy::float_cmp, reason = "counts are whole numbers, which a float holds exactly")]

use std::time::Duration;

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use rand::Rng;
use signet::proto::identity::v1::{
    ClientAuthentication, ClientCredentialsGrant, IssueTokenRequest, RefreshTokenGrant, RevokeTokenRequest,
    issue_token_request::Grant,
};
use tonic::Code;
use uuid::Uuid;

use crate::{
    clients::{Service, Wanted},
    harness::{PASSWORD, TestServer, assert_refused},
};

/// How often each is asked for.
const TIMES: usize = 20;

/// A refresh token that there is not, or a client's own token for a client that there is not.
pub(crate) fn made_up(is_client: bool) -> IssueTokenRequest {
    if is_client {
        let client =
            ClientAuthentication { client_id: Uuid::now_v7().to_string(), ..ClientAuthentication::default() };
        let grant = Grant::ClientCredentials(ClientCredentialsGrant {});
        return IssueTokenRequest {
            grant: Some(grant),
            client: Some(client),
            ..IssueTokenRequest::default()
        };
    }
    let mut token = [0; 64];
    rand::rng().fill_bytes(&mut token);
    exchange(&URL_SAFE_NO_PAD.encode(token))
}

fn exchange(token: &str) -> IssueTokenRequest {
    let grant = Grant::RefreshToken(RefreshTokenGrant { refresh_token: token.to_owned() });
    IssueTokenRequest { grant: Some(grant), ..IssueTokenRequest::default() }
}

async fn lookups(server: &TestServer) -> f64 {
    server.scrape().await.sum("signet_stranger_lookups_total", &[("result", "made")])
}

#[tokio::test]
async fn what_does_not_exist_is_looked_up_once_a_second_however_often_it_is_asked_for() {
    let service = Service::start_with(&[]).await;
    let mut client = service.client.clone();
    let ended = client.log_in("alice", PASSWORD).await.unwrap().refresh_token.unwrap();
    client.0.revoke_token(RevokeTokenRequest { token: ended.clone(), client: None }).await.unwrap();
    for (request, reason) in [
        (made_up(true), "INVALID_CLIENT"),
        (made_up(false), "REFRESH_TOKEN_INVALID"),
        (exchange(&ended), "REFRESH_TOKEN_INVALID"),
    ] {
        for _ in 0..2 {
            let before = lookups(&service.server).await;
            for _ in 0..TIMES {
                assert_refused(service.issue(request.clone()).await, Code::Unauthenticated, reason);
            }
            // Once more at most, if the server reads just then what it has told the others of the session's end.
            let made = lookups(&service.server).await - before;
            assert!(made == 1.0 || made == 2.0 && request == exchange(&ended), "{reason}: {made}");
            service.server.clock.advance(Duration::from_secs(1));
        }
    }
}

#[tokio::test]
async fn made_up_clients_push_out_none_that_exists() {
    let service = Service::start_with(&["--standing-cache-size=16"]).await;
    let app = service.register("app", Wanted::confidential("reports.read")).await;
    let mut before = lookups(&service.server).await;
    // What is read while anything changes is not remembered.
    loop {
        service.token_of(&app).await;
        let now = lookups(&service.server).await;
        if now == std::mem::replace(&mut before, now) {
            break;
        }
    }
    for _ in 0..10 * TIMES {
        assert_refused(service.issue(made_up(true)).await, Code::Unauthenticated, "INVALID_CLIENT");
    }
    service.token_of(&app).await;
    let made = lookups(&service.server).await - before;
    assert_eq!(made, 200.0, "the client that exists is still remembered");
}
