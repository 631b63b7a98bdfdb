//! Owns what is promised of files: none is replaced or followed unasked, and each that the service keeps is its own.

use std::{
    fs::{self, Permissions},
    os::unix::fs::{MetadataExt, PermissionsExt, chown, symlink},
    path::Path,
    process::Command,
};

use crate::harness::{Finished, Invocation, Place};

const ROW: &str =
    r#"{"username":"ann","password_hash":"$2b$04$abcdefghijklmnopqrstuuzNJHWXgWlXBEEXVL9ZBs2vQk8lgXlXe"}"#;

/// A user and a group that nobody else has.
const NOBODY: u32 = 65_534;
const FS_GROUP: u32 = 4_242;

fn set_mode(path: &Path, mode: u32) {
    fs::set_permissions(path, Permissions::from_mode(mode)).unwrap();
}

fn mode(path: &Path) -> u32 {
    fs::metadata(path).unwrap().mode() & 0o777
}

fn pipe(path: &Path) {
    assert!(Command::new("mkfifo").args(["-m", "600"]).arg(path).status().unwrap().success());
}

/// Only root can give files to others, and run the program as somebody else.
fn is_root(place: &Place) -> bool {
    fs::metadata(place.path("")).unwrap().uid() == 0
}

/// Run by [`NOBODY`], to whom Kubernetes has given the group [`FS_GROUP`].
fn by_nobody(invocation: Invocation) -> Invocation {
    let (user, group, groups) =
        (format!("--reuid={NOBODY}"), format!("--regid={NOBODY}"), format!("--groups={FS_GROUP}"));
    invocation.through(&["setpriv", &user, &group, &groups])
}

#[track_caller]
fn refused(finished: &Finished, why: &str) {
    let sentence = finished.failed(2);
    assert!(sentence.contains(why), "{why}: {sentence}");
}

#[tokio::test]
async fn an_import_tells_what_became_of_its_rows_in_new_files_alone() {
    let place = Place::new();
    let input = place.write("users.ndjson", ROW);
    let notes = place.write("notes", "do not lose me");
    let [new, link, behind] = ["new", "link", "behind"].map(|name| place.path(name).display().to_string());
    symlink(&behind, &link).unwrap();
    for flags in [
        &["--report", &input][..],
        &["--id-map", &input],
        &["--report", &notes],
        &["--id-map", &notes],
        &["--report", &new, "--id-map", &input],
        &["--report", &new, "--id-map", &new],
        &["--report", &link],
    ] {
        let finished = place.run(&[&["users", "import", &input][..], flags].concat()).await;
        assert!(finished.failed(1).contains("there is a file of that name already"), "{finished:?}");
        assert_eq!(fs::read_to_string(&input).unwrap(), ROW, "{flags:?}");
        assert_eq!(fs::read_to_string(&notes).unwrap(), "do not lose me", "{flags:?}");
        assert!(!Path::new(&new).exists() && !Path::new(&behind).exists(), "{flags:?}");
    }
    // What is created for the report is not what is read.
    refused(&place.run(&["users", "import", &new, "--report", &new]).await, "No such file");
    refused(&place.run(&["users", "import", "--from=sqlite:nothing", "--report", &new]).await, "no database");
    assert!(!Path::new(&new).exists() && !place.has_data(), "nothing was begun");

    place.run(&["migrate", "up"]).await.succeeded();
    let flags = ["users", "import", &input, "--report", &new, "--id-map", &behind];
    place.run(&flags).await.succeeded();
    for file in [&new, &behind] {
        assert_eq!(mode(Path::new(file)), 0o600, "{file}");
    }
    assert_eq!(fs::read_to_string(&behind).unwrap().lines().count(), 1);
}

#[tokio::test]
async fn what_is_no_file_in_a_files_place_is_refused_at_once() {
    let place = Place::new();
    place.serve(&[]).await.stop().await;
    let moved = place.path("moved");
    for name in ["master.key", "signet.db", "signet.db.lock"] {
        let path = place.data(name);
        fs::rename(&path, &moved).unwrap();
        pipe(&path);
        refused(&place.run(&[]).await, "it is a pipe");
        fs::remove_file(&path).unwrap();
        symlink(&moved, &path).unwrap();
        refused(&place.run(&[]).await, "it is a symbolic link, which is not followed");
        fs::remove_file(&path).unwrap();
        fs::rename(&moved, &path).unwrap();
    }
    let audit = place.path("audit.log");
    let log = format!("--audit-log={}", audit.display());
    pipe(&audit);
    refused(&place.run(&[&log]).await, "nobody reads from it");
    fs::remove_file(&audit).unwrap();
    symlink(place.path("elsewhere"), &audit).unwrap();
    refused(&place.run(&[&log]).await, "it is a symbolic link");
    assert!(!place.path("elsewhere").exists());

    pipe(&place.path("backup"));
    let backup = place.path("backup").display().to_string();
    assert!(place.run(&["restore", &backup, "--replace"]).await.failed(1).contains("it is a pipe"));
    place.serve(&[]).await.stop().await;
}

#[tokio::test]
async fn a_secret_may_come_through_a_pipe_and_is_not_waited_for_without_end() {
    let place = Place::new();
    let key = place.path("key");
    pipe(&key);
    // It needs the key, which most that only list do without.
    let list = ["keys", "list", "--master-key-file=key"];
    place.signet(&["users", "create", "ann"]).password().run().await.succeeded();
    refused(&place.run(&list).await, "key cannot be read: nothing has come out of it within 5 seconds");
    let written = fs::read(place.data("master.key")).unwrap();
    let writer = std::thread::spawn(move || fs::write(key, written).unwrap());
    place.run(&list).await.succeeded();
    writer.join().unwrap();
}

#[tokio::test]
async fn files_that_others_can_use_are_refused_and_those_of_the_services_own_group_are_not() {
    let place = Place::new();
    let audit = place.path("audit.log");
    let log = format!("--audit-log={}", audit.display());
    place.serve(&[&log]).await.stop().await;
    for name in ["master.key", "signet.db"] {
        let path = place.data(name);
        set_mode(&path, 0o604);
        refused(&place.run(&[]).await, &format!("chmod 600 ./signet-data/{name}"));
        // As Kubernetes makes it on a volume with an fsGroup.
        set_mode(&path, 0o660);
        place.serve(&[]).await.stop().await;
    }
    set_mode(&audit, 0o602);
    refused(&place.run(&[&log]).await, "it can be written by others");
    // Who may read it is the operator's to decide.
    set_mode(&audit, 0o644);
    place.serve(&[&log]).await.stop().await;

    if !is_root(&place) {
        return;
    }
    for name in ["master.key", "signet.db"] {
        let path = place.data(name);
        chown(&path, None, Some(FS_GROUP)).unwrap();
        refused(&place.run(&[]).await, "by others");
        chown(&path, None, Some(0)).unwrap();
        chown(&path, Some(NOBODY), None).unwrap();
        refused(&place.run(&[]).await, "belongs to the user with the id 65534, and this process runs as 0");
        chown(&path, Some(0), None).unwrap();
    }
    chown(place.data(""), Some(NOBODY), None).unwrap();
    refused(&place.run(&[]).await, "./signet-data cannot be the data directory: it belongs to the user");
}

#[tokio::test]
async fn a_volume_of_kubernetes_with_a_group_of_its_own_serves_and_so_does_its_secret() {
    let place = Place::new();
    if !is_root(&place) {
        return;
    }
    set_mode(&place.path(""), 0o755);
    // An emptyDir: root's, and everybody's.
    let data = place.data("");
    fs::create_dir(&data).unwrap();
    chown(&data, None, Some(FS_GROUP)).unwrap();
    set_mode(&data, 0o2777);
    let mut service = by_nobody(place.signet(&[])).serve().await;
    service.logs("others can write to it").await;
    service.stop().await;
    set_mode(&data, 0o2770);
    for entry in fs::read_dir(&data).unwrap() {
        let path = entry.unwrap().path();
        chown(&path, None, Some(FS_GROUP)).unwrap();
        set_mode(&path, 0o660);
    }
    by_nobody(place.signet(&[])).serve().await.stop().await;

    // A secret: `key` leads to `..data/key`, and that through another link to a directory of root's.
    fs::create_dir_all(place.path("secret/..2026")).unwrap();
    let key = place.path("secret/..2026/key");
    fs::rename(place.data("master.key"), &key).unwrap();
    chown(&key, Some(0), Some(FS_GROUP)).unwrap();
    set_mode(&key, 0o440);
    symlink("..2026", place.path("secret/..data")).unwrap();
    symlink("..data/key", place.path("secret/key")).unwrap();
    by_nobody(place.signet(&["--master-key-file=secret/key"])).serve().await.stop().await;
}

#[tokio::test]
async fn nothing_else_is_written_to_the_services_own_files_or_in_their_place() {
    let place = Place::new();
    let input = place.write("users.ndjson", ROW);
    let needed = "it is a file that the service itself needs";
    // Also before they are there: an empty file would be taken for a database or a key.
    for name in ["signet.db", "signet.db-wal", "master.key", "master.key.next"] {
        fs::create_dir_all(place.data("")).unwrap();
        let own = format!("./signet-data/{name}");
        refused(&place.run(&["--audit-log", &own]).await, needed);
        refused(&place.run(&["users", "import", &input, "--report", &own]).await, needed);
        refused(&place.run(&["users", "import", &input, "--id-map", &own]).await, needed);
        assert!(!place.data(name).exists(), "{name}");
    }
    let given = place.write("given.key", &"00".repeat(32));
    set_mode(Path::new(&given), 0o600);
    place.serve(&[]).await.stop().await;
    let key = fs::read(place.data("master.key")).unwrap();
    fs::hard_link(place.data("master.key"), place.path("link.log")).unwrap();
    for log in ["./signet-data/master.key", "./signet-data/../signet-data/signet.db", "./link.log"] {
        refused(&place.run(&["--audit-log", log]).await, needed);
    }
    refused(&place.run(&["--audit-log", &given, "--master-key-file", &given]).await, needed);
    for command in [&["users", "export"][..], &["backup"], &["backup", "--replace"]] {
        for own in ["./signet-data/signet.db-journal", "./signet-data/master.key.next"] {
            let finished = place.run(&[command, &[own]].concat()).await;
            assert!(finished.failed(1).contains(needed), "{command:?}: {finished:?}");
            assert!(!place.path(own).exists(), "{own}");
        }
    }
    assert_eq!(fs::read(place.data("master.key")).unwrap(), key);
    assert_eq!(fs::read_to_string(&given).unwrap(), "00".repeat(32));
    place.serve(&[]).await.stop().await;
}

#[tokio::test]
async fn a_hyphen_is_standard_output_or_refused_but_no_file() {
    let place = Place::embedded().await;
    let input = place.write("users.ndjson", ROW);
    for command in
        [&["users", "import", &input, "--report"][..], &["users", "import", &input, "--id-map"], &["backup"]]
    {
        refused(&place.run(&[command, &["-"]].concat()).await, "not `-`");
    }
    place.run(&["users", "import", &input]).await.succeeded();
    let export = place.run(&["users", "export", "-"]).await.succeeded();
    assert!(export.stdout.contains(r#""username":"ann""#), "{export:?}");
    assert!(!place.path("-").exists());
}
