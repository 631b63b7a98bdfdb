//! Owns the cluster that `scripts/databases` has started, and what happens to its nodes.

use std::{env, path::PathBuf, process::Command, thread};

use tokio::task::spawn_blocking;

/// The cluster behind `HAProxy`.
pub(crate) struct Cluster {
    control: PathBuf,
}

impl Cluster {
    pub(crate) fn new() -> Self {
        let control = env::var_os("SIGNET_TEST_DATABASE_CONTROL");
        let control = control.expect("run by `scripts/databases postgres-ha` or `scripts/databases galera`");
        Self { control: control.into() }
    }

    async fn act(&self, action: &[&str]) -> String {
        let mut command = Command::new(&self.control);
        command.args(action);
        let output = spawn_blocking(move || command.output()).await.unwrap().unwrap();
        let stderr = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{action:?}: {stderr}");
        String::from_utf8(output.stdout).unwrap().trim_end().to_owned()
    }

    /// What the node `node` answers to `statement`; 0 is `HAProxy`.
    pub(crate) async fn sql(&self, node: usize, statement: &str) -> String {
        self.act(&["sql", &node.to_string(), statement]).await
    }

    /// The address of the node `node`; 0 is `HAProxy`.
    pub(crate) async fn addr(&self, node: usize) -> String {
        let url = self.act(&["url", &node.to_string()]).await;
        let (_, rest) = url.split_once('@').unwrap();
        rest.split_once('/').unwrap().0.to_owned()
    }

    /// Ends a node as a crash does.
    pub(crate) async fn kill(&self, node: usize) {
        self.act(&["kill", &node.to_string()]).await;
    }

    /// Starts a node that was killed, as what it was.
    pub(crate) async fn start(&self, node: usize) {
        self.act(&["start", &node.to_string()]).await;
    }

    /// Makes the standby the primary.
    pub(crate) async fn promote(&self, node: usize) {
        self.act(&["promote", &node.to_string()]).await;
    }

    /// Makes a killed node anew, as the synchronous standby of the primary.
    pub(crate) async fn rejoin(&self, node: usize) {
        self.act(&["rejoin", &node.to_string()]).await;
    }

    /// Tells a node that has lost the majority that it is the majority.
    pub(crate) async fn bootstrap(&self, node: usize) {
        self.act(&["bootstrap", &node.to_string()]).await;
    }
}

/// What the nodes have to say is seen beside the failure of a test: they are gone when it is read.
impl Drop for Cluster {
    fn drop(&mut self) {
        if thread::panicking()
            && let Ok(output) = Command::new(&self.control).arg("tell").output()
        {
            println!("what the cluster had to say:\n{}", String::from_utf8_lossy(&output.stdout));
        }
    }
}

/// A file of the certificates that the nodes have, or do not have.
pub(crate) fn certificate(name: &str) -> String {
    let directory = env::var("SIGNET_TEST_DATABASE_TLS").expect("as SIGNET_TEST_DATABASE_CONTROL");
    format!("{directory}/{name}")
}
