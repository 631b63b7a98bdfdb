//! Owns requests through Envoy to a service behind it: without a filter, verified by Envoy itself, and with Signet asked about each.

use std::{
    env, fs,
    net::TcpListener,
    path::Path,
    process::Stdio,
    thread,
    time::{Duration, Instant},
};

use signet::proto::identity::v1::GetMeResponse;
use tempfile::TempDir;
use tokio::runtime::Runtime;

use crate::{
    Plan, Result, client,
    h2load::Call,
    process::Server,
    runner::Invocation,
    stats::{Spread, float, micros},
    table::Table,
    throughput::{FULL, Figures, Question, Run, figures, run, warm_up},
};

/// How long Envoy may take to let the first request pass: it starts, and fetches the keys.
const PATIENCE: Duration = Duration::from_secs(20);
const PAUSE: Duration = Duration::from_millis(50);

/// What Envoy does with a request before it hands it on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Way {
    NoFilter,
    JwtAuthnCached,
    JwtAuthn,
    ExtAuthz,
}

impl Way {
    const ALL: [Self; 4] = [Self::NoFilter, Self::JwtAuthnCached, Self::JwtAuthn, Self::ExtAuthz];

    const fn name(self) -> &'static str {
        match self {
            Self::NoFilter => "no filter",
            Self::JwtAuthnCached => "jwt_authn, the token in its cache",
            Self::JwtAuthn => "jwt_authn, no cache",
            Self::ExtAuthz => "ext_authz, asking Signet",
        }
    }

    /// The configuration of `examples/deploy/envoy`, changed as little as the way needs.
    fn config(self) -> Result<String> {
        let file = if matches!(self, Self::ExtAuthz) { "ext-authz.yaml" } else { "jwt-authn.yaml" };
        let examples = Path::new(env!("CARGO_MANIFEST_DIR")).join("examples/deploy/envoy");
        let config = fs::read_to_string(examples.join(file))?;
        match self {
            Self::NoFilter => replaced(
                &config,
                "- name: envoy.filters.http.jwt_authn\n",
                "- name: envoy.filters.http.jwt_authn\n            disabled: true\n",
            ),
            Self::JwtAuthnCached => replaced(
                &config,
                "                  remote_jwks:\n",
                "                  jwt_cache_config: {jwt_cache_size: 1000}\n                  remote_jwks:\n",
            ),
            Self::JwtAuthn => Ok(config),
            Self::ExtAuthz => without_access_log(&config),
        }
    }
}

/// `config` with `from`, which must be there, replaced by `to`.
fn replaced(config: &str, from: &str, to: &str) -> Result<String> {
    if config.contains(from) {
        return Ok(config.replace(from, to));
    }
    Err(format!("Envoy's example does not say {from:?}").into())
}

/// `config` without its access log: the other ways write no line for each request either.
fn without_access_log(config: &str) -> Result<String> {
    let cut = config.split_once("          access_log:\n");
    let cut = cut.and_then(|(before, rest)| Some((before, rest.split_once("          # The route is")?.1)));
    let (before, after) = cut.ok_or("Envoy's example has no access log any more")?;
    Ok(format!("{before}          # The route is{after}"))
}

/// What stands behind Envoy.
struct Ports {
    service: u16,
    signet_grpc: u16,
    signet_http: u16,
}

/// Envoy with one worker, taking requests.
struct Envoy {
    server: Server,
    _directory: TempDir,
}

impl Envoy {
    fn start(way: Way, ports: &Ports) -> Result<Self> {
        // Envoy says only to its administration which free port it took: so it is given one.
        let addr = TcpListener::bind("127.0.0.1:0")?.local_addr()?;
        let mut config = way.config()?;
        for (from, to) in [(9901, 0), (10_000, addr.port()), (8081, ports.service)] {
            config = replaced(&config, &format!("port_value: {from}}}"), &format!("port_value: {to}}}"))?;
        }
        let (from, to) =
            if way == Way::ExtAuthz { (50_051, ports.signet_grpc) } else { (8080, ports.signet_http) };
        config = replaced(&config, &format!("port_value: {from}}}"), &format!("port_value: {to}}}"))?;
        let directory = tempfile::tempdir()?;
        let file = directory.path().join("envoy.yaml");
        fs::write(&file, config)?;
        let program =
            env::var_os("SIGNET_TEST_ENVOY").ok_or("SIGNET_TEST_ENVOY is not set: run scripts/bench")?;
        let envoy = Invocation::of(program)
            .args(["-c".as_ref(), file.as_os_str()])
            .args(["--disable-hot-restart", "--concurrency", "1", "--log-level", "error"])
            .stdout(Stdio::null())
            .stderr(Stdio::null());
        Ok(Self { server: Server::of(envoy.start(), addr), _directory: directory })
    }

    /// Waits until a request passes.
    fn wait(&self, runtime: &Runtime, token: &str, reply: &GetMeResponse) -> Result<()> {
        let begin = Instant::now();
        loop {
            match runtime.block_on(client::expect_reply(self.server.grpc_addr, token, reply)) {
                Ok(()) => return Ok(()),
                Err(error) if begin.elapsed() > PATIENCE => return Err(error),
                Err(_) => thread::sleep(PAUSE),
            }
        }
    }
}

/// One way, over all rounds.
#[derive(Debug)]
struct Measured {
    way: Way,
    figures: Figures,
    /// Signet's CPU for each request.
    signet_us: Spread,
    /// Its requests/s divided by those without a filter, round by round.
    share: Spread,
}

/// All ways, in one run.
#[derive(Debug)]
pub(crate) struct ThroughEnvoy(Vec<Measured>);

/// Sends requests with `token` through Envoy to `service`, which answers `reply` to all; `signet` issued the token.
pub(crate) fn measure(
    runtime: &Runtime,
    service: &Server,
    signet: &Server,
    token: &str,
    reply: &GetMeResponse,
    plan: Plan,
) -> Result<ThroughEnvoy> {
    let signet_http = signet.http_addr.ok_or("Signet does not say where it serves HTTP")?.port();
    let ports =
        Ports { service: service.grpc_addr.port(), signet_grpc: signet.grpc_addr.port(), signet_http };
    let question = Question::new(Call::get_me(token), reply);
    let envoys = Way::ALL.map(|way| Envoy::start(way, &ports));
    let envoys: Vec<Envoy> = envoys.into_iter().collect::<Result<_>>()?;
    let mut rates = Vec::new();
    for envoy in &envoys {
        envoy.wait(runtime, token, reply)?;
        rates.push(warm_up(&envoy.server, &question, FULL)?);
    }
    let mut measured: Vec<_> = Way::ALL.iter().map(|_| (Vec::new(), Vec::new())).collect();
    for _ in 0..plan.rounds {
        for ((envoy, rate), (runs, signet_us)) in envoys.iter().zip(&rates).zip(&mut measured) {
            #[expect(
                clippy::cast_possible_truncation,
                clippy::cast_sign_loss,
                reason = "some ten thousand requests"
            )]
            let requests = (rate * plan.round.as_secs_f64()) as u64;
            let before = signet.cpu()?;
            runs.push(run(&envoy.server, &question, FULL, requests)?);
            let took = signet.cpu()?.saturating_sub(before);
            signet_us.push(micros(took) / float(usize::try_from(requests)?));
        }
    }
    let unfiltered: Vec<f64> = measured[0].0.iter().map(|run: &Run| run.rate).collect();
    let measured = Way::ALL.into_iter().zip(measured).map(|(way, (runs, signet_us))| Measured {
        way,
        figures: figures(&runs),
        signet_us: Spread::of(signet_us),
        share: Spread::of(runs.iter().zip(&unfiltered).map(|(run, unfiltered)| run.rate / unfiltered)),
    });
    Ok(ThroughEnvoy(measured.collect()))
}

impl ThroughEnvoy {
    pub(crate) fn table(&self) -> Table {
        let mut table = Table::new(&[
            "Envoy, one worker",
            "requests/s",
            "of no filter",
            "p50 us",
            "p99 us",
            "Envoy's CPU per request, us",
            "Signet's, us",
        ]);
        for Measured { way, figures: Figures { rate, p50_us, p99_us, cpu_us }, signet_us, share } in &self.0 {
            table.row([
                way.name().to_owned(),
                format!("{rate:.0}"),
                format!("{share:.2}"),
                format!("{p50_us:.0}"),
                format!("{p99_us:.0}"),
                format!("{cpu_us:.1}"),
                format!("{signet_us:.1}"),
            ]);
        }
        table
    }
}
