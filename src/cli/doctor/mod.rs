//! Owns `signet doctor`: what is asked, from where, and what is told of it.

mod certificate;
mod dial;
mod finding;
mod frames;
mod grpc;
mod here;
mod http1;
mod http2;
mod idle;
mod issuer;
mod keys;
mod proxy;
mod target;
mod web;

use std::{path::PathBuf, time::Duration};

use clap::Args;
use zeroize::Zeroizing;

use super::{CommandReason, Failure, Output, operations::reachable, remote::roots};
use crate::{
    base::Clock,
    config::{Config, duration_in_millis},
    files::read_text,
    install::may_have_database,
};
use dial::Dialer;
use finding::{Check, Finding, Findings, Verdict};
use target::Target;

#[derive(Args, Debug)]
pub(super) struct Doctor {
    /// The issuer, as whoever verifies tokens knows it. Without it that of the settings, as at the service's own machine.
    #[arg(long, value_name = "ISSUER")]
    url: Option<Target>,

    /// Where clients call gRPC: `https://HOST[:PORT]` by TLS, `http://HOST:PORT` without. Without it where --url is, or --grpc-addr of the
    /// settings if neither is given.
    #[arg(long, value_name = "URL")]
    grpc_url: Option<Target>,

    /// A file with an access token, which must be taken. It is sent by TLS with a good certificate alone, or on this machine.
    #[arg(long, value_name = "FILE")]
    token_file: Option<PathBuf>,

    /// The certification authorities that certificates must come from, in PEM. Without it those of this machine.
    #[arg(long, env = "SIGNET_TLS_CA", value_name = "FILE")]
    tls_ca: Option<PathBuf>,

    /// How long each check may take (100ms to 1m).
    #[arg(long, value_name = "DURATION", default_value = "5s", value_parser = duration_in_millis::<100, 60_000>)]
    check_timeout: Duration,

    /// How long connections and streams are left idle, to see who ends them (0s to 1h). What common proxies end after a minute, `70s`
    /// shows.
    #[arg(long, value_name = "DURATION", default_value = "3s", value_parser = duration_in_millis::<0, 3_600_000>)]
    idle_for: Duration,
}

/// How is asked.
struct Asking {
    dialer: Dialer,
    clock: Clock,
    idle_for: Duration,
    /// How long a key is published before it signs.
    publish_ahead: Duration,
    clock_leeway: Duration,
    token: Option<Zeroizing<String>>,
}

/// Makes all checks, and tells of each.
pub(super) async fn run(doctor: Doctor, config: &Config, output: Output) -> Result<(), Failure> {
    let Doctor { url, grpc_url, token_file, tls_ca, check_timeout, idle_for } = doctor;
    let read = |file: PathBuf| {
        let text = read_text(&file).map_err(|error| Failure::of_input("--token-file", &file, &error))?;
        Ok::<_, Failure>(Zeroizing::new(text.trim().to_owned()))
    };
    let asking = Asking {
        dialer: Dialer::new(roots(tls_ca.as_deref())?, check_timeout),
        clock: Clock::system(),
        idle_for,
        publish_ahead: config.tokens.key_publish_ahead,
        clock_leeway: config.tokens.clock_leeway,
        token: token_file.map(read).transpose()?,
    };
    let (issuer_at, grpc_at) = targets(url, grpc_url, config)?;
    let issuer = issuer::check(&asking, &issuer_at).await;
    let mut grpc = grpc::check(&asking, &grpc_at, issuer.proxy).await;
    let proxy = grpc.proxy.or(issuer.proxy);
    keys::compare(issuer.keys.as_ref(), grpc.keys.as_ref(), proxy, &mut grpc.found);
    let behind = [Check::GrpcPings, Check::GrpcStream, Check::GrpcIdle];
    let web = async {
        if grpc.is_reached {
            web::check(&asking, &grpc_at, proxy).await
        } else {
            skipped(&grpc_at, &[Check::GrpcWeb, Check::GrpcConnect])
        }
    };
    let idle = async {
        if grpc.is_called {
            Box::pin(idle::check(&asking, &grpc_at, proxy)).await
        } else {
            skipped(&grpc_at, &behind)
        }
    };
    let here = async {
        match may_have_database(&config.storage) {
            Ok(false) => Findings::at(&""),
            Ok(true) | Err(_) => here::check(&asking, config, issuer.proxy.or(grpc.proxy)).await,
        }
    };
    let (web, idle, here) = tokio::join!(web, idle, here);
    let is_silent = !issuer.is_reached && !grpc.is_reached;
    let mut all: Vec<Finding> =
        [issuer.found, grpc.found, web, idle, here].into_iter().flat_map(|found| found.all).collect();
    // As they are declared, whichever came first.
    all.sort_by_key(|finding| Check::ALL.iter().position(|check| *check == finding.check));
    tell(&all, is_silent, output)
}

/// That `checks` of what is at `target` were not made.
fn skipped(target: &Target, checks: &[Check]) -> Findings {
    let mut found = Findings::at(target);
    found.skip(checks, "no call arrives");
    found
}

/// Where the issuer and gRPC are: as is said, or as the settings have it.
fn targets(
    url: Option<Target>,
    grpc_url: Option<Target>,
    config: &Config,
) -> Result<(Target, Target), Failure> {
    let issuer = config.issuer_at(config.http_addr);
    let is_said = url.is_some();
    let url = match url {
        Some(url) => url,
        None => issuer.parse::<Target>().map_err(|problem| Failure::Usage(format!("--issuer: {problem}")))?,
    };
    let grpc = match grpc_url {
        Some(grpc) => grpc.origin(),
        None if is_said => url.origin(),
        None if config.grpc_addr.port() == 0 => {
            let problem = "--grpc-url: must be given where --grpc-addr takes any port";
            return Err(Failure::Usage(problem.to_owned()));
        }
        // It shows the certificate of the issuer's host.
        None => Target::at(reachable(config.grpc_addr), config.tls.tls_cert.is_some(), Some(&url.name)),
    };
    Ok((url, grpc))
}

/// Writes a line for each finding.
fn tell(all: &[Finding], is_silent: bool, output: Output) -> Result<(), Failure> {
    for finding in all {
        let matters = matches!(finding.result, Verdict::Warning | Verdict::Wrong);
        output.finding(&finding.text(), finding, matters)?;
    }
    let count = |verdict| all.iter().filter(|finding| finding.result == verdict).count();
    let (wrong, warnings) = (count(Verdict::Wrong), count(Verdict::Warning));
    if wrong == 0 {
        return Ok(());
    }
    let reason = if is_silent { CommandReason::ServerUnreachable } else { CommandReason::ChecksFailed };
    let of = all.len();
    Err(Failure::because(
        reason,
        format!("{wrong} of {of} checks found something wrong, and {warnings} warn"),
    ))
}
