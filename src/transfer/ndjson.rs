//! Owns records as NDJSON: one JSON object a line.

use std::io::{self, BufRead};

use serde::{Deserialize, Deserializer};
use serde_json::Value;

use super::{
    BATCH, Batch, Field, Reason, Record, RefusedRow, RowRules,
    lines::{Line, Lines},
};

/// How much is told of what is wrong with a line: names of members can be long.
const MAX_PROBLEM_CHARS: usize = 240;

/// Reads `input` to its end, and gives `take` its rows in batches; until it wants no more.
///
/// # Errors
/// The input's.
pub fn read_ndjson(
    input: impl BufRead,
    rules: &RowRules,
    mut take: impl FnMut(Batch) -> bool,
) -> io::Result<()> {
    let mut lines = Lines::new(input);
    let (mut batch, mut place) = (Batch::default(), 0);
    while let Some(line) = lines.next()? {
        place += 1;
        let record = match &line {
            Line::TooLong => Err(malformed("is longer than 64 KiB")),
            // Between records, and at the end, an empty line is nothing.
            Line::Whole(line) if line.iter().all(u8::is_ascii_whitespace) => continue,
            Line::Whole(line) => parse(if place == 1 { without_mark(line) } else { line }),
        };
        batch.rows.push(rules.row(place, record));
        if batch.rows.len() == BATCH {
            batch.bytes = lines.bytes;
            if !take(std::mem::take(&mut batch)) {
                return Ok(());
            }
        }
    }
    batch.bytes = lines.bytes;
    take(batch);
    Ok(())
}

/// Without the byte order mark that some programs begin a file with.
fn without_mark(line: &[u8]) -> &[u8] {
    line.strip_prefix(b"\xef\xbb\xbf").unwrap_or(line)
}

/// A record as JSON. A member that is not known is refused: a misspelt `is_active` must not let somebody in.
#[derive(Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct Members {
    id: Member,
    username: Member,
    password_hash: Member,
    email: Member,
    display_name: Member,
    is_active: Member,
    create_time: Time,
    update_time: Time,
    login_time: Time,
    attributes: Member,
}

/// A time, which may be a number with a fraction.
#[derive(Default)]
struct Time(Field);

impl<'de> Deserialize<'de> for Time {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let value = Value::deserialize(deserializer)?;
        Ok(Self(match &value {
            Value::Number(number) if number.is_f64() => Field::Text(number.to_string()),
            _ => Field::from(value),
        }))
    }
}

/// A member of any type, so that what is wrong with it can be said without repeating it.
#[derive(Default)]
struct Member(Field);

impl<'de> Deserialize<'de> for Member {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Value::deserialize(deserializer).map(|value| Self(value.into()))
    }
}

impl From<Value> for Field {
    fn from(value: Value) -> Self {
        match value {
            Value::Null => Self::Null,
            Value::Bool(flag) => Self::Flag(flag),
            Value::Number(number) => number.as_i64().map_or(Self::Other, Self::Number),
            Value::String(text) => Self::Text(text),
            Value::Object(object) => Self::Object(object),
            Value::Array(_) => Self::Other,
        }
    }
}

impl Field {
    /// The same, with the text that bytes in hexadecimal digits stand for.
    fn unescaped(self, name: &str) -> Result<Self, RefusedRow> {
        let Self::Text(text) = self else { return Ok(self) };
        Self::of_text(name, text).map_err(|problem| malformed(&format!("has a {name} that {problem}")))
    }
}

fn parse(line: &[u8]) -> Result<Record, RefusedRow> {
    if line.trim_ascii_start().first() != Some(&b'{') {
        return Err(malformed("is not a JSON object"));
    }
    // What serde says of an object repeats names of members alone: their values are taken whatever they are.
    let members: Members = serde_json::from_slice(line).map_err(|error| {
        if error.is_data() {
            // The line is named by its number, and the column is that of the whole record.
            let problem = error.to_string();
            let problem = problem.rsplit_once(" at line ").map_or(&*problem, |(problem, _)| problem);
            let problem: String = problem.chars().take(MAX_PROBLEM_CHARS).collect();
            malformed(&format!("is not a record: {problem}"))
        } else {
            malformed(&format!("is not JSON (column {})", error.column()))
        }
    })?;
    Ok(Record {
        id: members.id.0.unescaped("id")?,
        username: members.username.0,
        password_hash: members.password_hash.0.unescaped("password_hash")?,
        email: members.email.0,
        display_name: members.display_name.0,
        is_active: members.is_active.0,
        create_time: members.create_time.0,
        update_time: members.update_time.0,
        login_time: members.login_time.0,
        attributes: members.attributes.0,
    })
}

fn malformed(problem: &str) -> RefusedRow {
    RefusedRow::new(Reason::MalformedRow, problem)
}
