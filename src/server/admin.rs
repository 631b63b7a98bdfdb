//! Owns the administrators' side of the composition: where it listens, and how large its requests may be. What is served there is in the
//! table of services.

use super::listening::{BoundIfFree, Optional};
use crate::config::{Config, ConfigError};

/// The most bytes of requests and answers on their way.
pub(super) const MAX_PENDING_BYTES: usize = 4 * 1_024 * 1_024;

/// The largest message: no request of the admin API needs more, and eight of them fit into what may be on its way.
const MAX_MESSAGE_BYTES: usize = 256 * 1_024;

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
