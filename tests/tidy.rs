//! Owns the walls that the compiler does not hold: who may import whom, how long a file and a line get, what a file opens with, where its
//! randomness comes from, and that something leads to it.
//!
//! What clippy holds is not repeated here: how long a function gets, and that time is a parameter (clippy.toml).

use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
};

#[path = "tidy/dead.rs"]
mod dead;
#[path = "tidy/map.rs"]
mod map;
#[path = "tidy/paths.rs"]
mod paths;
#[path = "tidy/randomness.rs"]
mod randomness;
#[path = "tidy/width.rs"]
mod width;

use paths::paths;

/// A room of the house: a top-level module, and the rooms that it may import.
struct Room {
    name: &'static str,
    may_import: &'static [&'static str],
    because: &'static str,
}

/// The map of src/lib.rs. A room that is not on it may import nothing until it has been given its place.
#[rustfmt::skip]
const ROOMS: &[Room] = &[
    Room { name: "main", may_import: &["cli"],
           because: "the program is a door: what it does can then be tested through the library" },
    Room { name: "cli", may_import: &["server", "install", "jobs", "config", "shutdown", "observe", "transfer", "identity", "audit", "errors", "wire", "metrics", "proto", "model", "base", "files"],
           because: "the command line starts the service or asks its parts, as any other caller does; it decides nothing, keeps nothing and verifies nobody" },
    Room { name: "server", may_import: &["rpc", "http", "jobs", "install", "config", "observe", "identity", "changes", "admission", "peer", "store", "auth", "audit", "proto", "errors", "metrics", "traces", "model", "base"],
           because: "the composition knows every part, but not who asked for it" },
    Room { name: "install", may_import: &["config", "identity", "store", "audit", "metrics", "model", "base", "files"],
           because: "a command opens an installation, moves it and mends it with no server running" },
    Room { name: "rpc", may_import: &["identity", "admission", "peer", "auth", "jose", "wire", "proto", "errors", "metrics", "observe", "traces", "model", "base"],
           because: "a handler decodes, asks identity and encodes: deciding and keeping are not its affair" },
    Room { name: "http", may_import: &["identity", "admission", "peer", "auth", "jose", "errors", "metrics", "observe", "traces", "model", "base"],
           because: "a handler decodes, asks identity and encodes: deciding and keeping are not its affair" },
    Room { name: "jobs", may_import: &["identity", "changes", "store", "metrics", "model", "base"],
           because: "what runs by itself asks identity as any caller does; when it runs, and where, is decided here alone" },
    Room { name: "config", may_import: &["identity", "changes", "admission", "store", "auth", "audit", "observe", "traces", "model", "files"],
           because: "settings are made of the values that the parts take; the parts never look settings up" },
    Room { name: "transfer", may_import: &["identity", "store", "audit", "model", "base"],
           because: "what users look like outside does not depend on who asks for them, or whom it is told" },
    Room { name: "fuzzing", may_import: &["rpc", "http", "server", "transfer", "identity", "peer", "store", "auth", "model", "base"],
           because: "each property stands beside its parser, and no part of the service knows that it is fuzzed" },
    Room { name: "shutdown", may_import: &["observe"],
           because: "when to stop is the operating system's to say, and the last line of the log says it" },
    Room { name: "identity", may_import: &["changes", "admission", "store", "auth", "audit", "jose", "errors", "metrics", "model", "base"],
           because: "what the service decides does not depend on the protocol that asks" },
    Room { name: "traces", may_import: &["proto", "model", "base"],
           because: "who is told of requests knows nothing of who serves them" },
    Room { name: "changes", may_import: &["store", "metrics", "model", "base"],
           because: "the feed's reader knows nothing of those who subscribe, so that another one is a line in the composition" },
    Room { name: "admission", may_import: &["auth", "model", "base"],
           because: "gRPC and HTTP admit by the same rules, and neither may know the other" },
    Room { name: "peer", may_import: &["model", "base"],
           because: "who sent a request gRPC and HTTP ask alike, and neither may know the other" },
    Room { name: "store", may_import: &["audit", "model", "base", "files"],
           because: "the store keeps and finds; it judges what administrators change, by the rules of model, since that must be done where it is written; else it decides nothing" },
    Room { name: "auth", may_import: &["jose", "proto", "errors", "model", "base"],
           because: "any tonic service can then verify callers with it; what it needs beyond that it states as traits" },
    Room { name: "audit", may_import: &["observe", "errors", "metrics", "model", "base", "files"],
           because: "an event is recorded wherever it happens, so all who decide stand above it" },
    Room { name: "jose", may_import: &["model"],
           because: "what a signature and a key are does not depend on whose they are, so that every kind of token is read by one code" },
    Room { name: "errors", may_import: &["proto", "model", "base"],
           because: "an error is the same over every protocol, so all who refuse stand above the table that says what it is" },
    Room { name: "wire", may_import: &["proto", "model"],
           because: "who serves the API and who calls it read one message alike" },
    Room { name: "proto", may_import: &[],
           because: "the contract depends on nothing" },
    Room { name: "observe", may_import: &["model", "base"],
           because: "the log tells of everything and depends on nothing" },
    Room { name: "metrics", may_import: &["model", "base"],
           because: "every part counts, so all of them stand above it" },
    Room { name: "files", may_import: &[],
           because: "every room that opens a file of the service does so by the same rules" },
    Room { name: "model", may_import: &["base"],
           because: "the values and their rules must be readable, and testable, with nothing else in mind" },
    Room { name: "base", may_import: &[],
           because: "time and counting mean nothing of what the service speaks of, so that every room may build on them" },
];

/// The floors of the store: each, and the floors whose modules it may not name.
const FLOORS_OF_STORE: &[(&str, &[&str])] = &[
    ("engine", &["tables", "bulk", "sqlite"]),
    ("tables", &["bulk", "sqlite"]),
    ("bulk", &["sqlite"]),
    ("sqlite", &["bulk"]),
];

/// Crates that only some rooms may name.
struct Walled {
    /// Each with all crates whose names go on after it with an underscore.
    crates: &'static [&'static str],
    rooms: &'static [&'static str],
    because: &'static str,
}

const WALLED: &[Walled] = &[
    Walled {
        crates: &["sea_orm", "sea_query", "sqlx", "signet_migrations"],
        rooms: &["store"],
        because: "the store is the only place that knows how data are kept, so that it alone changes with the database",
    },
    Walled {
        crates: &["tonic"],
        rooms: &["rpc", "auth", "errors", "proto", "server", "cli", "traces"],
        because: "only what stands at the wire speaks gRPC; the rest must be callable without it",
    },
    Walled {
        crates: &["jsonwebtoken"],
        rooms: &["jose"],
        because: "how a token is taken apart, signed and verified is decided once, whoever issued it and whoever asks",
    },
    Walled {
        crates: &["axum"],
        rooms: &["http", "server"],
        because: "only what stands at the wire speaks HTTP; the rest must be callable without it",
    },
    Walled {
        crates: &["prometheus"],
        rooms: &["metrics"],
        because: "a part says what happened; how that is counted and told is known in one place",
    },
    Walled {
        crates: &["clap"],
        rooms: &["cli", "config"],
        because: "a value that parses flags is a value of the command line",
    },
];

/// The most lines of a file: beyond it, it owns more than one thing.
const MAX_LINES: usize = 500;

/// Folders of what is made here, or is no text.
const MADE: &[&str] = &[
    ".git",
    "target",
    "artifacts",
    "corpus",
    "found",
    "node_modules",
    "dist",
    "build",
    "venv",
    ".venv",
    "secrets",
    "signet-data",
    "signet_sdk.egg-info",
    "__pycache__",
    ".hypothesis",
    ".mypy_cache",
    ".pytest_cache",
    ".ruff_cache",
];

/// Names by which a migration would take hold of an entity.
const ENTITY_NAMES: &[&str] =
    &["entity", "EntityTrait", "DeriveEntityModel", "ActiveModelTrait", "ActiveModelBehavior"];

// ===== the rules =====

/// The paths of `text`, the file of the module `module` (`["rpc", "limits"]`), that break a rule of importing.
fn import_violations(module: &[String], text: &str) -> Vec<String> {
    let room_name = module.first().map_or("lib", String::as_str);
    if room_name == "lib" {
        return Vec::new(); // It declares the rooms.
    }
    let Some(room) = ROOMS.iter().find(|room| room.name == room_name) else {
        return vec![format!(
            "`{room_name}` is not on the map: give it its place in src/lib.rs and in ROOMS"
        )];
    };
    let mut violations = BTreeSet::new();
    for path in paths(text) {
        if let Some(target) = target_room(module, &path)
            && target != room.name
            && !room.may_import.contains(&target.as_str())
        {
            let (path, allowed) = (path.join("::"), room.may_import.join(", "));
            let because = room.because;
            violations.insert(format!("`{path}`: {room_name} may import only [{allowed}], since {because}"));
        }
        if let Some(floor) = floor_violation(module, &path) {
            violations.insert(floor);
        }
        for walled in WALLED.iter().filter(|walled| !walled.rooms.contains(&room_name)) {
            if walled.crates.iter().any(|name| is_of_family(&path[0], name)) {
                let (name, rooms, because) = (&path[0], walled.rooms.join(", "), walled.because);
                violations.insert(format!(
                    "`{}`: only [{rooms}] may name {name}, since {because}",
                    path.join("::")
                ));
            }
        }
    }
    violations.into_iter().collect()
}

/// That `path`, in the file of `module`, leads to a higher floor of the store.
fn floor_violation(module: &[String], path: &[String]) -> Option<String> {
    let [room, floor, ..] = module else { return None };
    let (_, higher) = FLOORS_OF_STORE.iter().find(|(name, _)| room == "store" && name == floor)?;
    let [origin, store, target, ..] = path else { return None };
    (origin == "crate" && store == "store" && higher.contains(&target.as_str())).then(|| {
        let (path, higher) = (path.join("::"), higher.join(", "));
        format!("`{path}`: store/{floor} may not name [{higher}], since floors stand on those below")
    })
}

/// The room that `path` leads to, written in the file of `module`; none if it leads out of the crate, or stays in the module.
fn target_room(module: &[String], path: &[String]) -> Option<String> {
    match path.first()?.as_str() {
        // main.rs sees the library as a crate.
        "signet" | "crate" => path.get(1).cloned(),
        "super" => {
            // In a module within the file (`mod tests`) a `super` leads less far up; taking it to lead too far can only
            // accuse `super::super::name`, and only where `name` is a room.
            let ups = path.iter().take_while(|segment| *segment == "super").count();
            let base = module.len().saturating_sub(ups);
            if base > 0 { None } else { path.get(ups).filter(|name| is_room(name)).cloned() }
        }
        _ => None,
    }
}

fn is_room(name: &str) -> bool {
    ROOMS.iter().any(|room| room.name == name)
}

fn is_of_family(name: &str, family: &str) -> bool {
    name.strip_prefix(family).is_some_and(|rest| rest.is_empty() || rest.starts_with('_'))
}

/// What `text`, a migration, takes from outside that changes after its release.
fn migration_violations(text: &str) -> Vec<String> {
    let foreign = |path: &Vec<String>| {
        path[0] == "signet" || path.iter().any(|name| ENTITY_NAMES.contains(&name.as_str()))
    };
    let because = "a migration must for ever stay what it was when it was released, and entities change";
    paths(text)
        .iter()
        .filter(|path| foreign(path))
        .map(|path| format!("`{}`: a migration imports no entity, since {because}", path.join("::")))
        .collect()
}

fn length_violation(text: &str) -> Option<String> {
    let lines = text.lines().count();
    (lines > MAX_LINES).then(|| {
        format!(
            "{lines} lines: a file ends at {MAX_LINES}, since one that is longer owns more than one thing"
        )
    })
}

fn opening_violation(text: &str) -> Option<String> {
    (!text.starts_with("//! Owns ")).then(|| {
        "the first line must be `//! Owns ...`, since whoever opens a file asks first what it is for"
            .to_owned()
    })
}

// ===== the files =====

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

/// Every text file below `directory`, and its text.
fn files(directory: &str) -> dead::Files {
    let (mut files, mut directories) = (dead::Files::new(), vec![root().join(directory)]);
    while let Some(directory) = directories.pop() {
        for entry in fs::read_dir(&directory).expect("a directory of the repository") {
            let path = entry.expect("a file of the repository").path();
            let is_made = |name: &&str| path.ends_with(name);
            if path.is_dir() && !MADE.iter().any(is_made) {
                directories.push(path);
            } else if let Ok(text) = fs::read_to_string(&path) {
                files.insert(path.strip_prefix(root()).expect("it is below").to_owned(), text);
            }
        }
    }
    files
}

/// Every Rust file below `directory`, and its text.
fn rust_files(directory: &str) -> Vec<(PathBuf, String)> {
    let is_rust = |path: &Path| path.extension().is_some_and(|extension| extension == "rs");
    files(directory).into_iter().filter(|(path, _)| is_rust(path)).collect()
}

/// `src/rpc/admit.rs` is the module `rpc::admit`, and `src/rpc/mod.rs` the module `rpc`; src/lib.rs is the root.
fn module_of(file: &Path) -> Vec<String> {
    let inner = file.strip_prefix("src").expect("a file of src").with_extension("");
    let mut module: Vec<_> = inner.iter().map(|part| part.to_string_lossy().into_owned()).collect();
    if module.last().is_some_and(|last| last == "mod" || last == "lib") {
        module.pop();
    }
    module
}

/// Applies `rule` to every file of `directories`, and fails with all that it finds.
fn hold(directories: &[&str], rule: impl Fn(&Path, &str) -> Vec<String>) {
    let files: Vec<_> = directories.iter().flat_map(|directory| rust_files(directory)).collect();
    assert!(!files.is_empty(), "there are no files in {directories:?}: the rule would hold nothing");
    let violations: Vec<_> = files
        .iter()
        .flat_map(|(file, text)| {
            rule(file, text).into_iter().map(move |violation| format!("{}: {violation}", file.display()))
        })
        .collect();
    assert!(violations.is_empty(), "\n{}\n", violations.join("\n"));
}

#[test]
fn rooms_import_only_what_the_map_allows() {
    hold(&["src"], |file, text| import_violations(&module_of(file), text));
}

#[test]
fn migrations_import_no_entity() {
    hold(&["migrations"], |_, text| migration_violations(text));
}

#[test]
fn files_end_before_they_own_two_things() {
    let all = ["src", "migrations", "tests", "benches", "examples", "fuzz"];
    hold(&all, |_, text| length_violation(text).into_iter().collect());
}

#[test]
fn something_leads_to_every_file() {
    let dead = dead::violations(&files(""));
    assert!(dead.is_empty(), "\n{}\n", dead.join("\n"));
}

#[test]
fn lines_end_before_they_leave_the_window() {
    let mut long = Vec::new();
    for (file, text) in files("") {
        // Tables and links of pages go on, and what programs and others write is as they write it.
        let is_prose = |kind: &&str| file.extension() == Some(kind.as_ref());
        let name = file.file_name().and_then(std::ffi::OsStr::to_str).unwrap_or_default();
        let is_generated = [".pb.go", "_pb2", "_pb.ts"].iter().any(|end| name.contains(end));
        let is_others = file.starts_with("third_party") || is_generated;
        if !is_others && !["md", "svg", "json", "lock", "sum", "txt", "toml"].iter().any(is_prose) {
            long.extend(
                width::violations(&file, &text).into_iter().map(|one| format!("{}: {one}", file.display())),
            );
        }
    }
    assert!(long.is_empty(), "\n{}\n", long.join("\n"));
}

#[test]
fn modules_open_with_what_they_own() {
    hold(&["src"], |file, text| {
        let is_crate = file == Path::new("src/lib.rs") || file == Path::new("src/main.rs");
        if is_crate { Vec::new() } else { opening_violation(text).into_iter().collect() }
    });
}

// ===== the rules can fail =====

fn violations_in(module: &str, text: &str) -> Vec<String> {
    import_violations(&module.split("::").map(str::to_owned).collect::<Vec<_>>(), text)
}

#[test]
fn the_map_has_no_circles() {
    // Rooms that import only rooms already placed are placed, until none is left; a circle would never be.
    let mut placed: Vec<&str> = Vec::new();
    while placed.len() < ROOMS.len() {
        let next = ROOMS.iter().find(|room| {
            !placed.contains(&room.name) && room.may_import.iter().all(|below| placed.contains(below))
        });
        placed
            .push(next.expect("rooms that import each other in a circle cannot be read one at a time").name);
    }
}

#[test]
fn every_way_to_write_a_forbidden_import_is_found() {
    for text in [
        "use crate::store::Store;",
        "use crate::{model::Error, store::{Store, users::{self, NewUser}}};",
        "use crate::{\n    model::Error, // crate::model\n    store as kept,\n};",
        "fn f() { crate::store::open(); }",
        "fn f() -> Result<(), crate::store::Failure> { Ok(()) }",
        "#[cfg(test)]\nmod tests {\n    use crate::store::Store;\n}",
        "use super::super::store::Store;",
        "macro_rules! m { () => { $crate::store::open() } }",
        "fn f() { for _ in 0..crate::store::LIMIT {} }",
        "pub(crate) use crate::store::*;",
        "use crate::*;",
        "use crate::{self as root};",
        "use crate::garage::Car;",
    ] {
        assert!(!violations_in("rpc::admit", text).is_empty(), "{text}");
    }
}

#[test]
fn allowed_imports_comments_and_strings_are_no_violations() {
    for text in [
        "use crate::{auth::Caller, identity::{Accounts, NewAccount}, model::Error};",
        "use super::deadline_of;\nmod tests { use super::*; use super::super::limits; }",
        "//! Unlike [`crate::store`].\n/* use crate::store; /* crate::store */ */\nfn f() {} // crate::store",
        "/// See [`crate::store`].\nconst A: &str = \"use crate::store;\"; const B: &str = r#\"crate::store\"#;",
        "const QUOTE: char = '\"'; fn f<'a>(x: &'a str) -> &'a str { x }",
        "pub(crate) fn store() { self::store(); value.store().crate_name; }",
        "use tonic::{Request, Status};",
    ] {
        assert_eq!(violations_in("rpc::admit", text), Vec::<String>::new(), "{text}");
    }
}

#[test]
fn crates_are_named_only_where_they_may_be() {
    assert_eq!(violations_in("identity::accounts", "use sea_orm::{DbErr, entity::prelude::*};").len(), 2);
    assert_eq!(violations_in("identity", "fn f() -> Result<(), ::sqlx::Error> { Ok(()) }").len(), 1);
    assert_eq!(violations_in("store", "use {sea_orm::DbErr, tonic::Status};").len(), 1);
    assert_eq!(violations_in("store::engine::lanes", "use crate::store::{Store, tables::users};").len(), 1);
    assert_eq!(violations_in("store::bulk::users", "use crate::store::{Store, tables::users};").len(), 0);
    assert_eq!(violations_in("model::error", "use tonic_types::ErrorDetails;").len(), 1);
    assert_eq!(violations_in("model::error", "#[tonic::async_trait] trait T {}").len(), 1);
    assert_eq!(violations_in("auth::verifier", "use jsonwebtoken::crypto;").len(), 1);
    assert_eq!(violations_in("jose::jwk", "use jsonwebtoken::jwk::Jwk;").len(), 0);
    assert_eq!(violations_in("model", "use tonics::Water; fn f(x: X) { x.tonic::<u8>(); }").len(), 0);
    assert_eq!(violations_in("auth::layer", "use tonic::Status; use crate::identity::Tokens;").len(), 1);
    assert_eq!(violations_in("garage", "").len(), 1, "a room without a place");
}

#[test]
fn a_violation_says_why() {
    let violation = violations_in("model::user", "use crate::proto::identity::v1::User;").remove(0);
    assert!(
        violation.starts_with(
            "`crate::proto::identity::v1::User`: model may import only [base], since the values"
        )
    );
}

#[test]
fn migrations_files_and_openings_are_judged() {
    assert_eq!(
        migration_violations("use sea_orm_migration::{prelude::*, sea_orm::entity::Schema};").len(),
        1
    );
    assert_eq!(migration_violations("#[derive(Clone, DeriveEntityModel)] struct Model;").len(), 1);
    assert_eq!(migration_violations("use sea_orm_migration::prelude::*; // entity").len(), 0);
    assert!(length_violation(&"\n".repeat(MAX_LINES + 1)).is_some());
    assert!(length_violation(&"\n".repeat(MAX_LINES)).is_none());
    assert!(opening_violation("// Owns the door.\n").is_some());
    assert!(opening_violation("//! Owns the door.\n").is_none());
}
