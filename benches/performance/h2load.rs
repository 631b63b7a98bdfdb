//! Owns running h2load and reading what it found.

use std::{
    fs,
    net::SocketAddr,
    path::PathBuf,
    process::{Child, Command, Stdio},
    time::Duration,
};

use prost::Message;
use signet::proto::{
    envoy::service::auth::v3::CheckRequest,
    identity::v1::{GetMeRequest, IntrospectTokenRequest},
};
use tempfile::TempDir;

use crate::{Result, stats::percentile};

/// What h2load asks, with the same bytes each time.
#[derive(Clone, Debug)]
pub(crate) struct Call {
    path: &'static str,
    form: Form,
    /// By gRPC a frame: whether it is compressed, its length, and the message.
    body: Vec<u8>,
    /// Who asks; none if that has nothing to be proven by.
    token: Option<String>,
}

/// How it is asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Form {
    Grpc,
    /// By Connect over HTTP/2.
    Json,
    /// By Connect over HTTP/1.1, one request at a time on each connection.
    JsonOverHttp1,
}

const GET_ME: &str = "/identity.v1.IdentityService/GetMe";

impl Call {
    pub(crate) fn get_me(token: &str) -> Self {
        Self::new(GET_ME, &GetMeRequest {}, Some(token))
    }

    /// The same in another form.
    pub(crate) fn get_me_in(form: Form, token: &str) -> Self {
        match form {
            Form::Grpc => Self::get_me(token),
            _ => Self { path: GET_ME, form, body: b"{}".to_vec(), token: Some(token.to_owned()) },
        }
    }

    /// `asking`, a service's token, is told what `token` is worth.
    pub(crate) fn introspect(asking: &str, token: &str) -> Self {
        let request = IntrospectTokenRequest { token: token.to_owned() };
        Self::new("/identity.v1.TokenService/IntrospectToken", &request, Some(asking))
    }

    /// Envoy asks `request`.
    pub(crate) fn check(request: &CheckRequest) -> Self {
        Self::new("/envoy.service.auth.v3.Authorization/Check", request, None)
    }

    fn new(path: &'static str, message: &impl Message, token: Option<&str>) -> Self {
        let message = message.encode_to_vec();
        let length = u32::try_from(message.len()).expect("messages here are short");
        let body = [&[0], length.to_be_bytes().as_slice(), &message].concat();
        Self { path, form: Form::Grpc, body, token: token.map(str::to_owned) }
    }
}

/// How h2load spreads its requests.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Shape {
    pub(crate) connections: u32,
    pub(crate) streams: u32,
}

/// How long h2load goes on.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Length {
    Requests(u64),
    Time(Duration),
}

/// What h2load found.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Found {
    pub(crate) succeeded: u64,
    pub(crate) requests_per_second: f64,
    /// How many bytes the bodies of the responses had: h2load does not look at grpc-status, and a refusal has no body.
    pub(crate) body_bytes: u64,
    pub(crate) p50_us: f64,
    pub(crate) p99_us: f64,
}

/// An h2load that calls.
#[derive(Debug)]
pub(crate) struct H2load {
    folder: TempDir,
    child: Child,
}

impl H2load {
    pub(crate) fn start(addr: SocketAddr, call: &Call, shape: Shape, length: Length) -> Result<Self> {
        let folder = tempfile::tempdir()?;
        let body = folder.path().join("request");
        fs::write(&body, &call.body)?;
        let mut command = Command::new("h2load");
        match length {
            Length::Requests(count) => command.arg(format!("--requests={count}")),
            Length::Time(time) => command.arg(format!("--duration={}", time.as_secs())),
        };
        command
            .arg("--threads=1")
            .arg(format!("--clients={}", shape.connections))
            .arg(format!("--max-concurrent-streams={}", shape.streams))
            .arg(format!("--data={}", body.display()))
            .arg(format!("--log-file={}", log(&folder).display()))
            .args(match call.form {
                Form::Grpc => &["--header=content-type: application/grpc", "--header=te: trailers"][..],
                Form::Json => &["--header=content-type: application/json"],
                Form::JsonOverHttp1 => &["--header=content-type: application/json", "--h1"],
            })
            .args(call.token.iter().map(|token| format!("--header=authorization: Bearer {token}")))
            .arg(format!("http://{addr}{}", call.path));
        let child = command.stdout(Stdio::piped()).stderr(Stdio::null()).spawn();
        let child = child.map_err(|error| format!("h2load (Debian package nghttp2-client): {error}"))?;
        Ok(Self { folder, child })
    }

    /// Waits for its end.
    pub(crate) fn finish(self) -> Result<Found> {
        let output = String::from_utf8(self.child.wait_with_output()?.stdout)?;
        let missing = || format!("h2load's output cannot be read:\n{output}");
        let mut latencies = latencies(&fs::read_to_string(log(&self.folder))?);
        if latencies.is_empty() {
            return Err(missing().into());
        }
        latencies.sort_unstable();
        Ok(Found {
            succeeded: number_before(&output, " succeeded").ok_or_else(missing)?,
            requests_per_second: number_before(&output, " req/s").ok_or_else(missing)?,
            body_bytes: number_before(&output, ") data").ok_or_else(missing)?,
            p50_us: percentile(&latencies, 0.5).into(),
            p99_us: percentile(&latencies, 0.99).into(),
        })
    }
}

fn log(folder: &TempDir) -> PathBuf {
    folder.path().join("requests.tsv")
}

/// The third column: microseconds until the end of the response.
fn latencies(log: &str) -> Vec<u32> {
    log.lines().filter_map(|line| line.split('\t').nth(2)?.parse().ok()).collect()
}

/// The number that stands right before `mark`.
fn number_before<T: std::str::FromStr>(output: &str, mark: &str) -> Option<T> {
    let before = &output[..output.find(mark)?];
    let start = before.rfind(|character: char| !character.is_ascii_digit() && character != '.');
    before[start.map_or(0, |start| start + 1)..].parse().ok()
}
