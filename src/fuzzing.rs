//! Owns the list of what is fuzzed: for each parser of what strangers write, the property that must hold for any bytes.
//!
//! `fuzz/` runs them under libFuzzer, by these names. The ordinary tests replay the committed corpus, so that what was found once is
//! looked for at every change.

use crate::{
    auth::{fuzz_access_token, fuzz_policy},
    base::{Clock, Entropy, Timestamp},
    http::{fuzz_form, fuzz_multipart},
    identity::{
        RefreshToken,
        apply::fuzz as fuzz_manifest,
        clients::fuzz_assertion,
        fuzz_one_time_password,
        passwords::{Argon2Params, DEFAULT_IMPORT_MAX_COST, Prehashes, adopt},
    },
    model::{
        NameSet, Password, PasswordRules, ReservedNames, SpiffeId, Username,
        profile::{DisplayName, Email},
    },
    peer::{fuzz_certificate, fuzz_client_cert_header, fuzz_forwarded, fuzz_x_forwarded_for},
    rpc::{fuzz_connect, fuzz_grpc_timeout, fuzz_grpc_web, fuzz_gzip},
    server::fuzz_greeting,
    store::Location,
    transfer::{
        Columns, ExportRules, HashConfig, MAX_ROW_BYTES, RowRules, read_auth0, read_csv, read_firebase,
        read_keycloak, read_ndjson,
    },
};

/// A property of any bytes.
pub type Target = fn(&[u8]);

/// Every target: each has a program `fuzz/fuzz_targets/NAME.rs` and a folder `fuzz/corpus/NAME`.
pub const TARGETS: &[(&str, Target)] = &[
    ("access_token", fuzz_access_token),
    ("assertion", fuzz_assertion),
    ("certificate", fuzz_certificate),
    ("client_cert_header", fuzz_client_cert_header),
    ("connect", fuzz_connect),
    ("csv", csv),
    ("database_url", database_url),
    ("export", export),
    ("form", fuzz_form),
    ("forwarded", fuzz_forwarded),
    ("greeting", fuzz_greeting),
    ("grpc_timeout", fuzz_grpc_timeout),
    ("grpc_web", fuzz_grpc_web),
    ("gzip", fuzz_gzip),
    ("manifest", fuzz_manifest),
    ("multipart", fuzz_multipart),
    ("name", name),
    ("ndjson", ndjson),
    ("one_time_password", fuzz_one_time_password),
    ("password", password),
    ("password_hash", password_hash),
    ("policy", fuzz_policy),
    ("scope", scope),
    ("x_forwarded_for", fuzz_x_forwarded_for),
];

/// Runs the target `name` on `bytes`.
///
/// # Panics
/// If its property does not hold, or if there is no such target.
pub fn run(name: &str, bytes: &[u8]) {
    let target = TARGETS.iter().find(|(known, _)| *known == name);
    target.unwrap_or_else(|| panic!("there is no target {name}")).1(bytes);
}

/// The parameters of this service's own hashes.
const ARGON2: Argon2Params = Argon2Params { memory_kib: 19_456, iterations: 2, parallelism: 1 };

fn reserved() -> ReservedNames {
    "admin,root".parse().expect("they are names")
}

fn rules() -> RowRules {
    let clock = Clock::manual(Timestamp::from_micros(1_795_435_200_000_000));
    RowRules {
        argon2: ARGON2,
        import_max_cost: DEFAULT_IMPORT_MAX_COST,
        prehashes: Prehashes::default(),
        reserved: reserved(),
        clock,
        entropy: Entropy::system(),
        declared: std::sync::Arc::default(),
        renames: std::sync::Arc::default(),
    }
}

/// A file of users has a row for a line at most, in their order, however it is broken; none is longer than a row may be.
fn csv(bytes: &[u8]) {
    let mut last = 0;
    let read = read_csv(bytes, &Columns::default(), &rules(), |batch| {
        for row in &batch.rows {
            assert!(row.place > last, "rows come in their order");
            last = row.place;
        }
        true
    });
    assert!(read.is_ok() || last <= bytes.len() as u64);
}

/// As of CSV; and no username is longer than the line that it stands in.
fn ndjson(bytes: &[u8]) {
    let mut last = 0;
    let read = read_ndjson(bytes, &rules(), |batch| {
        for row in &batch.rows {
            assert!(row.place > last, "rows come in their order");
            assert!(row.username.as_ref().is_none_or(|name| name.len() <= MAX_ROW_BYTES));
            last = row.place;
        }
        true
    });
    assert!(read.is_ok(), "bytes in memory can be read");
}

/// As of CSV, in each of the forms of other services, the parameters of hashes before the first empty line among them; and each user has
/// what it has of roles beside it.
fn export(bytes: &[u8]) {
    let rows = rules();
    let rules = ExportRules { rows: &rows, drop_second_factors: true, with_roles: true };
    let mut last = 0;
    let mut take = |batch: crate::transfer::Batch| {
        assert_eq!(batch.rows.len(), batch.grants.len());
        for row in &batch.rows {
            assert!(row.place > last, "rows come in their order");
            last = row.place;
        }
        true
    };
    match bytes.split_first() {
        Some((b'k', document)) => drop(read_keycloak([(None, Ok(document))], rules, &mut take)),
        Some((b'a', lines)) => drop(read_auth0(lines, rules, &mut take)),
        Some((b'f', rest)) => {
            let text = String::from_utf8_lossy(rest);
            let (parameters, document) = text.split_once("\n\n").unwrap_or((&text, ""));
            if let Ok(parameters) = HashConfig::parse(parameters) {
                drop(read_firebase(document.as_bytes(), &parameters, rules, &mut take));
            }
        }
        _ => {}
    }
}

/// What is taken over can be read again, and stays what it is.
fn password_hash(bytes: &[u8]) {
    let Ok(text) = str::from_utf8(bytes) else { return };
    let prehashes = Prehashes { given: None, keys: ["a".parse().expect("a name")].into() };
    if let Ok(kept) = adopt(text, ARGON2, DEFAULT_IMPORT_MAX_COST, &prehashes) {
        assert!(kept.len() <= 255, "it fits its column");
        assert_eq!(adopt(&kept, ARGON2, DEFAULT_IMPORT_MAX_COST, &prehashes).as_ref(), Ok(&kept));
    }
}

/// Whatever stands around a password, it is neither shown nor repeated in what is wrong with the URL.
fn database_url(bytes: &[u8]) {
    const SECRET: &str = "Zt7pQwX";
    let Ok(text) = str::from_utf8(bytes) else { return };
    let _ = text.parse::<Location>();
    let (around, rest) = text.split_once('\n').unwrap_or((text, "db.example/signet"));
    for scheme in ["postgres", "mysql"] {
        let url = format!("{scheme}://signet:{SECRET}{around}{SECRET}@{rest}");
        let said = match url.parse::<Location>() {
            Ok(Location::Server(server)) => format!("{server} {server:?}"),
            Ok(Location::File(path)) => panic!("{url} is the file {}", path.display()),
            Err(problem) => problem,
        };
        assert!(!said.contains(SECRET), "{url}: {said}");
    }
}

/// The canonical form of a name is its own, and so is the one that is stored; what has been accepted once is accepted again. A new name is
/// a name, and every spelling of it in its own letters is reserved if it is. Skeletons are bounded.
fn name(bytes: &[u8]) {
    let Ok(text) = str::from_utf8(bytes) else { return };
    let _ = text.parse::<ReservedNames>();
    if let Ok(name) = Username::parse(text) {
        assert!(name.canonical().len() <= 255 && name.typed() == text);
        let canonical = Username::parse(name.canonical()).expect("it is a name");
        assert_eq!(canonical.canonical(), name.canonical());
        assert_eq!(canonical.check_new(), name.check_new());
        let stored = Username::parse(name.stored()).expect("it is a name");
        assert!(stored.stored() == name.stored() && stored.canonical() == name.canonical());
        assert_eq!(Username::parse_new(text).is_ok(), name.check_new().is_ok());
        assert!(name.skeletons().iter().all(|skeleton| skeleton.len() <= 255 * 18));
        assert!(!reserved().has(&canonical) || reserved().has(&name));
    }
    if let Ok(email) = Email::parse(text) {
        assert_eq!(Email::parse(email.as_str()), Ok(email));
    }
    if let Ok(display_name) = DisplayName::parse(text) {
        assert_eq!(DisplayName::parse(display_name.as_str()), Ok(display_name));
    }
}

/// A password that an account may have can be logged in with, and is hashed from the same bytes.
fn password(bytes: &[u8]) {
    let Ok(text) = str::from_utf8(bytes) else { return };
    let login = Password::for_login(text);
    if let Ok(new) = (PasswordRules { min_chars: 8 }).check(text, None) {
        let login = login.expect("a password that was taken can be typed");
        assert!(login.prepared() == new.prepared() && login.raw() == new.raw());
    }
}

/// A set of names is read as it is written; a token, an id that has the form of one too.
fn scope(bytes: &[u8]) {
    let Ok(text) = str::from_utf8(bytes) else { return };
    if let Ok(set) = NameSet::parse(text) {
        assert_eq!(NameSet::parse(set.as_str()), Ok(set));
    }
    if let Some(token) = RefreshToken::parse(text) {
        assert_eq!(token.text(), text);
    }
    if let Ok(id) = text.parse::<SpiffeId>() {
        assert_eq!(id.as_str().parse(), Ok(id));
    }
}

#[cfg(test)]
mod tests {
    use std::{collections::BTreeSet, fs, path::Path};

    use super::*;

    /// The names of the entries of `folder`, without what follows a dot.
    fn entries(folder: &str) -> BTreeSet<String> {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join(folder);
        let entries = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
        entries.map(|path| path.file_stem().unwrap().to_str().unwrap().to_owned()).collect()
    }

    #[test]
    fn every_target_has_its_program_and_its_corpus() {
        let names: BTreeSet<String> = TARGETS.iter().map(|(name, _)| (*name).to_owned()).collect();
        assert_eq!(entries("fuzz/fuzz_targets"), names);
        assert_eq!(entries("fuzz/corpus"), names);
    }

    #[test]
    fn every_property_holds_for_the_corpus() {
        let mut replayed = 0;
        for (name, target) in TARGETS {
            target(b"");
            let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/corpus").join(name);
            for entry in fs::read_dir(folder).unwrap() {
                let path = entry.unwrap().path();
                println!("{}", path.display());
                target(&fs::read(path).unwrap());
                replayed += 1;
            }
        }
        assert!(replayed >= TARGETS.len(), "each has a corpus of its own");
    }
}
