//! Owns what is found at the address of the admin API, and what is not.

use std::collections::BTreeSet;

use signet::model::BuiltInRole;
use tonic::{Code, transport::Channel};
use tonic_health::pb::{
    HealthCheckRequest, health_check_response::ServingStatus, health_client::HealthClient,
};
use tonic_reflection::pb::v1::{
    ServerReflectionRequest, server_reflection_client::ServerReflectionClient,
    server_reflection_request::MessageRequest, server_reflection_response::MessageResponse,
};

use super::AdminApi;
use crate::{
    harness::{Client, PASSWORD, TestServer},
    http::client::HttpClient,
};

const KEYS: &str = "identity.admin.v1.KeyService";

/// What reflection lists.
async fn listed(channel: Channel) -> BTreeSet<String> {
    let ask = ServerReflectionRequest {
        host: String::new(),
        message_request: Some(MessageRequest::ListServices(String::new())),
    };
    let mut client = ServerReflectionClient::new(channel);
    let mut answers =
        client.server_reflection_info(futures_util::stream::iter([ask])).await.unwrap().into_inner();
    match answers.message().await.unwrap().unwrap().message_response.unwrap() {
        MessageResponse::ListServicesResponse(list) => {
            list.service.into_iter().map(|service| service.name).collect()
        }
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn reflection_and_health_tell_of_the_admin_api_where_it_is_and_nowhere_else() {
    let server = TestServer::start(&["--ext-authz=on"]).await;
    let (admin, main) = (listed(server.admin_channel().await).await, listed(server.channel().await).await);
    for name in ["identity.v1.IdentityService", "identity.v1.TokenService", "grpc.health.v1.Health"] {
        assert!(admin.contains(name) && main.contains(name), "{name}");
    }
    assert!(admin.contains(KEYS), "{admin:?}");
    assert!(main.iter().all(|name| !name.starts_with("identity.admin.")), "{main:?}");
    assert!(admin.iter().all(|name| !name.starts_with("envoy.")), "{admin:?}");

    let health = async |channel, name: &str| {
        let request = HealthCheckRequest { service: name.to_owned() };
        HealthClient::new(channel).check(request).await.map(|answer| answer.into_inner().status())
    };
    for name in admin.iter().map(String::as_str).filter(|name| name.starts_with("identity.")).chain([""]) {
        assert_eq!(
            health(server.admin_channel().await, name).await.unwrap(),
            ServingStatus::Serving,
            "{name}"
        );
    }
    assert_eq!(health(server.channel().await, KEYS).await.unwrap_err().code(), Code::NotFound);
}

#[tokio::test]
async fn whoever_administers_needs_one_address_and_one_who_does_not_uses_another() {
    let api = AdminApi::start().await;
    let mut there = Client(signet::proto::identity::v1::identity_service_client::IdentityServiceClient::new(
        api.channel().await,
    ));
    there.sign_up("alice", PASSWORD).await.unwrap();
    let token = there.log_in("alice", PASSWORD).await.unwrap().access_token;
    assert_eq!(there.get_me(&token).await.unwrap().username, "alice");
    let (_, token) = api.administrator(BuiltInRole::Auditor, "eve").await;
    assert_eq!(there.get_me(&token).await.unwrap().username, "eve");

    let without = TestServer::start(&["--admin-addr=off"]).await;
    assert_eq!(without.started.admin_addr, None);
    without.client().await.sign_up("alice", PASSWORD).await.unwrap();
}

#[tokio::test]
async fn no_web_page_of_another_origin_calls_it() {
    let api = AdminApi::start().await;
    let (_, token) = api.administrator(BuiltInRole::Admin, "boss").await;
    let http = HttpClient::new(api.server.started.admin_addr.unwrap());
    let request = http::Request::post("/identity.admin.v1.KeyService/ListKeys")
        .header("host", "localhost")
        .header("content-type", "application/grpc-web+proto")
        .header("authorization", format!("Bearer {token}"))
        .header("origin", "https://evil.example");
    let answer = http.send(request, "\0\0\0\0\0").await;
    assert_eq!(answer.status(), 403);
}

#[tokio::test]
async fn its_connections_are_its_own() {
    const CONNECTIONS: usize = 8;
    let server = TestServer::start(&[&format!("--max-connections={CONNECTIONS}")]).await;
    let (main, admin) = (server.started.grpc_addr, server.started.admin_addr.unwrap());
    for flooded in [main, admin] {
        let mut idle = Vec::new();
        for _ in 0..3 * CONNECTIONS {
            idle.push(tokio::net::TcpStream::connect(flooded).await.unwrap());
        }
        let other = if flooded == main { server.admin_channel().await } else { server.channel().await };
        let request = HealthCheckRequest::default();
        let answer = HealthClient::new(other).check(request).await.unwrap();
        assert_eq!(answer.into_inner().status(), ServingStatus::Serving, "{flooded} is flooded");
    }
}
