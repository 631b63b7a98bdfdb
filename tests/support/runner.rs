//! Owns a program that a test runs: its environment and its ports, what it says, and how it ends.
//!
//! No wait is longer than [`PATIENCE`]. Tests that are `async` await; the others, and the benchmarks, call what ends in `_now`.

use std::{
    env,
    ffi::OsStr,
    io::{BufRead, BufReader, Read, Write},
    net::SocketAddr,
    path::Path,
    pin::pin,
    process::{Child, Command, Stdio},
    sync::{Arc, Mutex},
    task::{Context, Poll, Wake, Waker},
    thread::{self, JoinHandle, Thread},
    time::Duration,
};

use serde_json::Value;
use tokio::{
    sync::mpsc::{self, UnboundedReceiver},
    time::Instant,
};

/// How long a program may take for anything at all, on a machine that is busy with other things. Passing it is a failure, never a pace.
pub(crate) const PATIENCE: Duration = Duration::from_mins(1);

/// A test's own flags win over these. All processes of a test are one issuer, also after a restart: by itself it follows the port.
const FREE_PORTS: [(&str, &str); 5] = [
    ("SIGNET_ISSUER", "http://127.0.0.1:8080"),
    ("SIGNET_GRPC_ADDR", "127.0.0.1:0"),
    ("SIGNET_HTTP_ADDR", "127.0.0.1:0"),
    ("SIGNET_OPERATIONS_ADDR", "127.0.0.1:0"),
    ("SIGNET_ADMIN_ADDR", "127.0.0.1:0"),
];

/// Hashes that cost next to nothing.
const CHEAP_HASHES: [(&str, &str); 3] = [
    ("SIGNET_ARGON2_MEMORY_KIB", "64"),
    ("SIGNET_ARGON2_ITERATIONS", "1"),
    ("SIGNET_ARGON2_BELOW_OWASP", "on"),
];

/// A program and its arguments, not yet run.
pub(crate) struct Invocation {
    command: Command,
    stdin: Option<String>,
    patience: Duration,
}

impl Invocation {
    /// `signet`, on free ports.
    pub(crate) fn signet() -> Self {
        Self::of(env!("CARGO_BIN_EXE_signet"))
            .without_settings("SIGNET_")
            .without_env("COLUMNS")
            .on_free_ports()
    }

    /// Another program.
    pub(crate) fn of(program: impl AsRef<OsStr>) -> Self {
        Self::new(Command::new(program))
    }

    fn new(mut command: Command) -> Self {
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        Self { command, stdin: None, patience: PATIENCE }
    }

    /// Without the variables that begin with `prefix`: what whoever runs the tests has set is not what they are about.
    pub(crate) fn without_settings(self, prefix: &str) -> Self {
        let names = env::vars_os().filter_map(|(name, _)| name.into_string().ok());
        names.filter(|name| name.starts_with(prefix)).fold(self, |this, name| this.without_env(&name))
    }

    pub(crate) fn on_free_ports(self) -> Self {
        self.envs(FREE_PORTS)
    }

    /// Waits longer than [`PATIENCE`] for what it says, and for its end.
    pub(crate) const fn with_patience(mut self, patience: Duration) -> Self {
        self.patience = patience;
        self
    }

    pub(crate) fn with_cheap_hashes(self) -> Self {
        self.envs(CHEAP_HASHES)
    }

    pub(crate) fn args(mut self, args: impl IntoIterator<Item = impl AsRef<OsStr>>) -> Self {
        self.command.args(args);
        self
    }

    pub(crate) fn env(self, name: &str, value: &str) -> Self {
        self.envs([(name, value)])
    }

    pub(crate) fn envs<'a>(mut self, envs: impl IntoIterator<Item = (&'a str, &'a str)>) -> Self {
        self.command.envs(envs);
        self
    }

    pub(crate) fn without_env(mut self, name: &str) -> Self {
        self.command.env_remove(name);
        self
    }

    /// Run in `directory`.
    pub(crate) fn within(mut self, directory: &Path) -> Self {
        self.command.current_dir(directory);
        self
    }

    pub(crate) fn stdin(mut self, text: &str) -> Self {
        self.command.stdin(Stdio::piped());
        self.stdin = Some(text.to_owned());
        self
    }

    /// Run by another program, which is given its path and its arguments.
    pub(crate) fn through(self, program: &[&str]) -> Self {
        let mut command = Command::new(program[0]);
        command.args(&program[1..]).arg(self.command.get_program()).args(self.command.get_args());
        for (name, value) in self.command.get_envs() {
            match value {
                Some(value) => command.env(name, value),
                None => command.env_remove(name),
            };
        }
        command.current_dir(self.command.get_current_dir().expect("the place"));
        Self { patience: self.patience, ..Self::new(command) }
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

    pub(crate) fn start(mut self) -> Process {
        let spawned = self.command.spawn();
        let mut child =
            spawned.unwrap_or_else(|error| panic!("{}: {error}", self.command.get_program().display()));
        if let (Some(text), Some(mut stdin)) = (self.stdin, child.stdin.take()) {
            // A program that ends without reading has said why.
            let _ = stdin.write_all(text.as_bytes());
        }
        let (stdout, stderr) = (Output::of(child.stdout.take()), Output::of(child.stderr.take()));
        Process { child, stdout, stderr, patience: self.patience }
    }

    /// Runs it to its end.
    pub(crate) async fn run(self) -> Finished {
        self.start().finish().await
    }

    pub(crate) fn run_now(self) -> Finished {
        self.start().finish_now()
    }

    /// Starts the service, and waits until it serves.
    pub(crate) async fn serve(self) -> Service {
        self.args(["--json"]).start().serving().await
    }

    pub(crate) fn serve_now(self) -> Service {
        let mut process = self.args(["--json"]).start();
        let line = process.line_now();
        process.told(line.as_deref())
    }
}

/// One of the streams that a program writes to. It is read all the time, so that the program never waits for a reader.
#[derive(Debug)]
struct Output {
    lines: UnboundedReceiver<String>,
    all: Arc<Mutex<String>>,
    reader: JoinHandle<()>,
}

impl Output {
    fn of(stream: Option<impl Read + Send + 'static>) -> Self {
        let (sender, lines) = mpsc::unbounded_channel();
        let all = Arc::new(Mutex::new(String::new()));
        let kept = Arc::clone(&all);
        let reader = thread::spawn(move || {
            let stream = stream.into_iter().flat_map(|stream| BufReader::new(stream).lines());
            for line in stream.map_while(Result::ok) {
                let mut kept = kept.lock().unwrap();
                kept.push_str(&line);
                kept.push('\n');
                let _ = sender.send(line);
            }
        });
        Self { lines, all, reader }
    }

    fn so_far(&self) -> String {
        self.all.lock().unwrap().clone()
    }

    async fn whole(&mut self) -> String {
        while self.lines.recv().await.is_some() {}
        self.so_far()
    }
}

/// A program that runs; it ends with the test.
#[derive(Debug)]
pub(crate) struct Process {
    child: Child,
    stdout: Output,
    stderr: Output,
    patience: Duration,
}

impl Process {
    /// The next line of its standard output; none once it has ended.
    pub(crate) async fn line(&mut self) -> Option<String> {
        in_time(self.patience, self.stdout.lines.recv()).await
    }

    pub(crate) fn line_now(&mut self) -> Option<String> {
        now(self.patience, self.stdout.lines.recv())
    }

    /// Waits for a line on its standard error that contains `text`.
    pub(crate) async fn error_line_with(&mut self, text: &str) {
        let lines = &mut self.stderr.lines;
        let telling = async { while !lines.recv().await.expect("it goes on").contains(text) {} };
        tokio::time::timeout(self.patience, telling)
            .await
            .unwrap_or_else(|_| panic!("nothing is said of {text}"));
    }

    /// What it has written to standard error so far.
    pub(crate) fn log(&self) -> String {
        self.stderr.so_far()
    }

    /// Waits until it serves: it was started with `--json`.
    pub(crate) async fn serving(mut self) -> Service {
        let line = self.line().await;
        self.told(line.as_deref())
    }

    fn told(self, line: Option<&str>) -> Service {
        let started = line.and_then(|line| serde_json::from_str(line).ok());
        let Some(started) = started else {
            panic!("the service did not start; it said {line:?}, and:\n{}", self.log());
        };
        Service { started, process: self }
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
        self.stdout.reader.is_finished()
    }

    /// Waits until it has ended.
    pub(crate) async fn finish(mut self) -> Finished {
        let said = in_time(self.patience, self.whole()).await;
        self.finished(said)
    }

    pub(crate) fn finish_now(&mut self) -> Finished {
        let said = now(self.patience, self.whole());
        self.finished(said)
    }

    /// Ends it by SIGKILL: no handler runs, nothing is flushed.
    pub(crate) fn kill_now(&mut self) {
        self.child.kill().unwrap();
        self.finish_now();
    }

    /// Stops it in an orderly way.
    pub(crate) fn stop_now(&mut self) -> Finished {
        self.signal("TERM");
        self.finish_now()
    }

    async fn whole(&mut self) -> (String, String) {
        (self.stdout.whole().await, self.stderr.whole().await)
    }

    fn finished(&mut self, (stdout, stderr): (String, String)) -> Finished {
        Finished { code: self.child.wait().unwrap().code(), stdout, stderr }
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // It may have ended already; then there is nothing to end.
        let _ = self.child.kill();
        let _ = self.child.wait();
        if thread::panicking() {
            eprintln!("what process {} had to say:\n{}", self.id(), self.log());
        }
    }
}

/// What a program said, and its exit code (none if a signal ended it).
#[derive(Debug)]
pub(crate) struct Finished {
    pub(crate) code: Option<i32>,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

impl Finished {
    /// Asserts success.
    #[track_caller]
    pub(crate) fn succeeded(self) -> Self {
        assert_eq!(self.code, Some(0), "{self:?}");
        self
    }

    /// Asserts failure with `code`: nothing on standard output, and one line on standard error, which is returned without
    /// the program's name, or as the JSON that it is.
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
        let json = || self.stderr.strip_suffix('\n').filter(|line| line.starts_with("{\"error\":"));
        let sentence = sentence.or_else(json).unwrap_or_else(|| panic!("no sentence: {self:?}"));
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
#[derive(Debug)]
pub(crate) struct Service {
    /// The line that it printed.
    pub(crate) started: Value,
    pub(crate) process: Process,
}

impl Service {
    /// Where it listens by the member `name` of what it printed; none if it does not.
    pub(crate) fn addr(&self, name: &str) -> Option<SocketAddr> {
        self.started[name].as_str()?.parse().ok()
    }

    pub(crate) fn grpc_addr(&self) -> SocketAddr {
        self.addr("grpc_addr").unwrap()
    }

    pub(crate) fn http_addr(&self) -> SocketAddr {
        self.addr("http_addr").unwrap()
    }

    pub(crate) fn admin_addr(&self) -> SocketAddr {
        self.addr("admin_addr").unwrap()
    }

    pub(crate) fn operations_addr(&self) -> SocketAddr {
        self.addr("operations_addr").unwrap()
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
        self.process.id()
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

/// What `future` gives within `patience`.
async fn in_time<T>(patience: Duration, future: impl Future<Output = T>) -> T {
    tokio::time::timeout(patience, future).await.expect("the program answers, or ends, in time")
}

/// The same without a runtime, and inside one that may block.
fn now<T>(patience: Duration, future: impl Future<Output = T>) -> T {
    struct Unpark(Thread);
    impl Wake for Unpark {
        fn wake(self: Arc<Self>) {
            self.0.unpark();
        }
    }
    let waker = Waker::from(Arc::new(Unpark(thread::current())));
    let (mut future, until) = (pin!(future), Instant::now() + patience);
    loop {
        if let Poll::Ready(output) = future.as_mut().poll(&mut Context::from_waker(&waker)) {
            return output;
        }
        let left = until.checked_duration_since(Instant::now());
        thread::park_timeout(left.expect("the program answers, or ends, in time"));
    }
}
