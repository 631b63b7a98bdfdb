//! Owns what other users of the machine see of the program: neither its memory nor a core file, and a warning of what they do see.

use std::{fs, os::unix::fs::MetadataExt, path::PathBuf};

use crate::harness::Place;

const MASTER_KEY: &str = "00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff";

#[tokio::test]
async fn the_memory_of_the_service_is_neither_dumped_nor_readable_by_other_processes() {
    let place = Place::new();
    let service = place.serve(&[]).await;
    let process = PathBuf::from(format!("/proc/{}", service.id()));
    let limits = fs::read_to_string(process.join("limits")).unwrap();
    let core = limits.lines().find(|line| line.starts_with("Max core file size")).unwrap();
    let [soft, hard] = [4, 5].map(|column| core.split_whitespace().nth(column).unwrap());
    assert_eq!((soft, hard), ("0", "0"), "{core}");
    // The kernel gives root the files of a process that is not dumpable, so that others of its user cannot open them.
    assert_eq!(fs::metadata(process.join("environ")).unwrap().uid(), 0);
    service.stop().await;
}

/// As root, every process's files are root's: what root's rights do not show is shown by another user's process.
#[tokio::test]
async fn not_even_processes_of_its_own_user_read_its_memory() {
    let place = Place::new();
    if fs::metadata(place.path("")).unwrap().uid() != 0 {
        return;
    }
    std::os::unix::fs::chown(place.path(""), Some(65_534), None).unwrap();
    let nobody = ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups"];
    let service = place.signet(&[]).through(&nobody).serve().await;
    let process = PathBuf::from(format!("/proc/{}", service.id()));
    assert_eq!(fs::metadata(&process).unwrap().uid(), 65_534);
    assert_eq!(fs::metadata(process.join("environ")).unwrap().uid(), 0);
    service.stop().await;
}

#[tokio::test]
async fn a_password_in_the_collectors_url_is_refused_and_not_repeated() {
    let place = Place::new();
    let url = "http://user:hunter2@127.0.0.1:1";
    for program in [
        place.signet(&["--otlp-endpoint", url]),
        place.signet(&[]).env("SIGNET_OTLP_ENDPOINT", url),
        place.signet(&["--log-format=json"]).env("SIGNET_OTLP_ENDPOINT", url),
    ] {
        let refused = program.run().await;
        assert_eq!(refused.code, Some(2), "{refused:?}");
        let said = format!("{refused:?}");
        assert!(
            said.contains("--otlp-endpoint (SIGNET_OTLP_ENDPOINT): must be an http or https URL"),
            "{said}"
        );
        assert!(!said.contains("hunter2"), "{said}");
    }
}

#[tokio::test]
async fn a_secret_on_the_command_line_is_warned_of_and_one_in_the_environment_is_not() {
    let place = Place::new();
    let warned = "--master-key is on the command line, where every user of this machine can see it: set SIGNET_MASTER_KEY instead, \
                  or --master-key-file";
    let service = place.serve(&["--master-key", MASTER_KEY]).await;
    let said = service.stop().await.stderr;
    assert!(said.contains("WARN") && !said.contains(MASTER_KEY), "{said}");
    let key = ["--master-key", MASTER_KEY];
    let list = place.run(&[&["users", "list"], &key[..]].concat()).await.succeeded();
    let early = place.run(&[&key[..], &["users", "list"]].concat()).await.succeeded();
    // Refused, and not even tried: it was to be seen all the same.
    let url = "--database-url=sqlite:./nothing/there.db";
    let refused = place.run(&[&key[..], &[url]].concat()).await;
    let wrong = place.run(&["--master-key", "no key"]).await;
    for (said, code) in [(list, 0), (early, 0), (refused, 2), (wrong, 2)] {
        assert_eq!(said.code, Some(code), "{said:?}");
        assert_eq!(said.stderr.matches(warned).count(), 1, "once: {said:?}");
    }
    assert_eq!(said.matches(warned).count(), 1, "{said}");
    let from = ["users", "import", "--from=postgres://u:hunter2@127.0.0.1:1/app", "--dry-run"];
    let import = place.run(&from).await;
    assert!(import.stderr.contains("set SIGNET_IMPORT_FROM instead, or --from-file"), "{import:?}");

    let file = place.write("key", MASTER_KEY);
    let in_file = format!("--master-key-file={file}");
    for quiet in [
        place.signet(&["users", "list"]).env("SIGNET_MASTER_KEY", MASTER_KEY),
        place.signet(&["users", "list", &in_file]),
        place.signet(&["users", "list", &in_file, "--database-url=sqlite:./signet-data/signet.db"]),
    ] {
        let list = quiet.run().await.succeeded();
        assert!(!list.stderr.contains("command line"), "{list:?}");
    }
}
