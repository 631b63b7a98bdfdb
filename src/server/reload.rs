//! Owns taking up changed files because the operator says so, and not when they are looked at next.

use std::{sync::Arc, time::Duration};

use super::tls::Tls;
use crate::audit::Audit;

/// How long writing the last lines of an audit log may take before it is opened again.
const REOPEN_TIMEOUT: Duration = Duration::from_secs(5);

/// What takes up changed files.
pub struct Reload {
    tls: Option<Arc<Tls>>,
    audit: Audit,
}

impl Reload {
    pub(super) const fn new(tls: Option<Arc<Tls>>, audit: Audit) -> Self {
        Self { tls, audit }
    }

    /// Reads the files of TLS, and opens the audit log again if it was moved away. What cannot be used is told in the log, and what was
    /// in use stays.
    pub async fn run(&self) {
        let tls = match &self.tls {
            Some(tls) => tls.reload().await,
            None => Ok(()),
        };
        if let Err(problem) = &tls {
            tracing::error!(%problem, "the TLS files cannot be used: what was read before stays in use");
        }
        let audit = self.audit.reopen(REOPEN_TIMEOUT).await;
        if let Err(problem) = &audit {
            tracing::error!(%problem, "the audit log cannot be opened again: what was open stays in use");
        }
        if tls.is_ok() && audit.is_ok() {
            tracing::info!(
                "a signal to reload: the TLS files and the audit log are those that are there now"
            );
        }
    }
}
