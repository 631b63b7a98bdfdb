//! Owns the server processes: starting them, and reading what they take.

use std::{
    env, fs,
    io::{BufRead, BufReader},
    net::SocketAddr,
    path::Path,
    process::{Child, Command, Stdio},
    time::Duration,
};

use prost::Message;
use signet::proto::{
    envoy::service::auth::v3::CheckResponse,
    identity::v1::{GetMeResponse, IntrospectTokenResponse},
};

use crate::{Result, client::Service};

/// The unit of /proc/PID/stat, the same on every Linux: `USER_HZ` is 100.
const TICK: Duration = Duration::from_millis(10);

/// A server that can be started, again and again.
#[derive(Clone, Debug)]
pub(crate) struct Program {
    path: std::path::PathBuf,
    arguments: Vec<String>,
}

/// A server that runs. It is killed when it goes out of scope.
#[derive(Debug)]
pub(crate) struct Server {
    pub(crate) grpc_addr: SocketAddr,
    /// None if it serves gRPC alone.
    pub(crate) http_addr: Option<SocketAddr>,
    child: Child,
}

impl Program {
    /// Signet on `data_dir` and free ports, with its default settings except `settings`.
    pub(crate) fn signet(data_dir: &Path, settings: &[&str]) -> Self {
        let fixed = ["--json", "--grpc-addr=127.0.0.1:0", "--http-addr=127.0.0.1:0", "--log-level=warn"];
        let data_dir = format!("--data-dir={}", data_dir.display());
        let arguments =
            fixed.iter().chain(settings).map(ToString::to_string).chain([data_dir, "serve".to_owned()]);
        Self { path: env!("CARGO_BIN_EXE_signet").into(), arguments: arguments.collect() }
    }

    /// The bare server: this very program, asked to serve `reply`, `told` and `allowed`.
    pub(crate) fn bare(
        reply: &GetMeResponse,
        told: &IntrospectTokenResponse,
        allowed: &CheckResponse,
    ) -> Result<Self> {
        let reply = format!("--bare-reply={}", hex::encode(reply.encode_to_vec()));
        let told = format!("--bare-introspection={}", hex::encode(told.encode_to_vec()));
        let allowed = format!("--bare-allowed={}", hex::encode(allowed.encode_to_vec()));
        Ok(Self { path: env::current_exe()?, arguments: vec![reply, told, allowed] })
    }

    /// The same with one raw signature check a `GetMe`.
    pub(crate) fn checking(mut self) -> Self {
        self.arguments.push("--bare-check".to_owned());
        self
    }

    /// The same with one commit to a file in `folder` an `IssueToken`.
    pub(crate) fn committing(mut self, folder: &Path) -> Self {
        self.arguments.push(format!("--bare-commit={}", folder.display()));
        self
    }

    /// Registers a client that may introspect, as an operator does beside the running server.
    pub(crate) fn service(&self) -> Result<Service> {
        let command = ["clients", "create", "benchmark", "--scope=introspect"];
        let settings = self.arguments.iter().filter(|argument| *argument != "serve");
        let output = Command::new(&self.path).args(settings).args(command).output()?;
        let made: serde_json::Value = serde_json::from_slice(&output.stdout)?;
        let text = |member: &str| made[member].as_str().map(str::to_owned).ok_or("the client was not made");
        Ok(Service { id: text("id")?, secret: text("secret")? })
    }

    /// Starts it, and waits for the line on standard output that says where it serves.
    pub(crate) fn start(&self) -> Result<Server> {
        let mut command = Command::new(&self.path);
        // On standard error stands the audit log: a line for each login.
        let mut child = command.args(&self.arguments).stdout(Stdio::piped()).stderr(Stdio::null()).spawn()?;
        let mut line = String::new();
        if let Some(output) = child.stdout.take() {
            BufReader::new(output).read_line(&mut line)?;
        }
        let started: Option<serde_json::Value> = serde_json::from_str(&line).ok();
        let addr = |member| started.as_ref().and_then(|started| started.get(member)?.as_str()?.parse().ok());
        let Some(grpc_addr) = addr("grpc_addr") else {
            let _ = child.kill();
            return Err(format!("{} did not say where it serves", self.path.display()).into());
        };
        Ok(Server { grpc_addr, http_addr: addr("http_addr"), child })
    }
}

impl Server {
    /// Another program, `child`, that takes gRPC at `grpc_addr`.
    pub(crate) const fn of(child: Child, grpc_addr: SocketAddr) -> Self {
        Self { grpc_addr, http_addr: None, child }
    }

    /// The CPU time that the process has taken, in user and kernel mode.
    pub(crate) fn cpu(&self) -> Result<Duration> {
        let stat = fs::read_to_string(format!("/proc/{}/stat", self.child.id()))?;
        // The second field is the program's name in parentheses, and may hold spaces: count from behind it.
        let fields = stat.rsplit_once(") ").map_or("", |(_, fields)| fields);
        let times = fields.split(' ').skip(11).take(2).map(str::parse::<u32>);
        let ticks = times.sum::<std::result::Result<u32, _>>()?;
        Ok(TICK * ticks)
    }

    /// The memory that the process holds now.
    pub(crate) fn resident_mb(&self) -> Result<f64> {
        self.memory_mb("VmRSS:")
    }

    /// The most memory that the process has held.
    pub(crate) fn peak_mb(&self) -> Result<f64> {
        self.memory_mb("VmHWM:")
    }

    fn memory_mb(&self, field: &str) -> Result<f64> {
        let status = fs::read_to_string(format!("/proc/{}/status", self.child.id()))?;
        let line = status.lines().find_map(|line| line.strip_prefix(field));
        let kib: f64 =
            line.ok_or("no such field in /proc/PID/status")?.trim().trim_end_matches(" kB").parse()?;
        Ok(kib * 1_024.0 / 1e6)
    }

    /// Asks the process to stop, and waits until it has.
    pub(crate) fn stop(mut self) -> Result<()> {
        Command::new("sh").arg("-c").arg(format!("kill -TERM {}", self.child.id())).status()?;
        self.child.wait()?;
        Ok(())
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // After `stop` there is nothing left to kill.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
