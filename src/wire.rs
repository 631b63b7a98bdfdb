//! Owns how attributes, audiences and policies look in messages of the API, to whoever serves it and whoever calls it.

mod policies;

use std::collections::BTreeMap;

use crate::{
    model::{AttributeType, AttributeValue, AttributeWriter, NamedAttributes, TokenTyp},
    proto::identity::{
        admin::v1::{
            attribute::{Type, Writer},
            audience::TokenTyp as WireTokenTyp,
        },
        v1::{
            self,
            attribute_value::{StringList, Value},
        },
    },
};

pub(crate) use policies::{difference as policy_difference, method_rule, policy_state, read_policy_state};

const TYPES: [(AttributeType, Type); 4] = [
    (AttributeType::String, Type::String),
    (AttributeType::Integer, Type::Integer),
    (AttributeType::Boolean, Type::Boolean),
    (AttributeType::StringList, Type::StringList),
];

const WRITERS: [(AttributeWriter, Writer); 2] =
    [(AttributeWriter::Admin, Writer::Admin), (AttributeWriter::User, Writer::User)];

const TOKEN_TYPS: [(TokenTyp, WireTokenTyp); 2] =
    [(TokenTyp::AtJwt, WireTokenTyp::AtJwt), (TokenTyp::Jwt, WireTokenTyp::Jwt)];

/// The attributes of a user, by their names.
pub(crate) fn attributes(attributes: NamedAttributes) -> BTreeMap<String, v1::AttributeValue> {
    attributes.into_iter().map(|(name, value)| (name, attribute_value(value))).collect()
}

fn attribute_value(value: AttributeValue) -> v1::AttributeValue {
    let value = match value {
        AttributeValue::String(text) => Value::StringValue(text),
        AttributeValue::Integer(number) => Value::IntegerValue(number),
        AttributeValue::Boolean(is_so) => Value::BooleanValue(is_so),
        AttributeValue::StringList(values) => Value::StringListValue(StringList { values }),
    };
    v1::AttributeValue { value: Some(value) }
}

/// The value of an attribute; none if there is none, or one of a type that this release does not know.
pub(crate) fn read_attribute_value(said: v1::AttributeValue) -> Option<AttributeValue> {
    Some(match said.value? {
        Value::StringValue(text) => AttributeValue::String(text),
        Value::IntegerValue(number) => AttributeValue::Integer(number),
        Value::BooleanValue(is_so) => AttributeValue::Boolean(is_so),
        Value::StringListValue(list) => AttributeValue::StringList(list.values),
    })
}

/// What the values of an attribute are.
pub(crate) fn attribute_type(kind: AttributeType) -> Type {
    TYPES.iter().find(|(known, _)| *known == kind).map_or(Type::Unspecified, |(_, said)| *said)
}

/// The same; none if it is not said, or is one that this release does not know.
pub(crate) fn read_attribute_type(said: Type) -> Option<AttributeType> {
    TYPES.iter().find(|(_, known)| *known == said).map(|(kind, _)| *kind)
}

/// Who may write an attribute.
pub(crate) fn attribute_writer(writer: AttributeWriter) -> Writer {
    WRITERS.iter().find(|(known, _)| *known == writer).map_or(Writer::Unspecified, |(_, said)| *said)
}

/// The same; none if it is not said, or is one that this release does not know.
pub(crate) fn read_attribute_writer(said: Writer) -> Option<AttributeWriter> {
    WRITERS.iter().find(|(_, known)| *known == said).map(|(writer, _)| *writer)
}

/// What tokens are called that are meant for an audience alone.
pub(crate) fn token_typ(typ: TokenTyp) -> WireTokenTyp {
    TOKEN_TYPS.iter().find(|(known, _)| *known == typ).map_or(WireTokenTyp::Unspecified, |(_, said)| *said)
}

/// The same; none if it is not said, or is one that this release does not know.
pub(crate) fn read_token_typ(said: WireTokenTyp) -> Option<TokenTyp> {
    TOKEN_TYPS.iter().find(|(_, known)| *known == said).map(|(typ, _)| *typ)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_type_and_every_writer_is_said_and_read() {
        for typ in TokenTyp::ALL {
            assert_eq!(read_token_typ(token_typ(*typ)), Some(*typ));
        }
        for kind in AttributeType::ALL {
            assert_eq!(read_attribute_type(attribute_type(*kind)), Some(*kind));
        }
        for writer in AttributeWriter::ALL {
            assert_eq!(read_attribute_writer(attribute_writer(*writer)), Some(*writer));
        }
    }
}
