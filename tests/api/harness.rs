//! Owns starting a server for a test, and reading what it answers.

use std::{fs, path::Path, sync::Arc, time::Duration};

use clap::Parser;
use sea_orm::DatabaseConnection;
use signet::{
    audit::{Audit, AuditLog},
    base::{Clock, Timestamp},
    config::{Config, OpenTelemetryVariables},
    identity::ClockCheck,
    install::{Missing, OpenDatabase},
    metrics::{AuditMetrics, ClockMetrics},
    proto::identity::v1::{
        GetMeRequest, IssueTokenRequest, IssueTokenResponse, PasswordGrant, SignUpRequest, User,
        identity_service_client::IdentityServiceClient, issue_token_request::Grant,
    },
    server::{Server, Started},
    store::{DatabaseClock, Store},
};
use tempfile::TempDir;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use tonic::{Code, Request, Status, metadata::MetadataValue, transport::Channel};
use tonic_types::StatusExt;

use crate::{
    http::client::HttpClient,
    support::{
        database::{self, TestDatabase},
        template,
    },
};

pub(crate) const PASSWORD: &str = "correct horse battery";

/// 2026-11-23T12:00:00Z: where the hand of a test's clock stands at first.
pub(crate) const START: Timestamp = Timestamp::from_micros(1_795_435_200_000_000);

/// Hashes that cost next to nothing, on free ports. A test is not about how busy the machine is with the other tests.
const ARGS: [&str; 15] = [
    "signet",
    "--issuer=http://127.0.0.1:8080",
    "--grpc-addr=127.0.0.1:0",
    "--http-addr=127.0.0.1:0",
    "--operations-addr=127.0.0.1:0",
    "--admin-addr=127.0.0.1:0",
    "--argon2-memory-kib=64",
    "--argon2-iterations=1",
    "--argon2-below-owasp",
    "--hash-threads=2",
    "--drain-timeout=5s",
    "--request-timeout=1m",
    "--log-level=warn",
    "--hash-queue=1000",
    "--audit-log=off",
];

/// For an operator whose doings are recorded nowhere.
pub(crate) fn unaudited(clock: &Clock) -> Audit {
    Audit::open(&AuditLog::Off, clock.clone(), AuditMetrics::default()).unwrap()
}

/// A server of the test's own; it ends with the test.
pub(crate) struct TestServer {
    pub(crate) started: Started,
    pub(crate) clock: Clock,
    pub(crate) data: Data,
    stop: CancellationToken,
    serving: JoinHandle<()>,
}

#[derive(Parser)]
struct Args {
    #[command(flatten)]
    config: Config,
}

/// Where a server's data are; they go with the last who knows them.
#[derive(Clone)]
pub(crate) struct Data {
    dir: Arc<TempDir>,
    database: Option<Arc<TestDatabase>>,
}

impl Data {
    /// Of the kind that the tests are to be run with.
    pub(crate) async fn new() -> Self {
        match Box::pin(TestDatabase::migrated()).await.map(Arc::new) {
            None => Self::embedded().await,
            database => Self { dir: Arc::new(TempDir::new().unwrap()), database },
        }
    }

    /// The embedded database.
    pub(crate) async fn embedded() -> Self {
        let dir = Arc::new(TempDir::new().unwrap());
        template::embed(dir.path()).await;
        Self { dir, database: None }
    }

    pub(crate) fn is_embedded(&self) -> bool {
        self.database.is_none()
    }

    /// The URL of the database; none for the embedded one.
    pub(crate) fn url(&self) -> Option<String> {
        self.database.as_ref().map(|database| database.url())
    }

    /// The directory that holds the master key, and the embedded database.
    pub(crate) fn path(&self) -> &Path {
        self.dir.path()
    }

    /// A connection behind the service's back.
    pub(crate) async fn connect(&self) -> DatabaseConnection {
        database::connect(self.database.as_deref(), self.path()).await
    }

    /// The database, opened as another process would.
    pub(crate) async fn store(&self) -> Store {
        let storage = config(self, &[]).storage;
        Box::pin(OpenDatabase::open(&storage, Missing::Made, Duration::ZERO)).await.unwrap().store
    }

    /// What a server on these data is started with.
    fn args(&self) -> Vec<String> {
        // A test is not about how busy the machine is with the other tests.
        let mut args = vec![
            format!("--data-dir={}", self.path().display()),
            "--database-acquire-timeout=20s".to_owned(),
        ];
        if let Some(database) = &self.database {
            let master_key = self.path().join("master.key");
            fs::write(&master_key, database::MASTER_KEY).unwrap();
            args.push(format!("--database-url={}", database.url()));
            args.push(format!("--master-key-file={}", master_key.display()));
            args.push("--auto-migrate".to_owned());
            args.push("--database-statement-timeout=20s".to_owned());
        }
        args
    }
}

/// The configuration that `args` give, on top of those of every test.
pub(crate) fn config(data: &Data, args: &[&str]) -> Config {
    let of_data = data.args();
    let all: Vec<&str> =
        ARGS.iter().copied().chain(of_data.iter().map(String::as_str)).chain(args.iter().copied()).collect();
    // A test may set what is set already: the last one wins.
    let flag = |arg: &str| arg.split('=').next().unwrap_or_default().trim_end_matches("-file").to_owned();
    let last = |index: usize| all[index + 1..].iter().all(|later| flag(later) != flag(all[index]));
    Args::parse_from((0..all.len()).filter(|index| last(*index)).map(|index| all[index])).config
}

impl TestServer {
    pub(crate) async fn start(args: &[&str]) -> Self {
        Self::start_in(Data::new().await, Clock::manual(START), args).await
    }

    /// A server on the data of one that was stopped.
    pub(crate) async fn start_in(data: Data, clock: Clock, args: &[&str]) -> Self {
        // The hand turns all clocks.
        let database_clock = DatabaseClock::Given(clock.clone());
        Self::start_with(data, clock, database_clock, args).await
    }

    /// The same, with a database whose time comes from `database_clock`.
    pub(crate) async fn start_with(
        data: Data,
        clock: Clock,
        database_clock: DatabaseClock,
        args: &[&str],
    ) -> Self {
        Self::start_configured(config(&data, args), data, clock, database_clock).await
    }

    /// A server whose environment has `variables` of OpenTelemetry.
    pub(crate) async fn start_traced(variables: &[(&str, &str)], args: &[&str]) -> Self {
        let (data, clock) = (Data::new().await, Clock::manual(START));
        let mut config = config(&data, args);
        let variables = variables.iter().map(|(name, value)| (name.into(), value.into()));
        config.traces.variables = OpenTelemetryVariables::of(variables);
        let database_clock = DatabaseClock::Given(clock.clone());
        Self::start_configured(config, data, clock, database_clock).await
    }

    async fn start_configured(
        config: Config,
        data: Data,
        clock: Clock,
        database_clock: DatabaseClock,
    ) -> Self {
        let starting = Server::start(config, clock.clone(), database_clock);
        let server = Box::pin(starting).await.unwrap();
        let started = server.started().clone();
        let stop = CancellationToken::new();
        let token = stop.clone();
        let serving = tokio::spawn(async move { server.serve(token).await.unwrap() });
        Self { started, clock, data, stop, serving }
    }

    /// Another server on the same data, with the same clock.
    pub(crate) async fn replica(&self, args: &[&str]) -> Self {
        Self::start_in(self.data.clone(), self.clock.clone(), args).await
    }

    /// Stops it in an orderly way, and leaves its data.
    pub(crate) async fn stop(self) -> (Data, Clock) {
        self.stop.cancel();
        self.serving.await.unwrap();
        (self.data, self.clock)
    }

    /// Tells it to stop, without waiting.
    pub(crate) fn begin_stop(&self) {
        self.stop.cancel();
    }

    pub(crate) fn uri(&self) -> String {
        format!("http://{}", self.started.grpc_addr)
    }

    pub(crate) async fn channel(&self) -> Channel {
        Channel::from_shared(self.uri()).unwrap().connect().await.unwrap()
    }

    /// A connection to where the admin API is.
    pub(crate) async fn admin_channel(&self) -> Channel {
        let uri = format!("http://{}", self.started.admin_addr.unwrap());
        Channel::from_shared(uri).unwrap().connect().await.unwrap()
    }

    pub(crate) async fn client(&self) -> Client {
        Client(IdentityServiceClient::new(self.channel().await))
    }

    /// A client whose connections come from `address`, one of the loopback network.
    pub(crate) async fn client_from(&self, address: &str) -> Client {
        let endpoint = Channel::from_shared(self.uri()).unwrap();
        let endpoint = endpoint.local_address(Some(address.parse().unwrap()));
        Client(IdentityServiceClient::new(endpoint.connect().await.unwrap()))
    }

    /// The database, opened beside the server, as another process would.
    pub(crate) async fn store(&self) -> Store {
        self.data.store().await.with_clock(DatabaseClock::Given(self.clock.clone()))
    }

    /// Whether the clock of another process, which changes the keys in `store`, agrees with the database's.
    pub(crate) fn clocks(&self, store: &Store) -> Arc<ClockCheck> {
        let leeway = config(&self.data, &[]).tokens.clock_leeway;
        Arc::new(ClockCheck::new(store.clone(), self.clock.clone(), leeway, ClockMetrics::default()))
    }

    /// What HTTP answers to a GET: status, headers, body.
    pub(crate) async fn http_get(&self, path: &str) -> http::Response<String> {
        self.http().get(path).await.0
    }

    /// What operators get who GET `path`: status, headers, body.
    pub(crate) async fn operations_get(&self, path: &str) -> http::Response<String> {
        self.operations().get(path).await.0
    }

    /// A client of the operators' address.
    pub(crate) fn operations(&self) -> HttpClient {
        HttpClient::new(self.started.operations_addr.unwrap())
    }

    /// A client of HTTP.
    pub(crate) fn http(&self) -> HttpClient {
        HttpClient::new(self.started.http_addr)
    }
}

/// The generated client, and the calls that most tests make.
#[derive(Clone)]
pub(crate) struct Client(pub(crate) IdentityServiceClient<Channel>);

impl Client {
    pub(crate) async fn sign_up(&mut self, username: &str, password: &str) -> Result<User, Status> {
        let request = SignUpRequest {
            username: username.to_owned(),
            password: password.to_owned(),
            ..SignUpRequest::default()
        };
        Ok(self.0.sign_up(request).await?.into_inner().user.unwrap())
    }

    /// The same, asked again while the database has no time for it: on a busy machine many writers wait for one another longer than one
    /// may.
    pub(crate) async fn sign_up_in_the_end(
        &mut self,
        username: &str,
        password: &str,
    ) -> Result<User, Status> {
        loop {
            match self.sign_up(username, password).await {
                Err(status) if status.code() == Code::Unavailable => {}
                answer => return answer,
            }
        }
    }

    pub(crate) async fn log_in(
        &mut self,
        username: &str,
        password: &str,
    ) -> Result<IssueTokenResponse, Status> {
        Ok(self.0.issue_token(password_grant(username, password)).await?.into_inner())
    }

    /// Signs up `username` and returns a token of its.
    pub(crate) async fn token_of_new(&mut self, username: &str) -> String {
        self.sign_up(username, PASSWORD).await.unwrap();
        self.log_in(username, PASSWORD).await.unwrap().access_token
    }

    pub(crate) async fn get_me(&mut self, token: &str) -> Result<User, Status> {
        Ok(self.0.get_me(with_token(GetMeRequest {}, token)).await?.into_inner().user.unwrap())
    }
}

pub(crate) fn password_grant(username: &str, password: &str) -> IssueTokenRequest {
    let grant = PasswordGrant { username: username.to_owned(), password: password.to_owned() };
    IssueTokenRequest { grant: Some(Grant::Password(grant)), ..IssueTokenRequest::default() }
}

pub(crate) fn with_token<T>(message: T, token: &str) -> Request<T> {
    let mut request = Request::new(message);
    let value = MetadataValue::try_from(format!("Bearer {token}")).unwrap();
    request.metadata_mut().insert("authorization", value);
    request
}

/// Asserts an error's code and its reason, and that the reason is of this API's domain.
#[track_caller]
pub(crate) fn assert_refused<T: std::fmt::Debug>(
    result: Result<T, Status>,
    code: Code,
    reason: &str,
) -> Status {
    let status = result.unwrap_err();
    let info = status.get_details_error_info().unwrap_or_else(|| panic!("no ErrorInfo in {status:?}"));
    assert_eq!((status.code(), info.reason.as_str()), (code, reason), "{status:?}");
    assert_eq!(info.domain, "identity.v1");
    assert!(!status.message().is_empty());
    // Wherever there is a time to try again, gRPC's own retries hear of it.
    let delay = status.get_details_retry_info().and_then(|info| info.retry_delay);
    assert_eq!(status.get_details_retry_info().is_some(), delay.is_some(), "{status:?}");
    let told = status.metadata().get("grpc-retry-pushback-ms").map(|millis| millis.to_str().unwrap());
    let millis = delay.map(|delay| delay.as_nanos().div_ceil(1_000_000).to_string());
    assert_eq!(told, millis.as_deref(), "{status:?}");
    // Whoever answers tells which request it was, among the headers and in the details alike.
    let answered = status.metadata().get("x-request-id").map(|id| id.to_str().unwrap().to_owned());
    let detail = status.get_details_request_info().map(|info| info.request_id);
    assert!(answered.is_none() || answered == detail, "{status:?}");
    status
}

/// What the details of `status` say, but for which request it was.
pub(crate) fn details(status: &Status) -> String {
    let mut details = status.get_error_details();
    details.set_request_info("", "");
    format!("{details:?}")
}

/// How long to leave the machine to whoever makes a fact true, before asking for it again.
const PAUSE: Duration = Duration::from_millis(2);

/// Waits for a fact, asking again and again; fails when it has not come true in time.
pub(crate) async fn eventually<F: Future<Output = bool>>(what: &str, mut fact: impl FnMut() -> F) {
    let waiting = async {
        while !fact().await {
            tokio::time::sleep(PAUSE).await;
        }
    };
    tokio::time::timeout(Duration::from_mins(1), waiting)
        .await
        .unwrap_or_else(|_| panic!("not in time: {what}"));
}
