//! Owns running the program in a directory of the test's own, and reading what it says.

use std::{fs, net::SocketAddr, path::PathBuf};

use http_body_util::BodyExt;
use sea_orm::DatabaseConnection;
use serde_json::Value;
use tempfile::TempDir;

pub(crate) use crate::support::runner::{Finished, Invocation, PATIENCE, Service};
use crate::{
    client::Client,
    support::{
        database::{self, TestDatabase},
        template,
    },
};

/// A directory that the program is run in; it goes with the test. The data are where they are by default (./signet-data), or in
/// a database of the test's own.
pub(crate) struct Place {
    dir: TempDir,
    database: Option<TestDatabase>,
}

impl Place {
    /// Where nothing is yet; the database will be the embedded one.
    pub(crate) fn new() -> Self {
        Self { dir: TempDir::new().unwrap(), database: None }
    }

    /// With an empty database of the kind that the tests are to be run with.
    pub(crate) async fn on_database() -> Self {
        Self { database: TestDatabase::empty().await, ..Self::new() }
    }

    /// The same, with the schema: most commands want one to be there.
    pub(crate) async fn migrated() -> Self {
        match TestDatabase::migrated().await {
            Some(database) => Self { database: Some(database), ..Self::new() },
            None => Self::embedded().await,
        }
    }

    /// Another one, whose database on a server is a copy of this one's.
    pub(crate) async fn copy(&self) -> Self {
        let database = self.database.as_ref().expect("a server").copy().await;
        Self { database: Some(database), ..Self::new() }
    }

    /// With the embedded database, and its schema.
    pub(crate) async fn embedded() -> Self {
        let place = Self::new();
        template::embed(&place.path("signet-data")).await;
        place
    }

    pub(crate) fn is_embedded(&self) -> bool {
        self.database.is_none()
    }

    /// A connection behind the service's back.
    pub(crate) async fn connect(&self) -> DatabaseConnection {
        database::connect(self.database.as_ref(), &self.path("signet-data")).await
    }

    /// Where the data are, as whoever reads them behind the service's back is told.
    pub(crate) fn database_url(&self) -> String {
        let embedded = || format!("sqlite:{}", self.data("signet.db").display());
        self.database.as_ref().map_or_else(embedded, TestDatabase::url)
    }

    /// The kind of the server that its database is on: `postgres` or `mysql`; none of the embedded one.
    pub(crate) fn server_kind(&self) -> Option<&'static str> {
        let url = self.database.as_ref()?.url();
        Some(if url.starts_with("postgres") { "postgres" } else { "mysql" })
    }

    /// The server that its database is on, as `HOST:PORT`.
    pub(crate) fn server(&self) -> String {
        let url = self.database.as_ref().expect("a server").url();
        let (_, rest) = url.split_once('@').expect("a user");
        rest.split_once('/').expect("a name").0.to_owned()
    }

    /// The URL of its database, if the server were at `addr`, which is `HOST:PORT`.
    pub(crate) fn url_at(&self, addr: &str) -> String {
        self.database.as_ref().expect("a server").url().replacen(&self.server(), addr, 1)
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// A file or directory in the data directory.
    pub(crate) fn data(&self, name: &str) -> PathBuf {
        self.path("signet-data").join(name)
    }

    pub(crate) fn has_data(&self) -> bool {
        self.path("signet-data").exists()
    }

    /// Writes a file, and returns its path as an argument.
    pub(crate) fn write(&self, name: &str, content: &str) -> String {
        let path = self.path(name);
        fs::write(&path, content).unwrap();
        path.display().to_string()
    }

    /// `signet` with `args`, ready to be run here. What it does is meant, though it cannot be undone.
    pub(crate) fn signet(&self, args: &[&str]) -> Invocation {
        self.signet_exactly(&meant(args))
    }

    /// The same with no other arguments.
    pub(crate) fn signet_exactly(&self, args: &[&str]) -> Invocation {
        let signet = Invocation::signet().with_cheap_hashes().args(args).within(self.dir.path());
        // A test is not about how busy the machine is with the other tests.
        let signet = signet.envs([("SIGNET_HASH_THREADS", "2"), ("SIGNET_REQUEST_TIMEOUT", "1m")]);
        let Some(database) = &self.database else { return signet };
        signet.envs([
            ("SIGNET_DATABASE_URL", &*database.url()),
            ("SIGNET_MASTER_KEY", database::MASTER_KEY),
            ("SIGNET_AUTO_MIGRATE", "on"),
            ("SIGNET_DATABASE_ACQUIRE_TIMEOUT", "20s"),
            ("SIGNET_DATABASE_STATEMENT_TIMEOUT", "20s"),
        ])
    }

    /// Runs `signet` with `args` to its end.
    pub(crate) async fn run(&self, args: &[&str]) -> Finished {
        self.signet(args).run().await
    }

    /// Starts the service with `args`, and waits until it serves.
    pub(crate) async fn serve(&self, args: &[&str]) -> Service {
        self.signet(args).serve().await
    }

    /// Makes a user with [`crate::client::PASSWORD`].
    pub(crate) async fn create_user(&self, username: &str) -> Value {
        let created = self.signet(&["users", "create", username, "--json"]).password().run().await;
        created.succeeded().object()
    }
}

/// `args` of a command that cannot be undone with `--yes`: there is nobody to ask, and a test means what it says.
fn meant<'a>(args: &[&'a str]) -> Vec<&'a str> {
    let destroys = match args {
        ["restore", ..] | ["users", "disable" | "end-sessions" | "reset-password", ..] => true,
        ["keys", "reset", ..] => args.contains(&"--discard"),
        [_, verb, ..] => matches!(*verb, "delete" | "revoke" | "rotate-secret"),
        _ => false,
    };
    let yes = destroys.then_some("--yes");
    args.iter().copied().chain(yes).collect()
}

impl Invocation {
    /// Types [`crate::client::PASSWORD`].
    pub(crate) fn password(self) -> Self {
        self.stdin(&format!("{}\n", crate::client::PASSWORD))
    }
}

impl Service {
    pub(crate) async fn client(&self) -> Client {
        Client::connect(self.grpc_addr()).await
    }

    /// The status that HTTP answers a GET of `path` with.
    pub(crate) async fn http_status(&self, path: &str) -> u16 {
        self.http_get(path).await.0
    }

    /// What HTTP answers to a GET of `path`.
    pub(crate) async fn http_get(&self, path: &str) -> (u16, String) {
        get(self.http_addr(), path).await
    }

    /// What operators get who GET `path`.
    pub(crate) async fn operations_get(&self, path: &str) -> (u16, String) {
        get(self.operations_addr(), path).await
    }
}

/// What `addr` answers to a GET of `path`.
async fn get(addr: SocketAddr, path: &str) -> (u16, String) {
    let io = hyper_util::rt::TokioIo::new(tokio::net::TcpStream::connect(addr).await.unwrap());
    let (mut sender, connection) = hyper::client::conn::http1::handshake(io).await.unwrap();
    tokio::spawn(connection);
    let request =
        http::Request::get(path).header("host", addr.to_string()).body(http_body_util::Empty::<&[u8]>::new());
    let (head, body) = sender.send_request(request.unwrap()).await.unwrap().into_parts();
    let body = body.collect().await.unwrap().to_bytes();
    (head.status.as_u16(), String::from_utf8_lossy(&body).into_owned())
}
