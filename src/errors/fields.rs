//! Owns the stable reasons of fields that break a rule.

use crate::{model::FieldReason, proto::identity::v1::FieldReason as WireReason};

/// The stable reason of a field's violation: a name of the proto's `FieldReason` without its prefix.
#[must_use]
pub fn field_reason(reason: FieldReason) -> &'static str {
    let wire = match reason {
        FieldReason::Required => WireReason::Required,
        FieldReason::TooShort => WireReason::TooShort,
        FieldReason::TooLong => WireReason::TooLong,
        FieldReason::ForbiddenCharacter => WireReason::ForbiddenCharacter,
        FieldReason::Malformed => WireReason::Malformed,
        FieldReason::PasswordCommon => WireReason::PasswordCommon,
        FieldReason::PasswordIsUsername => WireReason::PasswordIsUsername,
        FieldReason::NotUpdatable => WireReason::NotUpdatable,
        FieldReason::UnknownField => WireReason::UnknownField,
    };
    wire.as_str_name().trim_start_matches("FIELD_REASON_")
}
