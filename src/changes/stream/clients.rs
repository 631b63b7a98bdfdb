//! Owns that of each client one call at a time waits to begin: whoever calls often delays nobody else.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
};

use tokio::sync::OwnedMutexGuard;
use uuid::Uuid;

/// The clients of which calls wait.
#[derive(Debug, Default)]
pub(super) struct Clients(Mutex<HashMap<Uuid, Arc<tokio::sync::Mutex<()>>>>);

impl Clients {
    /// Waits until no other call of `client` is before this one.
    pub(super) async fn wait(&self, client: Uuid) -> OwnedMutexGuard<()> {
        let own = {
            let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
            all.retain(|_, own| Arc::strong_count(own) > 1);
            Arc::clone(all.entry(client).or_default())
        };
        own.lock_owned().await
    }
}
