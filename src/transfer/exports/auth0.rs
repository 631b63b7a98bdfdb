//! Owns the users of Auth0 as NDJSON: as its support exports them with their hashes, and as its own imports take them.

use std::io::{self, BufRead};

use serde::Deserialize;
use serde_json::Value;

use super::{Any, Batches, Count, ExportRules, Exported, Others, SecondFactor, full_name, user_of};
use crate::transfer::{
    Batch, Field, Reason, Record, RefusedRow,
    lines::{Line, Lines},
};

#[derive(Default, Deserialize)]
#[serde(default)]
#[expect(clippy::struct_field_names, reason = "the export calls them so")]
struct User {
    /// `{"$oid": "..."}` in what the support exports.
    #[serde(rename = "_id")]
    object_id: Value,
    user_id: Any,
    username: Any,
    email: Any,
    email_verified: Count,
    name: Option<String>,
    given_name: Option<String>,
    family_name: Option<String>,
    nickname: Option<String>,
    #[serde(alias = "passwordHash")]
    password_hash: Any,
    custom_password_hash: Option<CustomHash>,
    blocked: Any,
    created_at: Value,
    updated_at: Value,
    last_login: Value,
    /// What the support exports with the hashes has none of these: second factors are kept elsewhere.
    #[serde(alias = "mfa_factors", alias = "guardian_enrollments")]
    multifactor: Option<Count>,
    identities: Count,
    app_metadata: Count,
    user_metadata: Count,
    #[serde(alias = "phone_number")]
    phone: Count,
    picture: Count,
    #[serde(flatten)]
    others: Others,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct CustomHash {
    hash: CustomValue,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct CustomValue {
    value: Any,
}

/// What stands in exports and says nothing that is to come over.
const OF_NO_MATTER: [&str; 10] = [
    "tenant",
    "connection",
    "_tmp_is_unique",
    "password_set_date",
    "last_ip",
    "logins_count",
    "last_password_reset",
    "client_id",
    "usernames",
    "version",
];

/// Reads `input` to its end, a user a line, and gives `take` its users in batches; until it wants no more.
///
/// # Errors
/// The input's.
pub fn read_auth0(
    input: impl BufRead,
    rules: ExportRules<'_>,
    take: impl FnMut(Batch) -> bool,
) -> io::Result<()> {
    let mut lines = Lines::new(input);
    let (mut batches, mut place) = (Batches::new(rules, take), 0);
    while let Some(line) = lines.next()? {
        place += 1;
        let malformed = |problem| Err(RefusedRow::new(Reason::MalformedRow, problem));
        let user = match &line {
            Line::TooLong => malformed("is longer than 64 KiB"),
            Line::Whole(line) if line.iter().all(u8::is_ascii_whitespace) => continue,
            Line::Whole(line) => match serde_json::from_slice(line) {
                Ok(value) => user_of::<User>(value).map(exported),
                Err(_) => malformed("is not JSON"),
            },
        };
        if !batches.push_at(place, user, lines.bytes) {
            return Ok(());
        }
    }
    batches.flush(lines.bytes);
    Ok(())
}

fn exported(user: User) -> Exported {
    let second_factor = SecondFactor::counted(user.multifactor.as_ref());
    let mut of = Exported { second_factor, ..Exported::default() };
    let kinds = [
        // The first is the one with the password.
        ("federated_identities", user.identities.0.saturating_sub(1)),
        ("app_metadata", usize::from(user.app_metadata.0 > 0)),
        ("user_metadata", usize::from(user.user_metadata.0 > 0)),
        ("phone_numbers", user.phone.0),
        ("pictures", user.picture.0),
        ("verified_addresses", user.email_verified.0),
    ];
    of.leave(&kinds, &user.others, &OF_NO_MATTER);
    let address = if let Field::Text(address) = &user.email.0 { Some(address.clone()) } else { None };
    // Who has signed up with an address alone has it for a name.
    let name = user.name.filter(|name| Some(name) != address.as_ref());
    let display_name = match name.or(user.nickname.filter(|_| user.given_name.is_none())) {
        Some(name) => full_name(Some(name), None),
        None => full_name(user.given_name, user.family_name),
    };
    let custom = user.custom_password_hash.map(|custom| custom.hash.value.0);
    let object_id = user.object_id.get("$oid").unwrap_or(&user.object_id).clone();
    of.record = Record {
        id: if user.user_id.0.is_given() { user.user_id.0 } else { object_id.into() },
        username: user.username.0,
        password_hash: if user.password_hash.0.is_given() {
            user.password_hash.0
        } else {
            custom.unwrap_or_default()
        },
        email: user.email.0,
        display_name,
        is_active: user.blocked.opposite(),
        create_time: date(user.created_at),
        update_time: date(user.updated_at),
        login_time: date(user.last_login),
        attributes: Field::Absent,
    };
    of
}

/// A time, or MongoDB's form of one: `{"$date": TIME}`.
fn date(value: Value) -> Field {
    match value {
        Value::Object(mut members) => members.remove("$date").unwrap_or_default().into(),
        other => other.into(),
    }
}
