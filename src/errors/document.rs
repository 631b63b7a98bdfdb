//! Owns comparing the rows with what else says them: the proto, docs/ERRORS.md, and the examples of the tests.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::Path,
};

use prost::Message as _;
use prost_types::FileDescriptorSet;
use tonic::Code;

use super::{Row, examples, field_reason};
use crate::{
    base::snapshot::assert_kept,
    model::{Error, FieldReason},
    proto::DESCRIPTOR_SET,
};

const DOCUMENT: &str = "docs/ERRORS.md";

/// How the lines of the table begin: a reason, or none.
const BEGINNINGS: [&str; 2] = ["| `", "| none "];

/// Where the values of an enum stand in a descriptor: `FileDescriptorProto.enum_type`, `EnumDescriptorProto.value`.
const ENUM_TYPE: i32 = 5;
const VALUE: i32 = 2;

/// The names of the proto's enum `name` without their prefix, each with its comment; without the one that is never sent.
fn values(name: &str, prefix: &str) -> BTreeMap<String, String> {
    let set = FileDescriptorSet::decode(DESCRIPTOR_SET).unwrap();
    let file = set.file.iter().find(|file| file.name().ends_with("/error_reason.proto")).unwrap();
    let (at, reasons) = (0..).zip(&file.enum_type).find(|(_, found)| found.name() == name).unwrap();
    let locations = &file.source_code_info.as_ref().unwrap().location;
    let comment = |value| {
        let path = [ENUM_TYPE, at, VALUE, value];
        let location = locations.iter().find(|location| location.path == path).unwrap();
        location.leading_comments().split_whitespace().collect::<Vec<_>>().join(" ")
    };
    let value = |(at, value): (i32, &prost_types::EnumValueDescriptorProto)| {
        (value.name().strip_prefix(prefix).unwrap().to_owned(), comment(at))
    };
    (0..).zip(&reasons.value).skip(1).map(value).collect()
}

fn reasons() -> BTreeMap<String, String> {
    values("ErrorReason", "ERROR_REASON_")
}

/// `code` as specifications write it: `INVALID_ARGUMENT`.
fn code_name(code: Code) -> String {
    let mut name = String::new();
    for c in format!("{code:?}").chars() {
        if c.is_uppercase() && !name.is_empty() {
            name.push('_');
        }
        name.push(c.to_ascii_uppercase());
    }
    name
}

/// The line of the table for `error`, with the text that `known` has for its reason, or else the first sentence of the proto.
fn line(error: &Error, known: &BTreeMap<String, String>, reasons: &BTreeMap<String, String>) -> String {
    let row = Row::of(error);
    let code = code_name(row.code);
    let reason = row.reason().map_or_else(|| "none".to_owned(), |reason| format!("`{reason}`"));
    let mut details = Vec::new();
    if matches!(error, Error::InvalidFields(_)) {
        details.push("`BadRequest`".to_owned());
    }
    details.extend(row.metadata.iter().map(|(key, _)| format!("metadata `{key}`")));
    details.extend(row.retry_after.map(|_| "`RetryInfo`".to_owned()));
    let of_proto = || {
        let comment = reasons.get(row.reason()?)?;
        let text = comment.strip_prefix(&format!("{code}. "))?;
        Some(text.split_once(". ").map_or(text.trim_end_matches('.'), |(first, _)| first).to_owned())
    };
    let when = known.get(&reason).cloned().or_else(of_proto).unwrap_or_default();
    assert!(!when.is_empty(), "{reason}: its comment in the proto must begin with `{code}. `");
    let (details, oauth) = (details.join(", "), row.oauth.name());
    let cells =
        [&reason, &format!("`{code}`"), &row.http_status.to_string(), &format!("`{oauth}`"), &details];
    let cells: Vec<_> = cells.iter().map(|cell| cell.as_str()).collect();
    format!("| {} | {when} |", cells.join(" | "))
}

#[test]
fn the_document_says_what_the_rows_say() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(DOCUMENT);
    let document = fs::read_to_string(&path).unwrap();
    let is_row = |line: &str| BEGINNINGS.iter().any(|beginning| line.starts_with(beginning));
    let known = document.lines().filter(|line| is_row(line)).map(|line| {
        let cells: Vec<_> = line.trim_start_matches("| ").trim_end_matches(" |").split(" | ").collect();
        (cells[0].to_owned(), cells[cells.len() - 1].to_owned())
    });
    let (known, reasons) = (known.collect(), reasons());
    let released = examples().into_iter().filter(|error| Row::of(error).is_released());
    let mut rows: Vec<_> = released.map(|error| line(&error, &known, &reasons)).collect();
    rows.dedup();

    let before: Vec<_> = document.lines().take_while(|line| !is_row(line)).collect();
    let after = document.lines().skip(before.len()).skip_while(|line| is_row(line));
    let lines = before.iter().copied().chain(rows.iter().map(String::as_str)).chain(after);
    let expected = lines.collect::<Vec<_>>().join("\n") + "\n";
    let how = "Errors are an interface. If the change is meant, look at it in the diff that this makes:\n\
               UPDATE_SNAPSHOTS=1 cargo test --lib errors";
    assert_kept(DOCUMENT, &expected, how);
}

#[test]
fn every_reason_of_the_proto_is_that_of_one_row() {
    let examples = examples();
    let (released, unreleased): (Vec<_>, Vec<_>) = examples.iter().map(Row::of).partition(Row::is_released);
    let names = |rows: &[Row<'_>]| {
        let mut names: Vec<_> = rows.iter().filter_map(Row::reason).collect();
        names.sort_unstable();
        names
    };
    let reasons = reasons();
    assert_eq!(names(&released), reasons.keys().collect::<Vec<_>>());
    assert_eq!(
        super::reasons().collect::<BTreeSet<_>>(),
        reasons.keys().map(String::as_str).collect::<BTreeSet<_>>()
    );
    let names = names(&unreleased);
    assert!(names.windows(2).all(|pair| pair[0] != pair[1]), "each in one row alone: {names:?}");
    let promised: Vec<_> = names.iter().filter(|name| reasons.contains_key(**name)).collect();
    assert!(promised.is_empty(), "in the proto, so released: {promised:?}");
}

#[test]
fn every_error_has_an_example() {
    let source = include_str!("../model/error.rs");
    let (of_enum, _) = source.split_once("\nimpl Error {").unwrap();
    assert_eq!(examples().len(), of_enum.matches("\n    #[error(").count());
}

#[test]
fn the_proto_says_the_code_of_each_reason() {
    let reasons = reasons();
    for error in examples() {
        let row = Row::of(&error);
        let Some(reason) = row.reason().filter(|_| row.is_released()) else { continue };
        let (code, comment) = (code_name(row.code), &reasons[reason]);
        let rest = comment.strip_prefix(&code).unwrap_or_else(|| panic!("{reason}: {code}, not {comment}"));
        assert!(rest.starts_with(['.', ';']), "{reason}: {code}, not {comment}");
    }
}

#[test]
fn every_reason_of_the_proto_is_that_of_one_rule_for_fields() {
    let mut of_model = [
        FieldReason::Required,
        FieldReason::TooShort,
        FieldReason::TooLong,
        FieldReason::ForbiddenCharacter,
        FieldReason::Malformed,
        FieldReason::PasswordCommon,
        FieldReason::PasswordIsUsername,
        FieldReason::NotUpdatable,
        FieldReason::UnknownField,
    ]
    .map(field_reason);
    of_model.sort_unstable();
    assert_eq!(Vec::from(of_model), values("FieldReason", "FIELD_REASON_").into_keys().collect::<Vec<_>>());
}

#[test]
fn nobody_is_refused_and_asked_to_try_again() {
    for error in examples() {
        let row = Row::of(&error);
        assert!(row.retry_after.is_none() || !row.is_refusal(), "{error:?}");
    }
}
