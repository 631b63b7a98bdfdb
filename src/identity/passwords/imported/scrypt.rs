//! Owns scrypt (RFC 7914), as passlib, Django, Werkzeug and PHC strings write it.

use aws_lc_rs::constant_time;
use base64ct::{Base64, Encoding};
use scrypt::Params;
use zeroize::Zeroize;

use super::{FORM, HashProblem, number, output, parts, unpadded};
use crate::model::Error;

/// The largest r and p: the cost has its own bound, and with these no product overflows on the way to it.
const MAX_FACTOR: u32 = 1_024;

/// The largest N as a power of two: 256 MiB are reached at 21 with the smallest r.
const MAX_LOG_N: u8 = 24;

/// A hash of scrypt.
#[derive(Debug)]
pub(super) struct Scrypt {
    log_n: u8,
    r: u32,
    p: u32,
    salt: Vec<u8>,
    expected: Vec<u8>,
}

impl Scrypt {
    /// Reads `text`; none if it does not begin as one of
    ///
    /// - `$scrypt$ln=16,r=8,p=1$SALT$OUTPUT`: passlib and PHC, base64 without padding;
    /// - `scrypt$16384$SALT$8$5$OUTPUT`: Django, N, the salt as it is, r, p, base64 with padding;
    /// - `scrypt:32768:8:1$SALT$OUTPUT`: Werkzeug, N, r and p, the salt as it is, hexadecimal.
    pub(super) fn parse(text: &str) -> Option<Result<Self, HashProblem>> {
        if let Some(rest) = text.strip_prefix("$scrypt$") {
            Some(Self::phc(rest))
        } else if let Some(rest) = text.strip_prefix("scrypt$") {
            Some(Self::django(rest))
        } else {
            text.strip_prefix("scrypt:").map(Self::werkzeug)
        }
    }

    fn phc(rest: &str) -> Result<Self, HashProblem> {
        let [params, salt, expected] = parts(rest, '$')?;
        let [log_n, r, p] = parts(params, ',')?;
        let value = |text: &'_ str, name| text.strip_prefix(name).map(str::to_owned).ok_or(FORM);
        let log_n = number(&value(log_n, "ln=")?)?;
        Self::new(
            log_n,
            number(&value(r, "r=")?)?,
            number(&value(p, "p=")?)?,
            unpadded(salt)?,
            unpadded(expected)?,
        )
    }

    fn django(rest: &str) -> Result<Self, HashProblem> {
        let [n, salt, r, p, expected] = parts(rest, '$')?;
        let expected = Base64::decode_vec(expected).map_err(|_| FORM)?;
        Self::new(log2(number(n)?)?, number(r)?, number(p)?, salt.into(), expected)
    }

    fn werkzeug(rest: &str) -> Result<Self, HashProblem> {
        let [params, salt, expected] = parts(rest, '$')?;
        let [n, r, p] = parts(params, ':')?;
        let expected = hex::decode(expected).map_err(|_| FORM)?;
        Self::new(log2(number(n)?)?, number(r)?, number(p)?, salt.into(), expected)
    }

    fn new(log_n: u8, r: u32, p: u32, salt: Vec<u8>, expected: Vec<u8>) -> Result<Self, HashProblem> {
        if !(1..=MAX_LOG_N).contains(&log_n) || r > MAX_FACTOR || p > MAX_FACTOR {
            return Err(HashProblem::TooLarge("scrypt's N is at most 2^24, its r and p at most 1,024"));
        }
        Params::new(log_n, r, p)
            .map_err(|_| HashProblem::Malformed("its parameters are none of scrypt's"))?;
        Ok(Self { log_n, r, p, salt, expected: output(expected)? })
    }

    /// 128 N r bytes (RFC 7914 section 5), and 128 r for each lane.
    pub(super) fn memory_kib(&self) -> u64 {
        (128 * u64::from(self.r) * ((1 << self.log_n) + u64::from(self.p))).div_ceil(1024)
    }

    /// The memory that all lanes write, in KiB, from which the cost in time follows.
    pub(super) fn filled_kib(&self) -> u64 {
        (128 * u64::from(self.r) * (1 << self.log_n) * u64::from(self.p)).div_ceil(1024)
    }

    pub(super) fn verify(&self, password: &[u8]) -> Result<bool, Error> {
        let failure = |error: &dyn std::fmt::Display| Error::internal(format!("scrypt: {error}"));
        let params = Params::new(self.log_n, self.r, self.p).map_err(|error| failure(&error))?;
        let mut computed = vec![0; self.expected.len()];
        scrypt::scrypt(password, &self.salt, &params, &mut computed).map_err(|error| failure(&error))?;
        let matches = constant_time::verify_slices_are_equal(&computed, &self.expected).is_ok();
        computed.zeroize();
        Ok(matches)
    }
}

fn log2(n: u64) -> Result<u8, HashProblem> {
    let log = n.is_power_of_two().then(|| n.trailing_zeros());
    log.and_then(|log| u8::try_from(log).ok())
        .ok_or(HashProblem::Malformed("scrypt's N is not a power of two"))
}
