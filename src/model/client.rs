//! Owns what a client is: a service or an application that the operator has registered (RFC 6749 section 2).

use uuid::Uuid;

use super::{
    CertificateSubject, ClientId, Etag, FieldReason, NameSet, RuleViolation,
    claims::{ACCOUNT_SCOPE, BUILT_IN_CLIENT, USER_SCOPE},
};
use crate::base::Timestamp;

/// The longest name in characters.
const NAME_MAX_CHARS: usize = 64;

/// A client's name, by which the operator calls it: in every database equal to no other, since it has but one case.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClientName(String);

impl ClientName {
    /// Checks the form of `text`.
    ///
    /// # Errors
    /// The rule that `text` breaks.
    pub fn parse(text: &str) -> Result<Self, RuleViolation> {
        check_name(text)?;
        Ok(Self(text.to_owned()))
    }

    /// A name that was checked before it was stored.
    pub(crate) const fn from_stored(text: String) -> Self {
        Self(text)
    }

    /// The name.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// Checks that `text` has the form of a name that the operator gives: of a client, a role, a group or an attribute.
pub(super) fn check_name(text: &str) -> Result<(), RuleViolation> {
    let refused = |reason, rule: &str| Err(RuleViolation::new(reason, rule));
    if text.is_empty() {
        return refused(FieldReason::Required, "must not be empty");
    }
    if text.len() > NAME_MAX_CHARS {
        return refused(FieldReason::TooLong, "must have at most 64 characters");
    }
    let allowed = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"-_.".contains(&byte);
    if !text.bytes().all(allowed) {
        let rule = "must be of lower-case ASCII letters, digits, `-`, `_` and `.`";
        return refused(FieldReason::ForbiddenCharacter, rule);
    }
    if text == BUILT_IN_CLIENT || Uuid::try_parse(text).is_ok() {
        let rule = "must be neither `signet`, which is the service itself, nor a UUID, which is an id";
        return refused(FieldReason::Malformed, rule);
    }
    Ok(())
}

/// Whether a client can keep a secret (RFC 6749 section 2.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ClientKind {
    /// It can, and proves who it is.
    Confidential,
    /// It cannot: an application on its users' devices. It only says who it is.
    Public,
}

impl ClientKind {
    /// The name that is stored and shown.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Confidential => "confidential",
            Self::Public => "public",
        }
    }

    /// The kind of that name.
    #[must_use]
    pub fn of_name(name: &str) -> Option<Self> {
        [Self::Confidential, Self::Public].into_iter().find(|kind| kind.name() == name)
    }
}

/// A client.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Client {
    /// Never changes, never used again.
    pub id: ClientId,
    /// What the operator calls it.
    pub name: ClientName,
    /// Whether it can keep a secret.
    pub kind: ClientKind,
    /// The scopes that it may ask for.
    pub scopes: NameSet,
    /// Whom its tokens may be meant for; none stand for the service's own audience.
    pub audiences: NameSet,
    /// The SHA-256 of its valid secrets, the newest first: at most two, so that one can be replaced without a pause. They are 256
    /// random bits, which need no slow hash.
    pub secrets: Vec<[u8; 32]>,
    /// The public keys that verify its assertions, as a JWK Set (RFC 7517 section 5).
    pub jwks: Option<String>,
    /// Whom a certificate must be issued to that stands for this client (`tls_client_auth`, RFC 8705 section 2.1).
    pub certificate: Option<CertificateSubject>,
    /// Whether it may tell the addresses of the users for whom it asks.
    pub may_claim_address: bool,
    /// What its tokens say of roles, by the names of the claims: `roles`, `groups`.
    pub token_claims: NameSet,
    /// False once the operator has disabled it.
    pub is_active: bool,
    /// When it was registered.
    pub create_time: Timestamp,
    /// When it last changed.
    pub update_time: Timestamp,
}

impl Client {
    /// What tells this state of it from the next. Of secrets it has what nobody reads out of it: a digest of digests.
    #[must_use]
    pub fn etag(&self) -> Etag {
        let hex = |hash: &[u8; 32]| hash.iter().fold(String::new(), |text, byte| format!("{text}{byte:02x}"));
        let secrets: String = self.secrets.iter().map(hex).collect();
        let (id, update_time) = (self.id.to_string(), self.update_time.as_micros().to_string());
        let certificate = self.certificate.as_ref().map(ToString::to_string).unwrap_or_default();
        Etag::of([
            id.as_str(),
            self.name.as_str(),
            self.kind.name(),
            self.scopes.as_str(),
            self.audiences.as_str(),
            &secrets,
            self.jwks.as_deref().unwrap_or_default(),
            &certificate,
            if self.may_claim_address { "1" } else { "0" },
            self.token_claims.as_str(),
            if self.is_active { "1" } else { "0" },
            &update_time,
        ])
    }

    /// The client that every installation has, as it is where nobody has changed it: whoever asks for a user's tokens and names no client
    /// is this one. It is public and active whatever its row says.
    #[must_use]
    pub fn built_in() -> Self {
        Self {
            id: ClientId::BUILT_IN,
            name: ClientName::from_stored(BUILT_IN_CLIENT.to_owned()),
            kind: ClientKind::Public,
            scopes: NameSet::default().with([USER_SCOPE, ACCOUNT_SCOPE]),
            audiences: NameSet::default(),
            secrets: Vec::new(),
            jwks: None,
            certificate: None,
            may_claim_address: false,
            token_claims: NameSet::default(),
            is_active: true,
            create_time: Timestamp::from_micros(0),
            update_time: Timestamp::from_micros(0),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_has_one_case_and_is_never_taken_for_an_id() {
        for good in ["a", "billing", "billing-api.eu_1", &"x".repeat(64)] {
            assert_eq!(ClientName::parse(good).unwrap().as_str(), good);
        }
        for (bad, reason) in [
            ("", FieldReason::Required),
            (&*"x".repeat(65), FieldReason::TooLong),
            ("Billing", FieldReason::ForbiddenCharacter),
            ("bill ing", FieldReason::ForbiddenCharacter),
            ("é", FieldReason::ForbiddenCharacter),
            ("signet", FieldReason::Malformed),
            ("01a20a05-adfd-7f0f-a948-424ae62fc105", FieldReason::Malformed),
            ("01a20a05adfd7f0fa948424ae62fc105", FieldReason::Malformed),
        ] {
            assert_eq!(ClientName::parse(bad).unwrap_err().reason, reason, "{bad}");
        }
    }
}
