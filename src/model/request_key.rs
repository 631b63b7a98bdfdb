//! Owns what a repeated request of the admin API is known by: the field `request_id` of AIP-155, which is another id than that of
//! `x-request-id` ([`RequestId`](super::RequestId)).

use aws_lc_rs::digest::{Context, SHA256};
use uuid::Uuid;

use super::Principal;

/// What tells a request from a repetition of it, and from another one under the same `request_id`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RequestKey {
    /// Who asks.
    pub caller: Principal,
    /// The request's field `request_id`, which the caller has chosen.
    pub id: Uuid,
    /// SHA-256 of the method and all that was asked.
    pub sha256: [u8; 32],
}

impl RequestKey {
    /// The key of the request by which `caller` calls `method` with `message`, as it was sent, under `id`.
    #[must_use]
    pub fn new(caller: Principal, id: Uuid, method: &str, message: &[u8]) -> Self {
        let mut asked = Context::new(&SHA256);
        asked.update(method.as_bytes());
        // No name of a method has it.
        asked.update(&[0]);
        asked.update(message);
        let mut sha256 = [0; 32];
        sha256.copy_from_slice(asked.finish().as_ref());
        Self { caller, id, sha256 }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::UserId;

    #[test]
    fn requests_differ_by_method_and_message() {
        let caller = Principal::User(UserId(Uuid::from_u128(1)));
        let key = |method, message| RequestKey::new(caller, Uuid::from_u128(2), method, message);
        assert_eq!(key("A", b"b"), key("A", b"b"));
        for (method, message) in [("A", &b"c"[..]), ("B", b"b"), ("Ab", b"")] {
            assert_ne!(key("A", b"b"), key(method, message));
        }
    }
}
