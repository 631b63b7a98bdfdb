//! Owns the portable hashes of phpass: MD5, again and again. WordPress before 6.8 and phpBB write them.

use aws_lc_rs::constant_time;
use base64ct::{Base64ShaCrypt, Encoding};
use md5::{Digest, Md5};

use super::{FORM, HashProblem, bcrypt::trimmed};

/// The digits of the crypt functions, from zero on.
const DIGITS: &[u8; 64] = b"./0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";

/// How many digests there are, as powers of two: `PasswordHash.php` takes no others.
const LOG_ROUNDS: std::ops::RangeInclusive<usize> = 7..=30;

/// A hash of phpass.
#[derive(Debug)]
pub(super) struct Phpass {
    log_rounds: u32,
    salt: [u8; 8],
    expected: [u8; 16],
}

impl Phpass {
    /// Reads `text`; none if it does not begin as `$P$BSALTSALT` and 22 digits of output, or `$H$`, as phpBB has it.
    pub(super) fn parse(text: &str) -> Option<Result<Self, HashProblem>> {
        let rest = text.strip_prefix("$P$").or_else(|| text.strip_prefix("$H$"))?;
        Some(Self::read(rest).ok_or(FORM))
    }

    fn read(rest: &str) -> Option<Self> {
        let (log_rounds, rest) = rest.as_bytes().split_first()?;
        let log_rounds = DIGITS.iter().position(|digit| digit == log_rounds)?;
        let (salt, output) = rest.split_first_chunk()?;
        let mut expected = [0; 16];
        // The digits are those of SHA-crypt, in the same order.
        let decoded = Base64ShaCrypt::decode(output, &mut expected).ok()?;
        let is_whole = decoded.len() == 16 && LOG_ROUNDS.contains(&log_rounds);
        let log_rounds = u32::try_from(log_rounds).ok().filter(|_| is_whole)?;
        Some(Self { log_rounds, salt: *salt, expected })
    }

    /// How many blocks of MD5 are computed for a password of so many bytes.
    pub(super) fn work(&self, password_bytes: usize) -> u64 {
        // A digest of 16 bytes before it, nine of padding after it.
        let blocks = (16 + password_bytes as u64 + 9).div_ceil(64);
        blocks.saturating_mul(1 << self.log_rounds)
    }

    /// How often a login with `password` computes it.
    pub(super) fn tries(password: &[u8]) -> u32 {
        if trimmed(password) == password { 1 } else { 2 }
    }

    /// WordPress hashes what was typed without the space around it, phpBB with it.
    pub(super) fn verify(&self, password: &[u8]) -> bool {
        let trimmed = trimmed(password);
        self.is_of(password) || (trimmed != password && self.is_of(trimmed))
    }

    /// Compares in constant time.
    fn is_of(&self, password: &[u8]) -> bool {
        let over = |first: &[u8]| Md5::new().chain_update(first).chain_update(password).finalize();
        let mut digest = over(&self.salt);
        for _ in 0..1_u64 << self.log_rounds {
            digest = over(&digest);
        }
        constant_time::verify_slices_are_equal(&digest, &self.expected).is_ok()
    }
}
