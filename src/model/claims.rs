//! Owns what an access token says: the claims of RFC 9068.

use std::{collections::BTreeMap, fmt};

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};
use uuid::Uuid;

use super::{AttributeValue, ClientId, NameSet, NamedAttributes, SessionId, UserId, named::named};

/// The scope that a user's own login carries: to read and manage the user's own account. No client carries it in its own name.
pub const USER_SCOPE: &str = "profile";

/// The scope that changes the user's own account, once RPCs ask for it: until then `profile` does. No client carries it in its own name.
pub const ACCOUNT_SCOPE: &str = "account";

/// What the names of scopes begin with that administer the service itself.
pub const ADMIN_SCOPE_PREFIX: &str = "signet.";

/// The scope that lets a client ask what tokens are worth. No user carries it.
pub const INTROSPECT_SCOPE: &str = "introspect";

/// The name of the client that every installation has, and the `client_id` of its tokens: those that a user got without naming one.
pub const BUILT_IN_CLIENT: &str = "signet";

/// How an access token is shown (RFC 6749 section 7.1): the `token_type` in every answer that has one.
pub const TOKEN_TYPE: &str = "Bearer";

named! {
    /// The `typ` in the header of an access token.
    #[derive(Default)]
    TokenTyp {
        /// That of access tokens alone (RFC 9068 section 2.1).
        #[default]
        AtJwt = "at+jwt",
        /// What any JWT may be called (RFC 7519 section 5.1): for verifiers that take nothing else. It tells an access token from no other
        /// JWT (RFC 8725 section 3.11), so it counts for an audience alone that asks for it.
        Jwt = "JWT",
    }
}

impl TokenTyp {
    /// The one of this name.
    #[must_use]
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.iter().copied().find(|typ| typ.name() == name)
    }
}

/// The payload of an access token (RFC 9068 sections 2.2 and 2.2.1), times in seconds since the epoch.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Claims {
    /// Who issued it.
    pub iss: String,
    /// Whom it stands for: a user's id, never a username; or the client's, in a client's own token.
    pub sub: Uuid,
    /// Whom it is meant for.
    pub aud: Audience,
    /// From when on it is refused.
    pub exp: i64,
    /// When it was issued.
    pub iat: i64,
    /// Before when it is refused, if said.
    #[serde(default, deserialize_with = "not_null", skip_serializing_if = "Option::is_none")]
    pub nbf: Option<i64>,
    /// The token's own id.
    pub jti: Uuid,
    /// The client that asked for it.
    pub client_id: String,
    /// What it allows, separated by spaces (RFC 6749 section 3.3).
    pub scope: String,
    /// The login session it belongs to: every user's token has one, and no client's own.
    #[serde(default, deserialize_with = "not_null", skip_serializing_if = "Option::is_none")]
    pub sid: Option<Uuid>,
    /// The methods by which the user proved who they are at the login (RFC 8176), such as `pwd`. None in a client's own token, and in
    /// tokens of the release before.
    #[serde(default, skip_serializing_if = "NameSet::is_empty", with = "name_array")]
    pub amr: NameSet,
    /// When that was, however often the session was refreshed since. None where `amr` is.
    #[serde(default, deserialize_with = "not_null", skip_serializing_if = "Option::is_none")]
    pub auth_time: Option<i64>,
    /// The level of assurance that it reached. No release issues one yet.
    #[serde(default, deserialize_with = "not_null", skip_serializing_if = "Option::is_none")]
    pub acr: Option<String>,
    /// The roles that its holder has at its audience (section 2.2.3.1), by their names. None where the token does not say: the client does
    /// not want it, there was no room, or there are none.
    #[serde(default, deserialize_with = "not_null", skip_serializing_if = "Option::is_none")]
    pub roles: Option<Vec<String>>,
    /// The groups by which one of these roles comes.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub groups: Vec<String>,
    /// The attributes of its user that the operator has declared for tokens, by their names. Nobody writes them about themselves.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub attributes: BTreeMap<String, ClaimedAttribute>,
    /// Whether there was no room for the attributes.
    #[serde(default, skip_serializing_if = "is_false")]
    pub attributes_omitted: bool,
    /// Whether there was no room for the roles.
    #[serde(default, skip_serializing_if = "is_false")]
    pub roles_omitted: bool,
    /// Whether there was no room for the groups.
    #[serde(default, skip_serializing_if = "is_false")]
    pub groups_omitted: bool,
    /// What its header calls it, which is no claim.
    #[serde(skip)]
    pub typ: TokenTyp,
}

/// The value of an attribute in a token. A later release may write values that this one knows nothing of: they are no reason to refuse a
/// token.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum ClaimedAttribute {
    /// One that this release writes.
    Known(AttributeValue),
    /// Another number.
    Number(f64),
    /// Another list.
    List(Vec<Self>),
    /// Several values by their names.
    Object(BTreeMap<String, Self>),
    /// None.
    Null,
}

/// Whom a token stands for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Subject {
    /// A user, in a login session.
    User(UserId, SessionId),
    /// A client, by itself.
    Client(ClientId),
}

/// `attributes` as a token has them.
#[must_use]
pub fn claimed(attributes: &NamedAttributes) -> BTreeMap<String, ClaimedAttribute> {
    attributes.iter().map(|(name, value)| (name.clone(), ClaimedAttribute::Known(value.clone()))).collect()
}

impl Claims {
    /// Whom the token stands for.
    #[must_use]
    pub fn subject(&self) -> Subject {
        match self.sid {
            Some(session) => Subject::User(UserId(self.sub), SessionId(session)),
            None => Subject::Client(ClientId(self.sub)),
        }
    }

    /// Whether the claims agree with each other: without a session it is a client's own token, and that client asked for it.
    #[must_use]
    pub fn are_consistent(&self) -> bool {
        self.sid.is_some() || ClientId::parse(&self.client_id) == Some(ClientId(self.sub))
    }

    /// Whether it may be called what its header calls it, as far as itself goes: `JWT` only if it is meant for one audience alone, which is
    /// not its client (so that it is no ID token, which is; OpenID Connect Core section 2).
    #[must_use]
    pub fn may_be_of_its_typ(&self) -> bool {
        match self.typ {
            TokenTyp::AtJwt => true,
            TokenTyp::Jwt => matches!(self.aud.names(), [only] if *only != self.client_id),
        }
    }

    /// Whether the token carries `scope`.
    #[must_use]
    pub fn has_scope(&self, scope: &str) -> bool {
        self.scope.split(' ').any(|held| held == scope)
    }
}

/// Whom a token is meant for: in JSON one string, or an array of several (RFC 7519 section 4.1.3).
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Audience {
    /// One.
    One(String),
    /// Any number.
    Many(Vec<String>),
}

impl Audience {
    /// The names.
    #[must_use]
    pub fn names(&self) -> &[String] {
        match self {
            Self::One(name) => std::slice::from_ref(name),
            Self::Many(names) => names,
        }
    }

    /// Whether `name` is meant.
    #[must_use]
    pub fn contains(&self, name: &str) -> bool {
        self.names().iter().any(|meant| meant == name)
    }
}

/// A claim that may be absent, but has no `null`: that is no value of it.
fn not_null<'de, T: Deserialize<'de>, D: Deserializer<'de>>(deserializer: D) -> Result<Option<T>, D::Error> {
    T::deserialize(deserializer).map(Some)
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde hands it so")]
const fn is_false(value: &bool) -> bool {
    !*value
}

impl From<&NameSet> for Audience {
    fn from(set: &NameSet) -> Self {
        let mut names: Vec<_> = set.iter().map(str::to_owned).collect();
        if names.len() == 1 { Self::One(names.remove(0)) } else { Self::Many(names) }
    }
}

impl Serialize for Audience {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::One(name) => serializer.serialize_str(name),
            Self::Many(names) => names.serialize(serializer),
        }
    }
}

impl<'de> Deserialize<'de> for Audience {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(AudienceVisitor)
    }
}

struct AudienceVisitor;

impl<'de> de::Visitor<'de> for AudienceVisitor {
    type Value = Audience;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a string or an array of strings")
    }

    fn visit_str<E: de::Error>(self, name: &str) -> Result<Audience, E> {
        Ok(Audience::One(name.to_owned()))
    }

    fn visit_seq<A: de::SeqAccess<'de>>(self, mut sequence: A) -> Result<Audience, A::Error> {
        let mut names = Vec::new();
        while let Some(name) = sequence.next_element()? {
            names.push(name);
        }
        Ok(Audience::Many(names))
    }
}

/// A set of names as JSON has it where it is not written as one string: an array of strings.
pub(crate) mod name_array {
    use super::{Deserialize, Deserializer, NameSet, Serializer, de::Error};

    pub(crate) fn serialize<S: Serializer>(set: &NameSet, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(set.iter())
    }

    pub(crate) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<NameSet, D::Error> {
        let names = Vec::<String>::deserialize(deserializer)?;
        NameSet::of(names.iter().map(String::as_str)).map_err(D::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_audience_is_a_string_or_an_array_of_strings_and_nothing_else() {
        for (json, names) in
            [(r#""a""#, vec!["a"]), (r#"["a"]"#, vec!["a"]), (r#"["a","b"]"#, vec!["a", "b"])]
        {
            let audience: Audience = serde_json::from_str(json).unwrap();
            assert_eq!(audience.names(), names);
            assert_eq!(serde_json::to_string(&audience).unwrap(), json);
        }
        for bad in ["1", "null", "{}", "[1]", "[[\"a\"]]", "true"] {
            assert!(serde_json::from_str::<Audience>(bad).is_err(), "{bad}");
        }
        let of = |text: &str| Audience::from(&NameSet::parse(text).unwrap());
        assert_eq!((of("a"), of("a b").names().len()), (Audience::One("a".to_owned()), 2));
    }

    #[test]
    fn the_type_of_a_token_is_no_claim_and_a_jwt_is_meant_for_one_audience_that_is_not_its_client() {
        let id = Uuid::from_u128(7);
        let json = format!(
            r#"{{"iss":"i","sub":"{id}","aud":"a","exp":2,"iat":1,"jti":"{id}","client_id":"c","scope":"","typ":"JWT"}}"#
        );
        let claims: Claims = serde_json::from_str(&json).unwrap();
        assert_eq!(claims.typ, TokenTyp::AtJwt);
        assert!(!serde_json::to_string(&claims).unwrap().contains("typ"));
        for (aud, good) in [(&["a"][..], true), (&["c"], false), (&["a", "b"], false), (&[], false)] {
            let aud = Audience::Many(aud.iter().map(|&name| name.to_owned()).collect());
            let of = |typ| Claims { aud: aud.clone(), typ, ..claims.clone() }.may_be_of_its_typ();
            assert_eq!((of(TokenTyp::AtJwt), of(TokenTyp::Jwt)), (true, good), "{aud:?}");
        }
    }
}
