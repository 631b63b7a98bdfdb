//! Owns what `--help` and `--version` promise.

use std::{fs, path::Path};

use signet::config::environment_variable;

use crate::{
    harness::{Finished, Place},
    settings::every_setting,
};

/// What `signet --help` printed when somebody last looked at it.
const SNAPSHOT: &str = "tests/process/snapshots/help.txt";

async fn help(args: &[&str]) -> Finished {
    let place = Place::new();
    let mut invocation = place.signet(args);
    for setting in every_setting() {
        // Values that are set would be shown.
        invocation = invocation.without_env(&environment_variable(&setting));
    }
    invocation.run().await.succeeded()
}

#[tokio::test]
async fn help_names_every_setting_with_its_environment_variable() {
    for args in [&["--help"][..], &["serve", "--help"], &["users", "create", "--help"], &["help", "serve"]] {
        let help = help(args).await;
        assert_eq!(help.stderr, "");
        for flag in every_setting() {
            let variable = environment_variable(&flag);
            let shown = [format!("\n      {flag} <"), format!("\n      {flag}[=<")];
            assert!(shown.iter().any(|text| help.stdout.contains(text)), "{args:?} does not name {flag}");
            let shown = [format!("[env: {variable}=]"), format!("[env: {variable}]")];
            assert!(shown.iter().any(|text| help.stdout.contains(text)), "{args:?} does not name {variable}");
        }
    }
}

#[tokio::test]
async fn help_shows_no_secret_that_is_set() {
    let place = Place::new();
    let secret = "c0ffee".repeat(10);
    for name in ["SIGNET_MASTER_KEY", "SIGNET_DATABASE_URL"] {
        let help = place.signet(&["--help"]).env(name, &secret).run().await.succeeded();
        assert!(!help.stdout.contains("c0ffee"), "{name} is shown");
    }
}

#[tokio::test]
async fn help_is_what_it_was_when_somebody_last_looked_at_it() {
    let help = help(&["--help"]).await.stdout;
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(SNAPSHOT);
    if std::env::var_os("UPDATE_SNAPSHOTS").is_some() {
        fs::write(&path, &help).unwrap();
    }
    let snapshot = fs::read_to_string(&path).unwrap_or_default();
    let differs = snapshot.lines().zip(help.lines()).find(|(old, new)| old != new);
    assert!(
        snapshot == help,
        "`signet --help` is not {SNAPSHOT} any more; the first difference: {differs:?}\n\
         Settings are an interface. If the change is meant, look at it in the diff that this makes:\n\
         UPDATE_SNAPSHOTS=1 cargo test --test process help"
    );
}

#[tokio::test]
async fn the_version_is_the_packages() {
    for flag in ["--version", "-V"] {
        assert_eq!(help(&[flag]).await.stdout, concat!("signet ", env!("CARGO_PKG_VERSION"), "\n"));
    }
}
