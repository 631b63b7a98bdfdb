//! Owns failures of a database that says that its user may not do what was asked, and where a failure came up.

use super::{Error, error::chain};

/// What the database says of it. Another time it says the same, until somebody grants it.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
struct Denied(String);

impl Error {
    /// That the database's user may not do what was asked, as `sentence` says.
    #[must_use]
    pub fn denied(sentence: String) -> Self {
        Self::internal(Denied(sentence))
    }

    /// Whether the database's user may not do what was asked.
    #[must_use]
    pub fn is_denied(&self) -> bool {
        matches!(self, Self::Internal(cause) if cause.downcast_ref::<Denied>().is_some())
    }

    /// The same failure of a database, which says before its cause `place` it came up at.
    #[must_use]
    pub fn at(self, place: &str) -> Self {
        let is_denied = self.is_denied();
        let longer = |cause: &(dyn std::error::Error + 'static)| format!("{place}: {}", chain(cause));
        match self {
            Self::Unavailable { what, source } => {
                let sentence = longer(source.as_ref());
                Self::Unavailable { what, source: sentence.into() }
            }
            Self::Internal(cause) if is_denied => Self::denied(longer(cause.as_ref())),
            Self::Internal(cause) => Self::internal(longer(cause.as_ref())),
            other => other,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failure_says_where_it_came_up_and_stays_what_it_is() {
        let told = |error: &Error| match error {
            Error::Unavailable { source, .. } => chain(source.as_ref()),
            Error::Internal(cause) => chain(cause.as_ref()),
            other => chain(other),
        };
        let denied =
            Error::denied("permission denied for table users".to_owned()).at("the table users").at("here");
        assert!(denied.is_denied());
        assert_eq!(told(&denied), "here: the table users: permission denied for table users");
        let defect = Error::internal("too long").at("here");
        assert!(!defect.is_denied() && matches!(defect, Error::Internal(_)));
        assert_eq!(told(&defect), "here: too long");
        let gone = Error::Unavailable { what: "database", source: "it ended".into() }.at("here");
        assert!(matches!(gone, Error::Unavailable { .. }), "{gone:?}");
        assert_eq!(told(&gone), "here: it ended");
        assert!(matches!(Error::PlanOutdated.at("here"), Error::PlanOutdated));
    }
}
