//! Owns what an operator declares of attributes of users, and by which rules a user has them.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
};

use uuid::Uuid;

use super::{
    AttributeId, Description, Error, Etag, FieldReason, RuleViolation,
    attribute::{AttributeValue, NamedAttributes},
    client::check_name,
    named::named,
    user_attributes::{Understood, UserAttributes},
};
use crate::base::Timestamp;

/// How many attributes can be declared: each login reads by them what a token says.
pub const MAX_DECLARED: u64 = 100;

/// How many attributes a user has at most. Of those that users may write, a user writes half of that.
pub const USER_MAX_ATTRIBUTES: usize = 32;

/// How long a user's attributes are at most, names included, as JSON, in bytes. Of those that users may write, a user writes half of that.
pub const USER_MAX_BYTES: usize = 4_096;

/// The largest number, and the least but for its sign: up to here every reader of JSON is exact (RFC 8259 section 6).
const MAX_INTEGER: i64 = (1 << 53) - 1;

/// The field of a request that has a user's attributes.
pub const FIELD: &str = "user.attributes";

named! {
    /// What the values of an attribute are.
    AttributeType {
        /// Texts.
        String = "string",
        /// Whole numbers.
        Integer = "integer",
        /// Yes or no.
        Boolean = "boolean",
        /// Lists of texts.
        StringList = "string-list",
    }
}

named! {
    /// Who may write an attribute of a user.
    AttributeWriter {
        /// Administrators alone.
        Admin = "admin",
        /// The user too.
        User = "user",
    }
}

/// An attribute's name, which no other attribute has.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct AttributeName(String);

/// Who writes an attribute, and whether tokens say it: services believe tokens, so none says what users write themselves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AttributeSource {
    /// Administrators alone write it.
    Administrators {
        /// Whether users' access tokens say it.
        in_tokens: bool,
    },
    /// Users write it, too.
    Users,
}

/// Where an attribute is said.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AttributeUses {
    /// Who writes it, and whether tokens say it.
    pub source: AttributeSource,
    /// Whether the userinfo endpoint says it.
    pub in_userinfo: bool,
    /// Whether it is said to who asks what a token is worth.
    pub in_introspection: bool,
}

/// What is declared of an attribute. Its name, its type and who writes it stay: what users have written shall not be taken for what an
/// administrator has.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AttributeDeclaration {
    /// Never changes, never used again.
    pub id: AttributeId,
    /// What it is called.
    pub name: AttributeName,
    /// What its values are.
    pub kind: AttributeType,
    /// Who may write it, and where it is said.
    pub uses: AttributeUses,
    /// What it is for.
    pub description: Description,
    /// When it was declared.
    pub create_time: Timestamp,
    /// When it last changed.
    pub update_time: Timestamp,
}

/// All that are declared.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Declarations {
    known: Vec<AttributeDeclaration>,
    /// The ids of those that only a later release understands: what users have of them stays as it is.
    of_later_releases: BTreeSet<Uuid>,
}

/// How a user's attributes are changed, by their names.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AttributeEdit {
    /// Whether all others that the writer may write are taken away.
    pub replaces: bool,
    /// Those that are set, or, without a value, taken away.
    pub values: BTreeMap<String, Option<AttributeValue>>,
}

impl AttributeName {
    /// Checks the form of `text`: that of a client's name.
    ///
    /// # Errors
    /// The rule that `text` breaks.
    pub fn parse(text: &str) -> Result<Self, RuleViolation> {
        check_name(text)?;
        Ok(Self(text.to_owned()))
    }

    /// A name that was checked before it was stored.
    pub(crate) const fn from_stored(text: String) -> Self {
        Self(text)
    }

    /// The name.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl AttributeType {
    /// The type of this name; none for one of a later release.
    #[must_use]
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.iter().copied().find(|kind| kind.name() == name)
    }

    /// Whether `value` is of this type.
    #[must_use]
    pub const fn has(self, value: &AttributeValue) -> bool {
        matches!(
            (self, value),
            (Self::String, AttributeValue::String(_))
                | (Self::Integer, AttributeValue::Integer(_))
                | (Self::Boolean, AttributeValue::Boolean(_))
                | (Self::StringList, AttributeValue::StringList(_))
        )
    }
}

impl AttributeWriter {
    /// The one of this name; none for one of a later release.
    #[must_use]
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.iter().copied().find(|writer| writer.name() == name)
    }

    /// Whether this writer may write what is declared for `declared`.
    fn may_write(self, declared: Self) -> bool {
        self == Self::Admin || declared == Self::User
    }
}

impl AttributeSource {
    /// What `writer` writes, and tokens say if it is to be `in_tokens`.
    ///
    /// # Errors
    /// [`Error::InvalidFields`] at `attribute.in_tokens`, if that cannot be.
    pub fn of(writer: AttributeWriter, in_tokens: bool) -> Result<Self, Error> {
        match writer {
            AttributeWriter::Admin => Ok(Self::Administrators { in_tokens }),
            AttributeWriter::User if in_tokens => {
                let rule = "must not be set for an attribute that users may write";
                let rule = RuleViolation::new(FieldReason::Malformed, rule);
                Err(Error::InvalidFields(vec![rule.at("attribute.in_tokens")]))
            }
            AttributeWriter::User => Ok(Self::Users),
        }
    }

    /// The same, as it is stored: a row that somebody has edited by hand lets nobody write their own tokens.
    pub(crate) const fn from_stored(writer: AttributeWriter, in_tokens: bool) -> Self {
        match writer {
            AttributeWriter::Admin => Self::Administrators { in_tokens },
            AttributeWriter::User => Self::Users,
        }
    }
}

impl AttributeUses {
    /// Who may write it.
    #[must_use]
    pub const fn writer(&self) -> AttributeWriter {
        match self.source {
            AttributeSource::Administrators { .. } => AttributeWriter::Admin,
            AttributeSource::Users => AttributeWriter::User,
        }
    }

    /// Whether tokens say it.
    #[must_use]
    pub const fn in_tokens(&self) -> bool {
        matches!(self.source, AttributeSource::Administrators { in_tokens: true })
    }
}

impl fmt::Display for AttributeUses {
    /// The places, separated by spaces.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let all = [
            ("tokens", self.in_tokens()),
            ("userinfo", self.in_userinfo),
            ("introspection", self.in_introspection),
        ];
        let said: Vec<_> = all.into_iter().filter(|(_, is_said)| *is_said).map(|(place, _)| place).collect();
        f.write_str(&said.join(" "))
    }
}

impl AttributeDeclaration {
    /// What tells this state of it from the next.
    #[must_use]
    pub fn etag(&self) -> Etag {
        let (id, updated) = (self.id.to_string(), self.update_time.as_micros().to_string());
        Etag::of([&*id, &self.uses.to_string(), self.description.as_str(), &updated])
    }

    /// Whether its users see it of themselves: what they may write, and what is said of them at the userinfo endpoint.
    #[must_use]
    pub fn is_shown_to_user(&self) -> bool {
        self.uses.writer() == AttributeWriter::User || self.uses.in_userinfo
    }
}

impl Declarations {
    /// Those that are `known`, and others `of_later_releases`, of which this one knows no more than the ids.
    #[must_use]
    pub fn new(known: Vec<AttributeDeclaration>, of_later_releases: &[AttributeId]) -> Self {
        Self { known, of_later_releases: of_later_releases.iter().map(|id| id.0).collect() }
    }

    /// What `attributes` are called, as far as they are declared `shown`.
    #[must_use]
    pub fn names(
        &self,
        attributes: &UserAttributes,
        shown: impl Fn(&AttributeDeclaration) -> bool,
    ) -> NamedAttributes {
        let declared = self.known.iter().filter(|declared| shown(declared));
        let named = declared.filter_map(|declared| {
            let value = attributes.get(declared.id.0).filter(|value| declared.kind.has(value))?;
            Some((declared.name.as_str().to_owned(), value.clone()))
        });
        named.collect()
    }

    /// What `edit`, by `writer`, makes of `old`, and the names of those that it changes. What belongs to no declaration any more goes;
    /// what only a later release understands stays.
    ///
    /// # Errors
    /// [`Error::InvalidFields`] at [`FIELD`]: of what is not declared, is of another type, is not `writer`'s to write, or too much.
    pub fn edit(
        &self,
        old: &UserAttributes,
        edit: &AttributeEdit,
        writer: AttributeWriter,
    ) -> Result<(UserAttributes, Vec<String>), Error> {
        let is_seen = |declared: &&AttributeDeclaration| {
            writer == AttributeWriter::Admin || declared.is_shown_to_user()
        };
        let (before, mut violations) = (self.names(old, |_| true), Vec::new());
        let mut after = before.clone();
        if edit.replaces {
            after.retain(|name, _| {
                !self.named(name).is_some_and(|known| writer.may_write(known.uses.writer()))
            });
        }
        for (name, value) in &edit.values {
            let declared = self.named(name).filter(is_seen);
            let judged = match (declared, value) {
                (None, _) => Err(RuleViolation::new(FieldReason::NotUpdatable, undeclared(name))),
                // What is sent back as it was shown changes nothing.
                (Some(_), value) if value.as_ref() == before.get(name) => {
                    set(&mut after, name, value.clone());
                    Ok(())
                }
                (Some(known), _) if !writer.may_write(known.uses.writer()) => {
                    let rule = format!("may not have `{name}` changed, which administrators alone write");
                    Err(RuleViolation::new(FieldReason::NotUpdatable, rule))
                }
                (Some(known), Some(value)) => {
                    check(known, value).map(|()| set(&mut after, name, Some(value.clone())))
                }
                (Some(_), None) => {
                    set(&mut after, name, None);
                    Ok(())
                }
            };
            violations.extend(judged.err().map(|rule| rule.at(FIELD)));
        }
        if violations.is_empty() && after != before {
            let share = (writer == AttributeWriter::User).then(|| self.written_by_users(&after));
            let fits =
                share.map_or(Ok(()), |share| must_fit(&share, USER_MAX_ATTRIBUTES / 2, USER_MAX_BYTES / 2));
            let fits = fits.and_then(|()| must_fit(&after, USER_MAX_ATTRIBUTES, USER_MAX_BYTES));
            violations.extend(fits.err().map(|rule| rule.at(FIELD)));
        }
        if !violations.is_empty() {
            return Err(Error::InvalidFields(violations));
        }
        let mut changed: Vec<_> = before.keys().chain(after.keys()).cloned().collect();
        changed.sort_unstable();
        changed.dedup();
        changed.retain(|name| before.get(name) != after.get(name));
        Ok((self.stored(after, old), changed))
    }

    /// Those of `attributes` that users may write: half of the room is for them at most, so that nobody keeps administrators from writing.
    fn written_by_users(&self, attributes: &NamedAttributes) -> NamedAttributes {
        let is_theirs =
            |name: &str| self.named(name).is_some_and(|known| known.uses.writer() == AttributeWriter::User);
        let theirs = attributes.iter().filter(|(name, _)| is_theirs(name));
        theirs.map(|(name, value)| (name.clone(), value.clone())).collect()
    }

    fn named(&self, name: &str) -> Option<&AttributeDeclaration> {
        self.known.iter().find(|declared| declared.name.as_str() == name)
    }

    /// `named`, by the ids of the declarations, in the place of all of `old` that is understood.
    fn stored(&self, named: NamedAttributes, old: &UserAttributes) -> UserAttributes {
        let by_id = |(name, value): (String, _)| Some((self.named(&name)?.id.0, value));
        let is_known = |id| self.known.iter().any(|declared| declared.id.0 == id);
        old.replaced_by(named.into_iter().filter_map(by_id), |id, understood| {
            self.of_later_releases.contains(&id) || (understood == Understood::Nothing && is_known(id))
        })
    }
}

impl AttributeEdit {
    /// All become `values`, and nothing else.
    #[must_use]
    pub fn replacing(values: NamedAttributes) -> Self {
        Self { replaces: true, values: values.into_iter().map(|(name, value)| (name, Some(value))).collect() }
    }

    /// Whether it asks for nothing.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        !self.replaces && self.values.is_empty()
    }
}

fn set(attributes: &mut NamedAttributes, name: &str, value: Option<AttributeValue>) {
    match value {
        Some(value) => attributes.insert(name.to_owned(), value),
        None => attributes.remove(name),
    };
}

fn undeclared(name: &str) -> String {
    // It is whatever somebody sent.
    let shown: String = name.chars().take(64).flat_map(char::escape_debug).collect();
    format!("may not have `{shown}`, which is no declared attribute")
}

/// Succeeds if `value` is one of what is `declared`.
fn check(declared: &AttributeDeclaration, value: &AttributeValue) -> Result<(), RuleViolation> {
    let (name, kind) = (declared.name.as_str(), declared.kind);
    if !kind.has(value) {
        let rule = format!("must have a {} as `{name}`", kind.name());
        return Err(RuleViolation::new(FieldReason::Malformed, rule));
    }
    let is_plain = |text: &String| !text.chars().any(char::is_control);
    match value {
        AttributeValue::Integer(number) if number.unsigned_abs() > MAX_INTEGER.unsigned_abs() => {
            let rule = format!("must have a number of at most 53 bits as `{name}`");
            Err(RuleViolation::new(FieldReason::Malformed, rule))
        }
        AttributeValue::String(text) if !is_plain(text) => Err(controls(name)),
        AttributeValue::StringList(texts) if !texts.iter().all(is_plain) => Err(controls(name)),
        _ => Ok(()),
    }
}

fn controls(name: &str) -> RuleViolation {
    let rule = format!("must have no control characters in `{name}`");
    RuleViolation::new(FieldReason::ForbiddenCharacter, rule)
}

fn must_fit(attributes: &NamedAttributes, most: usize, max_bytes: usize) -> Result<(), RuleViolation> {
    if attributes.len() > most {
        return Err(RuleViolation::new(FieldReason::TooLong, format!("must be at most {most}")));
    }
    let bytes = serde_json::to_string(attributes).map_or(usize::MAX, |text| text.len());
    if bytes > max_bytes {
        let rule = format!("must have at most {max_bytes} bytes together, names included, as JSON");
        return Err(RuleViolation::new(FieldReason::TooLong, rule));
    }
    Ok(())
}

#[cfg(test)]
mod tests;
