//! Owns the end of the OAuth 2.0 endpoints, and of the RPCs beside the explorer: they finish what they have begun and take nothing new,
//! while keys, discovery and probes go on.

use axum::{
    Json,
    extract::{Request, State},
    http::{HeaderValue, StatusCode, Version, header},
    middleware::Next,
    response::{IntoResponse, Response},
};
use serde_json::json;
use tokio_util::{
    sync::CancellationToken,
    task::{TaskTracker, task_tracker::TaskTrackerToken},
};

/// Whether the OAuth 2.0 endpoints, and the RPCs beside the explorer, take requests, and how many they have. Clones are of the same ones.
#[derive(Clone, Debug, Default)]
pub(crate) struct HttpDrain {
    draining: CancellationToken,
    open: TaskTracker,
}

impl HttpDrain {
    /// Takes no more requests, and waits until those that were taken are answered.
    pub(crate) async fn drain(&self) {
        self.draining.cancel();
        self.open.close();
        self.open.wait().await;
    }

    /// Takes a request, which is open until the token is dropped; nothing if no more are taken.
    pub(crate) fn take(&self) -> Option<TaskTrackerToken> {
        // Counted before it is looked, so that none is taken of which the drain does not know.
        let open = self.open.token();
        (!self.draining.is_cancelled()).then_some(open)
    }
}

/// Lets a request on, unless the service is ending.
pub(super) async fn gate(State(drain): State<HttpDrain>, request: Request, next: Next) -> Response {
    match drain.take() {
        Some(_open) => next.run(request).await,
        None => refusal(request.version()),
    }
}

/// It is nobody's failure, so the log does not hear of it.
fn refusal(version: Version) -> Response {
    let body = json!({
        "error": "temporarily_unavailable",
        "error_description": "the service is ending: ask another replica of it",
        "reason": "UNAVAILABLE",
    });
    let headers = [(header::CACHE_CONTROL, "no-store"), (header::RETRY_AFTER, "1")];
    let mut response = (StatusCode::SERVICE_UNAVAILABLE, headers, Json(body)).into_response();
    // HTTP/2 has no such header.
    if version <= Version::HTTP_11 {
        response.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("close"));
    }
    response
}
