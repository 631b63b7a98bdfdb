//! Owns `signet serve`.

use std::{net::SocketAddr, thread};

use clap::Args;
use serde_json::json;

use super::{Failure, Output, supervisor};
use crate::{
    base::Clock,
    config::{Config, CopiedDatabase, Switch},
    server::{DatabaseClock, END_ALLOWANCE, Server, Started, TlsUse},
    shutdown,
};

#[derive(Args, Debug, Default)]
pub(super) struct Serve {
    /// Serve a database that `signet copy` has copied to another. What is changed here from then on, the other does not have.
    #[arg(long)]
    force: bool,
}

pub(super) async fn run(serve: Serve, mut config: Config, output: Output) -> Result<(), Failure> {
    config.storage.copied = if serve.force { CopiedDatabase::Taken } else { CopiedDatabase::Refused };
    let limits = &config.limits;
    let end_bound = limits.shutdown_delay + limits.drain_timeout + END_ALLOWANCE;
    let asked =
        shutdown::on_signal(end_bound).map_err(|error| Failure::Failed(format!("signals: {error}")))?;
    let metrics = config.observe.metrics;
    let server = Server::start(config, Clock::system(), DatabaseClock::Own).await?;
    let started = server.started().clone();
    // Nobody may be reading, or the disk of who does is full: no reason not to serve, or to wait.
    let report = move || {
        if let Err(problem) = report(&started, metrics, output) {
            tracing::warn!(error = %problem, "what starting did could not be told");
        }
    };
    thread::Builder::new().name("report".to_owned()).spawn(report)?;
    let supervised = supervisor::serving(asked.clone(), server.reload());
    Box::pin(server.serve(asked.stop)).await?;
    drop(supervised);
    Ok(())
}

fn report(started: &Started, metrics: Switch, output: Output) -> Result<(), Failure> {
    let Started {
        grpc_addr,
        http_addr,
        ext_authz_addr,
        operations_addr,
        operations_problem,
        admin_addr,
        admin_problem,
        explorer_url,
        tls,
        issuer,
        database,
        master_key_made,
        migrations_applied,
        signing_key,
    } = started;
    let scheme = if *tls == TlsUse::Off { "http" } else { "https" };
    let master_key = master_key_made.as_ref().map_or_else(String::new, |path| {
        format!("Made the master key {path}: keep a copy apart from the database.\n")
    });
    let migrations = match migrations_applied.len() {
        0 => String::new(),
        count => format!("Applied {count} migration(s).\n"),
    };
    let ext_authz = ext_authz_addr.map_or_else(String::new, |addr| format!("ext_authz:   {addr}\n"));
    let metrics = if metrics == Switch::On { "/metrics, " } else { "" };
    let operations = match (operations_addr, operations_problem) {
        (Some(addr), _) => format!("Operations:  {scheme}://{addr} ({metrics}/livez, /readyz)\n"),
        (None, Some(problem)) => {
            format!("Operations:  nowhere: {problem}. Set --operations-addr, or `off`\n")
        }
        (None, None) => String::new(),
    };
    let admin = admin_line(*admin_addr, admin_problem.as_deref());
    let explorer = explorer_url.as_ref().map_or_else(String::new, |url| format!("Explorer:    {url}\n"));
    let tries = calls_to_try(*tls, *grpc_addr);
    let text = format!(
        "{master_key}{migrations}Database:    {database}
Signing key: {signing_key}
Issuer:      {issuer}
gRPC:        {grpc_addr}
HTTP:        {scheme}://{http_addr}/ (/openapi.json, /.well-known/openid-configuration, /livez, /readyz)
{explorer}{ext_authz}{admin}{operations}
{tries}"
    );
    let object = json!({
        "grpc_addr": grpc_addr,
        "http_addr": http_addr,
        "ext_authz_addr": ext_authz_addr,
        "operations_addr": operations_addr,
        "operations_problem": operations_problem,
        "admin_addr": admin_addr,
        "admin_problem": admin_problem,
        "explorer_url": explorer_url,
        "tls": *tls != TlsUse::Off,
        "issuer": issuer,
        "database": database,
        "master_key_made": master_key_made,
        "migrations_applied": migrations_applied,
        "signing_key": signing_key,
    });
    output.answer(&text, &object)
}

/// The calls to try that the start prints.
fn calls_to_try(tls: TlsUse, grpc_addr: SocketAddr) -> String {
    let (scheme, grpcurl, curl) = match tls {
        TlsUse::Off => ("http", "-plaintext", ""),
        TlsUse::On => ("https", "-cacert ca.pem", " --cacert ca.pem"),
        TlsUse::Mutual => (
            "https",
            "-cacert ca.pem -cert client.pem -key client.key",
            " --cacert ca.pem --cert client.pem --key client.key",
        ),
    };
    format!(
        r#"Try it:
  grpcurl {grpcurl} -d '{{"username":"alice","password":"correct horse"}}' {grpc_addr} identity.v1.IdentityService/SignUp
  grpcurl {grpcurl} -d '{{"password":{{"username":"alice","password":"correct horse"}}}}' {grpc_addr} identity.v1.IdentityService/IssueToken
  grpcurl {grpcurl} -H 'authorization: Bearer <access_token>' {grpc_addr} identity.v1.IdentityService/GetMe
Or with JSON:
  curl{curl} --json '{{"username":"bob","password":"correct horse"}}' {scheme}://{grpc_addr}/identity.v1.IdentityService/SignUp
With the same settings, `signet top` shows what it does, and `signet doctor` what stands between it and its clients.
"#
    )
}

/// The line that tells where the admin API is, unless it is off.
fn admin_line(addr: Option<SocketAddr>, problem: Option<&str>) -> String {
    match (addr, problem) {
        (Some(addr), _) => format!("Admin API:   {addr}\n"),
        (None, Some(problem)) => format!("Admin API:   nowhere: {problem}. Set --admin-addr, or `off`\n"),
        (None, None) => String::new(),
    }
}
