//! Owns what the value of a user's attribute is: a text, a number, yes or no, or a list of texts.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// The value of an attribute. In JSON it is a boolean, a number, a string or an array of strings.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum AttributeValue {
    /// Yes or no.
    Boolean(bool),
    /// A whole number that every reader of JSON reads exactly.
    Integer(i64),
    /// A text.
    String(String),
    /// Texts, in their order.
    StringList(Vec<String>),
}

/// Attributes by their names, in the order of the names.
pub type NamedAttributes = BTreeMap<String, AttributeValue>;
