//! Owns manifests as text: YAML and JSON, and where one is wrong.

use serde::de::DeserializeOwned;
use serde_saphyr::{DuplicateKeyPolicy, Options};

use super::{Manifest, text::nearest};

/// How many events of its parser a file may have, and how many an alias may repeat: some for each byte that is read, not for each that is
/// meant.
const MAX_EVENTS: usize = 2_000_000;
const MAX_REPEATED: usize = 100_000;

/// How many values, lists and mappings a file may have: more than 5,000 changes need.
const MAX_NODES: usize = 250_000;

impl Manifest {
    /// The manifest that `text` is.
    ///
    /// # Errors
    /// What is wrong with it, and where: `:LINE:COLUMN: ...`.
    pub fn read(text: &str, is_json: bool) -> Result<Self, String> {
        parse(text, is_json)
    }

    /// It as text.
    ///
    /// # Errors
    /// Why it cannot be written: a defect.
    pub fn write(&self, as_json: bool) -> Result<String, String> {
        if as_json {
            let text = serde_json::to_string_pretty(self).map_err(|error| error.to_string())?;
            return Ok(format!("{text}\n"));
        }
        serde_saphyr::to_string(self).map_err(|error| error.to_string())
    }

    /// Adds what `other` names, which is a part of the same set.
    ///
    /// # Errors
    /// That it is another set's.
    pub fn add(&mut self, other: Self) -> Result<(), String> {
        let Self { set, attributes, audiences, clients, roles, groups, bindings } = other;
        if set != self.set {
            let (set, other) = (set.as_str(), self.set.as_str());
            return Err(format!("is of the set `{set}`, and the files before of `{other}`"));
        }
        self.attributes.extend(attributes);
        self.audiences.extend(audiences);
        self.clients.extend(clients);
        self.roles.extend(roles);
        self.groups.extend(groups);
        self.bindings.extend(bindings);
        Ok(())
    }
}

/// What `text` says.
///
/// # Errors
/// What is wrong with it, and where: `:LINE:COLUMN: ...`.
pub(super) fn parse<Said: DeserializeOwned>(text: &str, is_json: bool) -> Result<Said, String> {
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
        budget.max_nodes = MAX_NODES;
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
    if let Some((_, limit)) = said.split_once("budget breached: ") {
        return too_much(limit);
    }
    let meant = || {
        let (unknown, rest) = said.strip_prefix("unknown field `")?.split_once('`')?;
        let (_, known) = rest.split_once("expected ")?;
        let known = known.trim_start_matches("one of ").split([',', ' ']).map(|name| name.trim_matches('`'));
        let nearest = nearest(unknown, known.filter(|name| !name.is_empty()))?;
        Some(format!("unknown field `{unknown}`: is `{nearest}` meant?"))
    };
    meant().unwrap_or_else(|| said.to_owned())
}

/// That a file has too much of what the parser calls `limit`.
fn too_much(limit: &str) -> String {
    match limit.split([' ', '{']).next().unwrap_or_default() {
        "Nodes" => {
            format!("has more than {MAX_NODES} values, lists and mappings: split it into several files")
        }
        "Documents" => "must be one YAML document".to_owned(),
        "Depth" => "is nested too deeply".to_owned(),
        _ => "is more than is read of a YAML file: split it into several files".to_owned(),
    }
}

/// What is read is written, in both forms, as text that is read as the same; but for public keys, which are whatever they are.
#[cfg(any(fuzzing, test))]
pub(crate) fn fuzz(bytes: &[u8]) {
    let Ok(text) = str::from_utf8(bytes) else { return };
    for is_json in [false, true] {
        let Ok(mut manifest) = Manifest::read(text, is_json) else { continue };
        for client in &mut manifest.clients {
            client.public_keys = None;
        }
        for as_json in [false, true] {
            let written = manifest.write(as_json).expect("it can be written");
            let again = Manifest::read(&written, as_json);
            let again = again.unwrap_or_else(|problem| panic!("{written}{problem}"));
            assert_eq!(again.write(as_json), Ok(written));
        }
    }
}

#[cfg(test)]
mod tests {
    use std::fmt::Write;

    use super::*;

    fn refused(text: &str, is_json: bool) -> String {
        Manifest::read(text, is_json).map(|_| ()).unwrap_err()
    }

    #[test]
    fn an_unknown_key_is_told_with_its_place_and_the_nearest_in_both_forms() {
        let yaml = "set: shop\nroles:\n  - name: picker\n    scpoes: [a]\n";
        assert_eq!(refused(yaml, false), ":4:5: unknown field `scpoes`: is `scopes` meant?");
        let json = r#"{"set": "shop", "rolls": []}"#;
        let said = refused(json, true);
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
        assert!(Manifest::read(&bomb, false).is_err());
        assert!(Manifest::read("set: shop\nset: shop\n", false).is_err(), "twice");
        assert!(Manifest::read(r#"{"set": "shop", "set": "shop"}"#, true).is_err(), "twice");
        assert!(Manifest::read("set: a\n---\nset: b\n", false).is_err(), "two documents");
    }

    #[test]
    fn what_is_too_much_is_told_in_a_plain_sentence() {
        let many = format!("set: shop\ngroups:\n{}", "- {name: a}\n".repeat(MAX_NODES / 3 + 1));
        let said = refused(&many, false);
        let plain = "has more than 250000 values, lists and mappings: split it into several files";
        assert!(said.ends_with(plain), "{said}");
        assert_eq!(too_much("Nodes { nodes: 250001 }"), plain);
        assert_eq!(too_much("Documents { documents: 2 }"), "must be one YAML document");
    }

    #[test]
    fn a_key_that_is_near_none_is_told_with_those_that_there_are() {
        let said = refused("set: shop\nzzz: []\n", false);
        assert!(said.starts_with(":2:1: unknown field `zzz`, expected one of set, attributes, "), "{said}");
    }

    #[test]
    fn what_belongs_to_another_set_is_not_added() {
        let mut whole = Manifest::read("set: shop\ngroups: [{name: night}]\n", false).unwrap();
        let other = Manifest::read("set: bar\n", false).unwrap();
        assert_eq!(whole.add(other), Err("is of the set `bar`, and the files before of `shop`".to_owned()));
        whole.add(Manifest::read(r#"{"set": "shop", "groups": [{"name": "day"}]}"#, true).unwrap()).unwrap();
        let names: Vec<_> = whole.groups.iter().map(|group| group.name.as_str()).collect();
        assert_eq!(names, ["night", "day"]);
    }

    #[test]
    fn any_name_is_read_as_it_was_written() {
        proptest::proptest!(|(name in ".*", reference in "(env|file):.+")| {
            let text = serde_json::json!({
                "set": "shop",
                "clients": [{ "name": name, "secret": reference }],
                "bindings": [{ "role": "auditor", "client": name }],
            });
            fuzz(text.to_string().as_bytes());
        });
    }
}
