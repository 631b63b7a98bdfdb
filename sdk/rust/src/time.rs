//! Owns time and randomness as parameters: the machine's, or a test's own.

use std::{fmt, sync::Arc, time::Duration};

use signet::base::{Clock, Entropy, Timestamp};
use tokio::sync::watch;

/// Where the time comes from, and how it is waited for.
#[derive(Clone, Debug)]
pub struct Time {
    clock: Clock,
    /// Told of each turn, where a test turns the clock.
    turned: Option<watch::Receiver<()>>,
}

/// What turns the clock of a test: nothing else does.
#[derive(Clone, Debug)]
pub struct ManualClock {
    clock: Clock,
    turned: Arc<watch::Sender<()>>,
}

impl Time {
    /// The machine's.
    #[must_use]
    pub fn system() -> Self {
        Self { clock: Clock::system(), turned: None }
    }

    /// A clock that stands at `start` until the [`ManualClock`] turns it.
    #[must_use]
    pub fn manual(start: Timestamp) -> (Self, ManualClock) {
        let (clock, (sender, receiver)) = (Clock::manual(start), watch::channel(()));
        let hand = ManualClock { clock: clock.clone(), turned: Arc::new(sender) };
        (Self { clock, turned: Some(receiver) }, hand)
    }

    /// The clock.
    #[must_use]
    pub const fn clock(&self) -> &Clock {
        &self.clock
    }

    /// The wall clock.
    pub(crate) fn now(&self) -> Timestamp {
        self.clock.now()
    }

    /// The monotonic clock, for ages.
    pub(crate) fn monotonic(&self) -> Duration {
        self.clock.monotonic()
    }

    /// Returns once `span` has passed by this clock.
    pub(crate) async fn sleep(&self, span: Duration) {
        let due = self.monotonic().saturating_add(span);
        let Some(turned) = &self.turned else { return tokio::time::sleep(span).await };
        let mut turned = turned.clone();
        while self.monotonic() < due {
            if turned.changed().await.is_err() {
                // Nobody will turn it any more.
                std::future::pending::<()>().await;
            }
        }
    }

    /// What `work` gives, if it does so before `span` has passed.
    pub(crate) async fn within<T>(&self, span: Duration, work: impl Future<Output = T>) -> Option<T> {
        tokio::select! {
            biased;
            done = work => Some(done),
            () = self.sleep(span) => None,
        }
    }
}

impl ManualClock {
    /// Turns the clock on by `span`, and wakes all who wait for that.
    pub fn advance(&self, span: Duration) {
        self.clock.advance(span);
        self.turned.send_replace(());
    }
}

/// What spreads in time what would else come all at once: numbers of `[0, 1)`. No secret is made of it.
#[derive(Clone)]
pub struct Random(Arc<dyn Fn() -> f64 + Send + Sync>);

impl Random {
    /// What nobody knows beforehand.
    #[must_use]
    pub fn system() -> Self {
        let entropy = Entropy::system();
        Self(Arc::new(move || {
            entropy.part_of(Duration::from_secs(1), 0.0..1.0).as_secs_f64().min(1.0 - f64::EPSILON)
        }))
    }

    /// What `draw` gives, of `[0, 1)`.
    pub fn of(draw: impl Fn() -> f64 + Send + Sync + 'static) -> Self {
        Self(Arc::new(draw))
    }

    /// The next number.
    pub(crate) fn draw(&self) -> f64 {
        (self.0)()
    }

    /// A part of `whole`: at least `least` of it.
    #[must_use]
    pub fn part_of(&self, whole: Duration, least: f64) -> Duration {
        whole.mul_f64((1.0 - least).mul_add(self.draw(), least))
    }
}

impl fmt::Debug for Random {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Random")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_hand_ends_what_is_waited_for_and_nothing_else_does() {
        let (time, hand) = Time::manual(Timestamp::from_micros(0));
        let mut sleep = Box::pin(time.sleep(Duration::from_secs(10)));
        assert!(futures_util::poll!(&mut sleep).is_pending());
        for _ in 0..9 {
            hand.advance(Duration::from_secs(1));
            assert!(futures_util::poll!(&mut sleep).is_pending());
        }
        hand.advance(Duration::from_secs(1));
        assert!(futures_util::poll!(&mut sleep).is_ready());
        assert_eq!(time.within(Duration::from_secs(1), async { 7 }).await, Some(7));
    }

    #[test]
    fn parts_lie_between_the_least_and_the_whole() {
        let whole = Duration::from_secs(100);
        assert_eq!(Random::of(|| 0.0).part_of(whole, 0.5), whole / 2);
        assert!(Random::of(|| 0.999_999).part_of(whole, 0.5) < whole);
        let drawn = Random::system().draw();
        assert!((0.0..1.0).contains(&drawn));
    }
}
