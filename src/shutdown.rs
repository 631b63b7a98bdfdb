//! Owns when to stop: the signals of the operating system.

use std::process;

use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;

/// What a shell reports for a process that a signal ended: 128 and the signal's number (SIGTERM is 15, SIGINT 2).
const SIGNAL_EXIT_BASE: i32 = 128;

/// A token that is cancelled by the first SIGTERM or SIGINT. The second ends the process at once.
///
/// # Errors
/// The operating system's, if it does not let the signals be handled.
pub fn on_signal() -> std::io::Result<CancellationToken> {
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    let stop = CancellationToken::new();
    let token = stop.clone();
    tokio::spawn(async move {
        loop {
            let kind = tokio::select! {
                _ = terminate.recv() => SignalKind::terminate(),
                _ = interrupt.recv() => SignalKind::interrupt(),
            };
            if token.is_cancelled() {
                tracing::warn!("a second signal: ending at once");
                process::exit(SIGNAL_EXIT_BASE + kind.as_raw_value());
            }
            tracing::info!("a signal to stop: finishing the calls in flight");
            token.cancel();
        }
    });
    Ok(stop)
}
