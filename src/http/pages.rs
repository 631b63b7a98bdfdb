//! Owns what web pages may call over HTTP, and CORS, by which a browser learns whose scripts may read the answers.

use std::{sync::Arc, time::Duration};

use axum::{
    extract::{Request, State},
    http::{
        HeaderMap, HeaderName, HeaderValue, Method,
        header::{ACCESS_CONTROL_REQUEST_METHOD, ORIGIN, RETRY_AFTER, VARY},
    },
    middleware::Next,
    response::Response,
};
use tower::{Layer, ServiceExt};
use tower_http::cors::{AllowHeaders, Any, CorsLayer, Vary};

use super::refusal::Refusal;
use crate::model::{Error, REQUEST_ID_HEADER};

/// What a page may read beside what every page may: when to try again, and by what the log finds its request.
const RESPONSE_HEADERS: [HeaderName; 2] = [RETRY_AFTER, HeaderName::from_static(REQUEST_ID_HEADER)];

/// For how long a browser need not ask again: as long as Chromium remembers at most.
const MAX_AGE: Duration = Duration::from_hours(2);

/// The pages that may call.
#[derive(Clone, Debug)]
pub(super) struct Pages {
    origins: Arc<[HeaderValue]>,
    cors: CorsLayer,
}

impl Pages {
    /// Those of `origins`, each as browsers write it.
    pub(super) fn new(origins: Vec<HeaderValue>) -> Self {
        let cors = cors(&[Method::GET, Method::POST]).allow_origin(origins.clone());
        Self { origins: origins.into(), cors }
    }

    /// Whether a request with `headers` is sent for a page; if it is, the page may call.
    ///
    /// A browser says of each POST, and of whatever a script sends to another origin, whose page sends it (`Origin`), and over TLS whether
    /// that is of another site (Fetch Metadata, `Sec-Fetch-Site`). A page's own origin is allowed no more than others: a stranger's host
    /// name can be made to lead here (DNS rebinding).
    ///
    /// # Errors
    /// [`Error::OriginNotAllowed`]. What a page that may not call has its reader's browser send, it cannot read the answer to, but would
    /// guess from the reader's address, and use up what that may fail.
    fn judge(&self, headers: &HeaderMap) -> Result<bool, Error> {
        let mut origins = headers.get_all(ORIGIN).iter().peekable();
        let names_none = origins.peek().is_none();
        let is_of_another_site = headers.get("sec-fetch-site").is_some_and(|site| site == "cross-site");
        if (names_none && is_of_another_site) || !origins.all(|origin| self.origins.contains(origin)) {
            return Err(Error::OriginNotAllowed);
        }
        Ok(!names_none)
    }
}

/// What is public, for the pages of everybody.
pub(super) fn for_every_page() -> CorsLayer {
    // What is answered depends on nothing that the request says, so that caches may share it.
    cors(&[Method::GET]).allow_origin(Any).vary(Vary::list([]))
}

/// CORS for requests with `methods`. A page may send whatever headers it likes, for tracers put theirs into all that it sends: none makes
/// anybody believe anything. Nobody is known by a cookie, so credentials are never allowed.
fn cors(methods: &[Method]) -> CorsLayer {
    CorsLayer::new()
        .allow_methods(methods.to_vec())
        .allow_headers(AllowHeaders::mirror_request())
        .expose_headers(RESPONSE_HEADERS)
        .max_age(MAX_AGE)
}

/// Serves pages that may call, with what lets their scripts read the answer, and whoever is no page; and refuses other pages.
pub(super) async fn serve(
    State(pages): State<Pages>,
    request: Request,
    next: Next,
) -> Result<Response, Refusal> {
    let is_of_page = pages.judge(request.headers())?;
    let is_preflight = request.headers().contains_key(ACCESS_CONTROL_REQUEST_METHOD);
    if is_of_page && (is_preflight || request.method() != Method::OPTIONS) {
        let Ok(answer) = pages.cors.layer(next).oneshot(request).await;
        return Ok(answer);
    }
    let mut answer = next.run(request).await;
    // Had it named an origin, it would be another.
    answer.headers_mut().append(VARY, HeaderValue::from_static("origin"));
    Ok(answer)
}

/// Refuses pages that may not call, where the answers are for no script: those of confidential clients.
pub(super) async fn refuse_others(
    State(pages): State<Pages>,
    request: Request,
    next: Next,
) -> Result<Response, Refusal> {
    pages.judge(request.headers())?;
    Ok(next.run(request).await)
}
