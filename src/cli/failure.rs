//! Owns why a command did not do what it was asked: a sentence for people, and for programs what they go by.

use std::{io, path::Path};

use serde::Serialize;
use serde_json::Value;

use crate::{
    config::{ConfigError, UnusableFile},
    errors::{CommandReason, Row, field_reason},
    install::{FileProblem, ManifestProblem, StartError},
    model::{Error, FieldReason, RefusedChange, error::chain},
};

/// Why a command did not do what it was asked.
#[derive(Debug, thiserror::Error)]
pub(super) enum Failure {
    /// A setting or an argument cannot be used.
    #[error("{0}")]
    Usage(String),
    /// The command failed.
    #[error("{0}")]
    Failed(String),
    /// The command was refused, or failed, for a reason that has a name.
    #[error("{}", .0.error)]
    Named(Box<NamedFailure>),
}

/// A failure that has a name, as `--json` tells it; what is not known is left out.
#[derive(Debug, Default, Serialize)]
pub(super) struct NamedFailure {
    /// The sentence for people.
    pub(super) error: String,
    /// The stable reason (docs/ERRORS.md).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) reason: Option<String>,
    /// The fields that break rules.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(super) violations: Vec<Violation>,
    /// The gRPC code that the call was answered with.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) code: Option<String>,
    /// The id of the call, by which the service's log and the audit events tell of it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) request_id: Option<String>,
    /// Whether an argument cannot be used.
    #[serde(skip)]
    pub(super) is_usage: bool,
}

/// A field, an argument or a setting that breaks a rule.
#[derive(Clone, Debug, Serialize)]
pub(super) struct Violation {
    /// Its name.
    pub(super) field: String,
    /// The stable reason.
    pub(super) reason: String,
    /// The rest of a sentence that begins with the field.
    pub(super) description: String,
}

impl Failure {
    /// That the command failed for `reason`, of which `error` tells.
    pub(super) fn because(reason: CommandReason, error: impl Into<String>) -> Self {
        let reason = Some(reason.name().to_owned());
        Self::Named(Box::new(NamedFailure { error: error.into(), reason, ..NamedFailure::default() }))
    }

    /// That the environment variable `name` cannot be used, of which `problem` is the rest of the sentence.
    pub(super) fn of_variable(name: &str, problem: &str) -> Self {
        let (field, reason) = (name.to_owned(), field_reason(FieldReason::Malformed).to_owned());
        Self::Named(Box::new(NamedFailure {
            error: format!("{name} {problem}"),
            reason: Some(CommandReason::InvalidUsage.name().to_owned()),
            violations: vec![Violation { field, reason, description: problem.to_owned() }],
            is_usage: true,
            ..NamedFailure::default()
        }))
    }

    /// That the file `path`, which the argument `flag` names, cannot be read, of which the system says `error`.
    pub(super) fn of_input(flag: &str, path: &Path, error: &io::Error) -> Self {
        let UnusableFile { problem, is_forbidden } = UnusableFile::unreadable(path, error);
        let sentence = format!("{flag}: {problem}");
        if is_forbidden { Self::forbidden(sentence) } else { Self::Usage(sentence) }
    }

    /// That this user may not use the file of which `sentence` tells.
    fn forbidden(sentence: String) -> Self {
        StartError::File(FileProblem::Forbidden, sentence).into()
    }

    /// That the file that `sentence` tells of cannot be written, which came to `error`: it is there already, for example.
    pub(super) fn of_new_file(error: &io::Error, sentence: String) -> Self {
        StartError::File(FileProblem::of(error), sentence).into()
    }

    /// Whether a setting or an argument cannot be used.
    pub(super) const fn is_usage(&self) -> bool {
        match self {
            Self::Usage(_) => true,
            Self::Failed(_) => false,
            Self::Named(failure) => failure.is_usage,
        }
    }

    /// Whether a call was answered so, by the gRPC code that is called `code`.
    pub(super) fn is_by(&self, code: &str) -> bool {
        matches!(self, Self::Named(failure) if failure.code.as_deref() == Some(code))
    }

    /// What a program is told.
    pub(super) fn object(&self) -> Value {
        match self {
            Self::Usage(error) => {
                let reason = CommandReason::InvalidUsage.name().to_owned();
                let violations = Violation::of_sentence(error).into_iter().collect();
                json(&NamedFailure {
                    error: error.clone(),
                    reason: Some(reason),
                    violations,
                    ..NamedFailure::default()
                })
            }
            Self::Failed(error) => Self::because(CommandReason::CommandFailed, error).object(),
            Self::Named(failure) => json(failure),
        }
    }

    /// The same with `hint` after the sentence: what can be done about it.
    pub(super) fn with_hint(self, hint: &str) -> Self {
        let longer = |error: String| format!("{error}; {hint}");
        match self {
            Self::Usage(error) => Self::Usage(longer(error)),
            Self::Failed(error) => Self::Failed(longer(error)),
            Self::Named(failure) => {
                Self::Named(Box::new(NamedFailure { error: longer(failure.error), ..*failure }))
            }
        }
    }
}

fn json(failure: &NamedFailure) -> Value {
    serde_json::to_value(failure).unwrap_or_default()
}

impl Violation {
    /// What `sentence` says of the argument or the setting that it begins with: `--grpc-addr: must be ...`.
    fn of_sentence(sentence: &str) -> Option<Self> {
        let (shown, description) = sentence.split_once(": ")?;
        let reason = field_reason(FieldReason::Malformed).to_owned();
        let field = Self::argument(shown)?;
        Some(Self { field, reason, description: description.to_owned() })
    }

    /// The name of an argument that is shown as `--tls-san-dns <NAME>` or `<NAME>`: `tls_san_dns`, `name`; none if `shown` is none.
    pub(super) fn argument(shown: &str) -> Option<String> {
        let name = shown.strip_prefix("--").or_else(|| shown.strip_prefix(['<', '[']))?;
        let name = name.split([' ', '=', '[', '>', ']']).next()?;
        (!name.is_empty()).then(|| name.to_ascii_lowercase().replace('-', "_"))
    }

    /// The name of the field at `path` of a request: whose field it is the command line knows.
    pub(super) fn name(path: &str) -> String {
        path.rsplit('.').next().unwrap_or_default().to_owned()
    }

    /// Each of the rules that `violations` tell of: the operator is told all of them.
    pub(super) fn sentence(violations: &[Self]) -> String {
        let rule = |Self { field, description, .. }: &Self| format!("the {field} {description}");
        violations.iter().map(rule).collect::<Vec<_>>().join("; ")
    }
}

impl From<StartError> for Failure {
    fn from(error: StartError) -> Self {
        match error {
            StartError::Config(error) => error.into(),
            StartError::File(problem, error) => Self::Named(Box::new(NamedFailure {
                error,
                reason: Some(problem.name().to_owned()),
                ..NamedFailure::default()
            })),
            StartError::Unavailable(error) => Self::because(CommandReason::DatabaseUnavailable, error),
            // The files are the command's arguments.
            StartError::Refused(error) => ManifestProblem::Refused(error).into(),
            StartError::Failed(error) => error.into(),
        }
    }
}

impl From<ConfigError> for Failure {
    fn from(error: ConfigError) -> Self {
        let sentence = error.to_string();
        if error.is_forbidden { Self::forbidden(sentence) } else { Self::Usage(sentence) }
    }
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        let reason = Row::of(&error).reason().map(str::to_owned);
        let is_usage = matches!(error, Error::InvalidFields(_) | Error::UserAmbiguous { .. });
        let is_denied = error.is_denied();
        let mut violations = Vec::new();
        let sentence = match error {
            Error::InvalidFields(broken) => {
                violations.extend(broken.into_iter().map(|rule| Violation {
                    field: Violation::name(&rule.field),
                    reason: field_reason(rule.reason).to_owned(),
                    description: rule.description,
                }));
                Violation::sentence(&violations)
            }
            Error::UserAmbiguous { .. } => format!("{error}: say --id or --name"),
            // It is a setting's.
            Error::WrongMasterKey { .. } => return StartError::from(error).into(),
            Error::Internal(cause) if is_denied => {
                return Self::because(CommandReason::DatabaseForbidden, chain(cause.as_ref()));
            }
            // The operator is told the cause itself; a caller is told that the log has it.
            Error::Internal(cause) => chain(cause.as_ref()),
            other => chain(&other),
        };
        Self::Named(Box::new(NamedFailure {
            error: sentence,
            reason,
            violations,
            is_usage,
            ..NamedFailure::default()
        }))
    }
}

impl From<ManifestProblem> for Failure {
    fn from(problem: ManifestProblem) -> Self {
        match problem {
            ManifestProblem::Unreadable(problem, error) => StartError::File(problem, error).into(),
            // The files are the command's arguments.
            ManifestProblem::Refused(error) => Self::Named(Box::new(NamedFailure {
                reason: Row::of(&Error::ManifestRefused(Vec::new())).reason().map(str::to_owned),
                error,
                is_usage: true,
                ..NamedFailure::default()
            })),
            // So is what they refer to.
            ManifestProblem::SecretMissing(error) => Self::Named(Box::new(NamedFailure {
                reason: Some(CommandReason::SecretMissing.name().to_owned()),
                error,
                is_usage: true,
                ..NamedFailure::default()
            })),
        }
    }
}

impl From<RefusedChange> for Failure {
    fn from(RefusedChange { change, error }: RefusedChange) -> Self {
        match (change, Self::from(error)) {
            (Some(change), Self::Named(failure)) => {
                let error = RefusedChange::sentence(&change, &failure.error);
                Self::Named(Box::new(NamedFailure { error, ..*failure }))
            }
            (_, failure) => failure,
        }
    }
}

impl From<io::Error> for Failure {
    fn from(error: io::Error) -> Self {
        Self::of_new_file(&error, format!("reading or writing a file failed: {error}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_document_has_each_reason_of_a_command() {
        let document =
            std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/docs/ERRORS.md")).unwrap();
        let (_, commands) = document.split_once("## Commands").unwrap();
        let of_files = FileProblem::ALL.iter().map(|problem| problem.name());
        for name in CommandReason::ALL.iter().map(|reason| reason.name()).chain(of_files) {
            assert_eq!(commands.matches(&format!("| `{name}` |")).count(), 1, "{name}");
        }
    }

    #[test]
    fn a_program_is_told_which_argument_cannot_be_used() {
        let told = Failure::Usage("--grpc-addr (SIGNET_GRPC_ADDR): `x` cannot be used: no port".to_owned());
        let expected = serde_json::json!({
            "error": "--grpc-addr (SIGNET_GRPC_ADDR): `x` cannot be used: no port",
            "reason": "INVALID_USAGE",
            "violations": [
                { "field": "grpc_addr", "reason": "MALFORMED", "description": "`x` cannot be used: no port" }
            ],
        });
        assert_eq!(told.object(), expected);
        for (shown, name) in
            [("--tls-san-dns <NAME>", "tls_san_dns"), ("<ID|NAME>", "id|name"), ("[FILE]", "file")]
        {
            assert_eq!(Violation::argument(shown).as_deref(), Some(name));
        }
        assert_eq!(Violation::argument("the argument"), None);
        let failed = Failure::Failed("it rained".to_owned()).object();
        assert_eq!(failed, serde_json::json!({ "error": "it rained", "reason": "COMMAND_FAILED" }));
    }
}
