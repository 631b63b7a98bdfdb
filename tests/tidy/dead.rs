//! Owns that every file is of use: something leads to each.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::{Path, PathBuf},
};

use proc_macro2::{Delimiter, TokenStream, TokenTree};

/// The text files of the repository, by their paths.
pub(crate) type Files = BTreeMap<PathBuf, String>;

/// Where a service says that it is served.
const SERVED: &str = "src/server/served.rs";

/// The files that nothing leads to.
pub(crate) fn violations(files: &Files) -> Vec<String> {
    let (modules, named) = (modules(files), named(files));
    let is_used = |path: &Path, text: &str| match extension(path) {
        "rs" => modules.contains(path),
        "proto" => named.contains(path) || is_served(files, text),
        "py" => named.contains(path) || is_imported(files, path),
        _ => named.contains(path),
    };
    let dead = files.iter().filter(|(path, text)| is_judged(path) && !is_used(path, text));
    dead.map(|(path, _)| format!("{}: nothing leads to it, so nobody would miss it", path.display()))
        .collect()
}

/// Whether a file is to be led to by another one, and not known by its name to git, cargo, an editor or whoever opens the repository.
fn is_judged(path: &Path) -> bool {
    let below = |folder: &str| path.starts_with(folder);
    extension(path) == "rs"
        || ["docs", "scripts", "proto", "third_party"].into_iter().any(below)
        || (["tests", "benches", "examples"].into_iter().any(below)
            && path.file_name() != Some("Cargo.toml".as_ref()))
}

fn extension(path: &Path) -> &str {
    path.extension().and_then(|extension| extension.to_str()).unwrap_or_default()
}

fn name(path: &Path) -> &str {
    path.file_name().and_then(|name| name.to_str()).unwrap_or_default()
}

/// The files that another one names.
fn named(files: &Files) -> BTreeSet<PathBuf> {
    let mut wanted = BTreeMap::<String, Vec<&Path>>::new();
    for path in files.keys() {
        wanted.entry(wanted_name(path)).or_default().push(path);
    }
    let mut found = BTreeSet::new();
    for (file, text) in files {
        let is_part = |char: char| char.is_alphanumeric() || "_-./".contains(char);
        for word in text.split(|char| !is_part(char)) {
            let word = word.trim_end_matches(['.', '/']);
            let after = |slash| word.rmatch_indices('/').nth(slash).map_or(word, |(at, _)| &word[at + 1..]);
            let paths = [after(0), after(1)].into_iter().filter_map(|name| wanted.get(name)).flatten();
            found.extend(paths.filter(|path| **path != file.as_path()).map(|path| path.to_path_buf()));
        }
    }
    found
}

/// By what the file at `path` is named. What is called like many others is named with its folder.
fn wanted_name(path: &Path) -> String {
    let folder = path.parent().map(name).unwrap_or_default();
    match name(path) {
        "__main__.py" => folder.to_owned(),
        name @ ("README.md" | "__init__.py") => format!("{folder}/{name}"),
        name if extension(path).is_empty() => format!("{folder}/{name}"),
        name => name.to_owned(),
    }
}

fn is_served(files: &Files, proto: &str) -> bool {
    let served = files.get(Path::new(SERVED)).map_or("", String::as_str);
    let services = proto.lines().filter_map(|line| line.strip_prefix("service ")?.split(' ').next());
    services.into_iter().any(|service| served.contains(service))
}

/// Whether a line of Python beside or above `path` imports it.
fn is_imported(files: &Files, path: &Path) -> bool {
    let folder = path.parent().unwrap_or(path);
    let (module, importers) = match name(path) {
        "__init__.py" => (name(folder), folder.parent().unwrap_or(folder)),
        _ => (path.file_stem().and_then(|stem| stem.to_str()).unwrap_or_default(), folder),
    };
    let imports = |line: &str| {
        let words = || line.split(|char: char| !char.is_alphanumeric() && char != '_');
        words().any(|word| word == "import") && words().any(|word| word == module)
    };
    files.iter().any(|(other, text)| {
        other != path && extension(other) == "py" && other.starts_with(importers) && text.lines().any(imports)
    })
}

// ===== Rust =====

/// The Rust files that cargo compiles: those where a crate begins, and all that a `mod` leads to from there.
fn modules(files: &Files) -> BTreeSet<PathBuf> {
    let mut found = BTreeSet::new();
    let mut open: Vec<_> = files.keys().filter(|path| begins_a_crate(files, path)).cloned().collect();
    // A module of `name.rs` is in `name/`, one of a crate's first file or of mod.rs beside it.
    let mut has_own_folder = BTreeSet::new();
    while let Some(file) = open.pop() {
        let Some(text) = files.get(&file).filter(|_| found.insert(file.clone())) else { continue };
        let beside = file.parent().unwrap_or(&file).to_owned();
        let within = if has_own_folder.contains(&file) { file.with_extension("") } else { beside.clone() };
        for declared in declared(text.parse().expect("the compiler has read this file before"), &within) {
            match declared {
                Declared::At(path) => open.push(normal(&beside.join(path))),
                Declared::Named(path) => {
                    let named = path.with_extension("rs");
                    has_own_folder.insert(named.clone());
                    open.extend([named, path.join("mod.rs")]);
                }
            }
        }
    }
    found
}

/// Whether cargo looks for `path` by itself, or a Cargo.toml tells it to.
fn begins_a_crate(files: &Files, path: &Path) -> bool {
    files.iter().filter(|(manifest, _)| name(manifest) == "Cargo.toml").any(|(manifest, text)| {
        let Ok(within) = path.strip_prefix(manifest.parent().unwrap_or(manifest)) else { return false };
        let parts: Vec<_> = within.iter().filter_map(|part| part.to_str()).collect();
        let is_known = match parts.as_slice() {
            ["tests" | "benches" | "examples", file] => extension(Path::new(file)) == "rs",
            parts => matches!(
                parts,
                ["build.rs"]
                    | ["src", "lib.rs" | "main.rs"]
                    | ["tests" | "benches" | "examples", _, "main.rs"]
            ),
        };
        is_known || text.contains(&format!("path = \"{}\"", within.display()))
    })
}

/// A module that a file declares and does not hold.
#[derive(Debug, PartialEq, Eq)]
enum Declared {
    /// By its name: at `PATH.rs` or `PATH/mod.rs`.
    Named(PathBuf),
    /// By the attribute `path`.
    At(String),
}

/// The modules that `tokens` declare, whose modules are in `folder`.
fn declared(tokens: TokenStream, folder: &Path) -> Vec<Declared> {
    let (mut found, mut at, mut is_module) = (Vec::new(), None, false);
    let mut module: Option<String> = None;
    for token in tokens {
        match token {
            TokenTree::Group(group) if group.delimiter() == Delimiter::Bracket => {
                at = path_attribute(&group.stream()).or(at);
            }
            TokenTree::Group(group) => {
                let folder = module.take().map_or_else(|| folder.to_owned(), |name| folder.join(name));
                found.extend(declared(group.stream(), &folder));
            }
            TokenTree::Ident(word) if is_module => module = Some(word.to_string()),
            TokenTree::Ident(word) => {
                is_module = word == "mod";
                continue;
            }
            TokenTree::Punct(punct) if punct.as_char() == ';' => {
                let named = module.take().map(|name| Declared::Named(folder.join(name)));
                found.extend(named.map(|named| at.take().map_or(named, Declared::At)));
            }
            TokenTree::Punct(_) | TokenTree::Literal(_) => {}
        }
        is_module = false;
    }
    found
}

/// `x` of `path = "x"`.
fn path_attribute(attribute: &TokenStream) -> Option<String> {
    let text = attribute.to_string();
    Some(text.strip_prefix("path = \"")?.strip_suffix('"')?.to_owned())
}

/// `path` without `..`.
fn normal(path: &Path) -> PathBuf {
    path.iter().fold(PathBuf::new(), |mut normal, part| {
        if part == ".." {
            normal.pop();
        } else {
            normal.push(part);
        }
        normal
    })
}

// ===== the rule can fail =====

fn dead(files: &[(&str, &str)]) -> Vec<String> {
    let files = files.iter().map(|(path, text)| (PathBuf::from(path), (*text).to_owned())).collect();
    violations(&files)
        .into_iter()
        .map(|violation| violation.split(':').next().unwrap_or_default().to_owned())
        .collect()
}

#[test]
fn a_rust_file_that_no_module_names_is_dead() {
    let files = [
        ("Cargo.toml", "[[test]]\npath = \"tests/api/main.rs\""),
        (
            "src/lib.rs",
            "pub mod store;\nmod rpc { mod inner; }\n#[cfg(test)]\nmod tests { fn f() { modest(); } }",
        ),
        ("src/store/mod.rs", "mod users; // mod sessions;"),
        ("src/store/users.rs", "pub(crate) mod pages;"),
        ("src/store/users/pages.rs", ""),
        ("src/store/sessions.rs", "mod users;"),
        ("src/rpc/inner.rs", ""),
        ("src/inner.rs", ""),
        ("tests/tidy.rs", ""),
        (
            "tests/api/main.rs",
            "#[allow(dead_code)]\n#[path = \"../support/mod.rs\"]\nmod support;\nmod calls;",
        ),
        ("tests/api/calls.rs", "const A: &str = \"mod leftover;\";"),
        ("tests/api/leftover.rs", ""),
        ("tests/support/mod.rs", "mod ports;"),
        ("tests/support/ports.rs", ""),
    ];
    assert_eq!(dead(&files), ["src/inner.rs", "src/store/sessions.rs", "tests/api/leftover.rs"]);
}

#[test]
fn a_script_a_page_a_proto_and_a_module_of_python_that_nothing_names_are_dead() {
    let files = [
        ("README.md", "See [the page](docs/PAGE.md), run scripts/test."),
        ("docs/PAGE.md", "docs/OLD.md"),
        ("docs/OLD.md", ""),
        ("docs/DEAD.md", "I am DEAD.md, and not tests."),
        ("docs/adr/README.md", ""),
        ("scripts/test", "python3 tests/attack"),
        ("scripts/tes", "scripts/tes"),
        ("proto/a/v1/a.proto", "import \"a/v1/b.proto\";\nservice AService {"),
        ("proto/a/v1/b.proto", ""),
        ("proto/a/v1/c.proto", "service CService {"),
        (SERVED, "a.v1.AService"),
        ("src/main.rs", "mod server;"),
        ("Cargo.toml", ""),
        ("tests/attack/__main__.py", "from . import games"),
        ("tests/attack/games/__init__.py", "from .web import play"),
        ("tests/attack/games/web.py", ""),
        ("tests/attack/games/gone.py", "# games"),
    ];
    let mut expected = vec!["docs/DEAD.md", "docs/adr/README.md", "proto/a/v1/c.proto", "scripts/tes"];
    // The module `server` has no file that leads to it here.
    expected.extend([SERVED, "tests/attack/games/gone.py"]);
    assert_eq!(dead(&files), expected);
}
