//! Owns that the files of `examples/deploy` speak of settings that there are, and give them values that they take.

use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
};

use signet::config::environment_variable;

use crate::{harness::Place, settings::every_setting};

/// Flags of commands, and of other programs, that the files name.
const OTHERS: [&str; 15] = [
    "--bin",
    "--cert",
    "--chown",
    "--from",
    "--from-file",
    "--id-map",
    "--interval",
    "--key",
    "--locked",
    "--mount",
    "--now",
    "--release",
    "--report",
    "--timeout",
    "--username",
];

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("examples/deploy")
}

/// The name and the text of every file.
fn every_file() -> Vec<(String, String)> {
    let (mut folders, mut files) = (vec![root()], Vec::new());
    while let Some(folder) = folders.pop() {
        let entries: Vec<PathBuf> =
            fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
        for path in entries {
            if path.is_dir() {
                folders.push(path);
            } else {
                files.push((path.display().to_string(), fs::read_to_string(&path).unwrap()));
            }
        }
    }
    assert!(files.len() >= 8, "{files:?}");
    files
}

/// The words of `text` that begin with `start` and go on with what `belongs` to them.
fn words<'a>(text: &'a str, start: &'a str, belongs: fn(char) -> bool) -> impl Iterator<Item = &'a str> {
    text.match_indices(start).filter(move |(at, _)| !text[..*at].ends_with(belongs)).map(move |(at, _)| {
        let rest = &text[at..];
        let end = rest[start.len()..].find(|next| !belongs(next)).map_or(rest.len(), |end| start.len() + end);
        &rest[..end]
    })
}

fn of_a_variable(character: char) -> bool {
    character.is_ascii_uppercase() || character == '_'
}

fn of_a_flag(character: char) -> bool {
    character.is_ascii_lowercase() || character.is_ascii_digit() || character == '-'
}

#[test]
fn every_setting_that_is_named_there_is() {
    let flags: BTreeSet<String> = every_setting().into_iter().collect();
    let variables: BTreeSet<String> = flags.iter().map(|flag| environment_variable(flag)).collect();
    let mut named = 0;
    for (file, text) in every_file() {
        for variable in words(&text, "SIGNET_", of_a_variable) {
            assert!(variables.contains(variable), "{file} names {variable}, and there is no such setting");
            named += 1;
        }
        for flag in words(&text, "--", of_a_flag).filter(|flag| flag.len() > 2 && !flag.starts_with("---")) {
            let known = flags.contains(flag) || OTHERS.contains(&flag);
            assert!(known, "{file} names {flag}, and there is no such setting");
        }
    }
    assert!(named > 10, "the files are looked through");
}

/// What `text` sets: in YAML `NAME: "value"`, in a Dockerfile `NAME=value`.
fn values(text: &str) -> impl Iterator<Item = (&str, &str)> {
    words(text, "SIGNET_", of_a_variable).filter_map(move |name| {
        let at = name.as_ptr() as usize - text.as_ptr() as usize + name.len();
        let rest = text[at..].lines().next()?;
        let value = rest.strip_prefix(": ").or_else(|| rest.strip_prefix('='))?;
        Some((name, value.trim_end_matches(['\\', ' ']).trim_matches('"')))
    })
}

#[tokio::test]
async fn every_value_is_one_that_the_setting_takes() {
    let place = Place::new();
    let mut tried = 0;
    for (file, text) in every_file() {
        for (name, value) in values(&text) {
            // It reads its settings as every command does, and does nothing.
            let read = place.signet(&["--json", "descriptor"]).env(name, value).run().await;
            assert_eq!(read.code, Some(0), "{file}: {name} is {value:?}: {}", read.stderr);
            tried += 1;
        }
    }
    assert!(tried > 10, "the values are found");
    let refused = place.signet(&["descriptor"]).env("SIGNET_SHUTDOWN_DELAY", "10").run().await;
    assert_eq!(refused.code, Some(2), "what a setting does not take is refused: {refused:?}");
}

/// The headers by which Signet tells the service behind a sidecar who is calling.
const TOLD: [&str; 6] = ["subject", "username", "scope", "session", "roles", "client"];

#[test]
fn istio_removes_every_spelling_of_what_signet_alone_says() {
    let text = fs::read_to_string(root().join("istio/headers.yaml")).unwrap();
    let removed: BTreeSet<_> = text.lines().filter_map(|line| line.trim().strip_prefix("- ")).collect();
    for name in TOLD {
        for spelling in [["-", "-"], ["_", "_"], ["-", "_"], ["_", "-"]] {
            let header = format!("x{}signet{}{name}", spelling[0], spelling[1]);
            assert!(removed.contains(header.as_str()), "{header}");
        }
    }
}

#[test]
fn a_sidecar_is_trusted_with_addresses_only_if_it_writes_them_itself() {
    let read = |name: &str| fs::read_to_string(root().join(name)).unwrap();
    let (istio, linkerd) = (read("istio/signet.yaml"), read("linkerd/signet.yaml"));
    let trusted = |text: &str| {
        let named = values(text).find(|(name, _)| *name == "SIGNET_TRUSTED_PROXY_ADDRESSES");
        named.map(|(_, value)| value.to_owned())
    };
    assert_eq!(trusted(&istio).as_deref(), Some("127.0.0.6"));
    assert!(
        istio.contains("context: SIDECAR_INBOUND")
            && istio.contains("\n          use_remote_address: true\n")
    );
    assert_eq!(trusted(&linkerd), None, "its clients could name anybody");
}

/// What is made by the commands in the comments of `text`: `... > FILE`.
fn made(text: &str) -> BTreeSet<&str> {
    let commands = text.lines().filter(|line| line.starts_with("#   "));
    commands.filter_map(|command| command.rsplit_once(" > ")).map(|(_, file)| file.trim()).collect()
}

#[test]
fn secrets_that_the_files_have_one_make_stay_out_of_the_image() {
    let read = |name: &str| fs::read_to_string(root().join(name)).unwrap();
    let (ignored, compose, kubernetes) =
        (read("Dockerfile.dockerignore"), read("compose/compose.yaml"), read("kubernetes/signet.yaml"));
    let ignored: BTreeSet<&str> = ignored.lines().collect();
    let of_compose = made(&compose);
    assert_eq!(of_compose.len(), 3, "{of_compose:?}");
    for file in of_compose {
        assert!(file.starts_with("secrets/"), "{file} is not where the others are");
    }
    assert!(ignored.contains("examples/deploy/compose/secrets"), "{ignored:?}");
    // They are made wherever one is.
    let of_kubernetes = made(&kubernetes);
    assert_eq!(of_kubernetes.len(), 2, "{of_kubernetes:?}");
    for file in of_kubernetes {
        assert!(ignored.contains(&*format!("**/{file}")), "{file} would be copied into the image's build");
    }
}
