//! Owns the tests of hashes of what a prehash makes of a password.

use zeroize::Zeroizing;

use super::{super::super::Recipe, super::adopt as adopt_with, *};

const SIMPLE: &str = "correct horse battery staple";

/// Hashes of what a prehash makes of a password, under the key `shop-salt`: by Python's hmac and hashlib, bcrypt 4.0, passlib 1.7.4 and
/// argon2-cffi 25.1.
const PREHASHED: [(&str, &str, &str); 9] = [
    ("flask-security", SIMPLE, "$2b$04$/QyIevNOJkgOyRJ//ATwG.ntG9sZ64UGUtfuUixjeBd3EG6oKIpSK"),
    // Of the form NFKD, and of what was typed.
    (
        "flask-security",
        PASSWORD,
        "$pbkdf2-sha512$5$ac35/58z5pwTYmxNqdWaUw$B7e2iC9jlVicsOdZJd/Jsv361QdbsPHI6rc83xhuAfh0W1qxOBnK0hucDShfYPfQu5xp91/QWnni6umDvPXAjg",
    ),
    (
        "flask-security",
        PASSWORD,
        "$pbkdf2-sha512$5$sNZay1kLYcwZQ4ixNkYIIQ$iCUs0b9H.uL0BlQa5CFs2YL2JCaqy64jGe7wPEc6DycT2ku5OEFZ3UfYb4OP.qy.mdIWbmyispng/1/cb3i6XA",
    ),
    ("flask-bcrypt", SIMPLE, "$2b$04$.imE2BV1s9NgWNJNYuIkDu8UV68CvYQuInMMmiKigzgwkD37vxguC"),
    ("devise", SIMPLE, "$2a$04$ACGWsMcoYxioejKUJqxHOeypMjJ9jHNHV/nkg5Ik6AWvD68AZley."),
    ("md5-hex", SIMPLE, "$2b$04$RHDiGRgVrZjGho/MQaJg8e2fbH.xtL7XIdXnKYT2zaxB2KnVFS1cS"),
    ("hmac-sha256-hex", SIMPLE, "$2b$04$rQcILeJneAGrIVeIwi9K0OuwAE33HwwsGVFe9C.hJJlJHepWwZlD6"),
    ("sha384-base64", SIMPLE, "$2b$04$QcNS1KhhAM1dZSww91sK/uZhdJv9.xGJ/O13Bxormc2sDneJdq0eq"),
    (
        "argon2-secret",
        SIMPLE,
        "$argon2id$v=19$m=64,t=1,p=1$MDEyMzQ1Njc4OWFiY2RlZg$fwberwg2bAXJ49WMaQmYBGP2qe+gpYTeYo8wiO3cwbc",
    ),
];

#[test]
fn hashes_of_a_digest_verify_with_their_prehash_and_its_key_alone() {
    let key = PrehashKey::from(Zeroizing::new(b"shop-salt".to_vec()));
    let name: PrehashKeyName = "shop".parse().unwrap();
    let verifies = |hash: &str, password: &str, key: &PrehashKey| {
        let password = Password::for_login(password).unwrap();
        ImportedHash::parse(hash).unwrap().verify(&password, Some(key), &mut Memory::default()).unwrap()
    };
    for (recipe, password, hash) in PREHASHED {
        let recipe: Recipe = recipe.parse().unwrap();
        let given = Some(Prehash::new(recipe, &name));
        let prehashes = Prehashes { given, keys: [name.clone()].into() };
        let kept = adopt_with(hash, OWN, DEFAULT_IMPORT_MAX_COST, &prehashes).unwrap();
        assert!(verifies(&kept, password, &key), "{kept}");
        assert!(!verifies(&kept, "another password", &key), "{kept}");
        // A column of fixed length, or a row that was typed, has spaces around: they say nothing of the prehash.
        for written in [format!(" {hash}"), format!("\t{hash} \r\n")] {
            let of_written = adopt_with(&written, OWN, DEFAULT_IMPORT_MAX_COST, &prehashes);
            assert_eq!(of_written.as_ref(), Ok(&kept), "{written:?}");
        }
        let other = PrehashKey::from(Zeroizing::new(b"other".to_vec()));
        assert_eq!(verifies(&kept, password, &other), !recipe.is_keyed(), "{kept}");
        // What is written out is taken back, if its key is there.
        let known = Prehashes { given: None, ..prehashes };
        assert_eq!(adopt_with(&kept, OWN, DEFAULT_IMPORT_MAX_COST, &known).as_ref(), Ok(&kept));
        let without = adopt(&kept, OWN, DEFAULT_IMPORT_MAX_COST);
        let expected =
            if recipe.is_keyed() { Err(HashProblem::KeyMissing("shop".to_owned())) } else { Ok(kept) };
        assert_eq!(without, expected);
    }
}

#[test]
fn a_prehash_has_one_spelling_and_stands_before_a_hash_alone() {
    let hash = "$2b$04$.imE2BV1s9NgWNJNYuIkDu8UV68CvYQuInMMmiKigzgwkD37vxguC";
    for text in [
        "{prehash=flask-bcrypt}",
        "{prehash=sha256-hex,key=shop}",
        "{prehash=flask-security}",
        "{prehash=flask-security,key=}",
        "{prehash=flask-security,key=Shop}",
        "{prehash=hmac-md5-hex,key=shop}",
        "{prehash=}",
        "{prehash=sha256-hex",
        "{prehash=argon2-secret,key=shop}",
    ] {
        let keys = ["shop".parse().unwrap()].into();
        let adopted = adopt_with(
            &format!("{text}{hash}"),
            OWN,
            DEFAULT_IMPORT_MAX_COST,
            &Prehashes { given: None, keys },
        );
        assert!(matches!(adopted, Err(HashProblem::Malformed(_))), "{text}: {adopted:?}");
    }
    // Flask-Security has Django's schemes hash the password itself.
    let given = Some(Prehash::new(Recipe::FlaskSecurity, &"shop".parse().unwrap()));
    let prehashes = Prehashes { given, keys: ["shop".parse().unwrap()].into() };
    let kept = adopt_with(WRITTEN[9], OWN, DEFAULT_IMPORT_MAX_COST, &prehashes);
    assert_eq!(kept, Ok(format!("{{prehash=nfkd}}{}", WRITTEN[9])));
}

#[test]
fn every_recipe_is_read_as_it_is_written() {
    for name in [
        "flask-security",
        "nfkd",
        "nfkc",
        "append-key",
        "prepend-key",
        "argon2-secret",
        "md5-hex",
        "md5-base64",
        "sha1-hex",
        "sha1-base64",
        "sha256-hex",
        "sha256-base64",
        "sha384-hex",
        "sha384-base64",
        "sha512-hex",
        "sha512-base64",
        "hmac-sha1-hex",
        "hmac-sha1-base64",
        "hmac-sha256-hex",
        "hmac-sha256-base64",
        "hmac-sha384-hex",
        "hmac-sha384-base64",
        "hmac-sha512-hex",
        "hmac-sha512-base64",
    ] {
        assert_eq!(name.parse::<Recipe>().unwrap().to_string(), name);
    }
    assert_eq!("devise".parse::<Recipe>(), "append-key".parse());
    for none in
        ["", "sha256", "sha256-raw", "hmac-sha256", "SHA256-hex", "hmac-md5-hex", "hmac-hmac-sha1-hex"]
    {
        assert!(none.parse::<Recipe>().is_err(), "{none}");
    }
}

#[test]
fn a_login_costs_what_is_hashed_for_it_and_an_input_that_no_password_is_fits_nothing() {
    let login_cost = |hash: &str, password: &str| {
        let password = Password::for_login(password).unwrap();
        ImportedHash::parse(hash).unwrap().login_cost(&password, None)
    };
    let normalised = format!("{{prehash=nfkd}}{}", WRITTEN[9]);
    assert_eq!(login_cost(&normalised, PASSWORD), login_cost(&normalised, SIMPLE) * 2);
    assert_eq!(login_cost(WRITTEN[9], PASSWORD), login_cost(WRITTEN[9], SIMPLE));
    let phpass = "$P$5Nk/rqeQq1i9UjDH9qTTl9LGvY4zrQ0";
    assert_eq!(login_cost(phpass, "admin "), login_cost(phpass, "admin") * 2);
    // SHA-crypt reads a password once for each of its bytes.
    let (_, sha_crypt) = FOREIGN[9];
    let hash = ImportedHash::parse(sha_crypt).unwrap();
    assert!(hash.cost_of(MAX_INPUT_BYTES) > cost::digests(4_096 * 4_096 / 128));
    // Three bytes that become 33.
    let long = "\u{fdfa}".repeat(1_365);
    assert!(login_cost(&format!("{{prehash=nfkd}}{sha_crypt}"), &long) > login_cost(sha_crypt, &long));
    for (bytes, fits) in [(MAX_INPUT_BYTES, true), (MAX_INPUT_BYTES + 1, false)] {
        let input = vec![b'x'; bytes];
        let hash = Memory::default().hash(&input, [7; 16], OWN).unwrap();
        let hash = ImportedHash::parse(&hash).unwrap();
        assert_eq!(hash.verify_input(&input, &[], &mut Memory::default()).unwrap(), fits, "{bytes}");
    }
}
