//! Owns checking a record by itself: the rules of every field, as for an account that is made here, but for the password, of which
//! there is only the hash.

use std::{sync::Arc, time::Duration};

use serde_json::{Map, Value};
use uuid::Uuid;

use super::{Field, Reason, Record, RefusedRow, Renames, Row, moment::moment, record::is_kept};
use crate::{
    base::{Clock, Entropy, Timestamp},
    identity::passwords::{Argon2Params, Prehashes, adopt},
    model::{
        AttributeEdit, AttributeWriter, Declarations, Error, NamedAttributes, ReservedNames, RuleViolation,
        User, UserAttributes, UserId, Username,
        profile::{DisplayName, Email},
    },
    store::StoredUser,
};

/// The longest id of another system that is kept for the map of ids, in bytes.
const MAX_SOURCE_ID_BYTES: usize = 255;

/// A user who breaks no rule, and may be taken in unless another one stands in the way.
#[derive(Clone, Debug)]
pub struct Candidate {
    /// The user, with what the record leaves open filled in.
    pub user: StoredUser,
    /// Which of it the record says itself.
    pub given: Given,
    /// What the record says of attributes: all that the user shall have.
    pub attributes: Option<AttributeEdit>,
    /// Which rule of new names the username breaks, if it does: whoever has it from elsewhere keeps it.
    pub note: Option<RefusedRow>,
    /// Whether the user is inactive for the reason that the record has an empty `is_active`.
    pub is_active_empty: bool,
}

/// What a record says, other than name and password hash.
#[derive(Clone, Copy, Debug)]
#[expect(clippy::struct_excessive_bools, reason = "each field is given or not, whatever the others are")]
pub struct Given {
    /// The id: otherwise it is a new one.
    pub id: bool,
    /// The e-mail address, be it that there is none.
    pub email: bool,
    /// The name to show, be it that there is none.
    pub display_name: bool,
    /// Whether the user is active.
    pub is_active: bool,
    /// When the account was made.
    pub create_time: bool,
    /// When it last changed.
    pub update_time: bool,
    /// When the user last logged in.
    pub login_time: bool,
}

/// What a record must satisfy.
#[derive(Clone, Debug)]
pub struct RowRules {
    /// The parameters of this service's own hashes.
    pub argon2: Argon2Params,
    /// What verifying one of the other hashes may cost, by the table.
    pub import_max_cost: Duration,
    /// The prehash of the hashes, and the keys that there are.
    pub prehashes: Prehashes,
    /// What nobody may sign up with.
    pub reserved: ReservedNames,
    /// What stands for a time that a record does not say: ids that are made one after the other then lie together in the database.
    pub clock: Clock,
    /// What the ids are made of that records do not say.
    pub entropy: Entropy,
    /// Which attributes users may have.
    pub declared: Arc<Declarations>,
    /// Other names for users whose names in the source cannot come over.
    pub renames: Arc<Renames>,
}

impl RowRules {
    /// The row at `place` that holds `record`, or could not be read as one.
    #[must_use]
    pub fn row(&self, place: u64, record: Result<Record, RefusedRow>) -> Row {
        let mut record = match record {
            Ok(record) => record,
            Err(refusal) => {
                return Row { place, file: None, source_id: None, username: None, candidate: Err(refusal) };
            }
        };
        self.renames.rename(&mut record.username);
        let username = if let Field::Text(name) = &record.username { Some(name.clone()) } else { None };
        let source_id = source_id(&record.id);
        let id = Id::read(std::mem::take(&mut record.id));
        let candidate = id.and_then(|id| self.check(&id, record));
        Row { place, file: None, source_id, username, candidate }
    }

    fn check(&self, id: &Id, record: Record) -> Result<Candidate, RefusedRow> {
        let username = record.username.clone().text().map_err(|problem| refused("username", problem))?;
        let username = Username::parse(&username.unwrap_or_default()).map_err(|violation| {
            RefusedRow::new(Reason::InvalidUsername, format!("the username {}", violation.description))
        })?;
        if username.is_uuid() {
            let problem = "the username is a UUID, and so may be another user's id";
            return Err(RefusedRow::new(Reason::UsernameIsUuid, problem));
        }
        let note = self.note(&username);
        let is_active_empty = record.is_active.is_empty();
        let is_active = record.is_active.flag().map_err(|problem| refused("is_active", problem))?;
        let given = Given {
            id: matches!(id, Id::Own(_)),
            email: record.email.is_given(),
            display_name: record.display_name.is_given(),
            is_active: is_active.is_some(),
            create_time: time("create_time", &record.create_time)?.is_some(),
            update_time: time("update_time", &record.update_time)?.is_some(),
            login_time: record.login_time.is_given(),
        };
        let password_hash = self.password_hash(record.password_hash)?;
        let email = optional("email", record.email, Email::parse)?;
        let display_name = optional("display_name", record.display_name, DisplayName::parse)?;
        let attributes = named_attributes(record.attributes)?.map(AttributeEdit::replacing);
        let having = match &attributes {
            Some(edit) => attributes_by(edit, &UserAttributes::default(), &self.declared)?.0,
            None => UserAttributes::default(),
        };
        let now = self.clock.now();
        let create_time = time("create_time", &record.create_time)?.unwrap_or(now);
        let user = User {
            id: match id {
                Id::Own(id) => *id,
                // Ids stand in the order of the accounts' making, as far as that is known.
                Id::Foreign | Id::None => UserId::new(create_time.min(now), &self.entropy),
            },
            username,
            email,
            display_name,
            attributes: having,
            is_active: is_active.unwrap_or(true),
            create_time,
            update_time: time("update_time", &record.update_time)?.unwrap_or(create_time),
        };
        let login_time = time("login_time", &record.login_time)?;
        let user = StoredUser { user, password_hash, login_time };
        Ok(Candidate { user, given, attributes, note, is_active_empty })
    }

    fn password_hash(&self, field: Field) -> Result<String, RefusedRow> {
        let text = field.text().map_err(|problem| refused("password_hash", problem))?;
        let text = text.unwrap_or_default();
        adopt(&text, self.argon2, self.import_max_cost, &self.prehashes).map_err(|problem| {
            RefusedRow::new(Reason::PasswordHash(problem.name()), format!("the password hash {problem}"))
        })
    }
}

/// What stands in the field `id`.
enum Id {
    None,
    /// An id that is kept.
    Own(UserId),
    /// Another system's, such as a number. The user gets a new one.
    Foreign,
}

impl Id {
    fn read(field: Field) -> Result<Self, RefusedRow> {
        let text = match field {
            Field::Absent | Field::Null => return Ok(Self::None),
            Field::Number(_) => return Ok(Self::Foreign),
            Field::Text(text) if text.len() <= MAX_SOURCE_ID_BYTES => text,
            Field::Text(_) => return Err(refused("id", "is longer than 255 bytes")),
            Field::Flag(_) | Field::Object(_) | Field::Other => {
                return Err(refused("id", "must be a UUID, another text, or a number"));
            }
        };
        match Uuid::try_parse(&text) {
            Ok(id) if is_kept(&id) => Ok(Self::Own(UserId(id))),
            Ok(_) => Err(refused("id", "is a UUID of no version that RFC 9562 knows")),
            Err(_) => Ok(Self::Foreign),
        }
    }
}

/// The id as the source has it, whatever becomes of it: what refers to the user there does so by it.
fn source_id(field: &Field) -> Option<String> {
    match field {
        Field::Number(number) => Some(number.to_string()),
        Field::Text(text) if !text.is_empty() => Some(text.chars().take(MAX_SOURCE_ID_BYTES).collect()),
        _ => None,
    }
}

impl RowRules {
    /// Why nobody could sign up with `username`.
    fn note(&self, username: &Username) -> Option<RefusedRow> {
        if let Err(violation) = username.check_new() {
            return Some(RefusedRow::new(
                Reason::UsernameBreaksRule,
                format!("has a username that {}", violation.description),
            ));
        }
        let problem = "has a username that is reserved, or looks like one that is";
        self.reserved.has(username).then(|| RefusedRow::new(Reason::UsernameReserved, problem))
    }
}

fn refused(field: &str, problem: &str) -> RefusedRow {
    RefusedRow::new(Reason::InvalidField, format!("the {field} {problem}"))
}

/// What `edit` makes of the attributes `old`, and the names of those that it changes.
pub(super) fn attributes_by(
    edit: &AttributeEdit,
    old: &UserAttributes,
    declared: &Declarations,
) -> Result<(UserAttributes, Vec<String>), RefusedRow> {
    // Whoever imports has the shell, and so writes what administrators write.
    declared.edit(old, edit, AttributeWriter::Admin).map_err(|error| match error {
        Error::InvalidFields(broken) => {
            let rules: Vec<_> = broken.into_iter().map(|rule| rule.description).collect();
            invalid_attribute(&rules.join("; "))
        }
        other => invalid_attribute(&other.to_string()),
    })
}

/// The attributes that `field` says; none if the source has no such field.
fn named_attributes(field: Field) -> Result<Option<NamedAttributes>, RefusedRow> {
    let no_object = || invalid_attribute("must be a JSON object");
    let object: Map<String, Value> = match field {
        Field::Absent => return Ok(None),
        Field::Null => Map::new(),
        Field::Text(text) if text.is_empty() => Map::new(),
        Field::Text(text) => serde_json::from_str(&text).map_err(|_| no_object())?,
        Field::Object(object) => object,
        Field::Flag(_) | Field::Number(_) | Field::Other => return Err(no_object()),
    };
    let said = object.into_iter().filter(|(_, value)| !value.is_null());
    let named = said.map(|(name, value)| {
        let shown: String = name.chars().take(64).flat_map(char::escape_debug).collect();
        let rule =
            || format!("must have a text, a whole number, true or false, or a list of texts as `{shown}`");
        let value = serde_json::from_value(value).map_err(|_| invalid_attribute(&rule()))?;
        Ok((name, value))
    });
    named.collect::<Result<_, _>>().map(Some)
}

fn invalid_attribute(problem: &str) -> RefusedRow {
    RefusedRow::new(Reason::InvalidAttribute, format!("the attributes {problem}"))
}

/// The value of a field that may be empty, by the rule `parse`. An empty text says that there is none: CSV has no other word for it.
fn optional<T>(
    name: &str,
    field: Field,
    parse: impl Fn(&str) -> Result<T, RuleViolation>,
) -> Result<Option<T>, RefusedRow> {
    let text = field.text().map_err(|problem| refused(name, problem))?;
    let text = text.filter(|text| !text.is_empty());
    text.map(|text| parse(&text)).transpose().map_err(|violation| refused(name, &violation.description))
}

fn time(name: &str, field: &Field) -> Result<Option<Timestamp>, RefusedRow> {
    moment(field).map_err(|problem| refused(name, problem))
}
