//! Owns what a plan changes of clients.

use super::{FieldDifference, Planner, access::same};
use crate::{
    audit::{Entry, Event, Field},
    identity::{
        clients::{ClientChange, NewSecret, SetChange, changed, given, read_public_keys},
        permissions::{GROUPS_CLAIM, ROLES_CLAIM},
    },
    model::{CertificateSubject, Client, ClientId, ClientKind, ClientName, Error, NameSet},
    store::{Step, client_differences},
};

use super::super::{manifest::ClientItem, text::none_of};

impl Planner<'_> {
    pub(super) fn clients(&mut self) {
        for item in &self.wanted.manifest.clients {
            let what = format!("client `{}`", item.name);
            if !self.is_first(&what) {
                continue;
            }
            if let Err(problem) = self.client(&what, item) {
                self.refuse(&what, &problem);
            }
        }
    }

    fn client(&mut self, what: &str, item: &ClientItem) -> Result<(), String> {
        if let Some(claim) =
            item.token_claims.iter().find(|claim| ![ROLES_CLAIM, GROUPS_CLAIM].contains(claim))
        {
            let known = [ROLES_CLAIM, GROUPS_CLAIM].into_iter();
            return Err(format!("`token_claims`: {}", none_of(claim, known)));
        }
        let certificate = match (&item.spiffe_id, &item.tls_san_dns) {
            (Some(_), Some(_)) => return Err("has `spiffe_id` or `tls_san_dns`, not both".to_owned()),
            (Some(id), None) => Some(CertificateSubject::SpiffeId(id.clone())),
            (None, Some(name)) => Some(CertificateSubject::DnsName(name.clone())),
            (None, None) => None,
        };
        let keys = item.public_keys.as_ref().map(|keys| match keys.as_str() {
            Some(text) => read_public_keys(text),
            None => read_public_keys(&keys.to_string()),
        });
        let keys = keys.transpose().map_err(|problem| format!("`public_keys` {problem}"))?;
        let secret = match self.wanted.secrets.get(&item.name) {
            Some(secret) => Some(NewSecret::given(secret).ok_or(
                "its secret has not the form of one that Signet makes, 256 random bits in base64url: \
                 `openssl rand -base64 32 | tr +/ -_ | tr -d =` makes one",
            )?),
            None => None,
        };
        let there = self.present.clients.iter().find(|client| client.name.as_str() == item.name);
        match there.cloned() {
            Some(old) => self.changed_client(what, item, &old, (keys, certificate, secret)),
            None => self.new_client(what, item, (keys, certificate, secret)),
        }
    }

    fn new_client(
        &mut self,
        what: &str,
        item: &ClientItem,
        (jwks, certificate, secret): Proofs,
    ) -> Result<(), String> {
        let proves = jwks.is_some() || certificate.is_some() || secret.is_some();
        if proves == item.public {
            return Err("is new, and is either `public: true`, or has one of `secret: env:NAME`, `public_keys`, `spiffe_id` and \
                        `tls_san_dns`"
                .to_owned());
        }
        if item.public && item.may_claim_address {
            return Err("proves nothing, so it may not tell its users' addresses".to_owned());
        }
        let now = self.wanted.now;
        let client = Client {
            id: item.id.unwrap_or_else(|| ClientId::new(now, self.entropy)),
            name: ClientName::parse(&item.name).map_err(|rule| format!("its name {}", rule.description))?,
            kind: if proves { ClientKind::Confidential } else { ClientKind::Public },
            scopes: item.scopes.clone(),
            audiences: item.audiences.clone(),
            secrets: secret.map(NewSecret::hash).into_iter().collect(),
            jwks,
            certificate,
            may_claim_address: item.may_claim_address,
            token_claims: item.token_claims.clone(),
            is_active: item.active,
            create_time: now,
            update_time: now,
        };
        self.clients.insert(item.name.clone(), client.id);
        let made = given(None, client, self.wanted.own).map_err(|error| in_words(&error))?;
        let entry = Event::ClientCreated.done().client(made.client.id.to_string());
        let fields = of_new(&made.client);
        self.create(what.to_owned(), fields, Step::AddClient(Box::new(made)), entry);
        Ok(())
    }

    fn changed_client(
        &mut self,
        what: &str,
        item: &ClientItem,
        old: &Client,
        (jwks, certificate, secret): Proofs,
    ) -> Result<(), String> {
        if old.kind == ClientKind::Public && !item.public && !old.id.is_built_in() {
            return Err("is a public client, which `public: true` says: it cannot become another".to_owned());
        }
        if old.kind == ClientKind::Confidential && item.public {
            return Err("is a confidential client: it cannot become a public one".to_owned());
        }
        let set = |old: &NameSet, new: &NameSet| {
            SetChange::To(if same(old, new) { old.clone() } else { new.clone() })
        };
        let change = ClientChange {
            scopes: set(&old.scopes, &item.scopes),
            audiences: set(&old.audiences, &item.audiences),
            token_claims: set(&old.token_claims, &item.token_claims),
            jwks: Some(jwks),
            certificate: Some(certificate),
            may_claim_address: Some(item.may_claim_address),
            ..ClientChange::default()
        };
        let old = self.step(what, Event::ClientUpdated, old, &change)?;
        // One that is valid already stays where it is.
        let secret = secret.filter(|secret| !old.secrets.contains(&secret.hash()));
        let change = ClientChange { secret, ..ClientChange::default() };
        let old = self.step(what, Event::ClientSecretRotated, &old, &change)?;
        let event = if item.active { Event::ClientEnabled } else { Event::ClientDisabled };
        let change = ClientChange { is_active: Some(item.active), ..ClientChange::default() };
        self.step(what, event, &old, &change).map(drop)
    }

    /// Makes of `old` what `change` says, if that is another, and returns it.
    fn step(
        &mut self,
        what: &str,
        event: Event,
        old: &Client,
        change: &ClientChange,
    ) -> Result<Client, String> {
        let made = changed(old, change, self.wanted.own).map_err(|error| in_words(&error))?;
        let new = made.client.clone();
        if new == *old {
            return Ok(new);
        }
        let entry = event.done().client(new.id.to_string());
        let step = Step::ChangeClient(Box::new(made));
        match event {
            Event::ClientUpdated => {
                let mut fields = client_differences(Some(old), &new);
                let keys = fields.iter_mut().find(|change| change.field == Field::PublicKeys);
                // Which they are is not shown, but that there are none any more.
                if let Some(keys) = keys.filter(|_| new.jwks.is_none()) {
                    keys.old = Some("some".to_owned());
                }
                self.update(what.to_owned(), &fields, step, entry);
            }
            Event::ClientSecretRotated => self.told(what, (SECRET, "", ANOTHER), step, entry),
            _ if new.is_active => self.told(what, (ACTIVE, "false", "true"), step, entry),
            _ => self.told(what, (ACTIVE, "true", "false"), step, entry),
        }
        Ok(new)
    }

    /// `what` is to be changed in a way that its event tells by its name alone.
    fn told(&mut self, what: &str, (field, old, new): (&str, &str, &str), step: Step, entry: Entry) {
        self.update(what.to_owned(), &[], step, entry);
        if let Some(change) = self.changes.last_mut() {
            change.fields.push(difference(field, old, new));
        }
    }
}

/// A secret that a client gets, as a plan names it.
const SECRET: &str = "secret";

/// What is told of a value that is not shown.
const ANOTHER: &str = "another one";

/// Whether a client is enabled, as a plan names it.
const ACTIVE: &str = "active";

fn difference(field: &str, old: &str, new: &str) -> FieldDifference {
    FieldDifference { field: field.to_owned(), old: old.to_owned(), new: new.to_owned() }
}

/// What is shown of the new client `client`: all that it has, and that a new one need not have.
fn of_new(client: &Client) -> Vec<FieldDifference> {
    let is_public = client.kind == ClientKind::Public;
    let mut fields: Vec<_> = is_public.then(|| difference("public", "", "true")).into_iter().collect();
    let said = client_differences(None, client).into_iter().filter(|change| match change.field {
        // The resource is called by it.
        Field::Name => false,
        Field::MayClaimAddress => client.may_claim_address,
        _ => true,
    });
    fields.extend(said.map(|change| FieldDifference::from(&change)));
    if !client.secrets.is_empty() {
        fields.push(difference(SECRET, "", ANOTHER));
    }
    if !client.is_active {
        fields.push(difference(ACTIVE, "", "false"));
    }
    fields
}

/// What a client proves itself by: public keys, a certificate, a secret.
type Proofs = (Option<String>, Option<CertificateSubject>, Option<NewSecret>);

/// What is wrong, in words.
pub(super) fn in_words(error: &Error) -> String {
    match error {
        Error::InvalidFields(violations) => {
            let rules: Vec<_> =
                violations.iter().map(|rule| format!("{} {}", rule.field, rule.description)).collect();
            rules.join("; ")
        }
        other => other.to_string(),
    }
}
