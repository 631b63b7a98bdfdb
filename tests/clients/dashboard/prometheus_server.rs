//! Owns a Prometheus that runs by the published configuration, on what a test serves.

use std::{
    fs,
    io::{Read, Write},
    net::{SocketAddr, TcpStream},
    path::Path,
};

use serde_json::Value;

use super::example;
use crate::{
    support::{
        pki::SERVER,
        ports::free_addr,
        runner::{Invocation, Process},
    },
    tools,
};

/// How often it looks: so often that a test need not wait.
const INTERVAL: &str = "200ms";

/// It ends with the test.
pub(super) struct Prometheus {
    addr: SocketAddr,
    #[expect(dead_code, reason = "held, not read")]
    process: Process,
}

impl Prometheus {
    /// Reads the Signet at the operations address `addr`, and the one with TLS at `with_tls`, whose authority is `ca.crt` in `directory`,
    /// where it keeps its data, too.
    pub(super) fn start(directory: &Path, addr: &str, with_tls: &str) -> Self {
        let published = fs::read_to_string(example("prometheus.yaml")).expect("a file of the repository");
        for (count, known) in [(1, "\"127.0.0.1:8089\""), (2, ": 15s"), (1, "[signet.rules.yaml]")] {
            assert_eq!(published.matches(known).count(), count, "{known} in {published}");
        }
        let config = published.replace("127.0.0.1:8089", addr).replace(": 15s", &format!(": {INTERVAL}"));
        // As the file says of TLS.
        let config = format!(
            "{config}\n  - job_name: signet-tls\n    scheme: https\n    tls_config: {{ ca_file: ca.crt, server_name: {SERVER} }}\n    \
             static_configs: [{{ targets: [\"{with_tls}\"] }}]\n"
        );
        fs::write(directory.join("prometheus.yaml"), config).expect("a file in a directory of the test");
        fs::copy(example("signet.rules.yaml"), directory.join("signet.rules.yaml")).expect("the same");
        let listens = free_addr();
        let process = Invocation::of(tools::prometheus())
            .within(directory)
            .args(["--config.file=prometheus.yaml", "--storage.tsdb.path=data", "--log.level=warn"])
            .args([format!("--web.listen-address={listens}")])
            .start();
        Self { addr: listens, process }
    }

    /// What it answers to an instant query: the values of the series. There are none if it is not ready yet.
    pub(super) fn values(&self, expression: &str) -> Vec<f64> {
        let answer = self.ask(&format!("/api/v1/query?query={}", encoded(expression)));
        let series = answer["result"].as_array().map_or(&[][..], Vec::as_slice);
        let value = |series: &Value| series["value"][1].as_str().and_then(|value| value.parse().ok());
        series.iter().filter_map(value).collect()
    }

    /// The data that it answers at `path`; nothing if it is not ready yet.
    pub(super) fn ask(&self, path: &str) -> Value {
        let Some(answer) = self.get(path) else { return Value::Null };
        let answer: Value = serde_json::from_str(&answer).expect("JSON");
        assert_eq!(answer["status"], "success", "{path}: {answer}");
        answer["data"].clone()
    }

    fn get(&self, path: &str) -> Option<String> {
        let mut stream = TcpStream::connect(self.addr).ok()?;
        write!(stream, "GET {path} HTTP/1.0\r\nhost: {}\r\n\r\n", self.addr).ok()?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer).ok()?;
        let (head, body) = answer.split_once("\r\n\r\n")?;
        // 503, while it is not ready; anything else is a mistake in what it was asked.
        assert!(!head.starts_with("HTTP/1.0 4"), "{path}: {answer}");
        head.starts_with("HTTP/1.0 200").then(|| body.to_owned())
    }
}

/// `text` in a query.
fn encoded(text: &str) -> String {
    let encode = |byte: u8| {
        if byte.is_ascii_alphanumeric() { char::from(byte).to_string() } else { format!("%{byte:02X}") }
    };
    text.bytes().map(encode).collect()
}
