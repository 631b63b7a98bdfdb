//! Owns how commands that change something record it.

use std::time::Duration;

use super::Failure;
use crate::{audit::Audit, base::Clock, config::Config, install::open_audit_log, metrics::Metrics};

/// How long what was done may take to be written.
const FLUSH_TIMEOUT: Duration = Duration::from_secs(5);

/// The audit log, to be opened before anything is changed: what cannot be recorded is not done.
pub(super) fn open(config: &Config) -> Result<Audit, Failure> {
    open_audit_log(config, &Clock::system(), &Metrics::new())
        .map_err(|error| Failure::Usage(error.to_string()))
}

/// Waits until what was done is written.
pub(super) async fn flush(audit: &Audit) {
    if !audit.flush(FLUSH_TIMEOUT).await {
        tracing::error!("what was done could not be written to the audit log");
    }
}
