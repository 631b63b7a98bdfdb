//! Owns scrypt (RFC 7914), as passlib, Django, Werkzeug, Kratos, better-auth and PHC strings write it.

use aws_lc_rs::constant_time;
use base64ct::{Base64, Encoding};
use unicode_normalization::UnicodeNormalization;
use zeroize::Zeroizing;

use super::{FORM, HashProblem, decoded, number, output, parts, value};
use crate::model::Error;

/// The largest r and p: the cost has its own bound, and with these no product overflows on the way to it.
const MAX_FACTOR: u32 = 1_024;

/// The largest N as a power of two: 256 MiB are reached at 21 with the smallest r.
const MAX_LOG_N: u8 = 24;

/// The cost of one hash.
#[derive(Clone, Copy, Debug)]
pub(super) struct Params {
    log_n: u8,
    r: u32,
    p: u32,
}

/// A hash of scrypt.
#[derive(Debug)]
pub(super) struct Scrypt {
    params: Params,
    salt: Vec<u8>,
    expected: Vec<u8>,
    over: Over,
}

/// The input of scrypt.
#[derive(Clone, Copy, Debug)]
enum Over {
    /// The password as it was typed.
    Typed,
    /// Its form NFKC.
    Nfkc,
}

impl Params {
    pub(super) fn new(log_n: u8, r: u32, p: u32) -> Result<Self, HashProblem> {
        if !(1..=MAX_LOG_N).contains(&log_n) || r > MAX_FACTOR || p > MAX_FACTOR {
            return Err(HashProblem::TooLarge("scrypt's N is at most 2^24, its r and p at most 1,024"));
        }
        scrypt::Params::new(log_n, r, p)
            .map_err(|_| HashProblem::Malformed("its parameters are none of scrypt's"))?;
        Ok(Self { log_n, r, p })
    }

    /// 128 N r bytes (RFC 7914 section 5), and 128 r for each lane.
    pub(super) fn memory_kib(self) -> u64 {
        (128 * u64::from(self.r) * ((1 << self.log_n) + u64::from(self.p))).div_ceil(1024)
    }

    /// The memory that all lanes write, in KiB, from which the cost in time follows.
    pub(super) fn filled_kib(self) -> u64 {
        (128 * u64::from(self.r) * (1 << self.log_n) * u64::from(self.p)).div_ceil(1024)
    }

    /// The rounds of PBKDF2 before the lanes are filled and after: what is derived first is as long as p lanes of 128 r bytes, and all of
    /// it is the salt of each block of the output. With a small N these are most of the work.
    pub(super) fn pbkdf2_rounds(self, salt_bytes: usize, output_bytes: usize) -> u64 {
        let lanes = u64::from(self.r) * u64::from(self.p);
        // A round reads two blocks of 64 bytes, and a long salt has more of them.
        let first = 2 * lanes * (2 + salt_bytes as u64 / 64);
        let last = lanes * (output_bytes as u64).div_ceil(32);
        first + last
    }

    /// `length` bytes that are derived from `password`.
    pub(super) fn derive(
        self,
        password: &[u8],
        salt: &[u8],
        length: usize,
    ) -> Result<Zeroizing<Vec<u8>>, Error> {
        let failure = |error: &dyn std::fmt::Display| Error::internal(format!("scrypt: {error}"));
        let params = scrypt::Params::new(self.log_n, self.r, self.p).map_err(|error| failure(&error))?;
        let mut derived = Zeroizing::new(vec![0; length]);
        scrypt::scrypt(password, salt, &params, &mut derived).map_err(|error| failure(&error))?;
        Ok(derived)
    }
}

impl Scrypt {
    /// Reads `text`; none if it does not begin as one of
    ///
    /// - `$scrypt$ln=16,r=8,p=1$SALT$OUTPUT`: passlib and PHC, base64; Kratos writes N in place of its logarithm;
    /// - `scrypt$16384$SALT$8$5$OUTPUT`: Django, N, the salt as it is, r, p, base64 with padding;
    /// - `scrypt:32768:8:1$SALT$OUTPUT`: Werkzeug, N, r and p, the salt as it is, hexadecimal;
    /// - `SALT:OUTPUT`: better-auth, 32 and 128 hexadecimal digits, of which the salt is taken as it is written.
    pub(super) fn parse(text: &str) -> Option<Result<Self, HashProblem>> {
        if let Some(rest) = text.strip_prefix("$scrypt$") {
            Some(Self::phc(rest))
        } else if let Some(rest) = text.strip_prefix("scrypt$") {
            Some(Self::django(rest))
        } else if let Some(rest) = text.strip_prefix("scrypt:") {
            Some(Self::werkzeug(rest))
        } else {
            Self::better_auth(text)
        }
    }

    fn phc(rest: &str) -> Result<Self, HashProblem> {
        let [params, salt, expected] = parts(rest, '$')?;
        let [n, r, p] = parts(params, ',')?;
        let n: u64 = number(value(n, "ln=")?)?;
        let log_n = if n < 64 { u8::try_from(n).map_err(|_| FORM)? } else { log2(n)? };
        let params = Params::new(log_n, number(value(r, "r=")?)?, number(value(p, "p=")?)?)?;
        Self::new(params, decoded(salt)?, decoded(expected)?)
    }

    fn django(rest: &str) -> Result<Self, HashProblem> {
        let [n, salt, r, p, expected] = parts(rest, '$')?;
        let expected = Base64::decode_vec(expected).map_err(|_| FORM)?;
        Self::new(Params::new(log2(number(n)?)?, number(r)?, number(p)?)?, salt.into(), expected)
    }

    fn werkzeug(rest: &str) -> Result<Self, HashProblem> {
        let [params, salt, expected] = parts(rest, '$')?;
        let [n, r, p] = parts(params, ':')?;
        let expected = hex::decode(expected).map_err(|_| FORM)?;
        Self::new(Params::new(log2(number(n)?)?, number(r)?, number(p)?)?, salt.into(), expected)
    }

    /// better-auth has no parameters but these: `src/crypto/password.ts` of version 1.
    fn better_auth(text: &str) -> Option<Result<Self, HashProblem>> {
        let (salt, expected) = text.split_once(':')?;
        if salt.len() != 32 || expected.len() != 128 || hex::decode(salt).is_err() {
            return None;
        }
        let expected = hex::decode(expected).ok()?;
        let hash = Params::new(14, 16, 1).and_then(|params| Self::new(params, salt.into(), expected));
        Some(hash.map(|hash| Self { over: Over::Nfkc, ..hash }))
    }

    fn new(params: Params, salt: Vec<u8>, expected: Vec<u8>) -> Result<Self, HashProblem> {
        Ok(Self { params, salt, expected: output(expected)?, over: Over::Typed })
    }

    pub(super) const fn params(&self) -> Params {
        self.params
    }

    /// The rounds of PBKDF2.
    pub(super) fn pbkdf2_rounds(&self) -> u64 {
        self.params.pbkdf2_rounds(self.salt.len(), self.expected.len())
    }

    pub(super) fn verify(&self, password: &[u8]) -> Result<bool, Error> {
        let length = self.expected.len();
        let derived = match (self.over, std::str::from_utf8(password)) {
            (Over::Nfkc, Ok(text)) => {
                let text: Zeroizing<String> = Zeroizing::new(text.nfkc().collect());
                self.params.derive(text.as_bytes(), &self.salt, length)?
            }
            _ => self.params.derive(password, &self.salt, length)?,
        };
        Ok(constant_time::verify_slices_are_equal(&derived, &self.expected).is_ok())
    }
}

fn log2(n: u64) -> Result<u8, HashProblem> {
    let log = n.is_power_of_two().then(|| n.trailing_zeros());
    log.and_then(|log| u8::try_from(log).ok())
        .ok_or(HashProblem::Malformed("scrypt's N is not a power of two"))
}
