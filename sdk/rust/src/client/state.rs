//! Owns when a token is renewed, and what is answered while that fails.

use std::{sync::Arc, time::Duration};

use tonic::Status;

use crate::time::Random;

/// After the first failure it is tried again within a second, then within twice that, up to this.
const LAST_PAUSE: Duration = Duration::from_secs(30);

/// For how long a final refusal is not asked about again.
const REFUSED_FOR: Duration = Duration::from_secs(10);

/// A token that was refused is dropped at most this often: the next one may have been issued too early to count (docs/EVENTS.md, "What
/// callers see").
const DROP_PAUSE: Duration = Duration::from_secs(7);

/// How long after a token of this `lifetime` came it is renewed: at 75 to 85 % of it, as `random`, of `[0, 1)`, says.
pub(crate) fn renewal(lifetime: Duration, random: f64) -> Duration {
    lifetime.mul_f64(0.1_f64.mul_add(random, 0.75))
}

/// A token and when it is worth what, on the monotonic clock.
#[derive(Clone)]
pub(super) struct Live {
    pub(super) token: Arc<str>,
    expires: Duration,
    renews: Duration,
}

/// What is known of the tokens of one source. All times are on the monotonic clock.
#[derive(Default)]
pub(super) struct State {
    live: Option<Live>,
    failures: u32,
    /// Before this nobody is asked again, for this reason.
    failed: Option<(Duration, Status)>,
    /// When a token was dropped last.
    dropped: Option<Duration>,
}

/// What a call is to do.
pub(super) enum Next {
    /// It has its token.
    Use(Arc<str>),
    /// The same, and another one is to be got in the background.
    UseAndRenew(Arc<str>),
    /// It waits until a token has been got.
    Get,
    /// There is none, and nobody is asked for one yet.
    Fail(Status),
}

impl State {
    /// What a call at `now` is to do.
    pub(super) fn next(&self, now: Duration) -> Next {
        let pausing = self.failed.as_ref().filter(|(until, _)| now < *until);
        match &self.live {
            Some(live) if now < live.expires => {
                let token = Arc::clone(&live.token);
                if now >= live.renews && pausing.is_none() {
                    Next::UseAndRenew(token)
                } else {
                    Next::Use(token)
                }
            }
            _ => pausing.map_or(Next::Get, |(_, status)| Next::Fail(status.clone())),
        }
    }

    /// Keeps `token`, which was asked for at `asked` and lives for `lifetime` from then on.
    pub(super) fn keep(&mut self, token: Arc<str>, asked: Duration, lifetime: Duration, random: &Random) {
        let renews = asked + renewal(lifetime, random.draw());
        let live = Some(Live { token, expires: asked + lifetime, renews });
        *self = Self { live, failures: 0, failed: None, dropped: self.dropped };
    }

    /// Notes that none could be got at `now`. It is tried again after a while, and not before the `least` that Signet has asked for.
    pub(super) fn fail(&mut self, status: Status, least: Duration, now: Duration, random: &Random) {
        self.failures = self.failures.saturating_add(1);
        let doubled = Duration::from_secs(1).saturating_mul(2_u32.saturating_pow(self.failures.min(16) - 1));
        let pause = random.part_of(doubled.min(LAST_PAUSE), 0.5).max(least);
        self.failed = Some((now + pause, status));
    }

    /// Notes that Signet has refused for good at `now`: that is not asked about again for a while.
    pub(super) fn refuse(&mut self, status: Status, now: Duration) {
        self.failures = self.failures.saturating_add(1);
        self.failed = Some((now + REFUSED_FOR, status));
    }

    /// Forgets `token` at `now`, if it is still the one. Returns whether another one is to be had: not if one was dropped only just.
    pub(super) fn drop_token(&mut self, token: &str, now: Duration) -> bool {
        if self.live.as_ref().is_none_or(|live| &*live.token != token) {
            return true;
        }
        if self.dropped.is_some_and(|dropped| now.saturating_sub(dropped) < DROP_PAUSE) {
            return false;
        }
        self.dropped = Some(now);
        self.live = None;
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    fn kept() -> State {
        let mut state = State::default();
        state.keep("t".into(), SECOND * 1_000, SECOND * 100, &Random::of(|| 0.5));
        state
    }

    fn what(state: &State, seconds: u32) -> &'static str {
        match state.next(SECOND * seconds) {
            Next::Use(_) => "use",
            Next::UseAndRenew(_) => "renew",
            Next::Get => "get",
            Next::Fail(_) => "fail",
        }
    }

    #[test]
    fn a_token_is_renewed_before_it_expires_and_used_until_then() {
        let state = kept();
        for (at, expected) in
            [(1_000, "use"), (1_079, "use"), (1_080, "renew"), (1_099, "renew"), (1_100, "get")]
        {
            assert_eq!(what(&state, at), expected, "{at}");
        }
        assert_eq!(what(&State::default(), 0), "get");
    }

    #[test]
    fn calls_go_on_with_the_old_token_while_it_lives_and_a_refusal_is_asked_about_after_a_while() {
        let mut state = kept();
        state.fail(Status::unavailable(""), Duration::ZERO, SECOND * 1_090, &Random::of(|| 0.999_999));
        assert_eq!((what(&state, 1_090), what(&state, 1_091)), ("use", "renew"));
        state.refuse(Status::unauthenticated(""), SECOND * 1_095);
        let expected = ["use", "fail", "fail", "get"];
        assert_eq!([1_099, 1_100, 1_104, 1_105].map(|at| what(&state, at)), expected);
    }

    #[test]
    fn pauses_double_up_to_half_a_minute() {
        let mut state = State::default();
        let mut pauses = Vec::new();
        for _ in 0..8 {
            state.fail(Status::unavailable(""), Duration::ZERO, SECOND, &Random::of(|| 1.0));
            pauses.push(state.failed.as_ref().unwrap().0.as_secs() - 1);
        }
        assert_eq!(pauses, [1, 2, 4, 8, 16, 30, 30, 30]);
    }

    #[test]
    fn a_token_is_dropped_only_if_it_is_still_the_one() {
        let mut state = kept();
        assert!(state.drop_token("another", SECOND * 1_000));
        assert_eq!(what(&state, 1_000), "use");
        assert!(state.drop_token("t", SECOND * 1_000));
        assert_eq!(what(&state, 1_000), "get");
    }
}
