//! Owns hashes that no password fits, for users without a password.

use super::argon2id::{Argon2Params, OUTPUT_BYTES, SALT_BYTES, uncomputed};
use crate::{base::fill_from_system, model::Error};

pub use crate::model::password::fits_nothing;

/// The salt by which it is told from the hash of a password.
const NO_SALT: [u8; SALT_BYTES] = [0; SALT_BYTES];

/// A hash with the parameters `params` that fits no password that anybody knows: 256 random bits where others have what was computed.
///
/// It is a hash like any other to whoever verifies it, of whatever release: it costs what the others cost, and the answer is no.
///
/// # Errors
/// [`Error::Internal`] if Argon2 does not take `params`.
pub fn hash_that_fits_nothing(params: Argon2Params) -> Result<String, Error> {
    let mut output = [0; OUTPUT_BYTES];
    fill_from_system(&mut output);
    uncomputed(params, NO_SALT, output)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::identity::passwords::argon2id::{Memory, params_of};

    #[test]
    fn it_is_a_hash_of_this_service_and_no_password_is_right() {
        let params = Argon2Params { memory_kib: 64, iterations: 1, parallelism: 1 };
        let hash = hash_that_fits_nothing(params).unwrap();
        assert_eq!(params_of(&hash), Some(params));
        assert_ne!(hash, hash_that_fits_nothing(params).unwrap());
        let mut memory = Memory::default();
        assert!(!memory.verify(b"correct horse", &[], &hash).unwrap());
        let real = memory.hash(b"correct horse", [7; SALT_BYTES], params).unwrap();
        assert!(fits_nothing(&hash) && !fits_nothing(&real) && !fits_nothing("$2b$04$x"));
    }
}
