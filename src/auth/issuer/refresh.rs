//! Owns when an issuer's keys are fetched: before they are stale, soon again after a failure, and when a call needs one that is not
//! known, but never in a hurry.

use std::{
    future::Future,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use tokio::{
    sync::{Notify, watch},
    time::{self, Instant},
};

use super::{FetchSettings, published::Published};
use crate::base::Entropy;

/// How long keys are kept whose issuer does not say.
const DEFAULT_MAX_AGE: Duration = Duration::from_mins(5);

/// How long after a failure it is tried again, at first: doubled with each further one.
const FIRST_RETRY: Duration = Duration::from_secs(1);

/// What is waited at most between two tries.
const LAST_RETRY: Duration = Duration::from_mins(1);

/// Where keys are fetched from: an issuer, or what stands in for one in a test.
pub(super) trait KeySource: Send + 'static {
    /// Asks once.
    ///
    /// # Errors
    /// Why there is no answer.
    fn fetch(&mut self) -> impl Future<Output = Result<Fetched, String>> + Send;
}

/// An answer of the issuer.
pub(super) struct Fetched {
    /// Who answered, for the log.
    pub(super) from: String,
    /// The key set.
    pub(super) document: Vec<u8>,
    /// For how long it may be kept, if that is said.
    pub(super) max_age: Option<Duration>,
}

/// What is known of the keys. Attempts to fetch them are counted from 1, and one goes on at a time.
#[derive(Clone, Debug, Default)]
pub(super) struct State {
    /// How many attempts have begun.
    pub(super) begun: u64,
    /// How many have ended.
    pub(super) ended: u64,
    /// The latest that succeeded.
    pub(super) succeeded: u64,
    /// When the latest began.
    pub(super) latest: Option<Instant>,
    /// The keys, and when the attempt began that confirmed them.
    pub(super) confirmed: Option<(Arc<Published>, Instant)>,
    /// Why the latest attempt that has ended failed, if it did.
    pub(super) failure: Option<Arc<str>>,
}

impl State {
    /// Whether an attempt goes on.
    const fn is_asking(&self) -> bool {
        self.begun > self.ended
    }

    /// Whether it is too early for an attempt that calls ask for, and none goes on.
    fn is_pausing(&self, min_pause: Duration) -> bool {
        !self.is_asking() && self.latest.is_some_and(|began| began.elapsed() < min_pause)
    }

    /// After how many attempts have begun the next one decides on a key that is not known, and was first asked for after `first` attempts
    /// had begun. None if that is decided already, and is not to be asked again yet.
    pub(super) fn decided_after(&self, first: Option<u64>, min_pause: Duration) -> Option<u64> {
        match first {
            // An attempt that began later did not find it.
            Some(first) if self.succeeded > first => {
                if self.is_asking() {
                    Some(self.begun - 1)
                } else {
                    (!self.is_pausing(min_pause)).then_some(self.begun)
                }
            }
            Some(first) if self.ended <= first => Some(first),
            Some(_) | None => Some(self.begun),
        }
    }

    /// Why the issuer's answer cannot be waited for by a call that needs an attempt after the first `since`, if so.
    pub(super) fn failure_for(&self, since: u64, min_pause: Duration) -> Option<&str> {
        // Whom an answer is owed to need not wait for another try when the last one has just failed.
        self.failure.as_deref().filter(|_| self.ended > since || self.is_pausing(min_pause))
    }
}

/// Which attempt the waiting calls need.
#[derive(Debug, Default)]
pub(super) struct WantedFetch {
    number: AtomicU64,
    raised: Notify,
    at_once: Notify,
}

impl WantedFetch {
    /// Asks for the attempt `number`.
    pub(super) fn raise(&self, number: u64) {
        self.number.fetch_max(number, Ordering::SeqCst);
        self.raised.notify_one();
    }

    /// Asks for another attempt at once, whatever was asked for lately: the keys are known to have changed.
    pub(super) fn raise_at_once(&self) {
        self.at_once.notify_one();
    }

    /// Returns when an attempt beyond the first `attempts` is asked for.
    async fn beyond(&self, attempts: u64) {
        while self.number.load(Ordering::SeqCst) <= attempts {
            self.raised.notified().await;
        }
    }
}

/// Fetches the keys from `source` until the task is aborted.
pub(super) async fn keep_fresh(
    mut source: impl KeySource,
    settings: FetchSettings,
    entropy: Entropy,
    state: watch::Sender<State>,
    wanted: Arc<WantedFetch>,
) {
    let mut failures = 0;
    loop {
        let began = Instant::now();
        let known = state.borrow().confirmed.clone();
        state.send_if_modified(|state| {
            state.begun += 1;
            state.latest = Some(began);
            false // Nobody waits for a beginning.
        });
        let fetched =
            fetch(&mut source, settings.timeout, known.as_ref().map(|(keys, _)| keys.as_ref())).await;
        let pause = match &fetched {
            Ok((_, max_age)) => {
                if failures > 0 {
                    tracing::info!("the issuer's keys can be fetched again");
                }
                failures = 0;
                fresh_for(*max_age, &settings, &entropy)
            }
            Err(problem) => {
                let kept =
                    if known.is_some() { "those that are known stay in force" } else { "none are known" };
                tracing::warn!(%problem, "the issuer's keys cannot be fetched: {kept}");
                failures += 1;
                retry_after(failures, &entropy)
            }
        };
        state.send_modify(|state| {
            state.ended = state.begun;
            state.failure = fetched.as_ref().err().map(|problem| problem.as_str().into());
            if let Ok((keys, _)) = fetched {
                state.succeeded = state.begun;
                state.confirmed = Some((Arc::new(keys), began));
            }
        });
        let (attempts, due) = (state.borrow().begun, Instant::now() + pause);
        let asked_for = async {
            wanted.beyond(attempts).await;
            time::sleep_until(began + settings.min_pause).await;
        };
        tokio::select! {
            () = time::sleep_until(due) => {}
            // Also while strangers, who name ids that nobody has, wait for the next attempt.
            () = wanted.at_once.notified() => {}
            () = asked_for => {}
        }
    }
}

/// One attempt.
async fn fetch(
    source: &mut impl KeySource,
    timeout: Duration,
    known: Option<&Published>,
) -> Result<(Published, Option<Duration>), String> {
    let fetched = time::timeout(timeout, source.fetch()).await;
    let Fetched { from, document, max_age } =
        fetched.map_err(|_| format!("there was no answer within {timeout:?}"))??;
    let nothing = Published::default();
    let keys = Published::read(&document, known.unwrap_or(&nothing));
    Ok((keys.map_err(|problem| format!("{from} {problem}"))?, max_age))
}

/// Somewhat less than the issuer allows, so that the replicas of a service do not all ask at one moment, but within the settings.
fn fresh_for(max_age: Option<Duration>, settings: &FetchSettings, entropy: &Entropy) -> Duration {
    let allowed = max_age.unwrap_or(DEFAULT_MAX_AGE).min(settings.max_interval);
    entropy.part_of(allowed, 0.8..1.0).max(settings.min_interval)
}

/// After the first failure about a second, doubled with each further one up to a minute; somewhat less each time, as above.
fn retry_after(failures: u32, entropy: &Entropy) -> Duration {
    let doubled = FIRST_RETRY.saturating_mul(2_u32.saturating_pow(failures.saturating_sub(1)));
    entropy.part_of(doubled.min(LAST_RETRY), 0.5..1.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_are_spread_and_repeat_by_a_seed() {
        let settings = FetchSettings::default();
        let pauses = |seed| {
            let entropy = Entropy::seeded(seed);
            let fresh = fresh_for(Some(Duration::from_secs(1_000)), &settings, &entropy);
            let retries: Vec<_> = (1..=10).map(|failures| retry_after(failures, &entropy)).collect();
            (fresh, retries)
        };
        for seed in 0..20 {
            let (fresh, retries) = pauses(seed);
            assert_eq!(pauses(seed), (fresh, retries.clone()));
            assert!((Duration::from_secs(800)..=Duration::from_secs(1_000)).contains(&fresh), "{fresh:?}");
            assert!((FIRST_RETRY / 2..=FIRST_RETRY).contains(&retries[0]), "{retries:?}");
            assert!((LAST_RETRY / 2..=LAST_RETRY).contains(&retries[9]), "{retries:?}");
        }
        assert_ne!(pauses(0), pauses(1), "two replicas do not ask at one moment");
    }

    /// An issuer of one key (RFC 8037 appendix A.2).
    struct OneKey;

    impl KeySource for OneKey {
        async fn fetch(&mut self) -> Result<Fetched, String> {
            let document = br#"{"keys":[{"kty":"OKP","crv":"Ed25519","kid":"a","x":"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"}]}"#;
            Ok(Fetched { from: "the stand-in".to_owned(), document: document.to_vec(), max_age: None })
        }
    }

    #[tokio::test(start_paused = true)]
    async fn keys_that_have_changed_are_fetched_at_once_though_calls_that_name_unknown_ids_wait_for_the_next_attempt()
     {
        let ((sender, mut state), wanted) =
            (watch::channel(State::default()), Arc::new(WantedFetch::default()));
        let settings = FetchSettings::default();
        let began = Instant::now();
        tokio::spawn(keep_fresh(OneKey, settings, Entropy::seeded(1), sender, Arc::clone(&wanted)));
        state.wait_for(|state| state.succeeded >= 1).await.unwrap();
        wanted.raise(2);
        for _ in 0..10 {
            tokio::task::yield_now().await;
        }
        assert_eq!(state.borrow().begun, 1, "it pauses");
        wanted.raise_at_once();
        state.wait_for(|state| state.succeeded >= 2).await.unwrap();
        assert_eq!(began.elapsed(), Duration::ZERO);
        wanted.raise(3);
        state.wait_for(|state| state.succeeded >= 3).await.unwrap();
        assert_eq!(began.elapsed(), settings.min_pause);
    }
}
