//! Owns the refusal of one of many changes that are made as one: which it is, and why.

use super::Error;

/// Why many changes were not made as one.
#[derive(Debug)]
pub struct RefusedChange {
    /// What was to be changed, in words, if it is one of them that was refused.
    pub change: Option<String>,
    /// Why.
    pub error: Error,
}

impl RefusedChange {
    /// What is said if what was to be made of `change` was refused for a `reason`.
    #[must_use]
    pub fn sentence(change: &str, reason: &str) -> String {
        format!("{change}: {reason}")
    }
}

impl std::fmt::Display for RefusedChange {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match &self.change {
            Some(change) => f.write_str(&Self::sentence(change, &self.error.to_string())),
            None => self.error.fmt(f),
        }
    }
}

impl From<Error> for RefusedChange {
    fn from(error: Error) -> Self {
        Self { change: None, error }
    }
}
