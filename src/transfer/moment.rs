//! Owns when something happened, as other systems write it.

use std::{borrow::Cow, ops::RangeInclusive};

use super::Field;
use crate::base::Timestamp;

/// The last second of the year 2199, since 1970, up to which a number counts seconds.
const LAST_SECOND: u64 = 7_258_118_399;

/// From what number on milliseconds and microseconds are counted: from 1973 on.
const FIRST_MILLISECOND: u64 = 100_000_000_000;
const FIRST_MICROSECOND: u64 = 100_000_000_000_000;

/// Numbers of eight digits: a date without hyphens rather than a second of the years 1970 to 1973.
const DATES: RangeInclusive<u64> = 10_000_000..=99_999_999;

/// The moments that mean "never": MySQL's zero, and the first moment of Go and .NET, with whatever time zone follows.
const NEVER: [&str; 2] = ["0000-00-00", "0001-01-01T00:00:00"];

/// What is said of a field that is no time.
const PROBLEM: &str =
    "must be a time such as 2026-11-24T01:02:03.456Z (RFC 3339), a date, or a number of seconds since 1970";

/// The time that `field` says; none if it says nothing, or never: MySQL's zero dates, PostgreSQL's `infinity` and the number 0 are no
/// times.
///
/// # Errors
/// What is wrong, as the rest of a sentence.
pub(super) fn moment(field: &Field) -> Result<Option<Timestamp>, &'static str> {
    let text = match field {
        Field::Absent | Field::Null | Field::Number(0) => return Ok(None),
        Field::Number(number) => return since_1970(&number.to_string()).map(Some),
        Field::Text(text) => text.trim(),
        Field::Flag(_) | Field::Object(_) | Field::Other => return Err(PROBLEM),
    };
    let written = rfc_3339(text);
    if matches!(text, "" | "0")
        || text.trim_start_matches('-').eq_ignore_ascii_case("infinity")
        || NEVER.iter().any(|never| written.starts_with(never))
    {
        return Ok(None);
    }
    let is_number = text.trim_start_matches('-').bytes().all(|byte| byte.is_ascii_digit() || byte == b'.');
    if is_number { since_1970(text) } else { written.parse().map_err(|_| PROBLEM) }.map(Some)
}

/// The moment that a number of seconds, milliseconds or microseconds since 1970 says.
fn since_1970(text: &str) -> Result<Timestamp, &'static str> {
    let (whole, fraction) = text.split_once('.').unwrap_or((text, ""));
    let number: i64 = whole.parse().map_err(|_| PROBLEM)?;
    if !fraction.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err(PROBLEM);
    }
    let (in_micros, is_seconds) = match number.unsigned_abs() {
        size if DATES.contains(&size) => return Err(PROBLEM),
        0..=LAST_SECOND => (1_000_000, true),
        size @ FIRST_MILLISECOND.. if size / 1_000 <= LAST_SECOND => (1_000, false),
        size @ FIRST_MICROSECOND.. if size / 1_000_000 <= LAST_SECOND => (1, false),
        _ => return Err(PROBLEM),
    };
    let digits = if is_seconds { format!("{fraction:0<6.6}") } else { "0".to_owned() };
    let beyond: i64 = digits.parse().map_err(|_| PROBLEM)?;
    let beyond = if whole.starts_with('-') { -beyond } else { beyond };
    Ok(Timestamp::from_micros(number * in_micros + beyond))
}

/// `text` as RFC 3339 has it: a `T` between the date and the time, midnight of a date alone, seconds, a point before their fraction, and an
/// offset with a colon; UTC if there is none. What is no time stays none.
fn rfc_3339(text: &str) -> String {
    let text = text.strip_suffix(" UTC").unwrap_or(text);
    let Some((date, time)) = text.split_once(['T', 't', ' ']) else { return format!("{text}T00:00:00Z") };
    let time = time.replace(',', ".");
    let (clock, offset) = match time.find(['Z', 'z', '+', '-']) {
        Some(at) => (time[..at].trim_end(), &time[at..]),
        None => (time.as_str(), "Z"),
    };
    let clock = if clock.len() == "00:00".len() { Cow::from(format!("{clock}:00")) } else { clock.into() };
    let (sign, digits) = offset.split_at(1);
    let offset = match (digits.len(), digits.contains(':')) {
        (2, _) => format!("{offset}:00"),
        (4, false) if digits.is_ascii() => format!("{sign}{}:{}", &digits[..2], &digits[2..]),
        // The seconds of an offset of before there were time zones, if they are none.
        (8, true) => offset.strip_suffix(":00").unwrap_or(offset).to_owned(),
        _ => offset.to_owned(),
    };
    format!("{date}T{clock}{offset}")
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn read(text: &str) -> Result<Option<String>, &'static str> {
        moment(&Field::Text(text.to_owned())).map(|time| time.map(|time| time.to_string()))
    }

    #[test]
    fn times_are_read_as_databases_and_programs_write_them() {
        for (text, expected) in [
            ("2024-01-02T03:04:05Z", "2024-01-02T03:04:05Z"),
            ("2024-01-02 03:04:05", "2024-01-02T03:04:05Z"),
            ("2024-01-02 03:04:05.1234567", "2024-01-02T03:04:05.123456Z"),
            ("2024-01-02T03:04:05.1234567+00:00", "2024-01-02T03:04:05.123456Z"),
            ("2024-01-02 03:04:05,5", "2024-01-02T03:04:05.5Z"),
            ("2024-01-02 03:04", "2024-01-02T03:04:00Z"),
            ("2024-01-02", "2024-01-02T00:00:00Z"),
            ("2024-01-02 03:04:05+05", "2024-01-01T22:04:05Z"),
            ("2024-01-02 03:04:05+0530", "2024-01-01T21:34:05Z"),
            ("2024-01-02 03:04:05 +0530", "2024-01-01T21:34:05Z"),
            ("2024-01-02 03:04:05+05:30:00", "2024-01-01T21:34:05Z"),
            ("2024-01-02 03:04:05-0330", "2024-01-02T06:34:05Z"),
            ("2024-01-02 03:04:05 UTC", "2024-01-02T03:04:05Z"),
            ("2024-01-02 03:04:05.5 +0000 UTC", "2024-01-02T03:04:05.5Z"),
            ("1704164645", "2024-01-02T03:04:05Z"),
            ("1704164645.25", "2024-01-02T03:04:05.25Z"),
            ("1704164645250", "2024-01-02T03:04:05.25Z"),
            ("1704164645250000", "2024-01-02T03:04:05.25Z"),
            ("-1.5", "1969-12-31T23:59:58.5Z"),
            ("60", "1970-01-01T00:01:00Z"),
        ] {
            assert_eq!(read(text), Ok(Some(expected.to_owned())), "{text}");
        }
        assert_eq!(
            moment(&Field::Number(1_704_164_645)).map(|time| time.map(|time| time.to_string())),
            Ok(Some("2024-01-02T03:04:05Z".to_owned()))
        );
    }

    #[test]
    fn what_means_never_is_no_time() {
        for text in [
            "",
            "0",
            "0000-00-00",
            "0000-00-00 00:00:00",
            "0000-00-00 00:00:00.000000",
            "infinity",
            "-infinity",
            "0001-01-01T00:00:00Z",
            "0001-01-01 00:00:00+00",
        ] {
            assert_eq!(read(text), Ok(None), "{text}");
        }
    }

    #[test]
    fn what_is_no_time_is_refused() {
        for text in [
            "yesterday",
            "2024-13-01",
            "2024-02-30 00:00:00",
            "0000-01-00 00:00:00",
            "2024-01-02 03:04:05+0",
            "2024-01-02 03:04:05+a€",
            "2024-01-02 03:04:05+00:19:32",
            "2024-01-02 25:00:00",
            "20240102",
            "20240102030405",
            "1.2.3",
            ".",
            "-",
            "99999999999999999999",
            "9223372036854775807",
        ] {
            assert_eq!(read(text), Err(PROBLEM), "{text}");
        }
    }

    proptest! {
        #[test]
        fn no_text_panics(text in any::<String>(), close in "[-+0-9TZ:., €é]{0,32}") {
            let _ = read(&text);
            let _ = read(&close);
        }
    }
}
