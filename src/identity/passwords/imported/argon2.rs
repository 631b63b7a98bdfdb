//! Owns Argon2 hashes that came from elsewhere: PHC strings of any variant and parameters.

use argon2::{
    Algorithm, Params, Version,
    password_hash::phc::{Output, PasswordHash},
};

use super::{HashProblem, MIN_OUTPUT_BYTES};
use crate::{
    identity::passwords::argon2id::Memory,
    model::{Error, Password},
};

/// A PHC string of Argon2d, Argon2i or Argon2id.
#[derive(Debug)]
pub(super) struct Argon2Hash {
    text: String,
    memory_kib: u32,
    iterations: u32,
}

impl Argon2Hash {
    /// Reads `text`; none if it does not begin as one.
    pub(super) fn parse(text: &str) -> Option<Result<Self, HashProblem>> {
        text.starts_with("$argon2").then(|| Self::read(text))
    }

    fn read(text: &str) -> Result<Self, HashProblem> {
        let malformed = HashProblem::Malformed;
        let parsed = PasswordHash::new(text).map_err(|_| malformed("it is not a PHC string"))?;
        Algorithm::try_from(parsed.algorithm.as_str()).map_err(|_| malformed("no such variant of Argon2"))?;
        parsed
            .version
            .map_or(Ok(Version::V0x10), Version::try_from)
            .map_err(|_| malformed("no such version"))?;
        let params =
            Params::try_from(&parsed).map_err(|_| malformed("its parameters are none of Argon2's"))?;
        if !params.keyid().is_empty() || !params.data().is_empty() {
            return Err(malformed("it needs a secret key, or data, that are not here"));
        }
        let output = parsed.hash.as_ref().map_or(0, Output::len);
        if parsed.salt.is_none() || output < MIN_OUTPUT_BYTES {
            return Err(malformed("it has no salt, or an output of fewer than 16 bytes"));
        }
        Ok(Self { text: text.to_owned(), memory_kib: params.m_cost(), iterations: params.t_cost() })
    }

    pub(super) fn memory_kib(&self) -> u64 {
        self.memory_kib.into()
    }

    /// The memory that all passes write, in KiB, from which the cost in time follows.
    pub(super) fn filled_kib(&self) -> u64 {
        u64::from(self.memory_kib) * u64::from(self.iterations)
    }

    /// It may be this service's own, made of the normalised password, or another's, made of what was typed. The two differ for few
    /// passwords, and only for them a second hash is computed.
    pub(super) fn verify(&self, password: &Password, memory: &mut Memory) -> Result<bool, Error> {
        let matches = memory.verify(password.prepared(), &[], &self.text)?;
        Ok(matches
            || (password.raw() != password.prepared() && memory.verify(password.raw(), &[], &self.text)?))
    }

    /// Whether it was made from `input` alone, and from `secret`, which none is that is empty.
    pub(super) fn verify_input(
        &self,
        input: &[u8],
        secret: &[u8],
        memory: &mut Memory,
    ) -> Result<bool, Error> {
        memory.verify(input, secret, &self.text)
    }
}
