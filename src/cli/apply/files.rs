//! Owns the files of manifests: which are read, how much of them, and where one is wrong.

use std::{
    fs,
    io::Read,
    path::{Path, PathBuf},
};

use serde_saphyr::{DuplicateKeyPolicy, Options};

use crate::{cli::Failure, files::open_input, identity::apply::{Manifest, nearest}};

/// How long all files together may be, in bytes.
const MAX_BYTES: usize = 4 * 1024 * 1024;

/// How many events of its parser a file may have, and how many an alias may repeat: some for each byte that is read, not for each that is
/// meant.
const MAX_EVENTS: usize = 2_000_000;
const MAX_REPEATED: usize = 100_000;

/// The manifest in the file, or the files of the folder, `path`.
pub(super) fn read(path: &Path) -> Result<Manifest, Failure> {
    let (mut whole, mut left): (Option<Manifest>, _) = (None, MAX_BYTES);
    for file in files(path)? {
        let refused = |problem: String| Failure::Usage(format!("{}{problem}", file.display()));
        let mut text = String::new();
        let input = open_input(&file).map_err(|error| refused(format!(": cannot be read: {error}")))?;
        let read = input.take(left as u64 + 1).read_to_string(&mut text);
        read.map_err(|error| refused(format!(": cannot be read: {error}")))?;
        left = left
            .checked_sub(text.len())
            .ok_or_else(|| refused(": all files together must have at most 4 MiB".to_owned()))?;
        let one = parse(&text, is_json(&file)).map_err(refused)?;
        match &mut whole {
            None => whole = Some(one),
            Some(whole) if whole.set == one.set => add(whole, one),
            Some(whole) => {
                let (set, other) = (one.set.as_str(), whole.set.as_str());
                return Err(refused(format!(": is of the set `{set}`, and the files before of `{other}`")));
            }
        }
    }
    whole.ok_or_else(|| Failure::Usage(format!("{}: holds no *.yaml, *.yml or *.json", path.display())))
}

/// `manifest` as text.
pub(super) fn text(manifest: &Manifest, as_json: bool) -> Result<String, Failure> {
    let failed = |problem: String| Failure::Failed(format!("the manifest cannot be written: {problem}"));
    if as_json {
        let text = serde_json::to_string_pretty(manifest).map_err(|error| failed(error.to_string()))?;
        return Ok(format!("{text}\n"));
    }
    serde_saphyr::to_string(manifest).map_err(|error| failed(error.to_string()))
}

/// The files that `path` stands for, in the order in which they are read.
fn files(path: &Path) -> Result<Vec<PathBuf>, Failure> {
    if !path.is_dir() {
        return Ok(vec![path.to_owned()]);
    }
    let unreadable =
        |error: std::io::Error| Failure::Usage(format!("{}: cannot be read: {error}", path.display()));
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

fn is_json(file: &Path) -> bool {
    file.extension().is_some_and(|extension| extension == "json")
}

/// The manifest that `text` is, or what is wrong with it: `:LINE:COLUMN: ...`.
fn parse(text: &str, is_json: bool) -> Result<Manifest, String> {
    if is_json {
        return serde_json::from_str(text).map_err(|error| {
            format!(":{}:{}: {}", error.line(), error.column(), in_words(&error.to_string()))
        });
    }
    let mut options = Options::default();
    options.with_snippet = false;
    options.duplicate_keys = DuplicateKeyPolicy::Error;
    options.alias_limits.max_total_replayed_events = MAX_REPEATED;
    if let Some(budget) = &mut options.budget {
        budget.max_events = MAX_EVENTS;
        budget.max_documents = 1;
    }
    serde_saphyr::from_str_with_options(text, options).map_err(|error| {
        let problem = in_words(&error.without_snippet().to_string());
        match error.location() {
            Some(at) => format!(":{}:{}: {problem}", at.line(), at.column()),
            None => format!(": {problem}"),
        }
    })
}

/// What a parser says, without the place, which is told before it, and with the name that is meant where an unknown one was written.
fn in_words(said: &str) -> String {
    let said = said.rsplit_once(" at line ").map_or(said, |(problem, _)| problem);
    let said = said.split(", set DuplicateKeyPolicy").next().unwrap_or(said);
    let meant = || {
        let (unknown, rest) = said.strip_prefix("unknown field `")?.split_once('`')?;
        let (_, known) = rest.split_once("expected ")?;
        let known = known.trim_start_matches("one of ").split([',', ' ']).map(|name| name.trim_matches('`'));
        let nearest = nearest(unknown, known.filter(|name| !name.is_empty()))?;
        Some(format!("unknown field `{unknown}`: is `{nearest}` meant?"))
    };
    meant().unwrap_or_else(|| said.to_owned())
}

/// Adds what `other` names to `whole`.
fn add(whole: &mut Manifest, other: Manifest) {
    whole.attributes.extend(other.attributes);
    whole.audiences.extend(other.audiences);
    whole.clients.extend(other.clients);
    whole.roles.extend(other.roles);
    whole.groups.extend(other.groups);
    whole.bindings.extend(other.bindings);
}

#[cfg(test)]
mod tests {
    use std::fmt::Write;

    use super::*;

    #[test]
    fn an_unknown_key_is_told_with_its_place_and_the_nearest_in_both_forms() {
        let yaml = "set: shop\nroles:\n  - name: picker\n    scpoes: [a]\n";
        assert_eq!(parse(yaml, false).unwrap_err(), ":4:5: unknown field `scpoes`: is `scopes` meant?");
        let json = r#"{"set": "shop", "rolls": []}"#;
        let said = parse(json, true).unwrap_err();
        assert!(
            said.starts_with(":1:") && said.ends_with("unknown field `rolls`: is `roles` meant?"),
            "{said}"
        );
    }

    #[test]
    fn what_repeats_itself_without_end_is_refused() {
        let mut bomb = "a0: &a0 [x, x]\n".to_owned();
        for n in 1..40 {
            let last = n - 1;
            let _ = writeln!(bomb, "a{n}: &a{n} [*a{last}, *a{last}]");
        }
        assert!(parse(&bomb, false).is_err());
        assert!(parse("set: shop\nset: shop\n", false).is_err(), "twice");
        assert!(parse(r#"{"set": "shop", "set": "shop"}"#, true).is_err(), "twice");
        assert!(parse("set: a\n---\nset: b\n", false).is_err(), "two documents");
    }
}
