//! Owns one-time passwords: what a user types once to choose a password, made by the server and by nobody else.

use std::{fmt, time::Duration};

use aws_lc_rs::{constant_time, digest};
use zeroize::Zeroizing;

use super::passwords::{Argon2Params, hash_that_fits_nothing};
use crate::{
    base::{Timestamp, fill_from_system},
    model::Error,
    store::{NewOneTimePassword, Sha256, StoredOneTimePassword},
};

/// How long a one-time password can be used.
pub(super) const LIFETIME: Duration = Duration::from_hours(24);

/// How many random bits it has.
const BITS: usize = 128;

/// How many characters these are, of five bits each.
const CHARS: usize = BITS.div_ceil(5);

/// How many characters stand together, for people who copy them; the last group has one more.
const GROUP: usize = 5;

/// The longest text that is looked at, in bytes: its characters, and as much between them.
const MAX_BYTES: usize = 4 * CHARS;

/// Crockford's base 32: no letter looks like another character of it. `I` and `L` are read as 1, and `O` as 0.
const ALPHABET: &[u8; 32] = b"0123456789ABCDEFGHJKMNPQRSTVWXYZ";

/// What the digest begins with: it is no digest of anything else.
const CONTEXT: &[u8] = b"signet one-time password";

/// A one-time password: 128 random bits, written as 26 characters in five groups.
#[derive(PartialEq, Eq)]
pub struct OneTimePassword(Zeroizing<[u8; BITS / 8]>);

impl OneTimePassword {
    /// A new one.
    pub(super) fn random() -> Self {
        let mut bytes = Zeroizing::new([0; BITS / 8]);
        fill_from_system(bytes.as_mut_slice());
        Self(bytes)
    }

    /// The one that `text` writes, however it is spaced and in whichever case; none if it is none.
    pub(super) fn parse(text: &str) -> Option<Self> {
        if text.len() > MAX_BYTES {
            return None;
        }
        let (mut bits, mut chars) = (Zeroizing::new(0_u128), 0);
        for char in text.chars().filter(|char| *char != '-' && !char.is_whitespace()) {
            let value = value_of(char)?;
            // What would not fit into 128 bits is the same as nothing else.
            if chars == CHARS || *bits >> (BITS - 5) != 0 {
                return None;
            }
            *bits = *bits << 5 | u128::from(value);
            chars += 1;
        }
        (chars == CHARS).then(|| Self(Zeroizing::new(bits.to_be_bytes())))
    }

    /// As it is shown, once.
    #[must_use]
    pub fn text(&self) -> Zeroizing<String> {
        let bits = Zeroizing::new(u128::from_be_bytes(*self.0));
        let mut text = Zeroizing::new(String::with_capacity(CHARS + CHARS / GROUP));
        for index in 0..CHARS {
            if index > 0 && index % GROUP == 0 && index < CHARS - 1 {
                text.push('-');
            }
            let value = (*bits >> (5 * (CHARS - 1 - index))) as usize & 31;
            text.push(char::from(ALPHABET[value]));
        }
        text
    }

    /// What is stored of it, beside a hash with the parameters `params` that fits no password; it ends a day after `now`.
    ///
    /// Of a random value of 128 bits the plain digest tells nobody anything. Where it is shown for a login, a password's hash is computed
    /// all the same: that of the row, which nothing fits.
    ///
    /// # Errors
    /// [`Error::Internal`] if Argon2 does not take `params`.
    pub(super) fn stored(&self, params: Argon2Params, now: Timestamp) -> Result<NewOneTimePassword, Error> {
        let password_hash = hash_that_fits_nothing(params)?;
        let sha256 = self.sha256(&password_hash);
        Ok(NewOneTimePassword { sha256, password_hash, expire_time: now.after(LIFETIME) })
    }

    /// Whether it is the one that is `stored` beside `password_hash`.
    pub(super) fn is(&self, stored: &StoredOneTimePassword, password_hash: &str) -> bool {
        constant_time::verify_slices_are_equal(&self.sha256(password_hash), &stored.sha256).is_ok()
    }

    fn sha256(&self, password_hash: &str) -> Sha256 {
        let mut context = digest::Context::new(&digest::SHA256);
        for part in [CONTEXT, self.0.as_slice(), password_hash.as_bytes()] {
            context.update(part);
        }
        let mut sha256 = [0; 32];
        sha256.copy_from_slice(context.finish().as_ref());
        sha256
    }
}

impl fmt::Debug for OneTimePassword {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("OneTimePassword(..)")
    }
}

/// What is read of one is one way to write it, and is shown in one way only.
#[cfg(any(fuzzing, test))]
pub(crate) fn fuzz(bytes: &[u8]) {
    let Ok(text) = str::from_utf8(bytes) else { return };
    if let Some(read) = OneTimePassword::parse(text) {
        let shown = read.text();
        assert_eq!(shown.len(), CHARS + 4);
        assert_eq!(OneTimePassword::parse(&shown), Some(read));
    }
}

/// The five bits that `char` stands for.
fn value_of(char: char) -> Option<u8> {
    let char = match char.to_ascii_uppercase() {
        'I' | 'L' => '1',
        'O' => '0',
        other => other,
    };
    let index = ALPHABET.iter().position(|known| char::from(*known) == char)?;
    u8::try_from(index).ok()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn of(bits: u128) -> OneTimePassword {
        OneTimePassword(Zeroizing::new(bits.to_be_bytes()))
    }

    #[test]
    fn it_is_written_in_five_groups_and_nobody_mistakes_a_letter() {
        let text = of(u128::MAX).text();
        assert_eq!(*text, "7ZZZZ-ZZZZZ-ZZZZZ-ZZZZZ-ZZZZZZ");
        assert_eq!(*of(0).text(), "00000-00000-00000-00000-000000");
        let typed = " ooooO 00000 00000-00000-0000il ";
        assert_eq!(OneTimePassword::parse(typed), Some(of(33)));
        assert_eq!(format!("{:?}", of(7)), "OneTimePassword(..)");
    }

    #[test]
    fn what_is_none_is_not_read() {
        for text in [
            "",
            "7ZZZZ-ZZZZZ-ZZZZZ-ZZZZZ-ZZZZZ",
            "7ZZZZ-ZZZZZ-ZZZZZ-ZZZZZ-ZZZZZZZ",
            "8ZZZZ-ZZZZZ-ZZZZZ-ZZZZZ-ZZZZZZ",
            "7ZZZZ-ZZZZZ-ZZZZZ-ZZZZZ-ZZZZZU",
            "correct horse battery",
            &"-".repeat(1_000_000),
        ] {
            assert_eq!(OneTimePassword::parse(text), None, "{text:.40}");
        }
    }

    #[test]
    fn no_two_are_alike() {
        assert_ne!(OneTimePassword::random(), OneTimePassword::random());
    }

    proptest! {
        #[test]
        fn what_is_shown_is_read_in_any_case(bits in any::<u128>()) {
            let shown = of(bits).text();
            prop_assert_eq!(OneTimePassword::parse(&shown), Some(of(bits)));
            prop_assert_eq!(OneTimePassword::parse(&shown.to_lowercase().replace('-', "")), Some(of(bits)));
        }
    }
}
