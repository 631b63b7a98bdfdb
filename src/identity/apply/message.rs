//! Owns how manifests stand in messages: their fields are the keys of a file, so each is read from the other by its names.

use serde::{Serialize, de::DeserializeOwned};
use serde_json::{Error, Value, from_value, to_value};

use super::Manifest;

/// What `message` says, which is a manifest or an item of one.
///
/// # Errors
/// If it has not the form that it must have.
pub fn read_message<Item: DeserializeOwned>(message: impl Serialize) -> Result<Item, Error> {
    let mut value = to_value(message)?;
    leave_out_nulls(&mut value);
    from_value(value)
}

/// `manifest` as a message, without references to secrets.
///
/// # Errors
/// If the message has not the fields that it needs.
pub fn to_message<Message: DeserializeOwned>(mut manifest: Manifest) -> Result<Message, Error> {
    for client in &mut manifest.clients {
        client.secret = None;
        client.public_keys = client.public_keys.take().map(|keys| match keys {
            Value::String(text) => Value::String(text),
            set => Value::String(set.to_string()),
        });
    }
    from_value(to_value(manifest)?)
}

/// Leaves out what is not set, as a file does.
fn leave_out_nulls(value: &mut Value) {
    match value {
        Value::Object(fields) => {
            fields.retain(|_, value| !value.is_null());
            fields.values_mut().for_each(leave_out_nulls);
        }
        Value::Array(all) => all.iter_mut().for_each(leave_out_nulls),
        _ => {}
    }
}
