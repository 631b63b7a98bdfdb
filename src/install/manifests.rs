//! Owns the files of manifests: which are read, how much of them, and the secrets that they refer to.

use std::{
    collections::HashMap,
    env::VarError,
    fs,
    io::{self, Read},
    path::{Path, PathBuf},
};

use zeroize::Zeroizing;

use super::FileProblem;
use crate::{
    config::cause,
    files::{open_input, read_text},
    identity::apply::{DevData, DevFile, Manifest, SecretRef},
};

/// How long all files together may be, in bytes.
const MAX_BYTES: usize = 4 * 1024 * 1024;

/// What is wrong with the files of a manifest, or with what they refer to; in words, beginning with the file, or with the client.
#[derive(Debug, thiserror::Error)]
pub enum ManifestProblem {
    /// One cannot be read.
    #[error("{1}")]
    Unreadable(FileProblem, String),
    /// What they say cannot be meant.
    #[error("{0}")]
    Refused(String),
    /// The environment lacks a secret.
    #[error("{0}")]
    SecretMissing(String),
}

/// The manifest in the file, or the files of the folder, `path`.
///
/// # Errors
/// What is wrong with it.
pub fn read_manifest(path: &Path) -> Result<Manifest, ManifestProblem> {
    read_all(path, Manifest::read, Manifest::add)
}

/// What the files of `signet dev`, or of folders, at `paths` say. A secret that they refer to and that is not there is made at random.
///
/// # Errors
/// What is wrong with them.
pub fn read_dev_files(paths: &[PathBuf]) -> Result<DevData, ManifestProblem> {
    let mut whole = DevFile::default();
    let add = |whole: &mut DevFile, other| {
        whole.add(other);
        Ok(())
    };
    for path in paths {
        whole.add(read_all(path, DevFile::read, add)?);
    }
    whole.into_data(|client, reference| secret(client, reference).ok()).map_err(ManifestProblem::Refused)
}

/// What the file, or the files of the folder, `path` says: each read by `read`, and put together by `add`.
fn read_all<Said>(
    path: &Path,
    read: impl Fn(&str, bool) -> Result<Said, String>,
    add: impl Fn(&mut Said, Said) -> Result<(), String>,
) -> Result<Said, ManifestProblem> {
    let (mut whole, mut left): (Option<Said>, _) = (None, MAX_BYTES);
    for file in files(path)? {
        let refused = |problem: String| ManifestProblem::Refused(format!("{}{problem}", file.display()));
        let mut text = String::new();
        let input = open_input(&file).map_err(|error| unreadable(&file, &error))?;
        let taken = input.take(left as u64 + 1).read_to_string(&mut text);
        taken.map_err(|error| unreadable(&file, &error))?;
        left = left
            .checked_sub(text.len())
            .ok_or_else(|| refused(": all files together must have at most 4 MiB".to_owned()))?;
        let is_json = file.extension().is_some_and(|extension| extension == "json");
        let one = read(&text, is_json).map_err(refused)?;
        match &mut whole {
            None => whole = Some(one),
            Some(whole) => add(whole, one).map_err(|problem| refused(format!(": {problem}")))?,
        }
    }
    whole.ok_or_else(|| {
        ManifestProblem::Refused(format!("{}: holds no *.yaml, *.yml or *.json", path.display()))
    })
}

fn unreadable(path: &Path, error: &io::Error) -> ManifestProblem {
    unusable(error, &format!("{}:", path.display()), path)
}

/// Of what `of` says, the file `path` cannot be read.
fn unusable(error: &io::Error, of: &str, path: &Path) -> ManifestProblem {
    let sentence = format!("{of} cannot be read: {}", cause(path, error));
    ManifestProblem::Unreadable(FileProblem::of(error), sentence)
}

/// The files that `path` stands for, in the order in which they are read.
fn files(path: &Path) -> Result<Vec<PathBuf>, ManifestProblem> {
    if !path.is_dir() {
        return Ok(vec![path.to_owned()]);
    }
    let unreadable = |error: io::Error| unreadable(path, &error);
    let mut files = Vec::new();
    for entry in fs::read_dir(path).map_err(unreadable)? {
        let file = entry.map_err(unreadable)?.path();
        let extension = file.extension().and_then(|extension| extension.to_str());
        if matches!(extension, Some("yaml" | "yml" | "json")) && !file.is_dir() {
            files.push(file);
        }
    }
    files.sort();
    Ok(files)
}

/// The secrets that `manifest` refers to, by the names of their clients.
///
/// # Errors
/// Which is not there, or cannot be read.
pub fn manifest_secrets(manifest: &Manifest) -> Result<HashMap<String, Zeroizing<String>>, ManifestProblem> {
    let mut secrets = HashMap::new();
    for client in &manifest.clients {
        if let Some(reference) = &client.secret {
            secrets.insert(client.name.clone(), secret(&client.name, reference)?);
        }
    }
    Ok(secrets)
}

/// The secret of `client`, which is where `reference` says.
fn secret(client: &str, reference: &SecretRef) -> Result<Zeroizing<String>, ManifestProblem> {
    let sentence = |problem: &str| format!("the client `{client}`: {reference} {problem}");
    let missing = |problem| ManifestProblem::SecretMissing(sentence(problem));
    let text = match reference {
        SecretRef::Env(name) => match std::env::var(name).map(Zeroizing::new) {
            // What is empty counts as not set, as a file of Compose has it that names a variable which is not there.
            Ok(text) if !text.is_empty() => text,
            Err(VarError::NotUnicode(_)) => return Err(missing("is not UTF-8 in the environment")),
            Ok(_) | Err(VarError::NotPresent) => return Err(missing("is not set in the environment")),
        },
        SecretRef::File(path) => {
            let path = Path::new(path);
            let of = format!("the client `{client}`: {reference}");
            read_text(path).map_err(|error| unusable(&error, &of, path))?
        }
    };
    Ok(Zeroizing::new(text.trim_end_matches(['\n', '\r']).to_owned()))
}
