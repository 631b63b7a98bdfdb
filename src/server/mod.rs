//! Owns the composition: builds the parts, orders the layers, serves, and drains.

mod admin;
mod bootstrap;
mod budget;
mod connections;
mod dev;
mod end;
mod explorer;
mod ext_authz;
mod grpc;
mod http;
mod issuer;
mod listening;
mod memory;
mod operations;
mod parts;
mod reload;
mod routes;
mod served;
mod small;
mod telling;
mod tls;
mod work;

use std::{net::SocketAddr, sync::Arc};

use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use crate::{
    admission::Bounds,
    audit::Audit,
    base::Clock,
    config::{Config, ExtAuthzAddr, ProxyConfig, Switch},
    http::HttpDrain,
    identity::{ClockCheck, KeyRotation, apply::DevData, passwords::Argon2Params},
    install::{Missing, OpenDatabase, StartError, open_audit_log, warn_of_unread},
    jobs::SharedJobs,
    metrics::{Metrics, families},
    model::{Error, KeyId},
    peer::TrustedProxies,
};

#[cfg(any(fuzzing, test))]
pub(crate) use connections::fuzz as fuzz_greeting;

// A value of a setting: who starts a server names it, and nothing else of the store.
pub use crate::store::DatabaseClock;
pub use end::END_ALLOWANCE;
pub use grpc::{descriptor_set, policy};
pub(crate) use issuer::problem as issuer_problem;
pub use reload::Reload;

use self::http::Elsewhere;
use bootstrap::Bootstrap;
use connections::{Connections, HttpAnswer, HttpService};
use end::Listeners;
use explorer::ExplorerSettings;
use grpc::Services;
use listening::{Bound, bind};
use parts::{Foundation, Parts};
use tls::{Listener, Tls};
use work::Work;

/// A server that is ready to serve: bound, migrated, its keys open.
pub struct Server {
    grpc: TcpListener,
    http: TcpListener,
    /// Where Envoy asks, if that is an address of its own.
    ext_authz: Option<TcpListener>,
    /// Where operators are served.
    operations: Option<TcpListener>,
    /// Where administrators are served.
    admin: Option<TcpListener>,
    tls: Option<Arc<Tls>>,
    started: Started,
    parts: Parts,
    jobs: Arc<SharedJobs>,
    config: Config,
    /// Where the explorer is, and whom it answers.
    explorer: ExplorerSettings,
}

/// What starting did, for the operator to read.
#[derive(Clone, Debug)]
pub struct Started {
    /// Where gRPC is served.
    pub grpc_addr: SocketAddr,
    /// Where HTTP is served.
    pub http_addr: SocketAddr,
    /// Where Envoy asks, if that is an address of its own.
    pub ext_authz_addr: Option<SocketAddr>,
    /// Where metrics and probes are served, if that is not off.
    pub operations_addr: Option<SocketAddr>,
    /// Why they are not, where the default could not be had.
    pub operations_problem: Option<String>,
    /// Where the admin API is served, if that is not off.
    pub admin_addr: Option<SocketAddr>,
    /// Why it is not, where the default could not be had.
    pub admin_problem: Option<String>,
    /// The URL of the explorer, if it is anywhere.
    pub explorer_url: Option<String>,
    /// Whom all of them talk to by TLS.
    pub tls: TlsUse,
    /// Who issues the tokens.
    pub issuer: String,
    /// Where the data are.
    pub database: String,
    /// The file of the master key, if this start made it.
    pub master_key_made: Option<String>,
    /// The migrations that were applied.
    pub migrations_applied: Vec<String>,
    /// The key that signs.
    pub signing_key: KeyId,
}

/// Whether the server speaks TLS.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TlsUse {
    /// It does not.
    Off,
    /// With everybody.
    On,
    /// With those who show a certificate, too.
    Mutual,
}

impl Server {
    /// Binds, opens the database, whose time comes from `database_clock`, brings its schema up to date or requires that it is, and opens
    /// its keys. Nothing listens before all of that is done.
    ///
    /// # Errors
    /// If a setting cannot be used, or something that the service needs fails.
    pub async fn start(
        config: Config,
        clock: Clock,
        database_clock: DatabaseClock,
    ) -> Result<Self, StartError> {
        Self::start_with(config, None, clock, database_clock).await
    }

    /// The same for tests: everything is in memory, with the users of `data` and what its manifest says.
    ///
    /// # Errors
    /// As [`Self::start`]; what of `data` is refused.
    pub async fn start_dev(mut config: Config, data: &DevData, clock: Clock) -> Result<Self, StartError> {
        config.storage.in_memory = true;
        Box::pin(Self::start_with(config, Some(data), clock, DatabaseClock::Own)).await
    }

    async fn start_with(
        config: Config,
        dev: Option<&DevData>,
        clock: Clock,
        database_clock: DatabaseClock,
    ) -> Result<Self, StartError> {
        let argon2 = config.passwords.argon2()?;
        let bounds = budget::fit(&config, &argon2)?;
        let metrics = Arc::new(Metrics::new());
        let audit = open_audit_log(&config, &clock, &metrics)?;
        let clocks = (clock, database_clock);
        let prepared = Self::prepare(config, dev, (argon2, bounds), audit.clone(), metrics, clocks);
        let prepared = Box::pin(prepared).await;
        if prepared.is_err() {
            // A key may have been made by then.
            audit.flush(end::CLOSE_TIMEOUT).await;
        }
        prepared
    }

    async fn prepare(
        mut config: Config,
        dev: Option<&DevData>,
        (argon2, bounds): (Argon2Params, Bounds),
        audit: Audit,
        metrics: Arc<Metrics>,
        (clock, database_clock): (Clock, DatabaseClock),
    ) -> Result<Self, StartError> {
        let keys = config.tokens.keys()?;
        config.sessions()?;
        let bootstrap = Bootstrap::read(&config).await?;
        let tls = Tls::open(&config.tls, &clock, metrics.tls.clone()).await?;
        listening::refuse_twice(&config)?;
        let grpc = bind("--grpc-addr", config.grpc_addr)?;
        let http = bind("--http-addr", config.http_addr)?;
        issuer::settle(&mut config, &http)?;
        let explorer = ExplorerSettings::settle(&config, http.local_addr()?)?;
        let ext_authz = match config.mesh.ext_authz_addr()? {
            ExtAuthzAddr::Own(addr) => Some(bind("--ext-authz-addr", addr)?),
            ExtAuthzAddr::Off | ExtAuthzAddr::Shared => None,
        };
        let operations = operations::bind(&config.operations)?;
        let admin = admin::bind(&config)?;
        let database =
            OpenDatabase::open(&config.storage, Missing::Made, config.storage.database_wait).await?;
        let migrations_applied = database.migrate(config.storage.auto_migrate == Switch::On).await?;
        database.check_copied(config.storage.copied).await?;
        let OpenDatabase { store, master_key, description, master_key_made, .. } = database;
        warn_of_unread(&store, &config.tokens.issuing().audience).await?;
        let statements = metrics.database.clone();
        let store = store.observed(move |took, failed| statements.statement(took, failed));
        let store = store.with_clock(database_clock);
        let clocks = ClockCheck::new(store.clone(), clock.clone(), keys.leeway, metrics.clock.clone());
        let clocks = Arc::new(clocks);
        let rotation = KeyRotation::new(store.clone(), master_key, keys, Arc::clone(&clocks), audit.clone());
        bootstrap::settle(bootstrap, &config, (&store, &clock, &audit), &rotation).await?;
        let foundation = Foundation { argon2, bounds, store, rotation, audit, metrics, clock, clocks };
        let parts = Parts::build(foundation, &config).await?;
        if let Some(data) = dev {
            Box::pin(dev::settle(data, &parts, &config)).await?;
        }
        parts.readiness.check().await;
        let jobs = work::shared(&parts).await?;
        let (grpc, http) = (grpc.listen()?, http.listen()?);
        let ext_authz = ext_authz.map(Bound::listen).transpose()?;
        let (operations, admin) = (operations::listen(operations)?, admin::listen(admin)?);
        let (operations_addr, operations_problem) = operations.told();
        let (admin_addr, admin_problem) = admin.told();
        let local_addr = |listener: &TcpListener| listener.local_addr().map_err(Error::internal);
        let started = Started {
            explorer_url: explorer.url(config.tls.tls_cert.is_some(), local_addr(&http)?, admin_addr),
            grpc_addr: local_addr(&grpc)?,
            http_addr: local_addr(&http)?,
            ext_authz_addr: ext_authz.as_ref().map(local_addr).transpose()?,
            operations_addr,
            operations_problem,
            admin_addr,
            admin_problem,
            tls: match (&config.tls.tls_cert, &config.tls.tls_client_ca) {
                (None, _) => TlsUse::Off,
                (Some(_), None) => TlsUse::On,
                (Some(_), Some(_)) => TlsUse::Mutual,
            },
            issuer: config.tokens.issuer().to_owned(),
            database: description,
            master_key_made,
            migrations_applied,
            signing_key: parts.keyring.signing_kid().ok_or_else(|| Error::internal("no key signs"))?,
        };
        if let Some(tls) = &tls {
            watch_expiry(&parts, tls);
        }
        budget::tell(&parts.bounds, &config.limits);
        let (operations, admin) = (operations.listener(), admin.listener());
        Ok(Self { grpc, http, ext_authz, operations, admin, tls, started, parts, jobs, config, explorer })
    }

    /// What starting did.
    #[must_use]
    pub const fn started(&self) -> &Started {
        &self.started
    }

    /// What has this server take up changed files at once.
    #[must_use]
    pub fn reload(&self) -> Reload {
        Reload::new(self.tls.clone(), self.parts.audit.clone())
    }

    /// Serves until `stop` is cancelled and the shutdown delay has passed, and then until the calls in flight are finished or the
    /// drain timeout is over.
    ///
    /// # Errors
    /// If the service cannot be composed: a defect.
    pub async fn serve(self, stop: CancellationToken) -> Result<(), Error> {
        // On the heap: it holds every listener and all of their services.
        Box::pin(self.serve_until(stop)).await
    }

    async fn serve_until(self, stop: CancellationToken) -> Result<(), Error> {
        let Self { grpc, http, ext_authz, operations, admin, tls, started, parts, .. } = self;
        let (jobs, config, explorer_settings) = (self.jobs, self.config, self.explorer);
        let ext_authz_addr = config.mesh.ext_authz_addr().map_err(Error::internal)?;
        let services = grpc::services(&parts, &config, ext_authz_addr, &explorer_settings)?;
        let Services { health, main: grpc_service, ext_authz: ext_authz_service, admin: admins, explorer } =
            services;
        let drain = HttpDrain::default();
        let elsewhere = Elsewhere { grpc: started.grpc_addr, operations: started.operations_addr };
        let http_service =
            http::service((&parts, &config), drain.clone(), &elsewhere, explorer_settings.clone(), explorer)?;
        let admin_service = explorer::with_explorer(
            (&parts, &config),
            explorer_settings,
            drain.clone(),
            elsewhere.grpc,
            admins,
        )?;
        let operations_service = operations::service(&parts, &config);
        let proxies = trusted_proxies(config.proxies.clone());
        let connections = |name, listener, bounds| {
            let tls = tls.as_ref().map(|tls| tls.on(listener));
            let metrics = parts.metrics.connections.listener(name);
            let proxies = Arc::clone(&proxies);
            let (clock, entropy) = (parts.clock.clone(), parts.store.entropy().clone());
            Connections::new(tls, proxies, config.limits.clone(), bounds, clock, entropy, metrics)
        };
        let grpc_connections = connections("grpc", Listener::Grpc, &parts.bounds);
        let http_connections = connections("http", Listener::Http, &parts.bounds);
        let ext_authz_service = ext_authz::service(&parts, &config, ext_authz_addr, ext_authz_service);
        let (ext_authz, ext_authz_connections) = ext_authz
            .map(|listener| (listener, connections("ext_authz", Listener::Grpc, &parts.bounds).for_proxies()))
            .unzip();
        let few = |pending_bytes| small::bounds(&parts.bounds, pending_bytes);
        let (for_operators, for_admins) = (few(operations::MAX_PENDING_BYTES), few(admin::MAX_PENDING_BYTES));
        let (operations, operations_connections) = operations
            .map(|listener| (listener, connections("operations", Listener::Http, &for_operators)))
            .unzip();
        let (admin, admin_connections) = admin
            .map(|listener| (listener, connections("admin", Listener::Grpc, &for_admins).renewing()))
            .unzip();
        let unread_answers = work::unread_answers(&parts.pools, &parts);
        let drained = async {
            let work = Work::start(&parts, &config, tls.as_ref(), jobs);
            end::announce(&parts.readiness, &health, &stop, config.limits.shutdown_delay).await;
            let listeners = Listeners {
                grpc: &grpc_connections,
                ext_authz: ext_authz_connections.as_ref(),
                http: &http_connections,
                operations: operations_connections.as_ref(),
                admin: admin_connections.as_ref(),
                http_drain: &drain,
                pools: &parts.pools,
            };
            let (finished, ()) = tokio::join!(listeners.drain(config.limits.drain_timeout), work.stop());
            unread_answers.stop().await;
            finished
        };
        let (finished, (), (), (), (), ()) = tokio::join!(
            // On the heap: the futures of all its tasks would make this one large.
            Box::pin(drained),
            grpc_connections.serve(grpc, grpc_service),
            http_connections.serve(http, http_service),
            Box::pin(serve_if_on(ext_authz_connections.as_ref(), ext_authz, ext_authz_service)),
            Box::pin(serve_if_on(operations_connections.as_ref(), operations, operations_service)),
            Box::pin(serve_if_on(admin_connections.as_ref(), admin, admin_service)),
        );
        end::tell(finished);
        end::close(parts).await;
        Ok(())
    }
}

/// Has the metrics tell when the certificate of `tls` expires.
fn watch_expiry(parts: &Parts, tls: &Arc<Tls>) {
    let tls = Arc::clone(tls);
    parts.metrics.watch(&families::CERTIFICATE_EXPIRY, move || parts::seconds(tls.expire_time()));
}

/// Serves `service` to `connections` at `listener`, if there is one.
async fn serve_if_on<B: HttpAnswer>(
    connections: Option<&Connections>,
    listener: Option<TcpListener>,
    service: impl HttpService<B>,
) {
    if let (Some(connections), Some(listener)) = (connections, listener) {
        connections.serve(listener, service).await;
    }
}

/// The proxies that may name their clients by address.
fn trusted_proxies(config: ProxyConfig) -> Arc<TrustedProxies> {
    let ProxyConfig { trusted_proxy_addresses, trusted_proxy_header } = config;
    Arc::new(TrustedProxies::new(trusted_proxy_addresses, trusted_proxy_header))
}
