//! Owns what a manifest can say: attributes, clients, audiences, roles, groups and bindings, as they are to be.

use std::fmt;

#[cfg(test)]
use schemars::JsonSchema;
use serde::{
    Deserialize, Deserializer, Serialize,
    de::{Error as _, MapAccess, Unexpected, Visitor, value::MapAccessDeserializer},
};
use serde_json::Value;
use uuid::Uuid;

use super::text::{self, Text};
use crate::{
    base::Timestamp,
    model::{
        AttributeName, AttributeType, AttributeWriter, AudienceName, ClientId, Description, DnsName,
        GroupName, NameSet, RoleName, SpiffeId, TokenTyp,
    },
};

/// What is to be there. What it does not name stays as it is.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[cfg_attr(test, derive(JsonSchema), schemars(title = "A manifest of Signet"))]
#[serde(deny_unknown_fields)]
pub struct Manifest {
    /// The name under which is kept what it has made: all that `--prune` may delete.
    #[serde(with = "text")]
    #[cfg_attr(test, schemars(with = "String"))]
    pub set: GroupName,
    /// Attributes that users may have. What users have of them is not in manifests.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub attributes: Vec<AttributeItem>,
    /// Audiences.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub audiences: Vec<AudienceItem>,
    /// Clients.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub clients: Vec<ClientItem>,
    /// Roles.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub roles: Vec<RoleItem>,
    /// Groups.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub groups: Vec<GroupItem>,
    /// Bindings.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub bindings: Vec<BindingItem>,
}

/// What is declared of an attribute that users may have.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[cfg_attr(test, derive(JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct AttributeItem {
    /// Its name.
    #[serde(with = "text")]
    #[cfg_attr(test, schemars(with = "String"))]
    pub name: AttributeName,
    /// What its values are, which stays: `string` (if nothing is said), `integer`, `boolean` or `string-list`.
    #[serde(rename = "type", with = "text", default = "text_values")]
    #[cfg_attr(test, schemars(with = "String", extend("enum" = super::schema::names(AttributeType::ALL, AttributeType::name))))]
    pub kind: AttributeType,
    /// Who may write it, which stays: `admin` (if nothing is said), administrators alone; `user`, the user too.
    #[serde(with = "text", default = "admins")]
    #[cfg_attr(test, schemars(with = "String", extend("enum" = super::schema::names(AttributeWriter::ALL, AttributeWriter::name))))]
    pub writer: AttributeWriter,
    /// Whether it goes into users' access tokens. Not if users may write it.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub in_tokens: bool,
    /// Whether it is said at the userinfo endpoint, and shown to the user.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub in_userinfo: bool,
    /// Whether it is said to services that ask what a user's access token is worth.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub in_introspection: bool,
    /// What it is for.
    #[serde(with = "text::optional", default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(test, schemars(with = "Option<String>"))]
    pub description: Option<Description>,
}

/// An audience.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[cfg_attr(test, derive(JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct AudienceItem {
    /// The name that stands in the `aud` of tokens.
    #[serde(with = "text")]
    #[cfg_attr(test, schemars(with = "String"))]
    pub name: AudienceName,
    /// Who decides on its roles: these, and nobody else.
    #[serde(default)]
    pub owners: Vec<WhoItem>,
    /// What tokens are called that are meant for it alone: `at+jwt` (if nothing is said), or `JWT`, for verifiers that take nothing else.
    #[serde(with = "text", default, skip_serializing_if = "is_at_jwt")]
    #[cfg_attr(test, schemars(with = "String", extend("enum" = super::schema::names(TokenTyp::ALL, TokenTyp::name))))]
    pub token_typ: TokenTyp,
}

/// A client.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[cfg_attr(test, derive(JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct ClientItem {
    /// Its name; `signet` is the one that is built in.
    pub name: String,
    /// Whether it is one that proves nothing.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub public: bool,
    /// The scopes that it may ask for.
    #[serde(with = "text::names", default, skip_serializing_if = "NameSet::is_empty")]
    #[cfg_attr(test, schemars(with = "Vec<String>"))]
    pub scopes: NameSet,
    /// Whom its tokens may be meant for; none stand for the service itself.
    #[serde(with = "text::names", default, skip_serializing_if = "NameSet::is_empty")]
    #[cfg_attr(test, schemars(with = "Vec<String>"))]
    pub audiences: NameSet,
    /// What its tokens say of roles: `roles`, `groups`.
    #[serde(with = "text::names", default, skip_serializing_if = "NameSet::is_empty")]
    #[cfg_attr(test, schemars(with = "Vec<String>", extend("items" = super::schema::token_claim())))]
    pub token_claims: NameSet,
    /// Where its secret is; without it the secrets stay as they are.
    #[serde(with = "text::optional", default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(test, schemars(with = "Option<String>", extend("pattern" = super::schema::SECRET_REF)))]
    pub secret: Option<SecretRef>,
    /// Its public keys: a PEM `PUBLIC KEY`, or a JWK or JWK Set.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub public_keys: Option<Value>,
    /// A certificate with this SPIFFE ID stands for it.
    #[serde(with = "text::optional", default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(test, schemars(with = "Option<String>", extend("pattern" = super::schema::SPIFFE_ID)))]
    pub spiffe_id: Option<SpiffeId>,
    /// A certificate with this DNS name stands for it.
    #[serde(with = "text::optional", default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(test, schemars(with = "Option<String>"))]
    pub tls_san_dns: Option<DnsName>,
    /// Whether it may tell the addresses of its users.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub may_claim_address: bool,
    /// Whether it is enabled.
    #[serde(default = "yes", skip_serializing_if = "Clone::clone")]
    pub active: bool,
    /// The id of a new one, where that is to be the same at each start: no file says it.
    #[serde(skip)]
    pub(super) id: Option<ClientId>,
}

/// A role.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[cfg_attr(test, derive(JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct RoleItem {
    /// Its name.
    #[serde(with = "text")]
    #[cfg_attr(test, schemars(with = "String"))]
    pub name: RoleName,
    /// Its audience; without it the service itself.
    #[serde(with = "text::optional", default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(test, schemars(with = "Option<String>"))]
    pub audience: Option<AudienceName>,
    /// The scopes that it gives.
    #[serde(with = "text::names", default, skip_serializing_if = "NameSet::is_empty")]
    #[cfg_attr(test, schemars(with = "Vec<String>"))]
    pub scopes: NameSet,
    /// What it is for.
    #[serde(with = "text::optional", default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(test, schemars(with = "Option<String>"))]
    pub description: Option<Description>,
}

/// A group.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[cfg_attr(test, derive(JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct GroupItem {
    /// Its name.
    #[serde(with = "text")]
    #[cfg_attr(test, schemars(with = "String"))]
    pub name: GroupName,
    /// Users who are in it, besides those whom others have added.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub members: Vec<UserItem>,
}

/// A user: a name alone would be whoever registers it first.
#[derive(Clone, Debug, Serialize)]
#[cfg_attr(test, derive(JsonSchema), schemars(deny_unknown_fields))]
pub struct UserItem {
    /// Its id.
    #[cfg_attr(test, schemars(with = "String", extend("format" = "uuid")))]
    pub id: Uuid,
    /// Its username, for whoever reads the file; it must be that of the id.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
}

/// A user as it is read: who writes a name alone is told why that does not do.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ReadUser {
    id: String,
    name: Option<String>,
}

/// A user, a group or a client: one of the three.
#[derive(Clone, Debug, Default, Deserialize, Serialize)]
#[cfg_attr(test, derive(JsonSchema), schemars(extend("minProperties" = 1, "maxProperties" = 1)))]
#[serde(deny_unknown_fields)]
pub struct WhoItem {
    /// A user.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub user: Option<UserItem>,
    /// A group, by its name.
    #[serde(with = "text::optional", default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(test, schemars(with = "Option<String>"))]
    pub group: Option<GroupName>,
    /// A client, by its name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub client: Option<String>,
}

/// A binding: that a user, a group or a client has a role.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[cfg_attr(test, derive(JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct BindingItem {
    /// The role's name.
    #[serde(with = "text")]
    #[cfg_attr(test, schemars(with = "String"))]
    pub role: RoleName,
    /// The role's audience; without it the service itself.
    #[serde(with = "text::optional", default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(test, schemars(with = "Option<String>"))]
    pub audience: Option<AudienceName>,
    /// Who has it, if a user.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub user: Option<UserItem>,
    /// Who has it, if a group.
    #[serde(with = "text::optional", default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(test, schemars(with = "Option<String>"))]
    pub group: Option<GroupName>,
    /// Who has it, if a client.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub client: Option<String>,
    /// From when on it gives nothing (RFC 3339).
    #[serde(with = "text::optional", default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(test, schemars(with = "Option<String>", extend("format" = "date-time")))]
    pub expire_time: Option<Timestamp>,
}

/// Where a secret is: never in the manifest itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SecretRef {
    /// In the environment, under this name.
    Env(String),
    /// In this file.
    File(String),
}

impl ClientItem {
    /// The client `name`, of which nothing more is said.
    pub(super) fn named(name: &str) -> Self {
        let (scopes, audiences, token_claims) = Default::default();
        Self {
            name: name.to_owned(),
            public: false,
            scopes,
            audiences,
            token_claims,
            secret: None,
            public_keys: None,
            spiffe_id: None,
            tls_san_dns: None,
            may_claim_address: false,
            active: true,
            id: None,
        }
    }
}

impl BindingItem {
    /// Who has it.
    pub(super) fn who(&self) -> WhoItem {
        WhoItem { user: self.user.clone(), group: self.group.clone(), client: self.client.clone() }
    }
}

impl<'de> Deserialize<'de> for UserItem {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct User;

        impl<'de> Visitor<'de> for User {
            type Value = UserItem;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(
                    "a user by id, as in `{id: 0190…, name: alice}`: `signet users show alice` tells it",
                )
            }

            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<UserItem, A::Error> {
                let ReadUser { id, name } = ReadUser::deserialize(MapAccessDeserializer::new(map))?;
                let id = id.parse().map_err(|_| A::Error::invalid_value(Unexpected::Str(&id), &self))?;
                Ok(UserItem { id, name })
            }
        }

        deserializer.deserialize_any(User)
    }
}

impl Text for SecretRef {
    fn read(text: &str) -> Result<Self, String> {
        match text.split_once(':') {
            Some(("env", name)) if !name.is_empty() => Ok(Self::Env(name.to_owned())),
            Some(("file", path)) if !path.is_empty() => Ok(Self::File(path.to_owned())),
            // What was written may be the secret itself: it is not repeated.
            _ => Err("must be `env:NAME` or `file:PATH`: a secret never stands in a manifest".to_owned()),
        }
    }

    fn write(&self) -> String {
        self.to_string()
    }
}

impl fmt::Display for SecretRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Env(name) => write!(f, "env:{name}"),
            Self::File(path) => write!(f, "file:{path}"),
        }
    }
}

const fn yes() -> bool {
    true
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde hands it so")]
fn is_at_jwt(typ: &TokenTyp) -> bool {
    *typ == TokenTyp::AtJwt
}

const fn text_values() -> AttributeType {
    AttributeType::String
}

const fn admins() -> AttributeWriter {
    AttributeWriter::Admin
}
