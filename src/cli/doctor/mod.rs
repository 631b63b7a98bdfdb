//! Owns `signet doctor`: what is asked, from where, and what is told of it.

mod certificate;
mod client_certificate;
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
use grpc::Reached;
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

    /// The certificate to show where clients must show one, in PEM, its own first and then its issuers'.
    #[arg(long, value_name = "FILE", requires = "tls_client_key")]
    tls_client_cert: Option<PathBuf>,

    /// The private key of --tls-client-cert, in PEM, not encrypted.
    #[arg(long, value_name = "FILE", requires = "tls_client_cert")]
    tls_client_key: Option<PathBuf>,

    /// How long each check may take (100ms to 1m).
    #[arg(long, value_name = "DURATION", default_value = "5s", value_parser = duration_in_millis::<100, 60_000>)]
    check_timeout: Duration,

    /// How long connections and streams are left idle, to see who ends them (0s to 1h). What common proxies end after a minute, `70s`
    /// shows.
    #[arg(long, value_name = "DURATION", default_value = "3s", value_parser = duration_in_millis::<0, 3_600_000>)]
    idle_for: Duration,
}

/// Why what needs calls was skipped.
const NO_CALL: &str = "no call arrives";

/// What every check needs.
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
    let Doctor {
        url,
        grpc_url,
        token_file,
        tls_ca,
        tls_client_cert,
        tls_client_key,
        check_timeout,
        idle_for,
    } = doctor;
    let own = tls_client_cert.zip(tls_client_key);
    let own = own.map(|(cert, key)| client_certificate::read(&cert, &key)).transpose()?;
    let read = |file: PathBuf| {
        let text = read_text(&file).map_err(|error| Failure::of_input("--token-file", &file, &error))?;
        Ok::<_, Failure>(Zeroizing::new(text.trim().to_owned()))
    };
    let asking = Asking {
        dialer: Dialer::new(roots(tls_ca.as_deref())?, own, check_timeout),
        clock: Clock::system(),
        idle_for,
        publish_ahead: config.tokens.key_publish_ahead,
        clock_leeway: config.tokens.clock_leeway,
        token: token_file.map(read).transpose()?,
    };
    let elsewhere = url.as_ref().and_then(|url| of_another(url, config));
    let (issuer_at, grpc_at) = targets(url, grpc_url, config)?;
    let issuer = issuer::check(&asking, &issuer_at).await;
    let mut grpc = grpc::check(&asking, &grpc_at, issuer.proxy).await;
    let proxy = grpc.proxy.or(issuer.proxy);
    keys::compare(issuer.keys.as_ref(), grpc.keys.as_ref(), proxy, &mut grpc.found);
    let behind = [Check::GrpcPings, Check::GrpcStream, Check::GrpcIdle];
    let web = async {
        let checks = [Check::GrpcWeb, Check::GrpcConnect];
        match grpc.reached {
            Reached::Connection | Reached::Calls => web::check(&asking, &grpc_at, proxy).await,
            Reached::Certificate => skipped(&grpc_at, &checks, grpc::NO_CERTIFICATE),
            Reached::Nobody | Reached::Elsewhere => skipped(&grpc_at, &checks, NO_CALL),
        }
    };
    let idle = async {
        if grpc.reached == Reached::Calls {
            Box::pin(idle::check(&asking, &grpc_at, proxy)).await
        } else {
            skipped(&grpc_at, &behind, NO_CALL)
        }
    };
    let here = async {
        match (may_have_database(&config.storage), &elsewhere) {
            (Ok(false), _) => Findings::at(&""),
            (Ok(true) | Err(_), Some(why)) => skipped(&"", &here::CHECKS, why),
            (Ok(true) | Err(_), None) => here::check(&asking, config, issuer.proxy.or(grpc.proxy)).await,
        }
    };
    let (web, idle, here) = tokio::join!(web, idle, here);
    let is_silent = !issuer.is_reached && grpc.reached == Reached::Nobody;
    let mut all: Vec<Finding> =
        [issuer.found, grpc.found, web, idle, here].into_iter().flat_map(|found| found.all).collect();
    // As they are declared, whichever came first.
    all.sort_by_key(|finding| Check::ALL.iter().position(|check| *check == finding.check));
    tell(&all, is_silent, output)
}

/// A finding for each of `checks` at `target`: that it was skipped, and why.
fn skipped(target: &impl ToString, checks: &[Check], why: &str) -> Findings {
    let mut found = Findings::at(target);
    found.skip(checks, why);
    found
}

/// Why the settings here tell nothing of the issuer `url`, if they are of another one.
fn of_another(url: &Target, config: &Config) -> Option<String> {
    let own = config.issuer_at(config.http_addr);
    let is_own = url.to_string().trim_end_matches('/') == own.trim_end_matches('/');
    (!is_own).then(|| format!("the settings here are of the issuer {own}"))
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
