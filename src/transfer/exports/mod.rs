//! Owns the exports of other identity services, read as they are: which of a user comes over, and what does not.

mod auth0;
mod document;
mod firebase;
mod keycloak;
mod realm;

use std::{collections::BTreeMap, path::Path, sync::Arc};

use serde::{Deserialize, Deserializer};
use serde_json::Value;

use super::{BATCH, Batch, Field, Reason, Record, RefusedRow, RowRules};

pub use auth0::read_auth0;
pub use firebase::{HashConfig, read_firebase};
pub use keycloak::{keycloak_files, keycloak_realm, read_keycloak};
pub use realm::{Grants, Realm, RealmRole};

/// How the users of an export are read.
#[derive(Clone, Copy, Debug)]
pub struct ExportRules<'a> {
    /// What a record must satisfy.
    pub rows: &'a RowRules,
    /// Whether users who have a second factor come over without it. Otherwise they are refused: the password alone would do here.
    pub drop_second_factors: bool,
    /// Whether what users have of roles and groups comes with them.
    pub with_roles: bool,
}

/// Whether a user of an export has a second factor.
#[derive(Clone, Copy, Default, PartialEq, Eq)]
enum SecondFactor {
    /// The export does not say it.
    #[default]
    Unsaid,
    None,
    Has,
}

impl SecondFactor {
    /// Of a user who has `count` of them, if the export says how many.
    const fn counted(count: Option<&Count>) -> Self {
        match count {
            None => Self::Unsaid,
            Some(Count(0)) => Self::None,
            Some(_) => Self::Has,
        }
    }
}

/// A user of an export.
#[derive(Default)]
struct Exported {
    record: Record,
    second_factor: SecondFactor,
    /// Whether the user is to choose another password: somebody else may know this one.
    is_password_temporary: bool,
    grants: Grants,
    /// The kinds of what the user has there and has not here, each with how many.
    not_taken: Vec<(&'static str, u64)>,
}

impl Exported {
    /// Notes how many of each of the `kinds` are not taken, and how many of `others` that are not `of_no_matter` say something.
    fn leave(&mut self, kinds: &[(&'static str, usize)], others: &Others, of_no_matter: &[&str]) {
        let matters = |name: &str| !of_no_matter.contains(&name);
        let others = others.iter().filter(|(name, count)| matters(name) && count.0 > 0).count();
        let all = kinds.iter().copied().chain([("other_members", others)]);
        self.not_taken.extend(all.map(|(kind, count)| (kind, count as u64)));
    }

    /// Why the user does not come over, if the export is the reason.
    fn refusal(&self, rules: ExportRules<'_>) -> Option<RefusedRow> {
        let Self { record, second_factor, is_password_temporary, .. } = self;
        let has_no_password = !record.password_hash.is_given() || record.password_hash.is_empty();
        let is_kept = |factor| *second_factor == factor && !rules.drop_second_factors;
        let (reason, problem) = if is_kept(SecondFactor::Has) {
            let problem = "has a second factor, which does not come over: --drop-second-factors lets the password alone do";
            (Reason::SecondFactor, problem)
        } else if has_no_password {
            (Reason::NoPassword, "has no password there: it logs in by another service, or never has")
        } else if is_kept(SecondFactor::Unsaid) {
            let problem =
                "is not said to have no second factor: --drop-second-factors lets the password alone do";
            (Reason::SecondFactor, problem)
        } else if *is_password_temporary {
            let problem =
                "is to choose another password there, since others may know this one: have it do so first";
            (Reason::PasswordTemporary, problem)
        } else {
            return None;
        };
        Some(RefusedRow::new(reason, problem))
    }
}

/// The batches that are made of an export's users.
struct Batches<'a, T> {
    rules: ExportRules<'a>,
    batch: Batch,
    place: u64,
    /// The file that is read, where there are several, and how many users it has had.
    file: Option<(Arc<str>, u64)>,
    take: T,
}

impl<'a, T: FnMut(Batch) -> bool> Batches<'a, T> {
    fn new(rules: ExportRules<'a>, take: T) -> Self {
        Self { rules, batch: Batch::default(), place: 0, file: None, take }
    }

    /// From now on users are those of `file`, if the export is several.
    fn begin_file(&mut self, file: Option<&Path>) {
        self.file = file.map(|file| (file.display().to_string().into(), 0));
    }

    /// Takes the next user, who could not be read if it `is` none; `bytes` of the input are read. False if no more are wanted.
    fn push(&mut self, is: Result<Exported, RefusedRow>, bytes: u64) -> bool {
        self.place += 1;
        self.push_at(self.place, is, bytes)
    }

    /// The same, at the place that is said.
    fn push_at(&mut self, place: u64, is: Result<Exported, RefusedRow>, bytes: u64) -> bool {
        let mut row = match is {
            Ok(exported) => {
                let refusal = exported.refusal(self.rules);
                let Exported { record, second_factor, grants, mut not_taken, .. } = exported;
                if self.rules.with_roles {
                    self.batch.grants.push(grants);
                } else {
                    not_taken.extend([
                        ("memberships", grants.groups.len() as u64),
                        ("bindings", grants.roles.len() as u64),
                    ]);
                }
                for (kind, count) in not_taken.into_iter().filter(|(_, count)| *count > 0) {
                    *self.batch.not_taken.entry(kind).or_default() += count;
                }
                if second_factor == SecondFactor::Has && self.rules.drop_second_factors {
                    *self.batch.not_taken.entry("second_factors").or_default() += 1;
                }
                let mut row = self.rules.rows.row(place, Ok(named_by_address(record)));
                if let Some(refusal) = refusal {
                    row.candidate = Err(refusal);
                }
                row
            }
            Err(refusal) => {
                self.batch.grants.extend(self.rules.with_roles.then(Grants::default));
                self.rules.rows.row(place, Err(refusal))
            }
        };
        if let Some((_, number)) = &mut self.file {
            *number += 1;
        }
        row.file.clone_from(&self.file);
        self.batch.rows.push(row);
        self.batch.rows.len() < BATCH || self.flush(bytes)
    }

    /// Counts what is no user.
    fn count(&mut self, kind: &'static str) {
        *self.batch.not_taken.entry(kind).or_default() += 1;
    }

    /// Hands over what is left of the last batch.
    fn flush(&mut self, bytes: u64) -> bool {
        self.batch.bytes = bytes;
        (self.take)(std::mem::take(&mut self.batch))
    }
}

/// The record, with the e-mail address for a name if it has none.
fn named_by_address(mut record: Record) -> Record {
    if !record.username.is_given() || record.username.is_empty() {
        record.username = record.email.clone();
    }
    record
}

/// How many things a user has of a kind, in whatever form they are.
#[derive(Default)]
struct Count(usize);

impl<'de> Deserialize<'de> for Count {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Ok(Self(match Value::deserialize(deserializer)? {
            Value::Null | Value::Bool(false) => 0,
            Value::Array(all) => all.len(),
            Value::Object(all) => all.len(),
            Value::String(text) => usize::from(!text.is_empty()),
            Value::Bool(true) | Value::Number(_) => 1,
        }))
    }
}

/// A member of any type, as a field.
#[derive(Default)]
struct Any(Field);

impl<'de> Deserialize<'de> for Any {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Value::deserialize(deserializer).map(|value| Self(value.into()))
    }
}

impl Any {
    /// The truth value the other way round, where a member says who may *not* log in: nobody of whom nothing is said.
    fn opposite(self) -> Field {
        match self.0 {
            Field::Absent | Field::Null => Field::Flag(true),
            Field::Flag(flag) => Field::Flag(!flag),
            other => Field::Text(format!("{other:?}")),
        }
    }
}

/// The members that nothing reads: each has something in it, or is not counted.
type Others = BTreeMap<String, Count>;

/// The name to show of somebody who has two.
fn full_name(given: Option<String>, family: Option<String>) -> Field {
    let parts = [given, family].into_iter().flatten().map(|part| part.trim().to_owned());
    let name = parts.filter(|part| !part.is_empty()).collect::<Vec<_>>().join(" ");
    if name.is_empty() { Field::Null } else { Field::Text(name) }
}

/// `value` as a user, or that it is none.
fn user_of<T: for<'de> Deserialize<'de>>(value: Value) -> Result<T, RefusedRow> {
    serde_json::from_value(value)
        .map_err(|_| RefusedRow::new(Reason::MalformedRow, "is no user as this service exports them"))
}
