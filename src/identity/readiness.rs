//! Owns whether the service can serve: its database answers, its signing key exists and could be decrypted, and its clock agrees with the
//! database's.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use tokio::{sync::watch, time::timeout};

use super::{ClockCheck, Keyring, clock_check::ClockOffset};
use crate::{metrics::DatabaseMetrics, model::Error};

/// How long one check may take before it counts as failed.
const CHECK_TIMEOUT: Duration = Duration::from_secs(2);

/// Finds out, again and again, whether the service can serve.
#[derive(Debug)]
pub struct Readiness {
    keyring: Arc<Keyring>,
    clocks: Arc<ClockCheck>,
    ready: watch::Sender<bool>,
    /// Whether the service is about to end.
    is_ending: AtomicBool,
    metrics: DatabaseMetrics,
}

/// The result of a check.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Finding {
    Ready,
    NoDatabase,
    NoKey,
    WrongClock(ClockOffset),
}

impl Readiness {
    /// Nothing is known yet: not ready.
    #[must_use]
    pub fn new(keyring: Arc<Keyring>, clocks: Arc<ClockCheck>, metrics: DatabaseMetrics) -> Self {
        Self { keyring, clocks, ready: watch::Sender::new(false), is_ending: AtomicBool::new(false), metrics }
    }

    /// A receiver of the present answer and its changes.
    #[must_use]
    pub fn subscribe(&self) -> watch::Receiver<bool> {
        self.ready.subscribe()
    }

    /// Checks now.
    pub async fn check(&self) {
        let finding = match timeout(CHECK_TIMEOUT, self.find()).await {
            Ok(Ok(finding)) => finding,
            Ok(Err(_)) | Err(_) => Finding::NoDatabase,
        };
        self.metrics.answered(finding != Finding::NoDatabase);
        if !self.tell(finding == Finding::Ready) {
            return;
        }
        match finding {
            Finding::Ready => {
                tracing::info!("ready: the database answers and holds the signing key, which is open");
            }
            Finding::NoDatabase | Finding::NoKey => tracing::error!(
                "not ready: the database does not answer or lacks the signing key, or the master key does not open it"
            ),
            Finding::WrongClock(offset) => tracing::error!(
                "not ready: this machine's clock is {offset}; tokens would be issued and checked by a wrong time"
            ),
        }
    }

    async fn find(&self) -> Result<Finding, Error> {
        if !self.keyring.check().await? {
            return Ok(Finding::NoKey);
        }
        Ok(self.clocks.unfit().await?.map_or(Finding::Ready, Finding::WrongClock))
    }

    /// Not ready any more, whatever a check finds: the service is about to end.
    pub fn stop(&self) {
        self.is_ending.store(true, Ordering::SeqCst);
        self.tell(false);
    }

    /// Tells it to whoever asks: health, HTTP and the metrics. Returns whether it is new.
    fn tell(&self, ready: bool) -> bool {
        // Looked at where it is told, so that no check that was under way comes after the end.
        self.ready.send_if_modified(|known| {
            let ready = ready && !self.is_ending.load(Ordering::SeqCst);
            self.metrics.ready(ready);
            std::mem::replace(known, ready) != ready
        })
    }
}
