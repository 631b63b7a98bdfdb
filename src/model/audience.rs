//! Owns what an audience is: a service that tokens are meant for, by the name that stands in their `aud`.

use std::time::Duration;

use aws_lc_rs::digest::{SHA256, digest};
use uuid::Uuid;

use super::{ClientId, Etag, FieldReason, NameSet, Principal, RuleViolation, TokenTyp, name_set::is_name};
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
    /// What the tokens are called that are meant for it alone.
    pub token_typ: TokenTyp,
    /// When it came to be known.
    pub create_time: Timestamp,
}

impl OwnedAudience {
    /// What tells this state of it from the next.
    #[must_use]
    pub fn etag(&self) -> Etag {
        let owners: Vec<_> =
            self.owners.iter().map(|owner| format!("{} {}", owner.kind(), owner.id())).collect();
        // As the release before has it where there is nothing to say.
        let typ = Some(self.token_typ.name()).filter(|_| self.token_typ != TokenTyp::default());
        Etag::of(std::iter::once(self.name.as_str()).chain(owners.iter().map(String::as_str)).chain(typ))
    }
}

/// What of an audience becomes another.
#[derive(Clone, Debug, Default)]
pub struct AudienceChange {
    /// Its owners, if they do.
    pub owners: Option<Vec<Principal>>,
    /// What the tokens are called that are meant for it alone, if that does.
    pub token_typ: Option<TokenTyp>,
}

impl AudienceChange {
    /// What it makes of `old`.
    #[must_use]
    pub fn of(&self, old: &OwnedAudience) -> OwnedAudience {
        let owners = self.owners.as_ref().unwrap_or(&old.owners).clone();
        OwnedAudience { owners, token_typ: self.token_typ.unwrap_or(old.token_typ), ..old.clone() }
    }
}

/// What of the types of tokens holds at an audience.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct AskedTyp {
    /// What the tokens are called that are issued now for it alone.
    pub now: TokenTyp,
    /// When it last ceased to ask for `JWT`, if it has.
    pub jwt_until: Option<Timestamp>,
}

impl AskedTyp {
    /// Whether a token of `JWT` counts that was issued at `time`: one that was issued as its audience then asked for goes on until it
    /// expires. Others may have heard `late` that it asks for them no longer.
    #[must_use]
    pub fn takes_jwt_of(self, time: Timestamp, late: Duration) -> bool {
        self.now == TokenTyp::Jwt || self.jwt_until.is_some_and(|until| time <= until.after(late))
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

    /// Succeeds if the tokens that are meant for it alone may be called `typ`. With `JWT` they would be told from no other JWT: so not
    /// those of the service itself, and not those for what is, or may come to be, the id of a client. An ID token is meant for that.
    ///
    /// # Errors
    /// The rule that `typ` breaks.
    pub fn may_ask_for(&self, typ: TokenTyp) -> Result<(), RuleViolation> {
        let refused = |rule: &str| Err(RuleViolation::new(FieldReason::Malformed, rule));
        match typ {
            TokenTyp::Jwt if self.is_signet() => {
                refused("must be `at+jwt` for Signet itself, which takes no other token")
            }
            // However it is written: as one, it would be read.
            TokenTyp::Jwt if Uuid::try_parse(&self.0).is_ok() || ClientId::parse(&self.0).is_some() => {
                refused("must be `at+jwt` for an audience whose name has the form of a client's id")
            }
            TokenTyp::AtJwt | TokenTyp::Jwt => Ok(()),
        }
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
    fn neither_the_service_itself_nor_what_may_be_a_client_asks_for_jwt() {
        let may = |name: &str, typ| AudienceName::parse(name).unwrap().may_ask_for(typ).is_ok();
        let id = "01900000-0000-7000-8000-00000000000a";
        for (name, good) in [
            ("stock", true),
            ("https://api.example/stock", true),
            ("signet", false),
            (id, false),
            (&id.to_uppercase(), false),
            (&id.replace('-', ""), false),
            (&format!("{{{id}}}"), false),
            (&format!("urn:uuid:{id}"), false),
            ("00000000-0000-7000-8000-000000000001", false),
        ] {
            assert_eq!((may(name, TokenTyp::Jwt), may(name, TokenTyp::AtJwt)), (good, true), "{name}");
        }
    }

    #[test]
    fn a_jwt_counts_while_its_audience_asks_for_it_and_if_it_was_issued_when_it_did() {
        let at = |seconds: i64| Timestamp::from_micros(seconds * 1_000_000);
        let late = Duration::from_secs(10);
        let takes = |now, until: Option<i64>, time| {
            AskedTyp { now, jwt_until: until.map(at) }.takes_jwt_of(at(time), late)
        };
        assert!(takes(TokenTyp::Jwt, None, 100) && takes(TokenTyp::Jwt, Some(50), 100));
        assert!(!takes(TokenTyp::AtJwt, None, 100));
        assert!(takes(TokenTyp::AtJwt, Some(90), 100) && !takes(TokenTyp::AtJwt, Some(89), 100));
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
