//! Owns what is served at `--ext-authz-addr`: gRPC, by which Envoy asks, and forward-auth, by which proxies ask that speak HTTP alone.

use std::sync::Arc;

use axum::body::Body;
use http_body_util::Either;
use hyper::body::Incoming;
use tower::{ServiceExt, service_fn};

use super::{Parts, connections::HttpService, grpc::GrpcService, served::ext_authz_rpc};
use crate::{
    config::{Config, ExtAuthzAddr},
    http::{HttpAdmission, VERIFY, forward_auth_router, measured},
    rpc::meter::MeteredBody,
};

/// `grpc`, and forward-auth beside it: both take their places from one pool, and decide by one code. It is served nowhere else, since it
/// tells strangers whether a token is good, and whose it is.
pub(super) fn service(
    parts: &Parts,
    config: &Config,
    addr: ExtAuthzAddr,
    grpc: impl GrpcService,
) -> impl HttpService<Either<MeteredBody, Body>> {
    let rpc = Arc::new(ext_authz_rpc(parts, config, addr));
    let decide = move |head, parameters: Option<_>| {
        let rpc = Arc::clone(&rpc);
        Box::pin(async move { rpc.verify(&head, parameters.as_ref()).await }) as _
    };
    let limits = HttpAdmission::new(parts.pools.ext_authz.clone(), config.limits.max_header_bytes);
    let router = forward_auth_router(Arc::new(decide), limits);
    // Outermost, so that every question is counted with the status that the proxy gets.
    let forward_auth = measured(router, parts.http_meter("ext_authz"));
    service_fn(move |request: http::Request<Incoming>| {
        let (grpc, forward_auth) = (grpc.clone(), forward_auth.clone());
        async move {
            if request.uri().path() == VERIFY {
                let answered = Box::pin(forward_auth.oneshot(request.map(Body::new))).await;
                answered.map(|response| response.map(Either::Right))
            } else {
                grpc.oneshot(request).await.map(|response| response.map(Either::Left))
            }
        }
    })
}
