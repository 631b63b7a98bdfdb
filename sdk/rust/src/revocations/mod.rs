//! Owns what a verifier knows of revocations: what it was told, whether that is complete, and how fresh it is.

mod follow;
mod told;

use std::{
    sync::{Arc, PoisonError, RwLock},
    time::Duration,
};

use signet::{
    auth::{Claims, Error},
    proto::identity::events::v1::{WatchResponse, watch_response::Part},
};
use tokio::sync::watch;

pub(crate) use follow::follow;
use told::Revoked;

use crate::time::Time;

/// What a verifier answers when it has not heard for too long of what was revoked.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum WhenStale {
    /// `UNAVAILABLE`, until it hears again.
    #[default]
    Refuse,
    /// It goes on by what it knows: what was revoked since counts until tokens expire. Before the first snapshot is complete it refuses all
    /// the same.
    Continue,
}

/// What is known of revocations: fed by the stream that a verifier follows, or by the test issuer. Clones share everything.
#[derive(Clone, Debug)]
pub struct Revocations(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    time: Time,
    max_age: Duration,
    when_stale: WhenStale,
    told: RwLock<Revoked>,
    state: watch::Sender<State>,
}

/// How far what is known goes.
#[derive(Clone, Debug, Default)]
pub(crate) struct State {
    /// Whether a whole snapshot has been told.
    pub(crate) is_complete: bool,
    /// When something was heard last, on the monotonic clock.
    pub(crate) heard: Option<Duration>,
    /// How often the keys were said to have changed.
    pub(crate) keys_changed: u64,
    /// Where the stream goes on.
    pub(crate) resume_token: Vec<u8>,
}

impl Revocations {
    /// Nothing is known yet. What was heard counts for `max_age`.
    pub(crate) fn new(time: Time, max_age: Duration, when_stale: WhenStale) -> Self {
        let (state, _) = watch::channel(State::default());
        Self(Arc::new(Inner { time, max_age, when_stale, told: RwLock::default(), state }))
    }

    /// Takes in a message of the stream (`identity.events.v1.EventService.Watch`). Whoever calls this vouches for it: nothing is verified
    /// here.
    pub fn hear(&self, message: WatchResponse) {
        let now = self.0.time.monotonic();
        let (mut is_last, mut keys_changed, mut forgets) = (false, false, false);
        match message.part {
            Some(Part::Snapshot(snapshot)) => {
                is_last = snapshot.is_last;
                keys_changed = snapshot.changes.as_ref().is_some_and(|changes| changes.keys_changed);
                self.write(|told| told.take_snapshot(snapshot, now));
            }
            Some(Part::Changes(changes)) => {
                keys_changed = changes.keys_changed;
                self.write(|told| told.take(changes, now));
            }
            Some(Part::Resync(_)) => (keys_changed, forgets) = (true, true),
            // A part of a later release is ignored, but for where the stream goes on.
            Some(Part::Heartbeat(_)) | None => {}
        }
        let today = self.0.time.now().as_secs();
        self.write(|told| told.clean(now, today));
        self.0.state.send_modify(|state| {
            state.is_complete |= is_last;
            // They may have changed between the start and the first message.
            let keys_changed = keys_changed || state.heard.is_none();
            state.heard = Some(now);
            state.keys_changed += u64::from(keys_changed);
            if forgets {
                state.resume_token.clear();
            }
            if !message.resume_token.is_empty() {
                state.resume_token = message.resume_token;
            }
        });
    }

    fn write(&self, take: impl FnOnce(&mut Revoked)) {
        take(&mut self.0.told.write().unwrap_or_else(PoisonError::into_inner));
    }

    /// Succeeds unless the token that says `claims` is revoked.
    ///
    /// # Errors
    /// [`Error::TokenRevoked`]; [`Error::Unavailable`] if it cannot be told.
    pub fn check(&self, claims: &Claims) -> Result<(), Error> {
        {
            let state = self.0.state.borrow();
            if !state.is_complete {
                return Err(unavailable("no snapshot has come yet"));
            }
            if self.stale_in(&state).is_some_and(|left| left.is_zero()) {
                return Err(unavailable("nothing was heard for too long"));
            }
        }
        let told = self.0.told.read().unwrap_or_else(PoisonError::into_inner);
        if told.revokes(claims, self.0.time.monotonic()) { Err(Error::TokenRevoked) } else { Ok(()) }
    }

    /// In how long calls are refused unless something is heard; none if never.
    pub(crate) fn refuses_in(&self) -> Option<Duration> {
        self.stale_in(&self.0.state.borrow())
    }

    fn stale_in(&self, state: &State) -> Option<Duration> {
        let age = self.0.time.monotonic().saturating_sub(state.heard.unwrap_or_default());
        // What is as old as it may be still counts: it is too old a moment later.
        let left = (self.0.max_age + Duration::from_micros(1)).saturating_sub(age);
        (self.0.when_stale == WhenStale::Refuse).then_some(left)
    }

    /// Told of each message.
    pub(crate) fn states(&self) -> watch::Receiver<State> {
        self.0.state.subscribe()
    }

    /// Whether a whole snapshot has been told.
    #[must_use]
    pub fn is_complete(&self) -> bool {
        self.0.state.borrow().is_complete
    }

    /// Returns once a whole snapshot has been told.
    pub async fn ready(&self) {
        // The sender is as old as `self`.
        let _ = self.states().wait_for(|state| state.is_complete).await;
    }
}

fn unavailable(cause: &str) -> Error {
    Error::Unavailable { what: "stream of revocations", source: cause.into() }
}

#[cfg(test)]
mod tests {
    use signet::{
        base::Timestamp,
        proto::identity::events::v1::{Heartbeat, Resync, Snapshot},
    };

    use super::*;
    use crate::testing::Token;

    fn part(part: Part, resume_token: &[u8]) -> WatchResponse {
        WatchResponse { resume_token: resume_token.to_vec(), part: Some(part) }
    }

    #[test]
    fn what_is_known_counts_from_the_first_whole_snapshot_for_as_long_as_something_is_heard() {
        for when_stale in [WhenStale::Refuse, WhenStale::Continue] {
            let (time, clock) = Time::manual(Timestamp::from_micros(1_000_000_000));
            let revocations = Revocations::new(time, Duration::from_secs(30), when_stale);
            let claims = Token::user().issued(1_000).claims();
            let is_unavailable = || matches!(revocations.check(&claims), Err(Error::Unavailable { .. }));
            assert!(is_unavailable());
            let snapshot = |is_last| part(Part::Snapshot(Snapshot { is_last, ..Snapshot::default() }), b"");
            revocations.hear(snapshot(false));
            assert!(is_unavailable() && !revocations.is_complete());
            revocations.hear(snapshot(true));
            assert!(revocations.check(&claims).is_ok());
            clock.advance(Duration::from_secs(30));
            assert!(revocations.check(&claims).is_ok());
            clock.advance(Duration::from_micros(1));
            assert_eq!(is_unavailable(), when_stale == WhenStale::Refuse);
            revocations.hear(part(Part::Heartbeat(Heartbeat {}), b""));
            assert!(revocations.check(&claims).is_ok());
        }
    }

    #[test]
    fn the_newest_place_in_the_stream_is_kept_until_it_is_worth_nothing() {
        let (time, _clock) = Time::manual(Timestamp::from_micros(0));
        let revocations = Revocations::new(time, Duration::from_secs(30), WhenStale::Refuse);
        let place = || revocations.states().borrow().resume_token.clone();
        for (sent, kept) in [(&b"a"[..], &b"a"[..]), (b"", b"a"), (b"b", b"b")] {
            revocations.hear(part(Part::Heartbeat(Heartbeat {}), sent));
            assert_eq!(place(), kept);
        }
        let keys = || revocations.states().borrow().keys_changed;
        assert_eq!(keys(), 1, "at the first message");
        revocations.hear(part(Part::Resync(Resync {}), b""));
        assert_eq!((place(), keys()), (Vec::new(), 2));
        revocations.hear(WatchResponse { resume_token: b"c".to_vec(), part: None });
        assert_eq!(place(), b"c", "a part of a later release");
    }
}
