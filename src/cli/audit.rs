//! Owns how commands that change something record it.

use std::time::Duration;

use clap::{ArgMatches, parser::ValueSource};

use super::Failure;
use crate::{
    audit::{Audit, AuditLog, Outbox},
    base::Clock,
    config::{Config, CopiedDatabase, StorageConfig},
    identity::AuditTrail,
    install::{Missing, OpenDatabase, open_audit_log},
    metrics::Metrics,
};

/// How long what was done may take to be written.
const FLUSH_TIMEOUT: Duration = Duration::from_secs(5);

/// Where a command tells its events, of which `matches` say `log`: what goes to standard error comes after the answer, and not at all for
/// people who want to hear of what goes wrong alone and have not named that log. The database has the events in any case.
pub(super) fn of_command(log: AuditLog, is_quiet: bool, matches: &ArgMatches) -> AuditLog {
    let is_named =
        matches.value_source("audit_log").is_some_and(|source| source != ValueSource::DefaultValue);
    match log {
        AuditLog::Stderr if is_quiet && !is_named => AuditLog::Off,
        AuditLog::Stderr => AuditLog::AfterAnswer,
        log => log,
    }
}

/// The audit log, to be opened before anything is changed: what cannot be recorded is not done.
pub(super) fn open(config: &Config) -> Result<Audit, Failure> {
    Ok(open_audit_log(config, &Clock::system(), &Metrics::new())?)
}

/// None, for a command that does nothing: not even a file is made.
pub(super) fn none() -> Result<Audit, Failure> {
    Ok(Audit::open(&AuditLog::Off, Clock::system(), Metrics::new().audit)?)
}

/// Waits until what was done is in the log.
pub(super) async fn flush(audit: &Audit) {
    if !audit.flush(FLUSH_TIMEOUT).await {
        tracing::error!("what was done could not be written to the audit log");
    }
}

/// Waits until what was done is in the log, and in the database of `config`, which is not open.
pub(super) async fn finish(audit: &Audit, config: &Config) {
    flush(audit).await;
    if audit.outbox().is_none_or(Outbox::is_empty) {
        return;
    }
    // What was done is done: whether it may be, whoever did it has asked.
    let storage = StorageConfig { copied: CopiedDatabase::Taken, ..config.storage.clone() };
    let kept = match OpenDatabase::for_command(&storage, Missing::Refused).await {
        Ok(OpenDatabase { store, .. }) => {
            let kept = keep(&AuditTrail::of_command(store.clone(), audit.outbox().cloned())).await;
            store.close().await;
            kept
        }
        Err(_) => false,
    };
    tell(kept);
}

/// Waits until what `trail` has yet to write is in the database.
pub(super) async fn keep(trail: &AuditTrail) -> bool {
    trail.write_rest(FLUSH_TIMEOUT).await
}

/// Tells the log if what was done was not `kept`.
pub(super) fn tell(kept: bool) {
    if !kept {
        tracing::error!("what was done could not be written to the audit events in the database");
    }
}
