//! Owns a user as it stands outside: what each field holds, before any rule is asked.

use serde_json::{Map, Value};
use uuid::{Uuid, Variant};

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
                // What PostgreSQL takes too, pandas' numbers where some are missing, and MySQL's BIT.
                "true" | "t" | "yes" | "y" | "on" | "1" | "1.0" | "\u{1}" => Ok(Some(true)),
                "false" | "f" | "no" | "n" | "off" | "0" | "0.0" | "\u{0}" => Ok(Some(false)),
                _ => Err("must be true or false"),
            },
            Self::Number(_) | Self::Null | Self::Object(_) | Self::Other => Err("must be true or false"),
        }
    }

    /// The field `name` that holds `text`, of a file. Ids and hashes may be bytes in the source, which are written in hexadecimal digits
    /// then: after `\x`, as PostgreSQL writes them, or `0x`, as MySQL does. Of ids these are UUIDs alone: another that begins so may be a
    /// text, by which its owner is found in the source. Names and addresses are what they are: people choose them.
    ///
    /// # Errors
    /// What is wrong, as the rest of a sentence, if the bytes are no text.
    pub(super) fn of_text(name: &str, text: String) -> Result<Self, &'static str> {
        match bytes_of(name, &text).filter(|digits| name != "id" || is_uuid(digits)) {
            Some(digits) => Self::of_bytes(name, digits),
            None => Ok(Self::Text(text)),
        }
    }

    /// The field `name` that holds the bytes of these hexadecimal digits. An id stays in its digits; anything else is the text that the
    /// bytes are, without the zeros that fill a column of fixed length.
    ///
    /// # Errors
    /// What is wrong, as the rest of a sentence, if the bytes are no text.
    pub(super) fn of_bytes(name: &str, digits: &str) -> Result<Self, &'static str> {
        let bytes = hex::decode(digits).map_err(|_| "is bytes that are not told in hexadecimal digits")?;
        if name == "id" {
            return Ok(Self::Text(digits.to_owned()));
        }
        let text = String::from_utf8(bytes).map_err(|_| "is not UTF-8")?;
        Ok(Self::Text(text.trim_end_matches('\0').to_owned()))
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

/// The hexadecimal digits of the bytes that `text` stands for, if it does as the field `name`.
fn bytes_of<'a>(name: &str, text: &'a str) -> Option<&'a str> {
    let digits = match name {
        "id" | "password_hash" => text.strip_prefix("\\x").or_else(|| text.strip_prefix("0x"))?,
        _ => return None,
    };
    let is_hexadecimal = digits.bytes().all(|byte| byte.is_ascii_hexdigit());
    (is_hexadecimal && !digits.is_empty() && digits.len().is_multiple_of(2)).then_some(digits)
}

/// Whether the hexadecimal `digits` are those of an id that a user may keep.
fn is_uuid(digits: &str) -> bool {
    Uuid::try_parse(digits).is_ok_and(|id| is_kept(&id))
}

/// Whether a user keeps the id. The nil UUID and the like are nobody's; of those without a version some mean other things here.
pub(super) fn is_kept(id: &Uuid) -> bool {
    id.get_variant() == Variant::RFC4122 && (1..=8).contains(&id.get_version_num())
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_in_hexadecimal_digits_are_what_they_stand_for() {
        let text = |name: &str, text: &str| match Field::of_text(name, text.to_owned()) {
            Ok(Field::Text(text)) => text,
            other => format!("{other:?}"),
        };
        let uuid = "018f3c9e3b1a7f0e9a536b2b8f0f4c11";
        for (name, given, expected) in [
            ("id", format!("\\x{uuid}"), uuid),
            ("id", format!("0x{uuid}"), uuid),
            ("id", "0x12 Main Street".to_owned(), "0x12 Main Street"),
            // The address of a wallet, and sixteen bytes that are no UUID.
            (
                "id",
                format!("0x5290{uuid}{uuid}")[..42].to_owned(),
                "0x5290018f3c9e3b1a7f0e9a536b2b8f0f4c11018f",
            ),
            ("id", "0x00112233445500770099aabbccddeeff".to_owned(), "0x00112233445500770099aabbccddeeff"),
            ("id", "\\x31".to_owned(), "\\x31"),
            ("password_hash", "\\x2432622431".to_owned(), "$2b$1"),
            ("password_hash", "0x24326224310000".to_owned(), "$2b$1"),
            ("password_hash", "\\xff".to_owned(), "Err(\"is not UTF-8\")"),
            ("username", "\\x616e6e".to_owned(), "\\x616e6e"),
            ("email", "\\x616e6e".to_owned(), "\\x616e6e"),
            ("username", "0x616e6e".to_owned(), "0x616e6e"),
            ("display_name", "\\x616e6e".to_owned(), "\\x616e6e"),
        ] {
            assert_eq!(text(name, &given), expected, "{name} {given}");
        }
        // What a table says is bytes.
        for (name, digits, expected) in [
            ("id", uuid, Ok(uuid)),
            ("username", "616E6E0000", Ok("ann")),
            ("email", "", Ok("")),
            ("username", "ff", Err("is not UTF-8")),
            // As PostgreSQL writes them by `bytea_output = escape`.
            ("id", "\\001\\217ab", Err("is bytes that are not told in hexadecimal digits")),
            ("password_hash", "$2b$04$", Err("is bytes that are not told in hexadecimal digits")),
        ] {
            let expected = expected.map(|text| Field::Text(text.to_owned()));
            assert_eq!(Field::of_bytes(name, digits), expected, "{name} {digits}");
        }
    }

    #[test]
    fn who_may_log_in_is_said_in_several_ways() {
        for (text, expected) in [("Yes", Ok(Some(true))), ("0.0", Ok(Some(false))), ("OFF", Ok(Some(false)))]
        {
            assert_eq!(Field::Text(text.to_owned()).flag(), expected);
        }
        assert!(Field::Text("perhaps".to_owned()).flag().is_err());
    }
}
