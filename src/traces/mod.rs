//! Owns the traces that leave this process: which requests are traced, how many, and that no request waits for whoever takes them.
//!
//! A request that is not traced allocates nothing here. One that is has a `Trace`, to which whoever works for it adds spans; at its end
//! that goes into a queue, whose other end a thread of its own sends to the collector.

mod export;
mod sampler;
mod settings;

use std::{
    io,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    thread,
    time::Duration,
};

use http::HeaderMap;
use tokio::{
    sync::{mpsc, oneshot},
    time::timeout,
};
use tokio_util::sync::CancellationToken;

use crate::base::{Clock, Done, Entropy, FinishedTrace, PerSecond, TRACEPARENT, Trace, TraceParent};

pub(crate) use sampler::Ratio;
pub use sampler::{Root, Sampler};
pub use settings::{Protocol, Resource, TraceSettings};

use export::Exporter;

/// How many traces may leave in one second, and how many may begin.
const MAX_TRACES_A_SECOND: u32 = 100;

/// How many traces may wait for the collector: with all spans that each may have, some 4 MB.
const MAX_WAITING: usize = 256;

/// What traces take that have ended: those that wait, and those that are being sent, of which there are three forms at once.
pub(crate) const MAX_BYTES: u64 = 8 * 1_024 * 1_024;

/// What traces requests. Clones have one bound, and one queue.
#[derive(Clone, Debug)]
pub(crate) struct Traces(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    sampler: Sampler,
    clock: Clock,
    entropy: Entropy,
    begun: PerSecond,
    queue: mpsc::Sender<FinishedTrace>,
    counts: Arc<Counts>,
}

/// What has become of traces.
#[derive(Debug, Default)]
pub(crate) struct Counts {
    sent: AtomicU64,
    lost: AtomicU64,
    left_out: AtomicU64,
}

/// The thread that sends them.
#[derive(Debug)]
pub(crate) struct Sending {
    stop: CancellationToken,
    /// Dropped when the thread has ended.
    ended: oneshot::Receiver<()>,
}

impl Traces {
    /// Traces requests as `settings` say, and starts what sends the traces. They are of `resource`.
    ///
    /// # Errors
    /// If the system has no room for a thread, or what was set for TLS cannot be used.
    pub(crate) async fn start(
        settings: TraceSettings,
        resource: Resource,
        clock: Clock,
        entropy: Entropy,
    ) -> io::Result<(Self, Sending)> {
        let (queue, waiting) = mpsc::channel(MAX_WAITING);
        let (counts, stop) = (Arc::<Counts>::default(), CancellationToken::new());
        let sampler = settings.sampler;
        let exporter = {
            let (clock, counts) = (clock.clone(), Arc::clone(&counts));
            move || Exporter::new(settings, resource, clock, counts)
        };
        let (ending, ended) = oneshot::channel();
        let (started, starting) = oneshot::channel();
        let stopped = stop.clone();
        thread::Builder::new().name("traces".to_owned()).spawn(move || {
            run(exporter, waiting, stopped, started);
            drop(ending);
        })?;
        starting.await.map_err(io::Error::other)??;
        let begun = PerSecond::new(MAX_TRACES_A_SECOND);
        let shared = Shared { sampler, clock, entropy, begun, queue, counts };
        Ok((Self(Arc::new(shared)), Sending { stop, ended }))
    }

    /// The trace of a request with `headers`, if it is traced. What these say of being kept counts if the sender `is_trusted`.
    pub(crate) fn begin(&self, headers: &HeaderMap, is_trusted: bool) -> Option<Trace> {
        let Shared { sampler, clock, entropy, begun, counts, .. } = &*self.0;
        let parent = parent(headers);
        if !sampler.takes(parent.as_ref(), is_trusted, || u64::from_be_bytes(entropy.bytes())) {
            return None;
        }
        if begun.pass(clock.monotonic()).is_none() {
            counts.left_out.fetch_add(1, Ordering::Relaxed);
            return None;
        }
        Some(Trace::begin(parent, clock.clone(), entropy.clone()))
    }

    /// The request of `trace` has ended, which was `done`.
    pub(crate) fn end(&self, trace: &Trace, done: Done) {
        if let Some(finished) = trace.finish(done)
            && self.0.queue.try_send(finished).is_err()
        {
            self.0.counts.lost.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// What has become of traces.
    pub(crate) fn counts(&self) -> Arc<Counts> {
        Arc::clone(&self.0.counts)
    }
}

/// The life of the thread that sends what comes by `waiting`, and tells `started` whether it can.
fn run(
    exporter: impl FnOnce() -> io::Result<Exporter>,
    waiting: mpsc::Receiver<FinishedTrace>,
    stop: CancellationToken,
    started: oneshot::Sender<io::Result<()>>,
) {
    // One of its own: what drives connections must not wait for what serves.
    let runtime = match tokio::runtime::Builder::new_current_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => {
            let _ = started.send(Err(error));
            return;
        }
    };
    runtime.block_on(async {
        match exporter() {
            Ok(exporter) => {
                let _ = started.send(Ok(()));
                exporter.run(waiting, stop).await;
            }
            Err(error) => {
                let _ = started.send(Err(error));
            }
        }
    });
}

/// What `headers` say of the trace that the request belongs to; nothing if they say two things.
fn parent(headers: &HeaderMap) -> Option<TraceParent> {
    let mut said = headers.get_all(TRACEPARENT).iter();
    let only = said.next().filter(|_| said.next().is_none());
    only.and_then(|header| TraceParent::parse(header.as_bytes()))
}

impl Counts {
    /// How many were sent.
    pub(crate) fn sent(&self) -> u64 {
        self.sent.load(Ordering::Relaxed)
    }

    /// How many were lost, since the collector did not take them.
    pub(crate) fn lost(&self) -> u64 {
        self.lost.load(Ordering::Relaxed)
    }

    /// How many requests were not traced since too many were.
    pub(crate) fn left_out(&self) -> u64 {
        self.left_out.load(Ordering::Relaxed)
    }
}

impl Sending {
    /// Sends what waits, but for no longer than `within`. What is not sent then is lost.
    pub(crate) async fn close(self, within: Duration) {
        self.stop.cancel();
        // Its sender is dropped: that is the answer.
        let _ = timeout(within, self.ended).await;
    }
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;
    use crate::base::Timestamp;

    const SAMPLED: &str = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";

    /// What traces by `sampler`; and what has left.
    fn traces(sampler: Sampler) -> (Traces, mpsc::Receiver<FinishedTrace>, Clock) {
        let (queue, left) = mpsc::channel(MAX_WAITING);
        let clock = Clock::manual(Timestamp::from_micros(0));
        let shared = Shared {
            sampler,
            clock: clock.clone(),
            entropy: Entropy::seeded(1),
            begun: PerSecond::new(MAX_TRACES_A_SECOND),
            queue,
            counts: Arc::default(),
        };
        (Traces(Arc::new(shared)), left, clock)
    }

    fn always() -> Sampler {
        Sampler { root: Root::Always, is_parent_based: true }
    }

    #[test]
    fn at_most_so_many_are_begun_in_a_second_and_the_others_are_counted() {
        let (traces, _left, clock) = traces(always());
        let begun =
            |count: u32| (0..count).filter(|_| traces.begin(&HeaderMap::new(), false).is_some()).count();
        assert_eq!(begun(1_000), 100);
        assert_eq!(traces.counts().left_out(), 900);
        clock.advance(Duration::from_secs(1));
        assert_eq!(begun(1_000), 100);
    }

    #[test]
    fn nobody_waits_for_a_queue_that_is_full() {
        let (traces, mut left, clock) = traces(always());
        for _ in 0..MAX_WAITING + 7 {
            clock.advance(Duration::from_secs(1));
            let trace = traces.begin(&HeaderMap::new(), false).unwrap();
            traces.end(&trace, Done::internal("request", false));
        }
        assert_eq!(traces.counts().lost(), 7);
        assert_eq!(std::iter::from_fn(|| left.try_recv().ok()).count(), MAX_WAITING);
    }

    #[test]
    fn two_parents_are_none() {
        let mut headers = HeaderMap::new();
        headers.append(TRACEPARENT, HeaderValue::from_static(SAMPLED));
        assert!(parent(&headers).is_some_and(|parent| parent.is_sampled));
        headers.append(TRACEPARENT, HeaderValue::from_static(SAMPLED));
        assert_eq!(parent(&headers), None);
    }
}
