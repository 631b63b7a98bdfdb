//! Owns what a mesh sees of a call that passes through Envoy: one trace, from the caller to the database.

use std::{
    fs::{self, File},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
};

use serde_json::Value;
use signet::proto::identity::v1::{
    IssueTokenRequest, PasswordGrant, identity_service_client::IdentityServiceClient,
    issue_token_request::Grant,
};
use tempfile::TempDir;

use crate::{
    envoy::Envoy,
    requests::eventually,
    signet::{PASSWORD, Signet},
    support::program::directory,
};

const TRACE: &str = "0af7651916cd43dd8448eb211c80319c";
const CALLER: &str = "b7ad6b7169203331";

/// What takes traces: OpenTelemetry's own messages, read by Python.
struct Receiver {
    process: Child,
    directory: TempDir,
    grpc: u64,
    http: u64,
}

impl Receiver {
    async fn start() -> Self {
        let (place, tools) = (TempDir::new().unwrap(), directory("SIGNET_TEST_OTLP_RECEIVER"));
        let script = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/mesh/traces/receiver.py");
        let process = Command::new(tools.join("bin/python"))
            .arg(script)
            .stdin(Stdio::null())
            .stdout(File::create(said(place.path())).unwrap())
            .spawn()
            .unwrap();
        let mut receiver = Self { process, directory: place, grpc: 0, http: 0 };
        let listens = eventually("the receiver listens", async || receiver.lines().into_iter().next()).await;
        (receiver.grpc, receiver.http) =
            (listens["grpc"].as_u64().unwrap(), listens["http"].as_u64().unwrap());
        receiver
    }

    /// What it has said so far.
    fn lines(&self) -> Vec<Value> {
        let text = fs::read_to_string(said(self.directory.path())).unwrap();
        let complete = text.split_inclusive('\n').filter(|line| line.ends_with('\n'));
        complete.map(|line| serde_json::from_str(line).unwrap()).collect()
    }

    /// The spans of the trace.
    fn spans(&self) -> Vec<Value> {
        self.lines().into_iter().filter(|line| line["trace"] == TRACE).collect()
    }
}

impl Drop for Receiver {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// Where it says what it says.
fn said(place: &Path) -> PathBuf {
    place.join("said")
}

/// An Envoy before `signet` that tells `receiver` of what it passes on.
async fn envoy(signet: &Signet, receiver: &Receiver) -> Envoy {
    let ports = [
        (50_051, signet.grpc.port()),
        (50_052, signet.grpc.port()),
        (8_080, signet.http.port()),
        (8_082, signet.http.port()),
    ];
    let tracing = "stat_prefix: requests
          tracing:
            random_sampling: {value: 100}
            provider:
              name: envoy.tracers.opentelemetry
              typed_config:
                \"@type\": type.googleapis.com/envoy.config.trace.v3.OpenTelemetryConfig
                service_name: sidecar
                grpc_service: {envoy_grpc: {cluster_name: otlp}, timeout: 1s}
";
    let cluster = format!(
        "  clusters:
  - name: otlp
    type: STATIC
    connect_timeout: 1s
    typed_extension_protocol_options:
      envoy.extensions.upstreams.http.v3.HttpProtocolOptions:
        \"@type\": type.googleapis.com/envoy.extensions.upstreams.http.v3.HttpProtocolOptions
        explicit_http_config: {{http2_protocol_options: {{}}}}
    load_assignment:
      cluster_name: otlp
      endpoints: [{{lb_endpoints: [{{endpoint: {{address: {{socket_address: {{address: 127.0.0.1, port_value: {}}}}}}}}}]}}]
",
        receiver.grpc
    );
    let changes = [
        ("address: 0.0.0.0", "address: 127.0.0.1"),
        ("stat_prefix: requests\n", tracing),
        ("  clusters:\n", &cluster),
    ];
    Envoy::start("replicas.yaml", &ports, &changes).await
}

#[tokio::test]
async fn a_login_through_envoy_is_one_trace_from_its_caller_to_the_database() {
    let receiver = Receiver::start().await;
    let endpoint = format!("--otlp-endpoint=http://127.0.0.1:{}", receiver.http);
    // Envoy says what is sampled, and is believed.
    let signet = Signet::start(&[&*endpoint, "--trusted-proxy-addresses=127.0.0.1"]);
    signet.sign_up().await;
    let envoy = envoy(&signet, &receiver).await;
    eventually("Envoy finds Signet", async || (envoy.healthy("signet-grpc").await > 0).then_some(())).await;

    let mut client = IdentityServiceClient::connect(format!("http://{}", envoy.addr)).await.unwrap();
    let password = PasswordGrant { username: "alice".to_owned(), password: PASSWORD.to_owned() };
    let message =
        IssueTokenRequest { grant: Some(Grant::Password(password)), ..IssueTokenRequest::default() };
    let mut request = tonic::Request::new(message);
    request.metadata_mut().insert("traceparent", format!("00-{TRACE}-{CALLER}-01").parse().unwrap());
    client.issue_token(request).await.unwrap();

    let of = |service: &str| -> Vec<Value> {
        receiver.spans().into_iter().filter(|span| span["service"] == service).collect()
    };
    let told = async || (!of("sidecar").is_empty() && !of("signet").is_empty()).then_some(());
    eventually("both have told", told).await;
    let (sidecar, signet) = (of("sidecar"), of("signet"));
    let [through] = &sidecar[..] else { panic!("{sidecar:?}") };
    assert_eq!(through["parent"], CALLER);
    let login =
        signet.iter().find(|span| span["parent"] == through["id"]).unwrap_or_else(|| panic!("{signet:?}"));
    assert_eq!(login["name"], "identity.v1.IdentityService/IssueToken");
    for name in ["password.wait", "password.hash", "SELECT"] {
        let span =
            signet.iter().find(|span| span["name"] == name).unwrap_or_else(|| panic!("{name}: {signet:?}"));
        assert_eq!(span["parent"], login["id"], "{name}");
        let nanos = |value: &Value| value.as_u64().unwrap();
        assert!(nanos(&span["begun"]) >= nanos(&login["begun"]) - 1_000, "{span} {login}");
        assert!(nanos(&span["ended"]) <= nanos(&login["ended"]) + 1_000, "{span} {login}");
    }
}
