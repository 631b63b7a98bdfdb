//! Owns running the program in a directory of the test's own, and reading what it says.

use std::{
    fs,
    io::{BufRead, BufReader, Read, Write},
    net::SocketAddr,
    path::PathBuf,
    process::{Child, Command, Stdio},
    time::Duration,
};

use http_body_util::BodyExt;
use sea_orm::DatabaseConnection;
use serde_json::Value;
use tempfile::TempDir;
use tokio::{sync::mpsc, task::JoinHandle, time::timeout};

use crate::{
    client::Client,
    support::database::{self, TestDatabase},
};

/// How long the program may take for anything at all, on a machine that is busy with other tests.
pub(crate) const PATIENCE: Duration = Duration::from_secs(30);

/// Free ports, and hashes that cost next to nothing. A test's own flags win over these.
const ENVIRONMENT: [(&str, &str); 7] = [
    ("SIGNET_GRPC_ADDR", "127.0.0.1:0"),
    ("SIGNET_HTTP_ADDR", "127.0.0.1:0"),
    ("SIGNET_OPERATIONS_ADDR", "127.0.0.1:0"),
    ("SIGNET_ARGON2_MEMORY_KIB", "64"),
    ("SIGNET_ARGON2_ITERATIONS", "1"),
    ("SIGNET_ARGON2_BELOW_OWASP", "on"),
    ("SIGNET_HASH_THREADS", "2"),
];

/// A directory that the program is run in; it goes with the test. The data are where they are by default (./signet-data), or in
/// a database of the test's own.
pub(crate) struct Place {
    dir: TempDir,
    database: Option<TestDatabase>,
}

impl Place {
    /// With the embedded database.
    pub(crate) fn new() -> Self {
        Self { dir: TempDir::new().unwrap(), database: None }
    }

    /// With a database of the kind that the tests are to be run with.
    pub(crate) async fn on_database() -> Self {
        Self { database: TestDatabase::new().await, ..Self::new() }
    }

    /// The same, with the schema: most commands want one to be there.
    pub(crate) async fn migrated() -> Self {
        let place = Self::on_database().await;
        place.run(&["migrate", "up"]).await.succeeded();
        place
    }

    /// With the embedded database, and its schema.
    pub(crate) async fn embedded() -> Self {
        let place = Self::new();
        place.run(&["migrate", "up"]).await.succeeded();
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

    /// `signet` with `args`, ready to be run here.
    pub(crate) fn signet(&self, args: &[&str]) -> Invocation {
        let mut command = Command::new(env!("CARGO_BIN_EXE_signet"));
        // What whoever runs the tests has set is not what they are about.
        for (name, _) in std::env::vars_os() {
            if name == "COLUMNS" || name.to_string_lossy().starts_with("SIGNET_") {
                command.env_remove(name);
            }
        }
        command.args(args).envs(ENVIRONMENT).current_dir(self.dir.path());
        if let Some(database) = &self.database {
            command.env("SIGNET_DATABASE_URL", database.url()).env("SIGNET_MASTER_KEY", database::MASTER_KEY);
            command.env("SIGNET_AUTO_MIGRATE", "on");
            // A test is not about how busy the machine is with the other tests.
            command
                .env("SIGNET_DATABASE_ACQUIRE_TIMEOUT", "20s")
                .env("SIGNET_DATABASE_STATEMENT_TIMEOUT", "20s");
        }
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        Invocation { command, stdin: None }
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

/// The program and its arguments, not yet run.
pub(crate) struct Invocation {
    command: Command,
    stdin: Option<String>,
}

impl Invocation {
    pub(crate) fn env(mut self, name: &str, value: &str) -> Self {
        self.command.env(name, value);
        self
    }

    pub(crate) fn without_env(mut self, name: &str) -> Self {
        self.command.env_remove(name);
        self
    }

    pub(crate) fn stdin(mut self, text: &str) -> Self {
        self.command.stdin(Stdio::piped());
        self.stdin = Some(text.to_owned());
        self
    }

    /// Run by another program, which is given its path and its arguments.
    pub(crate) fn through(mut self, program: &[&str]) -> Self {
        let mut command = Command::new(program[0]);
        command.args(&program[1..]).arg(self.command.get_program()).args(self.command.get_args());
        for (name, value) in self.command.get_envs() {
            match value {
                Some(value) => command.env(name, value),
                None => command.env_remove(name),
            };
        }
        command.current_dir(self.command.get_current_dir().expect("the place"));
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        self.command = command;
        self
    }

    /// Sends its answer to `to`, where the test does not read it.
    pub(crate) fn stdout(mut self, to: impl Into<Stdio>) -> Self {
        self.command.stdout(to);
        self
    }

    /// Sends what it complains of to `to`, where the test does not read it.
    pub(crate) fn stderr(mut self, to: impl Into<Stdio>) -> Self {
        self.command.stderr(to);
        self
    }

    /// Types [`crate::client::PASSWORD`].
    pub(crate) fn password(self) -> Self {
        self.stdin(&format!("{}\n", crate::client::PASSWORD))
    }

    pub(crate) fn start(mut self) -> Process {
        let mut child = self.command.spawn().unwrap();
        if let (Some(text), Some(mut stdin)) = (self.stdin, child.stdin.take()) {
            // A program that ends without reading has said why.
            let _ = stdin.write_all(text.as_bytes());
        }
        let (sender, lines) = mpsc::unbounded_channel();
        let stdout = read(child.stdout.take(), sender);
        let (sender, error_lines) = mpsc::unbounded_channel();
        let stderr = read(child.stderr.take(), sender);
        Process { child, lines, error_lines, stdout, stderr }
    }

    /// Runs it to its end.
    pub(crate) async fn run(self) -> Finished {
        self.start().finish().await
    }

    /// Starts the service, and waits until it serves.
    pub(crate) async fn serve(mut self) -> Service {
        self.command.arg("--json");
        self.start().serving().await
    }
}

/// Reads all of `stream`, and tells its lines as they come.
fn read(
    stream: Option<impl Read + Send + 'static>,
    lines: mpsc::UnboundedSender<String>,
) -> JoinHandle<String> {
    tokio::task::spawn_blocking(move || {
        let mut all = String::new();
        for line in stream.into_iter().flat_map(|stream| BufReader::new(stream).lines()).map_while(Result::ok)
        {
            all.push_str(&line);
            all.push('\n');
            let _ = lines.send(line);
        }
        all
    })
}

/// The program, running; it ends with the test.
pub(crate) struct Process {
    child: Child,
    lines: mpsc::UnboundedReceiver<String>,
    error_lines: mpsc::UnboundedReceiver<String>,
    stdout: JoinHandle<String>,
    stderr: JoinHandle<String>,
}

impl Process {
    /// The next line of its standard output; none once it has ended.
    pub(crate) async fn line(&mut self) -> Option<String> {
        timeout(PATIENCE, self.lines.recv()).await.expect("a line, or the end, in time")
    }

    /// Waits for a line on its standard error that contains `text`.
    pub(crate) async fn error_line_with(&mut self, text: &str) {
        let telling = async { while !self.error_lines.recv().await.expect("it goes on").contains(text) {} };
        timeout(PATIENCE, telling).await.unwrap_or_else(|_| panic!("nothing is said of {text}"));
    }

    /// Waits until it serves: it was started with `--json`.
    pub(crate) async fn serving(mut self) -> Service {
        let Some(line) = self.line().await else {
            panic!("the service did not start: {:?}", self.finish().await);
        };
        Service { started: serde_json::from_str(&line).unwrap(), process: self }
    }

    /// Its id in the system.
    pub(crate) fn id(&self) -> u32 {
        self.child.id()
    }

    /// Sends it the signal `name`: TERM, INT.
    pub(crate) fn signal(&self, name: &str) {
        let kill = format!("kill -s {name} {}", self.id());
        assert!(Command::new("sh").args(["-c", &kill]).status().unwrap().success());
    }

    /// Whether it has ended: it says no more.
    pub(crate) fn has_ended(&self) -> bool {
        self.stdout.is_finished()
    }

    /// Waits until it has ended.
    pub(crate) async fn finish(mut self) -> Finished {
        let ended = async { ((&mut self.stdout).await.unwrap(), (&mut self.stderr).await.unwrap()) };
        let (stdout, stderr) = timeout(PATIENCE, ended).await.expect("the process ends in time");
        Finished { code: self.child.wait().unwrap().code(), stdout, stderr }
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// What the program said, and its exit code (none if a signal ended it).
#[derive(Debug)]
pub(crate) struct Finished {
    pub(crate) code: Option<i32>,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

impl Finished {
    /// Asserts success, and that it complained of nothing.
    #[track_caller]
    pub(crate) fn succeeded(self) -> Self {
        assert_eq!(self.code, Some(0), "{self:?}");
        self
    }

    /// Asserts failure with `code`: nothing on standard output, and one line on standard error, which is returned without
    /// the program's name.
    #[track_caller]
    pub(crate) fn failed(&self, code: i32) -> &str {
        assert_eq!((self.code, self.stdout.as_str()), (Some(code), ""), "{self:?}");
        // A secret among the arguments is warned of, whatever comes of them.
        let is_warning = |line: &&str| line.contains("is on the command line, where every user");
        let rest = self
            .stderr
            .find("signet: ")
            .filter(|at| self.stderr[..*at].lines().all(|line| is_warning(&line)));
        let sentence = rest.and_then(|at| self.stderr[at + "signet: ".len()..].strip_suffix('\n'));
        let sentence = sentence.unwrap_or_else(|| panic!("no sentence: {self:?}"));
        assert!(!sentence.is_empty() && !sentence.contains('\n'), "one sentence: {self:?}");
        sentence
    }

    /// Its answer as one JSON object.
    #[track_caller]
    pub(crate) fn object(&self) -> Value {
        let mut objects = self.objects();
        assert_eq!(objects.len(), 1, "{self:?}");
        objects.remove(0)
    }

    /// Its answer as JSON objects, one a line.
    #[track_caller]
    pub(crate) fn objects(&self) -> Vec<Value> {
        let parse = |line| serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}"));
        self.stdout.lines().map(parse).collect()
    }
}

/// The service, running and listening.
pub(crate) struct Service {
    /// The line that it printed.
    pub(crate) started: Value,
    process: Process,
}

impl Service {
    pub(crate) fn grpc_addr(&self) -> SocketAddr {
        self.started["grpc_addr"].as_str().unwrap().parse().unwrap()
    }

    pub(crate) fn http_addr(&self) -> SocketAddr {
        self.started["http_addr"].as_str().unwrap().parse().unwrap()
    }

    pub(crate) fn operations_addr(&self) -> SocketAddr {
        self.started["operations_addr"].as_str().unwrap().parse().unwrap()
    }

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

    /// Sends it the signal `name`: TERM, INT.
    pub(crate) fn signal(&self, name: &str) {
        self.process.signal(name);
    }

    /// Ends it by SIGKILL: no handler runs, nothing is flushed.
    pub(crate) async fn kill(mut self) {
        self.process.child.kill().unwrap();
        self.process.finish().await;
    }

    /// Waits for a line in its log that contains `text`.
    pub(crate) async fn logs(&mut self, text: &str) {
        self.process.error_line_with(text).await;
    }

    /// The id of its process.
    pub(crate) fn id(&self) -> u32 {
        self.process.child.id()
    }

    /// Waits until it has ended.
    pub(crate) async fn finish(self) -> Finished {
        self.process.finish().await
    }

    /// Stops it in an orderly way.
    pub(crate) async fn stop(self) -> Finished {
        self.signal("TERM");
        self.finish().await.succeeded()
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
