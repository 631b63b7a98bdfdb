//! Owns what is done around each call of the admin API: one that is refused to a caller who is known is told, whether the policy refuses it
//! or what decides in the transaction of the change; and what it has changed holds at this process once it is answered.

use std::{
    future::Future,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
};

use http::{Extensions, HeaderMap, Request, Response, header::USER_AGENT};
use tonic::{Code, Status, body::Body};
use tonic_types::StatusExt;
use tower::{Layer, Service};

use crate::{auth::CallerSlot, identity::AdminRefusals, model::Origin, peer::PeerAddress};

/// With what the path of every call of the admin API begins.
const ADMIN_API: [&str; 2] = ["/identity.admin.", "/identity.policy."];

/// What is refused by another code than that of a lack of permission, to who reaches for more than they may, or whose token has ended
/// meanwhile.
const TOLD: [&str; 6] =
    ["LAST_ADMIN", "SET_OF_ANOTHER", "MAKER_LACKS_SCOPE", "BUILT_IN_ROLE", "RESERVED", "TOKEN_REVOKED"];

/// Ends once this process has heard what has been changed, as others do.
pub(crate) type Hearing = Pin<Box<dyn Future<Output = ()> + Send>>;

/// What is done around each call.
#[derive(Clone)]
pub(crate) struct AdminCallsLayer {
    refusals: Arc<AdminRefusals>,
    hear: Arc<dyn Fn() -> Hearing + Send + Sync>,
}

/// A gRPC service around whose calls it is done.
#[derive(Clone)]
pub(crate) struct AdminCallsService<Inner> {
    layer: AdminCallsLayer,
    inner: Inner,
}

impl AdminCallsLayer {
    /// Refusals are told to `refusals`. `hear` has this process hear of changes, its own among them.
    pub(crate) fn new(refusals: AdminRefusals, hear: impl Fn() -> Hearing + Send + Sync + 'static) -> Self {
        Self { refusals: Arc::new(refusals), hear: Arc::new(hear) }
    }
}

/// Whether the method at `path` only reads (AIP-131, AIP-132, AIP-136).
fn reads(path: &str) -> bool {
    let name = path.rsplit('/').next().unwrap_or_default();
    ["Get", "List", "Diff", "Explain"].iter().any(|verb| name.starts_with(verb))
}

/// Where a request with these comes from, as far as can be seen.
fn origin(headers: &HeaderMap, extensions: &Extensions) -> Origin {
    let user_agent = headers.get(USER_AGENT).and_then(|value| value.to_str().ok());
    let origin = Origin::of(user_agent, extensions.get::<PeerAddress>().map(|peer| peer.ip()));
    origin.of_request(extensions.get().copied())
}

/// Tells of `response`, if it refuses the call of `method` to the caller in `slot`.
fn tell(
    refusals: &AdminRefusals,
    slot: &CallerSlot,
    origin: &Origin,
    method: &str,
    response: &Response<Body>,
) {
    let Some(status) = Status::from_header_map(response.headers()) else { return };
    let Some(caller) = slot.caller().filter(|_| status.code() != Code::Ok) else { return };
    let reason = status.get_details_error_info().map(|info| info.reason).unwrap_or_default();
    if status.code() == Code::PermissionDenied || TOLD.contains(&&*reason) {
        refusals.tell(caller, origin, method, &reason);
    }
}

// ===== the plumbing of tower =====

impl<Inner> Layer<Inner> for AdminCallsLayer {
    type Service = AdminCallsService<Inner>;

    fn layer(&self, inner: Inner) -> Self::Service {
        AdminCallsService { layer: self.clone(), inner }
    }
}

impl<Inner, B> Service<Request<B>> for AdminCallsService<Inner>
where
    Inner: Service<Request<B>, Response = Response<Body>>,
    Inner::Future: Send + 'static,
    Inner::Error: Send,
{
    type Response = Response<Body>;
    type Error = Inner::Error;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, Self::Error>> + Send>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        self.inner.poll_ready(context)
    }

    fn call(&mut self, mut request: Request<B>) -> Self::Future {
        let path = request.uri().path();
        if !ADMIN_API.iter().any(|packages| path.starts_with(packages)) {
            return Box::pin(self.inner.call(request));
        }
        let method = path.trim_start_matches('/').to_owned();
        let origin = origin(request.headers(), request.extensions());
        // Another layer may ask for it, too.
        let slot = request.extensions_mut().get_or_insert_default::<CallerSlot>().clone();
        let AdminCallsLayer { refusals, hear } = self.layer.clone();
        let answered = self.inner.call(request);
        Box::pin(async move {
            let response = answered.await?;
            tell(&refusals, &slot, &origin, &method, &response);
            if !reads(&method) && Status::from_header_map(response.headers()).is_none() {
                hear().await;
            }
            Ok(response)
        })
    }
}
