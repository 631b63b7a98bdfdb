//! Owns PBKDF2 (RFC 8018), as passlib, Django, Werkzeug and PHC strings write it.

use std::num::NonZeroU32;

use aws_lc_rs::pbkdf2::{self, PBKDF2_HMAC_SHA1, PBKDF2_HMAC_SHA256, PBKDF2_HMAC_SHA384, PBKDF2_HMAC_SHA512};
use base64ct::{Base64, Encoding};

use super::{FORM, HashProblem, decoded, number, output, parts};

/// A hash of PBKDF2.
#[derive(Debug)]
pub(super) struct Pbkdf2 {
    algorithm: Algorithm,
    rounds: NonZeroU32,
    salt: Vec<u8>,
    expected: Vec<u8>,
}

#[derive(Clone, Copy, Debug)]
enum Algorithm {
    Sha1,
    Sha256,
    Sha384,
    Sha512,
}

impl Pbkdf2 {
    /// Reads `text`; none if it does not begin as one of
    ///
    /// - `$pbkdf2-sha256$29000$SALT$OUTPUT`: passlib, base64 without padding and with `.` for `+`;
    /// - `$pbkdf2-sha256$i=600000,l=32$SALT$OUTPUT`: PHC, base64;
    /// - `pbkdf2_sha256$1000000$SALT$OUTPUT`: Django, the salt as it is, base64 with padding;
    /// - `pbkdf2:sha256:600000$SALT$OUTPUT`: Werkzeug, the salt as it is, hexadecimal.
    pub(super) fn parse(text: &str) -> Option<Result<Self, HashProblem>> {
        if let Some(rest) = text.strip_prefix("$pbkdf2") {
            Some(Self::phc(rest))
        } else if let Some(rest) = text.strip_prefix("pbkdf2_") {
            Some(Self::django(rest))
        } else {
            text.strip_prefix("pbkdf2:").map(Self::werkzeug)
        }
    }

    fn phc(rest: &str) -> Result<Self, HashProblem> {
        let [digest, rounds, salt, expected] = parts(rest, '$')?;
        let algorithm = match digest {
            // passlib's name for the first of them has no digest.
            "" | "-sha1" => Algorithm::Sha1,
            "-sha256" => Algorithm::Sha256,
            "-sha384" => Algorithm::Sha384,
            "-sha512" => Algorithm::Sha512,
            _ => return Err(DIGEST),
        };
        let expected = decoded(expected)?;
        let rounds = match rounds.strip_prefix("i=") {
            Some(rounds) => {
                let (rounds, length) =
                    rounds.split_once(",l=").map_or((rounds, None), |(rounds, l)| (rounds, Some(l)));
                if length.map(number::<usize>).transpose()?.is_some_and(|length| length != expected.len()) {
                    return Err(HashProblem::Malformed("its output has not the length that it says"));
                }
                rounds
            }
            None => rounds,
        };
        Self::new(algorithm, rounds, decoded(salt)?, expected)
    }

    fn django(rest: &str) -> Result<Self, HashProblem> {
        let [digest, rounds, salt, expected] = parts(rest, '$')?;
        let expected = Base64::decode_vec(expected).map_err(|_| FORM)?;
        Self::new(Algorithm::named(digest)?, rounds, salt.into(), expected)
    }

    fn werkzeug(rest: &str) -> Result<Self, HashProblem> {
        let [params, salt, expected] = parts(rest, '$')?;
        let (digest, rounds) = params.split_once(':').ok_or(FORM)?;
        let expected = hex::decode(expected).map_err(|_| FORM)?;
        Self::new(Algorithm::named(digest)?, rounds, salt.into(), expected)
    }

    fn new(
        algorithm: Algorithm,
        rounds: &str,
        salt: Vec<u8>,
        expected: Vec<u8>,
    ) -> Result<Self, HashProblem> {
        let rounds = NonZeroU32::new(number(rounds)?).ok_or(HashProblem::Malformed("it makes no round"))?;
        Ok(Self { algorithm, rounds, salt, expected: output(expected)? })
    }

    /// Rounds over all blocks of the output.
    pub(super) fn work(&self) -> u64 {
        u64::from(self.rounds.get()) * self.expected.len().div_ceil(self.algorithm.block_bytes()) as u64
    }

    /// Compares in constant time.
    pub(super) fn verify(&self, password: &[u8]) -> bool {
        let algorithm = match self.algorithm {
            Algorithm::Sha1 => PBKDF2_HMAC_SHA1,
            Algorithm::Sha256 => PBKDF2_HMAC_SHA256,
            Algorithm::Sha384 => PBKDF2_HMAC_SHA384,
            Algorithm::Sha512 => PBKDF2_HMAC_SHA512,
        };
        pbkdf2::verify(algorithm, self.rounds, &self.salt, password, &self.expected).is_ok()
    }
}

impl Algorithm {
    fn named(name: &str) -> Result<Self, HashProblem> {
        match name {
            "sha1" => Ok(Self::Sha1),
            "sha256" => Ok(Self::Sha256),
            "sha384" => Ok(Self::Sha384),
            "sha512" => Ok(Self::Sha512),
            _ => Err(DIGEST),
        }
    }

    const fn block_bytes(self) -> usize {
        match self {
            Self::Sha1 => 20,
            Self::Sha256 => 32,
            Self::Sha384 => 48,
            Self::Sha512 => 64,
        }
    }
}

const DIGEST: HashProblem =
    HashProblem::Malformed("PBKDF2 is known with SHA-1, SHA-256, SHA-384 and SHA-512");
