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

use std::time::Duration;

use super::{
    argon2id::{Argon2Params, Memory},
    cost,
};
use crate::model::{Error, Password};

/// The most memory that a hash may ask for, in KiB: 256 MiB. The defaults of passlib, Django, argon2-cffi and libsodium's
/// "moderate" stay below, and so does OWASP's scrypt (128 MiB).
const MAX_MEMORY_KIB: u64 = 256 * 1024;

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
            Self::Malformed(_) => "PASSWORD_HASH_MALFORMED",
            Self::TooLarge(_) | Self::TooSlow { .. } => "PASSWORD_HASH_TOO_COSTLY",
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
/// parameters of this service, whose own hashes are taken back whatever they cost; all others may cost `most` by the table.
///
/// # Errors
/// Why it is not taken over.
pub fn adopt(text: &str, own: Argon2Params, most: Duration) -> Result<String, HashProblem> {
    // Django writes `!` before random characters; others write `*` or `!!` alone, as /etc/shadow has it.
    if text.is_empty() || text.starts_with(['!', '*']) {
        return Err(HashProblem::Unusable);
    }
    if text.len() > MAX_CHARS {
        return Err(HashProblem::Malformed("it is longer than 255 characters"));
    }
    // Some systems' salts are taken as they are. No system writes such characters, and PostgreSQL keeps no NUL: the whole batch
    // would fail for one row.
    if text.chars().any(char::is_control) {
        return Err(HashProblem::Malformed("it has a control character in it"));
    }
    let kept = ["argon2$", "bcrypt$$"].iter().find_map(|prefix| text.strip_prefix(prefix));
    // The second `$` of Django's `bcrypt$$2b$` begins the hash.
    let kept = kept.map_or_else(|| text.to_owned(), |rest| format!("${rest}"));
    if super::argon2id::params_of(&kept) != Some(own) {
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
    fn check_cost(&self, most: Duration) -> Result<(), HashProblem> {
        if self.memory_kib() > MAX_MEMORY_KIB {
            return Err(HashProblem::TooLarge("at most 256 MiB of memory"));
        }
        let cost = self.cost();
        if cost > most { Err(HashProblem::TooSlow { cost, most }) } else { Ok(()) }
    }

    /// The cost of verifying it, by the table.
    pub(super) fn cost(&self) -> Duration {
        match &self.0 {
            Scheme::Argon2(hash) => cost::argon2(hash.filled_kib()),
            Scheme::Scrypt(hash) => cost::scrypt(hash.filled_kib()),
            Scheme::Bcrypt(hash) => cost::bcrypt(hash.cost()),
            Scheme::Pbkdf2(hash) => cost::pbkdf2(hash.work()),
        }
    }

    /// Whether it costs no more than a hash with the parameters `own`, in time and in memory, and is computed in the same way.
    pub(super) fn fits(&self, own: Argon2Params) -> bool {
        match &self.0 {
            Scheme::Argon2(hash) => hash.memory_kib() <= own.memory_kib.into() && self.cost() <= own.cost(),
            Scheme::Scrypt(_) | Scheme::Bcrypt(_) | Scheme::Pbkdf2(_) => false,
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

/// The problem of a hash that begins like a known form and continues otherwise.
const FORM: HashProblem = HashProblem::Malformed("its parts are not the ones of its form");

/// Exactly `N` parts, separated by `by`.
fn parts<const N: usize>(text: &str, by: char) -> Result<[&str; N], HashProblem> {
    text.split(by).collect::<Vec<_>>().try_into().map_err(|_| FORM)
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

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::{super::DEFAULT_IMPORT_MAX_COST, *};

    const OWN: Argon2Params = Argon2Params { memory_kib: 64, iterations: 2, parallelism: 1 };

    const PASSWORD: &str = "pässword 密码";

    /// By passlib 1.7.4 with argon2-cffi 25.1 and bcrypt 4.0, Django 5.2 and Werkzeug 3.1, each at a low cost.
    const WRITTEN: [&str; 17] = [
        "$bcrypt-sha256$v=2,t=2b,r=4$EWwur6xk2gVtfX2hvfkGHu$1EzQGHVCrbyK./d0iI3yFK0mzrTGviO",
        "$bcrypt-sha256$2b,4$cVfGbcrIbqlsGbxQx96DKe$UTiUNI9SOCw3ANEEO.4GE4jXFYMsg3W",
        "$argon2id$v=19$m=64,t=1,p=1$MkaIMWZsLaVUypnTmhNibA$gt0w96nqjuOGLWDDiLqd27+8vYhkaG4OtqORkRZpKg4",
        "$argon2i$v=19$m=64,t=2,p=4$5jwHwNhba02ptXZOKWVMSQ$yWCw287h+NdgMygHmRDmLNY+TDoenIgzgFKjY6nBt2Y",
        "$argon2d$v=19$m=64,t=2,p=2$iRGC8P4fA2DMWWttzZkTYg$uJC+a1YUYX6J6tVWWaqPvucy814HG5jgaMB6APSK4+E",
        "$scrypt$ln=4,r=8,p=1$pBTCOMf4v5eyNqYUQsj53w$xROsvhrUqON3KBM8yl36ynfLnhnA9n3EppjKtJWARVg",
        "$pbkdf2$5$6p1TilHKeY8RYgyB0Pp/jw$eA/UHDbkRxObAII1DH2Cx3LsVQs",
        "$pbkdf2-sha256$5$8F6L8T6n1ForJQRASEmJcQ$RGhhPygTsyuGH/lLGCth2zYQAYjFneVN.e9Ay2Ig7Bs",
        "$pbkdf2-sha512$5$dw4BYEzJmbO2ltI6Z8x5zw$5c9VGNe91t0S8G2ZlkpQIDgiLuxaiiNvxaPvx3gNqkPM6OOu.I8R8ImyFvNcoxgg8A4GDgxXmX76KyV3oo3GUw",
        "pbkdf2_sha256$5$NaClNaClNaCl$XP+F0x6xwqGyYxdSLxa3ISRCbssLBNKRXdw/4lx+iGA=",
        "pbkdf2_sha1$5$NaClNaClNaCl$nNu+1WACbckigKtRBr/DOUgXZHY=",
        "argon2$argon2id$v=19$m=64,t=1,p=2$TmFDbE5hQ2xOYUNs$8fT74tu5KVBe4R8rm4p3XxC1JUy/0anAz1YOZeXQNzA",
        "bcrypt_sha256$$2b$04$APx/Dx78wopI8M3qs.RivurWEECqHee5fY8yEyf7i7lDwWVE45tG2",
        "bcrypt$$2b$04$jLHSy579F5Q1j/H0d997PuvX3U4cNjStyWMnR/u0jNMKKaPkn5AzS",
        "scrypt$16$NaClNaClNaCl$8$5$/iBgHgNwQ+gS49pFfHAcDkzT/zE5DMLtvM1ssGdIbOfUgMS8ijcao3as7Av1sSZBUh6Qjnjgz/+MjcsbdhQ3Zw==",
        "scrypt:1024:8:1$goSxY9sy4vuHbKv8$28f6616fdb3a9432929a1ef2f63e06295d8d73f3b2c1e4dd85bba8d21bd30143164c516ad8355f8bea78f17fd405376b4549fa6926d0caa901edb0c98f401577",
        "pbkdf2:sha256:5$s0OauxDnPDCZvsyR$0d10c1d44c595f5f268b3e404cfb9fb2f71b87fd6a5a8db2f4d8332e1320b372",
    ];

    fn verifies(hash: &str, password: &str) -> bool {
        let password = Password::for_login(password).unwrap();
        ImportedHash::parse(hash).unwrap().verify(&password, &mut Memory::default()).unwrap()
    }

    #[test]
    fn hashes_of_passlib_django_and_werkzeug_verify() {
        for hash in WRITTEN {
            let kept = adopt(hash, OWN, DEFAULT_IMPORT_MAX_COST)
                .unwrap_or_else(|problem| panic!("{hash} {problem}"));
            assert!(verifies(&kept, PASSWORD), "{hash}");
            assert!(!verifies(&kept, "pässword 密"), "{hash}");
            assert_eq!(
                adopt(&kept, OWN, DEFAULT_IMPORT_MAX_COST),
                Ok(kept),
                "what is written out can be taken back"
            );
        }
    }

    #[test]
    fn phc_strings_of_pbkdf2_and_scrypt_verify() {
        // The first PBKDF2 vector of RFC 7914 section 11 and its scrypt vector for "pleaseletmein" (section 12).
        let pbkdf2 = "$pbkdf2-sha256$i=1,l=64$c2FsdA$VawEblbjCJ/sFpHCJUS2BflBhSFt3gRl5oudV8INrLxJypzM8Xm2RZkWZLOdd+8xfHG4RbHjC9UJESBB06GXgw";
        let scrypt = "$scrypt$ln=14,r=8,p=1$U29kaXVtQ2hsb3JpZGU$cCO9yzr9c0hGHAbNgf046/2o+7qQT44+qbVD9lRdofLVQylVYT8Pz2LUlwUkKpr55h6F3A1lHkDfzwF7RVdYhw";
        assert!(verifies(pbkdf2, "passwd"));
        assert!(verifies(scrypt, "pleaseletmein"));
    }

    #[test]
    fn argon2_of_others_is_made_of_what_was_typed_and_our_own_of_its_normal_form() {
        // argon2-cffi of the decomposed text.
        let typed = "pa\u{308}ssword";
        let params = Argon2Params { memory_kib: 128, iterations: 1, parallelism: 1 };
        let foreign = Memory::default().hash(typed.as_bytes(), [7; 16], params).unwrap();
        let own = Memory::default().hash("pässword".as_bytes(), [7; 16], params).unwrap();
        assert!(verifies(&foreign, typed) && !verifies(&foreign, "pässword"));
        assert!(verifies(&own, typed) && verifies(&own, "pässword"));
    }

    #[test]
    fn what_fits_no_password_and_what_is_none_is_refused() {
        for unusable in ["", "!", "!9cIupmz4CCSD1fzBCq0HSnovaJVt7HZ7Yjpkb0Ri", "*", "!!"] {
            assert_eq!(
                adopt(unusable, OWN, DEFAULT_IMPORT_MAX_COST),
                Err(HashProblem::Unusable),
                "{unusable}"
            );
        }
        for unknown in [
            "correct horse",
            "5f4dcc3b5aa765d61d8327deb882cf99",
            "$1$salt$hash",
            "$2x$04$K0y",
            "$6$rounds=5$a$b",
            "md5$a$b",
        ] {
            assert_eq!(
                adopt(unknown, OWN, DEFAULT_IMPORT_MAX_COST),
                Err(HashProblem::UnknownForm),
                "{unknown}"
            );
        }
        for malformed in [
            "$2b$04$K0ykuirb",
            "$2b$03$K0ykuirb/DK3rwAYY9xmLe.CxfuaV4Qgrmc323vWsq.UAi4S2TpEe",
            "bcrypt_sha256$$2x$04$K0ykuirb/DK3rwAYY9xmLe.CxfuaV4Qgrmc323vWsq.UAi4S2TpEe",
            "$bcrypt-sha256$v=3,t=2b,r=4$EWwur6xk2gVtfX2hvfkGHu$1EzQGHVCrbyK./d0iI3yFK0mzrTGviO",
            "$argon2id$v=19$m=64,t=1,p=1$MkaIMWZsLaVUypnTmhNibA",
            "$argon2id$v=19$m=64,t=1,p=1,keyid=AAAA$MkaIMWZsLaVUypnTmhNibA$gt0w96nqjuOGLWDDiLqd27+8vYhkaG4OtqORkRZpKg4",
            "$argon2x$v=19$m=64,t=1,p=1$MkaIMWZsLaVUypnTmhNibA$gt0w96nqjuOGLWDDiLqd27+8vYhkaG4OtqORkRZpKg4",
            "$argon2id$v=19$m=64,t=1,p=1$MkaIMWZsLaVUypnTmhNibA$gt0w96nqjuOGLWDDiLqd2w7",
            "$scrypt$ln=4,r=8,p=1$pBTCOMf4v5eyNqYUQsj53w$AAAA",
            "$scrypt$ln=+4,r=8,p=1$pBTCOMf4v5eyNqYUQsj53w$xROsvhrUqON3KBM8yl36ynfLnhnA9n3EppjKtJWARVg",
            "$scrypt$ln=4,r=0,p=1$pBTCOMf4v5eyNqYUQsj53w$xROsvhrUqON3KBM8yl36ynfLnhnA9n3EppjKtJWARVg",
            "scrypt$15$NaClNaClNaCl$8$5$/iBgHgNwQ+gS49pFfHAcDkzT/zE5DMLtvM1ssGdIbOfUgMS8ijcao3as7Av1sSZBUh6Qjnjgz/+MjcsbdhQ3Zw==",
            "$pbkdf2-sha256$0$8F6L8T6n1ForJQRASEmJcQ$RGhhPygTsyuGH/lLGCth2zYQAYjFneVN.e9Ay2Ig7Bs",
            "$pbkdf2-sha256$-5$8F6L8T6n1ForJQRASEmJcQ$RGhhPygTsyuGH/lLGCth2zYQAYjFneVN.e9Ay2Ig7Bs",
            "$pbkdf2-sha256$i=5,l=20$8F6L8T6n1ForJQRASEmJcQ$RGhhPygTsyuGH/lLGCth2zYQAYjFneVN.e9Ay2Ig7Bs",
            "$pbkdf2-md5$5$8F6L8T6n1ForJQRASEmJcQ$RGhhPygTsyuGH/lLGCth2zYQAYjFneVN.e9Ay2Ig7Bs",
            "pbkdf2_sha256$5$NaClNaClNaCl$",
        ] {
            assert!(
                matches!(adopt(malformed, OWN, DEFAULT_IMPORT_MAX_COST), Err(HashProblem::Malformed(_))),
                "{malformed}: {:?}",
                adopt(malformed, OWN, DEFAULT_IMPORT_MAX_COST)
            );
        }
    }

    #[test]
    fn control_characters_are_in_no_hash_although_some_salts_are_taken_as_they_are() {
        let salted = |salt: &str| {
            [
                format!("pbkdf2_sha256$5${salt}$XP+F0x6xwqGyYxdSLxa3ISRCbssLBNKRXdw/4lx+iGA="),
                format!(
                    "pbkdf2:sha256:5${salt}$0d10c1d44c595f5f268b3e404cfb9fb2f71b87fd6a5a8db2f4d8332e1320b372"
                ),
                format!("scrypt$16${salt}$8$5$/iBgHgNwQ+gS49pFfHAcDkzT/zE5DMLtvM1ssGdIbOc="),
                format!(
                    "scrypt:1024:8:1${salt}$28f6616fdb3a9432929a1ef2f63e06295d8d73f3b2c1e4dd85bba8d21bd30143"
                ),
            ]
        };
        for hash in salted("NaCl é") {
            assert_eq!(adopt(&hash, OWN, DEFAULT_IMPORT_MAX_COST), Ok(hash));
        }
        for hash in ["\0", "a\nb", "\u{7f}", "\u{85}"].iter().flat_map(|salt| salted(salt)) {
            assert!(
                matches!(adopt(&hash, OWN, DEFAULT_IMPORT_MAX_COST), Err(HashProblem::Malformed(_))),
                "{hash:?}"
            );
        }
    }

    #[test]
    fn what_costs_more_than_a_login_may_is_refused_but_for_our_own() {
        let argon2 = |params: &str| {
            format!(
                "$argon2id$v=19${params}$MkaIMWZsLaVUypnTmhNibA$gt0w96nqjuOGLWDDiLqd27+8vYhkaG4OtqORkRZpKg4"
            )
        };
        let scrypt = |params: &str| {
            format!("$scrypt${params}$pBTCOMf4v5eyNqYUQsj53w$xROsvhrUqON3KBM8yl36ynfLnhnA9n3EppjKtJWARVg")
        };
        let bcrypt = |cost| format!("$2b${cost}$K0ykuirb/DK3rwAYY9xmLe.CxfuaV4Qgrmc323vWsq.UAi4S2TpEe");
        let pbkdf2 = |rounds: u32| {
            format!(
                "$pbkdf2-sha256${rounds}$8F6L8T6n1ForJQRASEmJcQ$RGhhPygTsyuGH/lLGCth2zYQAYjFneVN.e9Ay2Ig7Bs"
            )
        };
        for most in [
            argon2("m=262144,t=4,p=8"),
            argon2("m=262144,t=16,p=1"),
            scrypt("ln=17,r=8,p=8"),
            scrypt("ln=20,r=1,p=1"),
            bcrypt(14),
            bcrypt(15),
            pbkdf2(2_000_000),
            pbkdf2(8_000_000),
        ] {
            assert!(
                adopt(&most, OWN, DEFAULT_IMPORT_MAX_COST).is_ok(),
                "{most}: {:?}",
                adopt(&most, OWN, DEFAULT_IMPORT_MAX_COST)
            );
        }
        for beyond in [
            argon2("m=262145,t=1,p=1"),
            argon2("m=262144,t=17,p=1"),
            argon2("m=4294967295,t=4294967295,p=1"),
            scrypt("ln=18,r=8,p=1"),
            scrypt("ln=17,r=8,p=9"),
            scrypt("ln=63,r=4294967295,p=4294967295"),
            scrypt("ln=1,r=4294967295,p=4294967295"),
            bcrypt(16),
            pbkdf2(8_000_001),
            pbkdf2(4_294_967_295),
        ] {
            assert!(
                adopt(&beyond, OWN, DEFAULT_IMPORT_MAX_COST)
                    .is_err_and(|problem| problem.name() == "PASSWORD_HASH_TOO_COSTLY"),
                "{beyond}: {:?}",
                adopt(&beyond, OWN, DEFAULT_IMPORT_MAX_COST)
            );
        }
        let ours = argon2("m=1048576,t=4,p=1");
        assert!(adopt(&ours, OWN, DEFAULT_IMPORT_MAX_COST).is_err());
        assert_eq!(
            adopt(
                &ours,
                Argon2Params { memory_kib: 1_048_576, iterations: 4, parallelism: 1 },
                DEFAULT_IMPORT_MAX_COST
            ),
            Ok(ours)
        );
    }

    #[test]
    fn the_operator_says_what_a_login_may_cost_and_the_table_what_it_does() {
        let hash = |cost: u32| format!("$2b${cost:02}$K0ykuirb/DK3rwAYY9xmLe.CxfuaV4Qgrmc323vWsq.UAi4S2TpEe");
        let most = Duration::from_millis(205);
        assert!(adopt(&hash(12), OWN, most).is_ok());
        let problem = adopt(&hash(13), OWN, most).unwrap_err();
        assert_eq!(
            problem.to_string(),
            "costs too much to verify: 409 ms by the table, and --import-max-cost is 205 ms"
        );
        assert!(adopt(&hash(13), OWN, most * 2).is_ok());
    }

    /// Whatever a row says is a hash: it is refused, or can be verified at a cost that was judged.
    fn survives(text: &str) {
        if let Ok(kept) = adopt(text, OWN, DEFAULT_IMPORT_MAX_COST) {
            let hash = ImportedHash::parse(&kept).unwrap();
            assert!(kept.chars().count() <= MAX_CHARS && hash.memory_kib() <= MAX_MEMORY_KIB);
            assert_eq!(adopt(&kept, OWN, DEFAULT_IMPORT_MAX_COST).as_deref(), Ok(kept.as_str()));
        }
    }

    proptest! {
        #[test]
        fn no_text_panics(text in any::<String>()) {
            survives(&text);
        }

        #[test]
        fn no_hash_with_other_parts_panics(
            number in 0..WRITTEN.len(), part in 0..12_usize, by in "[-+0-9a-zA-Z$,.=:/!é]{0,12}",
        ) {
            let mut parts: Vec<_> = WRITTEN[number].split_inclusive(['$', ',', '=', ':']).collect();
            let place = part % parts.len();
            parts[place] = &by;
            survives(&parts.concat());
        }

        #[test]
        fn what_costs_little_verifies_without_failing(
            number in 0..WRITTEN.len(), cut in 0..200_usize, password in "[ -~]{1,80}",
        ) {
            let hash = WRITTEN[number];
            let cut = hash.floor_char_boundary(hash.len().saturating_sub(cut % 24));
            if let Ok(hash) = adopt(&hash[..cut], OWN, DEFAULT_IMPORT_MAX_COST) {
                prop_assert!(!verifies(&hash, &password));
            }
        }
    }
}
