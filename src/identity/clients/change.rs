//! Owns changing a client: what may be changed of it, and which scopes and audiences it gains by that.

use super::secret;
use crate::{
    model::{
        AdminScope, AudienceName, CertificateSubject, Client, ClientKind, ClientName, Error, FieldReason,
        FieldViolation, NameSet, RuleViolation,
        claims::{ACCOUNT_SCOPE, ADMIN_SCOPE_PREFIX, INTROSPECT_SCOPE, USER_SCOPE},
        role::is_admin_scope,
    },
    store::ChangedClient,
};

/// How many secrets of a client are valid at a time: the newest, and the one that it replaces.
const VALID_SECRETS: usize = 2;

/// The changes of a client.
#[derive(Clone, Debug, Default)]
pub struct ClientChange {
    /// The new name, if it changes.
    pub name: Option<ClientName>,
    /// The scopes that it may ask for.
    pub scopes: SetChange,
    /// How the audiences of its tokens change.
    pub audiences: SetChange,
    /// How the claims about roles in its tokens change.
    pub token_claims: SetChange,
    /// Its public keys, as [`read_public_keys`](super::read_public_keys) returned them, if they are changed; none for no keys.
    pub jwks: Option<Option<String>>,
    /// Whose certificate stands for it, if that is changed; none for nobody's.
    pub certificate: Option<Option<CertificateSubject>>,
    /// Whether it may tell the addresses of its users, if that is changed.
    pub may_claim_address: Option<bool>,
    /// Whether it is enabled, if that is changed.
    pub is_active: Option<bool>,
    /// A secret that it gets.
    pub secret: Option<NewSecret>,
    /// The etag that the client must still have, if one was shown.
    pub etag: Option<String>,
}

/// A secret that a client gets: nobody but the registry makes one.
#[derive(Clone, Copy, Debug)]
pub struct NewSecret {
    hash: [u8; 32],
    /// Whether the older ones end.
    end_older: bool,
}

impl NewSecret {
    /// `secret`, if it has the form of one that Signet makes. The one before it stays valid.
    pub(in crate::identity) fn given(secret: &str) -> Option<Self> {
        secret::has_form(secret).then(|| Self { hash: secret::hash(secret), end_older: false })
    }

    /// What is kept of it.
    pub(in crate::identity) const fn hash(self) -> [u8; 32] {
        self.hash
    }
}

/// A change of a set.
#[derive(Clone, Debug)]
pub enum SetChange {
    /// These come and go.
    By {
        /// The names to add.
        add: NameSet,
        /// The names to remove.
        remove: NameSet,
    },
    /// The new set.
    To(NameSet),
}

impl Default for SetChange {
    /// Nothing.
    fn default() -> Self {
        Self::By { add: NameSet::default(), remove: NameSet::default() }
    }
}

impl SetChange {
    fn of(&self, field: &'static str, old: &NameSet) -> Result<NameSet, FieldViolation> {
        match self {
            Self::To(new) => Ok(new.clone()),
            Self::By { add, remove } => NameSet::of(old.without(remove).iter().chain(add.iter()))
                .map_err(|error| RuleViolation::new(FieldReason::TooLong, error.to_string()).at(field)),
        }
    }
}

/// The client `old` after `change`. `own` is the service's own audience.
///
/// # Errors
/// [`Error::EtagMismatch`], [`Error::BuiltInClient`], [`Error::PublicClient`], [`Error::InvalidFields`].
pub(in crate::identity) fn changed(
    old: &Client,
    change: &ClientChange,
    own: &NameSet,
) -> Result<ChangedClient, Error> {
    old.etag().must_match(change.etag.as_deref())?;
    must_be_changeable(old, change)?;
    let mut violations = Vec::new();
    let mut set = |field, change: &SetChange, old: &NameSet| {
        change.of(field, old).unwrap_or_else(|violation| {
            violations.push(violation);
            NameSet::default()
        })
    };
    let scopes = set("scopes", &change.scopes, &old.scopes);
    let audiences = set("audiences", &change.audiences, &old.audiences);
    let token_claims = set("token_claims", &change.token_claims, &old.token_claims);
    let takes_all = matches!(change.audiences, SetChange::By { .. }) && !old.id.is_built_in();
    if takes_all && audiences.is_empty() && !old.audiences.is_empty() && violations.is_empty() {
        let rule =
            "must not all go, since none means the service itself: add its own --audience if that is meant";
        violations.push(RuleViolation::new(FieldReason::Required, rule).at("audiences"));
    }
    if !violations.is_empty() {
        return Err(Error::InvalidFields(violations));
    }
    let new = Client {
        name: change.name.clone().unwrap_or_else(|| old.name.clone()),
        scopes,
        audiences,
        token_claims,
        jwks: change.jwks.clone().unwrap_or_else(|| old.jwks.clone()),
        certificate: change.certificate.clone().unwrap_or_else(|| old.certificate.clone()),
        may_claim_address: change.may_claim_address.unwrap_or(old.may_claim_address),
        is_active: change.is_active.unwrap_or(old.is_active),
        secrets: secrets(&old.secrets, change.secret),
        ..old.clone()
    };
    given(Some(old), new, own)
}

/// `new`, and what it is given that `old` did not have; `own` is the service's own audience.
///
/// # Errors
/// [`Error::InvalidFields`]: an audience whose name is none, or a scope that administers the service and that this release does not know.
pub(in crate::identity) fn given(
    old: Option<&Client>,
    new: Client,
    own: &NameSet,
) -> Result<ChangedClient, Error> {
    let nothing = NameSet::default();
    let (had_scopes, had_audiences) =
        old.map_or((&nothing, nothing.clone()), |old| (&old.scopes, audiences(old, own)));
    let (scopes, places) = (new.scopes.without(had_scopes), audiences(&new, own));
    let new_places = places.without(&had_audiences);
    let mut violations: Vec<_> = scopes.iter().filter_map(|scope| unknown_scope(&new, scope)).collect();
    let named = new.audiences.without(&had_audiences);
    violations.extend(
        named.iter().filter_map(|name| AudienceName::parse(name).err()).map(|rule| rule.at("audiences")),
    );
    if !violations.is_empty() {
        return Err(Error::InvalidFields(violations));
    }
    // At an audience that it gains all counts that it is registered with; a scope that it gains counts at each of its audiences.
    let granted = if new_places.is_empty() { scopes.clone() } else { new.scopes.clone() };
    let given_at = if scopes.is_empty() { &new_places } else { &places };
    let kept_as = given_at.iter().map(|name| AudienceName::of(name, own));
    let mut audiences: Vec<_> = kept_as.filter(|name| !name.is_signet()).collect();
    let is_own = |names: &NameSet| names.iter().any(|name| own.contains(name));
    let at_signet = if is_own(&new_places) {
        &new.scopes
    } else if is_own(&places) {
        &scopes
    } else {
        &nothing
    };
    // Who judges tokens says so by its secret, too, whomever its own ones are meant for.
    if scopes.contains(INTROSPECT_SCOPE) || at_signet.iter().any(is_given_by_owners) {
        audiences.push(AudienceName::signet());
    }
    Ok(ChangedClient { client: new, granted, audiences })
}

/// Whether the owners of the service's own audience decide who is registered with `scope` there: not what a client has for its users'
/// accounts alone, nor what administers the service, which is given by who has it.
fn is_given_by_owners(scope: &str) -> bool {
    scope != USER_SCOPE && scope != ACCOUNT_SCOPE && !is_admin_scope(scope)
}

/// The audiences that tokens of `client` may have; `own` is the service's own one.
pub(super) fn audiences(client: &Client, own: &NameSet) -> NameSet {
    match (client.audiences.is_empty(), client.id.is_built_in()) {
        (true, _) => own.clone(),
        (false, true) => own.with(client.audiences.iter()),
        (false, false) => client.audiences.clone(),
    }
}

/// Refuses what cannot be changed of `old`, whoever asks.
fn must_be_changeable(old: &Client, change: &ClientChange) -> Result<(), Error> {
    let proves = change.secret.is_some()
        || change.jwks.as_ref().is_some_and(Option::is_some)
        || change.certificate.as_ref().is_some_and(Option::is_some);
    if old.id.is_built_in() {
        let because = if change.name.as_ref().is_some_and(|name| *name != old.name) {
            Some("it keeps its name")
        } else if change.is_active == Some(false) {
            Some(
                "it cannot be disabled. To have its users' tokens be good for nothing, take its scopes away: `signet clients update signet \
                 --remove-scope profile --remove-scope account`",
            )
        } else if proves {
            Some("it is public, and proves nothing")
        } else {
            None
        };
        if let Some(because) = because {
            return Err(Error::BuiltInClient { because });
        }
    }
    if old.kind == ClientKind::Public {
        if proves {
            return Err(public(old, "it has no secret, no public keys and no certificate"));
        }
        if change.may_claim_address == Some(true) {
            return Err(public(old, "it proves nothing, so it may not tell its users' addresses"));
        }
    }
    Ok(())
}

/// Why this cannot be done to the public client `client`.
pub(super) fn public(client: &Client, because: &'static str) -> Error {
    Error::PublicClient { client: client.name.as_str().to_owned(), because }
}

/// Why `client` cannot get the scope `scope`, if it cannot.
fn unknown_scope(client: &Client, scope: &str) -> Option<FieldViolation> {
    if !scope.starts_with(ADMIN_SCOPE_PREFIX) {
        return None;
    }
    let rule = if client.id.is_built_in() {
        format!(
            "must not have `{scope}`: `signet` may be asked for every scope of the service's own by its name"
        )
    } else if AdminScope::named(scope).is_some() {
        return None;
    } else {
        let nearest =
            AdminScope::ALL.iter().map(|known| known.name()).min_by_key(|known| distance(known, scope));
        let hint = nearest.map(|name| format!(": is `{name}` meant?")).unwrap_or_default();
        format!("must not have `{scope}`, which is no scope of the service's own{hint}")
    };
    Some(RuleViolation::new(FieldReason::Malformed, rule).at("scopes"))
}

/// In how many places two names differ (Levenshtein).
fn distance(one: &str, other: &str) -> usize {
    let mut row: Vec<usize> = (0..=other.len()).collect();
    for (above, byte) in one.bytes().enumerate() {
        let mut diagonal = row[0];
        row[0] = above + 1;
        for (at, its) in other.bytes().enumerate() {
            let replaced = diagonal + usize::from(byte != its);
            diagonal = row[at + 1];
            row[at + 1] = replaced.min(row[at] + 1).min(diagonal + 1);
        }
    }
    row.last().copied().unwrap_or_default()
}

/// The valid secrets once `new` has come to `old`; the newest first.
fn secrets(old: &[[u8; 32]], new: Option<NewSecret>) -> Vec<[u8; 32]> {
    let Some(NewSecret { hash, end_older }) = new else { return old.to_vec() };
    let stay = if end_older { 0 } else { VALID_SECRETS - 1 };
    [hash].into_iter().chain(old.iter().copied().take(stay)).collect()
}

/// A new secret, and the change that gives it to a client.
pub(super) fn new_secret(
    end_older: bool,
    etag: Option<String>,
) -> (zeroize::Zeroizing<String>, ClientChange) {
    let made = secret::random();
    let change = ClientChange {
        secret: Some(NewSecret { hash: secret::hash(&made), end_older }),
        etag,
        ..ClientChange::default()
    };
    (made, change)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn set(text: &str) -> NameSet {
        NameSet::parse(text).unwrap()
    }

    fn client(scopes: &str, audiences: &str) -> Client {
        let id = crate::model::ClientId(uuid::Uuid::from_u128(7));
        Client { id, scopes: set(scopes), audiences: set(audiences), ..Client::built_in() }
    }

    /// The scopes and the audiences that a client is given that becomes `new`.
    fn judged(old: Option<(&str, &str)>, new: (&str, &str)) -> (String, Vec<String>) {
        let old = old.map(|(scopes, audiences)| client(scopes, audiences));
        let ChangedClient { granted, audiences, .. } =
            given(old.as_ref(), client(new.0, new.1), &set("own")).unwrap();
        (granted.to_string(), audiences.iter().map(|name| name.as_str().to_owned()).collect())
    }

    #[test]
    fn what_a_client_is_given_is_what_counts_that_did_not_count() {
        let all = |scopes: &str, audiences: &[&str]| {
            (scopes.to_owned(), audiences.iter().map(|&name| name.to_owned()).collect::<Vec<_>>())
        };
        let read = "signet.users.read";
        assert_eq!(judged(None, (read, "")), all(read, &[]), "at the service itself");
        assert_eq!(judged(None, ("a", "stock")), all("a", &["stock"]));
        assert_eq!(judged(Some(("a", "stock")), ("a", "stock")), all("", &[]));
        assert_eq!(judged(Some(("a b", "stock orders")), ("b", "stock")), all("", &[]), "less");
        assert_eq!(
            judged(Some(("a", "stock orders")), ("a b", "stock orders")),
            all("b", &["stock", "orders"])
        );
        assert_eq!(judged(Some(("a", "stock")), ("a", "stock orders")), all("a", &["orders"]));
        // Registered for another audience alone it counted nowhere.
        assert_eq!(judged(Some((read, "stock")), (read, "stock own")), all(read, &[]));
        assert_eq!(judged(Some((read, "stock")), (read, "")), all(read, &[]));
        // At the service itself its owners decide, but for what users have there and what administers it.
        assert_eq!(judged(None, ("a", "")), all("a", &["signet"]));
        assert_eq!(judged(None, ("profile account", "own stock")), all("profile account", &["stock"]));
        assert_eq!(
            judged(Some(("a", "own")), ("a profile", "own stock")),
            all("a profile", &["stock"]),
            "at the service itself `a` counted before"
        );
        assert_eq!(judged(Some(("a", "stock")), ("a", "stock own")), all("a", &["signet"]));
        assert_eq!(judged(None, ("introspect", "stock")), all("introspect", &["stock", "signet"]));
        assert_eq!(judged(Some(("introspect", "stock")), ("introspect", "stock own")).1, ["signet"]);
        // One that is called as the service's own are kept is another.
        assert_eq!(judged(None, ("a", "signet")).1.len(), 1);
    }

    #[test]
    fn a_scope_of_the_services_own_that_there_is_not_is_refused_with_the_nearest() {
        let refused = given(None, client("signet.user.read", ""), &set("own")).unwrap_err();
        assert!(refused.to_string().contains("`signet.users.read`"), "{refused}");
        let later = client("signet.of-tomorrow", "");
        assert!(given(Some(&later), later.clone(), &set("own")).is_ok(), "it was there");
        let built_in = Client { scopes: set("signet.users.read"), ..Client::built_in() };
        assert!(given(Some(&Client::built_in()), built_in, &set("own")).is_err());
    }
}
