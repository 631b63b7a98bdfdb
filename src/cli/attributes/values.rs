//! Owns the attributes of a user on the command line.

use serde_json::{Value, json};

use crate::model::{AttributeEdit, AttributeValue, NamedAttributes};

/// An attribute and its value, as `NAME=VALUE`.
#[derive(Clone, Debug)]
pub(in crate::cli) struct SetAttribute {
    name: String,
    value: AttributeValue,
}

impl SetAttribute {
    /// What `text` says: a value that reads as JSON is what it reads as, any other is a text.
    pub(in crate::cli) fn parse(text: &str) -> Result<Self, String> {
        let Some((name, value)) = text.split_once('=') else {
            return Err("must be NAME=VALUE".to_owned());
        };
        let value = serde_json::from_str(value).unwrap_or_else(|_| AttributeValue::String(value.to_owned()));
        Ok(Self { name: name.to_owned(), value })
    }
}

/// What becomes of a user's attributes who is given `set`, and loses `unset`.
pub(in crate::cli) fn edit(set: Vec<SetAttribute>, unset: Vec<String>) -> AttributeEdit {
    let unset = unset.into_iter().map(|name| (name, None));
    let set = set.into_iter().map(|SetAttribute { name, value }| (name, Some(value)));
    AttributeEdit { replaces: false, values: unset.chain(set).collect() }
}

/// A user's attributes, for people: a line each.
pub(in crate::cli) fn text(attributes: &NamedAttributes) -> String {
    let lines = attributes.iter().map(|(name, value)| format!("\nattribute:    {name}={}", json!(value)));
    lines.collect::<Vec<_>>().concat()
}

/// A user's attributes, for programs.
pub(in crate::cli) fn object(attributes: &NamedAttributes) -> Value {
    json!(attributes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_is_what_it_reads_as_in_json_or_a_text() {
        let text = |text: &str| AttributeValue::String(text.to_owned());
        for (said, expected) in [
            ("a=7", AttributeValue::Integer(7)),
            ("a=\"7\"", text("7")),
            ("a=007", text("007")),
            ("a=true", AttributeValue::Boolean(true)),
            ("a=b=c", text("b=c")),
            ("a=", text("")),
            ("a=1.5", text("1.5")),
            ("a=[\"x\",\"y\"]", AttributeValue::StringList(vec!["x".to_owned(), "y".to_owned()])),
        ] {
            let SetAttribute { name, value } = SetAttribute::parse(said).unwrap();
            assert_eq!((name.as_str(), value), ("a", expected), "{said}");
        }
        assert!(SetAttribute::parse("a").is_err());
    }
}
