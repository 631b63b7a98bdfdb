//! Owns how commands that change something record it.

use std::time::Duration;

use super::Failure;
use crate::{
    audit::{Audit, Outbox},
    base::Clock,
    config::Config,
    identity::AuditTrail,
    install::{Missing, OpenDatabase, open_audit_log},
    metrics::Metrics,
};

/// How long what was done may take to be written.
const FLUSH_TIMEOUT: Duration = Duration::from_secs(5);

/// The audit log, to be opened before anything is changed: what cannot be recorded is not done.
pub(super) fn open(config: &Config) -> Result<Audit, Failure> {
    open_audit_log(config, &Clock::system(), &Metrics::new())
        .map_err(|error| Failure::Usage(error.to_string()))
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
    let kept = match OpenDatabase::for_command(&config.storage, Missing::Refused).await {
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
