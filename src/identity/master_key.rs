//! Owns the master key: what seals private keys before they are stored.

use std::fmt;

use aws_lc_rs::aead::{AES_256_GCM, Aad, Nonce, RandomizedNonceKey};
use zeroize::Zeroizing;

/// AES-256-GCM's nonce and tag, in bytes (NIST SP 800-38D).
const NONCE_BYTES: usize = 12;

/// The key that seals private keys (AES-256-GCM). It never stands in the database.
pub struct MasterKey(RandomizedNonceKey);

impl MasterKey {
    /// Length in bytes; as text, twice as many hexadecimal digits.
    pub const BYTES: usize = 32;

    /// The key that `text` spells in hexadecimal.
    ///
    /// # Errors
    /// Says what is wrong with the form of `text`, without showing it.
    pub fn from_hex(text: &str) -> Result<Self, String> {
        let mut bytes = Zeroizing::new([0; Self::BYTES]);
        hex::decode_to_slice(text.trim(), bytes.as_mut_slice()).map_err(|_| {
            format!("must be {} bytes as {} hexadecimal digits", Self::BYTES, Self::BYTES * 2)
        })?;
        RandomizedNonceKey::new(&AES_256_GCM, bytes.as_slice())
            .map(Self)
            .map_err(|_| "cannot be used as an AES-256 key".to_owned())
    }

    /// Seals `plaintext` for the purpose that `context` names: nonce, ciphertext, tag.
    ///
    /// # Errors
    /// If the system has no randomness to give.
    pub fn seal(&self, plaintext: &[u8], context: &str) -> Result<Vec<u8>, SealError> {
        let mut sealed = plaintext.to_vec();
        let nonce = self
            .0
            .seal_in_place_append_tag(Aad::from(context.as_bytes()), &mut sealed)
            .map_err(|_| SealError::Seal)?;
        let mut message = nonce.as_ref().to_vec();
        message.append(&mut sealed);
        Ok(message)
    }

    /// Opens what [`Self::seal`] sealed for the same purpose.
    ///
    /// # Errors
    /// If it was sealed by another key, for another purpose, or has been changed since.
    pub fn open(&self, sealed: &[u8], context: &str) -> Result<Zeroizing<Vec<u8>>, SealError> {
        let (nonce, ciphertext) = sealed.split_at_checked(NONCE_BYTES).ok_or(SealError::Open)?;
        let nonce = Nonce::try_assume_unique_for_key(nonce).map_err(|_| SealError::Open)?;
        let mut buffer = Zeroizing::new(ciphertext.to_vec());
        let opened = self
            .0
            .open_in_place(nonce, Aad::from(context.as_bytes()), &mut buffer)
            .map_err(|_| SealError::Open)?
            .len();
        buffer.truncate(opened);
        Ok(buffer)
    }
}

impl fmt::Debug for MasterKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("MasterKey(..)")
    }
}

/// Sealing or opening failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SealError {
    /// The system gave no randomness.
    #[error("sealing failed")]
    Seal,
    /// Another key, another purpose, or changed since.
    #[error("it was sealed with another master key, or has been changed since")]
    Open,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_sealed_opens_only_with_the_same_key_for_the_same_purpose_and_unchanged() {
        let key = MasterKey::from_hex(&"0f".repeat(32)).unwrap();
        let sealed = key.seal(b"private", "key a").unwrap();
        assert_ne!(key.seal(b"private", "key a").unwrap(), sealed, "the nonce is fresh each time");
        assert_eq!(key.open(&sealed, "key a").unwrap().as_slice(), b"private");
        assert_eq!(key.open(&sealed, "key b").unwrap_err(), SealError::Open);
        let other = MasterKey::from_hex(&"0e".repeat(32)).unwrap();
        assert_eq!(other.open(&sealed, "key a").unwrap_err(), SealError::Open);
        for index in 0..sealed.len() {
            let mut changed = sealed.clone();
            changed[index] ^= 1;
            assert!(key.open(&changed, "key a").is_err(), "byte {index}");
            assert!(key.open(&sealed[..index], "key a").is_err(), "cut at {index}");
        }
    }

    #[test]
    fn a_key_of_the_wrong_form_is_refused_without_being_shown() {
        for bad in ["", "secret", &"0f".repeat(31), &"0f".repeat(33), &"zz".repeat(32)] {
            let refusal = MasterKey::from_hex(bad).unwrap_err();
            assert!(bad.is_empty() || !refusal.contains(bad), "{refusal}");
        }
        assert!(MasterKey::from_hex(&format!("{}\n", "0f".repeat(32))).is_ok());
    }
}
