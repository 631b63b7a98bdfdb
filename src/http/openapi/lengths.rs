//! Owns how long the texts of requests may be, by the constants of the model. What else their rules are, their comments say.

use serde_json::{Value, json};

use crate::model::{password::PASSWORD_MAX_CHARS, profile::EMAIL_MAX_BYTES, username::USERNAME_MAX_CHARS};

/// The bounds of the texts of one document.
#[derive(Clone, Copy, Debug)]
pub(super) struct Lengths {
    /// The fewest characters of a new password.
    pub(super) password_min_chars: usize,
}

impl Lengths {
    /// Adds to the `schema` of the field `name`, a full one, how many characters its text has. A text within these bounds may still break a
    /// rule: some are of bytes, or of what is left once it is normalised.
    pub(super) fn bound(self, name: &str, schema: &mut Value) {
        let (min, max) = match name {
            "identity.v1.SignUpRequest.username" => (1, Some(USERNAME_MAX_CHARS)),
            "identity.v1.SignUpRequest.email" => (1, Some(EMAIL_MAX_BYTES)),
            // Spaces of which there are too many are dropped.
            "identity.v1.SignUpRequest.display_name" => (1, None),
            "identity.v1.SignUpRequest.password"
            | "identity.v1.ChangePasswordRequest.new_password"
            | "identity.v1.SetNewPasswordRequest.new_password" => {
                (self.password_min_chars, Some(PASSWORD_MAX_CHARS))
            }
            _ => return,
        };
        schema["minLength"] = json!(min);
        if let Some(max) = max {
            schema["maxLength"] = json!(max);
        }
    }
}
