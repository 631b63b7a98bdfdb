//! Owns the reasons of commands that fail otherwise than calls do: they are an interface, too.

use crate::model::named::named;

named! {
    /// Why a command failed, where neither an error of the service nor a file says it (docs/ERRORS.md).
    CommandReason {
        /// An argument or a setting cannot be used.
        InvalidUsage = "INVALID_USAGE",
        /// The environment lacks a secret to which a manifest refers.
        SecretMissing = "SECRET_MISSING",
        /// A file, or standard output, cannot be read or written.
        FileUnusable = "FILE_UNUSABLE",
        /// The database server does not answer.
        DatabaseUnavailable = "DATABASE_UNAVAILABLE",
        /// The database's user may not do in it what the command does.
        DatabaseForbidden = "DATABASE_FORBIDDEN",
        /// What users are to be imported from cannot be read.
        SourceUnreadable = "SOURCE_UNREADABLE",
        /// The database that users are to be imported from does not answer.
        SourceUnavailable = "SOURCE_UNAVAILABLE",
        /// Roles or groups of an import would give somebody more than they do there.
        AccessConflict = "ACCESS_CONFLICT",
        /// Rows of an import were refused, each with its own reason.
        RowsRefused = "ROWS_REFUSED",
        /// The hash of a row does not take the password that --verify-one asked for.
        PasswordDoesNotFit = "PASSWORD_DOES_NOT_FIT",
        /// The service does not serve.
        NotServing = "NOT_SERVING",
        /// `doctor`, or `policy lint`, has found something wrong.
        ChecksFailed = "CHECKS_FAILED",
        /// Nobody answers at --server, or where `doctor` asks.
        ServerUnreachable = "SERVER_UNREACHABLE",
        /// The service there says what this release does not understand.
        AnswerNotUnderstood = "ANSWER_NOT_UNDERSTOOD",
        /// Nobody has logged in from here, or the login has ended.
        NotLoggedIn = "NOT_LOGGED_IN",
        /// Where logins are kept cannot be used.
        LoginUnusable = "LOGIN_UNUSABLE",
        /// Something else.
        CommandFailed = "COMMAND_FAILED",
    }
}
