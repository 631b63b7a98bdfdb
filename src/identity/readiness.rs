//! Owns whether the service can serve: its database answers, and the key that signs is there and open.

use std::{sync::Arc, time::Duration};

use tokio::{sync::watch, time::timeout};

use super::Keyring;
use crate::metrics::DatabaseMetrics;

/// How long one check may take before it counts as failed.
const CHECK_TIMEOUT: Duration = Duration::from_secs(2);

/// Finds out, again and again, whether the service can serve.
#[derive(Debug)]
pub struct Readiness {
    keyring: Arc<Keyring>,
    ready: watch::Sender<bool>,
    metrics: DatabaseMetrics,
}

impl Readiness {
    /// Nothing is known yet: not ready.
    #[must_use]
    pub fn new(keyring: Arc<Keyring>, metrics: DatabaseMetrics) -> Self {
        Self { keyring, ready: watch::Sender::new(false), metrics }
    }

    /// Where the present answer and its changes can be read.
    #[must_use]
    pub fn subscribe(&self) -> watch::Receiver<bool> {
        self.ready.subscribe()
    }

    /// Checks now.
    pub async fn check(&self) {
        let (up, ready) = match timeout(CHECK_TIMEOUT, self.keyring.check()).await {
            Ok(Ok(ready)) => (true, ready),
            Ok(Err(_)) | Err(_) => (false, false),
        };
        self.metrics.answered(up);
        let changed = self.tell(ready);
        if changed && ready {
            tracing::info!("ready: the database answers and holds the signing key, which is open");
        } else if changed {
            tracing::error!(
                "not ready: the database does not answer or lacks the signing key, or the master key does not open it"
            );
        }
    }

    /// Not ready any more: the service is about to end.
    pub fn stop(&self) {
        self.tell(false);
    }

    /// Tells it to whoever asks: health, HTTP and the metrics. Returns whether it is new.
    fn tell(&self, ready: bool) -> bool {
        self.metrics.ready(ready);
        self.ready.send_if_modified(|known| std::mem::replace(known, ready) != ready)
    }

    /// Checks every `interval`, until it is dropped.
    pub async fn watch(&self, interval: Duration) {
        loop {
            tokio::time::sleep(interval).await;
            self.check().await;
        }
    }
}
