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

use super::{ClockCheck, Keyring, clock_check::ClockOffset, keyring::SigningKey};
use crate::{metrics::DatabaseMetrics, model::Error};

/// How long one check may take before it counts as failed.
const CHECK_TIMEOUT: Duration = Duration::from_secs(2);

/// Why a service that is about to end does not serve.
const ENDING: &str = "it is about to end";

/// Finds out, again and again, whether the service can serve.
#[derive(Debug)]
pub struct Readiness {
    keyring: Arc<Keyring>,
    clocks: Arc<ClockCheck>,
    ready: watch::Sender<Ready>,
    /// Whether the service is about to end.
    is_ending: AtomicBool,
    metrics: DatabaseMetrics,
}

/// What everybody is told who asks whether the service can serve.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ready {
    /// It can.
    Yes,
    /// It cannot; in words, why.
    No(&'static str),
}

impl Ready {
    /// Whether it can.
    #[must_use]
    pub const fn is_yes(self) -> bool {
        matches!(self, Self::Yes)
    }
}

/// The result of a check.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Finding {
    Ready,
    NoDatabase,
    NoKey,
    SealedKey,
    WrongClock(ClockOffset),
}

impl Finding {
    const fn told(self) -> Ready {
        match self {
            Self::Ready => Ready::Yes,
            Self::NoDatabase => Ready::No("the database does not answer"),
            Self::NoKey => Ready::No("the database holds no key that signs now"),
            Self::SealedKey => Ready::No("the master key does not open the key that signs"),
            Self::WrongClock(_) => Ready::No("the clocks of this machine and of the database disagree"),
        }
    }
}

impl Readiness {
    /// Nothing is known yet: not ready.
    #[must_use]
    pub fn new(keyring: Arc<Keyring>, clocks: Arc<ClockCheck>, metrics: DatabaseMetrics) -> Self {
        Self {
            keyring,
            clocks,
            ready: watch::Sender::new(Ready::No("nothing was checked yet")),
            is_ending: AtomicBool::new(false),
            metrics,
        }
    }

    /// A receiver of the present answer and its changes.
    #[must_use]
    pub fn subscribe(&self) -> watch::Receiver<Ready> {
        self.ready.subscribe()
    }

    /// Checks now.
    pub async fn check(&self) {
        let finding = match timeout(CHECK_TIMEOUT, self.find()).await {
            Ok(Ok(finding)) => finding,
            Ok(Err(_)) | Err(_) => Finding::NoDatabase,
        };
        self.metrics.answered(finding != Finding::NoDatabase);
        if !self.tell(finding.told()) {
            return;
        }
        match (finding, finding.told()) {
            (Finding::WrongClock(offset), _) => tracing::error!(
                "not ready: this machine's clock is {offset}; tokens would be issued and checked by a wrong time"
            ),
            (_, Ready::No(cause)) => tracing::error!("not ready: {cause}"),
            (_, Ready::Yes) => {
                tracing::info!("ready: the database answers and holds the signing key, which is open");
            }
        }
    }

    async fn find(&self) -> Result<Finding, Error> {
        match self.keyring.check().await? {
            SigningKey::Open => Ok(self.clocks.unfit().await?.map_or(Finding::Ready, Finding::WrongClock)),
            SigningKey::Sealed => Ok(Finding::SealedKey),
            SigningKey::Missing => Ok(Finding::NoKey),
        }
    }

    /// Not ready any more, whatever a check finds: the service is about to end.
    pub fn stop(&self) {
        self.is_ending.store(true, Ordering::SeqCst);
        self.tell(Ready::No(ENDING));
    }

    /// Tells it to whoever asks: health, HTTP and the metrics. Returns whether it is new.
    fn tell(&self, ready: Ready) -> bool {
        // Looked at where it is told, so that no check that was under way comes after the end.
        self.ready.send_if_modified(|known| {
            let ready = if self.is_ending.load(Ordering::SeqCst) { Ready::No(ENDING) } else { ready };
            self.metrics.ready(ready.is_yes());
            std::mem::replace(known, ready) != ready
        })
    }
}
