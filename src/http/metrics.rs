//! Owns `GET /metrics`, measuring the requests by HTTP, and telling of those that fail.

use std::sync::Arc;

use axum::{
    Router,
    extract::{MatchedPath, Request, State},
    http::header,
    middleware::{Next, from_fn_with_state},
    response::{IntoResponse, Response},
    routing::get,
};

use crate::{
    metrics::{CONTENT_TYPE, Metrics},
    model::Clock,
    status::{Failure, FailureLog},
};

/// What stands for every path that is not served: what a client makes up must not make a series.
const UNKNOWN_ROUTE: &str = "unknown";

/// `/metrics`.
pub(crate) fn router(metrics: Arc<Metrics>) -> Router {
    Router::new().route("/metrics", get(show).with_state(metrics))
}

/// What measures requests.
#[derive(Clone)]
struct Meter {
    metrics: Arc<Metrics>,
    clock: Clock,
    failures: FailureLog,
}

/// `router`, its requests measured, and `failures` told of those that fail.
pub(crate) fn measured(router: Router, metrics: Arc<Metrics>, clock: Clock, failures: FailureLog) -> Router {
    router.layer(from_fn_with_state(Meter { metrics, clock, failures }, measure))
}

/// Every series, in the text format of Prometheus.
async fn show(State(metrics): State<Arc<Metrics>>) -> impl IntoResponse {
    ([(header::CONTENT_TYPE, CONTENT_TYPE), (header::CACHE_CONTROL, "no-store")], metrics.text())
}

async fn measure(State(meter): State<Meter>, request: Request, next: Next) -> Response {
    let Meter { metrics, clock, failures } = meter;
    let route = request.extensions().get::<MatchedPath>().cloned();
    let begun = clock.monotonic();
    let response = next.run(request).await;
    let route = route.as_ref().map_or(UNKNOWN_ROUTE, MatchedPath::as_str);
    let took = clock.monotonic().saturating_sub(begun);
    if let Some(failure) = response.extensions().get::<Failure>() {
        failures.tell(route, failure);
    }
    metrics.http.answered(route, response.status().as_str(), took);
    response
}
