//! Owns the administrators' side of the composition: where it listens, and how large its requests may be. What is served there is in the
//! table of services.

use std::time::Duration;

use super::listening::{BoundIfFree, Optional};
use crate::{
    admission::{Bounds, CallBounds},
    config::{Config, ConfigError},
    rpc::MANIFEST_MAX_BYTES,
};

/// The most bytes of requests and answers on their way, manifests apart.
pub(super) const MAX_PENDING_BYTES: usize = 4 * 1_024 * 1_024;

/// The largest message: no request of the admin API needs more, and eight of them fit into what may be on its way.
const MAX_MESSAGE_BYTES: usize = 256 * 1_024;

/// What one manifest may take, of which there is one at a time: the message, what it is read into, twice, what there is of what it names,
/// and the plan. It is set aside.
pub(super) const MANIFEST_BYTES: u64 = 24 * 1_024 * 1_024;

/// How long a manifest may take.
const MANIFEST_TIMEOUT: Duration = Duration::from_mins(1);

/// What the log says where the default address could not be had.
const WITHOUT: &str = "the admin API is served nowhere: set --admin-addr, or `off`";

/// Takes the address that `config` names, without listening yet.
///
/// # Errors
/// If it is set, and cannot be taken, or should not be: tokens that administer would pass in plaintext.
pub(super) fn bind(config: &Config) -> Result<BoundIfFree, ConfigError> {
    let addr = config.admin.addr(&config.tls)?;
    BoundIfFree::bind("--admin-addr", addr, config.admin.admin_addr.is_some())
}

/// Listens there.
///
/// # Errors
/// As [`bind`].
pub(super) fn listen(bound: BoundIfFree) -> Result<Optional, ConfigError> {
    bound.listen(WITHOUT)
}

/// The largest message that is taken there.
pub(super) fn max_message_bytes(config: &Config) -> usize {
    config.limits.max_message_bytes.min(MAX_MESSAGE_BYTES)
}

/// What the one call may take that applies or exports a manifest, if any other may take `call`.
pub(super) fn manifest_bounds(call: &CallBounds) -> CallBounds {
    CallBounds { message_bytes: MANIFEST_MAX_BYTES, request_timeout: MANIFEST_TIMEOUT, ..*call }
}

/// The bounds of its pool, of what one of callers has: room for its message and its answer, whoever it is of.
pub(super) fn manifest_pool(bounds: &Bounds) -> Bounds {
    Bounds { max_in_flight_calls: 16, max_streams: 16, max_pending_bytes: 8 * MANIFEST_MAX_BYTES, ..*bounds }
}
