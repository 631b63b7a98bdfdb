//! Owns what browsers are shown: the page at `/`, the document `/openapi.json`, and the explorer, which has every call tried.

mod assets;
mod front;
mod guard;

use std::sync::Arc;

use axum::{
    Router,
    extract::{Request, State},
    http::{HeaderName, HeaderValue, StatusCode, header},
    middleware::{from_fn_with_state, map_response},
    response::{Html, IntoResponse, Response},
    routing::{any, get},
};

use super::{
    admit::{HttpAdmission, admit, bound_headers},
    draining::{self, HttpDrain},
    etag, method_not_allowed, not_found,
    openapi::{Document, Rpcs, Written},
    refusal::Refusal,
};

pub(crate) use front::Front;
pub(crate) use guard::{ExplorerGuard, KeptOut};

/// Where the explorer is.
pub(crate) const EXPLORER: &str = "/explorer";

/// Below it, the files of its page.
pub(super) const FILES: &str = "/{*file}";

/// Where the document is.
pub(crate) const OPENAPI_PATH: &str = "/openapi.json";

/// What pages of this service may do: nothing that is not from here, and no script that stands in them. Swagger UI sets styles of elements.
const CONTENT_SECURITY_POLICY: &str = "default-src 'none'; form-action 'none'; script-src 'self'; connect-src 'self'; \
    img-src 'self' data:; style-src 'self' 'unsafe-inline'; frame-ancestors 'none'; base-uri 'none'";

const HEADERS: [(HeaderName, &str); 3] = [
    (header::CONTENT_SECURITY_POLICY, CONTENT_SECURITY_POLICY),
    (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
    (header::REFERRER_POLICY, "no-referrer"),
];

/// Browsers ask again before they use a copy: another release has another page at the same path.
pub(super) const CACHE_CONTROL: &str = "no-cache";

/// The explorer of one listener.
#[derive(Clone, Debug)]
pub(crate) struct Explorer {
    /// Whom it answers.
    pub(crate) guard: ExplorerGuard,
    /// The paths of the RPCs that its page calls at its own origin, as patterns of the router.
    pub(crate) rpcs: Vec<String>,
    /// How they end.
    pub(crate) drain: HttpDrain,
}

/// What browsers find at `--http-addr`: the page `front`, the `document`, and the explorer, if it is there; below each of `prefixes`.
pub(super) fn router<'a>(
    prefixes: impl IntoIterator<Item = &'a str>,
    front: Front,
    document: Document,
    explorer: Option<&Explorer>,
    limits: HttpAdmission,
) -> Router {
    let guard = explorer.map(|explorer| explorer.guard.clone());
    let front = get(front::front_page).with_state((Arc::new(front), guard.clone()));
    let document = get(openapi_json).with_state((document, guard));
    let (mut open, mut pages) = (Router::new(), Router::new());
    for prefix in prefixes {
        open = open
            .route(&format!("{prefix}/"), front.clone())
            .route(&format!("{prefix}{OPENAPI_PATH}"), document.clone());
        pages = explorer.map_or_else(Router::new, |explorer| guarded(prefix, explorer)).merge(pages);
    }
    with_page_headers(open.method_not_allowed_fallback(method_not_allowed).merge(pages), limits)
}

/// The explorer of another listener, with its `document`, and what its page needs `beside` it.
pub(crate) fn explorer_router(
    explorer: &Explorer,
    document: Document,
    beside: Router,
    limits: HttpAdmission,
) -> Router {
    let guard = explorer.guard.clone();
    let document = get(openapi_json).with_state((document, Some(guard.clone())));
    let document = Router::new()
        .route(OPENAPI_PATH, document)
        .method_not_allowed_fallback(method_not_allowed)
        .layer(from_fn_with_state(guard.clone(), guard::check));
    let beside = beside
        .layer(from_fn_with_state(guard, guard::check))
        .layer(from_fn_with_state(limits.clone(), bound_headers));
    with_page_headers(document.merge(guarded("", explorer)), limits)
        .merge(beside)
        .fallback(not_found)
        .layer(map_response(add_page_headers))
}

/// The explorer below `prefix`, and the RPCs of its page that were not called, all behind its guard.
fn guarded(prefix: &str, explorer: &Explorer) -> Router {
    let pages = Router::new()
        .route(&format!("{prefix}{EXPLORER}"), get(explorer_page))
        .route(&format!("{prefix}{EXPLORER}/"), any(not_found))
        .route(&format!("{prefix}{EXPLORER}{FILES}"), get(assets::asset))
        .method_not_allowed_fallback(method_not_allowed);
    let add = |router: Router, path: &String| router.route(&format!("{prefix}{path}"), any(not_found));
    let rpcs = explorer.rpcs.iter().fold(Router::new(), add);
    let rpcs = rpcs.layer(from_fn_with_state(explorer.drain.clone(), draining::gate));
    pages.merge(rpcs).layer(from_fn_with_state(explorer.guard.clone(), guard::check))
}

/// `router`, behind what bounds requests, and with the headers of pages.
fn with_page_headers(router: Router, limits: HttpAdmission) -> Router {
    router
        .layer(from_fn_with_state(limits.clone(), admit))
        .layer(from_fn_with_state(limits, bound_headers))
        // Outside of all that refuses: a browser shows refusals, too.
        .layer(map_response(add_page_headers))
}

async fn add_page_headers(mut response: Response) -> Response {
    for (name, value) in HEADERS {
        response.headers_mut().insert(name, HeaderValue::from_static(value));
    }
    response
}

async fn explorer_page() -> impl IntoResponse {
    ([(header::CACHE_CONTROL, CACHE_CONTROL)], Html(include_str!("explorer.html")))
}

/// The document, as it is true for whoever sends `request`.
async fn openapi_json(
    State((document, guard)): State<(Document, Option<ExplorerGuard>)>,
    request: Request,
) -> Response {
    let is_here = guard.is_some_and(|guard| guard.allows_calls(&request));
    let Written { text, etag } = document.written(if is_here { Rpcs::Here } else { Rpcs::Elsewhere });
    let headers = [(header::CACHE_CONTROL, CACHE_CONTROL), (header::ETAG, etag.as_str())];
    if etag::names(request.headers(), etag) {
        return (StatusCode::NOT_MODIFIED, headers).into_response();
    }
    (headers, [(header::CONTENT_TYPE, "application/json")], text.clone()).into_response()
}
