//! Owns the handle by which any part of the service ends the connection that a request came by.

use tokio_util::sync::CancellationToken;

/// A connection, as an extension of each of its requests. Clones lead to the same connection.
#[derive(Clone, Debug, Default)]
pub(crate) struct ConnectionHandle {
    closed: CancellationToken,
}

impl ConnectionHandle {
    /// Closes the connection at once, with all that is in flight on it.
    #[allow(dead_code, reason = "for whoever bounds what a connection has on its way, and for how long")]
    pub(crate) fn close(&self) {
        self.closed.cancel();
    }

    /// Waits until somebody closes the connection.
    pub(crate) async fn closed(&self) {
        self.closed.cancelled().await;
    }
}
