//! Owns what a service hears of revocations through the Envoy before two replicas, which comes and goes on its way.

use std::net::SocketAddr;

use base64::{Engine, prelude::BASE64_URL_SAFE_NO_PAD};
use serde_json::Value;
use signet::proto::identity::{
    events::v1::{
        WatchRequest, WatchResponse, event_service_client::EventServiceClient, watch_response::Part,
    },
    v1::{
        ClientAuthentication, ClientCredentialsGrant, IssueTokenRequest, client_authentication::Credential,
        identity_service_client::IdentityServiceClient, issue_token_request::Grant,
    },
};
use tokio::task::block_in_place;
use tonic::{Code, Request, Status, Streaming};

use crate::replicas::Cluster;

/// A service that follows what was revoked, through Envoy.
struct Watcher {
    envoy: SocketAddr,
    token: String,
    resume_token: Vec<u8>,
    stream: Streaming<WatchResponse>,
}

impl Watcher {
    /// Whose stream has begun.
    async fn start(cluster: &Cluster) -> Self {
        let (envoy, token) = (cluster.envoy.addr, token(cluster).await);
        let stream = watch(envoy, &token, Vec::new()).await.unwrap();
        let mut watcher = Self { envoy, token, resume_token: Vec::new(), stream };
        let begun = watcher.next().await.unwrap();
        assert!(matches!(&begun, Some(Part::Snapshot(snapshot)) if snapshot.is_last), "{begun:?}");
        watcher
    }

    /// What it is told next; none once a replica has ended the stream.
    async fn next(&mut self) -> Result<Option<Part>, Status> {
        let Some(message) = self.stream.message().await? else { return Ok(None) };
        if !message.resume_token.is_empty() {
            self.resume_token = message.resume_token;
        }
        Ok(message.part)
    }

    /// Waits until it is told of the end of the session `sid`, and goes on wherever Envoy leads it when its stream ends.
    async fn hears_of(&mut self, sid: &str) {
        // Each stream begins with something, and a heartbeat comes only when nothing does for ten seconds.
        for _ in 0..10 {
            match self.next().await.unwrap() {
                Some(Part::Changes(changes)) if changes.ended_sessions.iter().any(|ended| ended == sid) => {
                    return;
                }
                part @ Some(Part::Resync(_) | Part::Snapshot(_)) => panic!("nothing was missed: {part:?}"),
                Some(_) => {}
                None => {
                    let resume_token = self.resume_token.clone();
                    self.stream = watch(self.envoy, &self.token, resume_token).await.unwrap();
                }
            }
        }
        panic!("the end of {sid} is not told");
    }
}

/// The token of a new client that may watch, and is told of the service's own audience.
async fn token(cluster: &Cluster) -> String {
    let flags = ["clients", "create", "stock-events", "--scope=signet.events.watch"];
    let created = cluster.replicas[0].operate(&flags);
    let text = |key: &str| created[key].as_str().unwrap().to_owned();
    let credential = Some(Credential::ClientSecret(text("secret")));
    let request = IssueTokenRequest {
        grant: Some(Grant::ClientCredentials(ClientCredentialsGrant {})),
        client: Some(ClientAuthentication { client_id: text("id"), credential }),
        scope: "signet.events.watch".to_owned(),
        ..IssueTokenRequest::default()
    };
    let envoy = format!("http://{}", cluster.envoy.addr);
    let mut client = IdentityServiceClient::connect(envoy).await.unwrap();
    client.issue_token(request).await.unwrap().into_inner().access_token
}

/// A stream that goes on at `resume_token`.
async fn watch(
    envoy: SocketAddr,
    token: &str,
    resume_token: Vec<u8>,
) -> Result<Streaming<WatchResponse>, Status> {
    let mut client = EventServiceClient::connect(format!("http://{envoy}")).await.unwrap();
    let mut request = Request::new(WatchRequest { resume_token, ..WatchRequest::default() });
    request.metadata_mut().insert("authorization", format!("Bearer {token}").parse().unwrap());
    Ok(client.watch(request).await?.into_inner())
}

/// The session of the access token `token`.
fn sid(token: &str) -> String {
    let claims = BASE64_URL_SAFE_NO_PAD.decode(token.split('.').nth(1).unwrap()).unwrap();
    let claims: Value = serde_json::from_slice(&claims).unwrap();
    claims["sid"].as_str().unwrap().to_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_revoked_is_heard_through_envoy_across_a_rolling_restart() {
    // Cluster::start signs alice up.
    let mut cluster = Cluster::start(&["--shutdown-delay=3s"]).await;
    let mut watcher = Watcher::start(&cluster).await;
    for replica in [0, 1] {
        let token = cluster.replicas[replica].log_in().await;
        let (ended, other) = (sid(&token), 1 - replica);
        block_in_place(|| cluster.replicas[replica].stop());
        cluster.replicas[other].log_out(&token).await;
        watcher.hears_of(&ended).await;
        block_in_place(|| cluster.replicas[replica].start_again());
        cluster.all_are_healthy().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_has_a_route_of_its_own_by_which_envoy_does_not_cut_it() {
    // Where a route says nothing, that is after 15 seconds. As shipped, the route of the streams says `0s`: never.
    let cut = Cluster::with_changes(&[], &[("timeout: 0s}", "timeout: 0.5s}")]).await;
    let token = token(&cut).await;
    let read = async {
        let mut stream = watch(cut.envoy.addr, &token, Vec::new()).await?;
        while stream.message().await?.is_some() {}
        Ok::<_, Status>(())
    };
    let code = read.await.map_err(|status| status.code());
    assert!(matches!(code, Err(Code::Internal | Code::Unavailable | Code::DeadlineExceeded)), "{code:?}");
}
