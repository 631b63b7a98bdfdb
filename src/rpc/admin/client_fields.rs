//! Owns what requests say of a client, and how one is answered.

use prost_types::FieldMask;

use super::{UpdateMask, etag, refused, required};
use crate::{
    identity::{
        clients::{ClientChange, ClientProof, ClientRef, NewClient, SetChange, read_public_keys},
        permissions::{GROUPS_CLAIM, ROLES_CLAIM},
    },
    model::{
        self, CertificateSubject, ClientId, ClientKind, ClientName, DnsName, Error, FieldReason,
        FieldViolation, NameSet, RuleViolation, SpiffeId,
    },
    proto::identity::admin::v1::{
        Client,
        client::{Certificate, Kind},
        get_client_request::Which,
    },
    rpc::encode::time,
};

/// What an update can change, by the names of the mask.
const UPDATABLE: [&str; 8] = [
    "name",
    "scopes",
    "audiences",
    "jwks",
    "spiffe_id",
    "tls_client_auth_san_dns",
    "may_claim_address",
    "token_claims",
];

/// The id of a client that the request's `field` must have.
pub(super) fn id_of(field: &'static str, text: &str) -> Result<ClientId, Error> {
    if text.is_empty() {
        return Err(required(field));
    }
    let rule = "must be a UUID as it was answered, or `signet`";
    ClientId::parse(text).ok_or_else(|| refused(field, FieldReason::Malformed, rule))
}

/// The client that is meant.
pub(super) fn ref_of(which: Which) -> Result<ClientRef, Error> {
    match which {
        Which::Id(id) => Ok(id_of("id", &id)?.into()),
        Which::Name(name) if name.is_empty() => Err(required("name")),
        // No name reads as an id, but for the built-in client's.
        Which::Name(name) if ClientId::parse(&name).is_some_and(|id| !id.is_built_in()) => {
            Err(Error::ClientNotFound(name))
        }
        Which::Name(name) => Ok(name.into()),
    }
}

/// `error`, which speaks of fields of a client, in a request that has one.
pub(super) fn in_client(error: Error) -> Error {
    let path = |violation: FieldViolation| FieldViolation {
        field: match &*violation.field {
            "scopes" => "client.scopes".into(),
            "audiences" => "client.audiences".into(),
            "token_claims" => "client.token_claims".into(),
            _ => violation.field,
        },
        ..violation
    };
    match error {
        Error::InvalidFields(violations) => Error::InvalidFields(violations.into_iter().map(path).collect()),
        other => other,
    }
}

/// What `client` says of a new one.
///
/// # Errors
/// [`Error::InvalidFields`], with all that is wrong.
pub(super) fn new_client(client: Client) -> Result<NewClient, Error> {
    let mut fields = Fields::default();
    let is_public = fields.is_public(client.kind);
    let name = fields.name(&client.name);
    let scopes = fields.names("client.scopes", &client.scopes);
    let audiences = fields.names("client.audiences", &client.audiences);
    let token_claims = fields.token_claims(&client.token_claims);
    let (keys, certificate) = (fields.keys(&client.jwks), fields.certificate(client.certificate));
    if is_public {
        let none = "must not be set: a public client proves nothing";
        fields.must(keys.is_none(), "client.jwks", none);
        fields.must(certificate.is_none(), "client.spiffe_id", none);
        fields.must(!client.may_claim_address, "client.may_claim_address", none);
    } else {
        let one = "must not be set beside keys: a new client has one of the two";
        fields.must(keys.is_none() || certificate.is_none(), "client.spiffe_id", one);
    }
    let proof = match (is_public, keys, certificate) {
        (true, ..) => None,
        (false, Some(jwks), _) => Some(ClientProof::Keys(jwks)),
        (false, None, Some(subject)) => Some(ClientProof::Certificate(subject)),
        (false, None, None) => Some(ClientProof::Secret),
    };
    match name {
        Some(name) if fields.violations.is_empty() => {
            let may_claim_address = client.may_claim_address;
            Ok(NewClient { name, scopes, audiences, proof, may_claim_address, token_claims })
        }
        _ => Err(Error::InvalidFields(fields.violations)),
    }
}

/// What `mask` changes to what `client` says; without a mask, what it says at all.
///
/// # Errors
/// [`Error::InvalidFields`], with all that is wrong.
pub(super) fn change_of(client: Client, mask: Option<&FieldMask>) -> Result<ClientChange, Error> {
    let rule = "must name fields of a client that can be changed: `name`, `scopes`, `audiences`, `jwks`, `spiffe_id`, \
                `tls_client_auth_san_dns`, `may_claim_address`, `token_claims`";
    let mask = UpdateMask::read(mask)?.of(&UPDATABLE, rule)?;
    let mut fields = Fields::default();
    let mut change = ClientChange { etag: etag(&client.etag).map(str::to_owned), ..ClientChange::default() };
    if mask.names("name", !client.name.is_empty()) {
        change.name = fields.name(&client.name);
    }
    if mask.names("scopes", !client.scopes.is_empty()) {
        change.scopes = SetChange::To(fields.names("client.scopes", &client.scopes));
    }
    if mask.names("audiences", !client.audiences.is_empty()) {
        change.audiences = SetChange::To(fields.names("client.audiences", &client.audiences));
    }
    if mask.names("token_claims", !client.token_claims.is_empty()) {
        change.token_claims = SetChange::To(fields.token_claims(&client.token_claims));
    }
    if mask.names("jwks", !client.jwks.is_empty()) {
        change.jwks = Some(fields.keys(&client.jwks));
    }
    let is_said = client.certificate.is_some();
    if mask.names("spiffe_id", is_said) || mask.names("tls_client_auth_san_dns", is_said) {
        change.certificate = Some(fields.certificate(client.certificate));
    }
    if mask.names("may_claim_address", client.may_claim_address) {
        change.may_claim_address = Some(client.may_claim_address);
    }
    if fields.violations.is_empty() { Ok(change) } else { Err(Error::InvalidFields(fields.violations)) }
}

/// A client as it is answered.
pub(super) fn encode(client: &model::Client) -> Client {
    let names = |set: &NameSet| set.iter().map(str::to_owned).collect();
    let kind = match client.kind {
        ClientKind::Confidential => Kind::Confidential,
        ClientKind::Public => Kind::Public,
    };
    Client {
        id: client.id.to_string(),
        name: client.name.as_str().to_owned(),
        kind: kind.into(),
        scopes: names(&client.scopes),
        audiences: names(&client.audiences),
        jwks: client.jwks.clone().unwrap_or_default(),
        certificate: client.certificate.as_ref().map(|subject| match subject {
            CertificateSubject::SpiffeId(id) => Certificate::SpiffeId(id.as_str().to_owned()),
            CertificateSubject::DnsName(name) => Certificate::TlsClientAuthSanDns(name.as_str().to_owned()),
        }),
        may_claim_address: client.may_claim_address,
        token_claims: names(&client.token_claims),
        is_active: client.is_active,
        // At most two.
        secrets: i32::try_from(client.secrets.len()).unwrap_or(i32::MAX),
        create_time: Some(time(client.create_time)),
        update_time: Some(time(client.update_time)),
        etag: client.etag().as_str().to_owned(),
    }
}

/// What is wrong with the fields that have been read.
#[derive(Default)]
struct Fields {
    violations: Vec<FieldViolation>,
}

impl Fields {
    /// What was `read` of `field`; none if that broke a rule.
    fn take<T>(&mut self, field: &'static str, read: Result<T, RuleViolation>) -> Option<T> {
        match read {
            Ok(value) => Some(value),
            Err(violation) => {
                self.violations.push(violation.at(field));
                None
            }
        }
    }

    /// Notes that `field` breaks `rule`, unless it `holds`.
    fn must(&mut self, holds: bool, field: &'static str, rule: &str) {
        if !holds {
            self.violations.push(RuleViolation::new(FieldReason::Malformed, rule).at(field));
        }
    }

    fn is_public(&mut self, kind: i32) -> bool {
        let kind = Kind::try_from(kind);
        self.must(kind.is_ok(), "client.kind", "must be one that there is");
        kind == Ok(Kind::Public)
    }

    fn name(&mut self, text: &str) -> Option<ClientName> {
        self.take("client.name", ClientName::parse(text))
    }

    fn names(&mut self, field: &'static str, names: &[String]) -> NameSet {
        let set = NameSet::of(names.iter().map(String::as_str));
        let set = set.map_err(|error| RuleViolation::new(FieldReason::Malformed, error.to_string()));
        self.take(field, set).unwrap_or_default()
    }

    fn token_claims(&mut self, names: &[String]) -> NameSet {
        let set = self.names("client.token_claims", names);
        let are_known = set.iter().all(|claim| claim == ROLES_CLAIM || claim == GROUPS_CLAIM);
        self.must(are_known, "client.token_claims", "must be of `roles` and `groups`");
        set
    }

    /// The keys, if there are any.
    fn keys(&mut self, text: &str) -> Option<String> {
        if text.is_empty() {
            return None;
        }
        let keys = read_public_keys(text);
        self.take("client.jwks", keys.map_err(|rule| RuleViolation::new(FieldReason::Malformed, rule)))
    }

    fn certificate(&mut self, certificate: Option<Certificate>) -> Option<CertificateSubject> {
        let malformed = |rule: String| RuleViolation::new(FieldReason::Malformed, rule);
        match certificate? {
            Certificate::SpiffeId(id) => {
                let id = id.parse::<SpiffeId>().map_err(|error| malformed(error.to_string()));
                self.take("client.spiffe_id", id).map(CertificateSubject::SpiffeId)
            }
            Certificate::TlsClientAuthSanDns(name) => {
                let name = name.parse::<DnsName>().map_err(|error| malformed(error.to_string()));
                self.take("client.tls_client_auth_san_dns", name).map(CertificateSubject::DnsName)
            }
        }
    }
}
