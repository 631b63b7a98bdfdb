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
        /// What users are to be imported from cannot be read.
        SourceUnreadable = "SOURCE_UNREADABLE",
        /// Rows of an import were refused, each with its own reason.
        RowsRefused = "ROWS_REFUSED",
        /// The service does not serve.
        NotServing = "NOT_SERVING",
        /// Nobody answers at --server.
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
