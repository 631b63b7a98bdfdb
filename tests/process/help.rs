//! Owns what `--help` and `--version` promise.

use std::{fs, ops::RangeInclusive, path::Path};

use signet::config::environment_variable;

use crate::{
    harness::{Finished, Place},
    settings::every_setting,
};

/// How many lines the help of a command has: what it does and takes, on a page of a terminal.
const LINES: RangeInclusive<usize> = 10..=60;

/// What `signet serve --help` printed when somebody last looked at it.
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
    for args in [&["serve", "--help"][..], &["serve", "-h"], &["help", "serve"]] {
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
async fn the_help_of_a_command_shows_the_settings_that_it_reads_and_no_others() {
    let all = every_setting();
    for (args, read, others) in [
        (
            &["users", "create"][..],
            &["--data-dir", "--database-url", "--audit-log", "--password-min-length"][..],
            "--grpc-addr",
        ),
        (
            &["users", "create"],
            &["--argon2-memory-kib", "--argon2-below-owasp", "--log-level"],
            "--username-rest",
        ),
        (&["users", "import"], &["--data-dir", "--server", "--from-file"], "--password-min-length"),
        (&["users", "set-password"], &["--password-min-length", "--argon2-memory-kib"], "--username-rest"),
        (&["users", "reset-password"], &["--argon2-memory-kib", "--audit-log"], "--password-min-length"),
        (&["users", "delete"], &["--username-rest", "--master-key-file"], "--argon2-memory-kib"),
        (&["users", "update"], &["--username-rest", "--no-email"], "--account-failures"),
        (&["users", "clear-throttle"], &["--account-failures"], "--username-rest"),
        (&["users", "list"], &["--data-dir", "--limit", "--server", "--client-id"], "--username-rest"),
        (&["users"], &["--data-dir"], "--username-rest"),
        (&["users", "delete"], &["--yes", "--id"], "--account-failures"),
        (&["clients", "create"], &["--master-key", "--scope", "--audit-log"], "--audience"),
        (
            &["apply"],
            &["--data-dir", "--audience", "--dry-run", "--prune", "--server", "--take-over"],
            "--access-token-ttl",
        ),
        (&["export"], &["--data-dir", "--set", "--server"], "--access-token-ttl"),
        (&["keys", "rotate"], &["--signing-alg", "--key-publish-ahead"], "--password-min-length"),
        (&["migrate", "up"], &["--database-wait"], "--audit-log"),
        (&["backup"], &["--data-dir", "--replace"], "--grpc-addr"),
        (&["healthcheck"], &["--operations-addr", "--http-addr", "--tls-cert"], "--data-dir"),
        (
            &["doctor"],
            &["--url", "--grpc-url", "--idle-for", "--data-dir", "--key-publish-ahead"],
            "--access-token-ttl",
        ),
        (&["top"], &["--operations-addr", "--tls-cert", "--every", "--times"], "--data-dir"),
    ] {
        let shown = help(&[args, &["--help"]].concat()).await.stdout;
        let names =
            |flag: &str| [" ", "[=<", "\n"].iter().any(|end| shown.contains(&format!("\n      {flag}{end}")));
        for flag in read {
            assert!(names(flag), "{args:?} does not name {flag}: {shown}");
        }
        assert!(all.iter().any(|flag| flag == others) && !names(others), "{args:?} names {others}");
        let told = shown.split_whitespace().collect::<Vec<_>>().join(" ");
        assert!(told.contains("`signet serve --help` has all"), "{args:?}: {shown}");
    }
    for command in ["descriptor", "completions", "man"] {
        let shown = help(&[command, "--help"]).await.stdout;
        assert!(shown.contains("--quiet") && !shown.contains("--data-dir"), "{shown}");
    }
    // Who logs in has no database.
    for command in ["login", "logout"] {
        let shown = help(&[command, "--help"]).await.stdout;
        assert!(shown.contains("--server <ADDR>") && shown.contains("[env: SIGNET_SERVER"), "{shown}");
        assert!(!shown.contains("--data-dir") && !shown.contains("of the service: give it"), "{shown}");
    }
    // What is not shown is taken nevertheless: a command is given the service's environment.
    let place = Place::new();
    let args = ["migrate", "up", "--grpc-addr=127.0.0.1:0", "--username-rest=1day"];
    place.run(&args).await.succeeded();
    let refused = place.run(&["migrate", "up", "--grpc-addr=nowhere"]).await;
    assert!(refused.failed(2).starts_with("--grpc-addr (SIGNET_GRPC_ADDR): "), "{refused:?}");
}

#[tokio::test]
async fn help_shows_no_secret_that_is_set() {
    let place = Place::new();
    let secret = "c0ffee".repeat(10);
    for name in ["SIGNET_MASTER_KEY", "SIGNET_DATABASE_URL"] {
        let help = place.signet(&["serve", "--help"]).env(name, &secret).run().await.succeeded();
        assert!(help.stdout.contains(name), "{name} is not shown");
        assert!(!help.stdout.contains("c0ffee"), "{name} is shown");
    }
}

#[tokio::test]
async fn help_is_what_it_was_when_somebody_last_looked_at_it() {
    let help = help(&["serve", "--help"]).await.stdout;
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(SNAPSHOT);
    if std::env::var_os("UPDATE_SNAPSHOTS").is_some() {
        fs::write(&path, &help).unwrap();
    }
    let snapshot = fs::read_to_string(&path).unwrap_or_default();
    let differs = snapshot.lines().zip(help.lines()).find(|(old, new)| old != new);
    assert!(
        snapshot == help,
        "`signet serve --help` is not {SNAPSHOT} any more; the first difference: {differs:?}\n\
         Settings are an interface. If the change is meant, look at it in the diff that this makes:\n\
         UPDATE_SNAPSHOTS=1 cargo test --test process help"
    );
}

/// The commands that `help` lists.
fn listed(help: &str) -> Vec<String> {
    let Some((_, list)) = help.split_once("\nCommands:\n") else { return Vec::new() };
    let list = list.split("\n\n").next().unwrap_or_default();
    let is_name = |line: &&str| line.starts_with("  ") && !line.starts_with("   ");
    list.lines()
        .filter(is_name)
        .filter_map(|line| line.split_whitespace().next())
        .map(str::to_owned)
        .collect()
}

#[tokio::test]
async fn the_help_of_each_command_is_a_page() {
    let (mut left, mut seen) = (vec![Vec::new()], 0);
    while let Some(command) = left.pop() {
        let words: Vec<_> = command.iter().map(String::as_str).collect();
        if words == ["serve"] {
            continue;
        }
        let shown = help(&[&words[..], &["--help"]].concat()).await.stdout;
        let lines = shown.lines().count();
        assert!(LINES.contains(&lines), "`signet {} --help` has {lines} lines:\n{shown}", words.join(" "));
        let short = help(&[&words[..], &["-h"]].concat()).await.stdout;
        assert_eq!(short, shown, "{words:?}");
        let asked = help(&[&["help"], &words[..]].concat()).await.stdout;
        assert_eq!(asked, shown, "{words:?}");
        left.extend(listed(&shown).into_iter().map(|inner| [&command[..], &[inner]].concat()));
        seen += 1;
    }
    assert!(seen > 60, "{seen} commands");
}

#[tokio::test]
async fn the_version_is_the_packages() {
    for flag in ["--version", "-V"] {
        assert_eq!(help(&[flag]).await.stdout, concat!("signet ", env!("CARGO_PKG_VERSION"), "\n"));
    }
}
