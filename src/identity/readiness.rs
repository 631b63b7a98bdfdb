//! Owns whether the service can serve: its database answers, and holds the key it signs with.

use std::{sync::Arc, time::Duration};

use tokio::{sync::watch, time::timeout};

use super::Keyring;
use crate::{metrics::DatabaseMetrics, store::Store};

/// How long one check may take before it counts as failed.
const CHECK_TIMEOUT: Duration = Duration::from_secs(2);

/// Finds out, again and again, whether the service can serve.
#[derive(Debug)]
pub struct Readiness {
    store: Store,
    keyring: Arc<Keyring>,
    ready: watch::Sender<bool>,
    metrics: DatabaseMetrics,
}

impl Readiness {
    /// Nothing is known yet: not ready.
    #[must_use]
    pub fn new(store: Store, keyring: Arc<Keyring>, metrics: DatabaseMetrics) -> Self {
        Self { store, keyring, ready: watch::Sender::new(false), metrics }
    }

    /// Where the present answer and its changes can be read.
    #[must_use]
    pub fn subscribe(&self) -> watch::Receiver<bool> {
        self.ready.subscribe()
    }

    /// Checks now.
    pub async fn check(&self) {
        let kid = self.keyring.signing_kid();
        let (up, ready) = match timeout(CHECK_TIMEOUT, self.store.has_signing_key(&kid)).await {
            Ok(Ok(found)) => (true, found),
            Ok(Err(_)) | Err(_) => (false, false),
        };
        self.metrics.checked(up, ready);
        let changed = self.ready.send_if_modified(|known| std::mem::replace(known, ready) != ready);
        if changed && ready {
            tracing::info!("ready: the database answers and holds the signing key");
        } else if changed {
            tracing::error!("not ready: the database does not answer or lacks the signing key");
        }
    }

    /// Not ready any more: the service is about to end.
    pub fn stop(&self) {
        self.ready.send_replace(false);
    }

    /// Checks every `interval`, until it is dropped.
    pub async fn watch(&self, interval: Duration) {
        loop {
            tokio::time::sleep(interval).await;
            self.check().await;
        }
    }
}
