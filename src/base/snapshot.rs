//! Owns what unit tests hold a document of the repository to: it says what the code says, and is written anew on demand.

use std::{env, fs, path::Path};

/// Asserts that the file at `path`, from the root of the repository, is `expected`; with `UPDATE_SNAPSHOTS` it is written instead. If it
/// differs, the reader is told `how` to go on.
pub(crate) fn assert_kept(path: &str, expected: &str, how: &str) {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join(path);
    if env::var_os("UPDATE_SNAPSHOTS").is_some() {
        fs::write(&file, expected).expect("the repository can be written");
        return;
    }
    let kept = fs::read_to_string(&file).unwrap_or_default();
    let differs = kept.lines().zip(expected.lines()).find(|(kept, expected)| kept != expected);
    assert!(
        kept == expected,
        "{path} does not say what the code says; the first difference: {differs:?}\n{how}"
    );
}
