//! Owns the tests of the hashes of other systems: those that they wrote verify, and what is none is refused.

mod prehashed;

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

/// Hashes in other forms, each with its password.
const FOREIGN: [(&str, &str); 36] = [
    // The README of github.com/firebase/scrypt, as Supabase writes it.
    (
        "user1password",
        "$fbscrypt$v=1,n=14,r=8,p=1,ss=Bw==,sk=jxspr8Ki0RYycVU8zykbdLGjFQ3McFUH0uiiTvC8pVMXAn210wjLNmdZJzxUECKbm0QsEmYUSDzZvpjeJ9WmXA==$42xEC+ixf3L2lw==$lSrfV15cpx95/sZS2W9c9Kp6i/LVgQNDNC/qzrCnh1SAyZvqmZqAjTdn3aoItz+VHjoZilo78198JAdRuid5lQ==",
    ),
    // The tests of Supabase's auth, `internal/crypto/password_test.go`.
    (
        "mytestpassword",
        "$fbscrypt$v=1,n=14,r=8,p=1,ss=Bw==,sk=ou9tdYTGyYm8kuR6Dt0Bp0kDuAYoXrK16mbZO4yGwAn3oLspjnN0/c41v8xZnO1n14J3MjKj1b2g6AUCAlFwMw==$C0sHCg9ek77hsg==$zKVTMvnWVw5BBOZNUdnsalx4c4c7y/w7IS5p6Ut2+CfEFFlz37J9huyQfov4iizN8dbjvEJlM5tQaJP84+hfTw==",
    ),
    // Those of Ory Kratos, `hash/hasher_test.go`: Firebase's scrypt, and scrypt with N in place of its logarithm.
    (
        "8x4WjoDbSxJZdR",
        "$firescrypt$ln=14,r=8,p=1$sPtDhWcd1MfdAw==$xbSou7FOl6mChCyzpCPIQ7tku7nsQMTFtyOZSXXd7tjBa4NtimOx7v42Gv2SfzPQu1oxM2/k4SsbOu73wlKe1A==$Bw==$YE0dO4bwD4JnJafh6lZZfkp1MtKzuKAXQcDCJNJNyeCHairWHKENOkbh3dzwaCdizzOspwr/FITUVlnOAwPKyw==",
    ),
    (
        "test",
        "$scrypt$ln=16384,r=8,p=1$2npRo7P03Mt8keSoMbyD/tKFWyUzjiQf2svUaNDSrhA=$MiCzNcIplSMqSBrm4HckjYqYhaVPPjTARTzwB1cVNYE=",
    ),
    // Those of ASP.NET Core, `src/Identity/test/Identity.Test/PasswordHasherTest.cs`: version 2, and version 3 with each digest.
    ("my password", "ANXrDknc7fGPpigibZXXZFMX4aoqz44JveK6jQuwY3eH/UyPhvr5xTPeGYEckLxz9A=="),
    ("my password", "AQAAAAIAAAAyAAAAEOMwvh3+FZxqkdMBz2ekgGhwQ4B6pZWND6zgESBuWiHw"),
    (
        "my password",
        "AQAAAAIAAAD6AAAAIJbVi5wbMR+htSfFp8fTw8N8GOS/Sje+S/4YZcgBfU7EQuqv4OkVYmc4VJl9AGZzmRTxSkP7LtVi9IWyUxX8IAAfZ8v+ZfhjCcudtC1YERSqE1OEdXLW9VukPuJWBBjLuw==",
    ),
    ("my password", "AQAAAAAAAAD6AAAAEAhftMyfTJylOlZT+eEotFXd1elee8ih5WsjXaR3PA9M"),
    (
        "my password",
        "AQAAAAEAA9CQAAAAIESkQuj2Du8Y+kbc5lcN/W/3NiAZFEm11P27nrSN5/tId+bR1SwV8CO1Jd72r4C08OLvplNlCDc3oQZ8efcW+jQ=",
    ),
    // passlib 1.7.4: SHA-crypt, phpass.
    (PASSWORD, "$5$rounds=1000$kJxoCHoemTYKFHJZ$T8CRLLckIs.bglIUHEv3kY2UGsBaKYee7mIrbzSdoa0"),
    (
        PASSWORD,
        "$6$rounds=1000$tuBaJgVw6vys/S8W$a8jA6DOU0IzQbOb2JR137IjmSwmsLPRWaADR.0wbaXMCjzfFRE3je1waZSjrR8TjG4/NkcBIjFdzXvgmX1OEf/",
    ),
    (
        PASSWORD,
        "$6$ND1fumaNTt7yXo/z$SeeRBN./ayTZUqnc/jtG4QW3lUK0MAenbkfcc8OfyjzpviALRPseox/9tbaSqpqOBADnuvT46q/Ehi6UbvyO3/",
    ),
    (PASSWORD, "$P$5Nk/rqeQq1i9UjDH9qTTl9LGvY4zrQ0"),
    (PASSWORD, "$H$5WmKw03K57bD/c0fMzKguTbFOvwWuq0"),
    // libxcrypt 4.4.33: yescrypt, of the lowest cost and of the one that it has by default.
    (PASSWORD, "$y$j75$k2XAnEHBqQ1Ct2aMXFKNa/$9YlgKcTAOTrAQ9nTRyOu01M88yuSLdiTojERljRUE33"),
    (PASSWORD, "$y$j9T$k2XAnEHBqQ1Ct2aMXFKNa/$M.DVMnZ70JqFV3pqThl1KXNLuNf56CKaiSQcvn6bdV/"),
    // WordPress's tests have no hash written out: these are what its `wp_hash_password` (of 6.8, `wp-includes/pluggable.php`) makes by
    // PHP 8.2 of the passwords of `tests/phpunit/tests/auth.php`, `data_passwords_with_whitespace`, at the cost of 5 that stands there;
    // of one beyond what bcrypt reads, and of ours.
    ("pass with leading whitespace", "$wp$2y$05$ZQWzqQwfcE.DwIql/NAs3.jL5tYxaayO3RkeAAweIYiM.WZK/bb8S"),
    (" pass with leading whitespace", "$wp$2y$05$ZQWzqQwfcE.DwIql/NAs3.jL5tYxaayO3RkeAAweIYiM.WZK/bb8S"),
    ("pass with trailing whitespace", "$wp$2y$05$m5Rip.xvUtHqMBfACJ4Tx.bJIrioF.sGXFe6WicMgnOucIh.wSG3C"),
    ("pass with new line \n", "$wp$2y$05$RMAw5jZiVLicTibXnvWnmOar3qpgAXuhHGKW0/5VeKgWiSzTFGTx."),
    ("pass with vertical tab o_O\u{b}", "$wp$2y$05$gYNGbcMtSQuzDWTaPGHZyehnBCnfO2rwdbbOX51hxftpWBEZlwuYW"),
    (
        "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa",
        "$wp$2y$05$Me3UYXMJQ4DngyRn.QZUHupup.eHUOJPGUs1b.2Z1WFBbqjFmAdzq",
    ),
    (PASSWORD, "$wp$2y$05$3NwqgXpRXkpWKUe0VescvOqzAncc6L6rLfHZ6T26IlZ2PFRayVxGu"),
    // Node's scrypt, as better-auth 1 calls it.
    (
        PASSWORD,
        "000102030405060708090a0b0c0d0e0f:737e0dbfc1ad383109ee1df819f8ba051364b18dc3ae7e674c10255c6a46aa93d0c8184f9c5283c26cffe0fbe0321bb79935cf878b8433abe5c70f5262a20c65",
    ),
    (
        "pa\u{308}ssword 密码",
        "000102030405060708090a0b0c0d0e0f:737e0dbfc1ad383109ee1df819f8ba051364b18dc3ae7e674c10255c6a46aa93d0c8184f9c5283c26cffe0fbe0321bb79935cf878b8433abe5c70f5262a20c65",
    ),
    // The tests of Spring Security, `crypto/src/test/java/.../factory/PasswordEncoderFactoriesTests.java`, which releases 5 and 6 have.
    ("password", "{bcrypt}$2a$10$dXJ3SW6G7P50lGmMkkmwe.20cQQubK3.HZWzG3YB1tlRy.fqvM/BG"),
    ("password", "{pbkdf2}5d923b44a6d129f3ddf3e3c8d29412723dcbde72445e8ef6bf3b508fbf17fa4ed4d6b99ca763d8dc"),
    (
        "password",
        "{scrypt}$e0801$8bWJaSu2IKSn9Z9kM+TPXfOc/9bdYSrN1oD9qfVThWEwdRTnO7re7Ei+fUZRJ68k9lTyuTeUp4of4g24hHnazw==$OAOec05+bXxvuu/1qZ6NUR+xQYvYv7BeL1QxwRpY5Pc=",
    ),
    (
        "password",
        "{argon2}$argon2d$v=19$m=1024,t=1,p=1$c29tZXNhbHQ$Li5eBf5XrCz0cuzQRe9oflYqmA/VAzmzichw4ZYrvEU",
    ),
    // `spring-security-crypto` 6.5.7 of Maven Central writes these and takes them back: PasswordEncoderFactories' encoders, those of
    // version 5.8 in hexadecimal and in base64, and SCryptPasswordEncoder's own.
    (PASSWORD, "{pbkdf2}5b03ec8155fb608a756f692821dc488d21fa05d1a35b35cca1906320f02877d07d2707b9d1687624"),
    (
        PASSWORD,
        "{pbkdf2@SpringSecurity_v5_8}123427e8299d18926dc26100ece5995eb8436b255738b7e37403ca56d002c91f1c60040aa7772ef48d609abc7cea8750",
    ),
    (
        PASSWORD,
        "{pbkdf2@SpringSecurity_v5_8}VyqB5ZlT9I5kRlS9bNJOROX4cne4bgdyl60BdnX8iukcxZdeDFT8FzrYs4MdJNsT",
    ),
    (
        PASSWORD,
        "{scrypt}$e0801$Had4f6jzKyeDUQTlTPoPIhSIQity86S9h+sRAxyVmvPQ1BrnrXDktyJVUdU0rqqxcJfCyIEq5FptrnA9R7jMOA==$mOQBcIZvLgT6Pf2wwzv1/j2TnxWboZq6pNovtdmHwxw=",
    ),
    (PASSWORD, "$100801$gih8KS88f/9IKVVisMOUug==$NkpQtvq3Vz1Aado3+0nito9UnbZgk266mdp1BWML99M="),
    (
        PASSWORD,
        "{argon2@SpringSecurity_v5_8}$argon2id$v=19$m=16384,t=2,p=1$PyCdkDMis6dyjSJwvoT2zg$s/jPs7pV1fr1BCLjH08mMhC5hsxXMBMHNsM6yuof4kg",
    ),
    // passlib's, as Dovecot and LDAP write it.
    (PASSWORD, "{CRYPT}$5$rounds=1000$kJxoCHoemTYKFHJZ$T8CRLLckIs.bglIUHEv3kY2UGsBaKYee7mIrbzSdoa0"),
];

fn adopt(text: &str, own: Argon2Params, most: Duration) -> Result<String, HashProblem> {
    super::adopt(text, own, most, &Prehashes::default())
}

fn verifies(hash: &str, password: &str) -> bool {
    let password = Password::for_login(password).unwrap();
    ImportedHash::parse(hash).unwrap().verify(&password, None, &mut Memory::default()).unwrap()
}

#[test]
fn hashes_of_passlib_django_and_werkzeug_verify() {
    for hash in WRITTEN {
        let kept =
            adopt(hash, OWN, DEFAULT_IMPORT_MAX_COST).unwrap_or_else(|problem| panic!("{hash} {problem}"));
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
fn hashes_in_other_forms_verify_and_are_kept_in_one_that_can_be_taken_back() {
    for (password, hash) in FOREIGN {
        let kept =
            adopt(hash, OWN, DEFAULT_IMPORT_MAX_COST).unwrap_or_else(|problem| panic!("{hash} {problem}"));
        assert!(verifies(&kept, password), "{hash} {kept}");
        assert!(!verifies(&kept, "another password"), "{hash}");
        assert_eq!(adopt(&kept, OWN, DEFAULT_IMPORT_MAX_COST), Ok(kept));
    }
}

#[test]
fn another_spelling_of_a_hash_is_the_same_hash() {
    let bcrypt = "$2b$04$K0ykuirb/DK3rwAYY9xmLe.CxfuaV4Qgrmc323vWsq.UAi4S2TpEe";
    let argon2 = WRITTEN[2];
    for (other, hash) in [
        // The unused bits of salt and output set, as passlib 1.5 wrote them.
        ("$2b$04$K0ykuirb/DK3rwAYY9xmLf.CxfuaV4Qgrmc323vWsq.UAi4S2TpEf".to_owned(), bcrypt),
        (format!("{{bcrypt}}{bcrypt}"), bcrypt),
        (format!("{{BLF-CRYPT}}{bcrypt}"), bcrypt),
        (format!(" {bcrypt} "), bcrypt),
        (format!("{{argon2}}{argon2}"), argon2),
        (format!("{{argon2@SpringSecurity_v5_8}}{argon2}"), argon2),
        ("$argon2id$v=19$m=64,t=1,p=1$MkaIMWZsLaVUypnTmhNibA==$gt0w96nqjuOGLWDDiLqd27+8vYhkaG4OtqORkRZpKg4=".to_owned(), argon2),
    ] {
        assert_eq!(adopt(&other, OWN, DEFAULT_IMPORT_MAX_COST).as_deref(), Ok(hash), "{other}");
    }
    // Padding, and the digits of URLs, where nothing reads the text but this service.
    let padded =
        "$pbkdf2-sha256$i=5,l=32$8F6L8T6n1ForJQRASEmJcQ==$RGhhPygTsyuGH_lLGCth2zYQAYjFneVN-e9Ay2Ig7Bs=";
    assert!(verifies(&adopt(padded, OWN, DEFAULT_IMPORT_MAX_COST).unwrap(), PASSWORD));
}

#[test]
fn a_long_password_costs_no_more_than_any_login_may() {
    let rounds = |rounds: u32| {
        format!("$5$rounds={rounds}$kJxoCHoemTYKFHJZ$T8CRLLckIs.bglIUHEv3kY2UGsBaKYee7mIrbzSdoa0")
    };
    let cost = |text: &str, bytes| ImportedHash::parse(text).unwrap().cost_of(bytes);
    assert!(cost(&rounds(1_000), 4_096) < DEFAULT_IMPORT_MAX_COST);
    assert!(cost(&rounds(1_000_000), 4_096) > DEFAULT_IMPORT_MAX_COST * 10);
    // It is answered without a single round: the output above is that of 1,000 rounds.
    let long = Password::for_login(&"密".repeat(256)).unwrap();
    let hash = ImportedHash::parse(&rounds(900_000_000)).unwrap();
    assert!(!hash.verify(&long, None, &mut Memory::default()).unwrap());
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
    for unusable in ["", " ", " !", "!", "!9cIupmz4CCSD1fzBCq0HSnovaJVt7HZ7Yjpkb0Ri", "*", "!!"] {
        assert_eq!(adopt(unusable, OWN, DEFAULT_IMPORT_MAX_COST), Err(HashProblem::Unusable), "{unusable}");
    }
    for unknown in [
        "correct horse",
        "5f4dcc3b5aa765d61d8327deb882cf99",
        "$1$salt$hash",
        "$2x$04$K0y",
        "md5$a$b",
        "{MD5}X03MO1qnZdYdgyfeuILPmQ==",
        "{noop}password",
        "{ldap}$2b$04$K0ykuirb/DK3rwAYY9xmLe.CxfuaV4Qgrmc323vWsq.UAi4S2TpEe",
        "0123456789abcdef0123456789abcdef:0123",
    ] {
        assert_eq!(adopt(unknown, OWN, DEFAULT_IMPORT_MAX_COST), Err(HashProblem::UnknownForm), "{unknown}");
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
        "$5$salt$",
        "$6$rounds=999$ND1fumaNTt7yXo/z$SeeRBN./ayTZUqnc/jtG4QW3lUK0MAenbkfcc8OfyjzpviALRPseox/9tbaSqpqOBADnuvT46q/Ehi6UbvyO3/",
        "$6$rounds=01000$ND1fumaNTt7yXo/z$SeeRBN./ayTZUqnc/jtG4QW3lUK0MAenbkfcc8OfyjzpviALRPseox/9tbaSqpqOBADnuvT46q/Ehi6UbvyO3/",
        "$6$ND1fumaNTt7yXo/z$SeeRBN./ayTZUqnc/jtG4QW3lUK0MAenbkfcc8OfyjzpviALRPseox/9tbaSqpqOBADnuvT46q/Ehi6UbvyO3z",
        "$y$j75$k2XAnEHBqQ1Ct2aMXFKNa/$",
        "$y$j753/2$k2XAnEHBqQ1Ct2aMXFKNa/$9YlgKcTAOTrAQ9nTRyOu01M88yuSLdiTojERljRUE33",
        "$y$/75$k2XAnEHBqQ1Ct2aMXFKNa/$9YlgKcTAOTrAQ9nTRyOu01M88yuSLdiTojERljRUE33",
        "$y$j$k2XAnEHBqQ1Ct2aMXFKNa/$9YlgKcTAOTrAQ9nTRyOu01M88yuSLdiTojERljRUE33",
        "$P$5Nk/rqeQq1i9UjDH9qTTl9LGvY4zrQ",
        "$P$4Nk/rqeQq1i9UjDH9qTTl9LGvY4zrQ0",
        "$wp$2x$04$K0ykuirb/DK3rwAYY9xmLe.CxfuaV4Qgrmc323vWsq.UAi4S2TpEe",
        "$scrypt$ln=16385,r=8,p=1$2npRo7P03Mt8keSoMbyD/tKFWyUzjiQf2svUaNDSrhA=$MiCzNcIplSMqSBrm4HckjYqYhaVPPjTARTzwB1cVNYE=",
        "$fbscrypt$v=2,n=14,r=8,p=1,ss=Bw==,sk=ou9tdYTGyYm8kuR6Dt0Bp0kDuAYoXrK16mbZO4yGwAn3oLspjnN0/c41v8xZnO1n14J3MjKj1b2g6AUCAlFwMw==$C0sHCg9ek77hsg==$zKVTMvnWVw5BBOZNUdnsalx4c4c7y/w7IS5p6Ut2+CfEFFlz37J9huyQfov4iizN8dbjvEJlM5tQaJP84+hfTw==",
        "$fbscrypt$v=1,n=14,r=8,p=1,ss=Bw==,sk=ou9tdYTGyYm8kuR6Dt0Bp0kDuAYoXrK16mbZO4yGwAk=$C0sHCg9ek77hsg==$zKVTMvnWVw5BBOZNUdnsalx4c4c7y/w7IS5p6Ut2+CfEFFlz37J9huyQfov4iizN8dbjvEJlM5tQaJP84+hfTw==",
        "{pbkdf2}5d923b44",
        "{scrypt}$e0801$AAAA$AAAA",
        "AQAAAAIAAAAyAAAAEOMwvh3+FZxqkdMBz2ekgGhwQ4A=",
        "AQAAAAIAAAAAAAAAEOMwvh3+FZxqkdMBz2ekgGhwQ4B6pZWND6zgESBuWiHw",
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
        format!("$argon2id$v=19${params}$MkaIMWZsLaVUypnTmhNibA$gt0w96nqjuOGLWDDiLqd27+8vYhkaG4OtqORkRZpKg4")
    };
    let scrypt = |params: &str| {
        format!("$scrypt${params}$pBTCOMf4v5eyNqYUQsj53w$xROsvhrUqON3KBM8yl36ynfLnhnA9n3EppjKtJWARVg")
    };
    let bcrypt = |cost| format!("$2b${cost}$K0ykuirb/DK3rwAYY9xmLe.CxfuaV4Qgrmc323vWsq.UAi4S2TpEe");
    let pbkdf2 = |rounds: u32| {
        format!("$pbkdf2-sha256${rounds}$8F6L8T6n1ForJQRASEmJcQ$RGhhPygTsyuGH/lLGCth2zYQAYjFneVN.e9Ay2Ig7Bs")
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
        "$6$rounds=999999999$ND1fumaNTt7yXo/z$SeeRBN./ayTZUqnc/jtG4QW3lUK0MAenbkfcc8OfyjzpviALRPseox/9tbaSqpqOBADnuvT46q/Ehi6UbvyO3/".to_owned(),
        "$y$jFT$k2XAnEHBqQ1Ct2aMXFKNa/$M.DVMnZ70JqFV3pqThl1KXNLuNf56CKaiSQcvn6bdV/".to_owned(),
        "$P$SNk/rqeQq1i9UjDH9qTTl9LGvY4zrQ0".to_owned(),
        "$wp$2y$16$Q1xinFjrZeLWJBvxviIL6u834Fu.evIEFHAUVisQ5O.w9Dm0sMdES".to_owned(),
        "$scrypt$ln=2097152,r=8,p=1$2npRo7P03Mt8keSoMbyD/tKFWyUzjiQf2svUaNDSrhA=$MiCzNcIplSMqSBrm4HckjYqYhaVPPjTARTzwB1cVNYE=".to_owned(),
        "$firescrypt$ln=18,r=8,p=1$sPtDhWcd1MfdAw==$xbSou7FOl6mChCyzpCPIQ7tku7nsQMTFtyOZSXXd7tjBa4NtimOx7v42Gv2SfzPQu1oxM2/k4SsbOu73wlKe1A==$Bw==$YE0dO4bwD4JnJafh6lZZfkp1MtKzuKAXQcDCJNJNyeCHairWHKENOkbh3dzwaCdizzOspwr/FITUVlnOAwPKyw==".to_owned(),
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

#[test]
fn a_small_table_with_many_lanes_costs_what_is_derived_for_them() {
    let cost = |params: &str| {
        let hash =
            format!("$scrypt${params}$pBTCOMf4v5eyNqYUQsj53w$xROsvhrUqON3KBM8yl36ynfLnhnA9n3EppjKtJWARVg");
        ImportedHash::parse(&hash).unwrap().cost().as_millis()
    };
    // 128 MiB are derived by HMAC, and read once more as a salt: 786 ms are those of the lanes alone.
    assert_eq!(cost("ln=1,r=1024,p=1024"), 2_883);
    assert_eq!(cost("ln=17,r=8,p=1"), 393, "as docs/MIGRATING.md has it");
    let impossible = format!("$2b$99${}", "K0ykuirb/DK3rwAYY9xmLe.CxfuaV4Qgrmc323vWsq.UAi4S2TpEe");
    assert!(matches!(adopt(&impossible, OWN, DEFAULT_IMPORT_MAX_COST), Err(HashProblem::Malformed(_))));
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
