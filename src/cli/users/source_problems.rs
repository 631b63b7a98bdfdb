//! Owns the sentences that tell why `users import` cannot read its source.

use std::{io, path::Path};

use crate::{
    cli::{CommandReason, Failure},
    config::UnusableFile,
    install::{FileProblem, StartError},
    model::Error,
    transfer::Columns,
};

/// What went wrong with the `source`, which is named. It is not the service's own database, so its errors are told as what they are.
pub(super) fn sentence(error: &Error, source: &str) -> String {
    let cause = match error {
        Error::Unavailable { source, .. } | Error::Internal(source) => {
            crate::model::error::chain(source.as_ref())
        }
        other => other.to_string(),
    };
    let cause = said_by_database(&cause);
    format!("{source} cannot be read: {cause}")
}

pub(super) fn unreadable_source(sentence: String) -> Failure {
    Failure::because(CommandReason::SourceUnreadable, sentence)
}

/// What `sentence` tells of another service's database, which came to `error`: one that does not answer may another time.
pub(super) fn unreadable_table(error: &Error, sentence: String) -> Failure {
    match error {
        Error::Unavailable { .. } => Failure::because(CommandReason::SourceUnavailable, sentence),
        _ => unreadable_source(sentence),
    }
}

/// `problem` with what to do, if the source says that it has not one of the `columns`.
pub(super) fn advised(problem: String, columns: &Columns) -> String {
    let lacks = |column: &str| {
        let named = format!("source.{column}");
        problem.match_indices(&named).any(|(at, _)| {
            !problem[at + named.len()..].starts_with(|next: char| next.is_alphanumeric() || next == '_')
        })
    };
    let Some((field, _)) = columns.in_table().into_iter().find(|(_, column)| lacks(column)) else {
        return problem;
    };
    let flag = format!("--column-{}", field.replace('_', "-"));
    let advice = match field {
        "is_active" => {
            "--column-disabled=NAME names the column that says who may not log in (FastAPI's tutorial: disabled), --column-is-active=NAME \
             the one that says who may, and --column-is-active= says that all may"
                .to_owned()
        }
        "username" | "password_hash" => format!("{flag}=NAME names the column that holds it"),
        _ => format!("{flag}=NAME names the column that holds it, and {flag}= says that there is none"),
    };
    format!("{problem}: {advice}")
}

/// That the `file` cannot be read. One that is kept from this user is no wrong argument.
pub(super) fn unreadable(file: &Path, error: &io::Error) -> Failure {
    let UnusableFile { problem, is_forbidden } = UnusableFile::unreadable(file, error);
    if is_forbidden {
        StartError::File(FileProblem::Forbidden, problem).into()
    } else {
        Failure::Usage(problem)
    }
}

/// How the `file` is called in sentences.
pub(super) fn name_of(file: &Path) -> String {
    if file == Path::new("-") { "standard input".to_owned() } else { file.display().to_string() }
}

/// What the database said, of what the libraries before it have made of that.
fn said_by_database(cause: &str) -> String {
    const BEFORE: [&str; 4] =
        ["Query Error: ", "Execution Error: ", "Connection Error: ", "error returned from database: "];
    let said = BEFORE.iter().fold(cause, |cause, before| cause.strip_prefix(before).unwrap_or(cause));
    // SQLite has no text for it everywhere.
    if said.starts_with("(code: 26)") { "it is no database of SQLite's".to_owned() } else { said.to_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_source_is_told_without_the_names_of_libraries() {
        for (cause, expected) in [
            (
                "Query Error: error returned from database: (code: 26) file is not a database",
                "it is no database of SQLite's",
            ),
            (
                "Execution Error: error returned from database: permission denied for table users",
                "permission denied for table users",
            ),
            ("it said nothing for 60s", "it said nothing for 60s"),
        ] {
            let told = sentence(&Error::internal(cause.to_owned()), "old.db");
            assert_eq!(told, format!("old.db cannot be read: {expected}"));
        }
    }
}
