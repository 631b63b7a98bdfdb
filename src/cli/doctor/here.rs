//! Owns checking the service on its own machine: its settings, its files, its database, the database's clock, and whether it is ready.

use http::StatusCode;

use super::{
    Asking,
    finding::{Check, Findings},
    proxy::Proxy,
};
use crate::{
    base::Clock,
    cli::operations::{self, reachable},
    config::{Config, ConfigError},
    identity::ClockCheck,
    install::{OpenDatabase, inspect_files},
    metrics::ClockMetrics,
    model::error::chain,
    server::issuer_problem,
};

/// All of them.
pub(super) const CHECKS: [Check; 5] =
    [Check::HereSettings, Check::HereFiles, Check::HereDatabase, Check::HereClock, Check::HereReady];

/// How much of an answer is read.
const MOST_BYTES: usize = 1_024;

/// Checks what `config` describes, in front of which `proxy` stands as far as is known.
pub(super) async fn check(asking: &Asking, config: &Config, proxy: Option<Proxy>) -> Findings {
    let mut found = Findings::at(&"");
    settings(config, proxy, &mut found);
    files(config, &mut found);
    match Box::pin(asking.dialer.in_time(open(config))).await {
        Ok(open) => {
            found.ok(Check::HereDatabase, "it opens, with the schema of this version");
            clock(asking, config, &open, &mut found).await;
            open.store.close().await;
        }
        Err(problem) => {
            found.wrong(
                Check::HereDatabase,
                problem.to_string(),
                "`signet migrate status`, which says what is missing",
            );
            found.skip(&[Check::HereClock], "the database does not open");
        }
    }
    ready(asking, config, &mut found).await;
    found
}

/// Opens the database as it is.
async fn open(config: &Config) -> Result<OpenDatabase, String> {
    OpenDatabase::as_it_is(&config.storage).await.map_err(|error| chain(&error))
}

/// Whether the settings fit each other, and what is in front.
fn settings(config: &Config, proxy: Option<Proxy>, found: &mut Findings) {
    let check = Check::HereSettings;
    let fit = || -> Result<(), ConfigError> {
        config.tls.files()?;
        config.tokens.keys()?;
        config.sessions()?;
        config.storage.database()?;
        Ok(())
    };
    if let Err(error) = fit() {
        let mend = format!("`{}`: no service starts with these settings", error.setting);
        found.wrong(check, error.to_string(), mend);
        return;
    }
    let issuer = config.issuer_at(config.http_addr);
    if let Some(problem) = issuer_problem(&issuer, config.http_addr, config.tls.tls_cert.is_some()) {
        found.wrong(
            check,
            format!("nobody who follows the issuer {issuer} finds this service: {problem}"),
            "`--issuer https://NAME` (SIGNET_ISSUER)",
        );
        return;
    }
    match proxy {
        Some(proxy) if config.proxies.trusted_proxy_addresses.is_empty() => {
            let seen =
                format!("{} is in front, and all its clients count as one, with one allowance", proxy.name());
            found.warning(
                check,
                seen,
                "--trusted-proxy-addresses with its address (SIGNET_TRUSTED_PROXY_ADDRESSES)",
            );
        }
        _ => found.ok(check, "they fit each other"),
    }
}

/// Whether files that hold secrets are kept from others.
fn files(config: &Config, found: &mut Findings) {
    let (count, faults) = inspect_files(config);
    if faults.is_empty() {
        found.ok(Check::HereFiles, format!("{count} files and directories are kept from others"));
    }
    for fault in faults {
        let seen = format!("{}: {}", fault.path.display(), fault.problem);
        let mend = fault.mend.map_or_else(
            || "an ordinary file there, which the user who runs the service can read".to_owned(),
            |command| format!("`{command}`"),
        );
        if fault.is_refused {
            found.wrong(Check::HereFiles, seen, mend);
        } else {
            found.warning(Check::HereFiles, seen, mend);
        }
    }
}

/// Whether the database's clock is this machine's.
async fn clock(asking: &Asking, config: &Config, open: &OpenDatabase, found: &mut Findings) {
    let (check, leeway) = (Check::HereClock, config.tokens.clock_leeway);
    let clocks = ClockCheck::new(open.store.clone(), Clock::system(), leeway, ClockMetrics::default());
    let asked = asking.dialer.in_time(async { clocks.offset().await.map_err(|error| chain(&error)) }).await;
    let mend = "`chronyc makestep` on the machine that is off, this one or the database's (or `timedatectl set-ntp true`)";
    match asked {
        Ok(None) => found.ok(check, "the database is a file, and has no clock of its own"),
        Ok(Some(offset)) if offset.size() <= leeway => {
            found.ok(check, format!("this machine's clock is {offset}"));
        }
        Ok(Some(offset)) => {
            let seen = format!(
                "this machine's clock is {offset}: nothing that has expired is deleted, and no key is rotated"
            );
            found.wrong(check, seen, mend);
        }
        Err(problem) => found.wrong(check, format!("the database does not tell its time: {problem}"), mend),
    }
}

/// Whether the service here takes calls.
async fn ready(asking: &Asking, config: &Config, found: &mut Findings) {
    let check = Check::HereReady;
    let Some(addr) = config.operations.addr().filter(|addr| addr.port() != 0).map(reachable) else {
        found.skip(&[check], "--operations-addr is off, or any port");
        return;
    };
    let speaks_tls = config.tls.tls_cert.is_some();
    let asked = asking.dialer.in_time(operations::ask(addr, speaks_tls, "/readyz", MOST_BYTES)).await;
    match asked {
        Ok((StatusCode::OK, _)) => found.ok(check, format!("{addr} says that it is ready")),
        Ok((status, told)) => {
            let told = told.lines().next().unwrap_or_default().to_owned();
            found.wrong(
                check,
                format!("{addr} answers {status}: {told}"),
                "what it says, or the log of the service",
            );
        }
        Err(problem) => {
            let mend = "start it; or --operations-addr as the service has it";
            found.warning(check, format!("{addr} does not answer: {problem}"), mend);
        }
    }
}
