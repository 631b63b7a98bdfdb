//! Owns a user as it stands outside: what each field holds, before any rule is asked.

use serde_json::{Map, Value};

/// One field of a record.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Field {
    /// The source has no such field.
    #[default]
    Absent,
    /// It has, and says that there is nothing.
    Null,
    /// A text.
    Text(String),
    /// A truth value.
    Flag(bool),
    /// A whole number.
    Number(i64),
    /// Names with what each stands for.
    Object(Map<String, Value>),
    /// Something else, which no field is.
    Other,
}

impl Field {
    /// The text; none if there is none.
    ///
    /// # Errors
    /// What is wrong, as the rest of a sentence, if it is no text.
    pub fn text(self) -> Result<Option<String>, &'static str> {
        match self {
            Self::Text(text) => Ok(Some(text)),
            Self::Absent | Self::Null => Ok(None),
            Self::Flag(_) | Self::Number(_) | Self::Object(_) | Self::Other => Err("must be a text"),
        }
    }

    /// The truth value; none if the source has no such field. Tables and CSV write it in several ways. One that is empty is false:
    /// services that ask for it let nobody in where it is NULL.
    ///
    /// # Errors
    /// What is wrong, as the rest of a sentence, if it is neither true nor false.
    pub fn flag(&self) -> Result<Option<bool>, &'static str> {
        match self {
            Self::Absent => Ok(None),
            _ if self.is_empty() => Ok(Some(false)),
            Self::Flag(flag) => Ok(Some(*flag)),
            Self::Number(0) => Ok(Some(false)),
            Self::Number(1) => Ok(Some(true)),
            Self::Text(text) => match text.to_ascii_lowercase().as_str() {
                // The last two are MySQL's BIT.
                "true" | "t" | "1" | "\u{1}" => Ok(Some(true)),
                "false" | "f" | "0" | "\u{0}" => Ok(Some(false)),
                _ => Err("must be true or false"),
            },
            Self::Number(_) | Self::Null | Self::Object(_) | Self::Other => Err("must be true or false"),
        }
    }

    /// Whether the source has such a field, and nothing in it.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        matches!(self, Self::Null) || matches!(self, Self::Text(text) if text.is_empty())
    }

    /// Whether the source says something of it, be it that there is nothing.
    #[must_use]
    pub fn is_given(&self) -> bool {
        *self != Self::Absent
    }
}

/// A user outside: the members of the NDJSON that `signet users export` writes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Record {
    /// A UUID, or another system's id.
    pub id: Field,
    /// The login name.
    pub username: Field,
    /// The password's hash.
    pub password_hash: Field,
    /// The e-mail address.
    pub email: Field,
    /// The name to show.
    pub display_name: Field,
    /// Whether the user may log in.
    pub is_active: Field,
    /// When the account was made, RFC 3339.
    pub create_time: Field,
    /// When it last changed, RFC 3339.
    pub update_time: Field,
    /// When the user last logged in, RFC 3339.
    pub login_time: Field,
    /// The attributes of its own: an object, or such an object as a text.
    pub attributes: Field,
}

impl Record {
    /// The names of the fields, in the order in which they are written.
    pub const FIELDS: [&str; 10] = [
        "id",
        "username",
        "password_hash",
        "email",
        "display_name",
        "is_active",
        "create_time",
        "update_time",
        "login_time",
        "attributes",
    ];

    /// The field `name`; none if a record has no such field.
    pub fn field(&mut self, name: &str) -> Option<&mut Field> {
        Some(match name {
            "id" => &mut self.id,
            "username" => &mut self.username,
            "password_hash" => &mut self.password_hash,
            "email" => &mut self.email,
            "display_name" => &mut self.display_name,
            "is_active" => &mut self.is_active,
            "create_time" => &mut self.create_time,
            "update_time" => &mut self.update_time,
            "login_time" => &mut self.login_time,
            "attributes" => &mut self.attributes,
            _ => return None,
        })
    }
}
