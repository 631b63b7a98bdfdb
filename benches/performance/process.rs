//! Owns the server processes: starting them, and reading what they take.

use std::{env, fs, net::SocketAddr, path::Path, process::Stdio, time::Duration};

use prost::Message;
use signet::proto::{
    envoy::service::auth::v3::CheckResponse,
    identity::v1::{GetMeResponse, IntrospectTokenResponse},
};

use crate::{
    Result,
    client::Service,
    runner::{Invocation, Process},
};

/// The unit of /proc/PID/stat, the same on every Linux: `USER_HZ` is 100.
const TICK: Duration = Duration::from_millis(10);

/// How long a command may take: some import millions of users.
const PATIENCE: Duration = Duration::from_hours(4);

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
    process: Process,
}

impl Program {
    /// Signet on `data_dir` and free ports, with its default settings except `settings`.
    pub(crate) fn signet(data_dir: &Path, settings: &[&str]) -> Self {
        let data_dir = format!("--data-dir={}", data_dir.display());
        Self::signet_with(settings.iter().copied().chain([&*data_dir]))
    }

    /// Signet on free ports, with its default settings except `settings`.
    pub(crate) fn signet_with<'a>(settings: impl IntoIterator<Item = &'a str>) -> Self {
        let arguments = ["--json", "--log-level=warn"].into_iter().chain(settings).chain(["serve"]);
        Self { path: env!("CARGO_BIN_EXE_signet").into(), arguments: arguments.map(str::to_owned).collect() }
    }

    /// The same of another build, whose program is at `binary`.
    pub(crate) fn built_as(mut self, binary: &Path) -> Self {
        binary.clone_into(&mut self.path);
        self
    }

    fn invocation(&self) -> Invocation {
        Invocation::of(&self.path).without_settings("SIGNET_").on_free_ports().with_patience(PATIENCE)
    }

    /// Runs the command `command` of the same program with the same settings, and returns its answer.
    pub(crate) fn run(&self, command: &[&str]) -> Result<serde_json::Value> {
        let settings = self.arguments.iter().filter(|argument| *argument != "serve");
        let finished = self.invocation().args(settings).args(command).run_now();
        if finished.code != Some(0) {
            return Err(format!("signet {}: {}", command.join(" "), finished.stderr.trim()).into());
        }
        Ok(serde_json::from_str(&finished.stdout)?)
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

    /// The same with one more `setting`.
    pub(crate) fn with(mut self, setting: &str) -> Self {
        self.arguments.push(setting.to_owned());
        self
    }

    /// Registers a client that may introspect, as an operator does beside the running server.
    pub(crate) fn service(&self) -> Result<Service> {
        let made = self.run(&["clients", "create", "benchmark", "--scope=introspect"])?;
        let text = |member: &str| made[member].as_str().map(str::to_owned).ok_or("the client was not made");
        Ok(Service { id: text("id")?, secret: text("secret")? })
    }

    /// Starts it, and waits for the line on standard output that says where it serves.
    pub(crate) fn start(&self) -> Result<Server> {
        // On standard error stands the audit log: a line for each login.
        let mut process = self.invocation().args(&self.arguments).stderr(Stdio::null()).start();
        let line = process.line_now().unwrap_or_default();
        let started: Option<serde_json::Value> = serde_json::from_str(&line).ok();
        let addr = |member| started.as_ref().and_then(|started| started.get(member)?.as_str()?.parse().ok());
        let Some(grpc_addr) = addr("grpc_addr") else {
            return Err(format!("{} did not say where it serves", self.path.display()).into());
        };
        Ok(Server { grpc_addr, http_addr: addr("http_addr"), process })
    }
}

impl Server {
    /// Another program, `process`, that takes gRPC at `grpc_addr`.
    pub(crate) const fn of(process: Process, grpc_addr: SocketAddr) -> Self {
        Self { grpc_addr, http_addr: None, process }
    }

    /// The CPU time that the process has taken, in user and kernel mode.
    pub(crate) fn cpu(&self) -> Result<Duration> {
        cpu_of(self.process.id())
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
        let status = fs::read_to_string(format!("/proc/{}/status", self.process.id()))?;
        let line = status.lines().find_map(|line| line.strip_prefix(field));
        let kib: f64 =
            line.ok_or("no such field in /proc/PID/status")?.trim().trim_end_matches(" kB").parse()?;
        Ok(kib * 1_024.0 / 1e6)
    }

    /// Asks the process to stop, and waits until it has.
    pub(crate) fn stop(mut self) {
        self.process.stop_now();
    }
}

/// What the system says of a process.
struct Stat {
    parent: u32,
    /// In user and kernel mode.
    cpu: Duration,
    /// That of its children that have ended.
    ended_children: Duration,
}

impl Stat {
    fn read(pid: u32) -> Result<Self> {
        let stat = fs::read_to_string(format!("/proc/{pid}/stat"))?;
        // The second field is the program's name in parentheses, and may hold spaces: count from behind it.
        let fields: Vec<_> = stat.rsplit_once(") ").map_or("", |(_, fields)| fields).split(' ').collect();
        let field = |index: usize| fields.get(index).map_or(Ok(0), |field| field.parse::<u32>());
        Ok(Self {
            parent: field(1)?,
            cpu: TICK * (field(11)? + field(12)?),
            ended_children: TICK * (field(13)? + field(14)?),
        })
    }
}

/// The CPU time that a process has taken, in user and kernel mode.
pub(crate) fn cpu_of(pid: u32) -> Result<Duration> {
    Ok(Stat::read(pid)?.cpu)
}

/// The CPU time that a process and its children have taken, also those that have ended.
pub(crate) fn cpu_of_family(pid: u32) -> Result<Duration> {
    let parent = Stat::read(pid)?;
    let mut cpu = parent.cpu + parent.ended_children;
    for entry in fs::read_dir("/proc")? {
        let name = entry?.file_name();
        let Some(other) = name.to_str().and_then(|name| name.parse().ok()) else { continue };
        // One that has ended meanwhile is its parent's next time.
        if let Some(child) = Stat::read(other).ok().filter(|child| child.parent == pid) {
            cpu += child.cpu;
        }
    }
    Ok(cpu)
}
