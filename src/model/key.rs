//! Owns what identifies a signing key: its algorithm and its id.

use std::{borrow::Borrow, fmt, str::FromStr, time::Duration};

use aws_lc_rs::digest::{SHA256, digest};
use serde::Serialize;
use uuid::{Builder, Uuid};

/// A JWS algorithm that the service signs with (RFC 7518, RFC 8037).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum SigningAlg {
    /// ECDSA on P-256 with SHA-256.
    Es256,
    /// Ed25519.
    EdDsa,
    /// RSASSA-PKCS1-v1_5 with SHA-256, on keys of 2048 bits (RFC 7518 section 3.3).
    Rs256,
    /// HMAC with SHA-256. Only the service itself can verify: nothing is published.
    Hs256,
}

impl SigningAlg {
    /// The name in JOSE headers.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Es256 => "ES256",
            Self::EdDsa => "EdDSA",
            Self::Rs256 => "RS256",
            Self::Hs256 => "HS256",
        }
    }

    /// Whether the verifying key may be published.
    #[must_use]
    pub const fn is_asymmetric(self) -> bool {
        !matches!(self, Self::Hs256)
    }
}

impl fmt::Display for SigningAlg {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for SigningAlg {
    type Err = String;

    fn from_str(name: &str) -> Result<Self, String> {
        [Self::Es256, Self::EdDsa, Self::Rs256, Self::Hs256]
            .into_iter()
            .find(|alg| alg.name() == name)
            .ok_or_else(|| format!("`{name}` is none of ES256, EdDSA, RS256, HS256"))
    }
}

/// The longest that a key is kept for verifying: the longest lifetime of a token that can be configured (24 hours), the longest that
/// its successor may be unknown to another process (1 minute), and twice the largest leeway (5 minutes), once for the clock of
/// whoever signed, once for that of whoever verifies.
pub const MAX_RETENTION: Duration = Duration::from_mins(24 * 60 + 11);

/// A key's id (`kid`): the SHA-256 thumbprint of its JWK (RFC 7638).
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize)]
pub struct KeyId(pub String);

impl KeyId {
    /// The id among those of other resources, which are UUIDs.
    #[must_use]
    pub fn as_uuid(&self) -> Uuid {
        let mut bytes = [0; 16];
        for (byte, of_digest) in bytes.iter_mut().zip(digest(&SHA256, self.0.as_bytes()).as_ref()) {
            *byte = *of_digest;
        }
        Builder::from_custom_bytes(bytes).into_uuid()
    }
}

impl fmt::Display for KeyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl Borrow<str> for KeyId {
    fn borrow(&self) -> &str {
        &self.0
    }
}
