//! Owns messages as schemas: JSON by the rules of proto3, as Connect reads and writes it.

use std::collections::{BTreeMap, BTreeSet};

use prost_reflect::{EnumDescriptor, FieldDescriptor, Kind, MessageDescriptor, OneofDescriptor};
use serde_json::{Map, Value, json};

use super::{comments::Comments, examples, lengths::Lengths};

/// How the comment of a field begins that must be set.
const REQUIRED: &str = "Required.";

const TIMESTAMP: &str = "google.protobuf.Timestamp";

/// How deep an example goes: no request needs more.
const MAX_DEPTH: usize = 4;

/// What stands for texts in examples, by the ends of the names of their fields.
const EXAMPLES: [(&str, &str); 4] = [
    ("username", "alice"),
    ("new_password", "battery staple horse"),
    ("password", "correct horse"),
    ("name", "example"),
];

/// The schemas of the messages that the document names.
pub(super) struct Schemas<'a> {
    comments: &'a Comments,
    lengths: Lengths,
    written: BTreeMap<String, Value>,
    /// The messages that stand in answers.
    answered: BTreeSet<String>,
}

impl<'a> Schemas<'a> {
    pub(super) const fn new(comments: &'a Comments, lengths: Lengths) -> Self {
        Self { comments, lengths, written: BTreeMap::new(), answered: BTreeSet::new() }
    }

    /// What refers to the schema of `message`, which requests alone have.
    pub(super) fn of_request(&mut self, message: &MessageDescriptor) -> Value {
        self.message(message)
    }

    /// What refers to the schema of `message`, an answer.
    pub(super) fn of_answer(&mut self, message: &MessageDescriptor) -> Value {
        answered(message, &mut self.answered);
        self.message(message)
    }

    /// All schemas, by their names. Fields that a request does not have are refused; answers may have new ones in the next release.
    pub(super) fn finish(mut self) -> Map<String, Value> {
        for (name, schema) in &mut self.written {
            if schema["type"] == "object" && !self.answered.contains(name) {
                schema["additionalProperties"] = json!(false);
            }
        }
        self.written.into_iter().collect()
    }

    fn message(&mut self, message: &MessageDescriptor) -> Value {
        if let Some(known) = well_known(message.full_name()) {
            return known;
        }
        let name = message.full_name().to_owned();
        if !self.written.contains_key(&name) {
            // Whatever refers to it from within finds it.
            self.written.insert(name.clone(), Value::Null);
            let schema = self.object(message);
            self.written.insert(name.clone(), schema);
        }
        reference(&name)
    }

    fn object(&mut self, message: &MessageDescriptor) -> Value {
        let (mut properties, mut required) = (Map::new(), Vec::new());
        for field in message.fields() {
            let comment = self.comments.at(&message.parent_file(), field.path()).to_owned();
            if comment.starts_with(REQUIRED)
                && field.containing_oneof().is_none_or(|oneof| oneof.is_synthetic())
            {
                required.push(field.json_name().to_owned());
            }
            let mut schema = self.field(&field);
            self.lengths.bound(field.full_name(), &mut schema);
            properties.insert(field.json_name().to_owned(), described(schema, &comment));
        }
        let mut description = self.comments.at(&message.parent_file(), message.path()).to_owned();
        for oneof in message.oneofs().filter(|oneof| !oneof.is_synthetic()) {
            description.push_str(&self.one_of(&oneof));
        }
        let mut schema = json!({ "type": "object" });
        if !description.is_empty() {
            schema["description"] = json!(description);
        }
        if !properties.is_empty() {
            schema["properties"] = Value::Object(properties);
        }
        if !required.is_empty() {
            schema["required"] = json!(required);
        }
        schema
    }

    /// The rule of a `oneof`, in words.
    fn one_of(&self, oneof: &OneofDescriptor) -> String {
        let names: Vec<_> = oneof.fields().map(|field| format!("`{}`", field.json_name())).collect();
        let comment = self.comments.at(&oneof.parent_file(), oneof.path());
        format!("\n\nAt most one of {}. {comment}", names.join(", ")).trim_end().to_owned()
    }

    fn field(&mut self, field: &FieldDescriptor) -> Value {
        if field.is_map() {
            let entry = field.kind().as_message().map(MessageDescriptor::map_entry_value_field);
            let value = entry.map_or_else(|| json!({}), |value| self.kind(&value.kind()));
            return json!({ "type": "object", "additionalProperties": value });
        }
        let schema = self.kind(&field.kind());
        if field.is_list() { json!({ "type": "array", "items": schema }) } else { schema }
    }

    fn kind(&mut self, kind: &Kind) -> Value {
        match kind {
            Kind::Bool => json!({ "type": "boolean" }),
            Kind::Int32 | Kind::Sint32 | Kind::Sfixed32 => json!({ "type": "integer", "format": "int32" }),
            Kind::Uint32 | Kind::Fixed32 => {
                json!({ "type": "integer", "format": "int64", "minimum": 0, "maximum": u32::MAX })
            }
            Kind::Int64 | Kind::Sint64 | Kind::Sfixed64 => {
                json!({ "type": "string", "pattern": "^-?[0-9]{1,19}$" })
            }
            Kind::Uint64 | Kind::Fixed64 => json!({ "type": "string", "pattern": "^[0-9]{1,20}$" }),
            Kind::Float | Kind::Double => json!({ "type": "number" }),
            Kind::String => json!({ "type": "string" }),
            Kind::Bytes => json!({ "type": "string", "contentEncoding": "base64" }),
            Kind::Enum(names) => self.names(names),
            Kind::Message(message) => self.message(message),
        }
    }

    fn names(&mut self, names: &EnumDescriptor) -> Value {
        let name = names.full_name().to_owned();
        if !self.written.contains_key(&name) {
            let comment = self.comments.at(&names.parent_file(), names.path());
            let values = names.values().map(|value| {
                let said = self.comments.at(&names.parent_file(), value.path());
                (value.name().to_owned(), format!("- `{}`: {said}", value.name()))
            });
            let (values, lines): (Vec<_>, Vec<_>) = values.unzip();
            let description = format!("{comment}\n\n{}", lines.join("\n"));
            self.written.insert(
                name.clone(),
                json!({ "type": "string", "enum": values, "description": description }),
            );
        }
        reference(&name)
    }

    /// A request of the type `message` that has what it must have.
    pub(super) fn example(&self, message: &MessageDescriptor) -> Value {
        examples::of(message.full_name()).unwrap_or_else(|| self.example_at(message, 0, false))
    }

    /// The same, `depth` messages deep. One that `is_chosen` of several has all of its fields: they do not say whether they must be set.
    fn example_at(&self, message: &MessageDescriptor, depth: usize, is_chosen: bool) -> Value {
        let mut example = Map::new();
        for field in message.fields().filter(|_| depth < MAX_DEPTH) {
            let of_one = field.containing_oneof().filter(|oneof| !oneof.is_synthetic());
            let comment = match &of_one {
                Some(oneof) => self.comments.at(&message.parent_file(), oneof.path()),
                None => self.comments.at(&message.parent_file(), field.path()),
            };
            let is_one = of_one.is_some();
            let is_first = of_one.is_none_or(|oneof| oneof.fields().next().as_ref() == Some(&field));
            let is_wanted = comment.starts_with(REQUIRED) || is_chosen;
            if is_wanted && is_first {
                example.insert(field.json_name().to_owned(), self.value(&field, depth, is_one));
            }
        }
        Value::Object(example)
    }

    fn value(&self, field: &FieldDescriptor, depth: usize, is_chosen: bool) -> Value {
        let one = match field.kind() {
            Kind::Message(_) if field.is_map() => return json!({}),
            Kind::Message(message) if message.full_name() == TIMESTAMP => json!("2030-01-01T00:00:00Z"),
            Kind::Message(message) if well_known(message.full_name()).is_some() => json!(""),
            Kind::Message(message) => self.example_at(&message, depth + 1, is_chosen),
            Kind::Bool => json!(true),
            Kind::Enum(names) => json!(names.values().last().map(|value| value.name().to_owned())),
            Kind::String => {
                let known = EXAMPLES.iter().find(|(end, _)| field.name().ends_with(end));
                json!(known.map_or("string", |(_, text)| *text))
            }
            Kind::Bytes => json!(""),
            _ => json!(1),
        };
        if field.is_list() { json!([one]) } else { one }
    }
}

/// Adds `message`, and all that may stand in it, to `found`.
fn answered(message: &MessageDescriptor, found: &mut BTreeSet<String>) {
    if found.insert(message.full_name().to_owned()) {
        for field in message.fields() {
            if let Some(inner) = field.kind().as_message() {
                answered(inner, found);
            }
        }
    }
}

fn reference(name: &str) -> Value {
    json!({ "$ref": format!("#/components/schemas/{name}") })
}

/// `schema`, with a description if there is one.
fn described(mut schema: Value, description: &str) -> Value {
    if !description.is_empty() {
        schema["description"] = json!(description);
    }
    schema
}

/// The messages that JSON has a form of its own for.
fn well_known(name: &str) -> Option<Value> {
    Some(match name {
        TIMESTAMP => json!({ "type": "string", "format": "date-time" }),
        "google.protobuf.Duration" => json!({ "type": "string", "pattern": r"^-?[0-9]+(\.[0-9]{1,9})?s$" }),
        "google.protobuf.FieldMask" => json!({ "type": "string" }),
        "google.protobuf.Struct" | "google.protobuf.Empty" => json!({ "type": "object" }),
        "google.protobuf.Any" => {
            json!({ "type": "object", "required": ["@type"], "properties": { "@type": { "type": "string" } } })
        }
        "google.protobuf.Value" => json!({}),
        _ => return None,
    })
}
