//! Owns the password hashes of other systems: which forms are known, what they may cost, and whether a password fits one.
//! They are verified, never made.

mod argon2;
mod bcrypt;
mod crypt;
mod firebase;
mod kept;
mod pbkdf2;
mod phpass;
mod scrypt;

use argon2::Argon2Hash;
use bcrypt::Bcrypt;
use crypt::{ShaCryptHash, YescryptHash};
use firebase::Firebase;
use pbkdf2::Pbkdf2;
use phpass::Phpass;
use scrypt::Scrypt;

use std::{collections::BTreeSet, time::Duration};

use super::{
    DEFAULT_IMPORT_MAX_COST, Prehash, PrehashKey, PrehashKeyName,
    argon2id::{Argon2Params, Memory},
    cost,
};
use crate::model::{Error, Password};

/// The most memory that a hash may ask for, in KiB: 256 MiB. The defaults of passlib, Django, argon2-cffi and libsodium's
/// "moderate" stay below, and so does OWASP's scrypt (128 MiB).
const MAX_MEMORY_KIB: u64 = 256 * 1024;

/// The longest hash, in characters: what the column of the table holds.
const MAX_CHARS: usize = 255;

/// The bytes of a password that the table of costs goes by, where they matter: most passwords have fewer.
const USUAL_PASSWORD_BYTES: usize = 32;

/// The bytes from which a password counts as one that is long: SHA-crypt and phpass read it in each round, and one login must not cost more
/// for that than what any may.
const LONG_PASSWORD_BYTES: usize = 256;

/// The longest input of a hash, in bytes: no password is longer (`PASSWORD_MAX_RAW_BYTES`). Unicode's forms make of some eleven times as
/// many bytes, and what is read once for each of them would cost a hundred times as much.
const MAX_INPUT_BYTES: usize = 4_096;

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
        "has no known form: docs/MIGRATING.md lists those of bcrypt, Argon2, scrypt, PBKDF2, crypt(3), phpass and Firebase"
    )]
    UnknownForm,
    /// It names a key of prehashes that is not there.
    #[error("names the prehash key `{0}`, which is not here: --password-prehash-key-file brings it")]
    KeyMissing(String),
    /// A known form, and not a hash all the same.
    #[error("is no hash of its form: {0}")]
    Malformed(&'static str),
    /// To verify it would take more memory than a login may.
    #[error("costs too much to verify: {0}")]
    TooLarge(&'static str),
    /// To verify it would take more time than a login may.
    #[error("costs too much to verify: {} ms by the table, and --import-max-cost is {} ms", .cost.as_millis(), .most.as_millis())]
    TooSlow {
        /// Its cost by the table.
        cost: Duration,
        /// The highest cost that is allowed.
        most: Duration,
    },
}

impl HashProblem {
    /// The name for programs.
    #[must_use]
    pub const fn name(&self) -> &'static str {
        match self {
            Self::Unusable => "PASSWORD_HASH_UNUSABLE",
            Self::UnknownForm => "PASSWORD_HASH_UNKNOWN",
            Self::KeyMissing(_) => "PASSWORD_HASH_KEY_MISSING",
            Self::Malformed(_) => "PASSWORD_HASH_MALFORMED",
            Self::TooLarge(_) | Self::TooSlow { .. } => "PASSWORD_HASH_TOO_COSTLY",
        }
    }
}

/// A hash, read: whatever it asks for, it can be verified within the bounds above.
#[derive(Debug)]
pub(super) struct ImportedHash {
    /// What is made of a password first.
    prehash: Option<Prehash>,
    scheme: Scheme,
}

/// What is known of prehashes where hashes are taken over.
#[derive(Clone, Debug, Default)]
pub struct Prehashes {
    /// The prehash of all hashes that do not say themselves which one they have.
    pub given: Option<Prehash>,
    /// The names of the keys that are there.
    pub keys: BTreeSet<PrehashKeyName>,
}

#[derive(Debug)]
enum Scheme {
    Argon2(Argon2Hash),
    Bcrypt(Bcrypt),
    Scrypt(Scrypt),
    Pbkdf2(Pbkdf2),
    Firebase(Firebase),
    ShaCrypt(ShaCryptHash),
    Yescrypt(YescryptHash),
    Phpass(Phpass),
}

/// The form in which the hash `text` is kept. `own` are the parameters of this service, whose own hashes are taken back whatever they
/// cost; all others may cost `most` by the table. A prehash, which it says itself or `prehashes` has for all, stands before it.
///
/// # Errors
/// Why it is not taken over.
pub fn adopt(
    text: &str,
    own: Argon2Params,
    most: Duration,
    prehashes: &Prehashes,
) -> Result<String, HashProblem> {
    // Before anything is told by how the text begins.
    let text = text.trim_ascii();
    // Django writes `!` before random characters; others write `*` or `!!` alone, as /etc/shadow has it.
    if text.is_empty() || text.starts_with(['!', '*']) {
        return Err(HashProblem::Unusable);
    }
    // Some systems' salts are taken as they are. No system writes such characters, and PostgreSQL keeps no NUL: the whole batch
    // would fail for one row.
    if text.chars().any(char::is_control) {
        return Err(HashProblem::Malformed("it has a control character in it"));
    }
    let (prehash, hash) = match Prehash::split(text) {
        Some(split) => split.map(|(prehash, hash)| (Some(prehash), hash))?,
        None => (prehashes.given.as_ref().map(|given| given.of_hash(text)), text),
    };
    if let Some(key) = prehash.as_ref().and_then(Prehash::key)
        && !prehashes.keys.contains(key)
    {
        return Err(HashProblem::KeyMissing(key.as_str().to_owned()));
    }
    let hash = kept::kept_form(hash)?;
    let kept = prehash.map_or(hash.clone(), |prehash| format!("{prehash}{hash}"));
    if kept.len() > MAX_CHARS {
        return Err(HashProblem::Malformed("it is longer than 255 characters"));
    }
    if super::argon2id::params_of(&hash) != Some(own) {
        ImportedHash::parse(&kept)?.check_cost(most)?;
    }
    Ok(kept)
}

impl ImportedHash {
    /// Reads `text`.
    ///
    /// # Errors
    /// [`HashProblem::UnknownForm`] or [`HashProblem::Malformed`].
    pub(super) fn parse(text: &str) -> Result<Self, HashProblem> {
        let (prehash, text) = match Prehash::split(text) {
            Some(split) => split.map(|(prehash, hash)| (Some(prehash), hash))?,
            None => (None, text),
        };
        let scheme = None
            .or_else(|| Some(Bcrypt::parse(text)?.map(Scheme::Bcrypt)))
            .or_else(|| Some(Pbkdf2::parse(text)?.map(Scheme::Pbkdf2)))
            .or_else(|| Some(Scrypt::parse(text)?.map(Scheme::Scrypt)))
            .or_else(|| Some(Argon2Hash::parse(text)?.map(Scheme::Argon2)))
            .or_else(|| Some(Firebase::parse(text)?.map(Scheme::Firebase)))
            .or_else(|| Some(ShaCryptHash::parse(text)?.map(Scheme::ShaCrypt)))
            .or_else(|| Some(YescryptHash::parse(text)?.map(Scheme::Yescrypt)))
            .or_else(|| Some(Phpass::parse(text)?.map(Scheme::Phpass)));
        let scheme = scheme.unwrap_or(Err(HashProblem::UnknownForm))?;
        let wants_argon2 = prehash.as_ref().is_some_and(Prehash::is_argon2_secret);
        if wants_argon2 && !matches!(scheme, Scheme::Argon2(_)) {
            return Err(HashProblem::Malformed("Argon2 alone has a secret"));
        }
        Ok(Self { prehash, scheme })
    }

    /// Whether it stays within the bounds of what a login may cost.
    fn check_cost(&self, most: Duration) -> Result<(), HashProblem> {
        if self.memory_kib() > MAX_MEMORY_KIB {
            return Err(HashProblem::TooLarge("at most 256 MiB of memory"));
        }
        let cost = self.cost();
        if cost > most { Err(HashProblem::TooSlow { cost, most }) } else { Ok(()) }
    }

    /// The cost of verifying it, by the table, with a password of the length that most have.
    pub(super) fn cost(&self) -> Duration {
        self.cost_of(USUAL_PASSWORD_BYTES)
    }

    /// The cost of verifying it with a password of so many bytes, by the table: some read it in each round.
    fn cost_of(&self, password_bytes: usize) -> Duration {
        match &self.scheme {
            Scheme::Argon2(hash) => cost::argon2(hash.filled_kib()),
            Scheme::Scrypt(hash) => {
                cost::scrypt(hash.params().filled_kib()) + cost::pbkdf2(hash.pbkdf2_rounds())
            }
            Scheme::Firebase(hash) => {
                cost::scrypt(hash.params().filled_kib()) + cost::pbkdf2(hash.pbkdf2_rounds())
            }
            Scheme::Yescrypt(hash) => cost::scrypt(hash.filled_kib()),
            Scheme::Bcrypt(hash) => cost::bcrypt(hash.cost()),
            Scheme::Pbkdf2(hash) => cost::pbkdf2(hash.work()),
            Scheme::ShaCrypt(hash) => cost::digests(hash.work(password_bytes)),
            Scheme::Phpass(hash) => cost::digests(hash.work(password_bytes)),
        }
    }

    /// What a login with `password` costs, and with the key that the prehash names: whatever may stand in the password's place is hashed.
    /// Beyond what any may cost, it is refused without being computed.
    pub(super) fn login_cost(&self, password: &Password, key: Option<&PrehashKey>) -> Duration {
        let cost = |input: &[u8]| {
            let tries = if matches!(self.scheme, Scheme::Phpass(_)) { Phpass::tries(input) } else { 1 };
            self.cost_of(input.len()).min(self.most()).saturating_mul(tries)
        };
        let Some(prehash) = &self.prehash else { return cost(password.raw()) };
        match prehash.inputs(password.raw(), key) {
            Ok(inputs) => {
                let costs = inputs.iter().map(|input| cost(input.as_slice()));
                costs.fold(Duration::ZERO, Duration::saturating_add)
            }
            // Nothing is hashed then.
            Err(_) => self.cost(),
        }
    }

    /// What one login may cost that has a long password.
    fn most(&self) -> Duration {
        DEFAULT_IMPORT_MAX_COST.max(self.cost())
    }

    /// Whether it costs no more than a hash with the parameters `own`, in time and in memory, and is computed in the same way.
    pub(super) fn fits(&self, own: Argon2Params) -> bool {
        if let Scheme::Argon2(hash) = &self.scheme {
            return hash.memory_kib() <= own.memory_kib.into() && self.cost() <= own.cost();
        }
        false
    }

    /// The memory that verifying it takes, in KiB.
    pub(super) fn memory_kib(&self) -> u64 {
        match &self.scheme {
            Scheme::Argon2(hash) => hash.memory_kib(),
            Scheme::Scrypt(hash) => hash.params().memory_kib(),
            Scheme::Firebase(hash) => hash.params().memory_kib(),
            Scheme::Yescrypt(hash) => hash.memory_kib(),
            // Some KiB.
            Scheme::Bcrypt(_) | Scheme::Pbkdf2(_) | Scheme::ShaCrypt(_) | Scheme::Phpass(_) => 0,
        }
    }

    /// Whether it was made from `password`, and the key that its prehash names. Other systems hash what was typed, so the normalised form
    /// counts only for Argon2, whose hashes may be this service's own.
    pub(super) fn verify(
        &self,
        password: &Password,
        key: Option<&PrehashKey>,
        memory: &mut Memory,
    ) -> Result<bool, Error> {
        match (&self.prehash, &self.scheme) {
            (None, Scheme::Argon2(hash)) => hash.verify(password, memory),
            (None, _) => self.verify_input(password.raw(), &[], memory),
            (Some(prehash), _) => {
                let secret = key.filter(|_| prehash.is_argon2_secret()).map_or(&[][..], PrehashKey::as_bytes);
                for input in prehash.inputs(password.raw(), key)? {
                    if self.verify_input(&input, secret, memory)? {
                        return Ok(true);
                    }
                }
                Ok(false)
            }
        }
    }

    /// Whether `input` is what was hashed; `secret` is Argon2's. What no password is, or costs more than a login may, is not hashed.
    fn verify_input(&self, input: &[u8], secret: &[u8], memory: &mut Memory) -> Result<bool, Error> {
        let costs_too_much = || input.len() > LONG_PASSWORD_BYTES && self.cost_of(input.len()) > self.most();
        if input.len() > MAX_INPUT_BYTES || costs_too_much() {
            return Ok(false);
        }
        match &self.scheme {
            Scheme::Argon2(hash) => hash.verify_input(input, secret, memory),
            Scheme::Bcrypt(hash) => hash.verify(input),
            Scheme::Scrypt(hash) => hash.verify(input),
            Scheme::Pbkdf2(hash) => Ok(hash.verify(input)),
            Scheme::Firebase(hash) => hash.verify(input),
            Scheme::ShaCrypt(hash) => hash.verify(input),
            Scheme::Yescrypt(hash) => hash.verify(input),
            Scheme::Phpass(hash) => Ok(hash.verify(input)),
        }
    }
}

/// The problem of a hash that begins like a known form and continues otherwise.
const FORM: HashProblem = HashProblem::Malformed("its parts are not the ones of its form");

/// What stands after `name`, such as `r=`, in a parameter.
fn value<'a>(parameter: &'a str, name: &str) -> Result<&'a str, HashProblem> {
    parameter.strip_prefix(name).ok_or(FORM)
}

/// Exactly `N` parts, separated by `by`.
fn parts<const N: usize>(text: &str, by: char) -> Result<[&str; N], HashProblem> {
    text.split(by).collect::<Vec<_>>().try_into().map_err(|_| FORM)
}

/// A salt or an output in base64, with padding or without, or in a variant of it: passlib has `.` for `+`, and URLs have `-` and `_`.
fn decoded(text: &str) -> Result<Vec<u8>, HashProblem> {
    use base64ct::{Base64Unpadded, Encoding};
    let standard = text.trim_end_matches('=').replace(['.', '-'], "+").replace('_', "/");
    Base64Unpadded::decode_vec(&standard)
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

#[cfg(test)]
mod tests;
