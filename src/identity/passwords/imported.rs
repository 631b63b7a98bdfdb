//! Owns the password hashes of other systems: verified, never made.

use crate::model::Error;

/// Whether `hash` is one of bcrypt's: `$2b$` as passlib writes it, or an older prefix for the same computation.
pub(super) fn is_bcrypt(hash: &str) -> bool {
    ["$2b$", "$2a$", "$2y$"].iter().any(|prefix| hash.starts_with(prefix))
}

/// Whether the bcrypt hash `hash` was made from `password`.
///
/// bcrypt reads 72 bytes and no further, and passlib follows it: a longer password was hashed by its first 72 bytes, and is
/// verified so. A password with a NUL byte never got a hash there.
pub(super) fn verify_bcrypt(password: &[u8], hash: &str) -> Result<bool, Error> {
    if password.contains(&0) {
        return Ok(false);
    }
    bcrypt::verify(password, hash).map_err(|error| Error::internal(format!("bcrypt: {error}")))
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
            assert!(is_bcrypt(hash));
            assert!(verify_bcrypt(password.as_bytes(), hash).unwrap(), "{password}");
            assert!(!verify_bcrypt(b"another password", hash).unwrap());
        }
    }

    #[test]
    fn only_the_first_72_bytes_count_and_nul_never_matches() {
        let long = "x".repeat(72);
        let hash = bcrypt::hash(&long, 4).unwrap();
        assert!(verify_bcrypt(format!("{long}tail").as_bytes(), &hash).unwrap());
        assert!(!verify_bcrypt("x".repeat(71).as_bytes(), &hash).unwrap());
        assert!(!verify_bcrypt(format!("{long}\0").as_bytes(), &hash).unwrap());
    }
}
