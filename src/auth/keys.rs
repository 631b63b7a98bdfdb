//! Owns what the verifier asks of the keys in force: which they are, wherever they come from.

use std::{future::Future, net::IpAddr, sync::Arc};

use crate::{
    jose::{KeySet, VerifyingKey},
    model::Error,
};

/// Where the verifier finds the keys in force: the service's own keyring, or another's JWKS.
pub trait Keys: Send + Sync + 'static {
    /// The keys in force at this moment, for a call from the address `caller`. Called for every token, so it must as a rule cost next to
    /// nothing.
    ///
    /// # Errors
    /// [`Error::Unavailable`] if it cannot be told which they are.
    fn current(&self, caller: Option<IpAddr>) -> impl Future<Output = Result<Arc<KeySet>, Error>> + Send;

    /// The keys that were in force when that was last known, however long ago: for who must not wait, and lets nobody in by them.
    fn last_known(&self) -> Arc<KeySet>;

    /// The key `kid`, which is not among [`Self::current`]: where keys come from afar, it may be newer than what is known here. None
    /// if it is not in force, and always where nothing is known later than it counts. Anybody can make up ids: whoever looks further
    /// bounds what that costs, and what of it a single `caller` can have.
    ///
    /// # Errors
    /// [`Error::Unavailable`] if it cannot be told, or too many calls wait for that.
    fn find(
        &self,
        kid: &str,
        caller: Option<IpAddr>,
    ) -> impl Future<Output = Result<Option<Arc<VerifyingKey>>, Error>> + Send {
        let _ = (kid, caller);
        std::future::ready(Ok(None))
    }
}
