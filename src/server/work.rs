//! Owns what the service does by itself while it serves: the table of own jobs, and what shared jobs work on.

use std::{convert::Infallible, sync::Arc, time::Duration};

use tokio::time::timeout;

use super::{
    parts::{Parts, Pools},
    tls::Tls,
};
use crate::{
    changes::Subscriber,
    config::Config,
    identity::{AdminRequests, UserSearchUpkeep, Usernames, access::BindingEnds},
    jobs::{DUE_CHECK_INTERVAL, OwnJob, OwnJobs, Pace, Rotation, STOP_TIMEOUT, SharedJobs, Upkeep},
    model::Error,
    store::Process,
};

/// How often readiness is checked: a database that has gone is seen within this time.
const READINESS_INTERVAL: Duration = Duration::from_secs(1);

/// How often it is looked whether a key is due: rotation is that late at most.
const KEYS_INTERVAL: Duration = Duration::from_secs(1);

/// How long nothing is tried after changing the stored keys has failed.
const KEYS_RETRY_INTERVAL: Duration = Duration::from_secs(30);

/// How often it is looked whether a binding has ended: it is told that late at most.
const BINDING_ENDS_INTERVAL: Duration = Duration::from_secs(1);

/// How often the files of TLS are looked at: what has changed is in use within twice this time.
const TLS_FILES_INTERVAL: Duration = Duration::from_secs(1);

/// However small the bound on staleness, the feed of changes is not read more often.
const MIN_CHANGES_INTERVAL: Duration = Duration::from_millis(50);

/// How long the feed is not read at least after that has failed: after a panic everything that is remembered is read anew.
const CHANGES_RETRY_INTERVAL: Duration = Duration::from_secs(1);

/// How often it is looked for answers that nobody reads.
const UNREAD_INTERVAL: Duration = Duration::from_millis(500);

/// The jobs that go on while the service serves.
pub(super) struct Work {
    own: OwnJobs,
    shared: Arc<SharedJobs>,
}

/// This process, which is known by `id`.
fn process(id: uuid::Uuid) -> Process {
    let machine = rustix::system::uname();
    let machine: String =
        machine.nodename().to_string_lossy().chars().filter(|letter| !letter.is_control()).collect();
    Process { id, name: format!("{machine}:{}", std::process::id()).into() }
}

/// The shared jobs of this process.
///
/// # Errors
/// [`Error::Unavailable`] or [`Error::Internal`] if the database does not take their leases.
pub(super) async fn shared(parts: &Parts) -> Result<Arc<SharedJobs>, Error> {
    let upkeep = Upkeep {
        sessions: Arc::clone(&parts.sessions),
        clients: Arc::clone(&parts.clients),
        guessing: Arc::clone(&parts.guessing),
        usernames: Usernames::new(parts.store.clone()),
        admin_requests: AdminRequests::new(parts.store.clone()),
        user_search: UserSearchUpkeep::new(parts.store.clone()),
        audit_trail: Arc::clone(&parts.audit_trail),
        changes: Arc::clone(&parts.changes),
    };
    let (store, clocks) = (parts.store.clone(), Arc::clone(&parts.clocks));
    SharedJobs::open(upkeep, store, clocks, process(parts.keyring.process_id()), &parts.metrics.jobs).await
}

impl Work {
    /// Starts all jobs.
    pub(super) fn start(
        parts: &Parts,
        config: &Config,
        tls: Option<&Arc<Tls>>,
        shared: Arc<SharedJobs>,
    ) -> Self {
        let jobs = own(parts, config, &shared).into_iter().chain(tls.map(tls_files)).collect();
        Self { own: OwnJobs::start(jobs, &parts.clock, parts.store.entropy(), &parts.metrics.jobs), shared }
    }

    /// Ends them: what runs is cut short, and leases are given back. A database that does not answer does not hold up the end.
    pub(super) async fn stop(self) {
        let stopping = async {
            self.own.stop().await;
            self.shared.stop().await;
        };
        if timeout(STOP_TIMEOUT, stopping).await.is_err() {
            tracing::warn!(
                "jobs did not end within {STOP_TIMEOUT:?}, and are cut: other processes wait until their leases are over"
            );
        }
    }
}

/// What this process does for itself. A new job is a line here, and the function that it names.
fn own(parts: &Parts, config: &Config, shared: &Arc<SharedJobs>) -> Vec<OwnJob> {
    // Twice within the bound, so that one reading may be late.
    let changes_interval = (config.tokens.standing_cache_max_age / 2).max(MIN_CHANGES_INTERVAL);
    let (feed, subscribers): (_, Vec<Arc<dyn Subscriber>>) =
        (Arc::clone(&parts.changes), parts.subscribers());
    let follow = move || {
        let (feed, subscribers) = (Arc::clone(&feed), subscribers.clone());
        async move { feed.follow(&subscribers).await }
    };
    let rotation = Arc::new(Rotation::new(
        Arc::clone(&parts.keyring),
        parts.store.clone(),
        parts.clock.clone(),
        shared.process().clone(),
    ));
    let (readiness, shared) = (Arc::clone(&parts.readiness), Arc::clone(shared));
    let (sessions, guessing) = (Arc::clone(&parts.sessions), Arc::clone(&parts.guessing));
    let audit_trail = Arc::clone(&parts.audit_trail);
    vec![
        OwnJob::new(
            "readiness",
            Pace::Slept(READINESS_INTERVAL),
            "whether the service can serve is not known",
            run(readiness, |readiness| async move {
                readiness.check().await;
                Ok::<_, Infallible>(())
            }),
        ),
        OwnJob::new(
            "change_feed",
            Pace::Slept(changes_interval),
            "the changes of other processes cannot be read",
            follow,
        )
        .retried_after(CHANGES_RETRY_INTERVAL),
        OwnJob::new(
            "signing_keys",
            Pace::Slept(KEYS_INTERVAL),
            "the signing keys cannot be changed: they stay as they are for now",
            run(rotation, |rotation| async move { rotation.look().await }),
        )
        .retried_after(KEYS_RETRY_INTERVAL),
        binding_ends(parts),
        event_stream(parts),
        OwnJob::new(
            "shared_jobs",
            Pace::Clock(DUE_CHECK_INTERVAL),
            "what one process does for all is left to others for now",
            run(shared, |shared| async move { shared.look().await }),
        ),
        OwnJob::new(
            "seen_tokens",
            Pace::AsWorkComes,
            "access tokens that were seen are noted later",
            run(sessions, |sessions| async move { sessions.note_seen().await }),
        ),
        OwnJob::new(
            "failed_passwords",
            Pace::AsWorkComes,
            "passwords that failed are written later",
            run(guessing, |guessing| async move { guessing.write_failures().await }),
        ),
        OwnJob::new(
            "audit_database",
            Pace::AsWorkComes,
            "audit events come into the database later",
            run(audit_trail, |audit_trail| async move { audit_trail.write_events().await }),
        ),
    ]
}

/// Telling of the bindings that have come to their end.
fn binding_ends(parts: &Parts) -> OwnJob {
    let ends = BindingEnds::new(parts.store.clone(), Arc::clone(&parts.clocks), parts.audit.clone());
    let look = run(Arc::new(ends), |ends| async move { ends.look().await });
    let failing = "that bindings have ended is told later: they give nothing all the same";
    OwnJob::new("binding_ends", Pace::Slept(BINDING_ENDS_INTERVAL), failing, look)
}

/// Telling those who follow what changes.
fn event_stream(parts: &Parts) -> OwnJob {
    let tell = run(Arc::clone(&parts.stream), |stream| async move {
        stream.tell().await;
        Ok::<_, Infallible>(())
    });
    let failing = "those who follow the stream of changes are told later";
    OwnJob::new("event_stream", Pace::AsWorkComes, failing, tell)
}

/// Following the files of TLS.
fn tls_files(tls: &Arc<Tls>) -> OwnJob {
    let look = run(Arc::clone(tls), |tls| async move { tls.look().await });
    let failing = "the changed TLS files cannot be used: what was read before stays in use";
    OwnJob::new("tls_files", Pace::Slept(TLS_FILES_INTERVAL), failing, look).told_each_time()
}

/// Closing the connections of those who do not read their answers, which goes on while the service drains.
pub(super) fn unread_answers(pools: &Pools, parts: &Parts) -> OwnJobs {
    let close = run(Arc::new(pools.clone()), |pools| async move {
        pools.close_unread();
        Ok::<_, Infallible>(())
    });
    let failing = "connections whose answers nobody reads stay open for now";
    let job = OwnJob::new("unread_answers", Pace::Slept(UNREAD_INTERVAL), failing, close);
    OwnJobs::start(vec![job], &parts.clock, parts.store.entropy(), &parts.metrics.jobs)
}

/// What has `part` do `once`, again and again.
fn run<T: ?Sized, F>(part: Arc<T>, once: fn(Arc<T>) -> F) -> impl Fn() -> F {
    move || once(Arc::clone(&part))
}

#[cfg(test)]
mod tests {
    use std::{
        future::ready,
        sync::{
            Mutex,
            atomic::{AtomicBool, Ordering},
            mpsc,
        },
    };

    use tokio::sync::Semaphore;

    use super::*;
    use crate::{
        base::{Clock, Entropy, Timestamp},
        jobs::easy_shared_jobs,
    };

    /// Longer than the end may take by far.
    const PATIENCE: Duration = Duration::from_mins(1);

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn a_job_that_does_not_end_holds_up_the_end_no_longer_than_the_bound() {
        let (shared, metrics, _dir) = easy_shared_jobs().await;
        let (begun, has_ended) = (Arc::new(Semaphore::new(0)), Arc::new(AtomicBool::new(false)));
        let (release, held) = mpsc::channel::<()>();
        let (held, told, ended) = (Mutex::new(held), Arc::clone(&begun), Arc::clone(&has_ended));
        let hang = move || {
            told.add_permits(1);
            // It waits in its thread, where nothing can drop it.
            let _ = held.lock().unwrap().recv();
            ended.store(true, Ordering::SeqCst);
            ready(Ok::<_, Infallible>(()))
        };
        let job = OwnJob::new("test", Pace::Slept(PATIENCE), "nothing happens", hang);
        let clock = Clock::manual(Timestamp::from_micros(0));
        let own = OwnJobs::start(vec![job], &clock, &Entropy::system(), &metrics.jobs);
        begun.acquire().await.unwrap().forget();
        timeout(PATIENCE, Work { own, shared }.stop()).await.expect("the end has a bound");
        assert!(!has_ended.load(Ordering::SeqCst), "nobody has waited for it");
        drop(release);
    }
}
