//! Owns which rules a field of a request can break, and how that is told.

use std::borrow::Cow;

/// A field of a request that breaks a rule.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FieldViolation {
    /// The field's path in the request message.
    pub field: Cow<'static, str>,
    /// Which rule, for programs.
    pub reason: FieldReason,
    /// Which rule, for people: the rest of a sentence that begins with the field.
    pub description: String,
}

/// A value that breaks a rule, before it is known which field held it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{description}")]
pub struct RuleViolation {
    /// Which rule, for programs.
    pub reason: FieldReason,
    /// Which rule, for people: the rest of a sentence that begins with the field.
    pub description: String,
}

impl RuleViolation {
    /// A violation of `reason`, described by the rest of a sentence that begins with the field.
    pub fn new(reason: FieldReason, description: impl Into<String>) -> Self {
        Self { reason, description: description.into() }
    }

    /// The violation, found in `field`.
    #[must_use]
    pub fn at(self, field: impl Into<Cow<'static, str>>) -> FieldViolation {
        FieldViolation { field: field.into(), reason: self.reason, description: self.description }
    }
}

/// The rules that a field can break.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FieldReason {
    /// The field must be set.
    Required,
    /// Fewer characters than asked for.
    TooShort,
    /// More characters or bytes than allowed.
    TooLong,
    /// A character that the rule forbids.
    ForbiddenCharacter,
    /// Not the form that the rule asks for.
    Malformed,
    /// Among the most common passwords.
    PasswordCommon,
    /// The password is the username.
    PasswordIsUsername,
    /// The field cannot be changed, or is none.
    NotUpdatable,
    /// The message has no such field.
    UnknownField,
}

/// What is wrong with all of these, in one sentence.
pub(super) fn summary(violations: &[FieldViolation]) -> String {
    match violations {
        [one] => format!("the field `{}` {}", one.field, one.description),
        many => {
            let fields: Vec<_> = many.iter().map(|violation| format!("`{}`", violation.field)).collect();
            format!("the fields {} break their rules", fields.join(", "))
        }
    }
}
