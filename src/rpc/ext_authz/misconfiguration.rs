//! Owns telling the operator of routes whose rule cannot be understood, at a bounded rate.

use std::{fmt, time::Duration};

use crate::base::{Clock, Throttle};

/// How often it is told at most: such a route refuses every request, and whoever reaches the port can send any rule.
const INTERVAL: Duration = Duration::from_secs(10);

/// Tells of routes that refuse everybody.
#[derive(Debug)]
pub(super) struct Misconfiguration {
    clock: Clock,
    throttle: Throttle,
}

impl Misconfiguration {
    pub(super) fn new(clock: Clock) -> Self {
        Self { clock, throttle: Throttle::new(INTERVAL) }
    }

    /// Tells that requests are refused for `problem`, if nothing of the kind was told lately.
    pub(super) fn tell(&self, problem: &impl fmt::Display) {
        if let Some(silent) = self.throttle.pass(self.clock.monotonic()) {
            tracing::error!(
                refused_since_last_told = silent,
                "ext_authz: a route refuses every request: {problem}"
            );
        }
    }
}
