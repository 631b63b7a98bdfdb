//! Owns Firebase's variant of scrypt: the derived key encrypts a key of the project, and what comes of that is the hash.

use aws_lc_rs::{
    cipher::{AES_256, EncryptingKey, EncryptionContext, UnboundCipherKey},
    constant_time,
};
use zeroize::Zeroizing;

use super::{FORM, HashProblem, decoded, number, output, parts, scrypt::Params, value};
use crate::model::Error;

/// The bytes of an AES-256 key, which are the first of what scrypt derives.
const KEY_BYTES: usize = 32;

/// A hash of Firebase.
#[derive(Debug)]
pub(super) struct Firebase {
    params: Params,
    /// That of the user, and then the separator of the project.
    salt: Vec<u8>,
    /// The project's key, which is the same for all users.
    signer_key: Vec<u8>,
    expected: Vec<u8>,
}

impl Firebase {
    /// Reads `text`; none if it does not begin as one of
    ///
    /// - `$fbscrypt$v=1,n=14,r=8,p=1,ss=SEPARATOR,sk=SIGNER_KEY$SALT$HASH`, base64: Supabase;
    /// - `$firescrypt$ln=14,r=8,p=1$SALT$HASH$SEPARATOR$SIGNER_KEY`: Kratos.
    pub(super) fn parse(text: &str) -> Option<Result<Self, HashProblem>> {
        if let Some(rest) = text.strip_prefix("$fbscrypt$") {
            Some(Self::supabase(rest))
        } else {
            text.strip_prefix("$firescrypt$").map(Self::kratos)
        }
    }

    fn supabase(rest: &str) -> Result<Self, HashProblem> {
        let [params, salt, expected] = parts(rest, '$')?;
        let [version, n, r, p, separator, signer_key] = parts(params, ',')?;
        if version != "v=1" {
            return Err(FORM);
        }
        let params =
            Params::new(number(value(n, "n=")?)?, number(value(r, "r=")?)?, number(value(p, "p=")?)?)?;
        Self::new(params, salt, value(separator, "ss=")?, value(signer_key, "sk=")?, expected)
    }

    fn kratos(rest: &str) -> Result<Self, HashProblem> {
        let [params, salt, expected, separator, signer_key] = parts(rest, '$')?;
        let [n, r, p] = parts(params, ',')?;
        let params =
            Params::new(number(value(n, "ln=")?)?, number(value(r, "r=")?)?, number(value(p, "p=")?)?)?;
        Self::new(params, salt, separator, signer_key, expected)
    }

    fn new(
        params: Params,
        salt: &str,
        separator: &str,
        signer_key: &str,
        expected: &str,
    ) -> Result<Self, HashProblem> {
        let salt = [decoded(salt)?, decoded(separator)?].concat();
        let (signer_key, expected) = (decoded(signer_key)?, output(decoded(expected)?)?);
        if signer_key.len() != expected.len() {
            return Err(HashProblem::Malformed("its hash is not as long as its signer key"));
        }
        Ok(Self { params, salt, signer_key, expected })
    }

    pub(super) const fn params(&self) -> Params {
        self.params
    }

    /// The rounds of PBKDF2.
    pub(super) fn pbkdf2_rounds(&self) -> u64 {
        self.params.pbkdf2_rounds(self.salt.len(), KEY_BYTES)
    }

    /// Compares in constant time. The counter begins at zero, as in Firebase: each key encrypts this one message.
    pub(super) fn verify(&self, password: &[u8]) -> Result<bool, Error> {
        let failure = |_| Error::internal("Firebase's scrypt: AES-256-CTR failed");
        let key = self.params.derive(password, &self.salt, KEY_BYTES)?;
        let key = UnboundCipherKey::new(&AES_256, &key).and_then(EncryptingKey::ctr).map_err(failure)?;
        let mut encrypted = Zeroizing::new(self.signer_key.clone());
        let zero = EncryptionContext::Iv128([0; 16].into());
        key.less_safe_encrypt(&mut encrypted, zero).map_err(failure)?;
        Ok(constant_time::verify_slices_are_equal(&encrypted, &self.expected).is_ok())
    }
}
