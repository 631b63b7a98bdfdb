//! Owns a running `signet`, and what its users and its operator do.

use std::{
    env,
    fs::{self, File},
    io::{BufRead, BufReader},
    net::SocketAddr,
    process::{Child, Command, Stdio},
    sync::{Arc, mpsc},
    thread,
    time::Duration,
};

use serde_json::Value;
use signet::proto::identity::v1::{
    ClientAuthentication, ClientCredentialsGrant, IssueTokenRequest, PasswordGrant, RevokeAllSessionsRequest,
    SignUpRequest, client_authentication::Credential, identity_service_client::IdentityServiceClient,
    issue_token_request::Grant,
};
use tempfile::TempDir;
use tonic::transport::Channel;

use crate::ports::free_addr;

/// No more than an upper bound.
const START_PATIENCE: Duration = Duration::from_mins(2);

pub(crate) const PASSWORD: &str = "correct horse battery";

/// The real program, which ends with the test.
pub(crate) struct Signet {
    process: Child,
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
        let cheap_hash = ["--argon2-memory-kib=64", "--argon2-iterations=1", "--argon2-below-owasp"];
        let flags = flags.iter().chain(&cheap_hash).map(|flag| (*flag).to_owned()).collect();
        Self::spawn(directory, flags, free_addr(), http)
    }

    /// Another server with the same flags on the same data.
    pub(crate) fn replica(&self) -> Self {
        let (directory, flags) = (Arc::clone(&self.directory), self.flags.clone());
        Self::spawn(directory, flags, free_addr(), free_addr())
    }

    fn spawn(directory: Arc<TempDir>, flags: Vec<String>, grpc: SocketAddr, http: SocketAddr) -> Self {
        let (process, started) = spawn(&directory, &flags, grpc, http);
        let addr = |key: &str| started[key].as_str().map(|addr| addr.parse().unwrap());
        let (grpc, http) = (addr("grpc_addr").unwrap(), addr("http_addr").unwrap());
        let operations = addr("operations_addr").unwrap();
        Self { process, directory, flags, grpc, http, operations, ext_authz: addr("ext_authz_addr") }
    }

    /// Ends it as an operator does, and waits until it has ended.
    #[track_caller]
    pub(crate) fn stop(&mut self) {
        let kill =
            Command::new("kill").args(["-s", "TERM", &self.process.id().to_string()]).status().unwrap();
        assert!(kill.success());
        assert_eq!(self.process.wait().unwrap().code(), Some(0));
    }

    /// Ends it as a crash does.
    pub(crate) fn kill(&mut self) {
        self.process.kill().unwrap();
        self.process.wait().unwrap();
    }

    /// Starts it again after [`kill`](Self::kill) or [`stop`](Self::stop), on the same data and ports.
    pub(crate) fn start_again(&mut self) {
        let started;
        (self.process, started) = spawn(&self.directory, &self.flags, self.grpc, self.http);
        self.operations = started["operations_addr"].as_str().unwrap().parse().unwrap();
    }

    /// Asks `signet` in another process, as an operator does, and returns its answer.
    pub(crate) fn operate(&self, arguments: &[&str]) -> Value {
        let output =
            program(&self.directory).args(&self.flags).arg("--json").args(arguments).output().unwrap();
        let stderr = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "signet {arguments:?}: {stderr}");
        serde_json::from_slice(&output.stdout).unwrap()
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

impl Drop for Signet {
    fn drop(&mut self) {
        // It may have ended already; then there is nothing to end.
        let _ = self.process.kill();
        let _ = self.process.wait();
        if std::thread::panicking() {
            let log = fs::read_to_string(self.directory.path().join("log")).unwrap_or_default();
            eprintln!("Signet's log:\n{log}");
        }
    }
}

/// Starts the program, and returns what it says of its start.
fn spawn(directory: &TempDir, flags: &[String], grpc: SocketAddr, http: SocketAddr) -> (Child, Value) {
    let log = File::options().create(true).append(true).open(directory.path().join("log")).unwrap();
    let mut process = program(directory)
        .args(flags)
        .args([format!("--grpc-addr={grpc}"), format!("--http-addr={http}")])
        .args(["--operations-addr=127.0.0.1:0", "--json"])
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(log)
        .spawn()
        .unwrap();
    let (sender, line) = mpsc::channel();
    let stdout = process.stdout.take().unwrap();
    thread::spawn(move || {
        let mut lines = BufReader::new(stdout).lines();
        let _ = sender.send(lines.next());
        // What it says later is read, so that it never waits for a reader.
        lines.for_each(drop);
    });
    let line = line.recv_timeout(START_PATIENCE).ok().flatten().and_then(Result::ok).unwrap_or_default();
    let started = serde_json::from_str(&line).unwrap_or_else(|_| {
        let _ = process.kill();
        let log = fs::read_to_string(directory.path().join("log")).unwrap_or_default();
        panic!("signet did not start; it said {line:?}, and its log:\n{log}")
    });
    (process, started)
}

/// The program on the data of `directory`, untouched by the settings of whoever runs the tests.
fn program(directory: &TempDir) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_signet"));
    for (name, _) in env::vars_os().filter(|(name, _)| name.to_string_lossy().starts_with("SIGNET_")) {
        command.env_remove(name);
    }
    command.arg("--data-dir").arg(directory.path().join("data"));
    command
}
