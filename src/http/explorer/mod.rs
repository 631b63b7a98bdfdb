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
    draining::{self, OAuthDrain},
    etag, method_not_allowed, not_found,
    openapi::{Document, Rpcs},
    refusal::Refusal,
};

pub(crate) use front::Front;
pub(crate) use guard::ExplorerGuard;

/// Where the explorer is.
pub(crate) const EXPLORER: &str = "/explorer";

/// Where the document is.
pub(crate) const OPENAPI: &str = "/openapi.json";

/// What pages of this service may do: nothing that is not from here, and no script that stands in them. Swagger UI sets styles of elements.
const CONTENT_SECURITY_POLICY: &str = "default-src 'none'; form-action 'none'; script-src 'self'; connect-src 'self'; \
    img-src 'self' data:; style-src 'self' 'unsafe-inline'; frame-ancestors 'none'; base-uri 'none'";

const HEADERS: [(HeaderName, &str); 3] = [
    (header::CONTENT_SECURITY_POLICY, CONTENT_SECURITY_POLICY),
    (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
    (header::REFERRER_POLICY, "no-referrer"),
];

/// How every copy is kept: it is asked whether it is still the same, since another release has another page at the same path.
pub(super) const CACHE_CONTROL: &str = "no-cache";

/// The explorer of one listener.
#[derive(Clone, Debug)]
pub(crate) struct Explorer {
    /// Whom it answers.
    pub(crate) guard: ExplorerGuard,
    /// The paths of RPCs that are served beside it to whom it answers, as patterns of the router.
    pub(crate) rpcs: Vec<String>,
    /// How they end.
    pub(crate) drain: OAuthDrain,
}

/// What browsers find at `--http-addr`: the page `front`, the `document`, and the explorer, if it is there.
pub(super) fn router(
    front: Front,
    document: Document,
    explorer: Option<&Explorer>,
    limits: HttpAdmission,
) -> Router {
    let guard = explorer.map(|explorer| explorer.guard.clone());
    let open = Router::new()
        .route("/", get(front::front).with_state((Arc::new(front), guard.clone())))
        .route(OPENAPI, get(told).with_state((document, guard)))
        .method_not_allowed_fallback(method_not_allowed);
    let guarded = explorer.map_or_else(Router::new, guarded);
    dressed(open.merge(guarded), limits)
}

/// The explorer of another listener, with its `document`, and what its page needs `beside` it.
pub(crate) fn explorer_router(
    explorer: &Explorer,
    document: Document,
    beside: Router,
    limits: HttpAdmission,
) -> Router {
    let guard = explorer.guard.clone();
    let told = get(told).with_state((document, Some(guard.clone())));
    let document = Router::new()
        .route(OPENAPI, told)
        .method_not_allowed_fallback(method_not_allowed)
        .layer(from_fn_with_state(guard, guard::check));
    dressed(document.merge(guarded(explorer)), limits.clone())
        .merge(beside.layer(from_fn_with_state(limits, bound_headers)))
        .fallback(not_found)
}

/// What the guard stands before: the explorer, and RPCs that it has not let pass.
fn guarded(explorer: &Explorer) -> Router {
    let pages = Router::new()
        .route(EXPLORER, get(page))
        .route(&format!("{EXPLORER}/{{file}}"), get(assets::asset))
        .method_not_allowed_fallback(method_not_allowed);
    let rpcs = explorer.rpcs.iter().fold(Router::new(), |router, path| router.route(path, any(not_found)));
    let rpcs = rpcs.layer(from_fn_with_state(explorer.drain.clone(), draining::gate));
    pages.merge(rpcs).layer(from_fn_with_state(explorer.guard.clone(), guard::check))
}

/// `router`, behind what bounds requests, and with the headers of pages.
fn dressed(router: Router, limits: HttpAdmission) -> Router {
    router
        .layer(from_fn_with_state(limits.clone(), admit))
        .layer(from_fn_with_state(limits, bound_headers))
        // Outside of all that refuses: a browser shows refusals, too.
        .layer(map_response(with_headers))
}

async fn with_headers(mut response: Response) -> Response {
    for (name, value) in HEADERS {
        response.headers_mut().insert(name, HeaderValue::from_static(value));
    }
    response
}

async fn page() -> impl IntoResponse {
    ([(header::CACHE_CONTROL, CACHE_CONTROL)], Html(include_str!("explorer.html")))
}

/// The document, as it is true for whoever sends `request`.
async fn told(
    State((document, guard)): State<(Document, Option<ExplorerGuard>)>,
    request: Request,
) -> Response {
    let is_here = guard.is_some_and(|guard| guard.allow(&request).is_ok());
    let text = document.text(if is_here { Rpcs::Here } else { Rpcs::Elsewhere });
    let etag = etag::of(&text);
    let headers = [(header::CACHE_CONTROL, CACHE_CONTROL.to_owned()), (header::ETAG, etag.clone())];
    if etag::names(request.headers(), &etag) {
        return (StatusCode::NOT_MODIFIED, headers).into_response();
    }
    (headers, [(header::CONTENT_TYPE, "application/json")], text).into_response()
}
