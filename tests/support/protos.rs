//! Owns compiling protos of the tests' own, which declare who may call their methods, as `buf build` does.

use std::{fs, path::Path};

/// The descriptor set of `file`, with what it imports and with comments: it is in `dir`, and what it imports there or in the repository.
pub(crate) fn compiled(dir: &Path, file: &str) -> Vec<u8> {
    let mut compiler =
        protox::Compiler::new([dir, concat!(env!("CARGO_MANIFEST_DIR"), "/proto").as_ref()]).unwrap();
    compiler.include_imports(true).include_source_info(true).open_file(file).unwrap();
    compiler.encode_file_descriptor_set()
}

/// That of a file with `text`.
pub(crate) fn compiled_text(text: &str) -> Vec<u8> {
    let dir = tempfile::TempDir::new().unwrap();
    fs::write(dir.path().join("rules.proto"), text).unwrap();
    compiled(dir.path(), "rules.proto")
}
