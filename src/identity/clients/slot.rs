//! Owns handing up which client asks, to a layer in front.

use std::sync::{Arc, OnceLock};

use crate::model::ClientId;

/// Where a client is put that has been authenticated, also if what it asks for is refused: an extension of the request by which a layer in
/// front learns it.
#[derive(Clone, Debug, Default)]
pub struct ClientSlot(Arc<OnceLock<ClientId>>);

impl ClientSlot {
    /// Puts `client` there, if none is there yet.
    pub(super) fn put(&self, client: ClientId) {
        let _ = self.0.set(client);
    }

    /// The client; none if none was authenticated.
    #[must_use]
    pub fn client(&self) -> Option<ClientId> {
        self.0.get().copied()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_layer_in_front_learns_the_client_whichever_task_has_found_it() {
        let slot = ClientSlot::default();
        assert_eq!(slot.client(), None);
        let within = slot.clone();
        tokio::spawn(async move { within.put(ClientId::BUILT_IN) }).await.unwrap();
        assert_eq!(slot.client(), Some(ClientId::BUILT_IN));
    }
}
