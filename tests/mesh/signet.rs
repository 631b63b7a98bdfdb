//! Owns a running `signet`, and what its users and its operator do.

use std::{net::SocketAddr, sync::Arc};

use serde_json::Value;
use signet::proto::identity::v1::{
    ClientAuthentication, ClientCredentialsGrant, IssueTokenRequest, IssueTokenResponse, PasswordGrant,
    RefreshTokenGrant, RevokeAllSessionsRequest, SignUpRequest, client_authentication::Credential,
    identity_service_client::IdentityServiceClient, issue_token_request::Grant,
};
use tempfile::TempDir;
use tonic::{Status, transport::Channel};

use crate::{
    requests::Request,
    support::{
        ports::free_addr,
        program::find,
        runner::{Finished, Invocation, Service},
    },
};

pub(crate) const PASSWORD: &str = "correct horse battery";

/// The real program, which ends with the test.
pub(crate) struct Signet {
    service: Service,
    /// Replicas share it.
    directory: Arc<TempDir>,
    flags: Vec<String>,
    pub(crate) grpc: SocketAddr,
    pub(crate) http: SocketAddr,
    /// Where the metrics are.
    pub(crate) operations: SocketAddr,
    /// Where Envoy asks, if that is an address of its own.
    pub(crate) ext_authz: Option<SocketAddr>,
}

impl Signet {
    /// A server with the flags `flags`, on an empty data directory and free ports.
    pub(crate) fn start(flags: &[&str]) -> Self {
        Self::start_at(free_addr(), flags)
    }

    /// A server whose issuer is where it listens, for those who find its keys by its name.
    pub(crate) fn start_as_issuer(flags: &[&str]) -> Self {
        let http = free_addr();
        Self::start_at(http, &[&[&*format!("--issuer=http://{http}")], flags].concat())
    }

    fn start_at(http: SocketAddr, flags: &[&str]) -> Self {
        let directory = Arc::new(TempDir::new().unwrap());
        let flags = flags.iter().map(|flag| (*flag).to_owned()).collect();
        Self::spawn(directory, flags, free_addr(), http)
    }

    /// Another server with the same flags on the same data.
    pub(crate) fn replica(&self) -> Self {
        let (directory, flags) = (Arc::clone(&self.directory), self.flags.clone());
        Self::spawn(directory, flags, free_addr(), free_addr())
    }

    /// The same, whose clock differs by `skew` (`+5s`) from everybody else's.
    pub(crate) fn replica_with_skew(&self, skew: &str) -> Self {
        let (directory, flags) = (Arc::clone(&self.directory), self.flags.clone());
        let library = find("SIGNET_TEST_LIBFAKETIME", "libfaketime.so.1").display().to_string();
        // How long things take is as it is.
        let time = [("LD_PRELOAD", &*library), ("FAKETIME", skew), ("FAKETIME_DONT_FAKE_MONOTONIC", "1")];
        let service = serving(&directory, &flags, free_addr(), free_addr()).envs(time).serve_now();
        Self::of(service, directory, flags)
    }

    fn spawn(directory: Arc<TempDir>, flags: Vec<String>, grpc: SocketAddr, http: SocketAddr) -> Self {
        Self::of(serving(&directory, &flags, grpc, http).serve_now(), directory, flags)
    }

    fn of(service: Service, directory: Arc<TempDir>, flags: Vec<String>) -> Self {
        let (grpc, http, operations) = (service.grpc_addr(), service.http_addr(), service.operations_addr());
        let ext_authz = service.addr("ext_authz_addr");
        Self { service, directory, flags, grpc, http, operations, ext_authz }
    }

    /// Ends it as an operator does, and waits until it has ended.
    pub(crate) fn stop(&mut self) {
        self.service.process.stop_now().succeeded();
    }

    /// Ends it as a crash does.
    pub(crate) fn kill(&mut self) {
        self.service.process.kill_now();
    }

    /// Starts it again after [`kill`](Self::kill) or [`stop`](Self::stop), on the same data and ports.
    pub(crate) fn start_again(&mut self) {
        self.service = serving(&self.directory, &self.flags, self.grpc, self.http).serve_now();
        self.operations = self.service.operations_addr();
    }

    /// Asks `signet` in another process, as an operator does, and returns its answer.
    pub(crate) fn operate(&self, arguments: &[&str]) -> Value {
        self.run(arguments).object()
    }

    /// The same, where the answer is a line for each of several things.
    pub(crate) fn list(&self, arguments: &[&str]) -> Vec<Value> {
        self.run(arguments).objects()
    }

    fn run(&self, arguments: &[&str]) -> Finished {
        let signet = program(&self.directory).args(&self.flags).args(["--json"]).args(arguments);
        signet.run_now().succeeded()
    }

    /// Asks it over the admin API, as the client `id` whose secret is in `file`: what it does is not said here.
    pub(crate) fn operate_as(&self, (id, file): (&str, &str), arguments: &[&str]) -> Finished {
        let server = self.service.admin_addr().to_string();
        let caller = ["--server", &server, "--client-id", id, "--client-secret-file", file];
        Invocation::signet().args(["--json"]).args(arguments).args(caller).run_now()
    }

    /// What it has written to its log so far.
    pub(crate) fn log(&self) -> String {
        self.service.process.log()
    }

    /// What it answers whoever gathers metrics.
    pub(crate) async fn metrics(&self) -> String {
        Request::get("/metrics").host("localhost").send(self.operations).await.unwrap().body
    }

    /// The token of a new client `name`, made with the flags `flags`.
    pub(crate) async fn token_of_client(&self, name: &str, flags: &[&str]) -> String {
        let created = self.operate(&[&["clients", "create", name], flags].concat());
        let text = |key: &str| created[key].as_str().unwrap_or_else(|| panic!("{key}: {created}")).to_owned();
        let credential = Some(Credential::ClientSecret(text("secret")));
        let client = Some(ClientAuthentication { client_id: text("id"), credential });
        let grant = Some(Grant::ClientCredentials(ClientCredentialsGrant {}));
        self.issue(IssueTokenRequest { grant, client, ..IssueTokenRequest::default() }).await
    }

    /// What alice gets who logs in by the public client `id`, and names no scope.
    pub(crate) async fn log_in_by(&self, id: &str) -> IssueTokenResponse {
        let grant = PasswordGrant { username: "alice".to_owned(), password: PASSWORD.to_owned() };
        self.exchange(id, Grant::Password(grant)).await.unwrap()
    }

    /// What the public client `id` gets for a refresh token.
    pub(crate) async fn refresh(&self, id: &str, token: &str) -> Result<IssueTokenResponse, Status> {
        self.exchange(id, Grant::RefreshToken(RefreshTokenGrant { refresh_token: token.to_owned() })).await
    }

    async fn exchange(&self, id: &str, grant: Grant) -> Result<IssueTokenResponse, Status> {
        let client = Some(ClientAuthentication { client_id: id.to_owned(), credential: None });
        let request = IssueTokenRequest { grant: Some(grant), client, ..IssueTokenRequest::default() };
        Ok(self.client().await.issue_token(request).await?.into_inner())
    }

    /// The id of the new user alice, and a token of hers.
    pub(crate) async fn sign_up(&self) -> (String, String) {
        let request = SignUpRequest {
            username: "alice".to_owned(),
            password: PASSWORD.to_owned(),
            ..SignUpRequest::default()
        };
        let user = self.client().await.sign_up(request).await.unwrap().into_inner().user.unwrap();
        (user.id, self.log_in().await)
    }

    /// Another token of alice's.
    pub(crate) async fn log_in(&self) -> String {
        let grant = PasswordGrant { username: "alice".to_owned(), password: PASSWORD.to_owned() };
        let grant = Some(Grant::Password(grant));
        self.issue(IssueTokenRequest { grant, ..IssueTokenRequest::default() }).await
    }

    /// Ends the session of `token`, and all others of its user.
    pub(crate) async fn log_out(&self, token: &str) {
        let mut request = tonic::Request::new(RevokeAllSessionsRequest::default());
        request.metadata_mut().insert("authorization", format!("Bearer {token}").parse().unwrap());
        self.client().await.revoke_all_sessions(request).await.unwrap();
    }

    async fn issue(&self, request: IssueTokenRequest) -> String {
        self.client().await.issue_token(request).await.unwrap().into_inner().access_token
    }

    async fn client(&self) -> IdentityServiceClient<Channel> {
        IdentityServiceClient::connect(format!("http://{}", self.grpc)).await.unwrap()
    }
}

/// The program that is to serve at `grpc` and `http`.
fn serving(directory: &TempDir, flags: &[String], grpc: SocketAddr, http: SocketAddr) -> Invocation {
    let addrs = [format!("--grpc-addr={grpc}"), format!("--http-addr={http}")];
    program(directory).args(flags).args(addrs)
}

/// The program on the data of `directory`.
fn program(directory: &TempDir) -> Invocation {
    let data = directory.path().join("data");
    Invocation::signet().with_cheap_hashes().args([format!("--data-dir={}", data.display())])
}
