//! Owns the JSON Schema of manifests, docs/manifest.schema.json, by which editors complete and check them: it is what the types say.

use std::{
    fs,
    path::{Path, PathBuf},
};

use schemars::schema_for;
use serde_json::{Value, json};

use super::Manifest;
use crate::{
    base::snapshot::assert_kept,
    identity::permissions::{GROUPS_CLAIM, ROLES_CLAIM},
};

/// Of the root of the repository.
const FILE: &str = "docs/manifest.schema.json";

/// Where a secret is.
pub(super) const SECRET_REF: &str = "^(env|file):.";
pub(super) const SPIFFE_ID: &str = "^spiffe://";

/// What `token_claims` are.
pub(super) fn token_claim() -> Value {
    json!({ "type": "string", "enum": [ROLES_CLAIM, GROUPS_CLAIM] })
}

/// The names of `all`.
pub(super) fn names<T: Copy>(all: &[T], name: fn(T) -> &'static str) -> Vec<&'static str> {
    all.iter().copied().map(name).collect()
}

fn from_root(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(path)
}

#[test]
fn the_schema_is_what_the_types_say() {
    let schema = serde_json::to_string_pretty(&schema_for!(Manifest)).unwrap() + "\n";
    assert_kept(FILE, &schema, "UPDATE_SNAPSHOTS=1 cargo test --lib schema writes it anew");
}

/// Whether `value` is what `schema`, a part of `root`, describes. Of JSON Schema it knows what is written here, and refuses to guess.
fn is_valid(root: &Value, schema: &Value, value: &Value) -> bool {
    let Some(keywords) = schema.as_object() else { return schema == &Value::Bool(true) };
    keywords.iter().all(|(keyword, said)| match keyword.as_str() {
        "$ref" => {
            is_valid(root, root.pointer(said.as_str().unwrap().trim_start_matches('#')).unwrap(), value)
        }
        "anyOf" => said.as_array().unwrap().iter().any(|one| is_valid(root, one, value)),
        "type" => match said {
            Value::Array(types) => types.iter().any(|one| is_of_type(one, value)),
            one => is_of_type(one, value),
        },
        "enum" => said.as_array().unwrap().contains(value),
        "pattern" => value.as_str().is_none_or(|text| match said.as_str().unwrap() {
            SECRET_REF => text.starts_with("env:") || text.starts_with("file:"),
            SPIFFE_ID => text.starts_with("spiffe://"),
            other => panic!("what does {other} match?"),
        }),
        "required" => value.as_object().is_none_or(|object| {
            said.as_array().unwrap().iter().all(|key| object.contains_key(key.as_str().unwrap()))
        }),
        "properties" => value.as_object().is_none_or(|object| {
            said.as_object()
                .unwrap()
                .iter()
                .all(|(key, schema)| object.get(key).is_none_or(|member| is_valid(root, schema, member)))
        }),
        "additionalProperties" => value.as_object().is_none_or(|object| {
            *said == Value::Bool(false) && object.keys().all(|key| schema["properties"].get(key).is_some())
        }),
        "items" => value.as_array().is_none_or(|items| items.iter().all(|item| is_valid(root, said, item))),
        "minProperties" => {
            value.as_object().is_none_or(|object| object.len() as u64 >= said.as_u64().unwrap())
        }
        "maxProperties" => {
            value.as_object().is_none_or(|object| object.len() as u64 <= said.as_u64().unwrap())
        }
        "$schema" | "$defs" | "title" | "description" | "default" | "format" => true,
        other => panic!("what does {other} ask for?"),
    })
}

fn is_of_type(name: &Value, value: &Value) -> bool {
    match name.as_str().unwrap() {
        "null" => value.is_null(),
        "boolean" => value.is_boolean(),
        "string" => value.is_string(),
        "array" => value.is_array(),
        "object" => value.is_object(),
        other => panic!("what is {other}?"),
    }
}

#[test]
fn the_example_is_valid_and_what_is_refused_is_not() {
    let schema = schema_for!(Manifest).to_value();
    let is_valid = |value: &Value| is_valid(&schema, &schema, value);
    let example = fs::read_to_string(from_root("examples/apply/shop.yaml")).unwrap();
    let valid = [
        example.as_str(),
        "set: a",
        "set: a\nattributes: [{name: team, type: string-list, writer: user, in_userinfo: true, description: x}]",
        "set: a\nclients: [{name: b, token_claims: [roles, groups], secret: 'file:/run/b', public_keys: {kty: EC}}]",
        "set: a\nclients: [{name: b, active: false, spiffe_id: 'spiffe://a.example/b', may_claim_address: true}]",
        "set: a\ngroups: [{name: b, members: [{id: 01900000-0000-7000-8000-000000000000, name: c}]}]",
    ];
    for text in valid {
        let value: Value = serde_saphyr::from_str(text).unwrap();
        assert!(Manifest::read(text, false).is_ok(), "{text}");
        assert!(is_valid(&value), "{text}");
    }
    for text in [
        "groups: []",
        "set: a\nroels: []",
        "set: a\nroles: [{name: b, scpoes: [c]}]",
        "set: a\nclients: [{name: b, secret: hunter2}]",
        "set: a\nattributes: [{name: b, type: date}]",
        "set: a\ngroups: [{name: b, members: [{name: c}]}]",
        "set: a\ngroups: [{name: b, members: [c]}]",
    ] {
        let value: Value = serde_saphyr::from_str(text).unwrap();
        assert!(Manifest::read(text, false).is_err(), "{text}");
        assert!(!is_valid(&value), "{text}");
    }
    let nobody = "set: a\naudiences: [{name: b, owners: [{group: c, client: d}]}]";
    assert!(!is_valid(&serde_saphyr::from_str(nobody).unwrap()), "owners are one of three each");
}
