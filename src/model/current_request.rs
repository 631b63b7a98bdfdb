//! Owns what is known of the request that the running task works for: lines that are written far below those who know the request tell its
//! id, and what is waited for there becomes a span of its trace.

use std::cell::{Cell, RefCell};

use super::RequestId;
use crate::base::Trace;

tokio::task_local! {
    static REQUEST: Running;
}

/// A request that is worked for.
struct Running {
    id: Cell<RequestId>,
    /// None if it is not traced.
    trace: RefCell<Option<Trace>>,
}

impl Running {
    const fn new(id: RequestId) -> Self {
        Self { id: Cell::new(id), trace: RefCell::new(None) }
    }
}

/// Does `work` for the request `id`: the lines of the log that it causes tell the id.
pub(crate) async fn for_request<Work: Future>(id: RequestId, work: Work) -> Work::Output {
    REQUEST.scope(Running::new(id), work).await
}

/// `work` for the request that this task works for, whichever task will do it.
pub(crate) fn for_same_request<Work: Future>(work: Work) -> impl Future<Output = Work::Output> {
    let (id, trace) = (current_request(), current_trace());
    async move {
        let Some(id) = id else { return work.await };
        let running = Running { trace: RefCell::new(trace), ..Running::new(id) };
        REQUEST.scope(running, work).await
    }
}

/// The same as [`for_request`], for work that does not wait.
pub(crate) fn at_once_for_request<Answer>(id: RequestId, work: impl FnOnce() -> Answer) -> Answer {
    REQUEST.sync_scope(Running::new(id), work)
}

/// The running task turns out to work for the request `id`, about which somebody else asks.
pub(crate) fn works_for_request(id: RequestId) {
    // Who works for no request, as a test may, has nobody to tell.
    let _ = REQUEST.try_with(|request| request.id.set(id));
}

/// The request that the running task works for, if it is one.
pub(crate) fn current_request() -> Option<RequestId> {
    REQUEST.try_with(|request| request.id.get()).ok()
}

/// What is done for the request that this task works for belongs to `trace` from now on.
pub(crate) fn trace_request(trace: Trace) {
    let _ = REQUEST.try_with(|request| request.trace.replace(Some(trace)));
}

/// The trace of the request that the running task works for, if it is traced.
pub(crate) fn current_trace() -> Option<Trace> {
    REQUEST.try_with(|request| request.trace.borrow().clone()).ok().flatten()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn work_is_done_for_the_request_that_it_was_begun_for() {
        let id = |text: &str| RequestId::parse(text.as_bytes());
        let [one, other, third] = ["one", "other", "third"].map(|text| id(text).unwrap());
        assert_eq!(current_request(), None);
        works_for_request(one);
        assert_eq!(current_request(), None);
        let work = |id| {
            for_request(id, async {
                tokio::task::yield_now().await;
                current_request()
            })
        };
        assert_eq!(tokio::join!(work(one), work(other)), (Some(one), Some(other)));
        let turned_out = for_request(one, async {
            works_for_request(third);
            tokio::task::yield_now().await;
            current_request()
        });
        assert_eq!(turned_out.await, Some(third));
        assert_eq!(at_once_for_request(one, current_request), Some(one));
        let here = || async { current_request() };
        let elsewhere = for_request(one, async { tokio::spawn(for_same_request(here())).await.unwrap() });
        assert_eq!(elsewhere.await, Some(one));
        assert_eq!(tokio::spawn(for_same_request(here())).await.unwrap(), None);
    }
}
