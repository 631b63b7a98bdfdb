//! Owns what the callers of two replicas behind Envoy notice while the replicas come and go: nothing.

use std::net::SocketAddr;

use signet::proto::identity::v1::{
    GetMeRequest, IssueTokenRequest, PasswordGrant, RefreshTokenGrant,
    identity_service_client::IdentityServiceClient, issue_token_request::Grant,
};
use tokio::task::block_in_place;
use tonic::{Status, transport::Channel};

use crate::{
    envoy::Envoy,
    load::{Caller, Load},
    requests::{Request, eventually},
    signet::{PASSWORD, Signet},
};

/// Each has a connection of its own, and calls in four ways at once.
const CALLERS: usize = 4;

/// Two replicas, and Envoy before them.
pub(crate) struct Cluster {
    pub(crate) replicas: [Signet; 2],
    pub(crate) envoy: Envoy,
}

impl Cluster {
    pub(crate) async fn start(flags: &[&str]) -> Self {
        Self::with_changes(flags, &[]).await
    }

    /// The same, with `changes` made to Envoy's configuration.
    pub(crate) async fn with_changes(flags: &[&str], changes: &[(&str, &str)]) -> Self {
        // The callers refresh without a pause.
        let first = Signet::start(&[flags, &["--account-refreshes=1000000"]].concat());
        let cluster = Self::of(first, changes).await;
        cluster.replicas[0].sign_up().await;
        cluster
    }

    /// `first` and another replica, and Envoy before them, with `changes` made to its configuration.
    pub(crate) async fn of(first: Signet, changes: &[(&str, &str)]) -> Self {
        let second = first.replica();
        let ports = [
            (50051, first.grpc.port()),
            (50052, second.grpc.port()),
            (8080, first.http.port()),
            (8082, second.http.port()),
        ];
        let changes = [&[("address: 0.0.0.0", "address: 127.0.0.1")], changes].concat();
        let envoy = Envoy::start("replicas.yaml", &ports, &changes).await;
        let cluster = Self { replicas: [first, second], envoy };
        cluster.all_are_healthy().await;
        cluster
    }

    pub(crate) async fn all_are_healthy(&self) {
        self.so_many_are_healthy(self.replicas.len()).await;
    }

    pub(crate) async fn so_many_are_healthy(&self, count: usize) {
        for cluster in ["signet-grpc", "signet-http"] {
            let what = format!("{count} of {cluster} are healthy");
            let healthy = async || (self.envoy.healthy(cluster).await == count).then_some(());
            eventually(&what, healthy).await;
        }
    }
}

/// In which a caller calls.
enum Way {
    GetMe {
        client: IdentityServiceClient<Channel>,
        token: String,
    },
    /// With the token that the refresh before brought.
    Refresh {
        client: IdentityServiceClient<Channel>,
        refresh_token: String,
    },
    /// Over a new connection to Envoy each time.
    Http {
        envoy: SocketAddr,
        request: Request,
    },
}

impl Caller for Way {
    async fn call(&mut self) -> Result<(), String> {
        match self {
            Self::GetMe { client, token } => {
                let mut request = tonic::Request::new(GetMeRequest {});
                request.metadata_mut().insert("authorization", format!("Bearer {token}").parse().unwrap());
                client.get_me(request).await.map(drop).map_err(|status| format!("{status:?}"))
            }
            Self::Refresh { client, refresh_token } => {
                let grant = RefreshTokenGrant { refresh_token: refresh_token.clone() };
                let issued = issue(client, Grant::RefreshToken(grant)).await;
                (_, *refresh_token) = issued.map_err(|status| format!("{status:?}"))?;
                Ok(())
            }
            Self::Http { envoy, request } => match request.clone().send(*envoy).await {
                Ok(answer) if answer.status == 200 => Ok(()),
                answer => Err(format!("{answer:?}")),
            },
        }
    }
}

/// Callers of all kinds, through Envoy.
async fn load(cluster: &Cluster) -> Load {
    let envoy = cluster.envoy.addr;
    let mut load = Load::default();
    for _ in 0..CALLERS {
        let mut client = IdentityServiceClient::connect(format!("http://{envoy}")).await.unwrap();
        let grant = PasswordGrant { username: "alice".to_owned(), password: PASSWORD.to_owned() };
        let (token, refresh_token) = issue(&mut client, Grant::Password(grant)).await.unwrap();
        let userinfo = Request::get("/oauth2/userinfo").bearer(&token);
        load.keep_calling(Way::Http { envoy, request: userinfo });
        load.keep_calling(Way::Http { envoy, request: Request::get("/.well-known/jwks.json") });
        load.keep_calling(Way::GetMe { client: client.clone(), token });
        load.keep_calling(Way::Refresh { client, refresh_token });
    }
    load
}

/// An access token and a refresh token.
async fn issue(
    client: &mut IdentityServiceClient<Channel>,
    grant: Grant,
) -> Result<(String, String), Status> {
    let request = IssueTokenRequest { grant: Some(grant), ..IssueTokenRequest::default() };
    let issued = client.issue_token(request).await?.into_inner();
    Ok((issued.access_token, issued.refresh_token.expect("users get one")))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rolling_restart_under_load_fails_no_call() {
    let mut cluster = Cluster::start(&["--shutdown-delay=3s"]).await;
    let load = load(&cluster).await;
    for replica in [0, 1, 0, 1] {
        load.goes_on().await;
        block_in_place(|| cluster.replicas[replica].stop());
        cluster.so_many_are_healthy(1).await;
        load.goes_on().await;
        block_in_place(|| cluster.replicas[replica].start_again());
        cluster.all_are_healthy().await;
    }
    load.goes_on().await;
    load.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn connections_that_end_by_their_age_fail_no_call() {
    let cluster = Cluster::start(&["--max-connection-age=1s"]).await;
    let load = load(&cluster).await;
    for name in ["signet-grpc", "signet-http"] {
        let connections = format!("cluster.{name}.upstream_cx_total");
        let many = async || (cluster.envoy.gauge(&connections).await >= 12).then_some(());
        eventually("Envoy has made many connections", many).await;
    }
    load.finish().await;
}
