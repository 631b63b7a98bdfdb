//! Owns the rule of where randomness comes from: what a test may repeat is drawn from `Entropy`, and what is secret from the system alone.

use std::path::Path;

use super::{hold, paths};

/// The one file that draws from a generator which a test can seed.
const ENTROPY: &str = "src/base/entropy.rs";

/// What draws from a generator that nobody has handed in: crates, and functions of `Uuid`.
const CRATES: [&str; 3] = ["rand", "getrandom", "fastrand"];
const OF_UUID: [&str; 2] = ["now_v7", "new_v4"];

/// What names the system's generator.
const SYSTEM: [&str; 3] = ["fill_from_system", "SystemRandom", "SecureRandom"];

/// The files that name the system's generator, and whose secrets are therefore never made of `Entropy`.
const SECRETS: [&str; 12] = [
    "src/base/mod.rs",
    "src/base/system_random.rs",
    "src/identity/clients/keys.rs",
    "src/identity/clients/secret.rs",
    "src/identity/names/key.rs",
    "src/identity/one_time_password.rs",
    "src/identity/passwords/fits_nothing.rs",
    "src/identity/passwords/threads.rs",
    "src/identity/sessions/refresh_token.rs",
    "src/identity/tokens.rs",
    "src/install/master_key_file.rs",
    "src/jose/private_key.rs",
];

/// What `text`, the file `file`, draws from and may not.
fn violations(file: &Path, text: &str) -> Vec<String> {
    let is = |name: &&str| file == Path::new(name);
    let paths = paths(text);
    let code = text.split("#[cfg(test)]").next().unwrap_or_default();
    let mut violations = Vec::new();
    for path in &paths {
        let named = |names: &[&str]| path.iter().any(|name| names.contains(&name.as_str()));
        let is_ambient = CRATES.contains(&path[0].as_str()) || (named(&["Uuid"]) && named(&OF_UUID));
        if is_ambient && !is(&ENTROPY) {
            violations.push(format!("`{}`: take an `Entropy`, by which a test repeats", path.join("::")));
        }
        let is_system = named(&SYSTEM) || (path[0] == "aws_lc_rs" && named(&["rand"]));
        if is_system && !SECRETS.iter().any(is) {
            let path = path.join("::");
            violations
                .push(format!("`{path}`: only what makes secrets asks the system: is it one of SECRETS?"));
        }
    }
    let makes_secrets = SECRETS.iter().skip(1).any(is);
    if makes_secrets && code.contains("Entropy") {
        violations.push("what is secret is never made of `Entropy`, which a test repeats".to_owned());
    }
    violations
}

#[test]
fn randomness_is_a_parameter_and_secrets_come_from_the_system() {
    hold(&["src"], violations);
}

#[test]
fn every_other_source_is_found() {
    let in_file = |file: &str, text: &str| violations(Path::new(file), text).len();
    for text in [
        "fn f() { rand::rng(); }",
        "use rand::Rng;",
        "fn f() -> Uuid { Uuid::now_v7() }",
        "use getrandom::fill;",
    ] {
        assert_eq!(in_file("src/identity/tokens.rs", text), 1, "{text}");
    }
    for text in ["use aws_lc_rs::rand::SystemRandom;", "fn f() { fill_from_system(&mut bytes); }"] {
        assert_eq!(in_file("src/store/mod.rs", text), 1, "{text}");
        assert_eq!(in_file("src/identity/tokens.rs", text), 0, "{text}");
    }
    assert_eq!(in_file("src/identity/tokens.rs", "use crate::base::Entropy;"), 1);
    assert_eq!(in_file(ENTROPY, "use rand::Rng;"), 0);
}
