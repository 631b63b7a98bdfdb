//! Owns what a browser of many tabs notices behind Envoy and three replicas: nobody is logged out, though all refresh at once.

use std::collections::HashSet;

use signet::proto::identity::v1::{
    GetMeRequest, IssueTokenRequest, PasswordGrant, RefreshTokenGrant,
    identity_service_client::IdentityServiceClient, issue_token_request::Grant,
};
use tokio::task::JoinSet;
use tonic::{Code, Status, transport::Channel};
use tonic_types::StatusExt;

use crate::{
    envoy::Envoy,
    requests::eventually,
    signet::{PASSWORD, Signet},
};

const TABS: usize = 50;

/// How often all tabs refresh.
const ROUNDS: usize = 5;

/// An access token and a refresh token.
async fn issue(mut client: IdentityServiceClient<Channel>, grant: Grant) -> Result<(String, String), Status> {
    let request = IssueTokenRequest { grant: Some(grant), ..IssueTokenRequest::default() };
    let issued = client.issue_token(request).await?.into_inner();
    Ok((issued.access_token, issued.refresh_token.expect("users get one")))
}

#[tokio::test(flavor = "multi_thread")]
async fn fifty_tabs_that_refresh_at_once_log_nobody_out() {
    let first = Signet::start(&["--trusted-proxy-addresses=127.0.0.1"]);
    let others = [first.replica(), first.replica()];
    let ports = [
        (50051, first.grpc.port()),
        (50052, others[0].grpc.port()),
        (8080, first.http.port()),
        (8082, others[0].http.port()),
    ];
    // The example has two replicas.
    let endpoint = |signet: &Signet| {
        let port = signet.grpc.port();
        format!("- {{endpoint: {{address: {{socket_address: {{address: 127.0.0.1, port_value: {port}}}}}}}}}")
    };
    let second = endpoint(&others[0]);
    let both = format!("{second}\n        {}", endpoint(&others[1]));
    let changes = [("address: 0.0.0.0", "address: 127.0.0.1"), (second.as_str(), both.as_str())];
    let envoy = Envoy::start("replicas.yaml", &ports, &changes).await;
    first.sign_up().await;
    let healthy = async || (envoy.healthy("signet-grpc").await == 3).then_some(());
    eventually("Envoy has three replicas", healthy).await;

    let mut tabs = Vec::new();
    for _ in 0..TABS {
        tabs.push(IdentityServiceClient::connect(format!("http://{}", envoy.addr)).await.unwrap());
    }
    let grant = PasswordGrant { username: "alice".to_owned(), password: PASSWORD.to_owned() };
    let (_, mut token) = issue(tabs[0].clone(), Grant::Password(grant)).await.unwrap();
    for round in 0..ROUNDS {
        let mut calls = JoinSet::new();
        for tab in &tabs {
            let grant = RefreshTokenGrant { refresh_token: token.clone() };
            calls.spawn(issue(tab.clone(), Grant::RefreshToken(grant)));
        }
        let (mut access, mut next) = (String::new(), HashSet::new());
        for call in calls.join_all().await {
            match call {
                Ok(tokens) => {
                    access = tokens.0;
                    next.insert(tokens.1);
                }
                Err(status) => {
                    // This tab goes on with what another one has stored.
                    assert_eq!(status.code(), Code::ResourceExhausted, "{status:?}");
                    let reason = status.get_details_error_info().map(|info| info.reason);
                    assert_eq!(reason.as_deref(), Some("TOO_MANY_REPEATS"));
                    assert!(status.get_details_retry_info().is_some());
                }
            }
        }
        assert_eq!(next.len(), 1, "round {round}");
        token = next.into_iter().next().unwrap();
        let mut request = tonic::Request::new(GetMeRequest {});
        request.metadata_mut().insert("authorization", format!("Bearer {access}").parse().unwrap());
        tabs[round].get_me(request).await.unwrap();
    }
}
