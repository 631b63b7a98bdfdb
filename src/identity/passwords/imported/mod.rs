//! Owns the password hashes of other systems: which forms are known, what they may cost, and whether a password fits one.
//! They are verified, never made.

mod argon2;
mod bcrypt;
mod pbkdf2;
mod scrypt;

use argon2::Argon2Hash;
use bcrypt::Bcrypt;
use pbkdf2::Pbkdf2;
use scrypt::Scrypt;

use super::argon2id::{Argon2Params, Memory};
use crate::model::{Error, Password};

/// The most memory that a hash may ask for, in KiB: 256 MiB. The defaults of passlib, Django, argon2-cffi and libsodium's
/// "moderate" stay below, and so does OWASP's scrypt (128 MiB).
const MAX_MEMORY_KIB: u64 = 256 * 1024;

/// The most memory that the passes or lanes of a hash may fill in all, in KiB: 1 GiB, about a second of one core.
const MAX_FILLED_KIB: u64 = 1024 * 1024;

/// The longest hash, in characters: what the column of the table holds.
const MAX_CHARS: usize = 255;

/// The shortest output of a hash function, in bytes: fewer and other passwords would fit by chance. All known systems write 20 or
/// more, and bcrypt 23.
const MIN_OUTPUT_BYTES: usize = 16;

/// Why a hash cannot be taken over. The text never repeats the hash.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum HashProblem {
    /// There is none, or one that fits no password, such as Django's `!`.
    #[error("is missing, or marked as one that fits no password")]
    Unusable,
    /// Not a form that is known; a password in plain text has none either.
    #[error(
        "has no known form: bcrypt, Argon2, scrypt and PBKDF2 as passlib, Django, Werkzeug and PHC strings have them"
    )]
    UnknownForm,
    /// A known form, and not a hash all the same.
    #[error("is no hash of its form: {0}")]
    Malformed(&'static str),
    /// To verify it would cost more memory or time than a login may.
    #[error("costs too much to verify: {0}")]
    TooCostly(&'static str),
}

impl HashProblem {
    /// The name for programs.
    #[must_use]
    pub const fn name(&self) -> &'static str {
        match self {
            Self::Unusable => "PASSWORD_HASH_UNUSABLE",
            Self::UnknownForm => "PASSWORD_HASH_UNKNOWN",
            Self::Malformed(_) => "PASSWORD_HASH_MALFORMED",
            Self::TooCostly(_) => "PASSWORD_HASH_TOO_COSTLY",
        }
    }
}

/// A hash, read: whatever it asks for, it can be verified within the bounds above.
#[derive(Debug)]
pub(super) struct ImportedHash(Scheme);

#[derive(Debug)]
enum Scheme {
    Argon2(Argon2Hash),
    Bcrypt(Bcrypt),
    Scrypt(Scrypt),
    Pbkdf2(Pbkdf2),
}

/// The form in which the hash `text` is kept: Django's prefixes before hashes that others know too are taken off. `own` are the
/// parameters of this service, whose own hashes are taken back whatever they cost.
///
/// # Errors
/// Why it is not taken over.
pub fn adopt(text: &str, own: Argon2Params) -> Result<String, HashProblem> {
    // Django writes `!` before random characters; others write `*` or `!!` alone, as /etc/shadow has it.
    if text.is_empty() || text.starts_with(['!', '*']) {
        return Err(HashProblem::Unusable);
    }
    if text.len() > MAX_CHARS {
        return Err(HashProblem::Malformed("it is longer than 255 characters"));
    }
    let kept = ["argon2$", "bcrypt$$"].iter().find_map(|prefix| text.strip_prefix(prefix));
    // The second `$` of Django's `bcrypt$$2b$` begins the hash.
    let kept = kept.map_or_else(|| text.to_owned(), |rest| format!("${rest}"));
    if super::argon2id::params_of(&kept) != Some(own) {
        ImportedHash::parse(&kept)?.check_cost()?;
    }
    Ok(kept)
}

impl ImportedHash {
    /// Reads `text`.
    ///
    /// # Errors
    /// [`HashProblem::UnknownForm`] or [`HashProblem::Malformed`].
    pub(super) fn parse(text: &str) -> Result<Self, HashProblem> {
        if let Some(hash) = Bcrypt::parse(text) {
            return hash.map(|hash| Self(Scheme::Bcrypt(hash)));
        }
        if let Some(hash) = Pbkdf2::parse(text) {
            return hash.map(|hash| Self(Scheme::Pbkdf2(hash)));
        }
        if let Some(hash) = Scrypt::parse(text) {
            return hash.map(|hash| Self(Scheme::Scrypt(hash)));
        }
        Argon2Hash::parse(text)
            .unwrap_or(Err(HashProblem::UnknownForm))
            .map(|hash| Self(Scheme::Argon2(hash)))
    }

    /// Whether it stays within the bounds of what a login may cost.
    fn check_cost(&self) -> Result<(), HashProblem> {
        if self.memory_kib() > MAX_MEMORY_KIB {
            return Err(HashProblem::TooCostly("at most 256 MiB of memory"));
        }
        match &self.0 {
            Scheme::Argon2(hash) => {
                within(hash.filled_kib(), MAX_FILLED_KIB, "Argon2 passes fill at most 1 GiB in all")
            }
            Scheme::Scrypt(hash) => {
                within(hash.filled_kib(), MAX_FILLED_KIB, "scrypt lanes fill at most 1 GiB in all")
            }
            Scheme::Bcrypt(hash) => {
                within(hash.cost().into(), bcrypt::MAX_COST.into(), "bcrypt's cost is at most 14")
            }
            Scheme::Pbkdf2(hash) => {
                within(hash.work(), pbkdf2::MAX_ROUNDS, "PBKDF2 makes at most 2,000,000 rounds")
            }
        }
    }

    /// The memory that verifying it takes, in KiB.
    pub(super) fn memory_kib(&self) -> u64 {
        match &self.0 {
            Scheme::Argon2(hash) => hash.memory_kib(),
            Scheme::Scrypt(hash) => hash.memory_kib(),
            // Some KiB.
            Scheme::Bcrypt(_) | Scheme::Pbkdf2(_) => 0,
        }
    }

    /// Whether it was made from `password`. Other systems hash what was typed, so the normalised form counts only for Argon2, whose
    /// hashes may be this service's own.
    pub(super) fn verify(&self, password: &Password, memory: &mut Memory) -> Result<bool, Error> {
        match &self.0 {
            Scheme::Argon2(hash) => hash.verify(password, memory),
            Scheme::Bcrypt(hash) => hash.verify(password.raw()),
            Scheme::Scrypt(hash) => hash.verify(password.raw()),
            Scheme::Pbkdf2(hash) => Ok(hash.verify(password.raw())),
        }
    }
}

fn within(cost: u64, most: u64, rule: &'static str) -> Result<(), HashProblem> {
    if cost > most { Err(HashProblem::TooCostly(rule)) } else { Ok(()) }
}

/// A salt or an output in base64 without padding, or in passlib's variant of it, which has `.` for `+`.
fn unpadded(text: &str) -> Result<Vec<u8>, HashProblem> {
    use base64ct::{Base64Unpadded, Encoding};
    Base64Unpadded::decode_vec(&text.replace('.', "+"))
        .map_err(|_| HashProblem::Malformed("its salt or its output is not base64"))
}

/// A number without a sign, a leading zero or anything around it.
fn number<T: std::str::FromStr>(text: &str) -> Result<T, HashProblem> {
    let canonical =
        text.bytes().all(|byte| byte.is_ascii_digit()) && (text.len() == 1 || !text.starts_with('0'));
    let number = canonical.then(|| text.parse().ok()).flatten();
    number.ok_or(HashProblem::Malformed("a parameter is not a number that fits"))
}

/// An output that no other password fits by chance.
fn output(bytes: Vec<u8>) -> Result<Vec<u8>, HashProblem> {
    if (MIN_OUTPUT_BYTES..=64).contains(&bytes.len()) {
        Ok(bytes)
    } else {
        Err(HashProblem::Malformed("its output has fewer than 16 or more than 64 bytes"))
    }
}
