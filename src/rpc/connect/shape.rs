//! Owns what a JSON document must be before it is read as a message: each field known and set once, and no more values than are read at
//! once. Libraries of messages take the last of two fields, and two bytes of JSON can stand for a message of hundreds.

use std::{
    borrow::Cow,
    collections::HashSet,
    fmt::{self, Write},
};

use prost_reflect::{FieldDescriptor, Kind, MessageDescriptor};
use serde::de::{DeserializeSeed, Deserializer, Error, MapAccess, SeqAccess, Visitor};

/// How much memory the values of a document may take while it is read, in bytes.
const MAX_BYTES: usize = 12 * 1_024 * 1_024;

/// What an object takes, as prost-reflect keeps it, and what any other value does beside its text.
const OBJECT_BYTES: usize = 800;
const VALUE_BYTES: usize = 64;

/// The most characters of a name that a refusal repeats.
const MAX_NAME_CHARS: usize = 64;

/// The least numbers that integers of 64 bits cannot hold: 2^63 and 2^64.
const BEYOND_INT64: f64 = 9_223_372_036_854_775_808.0;
const BEYOND_UINT64: f64 = 18_446_744_073_709_551_616.0;

/// What is wrong with a document, and the path of the field.
#[derive(Debug)]
pub(super) enum Fault {
    /// The message has no such field.
    Unknown(String),
    /// The field is set twice.
    Twice(String),
    /// Another field of its `oneof` is set.
    OneOf(String),
    /// No number is that large.
    Number(String),
    /// It has more values than are read.
    TooMuch,
    /// It is not JSON.
    Syntax(serde_json::Error),
}

/// What a value should be.
#[derive(Clone)]
enum Shape {
    Message(MessageDescriptor),
    List(Box<Shape>),
    Map(Box<Shape>),
    Scalar(Kind),
    /// What follows rules of its own (`google.protobuf`), and what is wrong already.
    Free,
}

/// One way through a document.
struct Walk {
    path: String,
    left: usize,
    fault: Option<Fault>,
}

/// A value on the way. Read, it tells whether it is null.
struct Value<'w> {
    walk: &'w mut Walk,
    shape: Shape,
}

/// How much memory the values of `text` take while it is read as an `input`, in bytes.
///
/// # Errors
/// The first fault, if it cannot be read.
pub(super) fn check(text: &str, input: &MessageDescriptor) -> Result<usize, Fault> {
    let mut walk = Walk { path: String::new(), left: MAX_BYTES, fault: None };
    let mut json = serde_json::Deserializer::from_str(text);
    let value = Value { walk: &mut walk, shape: Shape::of_message(input.clone()) };
    let walked = value.deserialize(&mut json).and_then(|_| json.end());
    match walked {
        Ok(()) => Ok(MAX_BYTES - walk.left),
        Err(error) => Err(match walk.fault {
            Some(fault) => fault,
            // The text of a number has no place that is not the field's.
            None if !walk.path.is_empty() && error.to_string().starts_with("number out of range") => {
                Fault::Number(walk.path)
            }
            None => Fault::Syntax(error),
        }),
    }
}

/// The field of `message` that JSON calls `name`.
pub(super) fn field_of(message: &MessageDescriptor, name: &str) -> Option<FieldDescriptor> {
    message.get_field_by_json_name(name).or_else(|| message.get_field_by_name(name))
}

/// As much of `name`, which a client has chosen, as is repeated.
pub(super) fn shown(name: &str) -> String {
    name.chars().take(MAX_NAME_CHARS).collect()
}

impl Shape {
    fn of_message(message: MessageDescriptor) -> Self {
        if message.full_name().starts_with("google.protobuf.") { Self::Free } else { Self::Message(message) }
    }

    fn of_kind(kind: Kind) -> Self {
        match kind {
            Kind::Message(message) => Self::of_message(message),
            kind => Self::Scalar(kind),
        }
    }

    fn of_field(field: &FieldDescriptor) -> Self {
        match field.kind() {
            Kind::Message(entry) if field.is_map() => {
                Self::Map(Box::new(Self::of_kind(entry.map_entry_value_field().kind())))
            }
            kind if field.is_list() => Self::List(Box::new(Self::of_kind(kind))),
            kind => Self::of_kind(kind),
        }
    }
}

impl Walk {
    fn spend<E: Error>(&mut self, bytes: usize) -> Result<(), E> {
        self.left = self.left.saturating_sub(bytes);
        if self.left == 0 { Err(self.fail(Fault::TooMuch)) } else { Ok(()) }
    }

    fn fail<E: Error>(&mut self, fault: Fault) -> E {
        self.fault = Some(fault);
        E::custom("")
    }

    /// Goes on to the field `name`. Returns how to come back.
    fn enter(&mut self, name: &str) -> usize {
        let before = self.path.len();
        if before > 0 {
            self.path.push('.');
        }
        self.path.push_str(name);
        before
    }

    /// Goes on to an element. Returns how to come back.
    fn enter_element(&mut self, which: impl fmt::Debug) -> usize {
        let before = self.path.len();
        // Text takes whatever is written to it.
        let _ = write!(self.path, "[{which:?}]");
        before
    }
}

impl Value<'_> {
    fn message<'de, A: MapAccess<'de>>(
        walk: &mut Walk,
        message: &MessageDescriptor,
        map: &mut A,
    ) -> Result<(), A::Error> {
        let (mut seen, mut one_of) = (Vec::new(), Vec::new());
        while let Some(name) = map.next_key::<Cow<'_, str>>()? {
            let Some(field) = field_of(message, &name) else {
                walk.enter(&shown(&name));
                let path = walk.path.clone();
                return Err(walk.fail(Fault::Unknown(path)));
            };
            let before = walk.enter(field.name());
            if seen.contains(&field.number()) {
                let path = walk.path.clone();
                return Err(walk.fail(Fault::Twice(path)));
            }
            seen.push(field.number());
            let shape = Shape::of_field(&field);
            let is_null = map.next_value_seed(Value { walk: &mut *walk, shape })?;
            if let Some(chosen) = field.containing_oneof().filter(|_| !is_null) {
                if one_of.contains(&chosen) {
                    let path = walk.path.clone();
                    return Err(walk.fail(Fault::OneOf(path)));
                }
                one_of.push(chosen);
            }
            walk.path.truncate(before);
        }
        Ok(())
    }

    /// An object whose names are data.
    fn entries<'de, A: MapAccess<'de>>(walk: &mut Walk, shape: &Shape, map: &mut A) -> Result<(), A::Error> {
        let mut seen = HashSet::new();
        while let Some(name) = map.next_key::<String>()? {
            walk.spend(VALUE_BYTES + name.len())?;
            let before = walk.enter_element(shown(&name));
            if !seen.insert(name) {
                let path = walk.path.clone();
                return Err(walk.fail(Fault::Twice(path)));
            }
            map.next_value_seed(Value { walk: &mut *walk, shape: shape.clone() })?;
            walk.path.truncate(before);
        }
        Ok(())
    }

    fn scalar<E: Error>(self) -> Result<bool, E> {
        self.walk.spend(VALUE_BYTES).map(|()| false)
    }
}

impl<'de> DeserializeSeed<'de> for Value<'_> {
    type Value = bool;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<bool, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Value<'_> {
    type Value = bool;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("JSON")
    }

    fn visit_bool<E: Error>(self, _: bool) -> Result<bool, E> {
        self.scalar()
    }

    fn visit_i64<E: Error>(self, _: i64) -> Result<bool, E> {
        self.scalar()
    }

    fn visit_u64<E: Error>(self, _: u64) -> Result<bool, E> {
        self.scalar()
    }

    fn visit_f64<E: Error>(self, number: f64) -> Result<bool, E> {
        let beyond = match self.shape {
            Shape::Scalar(Kind::Int64 | Kind::Sint64 | Kind::Sfixed64) => BEYOND_INT64,
            Shape::Scalar(Kind::Uint64 | Kind::Fixed64) => BEYOND_UINT64,
            _ => f64::INFINITY,
        };
        if number >= beyond {
            let path = self.walk.path.clone();
            return Err(self.walk.fail(Fault::Number(path)));
        }
        self.scalar()
    }

    fn visit_str<E: Error>(self, _: &str) -> Result<bool, E> {
        self.scalar()
    }

    fn visit_unit<E: Error>(self) -> Result<bool, E> {
        self.walk.spend(VALUE_BYTES).map(|()| true)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut elements: A) -> Result<bool, A::Error> {
        let Self { walk, shape } = self;
        walk.spend(VALUE_BYTES)?;
        let shape = match shape {
            Shape::List(shape) => *shape,
            _ => Shape::Free,
        };
        for index in 0_usize.. {
            let before = walk.enter_element(index);
            let element = elements.next_element_seed(Value { walk: &mut *walk, shape: shape.clone() })?;
            walk.path.truncate(before);
            if element.is_none() {
                break;
            }
        }
        Ok(false)
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<bool, A::Error> {
        let Self { walk, shape } = self;
        walk.spend(OBJECT_BYTES)?;
        match &shape {
            Shape::Message(message) => Self::message(walk, message, &mut map)?,
            Shape::Map(values) => Self::entries(walk, values, &mut map)?,
            _ => Self::entries(walk, &Shape::Free, &mut map)?,
        }
        Ok(false)
    }
}
