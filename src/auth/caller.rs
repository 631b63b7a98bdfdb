//! Owns who is calling, once it is known.

use std::sync::Arc;

use crate::model::{Claims, SessionId, UserId};

/// The caller of an RPC, proven by an access token: found in the request's extensions by the handlers of authenticated methods.
#[derive(Clone, Debug)]
pub struct Caller {
    claims: Arc<Claims>,
}

impl Caller {
    pub(super) fn new(claims: Arc<Claims>) -> Self {
        Self { claims }
    }

    /// The user that the token stands for.
    #[must_use]
    pub fn user_id(&self) -> UserId {
        UserId(self.claims.sub)
    }

    /// The login session that the token belongs to.
    #[must_use]
    pub fn session_id(&self) -> SessionId {
        SessionId(self.claims.sid)
    }

    /// Everything the token says.
    #[must_use]
    pub fn claims(&self) -> &Claims {
        &self.claims
    }
}
