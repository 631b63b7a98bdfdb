//! Owns the building of the parts, each from the narrow things that it needs.

use std::sync::Arc;

use super::{admin, operations, small, telling::Telling};
use crate::{
    admission::{Bounds, CallBounds, LANES, Pool, PoolBounds},
    audit::Audit,
    auth::{Authenticator, Verifier},
    base::{Clock, Tally, Timestamp},
    changes::{Feed, Hub, Subscriber},
    config::{Config, ConfigError},
    errors,
    identity::{
        Accounts, AuditTrail, Clients, ClockCheck, GoodStanding, Grants, Guessing, Introspection,
        KeyRotation, Keyring, NameKey, OwnAccount, Passwords, Permissions, Readiness, Revocation, Sessions,
        ShownAttributes, Tokens, UsernameRests,
        accounts::AccountSettings,
        grants::Vouching,
        passwords::{Argon2Params, PrehashKeys},
        policies::PoliciesInForce,
    },
    install::StartError,
    metrics::{Metrics, families},
    model::Error,
    observe,
    rpc::MessageEncoder,
    store::Store,
};

/// What a request may meet.
pub(super) struct Parts {
    pub(super) accounts: Arc<Accounts>,
    pub(super) guessing: Arc<Guessing>,
    pub(super) own_account: Arc<OwnAccount>,
    pub(super) sessions: Arc<Sessions>,
    pub(super) clients: Arc<Clients>,
    permissions: Arc<Permissions>,
    pub(super) attributes: Arc<ShownAttributes>,
    pub(super) policies: Arc<PoliciesInForce>,
    pub(super) stream: Arc<Hub>,
    pub(super) grants: Arc<Grants>,
    pub(super) introspection: Arc<Introspection>,
    pub(super) revocation: Arc<Revocation>,
    pub(super) authenticator: Arc<Authenticator<Arc<Keyring>, GoodStanding>>,
    pub(super) bounds: Bounds,
    pub(super) pools: Pools,
    pub(super) keyring: Arc<Keyring>,
    pub(super) changes: Arc<Feed>,
    pub(super) readiness: Arc<Readiness>,
    pub(super) store: Store,
    pub(super) audit: Audit,
    pub(super) audit_trail: Arc<AuditTrail>,
    pub(super) metrics: Arc<Metrics>,
    pub(super) clock: Clock,
    pub(super) clocks: Arc<ClockCheck>,
    pub(super) telling: Telling,
}

/// The places of each listener: what one of them is full of takes nothing from the others.
#[derive(Clone)]
pub(super) struct Pools {
    pub(super) grpc: Pool,
    pub(super) http: Pool,
    pub(super) ext_authz: Pool,
    pub(super) operations: Pool,
    pub(super) admin: Pool,
    /// Of the one call that applies or exports a manifest.
    pub(super) manifests: Pool,
}

/// What the parts are built on.
pub(super) struct Foundation {
    pub(super) argon2: Argon2Params,
    pub(super) bounds: Bounds,
    pub(super) store: Store,
    pub(super) rotation: KeyRotation,
    pub(super) audit: Audit,
    pub(super) metrics: Arc<Metrics>,
    pub(super) clock: Clock,
    pub(super) clocks: Arc<ClockCheck>,
}

impl Parts {
    /// Builds them all.
    ///
    /// # Errors
    /// If the hash threads do not start, the database does not answer, or the master key is not the one of its keys.
    pub(super) async fn build(foundation: Foundation, config: &Config) -> Result<Self, StartError> {
        let Foundation { argon2, bounds, store, rotation, audit, metrics, clock, clocks } = foundation;
        // Before anything is read that may change.
        let changes = Arc::new(Feed::open(store.clone(), clock.clone()).await?);
        let keyring = Arc::new(Keyring::open(rotation, changes.watermark()).await?);
        let names = keyring.name_key().await?;
        let passwords = hashing(argon2, config, &metrics, keyring.prehash_keys())?;
        let settings = config.accounts(UsernameRests::new(names.clone(), config.accounts.username_rest));
        let guessing = guessing(&store, names, config, &clock, &metrics, &audit);
        let accounts = accounts(&store, passwords, &guessing, settings, &clock, &changes, &audit);
        let sessions = sessions(&store, config, &clock, &changes, &audit)?;
        let clients = clients(&store, &guessing, config, &clock, &changes, &audit);
        let tokens = Arc::new(Tokens::new(Arc::clone(&keyring), clock.clone(), config.tokens.issuing()));
        let permissions = permissions(&store, config, &clock, &changes);
        let attributes = attributes(&store, config, &clock, &changes);
        let policies = policies(&store, config, &clock, &changes);
        let vouching = Vouching {
            accounts: Arc::clone(&accounts),
            sessions: Arc::clone(&sessions),
            clients: Arc::clone(&clients),
            permissions: Arc::clone(&permissions),
            attributes: Arc::clone(&attributes),
            tokens,
        };
        let own_account = OwnAccount::new(store.clone(), vouching.clone(), clock.clone(), audit.clone());
        let grants = Grants::new(vouching, Arc::clone(&guessing), metrics.grants.clone(), clock.clone());
        let verifier = verifier(&keyring, &clock, config);
        let standing = GoodStanding::new(
            Arc::clone(&accounts),
            Arc::clone(&sessions),
            Arc::clone(&clients),
            Arc::clone(&permissions),
        );
        let introspection = introspection(&verifier, &standing, &sessions, &attributes, config);
        let readiness =
            Arc::new(Readiness::new(Arc::clone(&keyring), Arc::clone(&clocks), metrics.database.clone()));
        watch_caches(&metrics, &verifier, &accounts, &sessions, &clients, &permissions);
        watch_strangers(&metrics, store.for_strangers().tally());
        watch_database(&metrics, &store);
        let revocation = revocation(&verifier, &clients, &sessions, &standing);
        let authenticator = Arc::new(Authenticator::new(verifier, standing));
        watch(&metrics, &clock, &changes, &keyring);
        let telling = Telling::start(config, &keyring, &clock, store.entropy(), &metrics).await?;
        Ok(Self {
            audit_trail: audit_trail(&store, &audit, config, &clock),
            pools: Pools::new(config, &bounds, &clock, &authenticator, &metrics),
            stream: stream((&store, &clock, &changes), config, &bounds, &keyring, &metrics),
            accounts,
            guessing,
            own_account: Arc::new(own_account),
            sessions,
            clients,
            permissions,
            attributes,
            policies,
            grants: Arc::new(grants),
            introspection,
            revocation,
            authenticator,
            bounds,
            keyring,
            changes,
            readiness,
            store,
            audit,
            telling,
            clock,
            clocks,
            metrics,
        })
    }
}

/// The audit events in `store`, to which those are added that `audit` hands on.
fn audit_trail(store: &Store, audit: &Audit, config: &Config, clock: &Clock) -> Arc<AuditTrail> {
    let (outbox, retention) = (audit.outbox().cloned(), config.observe.audit_retention);
    Arc::new(AuditTrail::new(store.clone(), outbox, retention, clock.clone()))
}

impl Parts {
    /// Everybody who keeps a copy of what other processes may change.
    pub(super) fn subscribers(&self) -> Vec<Arc<dyn Subscriber>> {
        let (accounts, sessions) = (Arc::clone(&self.accounts), Arc::clone(&self.sessions));
        let mut all: Vec<Arc<dyn Subscriber>> =
            vec![accounts, sessions, Arc::clone(&self.clients) as _, Arc::clone(&self.keyring) as _];
        all.push(Arc::clone(&self.attributes) as _);
        all.push(Arc::clone(&self.policies) as _);
        for kind in Permissions::KINDS {
            all.push(Arc::new(Arc::clone(&self.permissions).hearing(kind)));
        }
        // Last: whoever is told to call again finds that the others have forgotten what has changed.
        all.push(Arc::clone(&self.stream) as _);
        all
    }
}

/// The hash threads.
fn hashing(
    argon2: Argon2Params,
    config: &Config,
    metrics: &Metrics,
    keys: PrehashKeys,
) -> Result<Passwords, Error> {
    Passwords::start(argon2, config.passwords.pool(), metrics.hashing.clone(), keys).map_err(Error::internal)
}

/// The accounts.
fn accounts(
    store: &Store,
    passwords: Passwords,
    guessing: &Arc<Guessing>,
    settings: AccountSettings,
    clock: &Clock,
    changes: &Feed,
    audit: &Audit,
) -> Arc<Accounts> {
    let (guessing, watermark) = (Arc::clone(guessing), changes.watermark());
    let (store, clock, audit) = (store.clone(), clock.clone(), audit.clone());
    Arc::new(Accounts::new(store, passwords, guessing, settings, clock, watermark, audit))
}

/// The sessions of users.
fn sessions(
    store: &Store,
    config: &Config,
    clock: &Clock,
    changes: &Feed,
    audit: &Audit,
) -> Result<Arc<Sessions>, ConfigError> {
    let watermark = changes.watermark();
    let settings = config.sessions()?;
    Ok(Arc::new(Sessions::new(store.clone(), settings, clock.clone(), watermark, audit.clone())))
}

/// The registered clients.
fn clients(
    store: &Store,
    guessing: &Arc<Guessing>,
    config: &Config,
    clock: &Clock,
    changes: &Feed,
    audit: &Audit,
) -> Arc<Clients> {
    let (guessing, watermark) = (Arc::clone(guessing), changes.watermark());
    let settings = config.clients();
    Arc::new(Clients::new(store.clone(), guessing, settings, clock.clone(), watermark, audit.clone()))
}

/// What users and clients may do.
fn permissions(store: &Store, config: &Config, clock: &Clock, changes: &Feed) -> Arc<Permissions> {
    let (own, settings) = (config.tokens.issuing().audience, config.permissions());
    Arc::new(Permissions::new(store.clone(), own, settings, clock.clone(), changes.watermark()))
}

/// What verifies tokens.
fn verifier(keyring: &Arc<Keyring>, clock: &Clock, config: &Config) -> Arc<Verifier<Arc<Keyring>>> {
    Arc::new(Verifier::new(Arc::clone(keyring), clock.clone(), config.tokens.verifying()))
}

/// What ends the sessions of tokens that are given back.
fn revocation(
    verifier: &Arc<Verifier<Arc<Keyring>>>,
    clients: &Arc<Clients>,
    sessions: &Arc<Sessions>,
    standing: &GoodStanding,
) -> Arc<Revocation> {
    let (verifier, clients, sessions) = (Arc::clone(verifier), Arc::clone(clients), Arc::clone(sessions));
    Arc::new(Revocation::new(verifier, clients, sessions, standing.clone()))
}

/// What tells what tokens are worth.
fn introspection(
    verifier: &Arc<Verifier<Arc<Keyring>>>,
    standing: &GoodStanding,
    sessions: &Arc<Sessions>,
    attributes: &Arc<ShownAttributes>,
    config: &Config,
) -> Arc<Introspection> {
    let (issuer, audience) = (config.tokens.issuer().to_owned(), config.tokens.issuing().audience);
    let (verifier, sessions, attributes) =
        (Arc::clone(verifier), Arc::clone(sessions), Arc::clone(attributes));
    Arc::new(Introspection::new(verifier, standing.clone(), sessions, attributes, issuer, audience))
}

/// What is said of the attributes of users.
fn attributes(store: &Store, config: &Config, clock: &Clock, changes: &Feed) -> Arc<ShownAttributes> {
    let max_age = config.permissions().cache_max_age;
    Arc::new(ShownAttributes::new(store.clone(), max_age, clock.clone(), changes.watermark()))
}

fn policies(store: &Store, config: &Config, clock: &Clock, changes: &Feed) -> Arc<PoliciesInForce> {
    let max_age = config.permissions().cache_max_age;
    Arc::new(PoliciesInForce::new(store.clone(), max_age, clock.clone(), changes.watermark()))
}

/// The stream of changes that other services follow.
fn stream(
    (store, clock, changes): (&Store, &Clock, &Feed),
    config: &Config,
    bounds: &Bounds,
    keyring: &Keyring,
    metrics: &Metrics,
) -> Arc<Hub> {
    let (place, encode) = ((store.clone(), clock.clone()), Arc::new(MessageEncoder));
    let process = keyring.process_id();
    let (settings, metrics) = (config.stream(), metrics.stream.clone());
    let log_bytes = bounds.stream_log_bytes;
    Arc::new(Hub::new(place, changes.watermark(), settings, encode, log_bytes, metrics, process))
}

impl Pools {
    fn new(
        config: &Config,
        bounds: &Bounds,
        clock: &Clock,
        authenticator: &Arc<Authenticator<Arc<Keyring>, GoodStanding>>,
        metrics: &Metrics,
    ) -> Self {
        watch_budget(metrics, bounds);
        let call = config.limits.call_bounds();
        let pool = |name, bounds: &Bounds, call: &CallBounds| {
            let bounds = PoolBounds::derived(bounds, call);
            let pool = Pool::new(name, bounds, clock.clone(), Arc::clone(authenticator) as _);
            for lane in LANES {
                let watched = pool.clone();
                metrics.watch_places(name, lane.name(), pool.limit(lane), move || watched.usage(lane));
            }
            pool
        };
        let for_operators = small::bounds(bounds, operations::MAX_PENDING_BYTES);
        let for_admins = small::bounds(bounds, admin::MAX_PENDING_BYTES);
        let for_manifests =
            PoolBounds::derived(&admin::manifest_pool(bounds), &admin::manifest_bounds(&call));
        Self {
            grpc: pool("grpc", bounds, &call),
            http: pool("http", bounds, &call),
            ext_authz: pool("ext_authz", bounds, &call),
            operations: pool(
                "operations",
                &for_operators,
                &small::call_bounds(&call, operations::MAX_MESSAGE_BYTES),
            ),
            admin: pool("admin", &for_admins, &small::call_bounds(&call, admin::max_message_bytes(config))),
            // One call at a time takes a place in it: there is nothing to watch.
            manifests: Pool::new("manifests", for_manifests, clock.clone(), Arc::clone(authenticator) as _),
        }
    }

    fn all(&self) -> [&Pool; 6] {
        [&self.grpc, &self.http, &self.ext_authz, &self.operations, &self.admin, &self.manifests]
    }

    /// Closes the connections of those who do not read their answers.
    pub(super) fn close_unread(&self) {
        for pool in self.all() {
            pool.close_unread();
        }
    }

    /// Ends every stream.
    pub(super) fn end_streams(&self) {
        for pool in self.all() {
            pool.end_streams();
        }
    }
}

/// What failures cost.
fn guessing(
    store: &Store,
    names: NameKey,
    config: &Config,
    clock: &Clock,
    metrics: &Metrics,
    audit: &Audit,
) -> Arc<Guessing> {
    let settings = config.guessing.settings(config.session_lifetime());
    let metrics = metrics.guesses.clone();
    Arc::new(Guessing::new(store.clone(), &settings, names, clock, metrics, audit.clone()))
}

/// Shows how often what is remembered was of use.
fn watch_caches(
    metrics: &Metrics,
    verifier: &Verifier<Arc<Keyring>>,
    accounts: &Accounts,
    sessions: &Sessions,
    clients: &Clients,
    permissions: &Permissions,
) {
    metrics.watch_caches(vec![
        ("verified_tokens", verifier.tally()),
        ("users", accounts.tally()),
        ("sessions", sessions.tally()),
        ("clients", clients.tally()),
        ("permissions", permissions.tally()),
    ]);
}

/// Shows the memory that this process should take.
#[expect(clippy::cast_precision_loss, reason = "whole bytes stay exact up to 8 PiB")]
fn watch_budget(metrics: &Metrics, bounds: &Bounds) {
    let budget = bounds.memory_budget as f64;
    metrics.watch(&families::MEMORY_BUDGET, move || budget);
}

/// Shows how many look-ups in the database strangers caused, and how many found no place.
fn watch_strangers(metrics: &Metrics, lookups: Tally) {
    let refused = lookups.clone();
    metrics.watch_totals(
        &families::STRANGER_LOOKUPS,
        vec![("made", Box::new(move || lookups.hits())), ("refused", Box::new(move || refused.misses()))],
    );
}

/// Shows how many connections to the database are busy.
fn watch_database(metrics: &Metrics, store: &Store) {
    for pool in store.pools() {
        metrics.watch_database_connections(pool.name, pool.usage().most, move || {
            let usage = pool.usage();
            (usage.busy, usage.idle)
        });
    }
}

/// Adds metrics that are read only when they are scraped, and those of errors that may yet come.
fn watch(metrics: &Metrics, clock: &Clock, changes: &Feed, keyring: &Arc<Keyring>) {
    metrics.errors.expect(errors::reasons());
    metrics.watch_totals(
        &families::LOG_LINES,
        vec![
            ("written", Box::new(|| observe::log_counts().written)),
            ("lost", Box::new(|| observe::log_counts().lost)),
            ("left_out", Box::new(|| observe::log_counts().left_out)),
        ],
    );
    let (watermark, monotonic) = (changes.watermark(), clock.clone());
    metrics.watch(&families::CHANGE_FEED_LAG, move || {
        monotonic.monotonic().saturating_sub(watermark.until()).as_secs_f64()
    });
    let keyring = Arc::clone(keyring);
    metrics.watch(&families::SIGNING_KEY_CREATED, move || {
        keyring.signing_key_create_time().map_or(0.0, seconds)
    });
}

/// Seconds since 1970, as Prometheus has them.
#[expect(clippy::cast_precision_loss, reason = "whole seconds stay exact for millions of years")]
pub(super) const fn seconds(time: Timestamp) -> f64 {
    time.as_secs() as f64
}
