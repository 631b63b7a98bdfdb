//! Owns messages as JSON (the rules of proto3): read strictly, with the path of the field that cannot be read; and written.

use std::fmt::Write;

use hyper::body::Bytes;
use prost::Message;
use prost_reflect::{DynamicMessage, FieldDescriptor, Kind, MessageDescriptor};
use serde_json::error::Category;
use serde_path_to_error::{Deserializer, Path, Segment, Track};

use super::{
    super::gzip::MESSAGE_HEAD_BYTES,
    shape::{self, Fault, field_of, shown},
};
use crate::model::{Error, FieldReason, RuleViolation};

/// The most names of an enum that a refusal lists.
const MAX_NAMES: usize = 12;

/// The gRPC frame of the `input` that `text` is, which may have `max_bytes`.
///
/// # Errors
/// [`Error::InvalidFields`] names the first field that cannot be read; [`Error::MalformedRequest`] if the text is not JSON, or not of a
/// message; [`Error::MessageTooLarge`]. None of them repeats a value: it may be a password.
pub(super) fn read(text: &[u8], input: &MessageDescriptor, max_bytes: usize) -> Result<Bytes, Error> {
    Document::check(text, input)?.read(max_bytes)
}

/// JSON that may be read as a message.
pub(super) struct Document<'a> {
    text: &'a str,
    input: &'a MessageDescriptor,
    /// How much memory its values take while it is read, in bytes.
    pub(super) memory_bytes: usize,
}

impl<'a> Document<'a> {
    /// The document `text`, if it may be read as an `input`.
    ///
    /// # Errors
    /// As [`read`].
    pub(super) fn check(text: &'a [u8], input: &'a MessageDescriptor) -> Result<Self, Error> {
        if text.is_empty() {
            return Err(malformed("the body is empty: a message without fields is `{}`"));
        }
        let text = str::from_utf8(text).map_err(|error| {
            let first = error.valid_up_to() + 1;
            malformed(format!("the body is not UTF-8: the first wrong byte is number {first}"))
        })?;
        // What a library of messages lets pass, or would take much memory for.
        let memory_bytes = shape::check(text, input).map_err(|fault| refused(&fault))?;
        Ok(Self { text, input, memory_bytes })
    }

    /// Its gRPC frame, whose message may have `max_bytes`.
    ///
    /// # Errors
    /// As [`read`].
    pub(super) fn read(self, max_bytes: usize) -> Result<Bytes, Error> {
        let Self { text, input, .. } = self;
        let mut track = Track::new();
        let mut json = serde_json::Deserializer::from_str(text);
        let read = DynamicMessage::deserialize(input.clone(), Deserializer::new(&mut json, &mut track));
        let message = read.map_err(|_| unreadable(&track.path(), input))?;
        framed(&message, max_bytes)
    }
}

fn framed(message: &DynamicMessage, max_bytes: usize) -> Result<Bytes, Error> {
    let bytes = message.encoded_len();
    if bytes > max_bytes {
        return Err(Error::MessageTooLarge { max_bytes });
    }
    let mut frame = Vec::with_capacity(MESSAGE_HEAD_BYTES + bytes);
    frame.push(0);
    frame.extend_from_slice(&u32::try_from(bytes).map_err(Error::internal)?.to_be_bytes());
    message.encode(&mut frame).map_err(Error::internal)?;
    Ok(frame.into())
}

/// The JSON of `message`, an encoded `output`.
///
/// # Errors
/// [`Error::Internal`] if it is not one: a defect.
pub(super) fn write(message: &[u8], output: &MessageDescriptor) -> Result<Vec<u8>, Error> {
    // With the names of its fields it is some times as long.
    let mut text = Vec::with_capacity(4 * message.len() + 64);
    let message = DynamicMessage::decode(output.clone(), message).map_err(Error::internal)?;
    serde_json::to_writer(&mut text, &message).map_err(Error::internal)?;
    Ok(text)
}

fn malformed(what: impl Into<String>) -> Error {
    Error::MalformedRequest(what.into())
}

/// The refusal of a body with `fault`.
fn refused(fault: &Fault) -> Error {
    let at = |path: &str, reason, rule: &str| {
        Error::InvalidFields(vec![RuleViolation::new(reason, rule).at(path.to_owned())])
    };
    match fault {
        Fault::Unknown(path) => at(path, FieldReason::UnknownField, "is not a field of the message"),
        Fault::Twice(path) => at(path, FieldReason::Malformed, "must be set once"),
        Fault::OneOf(path) => {
            at(path, FieldReason::Malformed, "is one of several fields of which one may be set")
        }
        Fault::Number(path) => at(path, FieldReason::Malformed, "is a number that is too large"),
        Fault::TooMuch => {
            malformed("the body has more values than are read at once: send fewer, or application/proto")
        }
        // What such an error says is where it is, and what would belong there.
        Fault::Syntax(error) => match error.classify() {
            Category::Syntax | Category::Eof => malformed(format!("the body is not JSON: {error}")),
            Category::Data | Category::Io => malformed("the body is not a JSON object"),
        },
    }
}

/// The refusal of a body whose value at `path` is none for the field there.
fn unreadable(path: &Path, input: &MessageDescriptor) -> Error {
    let (mut name, mut field, mut message) = (String::new(), None::<FieldDescriptor>, Some(input.clone()));
    let mut is_element = false;
    for segment in path {
        match segment {
            Segment::Map { key } if field.as_ref().is_some_and(|field| field.is_map() && !is_element) => {
                is_element = true;
                // Text takes whatever is written to it.
                let _ = write!(name, "[{:?}]", shown(key));
                message = message.map(|entry| entry.map_entry_value_field().kind()).and_then(as_message);
            }
            Segment::Map { key } => {
                let found = message.as_ref().and_then(|message| field_of(message, key));
                if !name.is_empty() {
                    name.push('.');
                }
                name.push_str(found.as_ref().map_or(shown(key).as_str(), FieldDescriptor::name));
                message = found.as_ref().map(FieldDescriptor::kind).and_then(as_message);
                (field, is_element) = (found, false);
            }
            Segment::Seq { index } => {
                is_element = true;
                let _ = write!(name, "[{index}]");
            }
            Segment::Enum { .. } | Segment::Unknown => {}
        }
    }
    match field {
        None => malformed("the body is not a JSON object"),
        Some(field) => {
            let rule = RuleViolation::new(FieldReason::Malformed, rule(&field, is_element));
            Error::InvalidFields(vec![rule.at(name)])
        }
    }
}

fn as_message(kind: Kind) -> Option<MessageDescriptor> {
    match kind {
        Kind::Message(message) => Some(message),
        _ => None,
    }
}

/// What the value of `field` must be, or, if it `is_element`, each of its values.
fn rule(field: &FieldDescriptor, is_element: bool) -> String {
    if !is_element && field.is_list() {
        return "must be an array".to_owned();
    }
    let kind = match field.kind() {
        Kind::Message(entry) if field.is_map() && is_element => entry.map_entry_value_field().kind(),
        kind => kind,
    };
    let rule = match kind {
        Kind::Bool => "must be true or false",
        Kind::String => "must be a string",
        Kind::Bytes => "must be bytes as a string in base64",
        Kind::Int32 | Kind::Sint32 | Kind::Sfixed32 => "must be a whole number of 32 bits",
        Kind::Uint32 | Kind::Fixed32 => "must be a whole number of 32 bits, and not negative",
        Kind::Int64 | Kind::Sint64 | Kind::Sfixed64 => "must be a whole number of 64 bits, best as a string",
        Kind::Uint64 | Kind::Fixed64 => {
            "must be a whole number of 64 bits, and not negative, best as a string"
        }
        Kind::Float | Kind::Double => "must be a number",
        Kind::Enum(names) => {
            let names: Vec<_> =
                names.values().take(MAX_NAMES).map(|value| format!("`{}`", value.name())).collect();
            return format!("must be one of {}", names.join(", "));
        }
        Kind::Message(message) => match message.full_name() {
            "google.protobuf.Timestamp" => "must be a time such as \"2026-11-30T12:00:00Z\"",
            "google.protobuf.Duration" => "must be a duration such as \"1.5s\"",
            "google.protobuf.FieldMask" => "must be the paths of fields in lowerCamelCase, joined by commas",
            _ => "must be an object of its message",
        },
    };
    rule.to_owned()
}
