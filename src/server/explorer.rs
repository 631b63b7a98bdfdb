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
        HttpAdmission, HttpDrain, KeptOut, OPENAPI_PATH, TOKEN, TokenEndpoint, explorer_router, measured,
        token_router,
    },
    model::{AdminScope, AllowedHosts, Error, HostPattern, LOCALHOST, is_loopback},
    proto::described,
    rpc::meter::MeteredBody,
};

/// What the content types of gRPC and gRPC-Web begin with: these are spoken at --grpc-addr alone.
const GRPC: &[u8] = b"application/grpc";

/// Where the explorer is, and whom it answers.
#[derive(Clone, Debug)]
pub(super) struct ExplorerSettings {
    place: ExplorerPlace,
    guard: ExplorerGuard,
    /// The path of the issuer: empty, or without a slash at its end.
    issuer_path: String,
}

impl ExplorerSettings {
    /// By the settings of `config`, whose HTTP has the address `http_addr` and whose issuer is settled.
    ///
    /// # Errors
    /// If it is to be where nothing is served.
    pub(super) fn settle(config: &Config, http_addr: SocketAddr) -> Result<Self, ConfigError> {
        let issuer = config.tokens.issuer();
        let issuer_uri: http::Uri = issuer.parse().unwrap_or_default();
        let is_local =
            http_addr.ip().to_canonical().is_loopback() && issuer_uri.host().is_some_and(is_loopback);
        // Where callers show certificates, it opens no other door by itself.
        let wants_certificate = config.tls.tls_client_ca.is_some();
        let by_itself = if is_local && !wants_certificate { ExplorerPlace::On } else { ExplorerPlace::Off };
        let place = config.http.explorer.unwrap_or(by_itself);
        if place == ExplorerPlace::Admin && config.admin.addr(&config.tls)?.is_none() {
            return Err(ConfigError::new("--explorer", "`admin` is served at --admin-addr, which is `off`"));
        }
        // Who sets `on` has decided whom the proxy in front lets in. That of the admin API is never for requests from proxies.
        let forwarded = config.http.explorer != Some(ExplorerPlace::On);
        let kept_out = KeptOut { forwarded, calls_without_certificate: wants_certificate };
        let speaks_tls = config.tls.tls_cert.is_some();
        let guard = ExplorerGuard::new(hosts(issuer), issuer, speaks_tls, kept_out);
        let issuer_path = issuer_uri.path().trim_end_matches('/').to_owned();
        Ok(Self { place, guard, issuer_path })
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
    pub(super) fn at_http(&self, drain: HttpDrain) -> Option<Explorer> {
        let paths = || served_by_http().map(|service| format!("/{service}/{{method}}")).collect();
        self.is_at_http().then(|| Explorer { guard: self.guard.clone(), rpcs: paths(), drain })
    }

    /// Whether `request` is a Connect call that the guard allows. If the request comes from the explorer's page, its `Origin` is removed
    /// first, for the router too.
    fn allows_call<B>(&self, request: &mut http::Request<B>) -> bool {
        self.guard.recognise_page(request);
        let path = below(request.uri().path(), &self.issuer_path).unwrap_or(request.uri().path());
        let service = path.strip_prefix('/').and_then(|path| path.split_once('/'));
        let is_served = service.is_some_and(|(service, _)| served_by_http().any(|name| name == service));
        let content_type = request.headers().get(http::header::CONTENT_TYPE);
        let kind = content_type.and_then(|said| said.as_bytes().get(..GRPC.len()));
        let is_grpc = kind.is_some_and(|kind| kind.eq_ignore_ascii_case(GRPC));
        is_served && !is_grpc && self.guard.allows_calls(request)
    }

    /// Takes the issuer's path off the URI of `request`, where a proxy has handed it on: RPCs have no path before their names.
    fn take_path_off<B>(&self, request: &mut http::Request<B>) {
        if self.issuer_path.is_empty() {
            return;
        }
        let target = request.uri().path_and_query().map_or("", http::uri::PathAndQuery::as_str);
        let Some(Ok(rest)) = below(target, &self.issuer_path).map(str::parse) else { return };
        let mut parts = request.uri().clone().into_parts();
        parts.path_and_query = Some(rest);
        if let Ok(uri) = http::Uri::from_parts(parts) {
            *request.uri_mut() = uri;
        }
    }
}

/// The services that its page calls at `--http-addr`.
fn served_by_http() -> impl Iterator<Item = &'static str> {
    served::names(GrpcListener::Explorer, ExtAuthzAddr::Off)
}

/// What of `path` is below `prefix`, from the slash on; nothing if it is elsewhere.
fn below<'a>(path: &'a str, prefix: &str) -> Option<&'a str> {
    path.strip_prefix(prefix).filter(|rest| rest.starts_with('/'))
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
        password_min_chars: config.passwords.password_min_length,
        endpoints,
        rpcs_elsewhere: (scheme, grpc_addr.port()),
    }))
}

/// Sends Connect calls that the guard of `settings` allows to `rpcs`, and everything else to `router`.
pub(super) fn with_rpcs(
    settings: ExplorerSettings,
    drain: HttpDrain,
    rpcs: Option<impl GrpcService>,
    router: Router,
) -> impl HttpService<Either<MeteredBody, Body>> {
    service_fn(move |mut request: http::Request<Incoming>| {
        let rpcs = rpcs.as_ref().filter(|_| settings.allows_call(&mut request));
        // While the service ends there is no token: the router has the refusal.
        let taken = rpcs.and_then(|rpcs| Some((rpcs.clone(), drain.take()?)));
        let router = taken.is_none().then(|| router.clone());
        if taken.is_some() {
            settings.take_path_off(&mut request);
        }
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

/// Sends what the explorer has at `--admin-addr` to its router, if it is there, and everything else to `grpc`.
///
/// # Errors
/// As [`document`].
pub(super) fn with_explorer<Grpc: GrpcService>(
    (parts, config): (&Parts, &Config),
    settings: ExplorerSettings,
    drain: HttpDrain,
    grpc_addr: SocketAddr,
    grpc: Grpc,
) -> Result<impl HttpService<Either<MeteredBody, Body>> + use<Grpc>, Error> {
    let router = if settings.place == ExplorerPlace::Admin {
        let limits = HttpAdmission::new(parts.pools.admin.clone(), config.limits.max_header_bytes);
        let page = Explorer { guard: settings.guard.clone(), rpcs: Vec::new(), drain: drain.clone() };
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
            settings.guard.recognise_page(&mut request);
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
    path == OPENAPI_PATH
        || path == TOKEN
        || path.strip_prefix(EXPLORER).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::Host;

    #[test]
    fn an_rpc_is_called_below_the_issuers_path_too() {
        let issuer = "https://id.example/auth";
        let kept_out = KeptOut { forwarded: false, calls_without_certificate: false };
        let guard = ExplorerGuard::new(hosts(issuer), issuer, false, kept_out);
        let issuer_path = "/auth".to_owned();
        let settings = ExplorerSettings { place: ExplorerPlace::On, guard, issuer_path };
        for (path, called) in [
            (
                "/identity.v1.TokenService/GetJwks?connect=v1",
                Some("/identity.v1.TokenService/GetJwks?connect=v1"),
            ),
            (
                "/auth/identity.v1.TokenService/GetJwks?connect=v1",
                Some("/identity.v1.TokenService/GetJwks?connect=v1"),
            ),
            ("/authidentity.v1.TokenService/GetJwks", None),
            ("/auth/auth/identity.v1.TokenService/GetJwks", None),
            ("/auth/oauth2/token", None),
        ] {
            for target in [path.to_owned(), format!("http://id.example{path}")] {
                let mut request = http::Request::get(&target).header("host", "id.example").body(()).unwrap();
                assert_eq!(settings.allows_call(&mut request), called.is_some(), "{target}");
                settings.take_path_off(&mut request);
                let after = request.uri().path_and_query().map(|path| path.as_str().to_owned());
                assert!(called.is_none_or(|called| after.as_deref() == Some(called)), "{target}: {after:?}");
            }
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
