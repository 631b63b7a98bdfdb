//! Owns `GET /metrics`.

use std::{
    net::SocketAddr,
    sync::{Arc, Mutex, PoisonError, Weak},
};

use axum::{Router, body::Bytes, extract::State, http::header, response::IntoResponse, routing::get};
use tokio::sync::OnceCell;

use super::refusal::Refusal;
use crate::{
    metrics::{CONTENT_TYPE, Metrics},
    model::Error,
};

/// Where metrics are.
const METRICS: &str = "/metrics";

/// The text of all series, written once for all who ask at a time: what they cost does not grow with their number, neither in
/// work nor in memory.
struct Exposition {
    metrics: Arc<Metrics>,
    /// The text that is being written, held by those who wait for it.
    writing: Mutex<Weak<OnceCell<Bytes>>>,
}

/// `/metrics`.
pub(crate) fn router(metrics: Arc<Metrics>) -> Router {
    let exposition = Arc::new(Exposition { metrics, writing: Mutex::default() });
    Router::new().route(METRICS, get(show).with_state(exposition))
}

/// `/metrics` at an address where metrics are not served.
pub(crate) fn elsewhere(operations_addr: Option<SocketAddr>) -> Router {
    let refuse = move || async move { Refusal::from(Error::MetricsElsewhere { operations_addr }) };
    Router::new().route(METRICS, get(refuse))
}

/// Every series, in the text format of Prometheus.
async fn show(State(exposition): State<Arc<Exposition>>) -> Result<impl IntoResponse, Refusal> {
    let text = exposition.text().await?;
    Ok(([(header::CONTENT_TYPE, CONTENT_TYPE), (header::CACHE_CONTROL, "no-store")], text))
}

impl Exposition {
    async fn text(&self) -> Result<Bytes, Error> {
        let text = {
            let mut writing = self.writing.lock().unwrap_or_else(PoisonError::into_inner);
            writing.upgrade().unwrap_or_else(|| {
                let text = Arc::default();
                *writing = Arc::downgrade(&text);
                text
            })
        };
        let written = text.get_or_try_init(async || {
            let metrics = Arc::clone(&self.metrics);
            // Not on a serving thread: it takes as long as hundreds of calls.
            let written = tokio::task::spawn_blocking(move || Bytes::from(metrics.text())).await;
            // Who asks from now on wants what is true from now on.
            *self.writing.lock().unwrap_or_else(PoisonError::into_inner) = Weak::new();
            written.map_err(Error::internal)
        });
        written.await.cloned()
    }
}

#[cfg(test)]
mod tests {
    use std::{
        pin::pin,
        sync::{
            atomic::{AtomicU32, Ordering},
            mpsc,
        },
        task::Poll,
    };

    use super::*;
    use crate::metrics::families::{Family, Kind};

    const READS: Family = Family {
        name: "test_reads",
        kind: Kind::Gauge,
        labels: &[],
        help: "How often it was read.",
        more: "",
    };

    /// Metrics that are read once for each token that the sender gives; and how often they were.
    fn metered() -> (Arc<Exposition>, mpsc::Sender<()>, Arc<AtomicU32>) {
        let (metrics, read) = (Arc::new(Metrics::new()), Arc::new(AtomicU32::new(0)));
        let ((release, wait), count) = (mpsc::channel::<()>(), Arc::clone(&read));
        let wait = Mutex::new(wait);
        metrics.watch(&READS, move || {
            wait.lock().unwrap().recv().unwrap();
            f64::from(count.fetch_add(1, Ordering::SeqCst) + 1)
        });
        (Arc::new(Exposition { metrics, writing: Mutex::default() }), release, read)
    }

    #[tokio::test]
    async fn all_who_ask_at_a_time_share_one_text_and_who_asks_later_gets_the_next() {
        let (exposition, release, read) = metered();
        let mut askers: Vec<_> = (0..100)
            .map(|_| {
                let exposition = Arc::clone(&exposition);
                Box::pin(async move { exposition.text().await.unwrap() })
            })
            .collect();
        for asker in &mut askers {
            assert!(matches!(futures_util::poll!(asker.as_mut()), Poll::Pending));
        }
        release.send(()).unwrap();
        let first = askers.remove(0).await;
        for asker in askers {
            assert_eq!(asker.await.as_ptr(), first.as_ptr(), "the same bytes in memory");
        }
        assert_eq!(read.load(Ordering::SeqCst), 1);

        release.send(()).unwrap();
        let next = exposition.text().await.unwrap();
        assert!(String::from_utf8_lossy(&first).contains("\ntest_reads 1\n"));
        assert!(String::from_utf8_lossy(&next).contains("\ntest_reads 2\n"));
    }

    #[tokio::test]
    async fn others_get_their_text_when_who_asked_first_goes_away() {
        let (exposition, release, _) = metered();
        let mut second = pin!(exposition.text());
        {
            let mut first = pin!(exposition.text());
            assert!(matches!(futures_util::poll!(first.as_mut()), Poll::Pending));
            assert!(matches!(futures_util::poll!(second.as_mut()), Poll::Pending));
        }
        // One for the text that was begun for the first, and one for the second's own.
        release.send(()).unwrap();
        release.send(()).unwrap();
        assert!(String::from_utf8_lossy(&second.await.unwrap()).contains("\ntest_reads "));
    }
}
