//! Owns what the service manager is told that started the service, if it wants to know (`sd_notify(3)`, `NOTIFY_SOCKET`).

use std::time::Duration;

use sd_notify::NotifyState;
use tokio::{task::JoinSet, time::sleep};

use crate::{server::Reload, shutdown::Asked};

/// Tells that the service serves, and from then on what it is `asked` for, until what is returned is dropped.
pub(super) fn serving(asked: Asked, reload: Reload) -> JoinSet<()> {
    tell(&[NotifyState::Ready]);
    let mut tasks = JoinSet::new();
    tasks.spawn(heed(asked, reload));
    if let Some(patience) = sd_notify::watchdog_enabled() {
        tasks.spawn(show_life(patience));
    }
    tasks
}

/// Reloads whenever that is `asked`, until the end is.
async fn heed(asked: Asked, reload: Reload) {
    loop {
        tokio::select! {
            () = asked.stop.cancelled() => return tell(&[NotifyState::Stopping]),
            () = asked.reload.notified() => {
                // The time tells which of two reloads is over (`Type=notify-reload`).
                let now = NotifyState::monotonic_usec_now().ok();
                let reloading: Vec<_> = [NotifyState::Reloading].into_iter().chain(now).collect();
                tell(&reloading);
                reload.run().await;
                tell(&[NotifyState::Ready]);
            }
        }
    }
}

/// Shows, twice within its `patience`, that the runtime that serves gets to its tasks.
async fn show_life(patience: Duration) {
    loop {
        tell(&[NotifyState::Watchdog]);
        sleep(patience / 2).await;
    }
}

/// A service manager that does not hear is no reason not to serve.
fn tell(state: &[NotifyState<'_>]) {
    if let Err(error) = sd_notify::notify(state) {
        tracing::warn!(%error, "the service manager could not be told");
    }
}
