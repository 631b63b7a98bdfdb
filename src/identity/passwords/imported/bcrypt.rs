//! Owns bcrypt, as passlib and others write it, by itself and over a digest of the password.

use aws_lc_rs::{digest, hmac};
use base64ct::{Base64, Encoding};
use bcrypt::HashParts;
use zeroize::Zeroizing;

use super::{FORM, HashProblem, number, parts};
use crate::model::Error;

/// The digits of the output.
const OUTPUT_CHARS: usize = 31;

/// The digits of bcrypt's base64, from zero on.
const DIGITS: &[u8; 64] = b"./ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789";

/// The key of the HMAC by which WordPress 6.8 keeps its hashes apart from those of others (`wp_hash_password`).
const WORDPRESS_KEY: &[u8] = b"wp-sha384";

/// What PHP's `trim` takes off, which WordPress calls for each password.
const PHP_SPACE: &[u8] = b" \t\n\r\0\x0b";

/// A hash of bcrypt.
#[derive(Debug)]
pub(super) struct Bcrypt {
    /// The input of bcrypt.
    over: Over,
    /// `$2b$`, the cost, the salt and the output.
    hash: String,
    cost: u32,
}

/// The input of bcrypt, which reads no more than 72 bytes.
#[derive(Debug)]
enum Over {
    /// The password itself.
    Password,
    /// Its SHA-256 in base64: passlib's `bcrypt-sha256`, version 1.
    Sha256Base64,
    /// Its HMAC-SHA-256 under the salt as it is written, in base64: the same, version 2.
    HmacBase64(String),
    /// Its SHA-256 in hexadecimal: Django's `bcrypt_sha256`.
    Sha256Hex,
    /// Its HMAC-SHA-384 in base64, without the space around it: WordPress 6.8.
    WordPress,
}

impl Bcrypt {
    /// Reads `text`; none if it does not begin as one of
    ///
    /// - `$2b$12$SALTOUTPUT`, `$2a$` and `$2y$`: the same computation under three names;
    /// - `$bcrypt-sha256$v=2,t=2b,r=12$SALT$OUTPUT` and `$bcrypt-sha256$2b,12$SALT$OUTPUT`: passlib;
    /// - `bcrypt_sha256$$2b$12$SALTOUTPUT`: Django;
    /// - `$wp$2y$10$SALTOUTPUT`: WordPress.
    pub(super) fn parse(text: &str) -> Option<Result<Self, HashProblem>> {
        if let Some(rest) = text.strip_prefix("$bcrypt-sha256$") {
            Some(Self::passlib(rest))
        } else if let Some(hash) = text.strip_prefix("bcrypt_sha256$") {
            Some(Self::new(Over::Sha256Hex, hash.to_owned()))
        } else if let Some(hash) = text.strip_prefix("$wp") {
            Some(Self::new(Over::WordPress, hash.to_owned()))
        } else {
            let known = ["$2b$", "$2a$", "$2y$"].iter().any(|prefix| text.starts_with(prefix));
            known.then(|| Self::new(Over::Password, text.to_owned()))
        }
    }

    fn passlib(rest: &str) -> Result<Self, HashProblem> {
        let [params, salt, output] = parts(rest, '$')?;
        let (over, variant, cost) = match params.split(',').collect::<Vec<_>>()[..] {
            ["v=2", variant, cost] => {
                let (variant, cost) = (variant.strip_prefix("t="), cost.strip_prefix("r="));
                (Over::HmacBase64(salt.to_owned()), variant.ok_or(FORM)?, cost.ok_or(FORM)?)
            }
            [variant, cost] => (Over::Sha256Base64, variant, cost),
            _ => return Err(FORM),
        };
        let cost: u32 = number(cost)?;
        Self::new(over, format!("${variant}${cost:02}${salt}{output}"))
    }

    fn new(over: Over, hash: String) -> Result<Self, HashProblem> {
        hash.parse::<HashParts>().map_err(|_| FORM)?;
        // The crate reads any two characters as the variant; `$2x$` names a computation that was wrong.
        let ("$2a$" | "$2b$" | "$2y$", Some(cost)) = (&hash[..4], hash.get(4..6)) else { return Err(FORM) };
        let cost = number(cost.strip_prefix('0').unwrap_or(cost))?;
        if !(4..=31).contains(&cost) {
            return Err(FORM);
        }
        Ok(Self { over, hash, cost })
    }

    pub(super) const fn cost(&self) -> u32 {
        self.cost
    }

    /// Whether it was made from `password`. Of a password itself the first 72 bytes count, as where it was made; one with a NUL byte
    /// never got a hash there.
    pub(super) fn verify(&self, password: &[u8]) -> Result<bool, Error> {
        let sha256 = || digest::digest(&digest::SHA256, password);
        let hmac = |algorithm, key: &[u8], password: &[u8]| {
            let tag = hmac::sign(&hmac::Key::new(algorithm, key), password);
            Base64::encode_string(tag.as_ref()).into_bytes()
        };
        let given = Zeroizing::new(match &self.over {
            Over::Password if password.contains(&0) => return Ok(false),
            Over::Password => password.to_vec(),
            Over::Sha256Base64 => Base64::encode_string(sha256().as_ref()).into_bytes(),
            Over::Sha256Hex => hex::encode(sha256()).into_bytes(),
            Over::HmacBase64(salt) => hmac(hmac::HMAC_SHA256, salt.as_bytes(), password),
            Over::WordPress => hmac(hmac::HMAC_SHA384, WORDPRESS_KEY, trimmed(password)),
        });
        bcrypt::verify(given.as_slice(), &self.hash)
            .map_err(|error| Error::internal(format!("bcrypt: {error}")))
    }
}

/// `password` as PHP's `trim` leaves it.
pub(super) fn trimmed(password: &[u8]) -> &[u8] {
    let is_kept = |byte: &u8| !PHP_SPACE.contains(byte);
    let Some(start) = password.iter().position(is_kept) else { return &[] };
    let end = password.iter().rposition(is_kept).map_or(start, |last| last + 1);
    &password[start..end]
}

/// `text` without the bits of the last digits of salt and output that stand for nothing: some programs set them, among them passlib
/// before 1.5.3. None if it is no hash of bcrypt.
pub(super) fn without_unused_bits(text: &str) -> Option<String> {
    let salt_end = if text.starts_with("$bcrypt-sha256$") {
        OUTPUT_CHARS + 2
    } else if ["$2", "$wp$2", "bcrypt_sha256$$2"].iter().any(|prefix| text.starts_with(prefix)) {
        OUTPUT_CHARS + 1
    } else {
        return None;
    };
    let mut bytes = text.as_bytes().to_vec();
    // 16 bytes in 22 digits, and 23 in 31.
    for (from_end, used) in [(salt_end, 0b11_0000), (1, 0b11_1100)] {
        let at = bytes.len().checked_sub(from_end)?;
        let digit = DIGITS.iter().position(|digit| *digit == bytes[at])?;
        bytes[at] = DIGITS[digit & used];
    }
    String::from_utf8(bytes).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// passlib 1.7.4: `CryptContext(schemes=["bcrypt"], bcrypt__rounds=4).hash(password)`; the older prefixes by hand.
    const PASSLIB: [(&str, &str); 4] = [
        ("correct horse battery staple", "$2b$04$K0ykuirb/DK3rwAYY9xmLe.CxfuaV4Qgrmc323vWsq.UAi4S2TpEe"),
        ("correct horse battery staple", "$2a$04$K0ykuirb/DK3rwAYY9xmLe.CxfuaV4Qgrmc323vWsq.UAi4S2TpEe"),
        ("correct horse battery staple", "$2y$04$K0ykuirb/DK3rwAYY9xmLe.CxfuaV4Qgrmc323vWsq.UAi4S2TpEe"),
        ("pässwörd-密码", "$2b$04$LUxllKGek7vQ536nWsOljudUa4RLkBt4kvCRoA6FJnMSUnGpQhVa."),
    ];

    #[test]
    fn hashes_that_passlib_wrote_verify() {
        for (password, hash) in PASSLIB {
            let hash = Bcrypt::parse(hash).unwrap().unwrap();
            assert!(hash.verify(password.as_bytes()).unwrap(), "{password}");
            assert!(!hash.verify(b"another password").unwrap());
        }
    }

    #[test]
    fn only_the_first_72_bytes_count_and_nul_never_matches() {
        let long = "x".repeat(72);
        let hash = Bcrypt::parse(&bcrypt::hash(&long, 4).unwrap()).unwrap().unwrap();
        assert!(hash.verify(format!("{long}tail").as_bytes()).unwrap());
        assert!(!hash.verify("x".repeat(71).as_bytes()).unwrap());
        assert!(!hash.verify(format!("{long}\0").as_bytes()).unwrap());
    }
}
