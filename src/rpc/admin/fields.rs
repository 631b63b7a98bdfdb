//! Owns reading the fields that many requests of the admin API have: ids, etags and times.

use prost_types::Timestamp as WireTimestamp;
use uuid::Uuid;

use super::{refused, required};
use crate::{
    base::Timestamp,
    model::{Error, FieldReason, RuleViolation},
};

/// The seconds in which the times of protobuf lie: the years 1 to 9999.
const SECONDS: std::ops::RangeInclusive<i64> = -62_135_596_800..=253_402_300_799;

/// The id that the request's `field` must have.
///
/// # Errors
/// [`Error::InvalidFields`] if it is empty, or no UUID.
pub(super) fn id<T: From<Uuid>>(field: &'static str, text: &str) -> Result<T, Error> {
    if text.is_empty() {
        return Err(required(field));
    }
    let id = Uuid::try_parse(text).map_err(|_| refused(field, FieldReason::Malformed, "must be a UUID"))?;
    Ok(T::from(id))
}

/// The etag that a resource must still have; none if the request sets none.
pub(super) fn etag(text: &str) -> Option<&str> {
    Some(text).filter(|etag| !etag.is_empty())
}

/// The time in `field`; none if the request sets none.
///
/// # Errors
/// [`Error::InvalidFields`] for what is no time of protobuf.
pub(super) fn moment(field: &'static str, time: Option<&WireTimestamp>) -> Result<Option<Timestamp>, Error> {
    let Some(WireTimestamp { seconds, nanos }) = time else { return Ok(None) };
    if !SECONDS.contains(seconds) || !(0..1_000_000_000).contains(nanos) {
        return Err(refused(field, FieldReason::Malformed, "must be a time of the years 1 to 9999"));
    }
    Ok(Some(Timestamp::from_micros(seconds * 1_000_000 + i64::from(nanos / 1_000))))
}

/// That the value of `field` breaks `rule`.
pub(super) fn at(field: &'static str, rule: RuleViolation) -> Error {
    Error::InvalidFields(vec![rule.at(field)])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_those_of_protobuf() {
        let read =
            |seconds, nanos| moment("time", Some(&WireTimestamp { seconds, nanos })).map(Option::unwrap);
        assert_eq!(read(1, 1_999).unwrap(), Timestamp::from_micros(1_000_001));
        for (seconds, text) in
            [(*SECONDS.start(), "0001-01-01T00:00:00Z"), (*SECONDS.end(), "9999-12-31T23:59:59Z")]
        {
            assert_eq!(read(seconds, 0).unwrap().to_string(), text);
        }
        for (seconds, nanos) in [
            (*SECONDS.start() - 1, 0),
            (*SECONDS.end() + 1, 0),
            (i64::MAX, 0),
            (i64::MIN, 0),
            (0, -1),
            (0, 1_000_000_000),
        ] {
            assert!(read(seconds, nanos).is_err(), "{seconds} {nanos}");
        }
        assert_eq!(moment("time", None).unwrap(), None);
    }
}
