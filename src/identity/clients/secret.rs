//! Owns the secrets of clients: made at random, and kept as their hashes.

use aws_lc_rs::{constant_time, digest};
use base64ct::{Base64UrlUnpadded, Encoding};
use zeroize::Zeroizing;

use crate::{
    base::fill_from_system,
    model::{Client, ClientKind},
};

/// 256 random bits in base64url.
pub(in crate::identity) fn random() -> Zeroizing<String> {
    let mut bytes = Zeroizing::new([0; 32]);
    fill_from_system(bytes.as_mut_slice());
    Zeroizing::new(Base64UrlUnpadded::encode_string(bytes.as_slice()))
}

/// Whether `secret` has the form of those that are made here. Which were made at random nobody can see.
pub(super) fn has_form(secret: &str) -> bool {
    Base64UrlUnpadded::decode_vec(secret).is_ok_and(|bytes| Zeroizing::new(bytes).len() == 32)
}

/// The digest of `secret` that is stored.
pub(super) fn hash(secret: &str) -> [u8; 32] {
    let mut hash = [0; 32];
    hash.copy_from_slice(digest::digest(&digest::SHA256, secret.as_bytes()).as_ref());
    hash
}

/// Whether `hash` is that of a valid secret of `client`.
pub(super) fn is_of(client: &Client, hash: &[u8; 32]) -> bool {
    let matches = |valid: &[u8; 32]| constant_time::verify_slices_are_equal(valid, hash).is_ok();
    client.kind == ClientKind::Confidential && client.secrets.iter().any(matches)
}
