//! Owns a running Envoy.

use std::{
    fs::{self, File},
    net::SocketAddr,
    path::PathBuf,
    process::{Child, Command, Stdio},
    time::Duration,
};

use serde_json::Value;
use tempfile::TempDir;
use tokio::net::TcpStream;

use crate::{
    requests::{Request, eventually},
    support::program::find,
};

/// A sidecar that ends with the test: Envoy gets SIGTERM when the thread that started it ends.
pub(crate) struct Envoy {
    process: Child,
    directory: TempDir,
    /// Where it takes requests.
    pub(crate) addr: SocketAddr,
}

impl Envoy {
    /// Runs `examples/deploy/envoy/NAME` with other ports than those that stand in it: `ports` are pairs of what stands there and what
    /// is to stand there; and `changes` made to the text.
    pub(crate) async fn start(name: &str, ports: &[(u16, u16)], changes: &[(&str, &str)]) -> Self {
        let example = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("examples/deploy/envoy").join(name);
        let mut config = fs::read_to_string(example).unwrap();
        let mut change = |from: &str, to: &str| {
            assert!(config.contains(from), "{name} does not say {from:?}");
            config = config.replace(from, to);
        };
        for (from, to) in [&[(9901, 0), (10000, 0)], ports].concat() {
            change(&format!("port_value: {from}}}"), &format!("port_value: {to}}}"));
        }
        for (from, to) in changes {
            change(from, to);
        }

        let directory = TempDir::new().unwrap();
        let file = |name| directory.path().join(name);
        fs::write(file("envoy.yaml"), config).unwrap();
        let process = Command::new(program())
            .arg("-c")
            .arg(file("envoy.yaml"))
            .arg("--admin-address-path")
            .arg(file("admin"))
            .args(["--disable-hot-restart", "--concurrency", "1", "--log-level", "warning"])
            .args(["--file-flush-interval-msec", "100"])
            .stdin(Stdio::null())
            .stdout(File::create(file("stdout")).unwrap())
            .stderr(File::create(file("log")).unwrap())
            .spawn()
            .unwrap();
        let mut envoy = Self { process, directory, addr: SocketAddr::from(([127, 0, 0, 1], 0)) };
        let started = async || {
            // With a configuration that it does not take it ends at once.
            let ended = envoy.process.try_wait().unwrap();
            assert!(ended.is_none(), "Envoy does not start: {ended:?}");
            envoy.listener().await
        };
        envoy.addr = eventually("Envoy takes requests", started).await;
        envoy
    }

    /// The complete lines of the access log that the configuration writes to standard output, in JSON.
    pub(crate) fn access_log(&self) -> Vec<Value> {
        let written = fs::read_to_string(self.directory.path().join("stdout")).unwrap();
        let complete = written.split_inclusive('\n').filter(|line| line.ends_with('\n'));
        complete.map(|line| serde_json::from_str(line).unwrap()).collect()
    }

    /// How many endpoints of `cluster` Envoy takes for healthy.
    pub(crate) async fn healthy(&self, cluster: &str) -> usize {
        self.gauge(&format!("cluster.{cluster}.membership_healthy")).await
    }

    /// The value of the counter or gauge `name`.
    pub(crate) async fn gauge(&self, name: &str) -> usize {
        let stats = self.admin(&format!("/stats?format=json&filter=^{name}$")).await.expect("Envoy answers");
        let value = stats["stats"][0]["value"].as_u64().unwrap_or_else(|| panic!("{name}: {stats}"));
        usize::try_from(value).unwrap()
    }

    /// What Envoy's administration says at `path`, once it says something.
    async fn admin(&self, path: &str) -> Option<Value> {
        let admin = fs::read_to_string(self.directory.path().join("admin")).ok()?.parse().ok()?;
        serde_json::from_str(&Request::get(path).send(admin).await.ok()?.body).ok()
    }

    /// Where Envoy takes requests, once it does. It tells an address as soon as that is bound, and listens there a little later.
    async fn listener(&self) -> Option<SocketAddr> {
        let listeners = self.admin("/listeners?format=json").await?;
        let address = &listeners["listener_statuses"][0]["local_address"]["socket_address"];
        let port = address["port_value"].as_u64()?;
        let addr = SocketAddr::from(([127, 0, 0, 1], u16::try_from(port).ok()?));
        TcpStream::connect(addr).await.ok().map(|_| addr)
    }
}

impl Drop for Envoy {
    fn drop(&mut self) {
        // It may have ended already; then there is nothing to end.
        let _ = self.process.kill();
        let _ = self.process.wait();
        if std::thread::panicking() {
            let log = fs::read_to_string(self.directory.path().join("log")).unwrap_or_default();
            eprintln!("Envoy's log:\n{log}");
        }
    }
}

/// Envoy itself.
pub(crate) fn program() -> PathBuf {
    find("SIGNET_TEST_ENVOY", "envoy")
}

/// How often it is looked whether something has come true.
pub(crate) const PAUSE: Duration = Duration::from_millis(20);
