//! Owns fitting the bounds to the machine: its memory, and how many files the process may open.

use bytesize::ByteSize;

use super::{admin, memory, operations, small};
use crate::{
    admission::{Bounds, Resources, SetBounds},
    config::{Config, ConfigError, ExtAuthzAddr, LimitConfig},
    identity::passwords::Argon2Params,
    model::user_attributes::ROW_BYTES,
    traces,
};

/// Files that are neither connections nor the database's: standard streams, logs, certificates, the runtime's own.
const OTHER_FILES: u64 = 48;

/// Of each listener: itself, a connection that is closed at once, and those that are being closed.
const FILES_PER_LISTENER: u64 = 8;

/// Of the embedded database: each connection opens the file, its log and the index of that, and there are eleven readers and a writer.
const EMBEDDED_DATABASE_FILES: u64 = 3 * 13;
const EMBEDDED_DATABASE_BYTES: u64 = 24 * 1_024 * 1_024;

/// Of a connection to a database server, with the statements that it has prepared.
const DATABASE_CONNECTION_BYTES: u64 = 256 * 1_024;

/// What is remembered of one verified token.
const REMEMBERED_TOKEN_BYTES: u64 = 700;
/// Users, sessions, clients, and the roles of users and clients.
const ROW_CACHES: u64 = 4;

/// No setting can ask for more: a search for a budget ends here.
const MAX_BUDGET_MEBIBYTES: u64 = 1 << 43;

/// The bounds by `config` on this machine. Lets the process open as many files as they ask for, or as the system allows.
///
/// # Errors
/// If the memory budget is set, and the bounds do not fit into it.
pub(super) fn fit(config: &Config, argon2: &Argon2Params) -> Result<Bounds, ConfigError> {
    let limits = &config.limits;
    let listeners = match config.mesh.ext_authz_addr()? {
        ExtAuthzAddr::Own(_) => 3,
        ExtAuthzAddr::Off | ExtAuthzAddr::Shared => 2,
    };
    // What operators and administrators may take is set aside, and follows from nothing.
    let small = [
        config.operations.addr().map(|_| operations::MAX_PENDING_BYTES),
        config.admin.addr(&config.tls)?.map(|_| admin::MAX_PENDING_BYTES),
    ];
    let small = small.into_iter().flatten();
    let small_files = small.clone().map(|_| wide(small::MAX_CONNECTIONS) + FILES_PER_LISTENER).sum::<u64>();
    let manifests = if config.admin.addr(&config.tls)?.is_some() { admin::MANIFEST_BYTES } else { 0 };
    let small_bytes = small.map(small::max_bytes).sum::<u64>() + manifests;
    // The URL is not read here: it may lead to a server, or to a file.
    let server = config.storage.database_url.is_some() || config.storage.database_url_file.is_some();
    let connections = if server { u64::from(config.storage.database_pool_size) } else { 0 };
    // Each may be replaced before it is closed.
    let database_files = EMBEDDED_DATABASE_FILES.max(2 * connections);
    let database_bytes = EMBEDDED_DATABASE_BYTES.max(connections * DATABASE_CONNECTION_BYTES);
    let hashing = u64::from(argon2.memory_kib) * 1_024 * wide(config.passwords.pool().threads);
    let remembered = wide(config.tokens.token_cache_size) * REMEMBERED_TOKEN_BYTES
        + ROW_CACHES * wide(config.tokens.standing_cache_size) * wide(ROW_BYTES);
    let traces = if config.traces.plan()?.settings.is_some() { traces::MAX_BYTES } else { 0 };
    let resources = Resources {
        memory_budget: limits.memory_budget.map_or_else(memory::budget, |budget| budget.as_u64()),
        reserved_bytes: hashing.saturating_add(remembered + database_bytes + small_bytes + traces),
        max_header_bytes: limits.max_header_bytes,
        max_message_bytes: limits.max_message_bytes,
        open_files: None,
        listeners,
    };
    let set = SetBounds {
        max_connections: limits.max_connections,
        max_connections_per_peer: limits.max_connections_per_peer,
        max_concurrent_streams: limits.max_concurrent_streams,
        max_in_flight_calls: limits.max_in_flight_calls,
        max_watchers: limits.max_watchers,
    };
    let wanted = Bounds::new(&resources, &set);
    let other_files = OTHER_FILES + database_files + small_files + listeners * FILES_PER_LISTENER;
    let open_files = raise_open_files(other_files + wide(wanted.max_connections).saturating_mul(listeners))
        .map(|limit| limit.saturating_sub(other_files));
    let bounds = Bounds::new(&Resources { open_files, ..resources }, &set);
    if bounds.exceed_budget() && limits.memory_budget.is_some() {
        let problem = format!(
            "the limits come to {} if each is reached, which is more than {}: set it to {}MiB or more, or set --max-connections, \
             --max-in-flight-calls, --max-message-bytes, --hash-threads, --argon2-memory-kib or the caches lower",
            ByteSize::b(bounds.needed_bytes),
            ByteSize::b(bounds.memory_budget),
            least_mebibytes(&resources, &set),
        );
        return Err(ConfigError::new("--memory-budget", problem));
    }
    Ok(bounds)
}

/// The smallest budget that the limits fit into. What a larger one gives is less than what it is larger by, so that the search has one end.
fn least_mebibytes(resources: &Resources, set: &SetBounds) -> u64 {
    let fits = |mebibytes: u64| {
        let memory_budget = mebibytes.saturating_mul(1_024 * 1_024);
        !Bounds::new(&Resources { memory_budget, ..*resources }, set).exceed_budget()
    };
    let (mut too_small, mut enough) = (0, 1);
    while !fits(enough) && enough < MAX_BUDGET_MEBIBYTES {
        (too_small, enough) = (enough, enough * 2);
    }
    while enough - too_small > 1 {
        let middle = too_small.midpoint(enough);
        if fits(middle) { enough = middle } else { too_small = middle }
    }
    enough
}

/// Tells what the bounds are, and which of them are not as `limits` wish them.
pub(super) fn tell(bounds: &Bounds, limits: &LimitConfig) {
    if bounds.exceed_budget() {
        tracing::warn!(
            needed_bytes = bounds.needed_bytes,
            memory_budget_bytes = bounds.memory_budget,
            "the limits come to more memory, if each is reached, than this process should take"
        );
    }
    if let Some(wanted) = limits.max_connections.filter(|wanted| *wanted > bounds.max_connections) {
        tracing::warn!(
            max_connections = bounds.max_connections,
            wanted,
            "the system lets this process open too few files for --max-connections: fewer are taken at each address"
        );
    }
    tracing::info!(
        memory_budget_bytes = bounds.memory_budget,
        needed_bytes = bounds.needed_bytes,
        max_connections = bounds.max_connections,
        max_connections_per_peer = bounds.max_connections_per_peer,
        max_connections_per_site = bounds.max_connections_per_site,
        max_concurrent_streams = bounds.max_concurrent_streams,
        max_in_flight_calls = bounds.max_in_flight_calls,
        max_streams = bounds.max_streams,
        max_watchers = bounds.max_watchers,
        max_pending_bytes = bounds.max_pending_bytes,
        "the limits of each address"
    );
}

/// Lets the process open `wanted` files, or as many as the system allows it. Returns how many that are, if the system tells.
fn raise_open_files(wanted: u64) -> Option<u64> {
    rlimit::increase_nofile_limit(wanted)
        .inspect_err(|error| tracing::warn!(error = %error, "the limit of open files could not be raised"))
        .or_else(|_| rlimit::Resource::NOFILE.get_soft())
        .ok()
}

fn wide(count: usize) -> u64 {
    u64::try_from(count).unwrap_or(u64::MAX)
}
