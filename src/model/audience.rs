//! Owns what an audience is: a service that tokens are meant for, by the name that stands in their `aud`.

use aws_lc_rs::digest::{SHA256, digest};
use uuid::Uuid;

use super::{Etag, FieldReason, NameSet, Principal, RuleViolation, name_set::is_name};
use crate::base::Timestamp;

/// The longest name in bytes: what every database can have in an index.
pub const AUDIENCE_MAX_BYTES: usize = 512;

/// How many owners an audience has at most.
pub const AUDIENCE_MAX_OWNERS: u64 = 32;

/// The name under which an audience is kept: the one that stands in `aud`, but for the service's own.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct AudienceName(String);

/// An audience, and who decides on its roles.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OwnedAudience {
    /// Its name.
    pub name: AudienceName,
    /// Its owners, in the order in which they were added.
    pub owners: Vec<Principal>,
    /// When it came to be known.
    pub create_time: Timestamp,
}

impl OwnedAudience {
    /// What tells this state of it from the next.
    #[must_use]
    pub fn etag(&self) -> Etag {
        let owners: Vec<_> =
            self.owners.iter().map(|owner| format!("{} {}", owner.kind(), owner.id())).collect();
        Etag::of(std::iter::once(self.name.as_str()).chain(owners.iter().map(String::as_str)))
    }
}

impl AudienceName {
    /// The name of the service's own audience. It stays when `--audience` is renamed, and with it what roles give there.
    pub const SIGNET: &'static str = "signet";

    /// Checks the form of `text`: that of a scope.
    ///
    /// # Errors
    /// The rule that `text` breaks.
    pub fn parse(text: &str) -> Result<Self, RuleViolation> {
        let refused = |reason, rule: &str| Err(RuleViolation::new(reason, rule));
        if text.is_empty() {
            return refused(FieldReason::Required, "must not be empty");
        }
        if text.len() > AUDIENCE_MAX_BYTES {
            return refused(FieldReason::TooLong, "must have at most 512 bytes");
        }
        if !is_name(text) {
            let rule = "must be of printable ASCII without spaces, quotation marks and backslashes";
            return refused(FieldReason::ForbiddenCharacter, rule);
        }
        Ok(Self(text.to_owned()))
    }

    /// The service's own.
    #[must_use]
    pub fn signet() -> Self {
        Self(Self::SIGNET.to_owned())
    }

    /// The name under which the audience `name` is kept, which stands in `aud`, where `own` is the service's own one.
    ///
    /// Where the service is called otherwise, another that is called `signet` has no roles: those of that name are the service's own.
    #[must_use]
    pub fn of(name: &str, own: &NameSet) -> Self {
        if own.contains(name) {
            Self::signet()
        } else if name == Self::SIGNET {
            // No row has it: a space is in no name.
            Self(" signet".to_owned())
        } else {
            Self(name.to_owned())
        }
    }

    /// A name that was checked before it was stored.
    pub(crate) const fn from_stored(text: String) -> Self {
        Self(text)
    }

    /// Whether it is the service's own.
    #[must_use]
    pub fn is_signet(&self) -> bool {
        self.0 == Self::SIGNET
    }

    /// By which the feed names what belongs to it: of names that differ it differs, too, but for a chance that nobody has.
    #[must_use]
    pub fn key(&self) -> Uuid {
        let digest = digest(&SHA256, self.0.as_bytes());
        Uuid::from_slice(&digest.as_ref()[..16]).unwrap_or_default()
    }

    /// The name.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_services_own_audience_is_kept_under_one_name_whatever_it_is_called() {
        let own = NameSet::parse("https://id.example").unwrap();
        assert!(AudienceName::of("https://id.example", &own).is_signet());
        assert_eq!(AudienceName::of("stock", &own).as_str(), "stock");
        assert!(AudienceName::of("signet", &NameSet::parse("signet").unwrap()).is_signet());
        let another = AudienceName::of("signet", &own);
        assert!(!another.is_signet() && AudienceName::parse(another.as_str()).is_err(), "no row is its");
    }

    #[test]
    fn a_name_has_the_form_of_a_scope_and_fits_an_index() {
        for good in ["a", "https://api.example/stock", &"x".repeat(AUDIENCE_MAX_BYTES)] {
            assert_eq!(AudienceName::parse(good).unwrap().as_str(), good);
        }
        for (bad, reason) in [
            ("", FieldReason::Required),
            ("a b", FieldReason::ForbiddenCharacter),
            ("é", FieldReason::ForbiddenCharacter),
            (&*"x".repeat(AUDIENCE_MAX_BYTES + 1), FieldReason::TooLong),
        ] {
            assert_eq!(AudienceName::parse(bad).unwrap_err().reason, reason, "{bad}");
        }
    }
}
