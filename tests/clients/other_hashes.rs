//! Owns hashes that other systems' libraries write today: Flask-Security, Flask-Bcrypt, bcrypt 5, better-auth, Firebase, phpass.

use std::{fs, path::Path, process::Command};

use serde_json::{Value, json};

use crate::{
    grpcurl,
    signet::Signet,
    tools::{other_hashes, texts},
};

/// The key of Flask-Security and Devise.
const KEY: &str = "146585145368132386173505678016728509634";

/// What `program` tells of the users that it makes.
fn users(program: &Path, script: &str, arguments: &[&str]) -> Vec<Value> {
    // Packages are looked for beside the script, wherever it is run.
    let place = other_hashes().join(script);
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/clients/other_hashes").join(script);
    fs::copy(source, &place).expect("the script can be put beside its packages");
    let output = Command::new(program).arg(&place).args(arguments).output().expect("it runs");
    let (stdout, stderr) = texts(&output);
    assert!(output.status.success(), "{stdout}{stderr}");
    stdout.lines().map(|line| serde_json::from_str(line).expect("a user a line")).collect()
}

#[test]
fn users_of_other_systems_log_in_with_the_hashes_that_these_write() {
    let bin = other_hashes().join("bin");
    let mut all = users(&bin.join("python"), "hashes.py", &[KEY]);
    all.extend(users(&bin.join("node"), "hashes.mjs", &[]));
    // Hashes as others made them, on threads that give way to everything else, on a machine that is busy with other tests.
    let signet = Signet::start_with(&["--request-timeout=5m"]);
    let key = signet.data_dir().join("salt");
    fs::write(&key, KEY).expect("a new file");
    for user in &all {
        let file = signet.data_dir().join("one.ndjson");
        let row = json!({ "username": user["username"], "password_hash": user["hash"] });
        fs::write(&file, row.to_string()).expect("a file");
        let (file, key) = (file.display().to_string(), key.display().to_string());
        let mut import = vec!["users", "import", &file];
        let recipe = user["prehash"].as_str();
        let prehash = recipe.map(|recipe| format!("--password-prehash={recipe}"));
        import.extend(prehash.as_deref());
        if recipe.is_some_and(|recipe| recipe != "flask-bcrypt") {
            import.extend(["--password-prehash-key-file", &key]);
        }
        assert_eq!(signet.operate(&import)["added"], 1, "{user}");
        let log_in = |password: &str| {
            let grant = json!({ "password": { "username": user["username"], "password": password } });
            grpcurl::call(&signet, None, "IssueToken", &grant)
        };
        let wrong = log_in("pässword 密码").expect_err("a wrong password");
        assert_eq!(wrong.reason(), "INVALID_CREDENTIALS", "{user}");
        for _ in 0..2 {
            let answer = log_in(user["password"].as_str().expect("a password"));
            let answer = answer.unwrap_or_else(|refusal| panic!("{user}: {refusal:?}"));
            assert!(answer["accessToken"].is_string(), "{user}");
        }
    }
    let exported = signet.run(&["users", "export"]);
    assert_eq!(exported.matches("\"$argon2id$v=19$m=64,t=1,p=1$").count(), all.len(), "{exported}");
}
