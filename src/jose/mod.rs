//! Owns signatures in JSON: compact JWS and JWT (RFC 7515, RFC 7519), keys and key sets (RFC 7517), the algorithms that each key verifies
//! or signs by (RFC 7518, RFC 8037), and thumbprints (RFC 7638).
//!
//! Whom a key belongs to, which tokens are believed and for how long is not known here.

mod compact;
mod jwk;
#[cfg(feature = "server")]
mod private_key;
mod public_key;
#[cfg(feature = "server")]
mod spki;
mod verifying_key;

pub use compact::{CompactJws, JoseHeader, Malformed};
pub use jwk::{Jwk, JwkSet, KID_MAX_BYTES, is_secret};
#[cfg(feature = "server")]
pub use private_key::{PrivateKey, Signer};
pub use public_key::{PUBLIC_KEY_ALGORITHMS, PublicKey};
pub use verifying_key::{KeySet, VerifyingKey};
