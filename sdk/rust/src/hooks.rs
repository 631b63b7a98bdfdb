//! Owns telling the application what happens, for its metrics.

use std::{
    fmt,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::Arc,
};

/// What is known of revocations.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RevocationsState {
    /// A stream is being opened.
    Connecting,
    /// A stream is open, and what has ended is known.
    Complete,
    /// There is no stream.
    Down,
}

/// Told of what happens. Each does nothing unless it is implemented; one that panics is heard of in the log alone, and disturbs no call.
/// They run on the way of calls: they should count, and not wait.
pub trait Hooks: Send + Sync + 'static {
    /// A call of a method that is not public was judged: `OK`, or the reason of the refusal. `cached` says whether its token had been
    /// verified before: that is told of calls that pass alone, and is false of the others.
    fn verified(&self, reason: &str, cached: bool) {
        let _ = (reason, cached);
    }

    /// The issuer's keys were fetched, or could not be.
    fn keys_fetched(&self, ok: bool) {
        let _ = ok;
    }

    /// The stream of revocations has come to another state.
    fn revocations(&self, state: RevocationsState) {
        let _ = state;
    }

    /// An open stream was ended, for this reason.
    fn stream_ended(&self, reason: &str) {
        let _ = reason;
    }

    /// A token was got, or could not be: of the client half.
    fn token_renewed(&self, ok: bool) {
        let _ = ok;
    }

    /// A call was made once more, with another token: of the client half.
    fn call_retried(&self) {}
}

/// The hooks of an application, if it has any. One that panics does so here alone.
#[derive(Clone, Default)]
pub(crate) struct SafeHooks(Option<Arc<dyn Hooks>>);

impl SafeHooks {
    pub(crate) fn by(hooks: Arc<dyn Hooks>) -> Self {
        Self(Some(hooks))
    }

    pub(crate) fn tell(&self, what: impl FnOnce(&dyn Hooks)) {
        if let Some(hooks) = &self.0
            && catch_unwind(AssertUnwindSafe(|| what(hooks.as_ref()))).is_err()
        {
            tracing::error!("a hook of the application panicked");
        }
    }
}

impl fmt::Debug for SafeHooks {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.0.is_some() { "SafeHooks(hooks)" } else { "SafeHooks(nobody)" })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_hook_that_panics_disturbs_nobody() {
        struct Panics;
        impl Hooks for Panics {
            fn call_retried(&self) {
                panic!("a defect of the application");
            }
        }
        let told = SafeHooks::by(Arc::new(Panics));
        told.tell(Hooks::call_retried);
        told.tell(|hooks| hooks.verified("OK", true));
        SafeHooks::default().tell(|_| unreachable!("there are none"));
    }
}
