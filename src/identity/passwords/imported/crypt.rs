//! Owns what crypt(3) of Linux writes today: SHA-crypt and yescrypt.

use base64ct::{Base64ShaCrypt, Encoding};
use sha_crypt::{PasswordVerifier, ShaCrypt};
use yescrypt::{Mode, Yescrypt};

use super::{FORM, HashProblem, number, parts};
use crate::model::Error;

/// The rounds of SHA-crypt that are not written.
const DEFAULT_ROUNDS: u32 = 5_000;

/// The rounds that SHA-crypt takes.
const ROUNDS: std::ops::RangeInclusive<u32> = 1_000..=999_999_999;

/// The most characters of a salt of SHA-crypt.
const MAX_SALT_CHARS: usize = 16;

/// The bytes that yescrypt derives.
const OUTPUT_BYTES: usize = 32;

/// A hash of SHA-crypt.
#[derive(Debug)]
pub(super) struct ShaCryptHash {
    text: String,
    rounds: u32,
    /// The bytes of the digest, and of its blocks.
    bytes: (u64, u64),
}

/// A hash of yescrypt.
#[derive(Debug)]
pub(super) struct YescryptHash {
    text: String,
    /// 128 N r bytes, as of scrypt.
    memory_kib: u64,
    filled_kib: u64,
}

impl ShaCryptHash {
    /// Reads `text`; none if it does not begin as `$5$SALT$OUTPUT` (SHA-256) or `$6$` (SHA-512), with `rounds=656000$` before the salt if
    /// they are others than 5,000.
    pub(super) fn parse(text: &str) -> Option<Result<Self, HashProblem>> {
        if let Some(rest) = text.strip_prefix("$5$") {
            Some(Self::read(text, rest, (32, 64), 43))
        } else {
            text.strip_prefix("$6$").map(|rest| Self::read(text, rest, (64, 128), 86))
        }
    }

    fn read(text: &str, rest: &str, bytes: (u64, u64), output_chars: usize) -> Result<Self, HashProblem> {
        let (rounds, rest) = match rest.strip_prefix("rounds=") {
            Some(rest) => {
                rest.split_once('$').map_or(Err(FORM), |(rounds, rest)| Ok((number(rounds)?, rest)))?
            }
            None => (DEFAULT_ROUNDS, rest),
        };
        let [salt, output] = parts(rest, '$')?;
        let is_digit = |byte: u8| byte.is_ascii_alphanumeric() || b"./".contains(&byte);
        let has_form = (1..=MAX_SALT_CHARS).contains(&salt.len())
            && output.len() == output_chars
            && salt.bytes().chain(output.bytes()).all(is_digit);
        if !has_form || !ROUNDS.contains(&rounds) || Base64ShaCrypt::decode_vec(output).is_err() {
            return Err(FORM);
        }
        Ok(Self { text: text.to_owned(), rounds, bytes })
    }

    /// How many blocks of SHA-2 are computed for a password of so many bytes, which each round reads twice at most. Before the rounds it
    /// is read once for each of its bytes.
    pub(super) fn work(&self, password_bytes: usize) -> u64 {
        let (digest, block) = self.bytes;
        let bytes = password_bytes as u64;
        let read = (digest + MAX_SALT_CHARS as u64 + block / 8 + 1).saturating_add(bytes.saturating_mul(2));
        // A bit and a length end what SHA-2 reads: an eighth of a block, and one byte more.
        let rounds = read.div_ceil(block).saturating_mul(self.rounds.into());
        rounds.saturating_add(bytes.saturating_mul(bytes).div_ceil(block))
    }

    pub(super) fn verify(&self, password: &[u8]) -> Result<bool, Error> {
        answer("SHA-crypt", ShaCrypt::default().verify_password(password, self.text.as_str()))
    }
}

impl YescryptHash {
    /// Reads `text`; none if it does not begin as `$y$PARAMS$SALT$OUTPUT`.
    pub(super) fn parse(text: &str) -> Option<Result<Self, HashProblem>> {
        text.strip_prefix("$y$").map(|rest| Self::read(text, rest))
    }

    fn read(text: &str, rest: &str) -> Result<Self, HashProblem> {
        let [params, salt, output] = parts(rest, '$')?;
        let unknown = HashProblem::Malformed("its parameters are none that yescrypt is known with");
        let params: yescrypt::Params = params.parse().map_err(|_| unknown.clone())?;
        let (n, r) = (params.n(), params.r());
        // What crypt(3) writes: others take more memory and time than N and r say.
        if yescrypt::Params::new(Mode::default(), n, r, 1).ok() != Some(params) {
            return Err(unknown);
        }
        let is_base64 = |text, bytes| Base64ShaCrypt::decode_vec(text).is_ok_and(|read| read.len() == bytes);
        if salt.is_empty() || Base64ShaCrypt::decode_vec(salt).is_err() || !is_base64(output, OUTPUT_BYTES) {
            return Err(FORM);
        }
        let kib = |blocks: u64| blocks.saturating_mul(u64::from(r) * 128).div_ceil(1024);
        // The table is read four times for each three that are filled, and a sixty-fourth of it is filled before.
        let filled = n.saturating_add(n / 3).saturating_add(n / 64);
        Ok(Self { text: text.to_owned(), memory_kib: kib(n.saturating_add(1)), filled_kib: kib(filled) })
    }

    pub(super) const fn memory_kib(&self) -> u64 {
        self.memory_kib
    }

    pub(super) const fn filled_kib(&self) -> u64 {
        self.filled_kib
    }

    pub(super) fn verify(&self, password: &[u8]) -> Result<bool, Error> {
        answer("yescrypt", Yescrypt::default().verify_password(password, self.text.as_str()))
    }
}

/// Both compare in constant time.
fn answer(scheme: &str, verified: Result<(), sha_crypt::password_hash::Error>) -> Result<bool, Error> {
    match verified {
        Ok(()) => Ok(true),
        Err(sha_crypt::password_hash::Error::PasswordInvalid) => Ok(false),
        Err(error) => Err(Error::internal(format!("{scheme}: {error}"))),
    }
}
