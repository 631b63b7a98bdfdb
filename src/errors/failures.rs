//! Owns telling the log of calls that failed for the service's own reasons, at a bounded rate.

use std::{
    collections::HashMap,
    fmt,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use tonic::{Code, Status};

use super::Row;
use crate::{
    base::{Clock, Throttle},
    model::{Error, error},
};

/// How often a method is said to fail, while something that it needs is away: then all of its calls fail.
const UNAVAILABLE_INTERVAL: Duration = Duration::from_secs(10);

/// How often a method is said to fail by a defect: the next one may have another cause.
const INTERNAL_INTERVAL: Duration = Duration::from_secs(1);

/// How many methods are told apart. Those who tell name only methods that exist, so there are no more in practice.
const MAX_METHODS: usize = 1_024;

/// Why a call failed that should not have: a defect, or what the service needs did not answer. The cause never leaves the process.
#[derive(Clone, Debug)]
pub struct CallFailure {
    code: Code,
    reason: Option<&'static str>,
    chain: String,
}

/// Of which error a status was made: the status' source.
#[derive(Clone, Debug)]
pub(super) struct StatusCause {
    pub(super) reason: &'static str,
    pub(super) failure: Option<CallFailure>,
}

/// Tells the log of the calls that fail at one place: of each method and reason one at a time, and how many were not told. Clones tell
/// of the same place.
#[derive(Clone, Debug)]
pub struct FailureLog(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    listener: &'static str,
    clock: Clock,
    throttles: Mutex<HashMap<(String, Option<&'static str>), Throttle>>,
}

impl CallFailure {
    /// What is to be told of `error`. None if it is a refusal, which is the caller's affair.
    #[must_use]
    pub fn of(error: &Error) -> Option<Self> {
        let row = Row::of(error);
        row.is_failure().then(|| Self { code: row.code, reason: row.reason(), chain: error::chain(error) })
    }

    /// What is to be told of `status`, if it was made of an [`Error`].
    #[must_use]
    pub fn of_status(status: &Status) -> Option<&Self> {
        StatusCause::of(status)?.failure.as_ref()
    }

    const fn interval(&self) -> Duration {
        match self.code {
            Code::Internal => INTERNAL_INTERVAL,
            _ => UNAVAILABLE_INTERVAL,
        }
    }
}

/// The reason that `status` tells, if it was made of an [`Error`] that has one: without decoding the details.
#[must_use]
pub fn told_reason(status: &Status) -> Option<&'static str> {
    StatusCause::of(status).map(|cause| cause.reason)
}

impl StatusCause {
    fn of(status: &Status) -> Option<&Self> {
        std::error::Error::source(status)?.downcast_ref()
    }
}

impl fmt::Display for StatusCause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.reason)
    }
}

impl std::error::Error for StatusCause {}

impl fmt::Display for CallFailure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.chain)
    }
}

impl std::error::Error for CallFailure {}

impl FailureLog {
    /// Tells of what fails at `listener`.
    #[must_use]
    pub fn new(listener: &'static str, clock: Clock) -> Self {
        Self(Arc::new(Inner { listener, clock, throttles: Mutex::default() }))
    }

    /// Tells that a call of `method` failed by `failure`, if that was not told lately. What a client makes up is no method.
    pub fn tell(&self, method: &str, failure: &CallFailure) {
        let Some(untold) = self.pass(method, failure) else { return };
        tracing::error!(
            listener = self.0.listener,
            method,
            reason = failure.reason,
            error = %failure,
            failed_since_last_told = untold,
            "call failed"
        );
    }

    /// How many such failures were not told since the last that was, if one may be told now.
    fn pass(&self, method: &str, failure: &CallFailure) -> Option<u64> {
        let mut throttles = self.0.throttles.lock().unwrap_or_else(PoisonError::into_inner);
        let mut cause = (method.to_owned(), failure.reason);
        if throttles.len() >= MAX_METHODS && !throttles.contains_key(&cause) {
            "others".clone_into(&mut cause.0);
        }
        let throttle = throttles.entry(cause).or_insert_with(|| Throttle::new(failure.interval()));
        throttle.pass(self.0.clock.monotonic())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::Timestamp;

    fn unavailable() -> CallFailure {
        CallFailure::of(&Error::Unavailable { what: "database", source: "it is away".into() }).unwrap()
    }

    #[test]
    fn one_methods_storm_hides_no_other_and_no_other_listeners() {
        let clock = Clock::manual(Timestamp::from_micros(0));
        let (grpc, http) = (FailureLog::new("grpc", clock.clone()), FailureLog::new("http", clock.clone()));
        let defect = CallFailure::of(&Error::internal("a defect")).unwrap();
        assert_eq!(grpc.pass("/a/A", &unavailable()), Some(0));
        for _ in 0..7 {
            assert_eq!(grpc.pass("/a/A", &unavailable()), None);
        }
        assert_eq!(grpc.pass("/a/A", &defect), Some(0), "another reason");
        assert_eq!(grpc.pass("/a/B", &unavailable()), Some(0), "another method");
        assert_eq!(http.pass("/a/A", &unavailable()), Some(0), "another listener");
        clock.advance(INTERNAL_INTERVAL);
        assert_eq!((grpc.pass("/a/A", &defect), grpc.pass("/a/A", &unavailable())), (Some(0), None));
        clock.advance(UNAVAILABLE_INTERVAL);
        assert_eq!(grpc.pass("/a/A", &unavailable()), Some(8));
    }

    #[test]
    fn methods_without_number_take_bounded_room() {
        let log = FailureLog::new("grpc", Clock::manual(Timestamp::from_micros(0)));
        let told = (0..5_000).filter(|at: &u32| log.pass(&at.to_string(), &unavailable()).is_some()).count();
        assert_eq!(told, MAX_METHODS + 1);
    }

    #[test]
    fn a_failure_stays_with_its_status_and_a_refusal_has_none() {
        let status = Status::from(Error::Unavailable { what: "database", source: "it is away".into() });
        let failure = CallFailure::of_status(&status).unwrap();
        assert_eq!(failure.to_string(), "the service cannot reach its database at the moment: it is away");
        let response: http::Response<tonic::body::Body> = status.into_http();
        let kept = response.extensions().get::<Status>().and_then(CallFailure::of_status);
        assert!(kept.is_some(), "and with the answer that is made of it");
        assert!(!format!("{:?}", response.headers()).contains("away"));
        let refusal = Status::from(Error::UsernameTaken);
        assert_eq!(
            (CallFailure::of_status(&refusal).is_none(), told_reason(&refusal)),
            (true, Some("USERNAME_TAKEN"))
        );
        let foreign = Status::internal("not of this service");
        assert_eq!((CallFailure::of_status(&foreign).is_none(), told_reason(&foreign)), (true, None));
    }
}
