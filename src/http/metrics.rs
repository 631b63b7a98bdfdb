//! Owns `GET /metrics`, and measuring the requests by HTTP.

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
};

/// What stands for every path that is not served: what a client makes up must not make a series.
const UNKNOWN_ROUTE: &str = "unknown";

/// `/metrics`.
pub(crate) fn router(metrics: Arc<Metrics>) -> Router {
    Router::new().route("/metrics", get(show).with_state(metrics))
}

/// `router`, its requests measured.
pub(crate) fn measured(router: Router, metrics: Arc<Metrics>, clock: Clock) -> Router {
    router.layer(from_fn_with_state((metrics, clock), measure))
}

/// Every series, in the text format of Prometheus.
async fn show(State(metrics): State<Arc<Metrics>>) -> impl IntoResponse {
    ([(header::CONTENT_TYPE, CONTENT_TYPE), (header::CACHE_CONTROL, "no-store")], metrics.text())
}

async fn measure(
    State((metrics, clock)): State<(Arc<Metrics>, Clock)>,
    request: Request,
    next: Next,
) -> Response {
    let route = request.extensions().get::<MatchedPath>().cloned();
    let begun = clock.monotonic();
    let response = next.run(request).await;
    let route = route.as_ref().map_or(UNKNOWN_ROUTE, MatchedPath::as_str);
    let took = clock.monotonic().saturating_sub(begun);
    metrics.http.answered(route, response.status().as_str(), took);
    response
}
