//! Owns when to stop and when to reload: the signals of the operating system, and the time that the end may take.

use std::{
    io::{self, IsTerminal},
    process,
    sync::Arc,
    thread,
    time::Duration,
};

use tokio::{
    runtime::Builder,
    signal::unix::{Signal, SignalKind, signal},
    sync::Notify,
};
use tokio_util::sync::CancellationToken;

use crate::observe;

/// What a shell reports for a process that a signal ended: 128 and the signal's number (SIGTERM is 15, SIGINT 2).
const SIGNAL_EXIT_BASE: i32 = 128;

/// Exit code of an end that was forced, since something hung.
const EXIT_FORCED: i32 = 1;

/// How long the last line of the log may take, before the process ends at once.
const LAST_WORDS: Duration = Duration::from_millis(250);

/// What signals ask of the process.
#[derive(Clone, Debug, Default)]
pub struct Asked {
    /// Cancelled when it is to end.
    pub stop: CancellationToken,
    /// Notified when it is to take up changed files.
    pub reload: Arc<Notify>,
}

/// The signals that ask for something.
struct Signals {
    terminate: Signal,
    interrupt: Signal,
    hangup: Signal,
    /// Whether the process was started at a terminal.
    has_terminal: bool,
}

/// What is asked from now on: to stop by the first SIGTERM or SIGINT, and to reload by SIGHUP. The second to stop ends the process at
/// once; and so does the end of the time `bound` after the first. A terminal that is closed sends SIGHUP, too: then it means to stop.
///
/// A thread of its own follows the signals, with a runtime of its own: whatever hangs elsewhere does not keep the process from
/// ending.
///
/// # Errors
/// The operating system's, if it does not let the signals be handled.
pub fn on_signal(bound: Duration) -> io::Result<Asked> {
    let runtime = Builder::new_current_thread().enable_all().build()?;
    let signals = {
        let _in_runtime = runtime.enter();
        Signals {
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
            hangup: signal(SignalKind::hangup())?,
            has_terminal: io::stdin().is_terminal(),
        }
    };
    let asked = Asked::default();
    let told = asked.clone();
    let follow = move || runtime.block_on(signals.follow(&told, bound));
    thread::Builder::new().name("signals".to_owned()).spawn(follow)?;
    Ok(asked)
}

impl Signals {
    async fn follow(mut self, asked: &Asked, bound: Duration) {
        while self.next_to_reload().await {
            asked.reload.notify_one();
        }
        tracing::info!("a signal to stop: finishing the calls in flight");
        asked.stop.cancel();
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

    /// Waits for a signal. Returns whether it asks to reload, and not to stop.
    async fn next_to_reload(&mut self) -> bool {
        tokio::select! {
            _ = self.terminate.recv() => false,
            _ = self.interrupt.recv() => false,
            // A terminal that has gone is none any more.
            _ = self.hangup.recv() => !self.has_terminal || io::stdin().is_terminal(),
        }
    }

    /// Waits for a signal to stop.
    async fn next(&mut self) -> SignalKind {
        tokio::select! {
            _ = self.terminate.recv() => SignalKind::terminate(),
            _ = self.interrupt.recv() => SignalKind::interrupt(),
        }
    }
}
