//! Owns Argon2id (RFC 9106): parameters, PHC strings, and the memory it works in.

use std::time::Duration;

use argon2::{
    Algorithm, Argon2, Block, Params, Version,
    password_hash::phc::{Output, PasswordHash, Salt},
};
use zeroize::Zeroize;

use super::cost;
use crate::model::Error;

/// Output length in bytes (RFC 9106 section 4 recommends 256 bits).
pub(super) const OUTPUT_BYTES: usize = 32;

/// Salt length in bytes (RFC 9106 section 3.1 recommends 16).
pub(super) const SALT_BYTES: usize = 16;

/// The cost of one hash.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Argon2Params {
    /// Memory in KiB (m).
    pub memory_kib: u32,
    /// Passes over the memory (t).
    pub iterations: u32,
    /// Lanes (p). Each hash is computed by one thread all the same.
    pub parallelism: u32,
}

impl Argon2Params {
    /// Checks the combination against RFC 9106 section 3.1.
    ///
    /// # Errors
    /// Why Argon2 does not take it.
    pub fn validate(self) -> Result<(), String> {
        self.params().map(drop).map_err(|error| error.to_string())
    }

    /// The cost of one hash, by the table.
    pub(super) fn cost(self) -> Duration {
        cost::argon2(u64::from(self.memory_kib) * u64::from(self.iterations))
    }

    fn params(self) -> Result<Params, argon2::Error> {
        Params::new(self.memory_kib, self.iterations, self.parallelism, Some(OUTPUT_BYTES))
    }
}

/// The parameters of `hash`, if it is an Argon2id hash of this module's form.
pub(super) fn params_of(hash: &str) -> Option<Argon2Params> {
    let parsed = PasswordHash::new(hash).ok()?;
    let params = Params::try_from(&parsed).ok()?;
    let of_this_form = parsed.algorithm.as_str() == Algorithm::Argon2id.as_str()
        && parsed.version == Some(Version::V0x13.into())
        && params.output_len() == Some(OUTPUT_BYTES);
    of_this_form.then(|| Argon2Params {
        memory_kib: params.m_cost(),
        iterations: params.t_cost(),
        parallelism: params.p_cost(),
    })
}

/// The PHC string of a hash whose output nobody has computed.
pub(super) fn uncomputed(
    params: Argon2Params,
    salt: [u8; SALT_BYTES],
    output: [u8; OUTPUT_BYTES],
) -> Result<String, Error> {
    phc(params, Salt::new(&salt).map_err(failure)?, Output::new(&output).map_err(failure)?)
}

fn phc(params: Argon2Params, salt: Salt, output: Output) -> Result<String, Error> {
    let params = params.params().map_err(failure)?;
    let hash = PasswordHash {
        algorithm: Algorithm::Argon2id.ident(),
        version: Some(Version::V0x13.into()),
        params: (&params).try_into().map_err(failure)?,
        salt: Some(salt),
        hash: Some(output),
    };
    Ok(hash.to_string())
}

/// The memory of one hash thread, kept from hash to hash: asking the system for it anew costs a fifth of a hash.
#[derive(Debug, Default)]
pub(super) struct Memory(Vec<Block>);

impl Memory {
    /// The hash of `password` as a PHC string, under `salt`.
    pub(super) fn hash(
        &mut self,
        password: &[u8],
        salt: [u8; SALT_BYTES],
        params: Argon2Params,
    ) -> Result<String, Error> {
        let salt = Salt::new(&salt).map_err(failure)?;
        let computed = params.params().map_err(failure)?;
        let argon2 = Argon2::new(Algorithm::Argon2id, Version::V0x13, computed);
        let output = self.output(&argon2, password, &salt)?;
        phc(params, salt, output)
    }

    /// Whether `hash`, a PHC string of any Argon2 variant, was made from `password`, and `secret` if there is one (RFC 9106 section 3.1).
    pub(super) fn verify(&mut self, password: &[u8], secret: &[u8], hash: &str) -> Result<bool, Error> {
        let parsed = PasswordHash::new(hash).map_err(failure)?;
        let algorithm = Algorithm::try_from(parsed.algorithm.as_str()).map_err(failure)?;
        let version = parsed.version.map_or(Ok(Version::V0x10), Version::try_from).map_err(failure)?;
        let params = Params::try_from(&parsed).map_err(failure)?;
        let (Some(salt), Some(expected)) = (parsed.salt, parsed.hash) else {
            return Err(Error::internal("a stored password hash has no salt or no output"));
        };
        let argon2 = Argon2::new_with_secret(secret, algorithm, version, params).map_err(failure)?;
        let output = self.output(&argon2, password, &salt)?;
        // `Output` compares in constant time.
        Ok(output == expected)
    }

    fn output(&mut self, argon2: &Argon2<'_>, password: &[u8], salt: &Salt) -> Result<Output, Error> {
        let params = argon2.params();
        if self.0.len() != params.block_count() {
            self.wipe();
            self.0 = vec![Block::new(); params.block_count()];
        }
        let length = params.output_len().unwrap_or(Params::DEFAULT_OUTPUT_LEN);
        let mut output = [0; Output::MAX_LENGTH];
        let output = output.get_mut(..length).ok_or_else(|| failure("the output is too long"))?;
        let result = argon2
            .hash_password_into_with_memory(password, salt, output, &mut self.0)
            .map_err(failure)
            .and_then(|()| Output::new(output).map_err(failure));
        output.zeroize();
        result
    }

    /// Overwrites what the last hash left behind.
    pub(super) fn wipe(&mut self) {
        self.0.iter_mut().for_each(Zeroize::zeroize);
    }
}

impl Drop for Memory {
    fn drop(&mut self) {
        self.wipe();
    }
}

fn failure(error: impl std::fmt::Display) -> Error {
    Error::internal(format!("Argon2: {error}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    const SMALL: Argon2Params = Argon2Params { memory_kib: 64, iterations: 2, parallelism: 1 };

    #[test]
    fn a_hash_is_a_phc_string_that_verifies_its_password_alone() {
        let mut memory = Memory::default();
        let hash = memory.hash(b"correct horse", [7; SALT_BYTES], SMALL).unwrap();
        assert!(hash.starts_with("$argon2id$v=19$m=64,t=2,p=1$"), "{hash}");
        assert!(memory.verify(b"correct horse", &[], &hash).unwrap());
        assert!(!memory.verify(b"correct horsf", &[], &hash).unwrap());
        assert_eq!(params_of(&hash), Some(SMALL));
    }

    #[test]
    fn hashes_of_the_reference_implementation_verify() {
        // From the test vectors of the reference implementation (v=19, m=256, t=2, p=1).
        let mut memory = Memory::default();
        for hash in [
            "$argon2i$v=19$m=256,t=2,p=1$c29tZXNhbHQ$iekCn0Y3spW+sCcFanM2xBT63UP2sghkUoHLIUpWRS8",
            "$argon2id$v=19$m=256,t=2,p=1$c29tZXNhbHQ$nf65EOgLrQMR/uIPnA4rEsF5h7TKyQwu9U1bMCHGi/4",
        ] {
            assert!(memory.verify(b"password", &[], hash).unwrap(), "{hash}");
            assert!(!memory.verify(b"passwore", &[], hash).unwrap(), "{hash}");
        }
    }

    #[test]
    fn memory_is_wiped() {
        let mut memory = Memory::default();
        memory.hash(b"correct horse", [7; SALT_BYTES], SMALL).unwrap();
        let dirty =
            |memory: &Memory| memory.0.iter().any(|block| block.as_ref().iter().any(|word| *word != 0));
        assert!(dirty(&memory));
        memory.wipe();
        assert!(!dirty(&memory));
    }

    #[test]
    fn what_rfc_9106_forbids_is_refused() {
        for (memory_kib, iterations, parallelism) in [(7, 2, 1), (64, 0, 1), (64, 2, 0), (64, 2, 9)] {
            assert!(Argon2Params { memory_kib, iterations, parallelism }.validate().is_err());
        }
        assert!(SMALL.validate().is_ok());
    }
}
