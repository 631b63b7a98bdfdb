//! Owns what of something was changed, as an event tells it.

use crate::model::named::named;

named! {
    /// What of an account, a client or a role was changed. Its old and its new value are not told: of an account they are personal, as
    /// names are.
    Field {
        /// The login name.
        Username = "username",
        /// The e-mail address.
        Email = "email",
        /// The name to show.
        DisplayName = "display_name",
        /// The attributes of its own: their names are told in the place of the new value.
        Attributes = "attributes",
        /// What the operator calls it.
        Name = "name",
        /// The scopes that it may ask for, or that it gives.
        Scopes = "scopes",
        /// Whom its tokens may be meant for.
        Audiences = "audiences",
        /// What its tokens say of roles.
        TokenClaims = "token_claims",
        /// What verifies its assertions.
        PublicKeys = "public_keys",
        /// Whose certificate stands for it.
        Certificate = "certificate",
        /// Whether it may tell the addresses of its users.
        MayClaimAddress = "may_claim_address",
        /// What it is for.
        Description = "description",
        /// What the values of an attribute are.
        Type = "type",
        /// Who may write an attribute.
        Writer = "writer",
        /// Where an attribute is said.
        Uses = "uses",
        /// From when on it counts no longer.
        ExpireTime = "expire_time",
        /// Who owns it.
        Owners = "owners",
        /// What the tokens are called that are meant for it alone.
        TokenTyp = "token_typ",
        /// Which set of a manifest it was.
        Set = "set",
        /// How many of its sessions there were, which ended.
        Sessions = "sessions",
        /// Whether it is active.
        Active = "active",
        /// How many secrets it has.
        Secrets = "secrets",
        /// Which version of a policy it was.
        Version = "version",
        /// What the version does.
        State = "state",
    }
}

/// What of something was changed, and from what into what where that may be told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FieldChange {
    /// What was changed.
    pub field: Field,
    /// What it was; none if there was nothing, or if it is not told.
    pub old: Option<String>,
    /// What it is now.
    pub new: Option<String>,
}

impl From<Field> for FieldChange {
    /// That it was changed, and nothing more.
    fn from(field: Field) -> Self {
        Self { field, old: None, new: None }
    }
}

impl FieldChange {
    /// What has become of `field`; none if it is what it was.
    #[must_use]
    pub fn of(field: Field, old: &str, new: &str) -> Option<Self> {
        let told = |text: &str| (!text.is_empty()).then(|| text.to_owned());
        (old != new).then(|| Self { field, old: told(old), new: told(new) })
    }

    /// Which it was, by `text`, which has not changed.
    #[must_use]
    pub fn from_text(field: Field, text: &str) -> Self {
        Self { field, old: None, new: Some(text.to_owned()) }
    }

    /// That something became active, or is so no more.
    #[must_use]
    pub fn of_activity(is_active: bool) -> Self {
        let told = |is_active: bool| Some(is_active.to_string());
        Self { field: Field::Active, old: told(!is_active), new: told(is_active) }
    }

    /// That `count` sessions ended; none if none did.
    #[must_use]
    pub fn of_ended_sessions(count: usize) -> Option<Self> {
        (count > 0).then(|| Self { field: Field::Sessions, old: Some(count.to_string()), new: None })
    }
}
