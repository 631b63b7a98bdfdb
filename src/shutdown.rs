//! Owns when to stop: the signals of the operating system, and the time that the end may take.

use std::{io, process, thread, time::Duration};

use tokio::{
    runtime::Builder,
    signal::unix::{Signal, SignalKind, signal},
};
use tokio_util::sync::CancellationToken;

use crate::observe;

/// What a shell reports for a process that a signal ended: 128 and the signal's number (SIGTERM is 15, SIGINT 2).
const SIGNAL_EXIT_BASE: i32 = 128;

/// Exit code of an end that was forced, since something hung.
const EXIT_FORCED: i32 = 1;

/// How long the last line of the log may take, before the process ends at once.
const LAST_WORDS: Duration = Duration::from_millis(250);

/// The signals that ask the process to end.
struct Signals {
    terminate: Signal,
    interrupt: Signal,
}

/// A token that is cancelled by the first SIGTERM or SIGINT. The second ends the process at once; and so does the end of the time
/// `bound` after the first.
///
/// A thread of its own follows the signals, with a runtime of its own: whatever hangs elsewhere does not keep the process from
/// ending.
///
/// # Errors
/// The operating system's, if it does not let the signals be handled.
pub fn on_signal(bound: Duration) -> io::Result<CancellationToken> {
    let runtime = Builder::new_current_thread().enable_all().build()?;
    let signals = {
        let _in_runtime = runtime.enter();
        Signals { terminate: signal(SignalKind::terminate())?, interrupt: signal(SignalKind::interrupt())? }
    };
    let stop = CancellationToken::new();
    let token = stop.clone();
    let follow = move || runtime.block_on(signals.follow(&token, bound));
    thread::Builder::new().name("signals".to_owned()).spawn(follow)?;
    Ok(stop)
}

impl Signals {
    async fn follow(mut self, stop: &CancellationToken, bound: Duration) {
        self.next().await;
        tracing::info!("a signal to stop: finishing the calls in flight");
        stop.cancel();
        let code = tokio::select! {
            kind = self.next() => {
                tracing::warn!("a second signal: ending at once");
                SIGNAL_EXIT_BASE + kind.as_raw_value()
            }
            () = tokio::time::sleep(bound.saturating_sub(LAST_WORDS)) => {
                tracing::error!(after = ?bound, "the service did not end in time, since something hangs: ending at once");
                EXIT_FORCED
            }
        };
        observe::flush(LAST_WORDS);
        process::exit(code);
    }

    async fn next(&mut self) -> SignalKind {
        tokio::select! {
            _ = self.terminate.recv() => SignalKind::terminate(),
            _ = self.interrupt.recv() => SignalKind::interrupt(),
        }
    }
}
