//! Owns the explorer's side of the composition: at which listener it is, whom it answers, and which RPCs its page calls at its own origin.

use std::net::SocketAddr;

use axum::{Router, body::Body};
use http_body_util::Either;
use hyper::body::Incoming;
use tower::{ServiceExt, service_fn};

use super::{
    Parts,
    connections::HttpService,
    grpc::{GrpcService, policy},
    operations::issuer_host,
    served::{self, GrpcListener},
};
use crate::{
    config::{Config, ConfigError, ExplorerPlace, ExtAuthzAddr, Switch},
    http::{
        Described, Document, EXPLORER, EndpointsDescribed, Entrance, Explorer, ExplorerGuard, Front,
        HttpAdmission, OAuthDrain, OPENAPI, TOKEN, TokenEndpoint, explorer_router, measured, token_router,
    },
    model::{AdminScope, AllowedHosts, Error, HostPattern},
    proto::described,
    rpc::meter::MeteredBody,
};

/// The one name that leads each machine to itself.
const LOCALHOST: &str = "localhost";

/// Where the explorer is, and whom it answers.
#[derive(Clone, Debug)]
pub(super) struct Explored {
    place: ExplorerPlace,
    guard: ExplorerGuard,
}

impl Explored {
    /// By the settings of `config`, whose HTTP has the address `http_addr` and whose issuer is settled.
    ///
    /// # Errors
    /// If it is to be where nothing is served.
    pub(super) fn settle(config: &Config, http_addr: SocketAddr) -> Result<Self, ConfigError> {
        let issuer = config.tokens.issuer();
        let is_local = http_addr.ip().to_canonical().is_loopback() && is_local(issuer);
        let by_itself = if is_local { ExplorerPlace::On } else { ExplorerPlace::Off };
        let place = config.http.explorer.unwrap_or(by_itself);
        if place == ExplorerPlace::Admin && config.admin.addr(&config.tls)?.is_none() {
            return Err(ConfigError::new("--explorer", "`admin` is served at --admin-addr, which is `off`"));
        }
        // Whoever has set it has decided whom the proxy before it lets in. The admin API no proxy publishes by this page.
        let refuses_forwarded = config.http.explorer != Some(ExplorerPlace::On);
        let speaks_tls = config.tls.tls_cert.is_some();
        let guard = ExplorerGuard::new(hosts(issuer), issuer, speaks_tls, refuses_forwarded);
        Ok(Self { place, guard })
    }

    pub(super) fn is_at_http(&self) -> bool {
        self.place == ExplorerPlace::On
    }

    /// Where it is found, at `http_addr` or `admin_addr`; nothing if it is nowhere.
    pub(super) fn url(
        &self,
        tls: bool,
        http_addr: SocketAddr,
        admin_addr: Option<SocketAddr>,
    ) -> Option<String> {
        let addr = match self.place {
            ExplorerPlace::On => Some(http_addr),
            ExplorerPlace::Off => None,
            ExplorerPlace::Admin => admin_addr,
        };
        let scheme = if tls { "https" } else { "http" };
        addr.map(|addr| format!("{scheme}://{addr}{EXPLORER}"))
    }

    /// The explorer of `--http-addr`, if it is there.
    pub(super) fn at_http(&self, drain: OAuthDrain) -> Option<Explorer> {
        let paths = || served_by_http().map(|service| format!("/{service}/{{method}}")).collect();
        self.is_at_http().then(|| Explorer { guard: self.guard.clone(), rpcs: paths(), drain })
    }
}

/// The services that its page calls at `--http-addr`.
fn served_by_http() -> impl Iterator<Item = &'static str> {
    served::names(GrpcListener::Explorer, ExtAuthzAddr::Off)
}

/// Whether the host of `issuer` is this machine alone.
fn is_local(issuer: &str) -> bool {
    let uri = issuer.parse::<http::Uri>().ok();
    let Some(host) = uri.as_ref().and_then(http::Uri::host) else { return false };
    let ip = host.trim_start_matches('[').trim_end_matches(']').parse::<std::net::IpAddr>();
    host.eq_ignore_ascii_case(LOCALHOST) || ip.is_ok_and(|ip| ip.to_canonical().is_loopback())
}

/// The hosts by which it is asked: those that lead to this machine, and the issuer's.
fn hosts(issuer: &str) -> AllowedHosts {
    let local = LOCALHOST.parse::<HostPattern>().ok();
    AllowedHosts::new(local.into_iter().chain(issuer_host(issuer)).collect())
}

/// What `/` shows at `--http-addr`.
pub(super) fn front(parts: &Parts, config: &Config) -> Front {
    Front {
        issuer: config.tokens.issuer().to_owned(),
        ready: parts.readiness.subscribe(),
        model_api: config.http.model_api == Switch::On,
    }
}

/// What describes what is served at `listener`: `--http-addr`, or `--admin-addr`.
///
/// # Errors
/// If the descriptor set lacks the option that declares access: a defect of the build.
pub(super) fn document(
    config: &Config,
    listener: GrpcListener,
    grpc_addr: SocketAddr,
) -> Result<Document, Error> {
    let is_admin = listener == GrpcListener::Admin;
    let services: Vec<_> = served::names(listener, ExtAuthzAddr::Off).collect();
    let admin_scopes = if is_admin { AdminScope::ALL } else { &[] };
    let endpoints = match config.http.model_api {
        _ if is_admin => EndpointsDescribed::Token,
        Switch::On => EndpointsDescribed::OAuthAndModelApi,
        Switch::Off => EndpointsDescribed::OAuth,
    };
    let scheme = if config.tls.tls_cert.is_some() { "https" } else { "http" };
    Ok(Document::new(Described {
        pool: described::API.clone(),
        policy: policy().map_err(Error::internal)?.of_services(services.iter().copied()),
        services,
        admin_scopes: admin_scopes.iter().map(|scope| scope.name()).collect(),
        password_grant: config.http.http_password_grant == Switch::On,
        endpoints,
        rpcs_elsewhere: (scheme, grpc_addr.port()),
    }))
}

/// `router`, and beside it the `rpcs` by Connect, while the explorer is there, to whom it answers.
pub(super) fn beside_http(
    explored: Explored,
    drain: OAuthDrain,
    rpcs: Option<impl GrpcService>,
    router: Router,
) -> impl HttpService<Either<MeteredBody, Body>> {
    service_fn(move |mut request: http::Request<Incoming>| {
        let rpcs = rpcs.as_ref().filter(|_| lets_pass(&explored.guard, &mut request));
        // What is not taken the router refuses.
        let taken = rpcs.and_then(|rpcs| Some((rpcs.clone(), drain.take()?)));
        let router = taken.is_none().then(|| router.clone());
        async move {
            if let Some((rpcs, _open)) = taken {
                return rpcs.oneshot(request).await.map(|response| response.map(Either::Left));
            }
            let router = router.unwrap_or_default();
            let answered = Box::pin(router.oneshot(request.map(Body::new))).await;
            answered.map(|response| response.map(Either::Right))
        }
    })
}

/// Whether `request` is a call by Connect that `guard` lets pass. What the explorer's page sends, of whatever kind, is sent by no page
/// then.
fn lets_pass(guard: &ExplorerGuard, request: &mut http::Request<Incoming>) -> bool {
    guard.recognise_page(request);
    let path = request.uri().path().strip_prefix('/').and_then(|path| path.split_once('/'));
    let is_served = path.is_some_and(|(service, _)| served_by_http().any(|name| name == service));
    let content_type = request.headers().get(http::header::CONTENT_TYPE);
    let is_grpc = content_type.is_some_and(|said| said.as_bytes().starts_with(b"application/grpc"));
    is_served && !is_grpc && guard.allow(request).is_ok()
}

/// `grpc`, which is served at `--admin-addr`, and beside it the explorer, if it is there.
///
/// # Errors
/// As [`document`].
pub(super) fn beside_admin<Grpc: GrpcService>(
    (parts, config): (&Parts, &Config),
    explored: Explored,
    drain: OAuthDrain,
    grpc_addr: SocketAddr,
    grpc: Grpc,
) -> Result<impl HttpService<Either<MeteredBody, Body>> + use<Grpc>, Error> {
    let router = if explored.place == ExplorerPlace::Admin {
        let limits = HttpAdmission::new(parts.pools.admin.clone(), config.limits.max_header_bytes);
        let page = Explorer { guard: explored.guard.clone(), rpcs: Vec::new(), drain: drain.clone() };
        let entrance = Entrance { origins: config.web.origins(), limits: limits.clone(), drain };
        let password_grant = config.http.http_password_grant == Switch::On;
        let token = TokenEndpoint { grants: std::sync::Arc::clone(&parts.grants), password_grant };
        let document = document(config, GrpcListener::Admin, grpc_addr)?;
        let router = explorer_router(&page, document, token_router(token, entrance), limits);
        Some(measured(router, parts.http_meter("admin")))
    } else {
        None
    };
    Ok(service_fn(move |mut request: http::Request<Incoming>| {
        let router = router.as_ref().filter(|_| {
            explored.guard.recognise_page(&mut request);
            is_of_page(request.uri().path())
        });
        let (router, grpc) = (router.cloned(), grpc.clone());
        async move {
            match router {
                Some(router) => {
                    let answered = Box::pin(router.oneshot(request.map(Body::new))).await;
                    answered.map(|response| response.map(Either::Right))
                }
                None => grpc.oneshot(request).await.map(|response| response.map(Either::Left)),
            }
        }
    }))
}

/// Whether `path` is one that the explorer has at `--admin-addr`.
fn is_of_page(path: &str) -> bool {
    path == OPENAPI
        || path == TOKEN
        || path.strip_prefix(EXPLORER).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::Host;

    #[test]
    fn the_issuers_host_is_local_if_it_leads_to_this_machine_alone() {
        for local in
            ["http://localhost:8080", "http://127.0.0.1", "https://[::1]:8443/auth", "http://127.8.9.1:1"]
        {
            assert!(is_local(local), "{local}");
        }
        for other in [
            "https://id.example",
            "http://0.0.0.0:8080",
            "http://10.0.0.1",
            "http://localhost.example",
            "not a url",
        ] {
            assert!(!is_local(other), "{other}");
        }
    }

    #[test]
    fn it_is_asked_by_local_names_addresses_and_the_issuers_host() {
        let hosts = hosts("https://id.example:8443/auth");
        let allowed = |host: &str| hosts.allow(&host.parse::<Host>().unwrap());
        for host in ["localhost:8080", "127.0.0.1", "[::1]:1", "ID.example"] {
            assert!(allowed(host), "{host}");
        }
        for host in ["evil.example", "a.id.example", "signet.identity.svc"] {
            assert!(!allowed(host), "{host}");
        }
    }
}
