//! Owns the end of the service: who is told of it, what finishes at once, what goes on until then, and what is closed.

use std::time::Duration;

use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;

use super::{
    connections::Connections,
    parts::{Parts, Pools},
};
use crate::{base::Deadline, http::HttpDrain, identity::Readiness, rpc::health::HealthRpc};

/// How long the end may take beyond --shutdown-delay and --drain-timeout, whatever hangs: `LAST_ANSWERS`, `CLOSE_TIMEOUT`, and
/// the last lines of the log.
pub const END_ALLOWANCE: Duration = Duration::from_secs(5);

/// How long the connections may take to end that were kept open for keys, discovery and probes, if nothing of the drain timeout is
/// left.
const LAST_ANSWERS: Duration = Duration::from_millis(500);

/// How long writing the last events of the audit log may take, and then closing the database.
pub(super) const CLOSE_TIMEOUT: Duration = Duration::from_secs(3);

/// Tells of readiness until `stop` is cancelled, and then of the end: `delay` before anything else does end, so that whoever
/// balances load has heard of it by then.
pub(super) async fn announce(
    readiness: &Readiness,
    health: &[HealthRpc],
    stop: &CancellationToken,
    delay: Duration,
) {
    tokio::select! {
        () = tell_health(readiness, health) => {}
        () = stop.cancelled() => {}
    }
    readiness.stop();
    report(health, false).await;
    sleep(delay).await;
}

/// Passes every change of readiness on to health.
async fn tell_health(readiness: &Readiness, health: &[HealthRpc]) {
    let mut ready = readiness.subscribe();
    loop {
        let now = ready.borrow_and_update().is_yes();
        report(health, now).await;
        if ready.changed().await.is_err() {
            return;
        }
    }
}

/// Tells each of `health` whether the service can serve.
async fn report(health: &[HealthRpc], ready: bool) {
    for health in health {
        health.report(ready).await;
    }
}

/// What is to end.
pub(super) struct Listeners<'a> {
    pub(super) grpc: &'a Connections,
    pub(super) ext_authz: Option<&'a Connections>,
    pub(super) http: &'a Connections,
    pub(super) operations: Option<&'a Connections>,
    pub(super) admin: Option<&'a Connections>,
    /// The requests of `http` that end with those of the others.
    pub(super) http_drain: &'a HttpDrain,
    /// The streams of all of them.
    pub(super) pools: &'a Pools,
}

impl Listeners<'_> {
    /// Takes no more calls, and lets those in flight finish, everywhere at once and within `within`; what is left then is cut. Keys,
    /// discovery and probes are answered until the calls have ended: those who verify tokens, and who watch over this process, ask
    /// on. Returns whether all calls finished.
    pub(super) async fn drain(self, within: Duration) -> bool {
        let deadline = Deadline::after(within);
        // They have heard the last report of health, and would go on for ever.
        self.pools.end_streams();
        let ext_authz = drain(self.ext_authz, within);
        let requests = async { timeout(within, self.http_drain.drain()).await.is_ok() };
        let admin = drain(self.admin, within);
        let (grpc, ext_authz, admin, requests) =
            tokio::join!(self.grpc.drain(within), ext_authz, admin, requests);
        let rest = deadline.remaining().max(LAST_ANSWERS);
        tokio::join!(self.http.drain(rest), drain(self.operations, rest));
        grpc && ext_authz && admin && requests
    }
}

/// Ends `connections`, if there are any, within `within`. Returns whether all calls finished.
async fn drain(connections: Option<&Connections>, within: Duration) -> bool {
    match connections {
        Some(connections) => connections.drain(within).await,
        None => true,
    }
}

/// Tells whether every call was finished, now that none is in flight.
pub(super) fn tell(finished: bool) {
    if finished {
        tracing::info!("stopped: every call in flight was finished");
    } else {
        tracing::warn!("stopped: calls that did not finish within --drain-timeout were cut");
    }
}

/// Closes what `parts` keep open, as far as that can be had in time.
pub(super) async fn close(parts: Parts) {
    let Parts { store, audit, audit_trail, sessions, telling, .. } = parts;
    // What is not written is taken for unseen.
    let seen = timeout(CLOSE_TIMEOUT, sessions.write_seen());
    // What the thread has merged comes into the database after it is in the log.
    let audited = async { audit.flush(CLOSE_TIMEOUT).await && audit_trail.write_rest(CLOSE_TIMEOUT).await };
    let (_, audited, ()) = tokio::join!(seen, timeout(CLOSE_TIMEOUT, audited), telling.close(CLOSE_TIMEOUT));
    let flushed = audited.unwrap_or(false);
    let closed = timeout(CLOSE_TIMEOUT, store.close()).await;
    if closed.is_err() {
        tracing::warn!("the database does not answer: its connections were not closed");
    }
    if !flushed {
        tracing::error!("the last events of the audit log could not be written");
    }
}
