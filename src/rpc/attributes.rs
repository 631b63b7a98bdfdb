//! Owns how a request changes the attributes of a user: by the paths of its mask.

use std::collections::BTreeMap;

use super::refused;
use crate::{
    model::{
        AttributeEdit, AttributeValue, Error, FieldReason, NamedAttributes,
        attribute_declaration::{FIELD, USER_MAX_ATTRIBUTES},
    },
    proto::identity::v1,
    wire::read_attribute_value,
};

/// What begins the path of one attribute.
const PREFIX: &str = "attributes.";

/// The attributes that a request sets, as it came.
pub(super) type Sent = BTreeMap<String, v1::AttributeValue>;

/// The attributes that `sent` names.
///
/// # Errors
/// [`Error::InvalidFields`] for one without a value, and for more than there can be.
pub(super) fn named(sent: &Sent) -> Result<NamedAttributes, Error> {
    // Before they are decoded: each path of a mask may ask for all.
    if sent.len() > USER_MAX_ATTRIBUTES {
        return Err(refused(FIELD, FieldReason::TooLong, "must be at most 32"));
    }
    sent.iter().map(|(name, value)| Ok((name.clone(), decode(value)?))).collect()
}

/// What becomes of the attributes where no mask says so: those that are set become all, if any are.
///
/// # Errors
/// As [`named`].
pub(super) fn if_set(sent: &Sent) -> Result<AttributeEdit, Error> {
    if sent.is_empty() { Ok(AttributeEdit::default()) } else { all(sent) }
}

/// All become those that are set.
///
/// # Errors
/// As [`named`].
pub(super) fn all(sent: &Sent) -> Result<AttributeEdit, Error> {
    Ok(AttributeEdit::replacing(named(sent)?))
}

/// Adds to `edit` what `path` asks for; false if it is no path of attributes.
///
/// # Errors
/// As [`named`].
pub(super) fn follow(path: &str, sent: &Sent, edit: &mut AttributeEdit) -> Result<bool, Error> {
    if path == "attributes" {
        *edit = all(sent)?;
        return Ok(true);
    }
    let Some(name) = path.strip_prefix(PREFIX) else { return Ok(false) };
    let value = sent.get(name).map(decode).transpose()?;
    // Where all are replaced, what is not set goes anyway.
    edit.values.insert(name.to_owned(), value);
    Ok(true)
}

fn decode(sent: &v1::AttributeValue) -> Result<AttributeValue, Error> {
    let missing = || refused(FIELD, FieldReason::Required, "must each have a value");
    read_attribute_value(sent.clone()).ok_or_else(missing)
}
