//! Owns what can become of a row, and how often each did.

use crate::model::UserId;

/// Why a row was refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reason {
    /// It cannot be read as a record.
    MalformedRow,
    /// The username is missing or breaks a rule.
    InvalidUsername,
    /// The username is a UUID, as which users' ids are written.
    UsernameIsUuid,
    /// Another field breaks its rule.
    InvalidField,
    /// An attribute is not declared, or its value is of another type or breaks a rule.
    InvalidAttribute,
    /// The user has no password in the export.
    NoPassword,
    /// The user has a second factor in the export, or may have one, and the password alone would do here.
    SecondFactor,
    /// The user is to choose another password, so the one in the export is not the user's alone.
    PasswordTemporary,
    /// The password's hash cannot be taken over; the name says why (`PASSWORD_HASH_...`).
    PasswordHash(&'static str),
    /// An earlier row of the input has the same name, by RFC 8265, or the same id.
    DuplicateInInput,
    /// A user that is there has a name that is equal by RFC 8265, and written otherwise.
    UsernameCollision,
    /// The user is there under another id.
    IdDiffers,
    /// The id is another user's.
    IdTaken,
    /// The user is there with another password, and conflicts are to be refused.
    UserExists,
    /// Nobody could sign up with the username, since it breaks a rule of new ones.
    UsernameBreaksRule,
    /// Nobody could sign up with the username, since it is reserved.
    UsernameReserved,
    /// Nobody could sign up with the username, since it passes for that of a user who is there.
    UsernameCollides,
}

impl Reason {
    /// The name in reports: programs rely on it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::MalformedRow => "MALFORMED_ROW",
            Self::InvalidUsername => "INVALID_USERNAME",
            Self::UsernameIsUuid => "USERNAME_IS_UUID",
            Self::InvalidField => "INVALID_FIELD",
            Self::InvalidAttribute => "INVALID_ATTRIBUTE",
            Self::NoPassword => "NO_PASSWORD",
            Self::SecondFactor => "SECOND_FACTOR",
            Self::PasswordTemporary => "PASSWORD_TEMPORARY",
            Self::PasswordHash(name) => name,
            Self::DuplicateInInput => "DUPLICATE_IN_INPUT",
            Self::UsernameCollision => "USERNAME_COLLISION",
            Self::IdDiffers => "ID_DIFFERS",
            Self::IdTaken => "ID_TAKEN",
            Self::UserExists => "USER_EXISTS",
            Self::UsernameBreaksRule => "USERNAME_BREAKS_RULE",
            Self::UsernameReserved => "USERNAME_RESERVED",
            Self::UsernameCollides => "USERNAME_COLLIDES",
        }
    }
}

/// A row that was refused, and why.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RefusedRow {
    /// Why, for programs.
    pub reason: Reason,
    /// Why, for people: the rest of a sentence that begins with the row. Never repeats a hash.
    pub problem: String,
}

impl RefusedRow {
    /// A refusal for `reason`, which `problem` describes.
    pub fn new(reason: Reason, problem: impl Into<String>) -> Self {
        Self { reason, problem: problem.into() }
    }
}

/// What became of a row.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RowOutcome {
    /// The user is new.
    Added(UserId),
    /// The user is new, and nobody could sign up with its name.
    Noted(UserId, RefusedRow),
    /// The user that is there took over what the row says.
    Updated(UserId),
    /// The user was there, with all that the row says.
    AlreadyThere(UserId),
    /// The user is there with another password or id, and stays as it is.
    Skipped(UserId),
    /// Nothing was written.
    Refused(RefusedRow),
}

impl RowOutcome {
    /// The id under which the user is there now, if it is.
    #[must_use]
    pub const fn id(&self) -> Option<UserId> {
        match self {
            Self::Added(id)
            | Self::Noted(id, _)
            | Self::Updated(id)
            | Self::AlreadyThere(id)
            | Self::Skipped(id) => Some(*id),
            Self::Refused(_) => None,
        }
    }
}

/// How many rows came to what.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ImportCounts {
    /// All of them.
    pub rows: u64,
    /// New users.
    pub added: u64,
    /// Users among them with whose names nobody could sign up.
    pub noted: u64,
    /// Users who took over what their rows say.
    pub updated: u64,
    /// Users who were there with all that their rows say.
    pub already_there: u64,
    /// Users who were there otherwise, and stay so.
    pub skipped: u64,
    /// Rows of which nothing was written.
    pub refused: u64,
    /// Users who are new, or took over what their rows say, and are inactive since `is_active` is empty there.
    pub inactive_since_empty: u64,
}

impl ImportCounts {
    /// Counts one row more, and whether an empty `is_active` has its user be inactive.
    pub fn count(&mut self, outcome: &RowOutcome, is_active_empty: bool) {
        self.rows += 1;
        if is_active_empty
            && matches!(outcome, RowOutcome::Added(_) | RowOutcome::Noted(..) | RowOutcome::Updated(_))
        {
            self.inactive_since_empty += 1;
        }
        if matches!(outcome, RowOutcome::Noted(..)) {
            self.noted += 1;
        }
        *match outcome {
            RowOutcome::Added(_) | RowOutcome::Noted(..) => &mut self.added,
            RowOutcome::Updated(_) => &mut self.updated,
            RowOutcome::AlreadyThere(_) => &mut self.already_there,
            RowOutcome::Skipped(_) => &mut self.skipped,
            RowOutcome::Refused(_) => &mut self.refused,
        } += 1;
    }
}
