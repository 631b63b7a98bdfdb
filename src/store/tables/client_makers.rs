//! Owns who made the credentials of a client: whoever knows a credential can act as the client, so the client may hold no `signet.` scope
//! that one of them lacked.

use std::collections::{BTreeSet, HashMap};

use sea_orm::{ColumnTrait, Condition, ConnectionTrait, DbErr, EntityTrait, QueryFilter, QuerySelect};
use serde_json::Value;
use uuid::Uuid;

use super::{
    administration::admin_scopes_of,
    entity::clients::{Column, Entity},
    holders,
};
use crate::store::engine::attempts::Failed;
use crate::{
    base::Timestamp,
    model::{AdminScope, Client, ClientId, Error, NameSet, Principal, Rights, role::is_admin_scope},
};

/// Of the secrets, the keys and the certificate of a client, the scopes that administer the service and that everybody had who made one of
/// them; none: all that there are.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Makers([Option<NameSet>; KINDS]);

/// The number of kinds of credentials: secrets, keys, a certificate.
const KINDS: usize = 3;

/// The scopes of one kind, as they are stored.
type Stored = Option<String>;

/// Clients that hold scopes which a maker of their credentials lacked, with their names and these scopes.
#[derive(Debug, Default)]
pub(super) struct HoldingMore(HashMap<ClientId, (String, NameSet)>);

impl Makers {
    /// Reads the columns.
    pub(super) fn from_stored(scopes: [Option<String>; KINDS]) -> Self {
        Self(scopes.map(|scopes| scopes.map(NameSet::from_stored)))
    }

    /// The columns. Scopes that do not fit count as lacking, which is the safe side.
    pub(super) fn stored(&self) -> [Option<String>; KINDS] {
        let stored = |scopes: &Option<NameSet>| Some(scopes.as_ref()?.as_far_as_fits().as_str().to_owned());
        self.0.each_ref().map(stored)
    }

    /// The makers of the credentials of `new`, which somebody with `rights` makes of `old`, if it was there, whose credentials these have
    /// made. A credential stays its maker's as long as it is there: whoever replaces all of a kind is the only one.
    ///
    /// # Errors
    /// [`Error::MakerLacksScope`]: `new` is registered with a scope that `old` was not, and that one of them lacked.
    pub(super) fn of(old: Option<(&Client, &Self)>, new: &Client, rights: &Rights) -> Result<Self, Error> {
        let (now, before) = (credentials(new), old.map(|(old, _)| credentials(old)).unwrap_or_default());
        let mut makers = old.map(|(_, makers)| makers.clone()).unwrap_or_default();
        for (had, (now, before)) in makers.0.iter_mut().zip(now.iter().zip(&before)) {
            if now.is_disjoint(before) {
                *had = None;
            }
            if !now.is_subset(before)
                && let Some(held) = rights.less_than_all()
            {
                *had = Some(had.take().map_or_else(|| held.clone(), |scopes| scopes.within(held)));
            }
        }
        let had = old.map(|(old, _)| old.scopes.clone()).unwrap_or_default();
        let lacking = makers.lacking(&new.scopes.without(&had));
        if lacking.is_empty() {
            return Ok(makers);
        }
        Err(Error::MakerLacksScope { client: new.name.as_str().to_owned(), scopes: lacking })
    }

    /// The `signet.` scopes of `scopes` that one of them lacked.
    fn lacking(&self, scopes: &NameSet) -> NameSet {
        let lacks = |scope: &str| self.0.iter().flatten().any(|had| !had.contains(scope));
        scopes.keeping(|scope| is_admin_scope(scope) && lacks(scope))
    }
}

impl HoldingMore {
    /// Those that do at `now` by a role: what they are registered with, [`Makers::of`] judges. Few clients are bound to such a role.
    pub(super) async fn find(db: &impl ConnectionTrait, now: Timestamp) -> Result<Self, DbErr> {
        let columns = [Column::SecretMakers, Column::KeyMakers, Column::CertificateMakers];
        let any = columns.into_iter().fold(Condition::any(), |any, column| any.add(column.is_not_null()));
        let bound = Entity::find()
            .select_only()
            .columns([Column::Id, Column::Name])
            .columns(columns)
            .filter(any)
            .filter(Column::Id.in_subquery(holders::clients_bound()));
        let bound: Vec<(Uuid, String, Stored, Stored, Stored)> = bound.into_tuple().all(db).await?;
        let mut found = HashMap::new();
        for (id, name, secrets, keys, certificate) in bound {
            let id = ClientId(id);
            let held = admin_scopes_of(db, Principal::Client(id), now).await?;
            let lacking = Makers::from_stored([secrets, keys, certificate]).lacking(&held);
            if !lacking.is_empty() {
                found.insert(id, (name, lacking));
            }
        }
        Ok(Self(found))
    }

    /// Succeeds if none of them holds more than it did `before`. Some may have done: a release may add scopes to a built-in role.
    ///
    /// # Errors
    /// [`Error::MakerLacksScope`].
    pub(super) fn must_not_exceed(self, before: &Self) -> Result<(), Error> {
        for (id, (client, lacking)) in self.0 {
            let scopes = match before.0.get(&id) {
                Some((_, lacked)) => lacking.without(lacked),
                None => lacking,
            };
            if !scopes.is_empty() {
                return Err(Error::MakerLacksScope { client, scopes });
            }
        }
        Ok(())
    }
}

/// Succeeds if the client `id` may become an owner of an audience: whoever made a credential of it could have named the owners, or given
/// every role of it.
///
/// # Errors
/// [`Error::MakerLacksScope`].
pub(super) async fn may_own(db: &impl ConnectionTrait, id: ClientId) -> Result<(), Failed> {
    let makers = Entity::find_by_id(id.0).select_only().columns([
        Column::Name,
        Column::SecretMakers,
        Column::KeyMakers,
        Column::CertificateMakers,
    ]);
    let makers: Vec<(String, Stored, Stored, Stored)> = makers.into_tuple().all(db).await?;
    let rules = |had: &NameSet| had.contains(AdminScope::AudiencesAdmin.name());
    for (client, secrets, keys, certificate) in makers {
        if !Makers::from_stored([secrets, keys, certificate]).0.iter().flatten().all(rules) {
            let scopes = NameSet::from_stored(AdminScope::AudiencesAdmin.name().to_owned());
            return Err(Error::MakerLacksScope { client, scopes }.into());
        }
    }
    Ok(())
}

/// Whether `new` has a credential that `old` had not: whoever makes `new` of it can act as the client then.
pub(super) fn makes_a_credential(old: &Client, new: &Client) -> bool {
    let mut kinds = credentials(new).into_iter().zip(credentials(old));
    kinds.any(|(now, before)| !now.is_subset(&before))
}

/// What `client` proves by that it is the one it says to be. A key is the same under another `kid`, and for another algorithm.
fn credentials(client: &Client) -> [BTreeSet<String>; KINDS] {
    let secrets = client.secrets.iter().map(|hash| format!("{hash:?}")).collect();
    let certificate = client.certificate.iter().map(ToString::to_string).collect();
    [secrets, client.jwks.iter().flat_map(|jwks| keys(jwks)).collect(), certificate]
}

fn keys(jwks: &str) -> Vec<String> {
    let set: Option<Value> = serde_json::from_str(jwks).ok();
    let Some(keys) = set.as_ref().and_then(|set| set.get("keys")).and_then(Value::as_array) else {
        return vec![jwks.to_owned()];
    };
    let without_names = |key: &Value| {
        let mut key = key.clone();
        if let Some(members) = key.as_object_mut() {
            members.retain(|name, _| !["kid", "alg", "use"].contains(&name.as_str()));
        }
        key.to_string()
    };
    keys.iter().map(without_names).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{ClientKind, ClientName};

    const WRITE: &str = "signet.clients.write";

    fn set(text: &str) -> NameSet {
        NameSet::parse(text).unwrap()
    }

    fn rights(held: &str) -> Rights {
        Rights::of_caller(&set(held), &set(held))
    }

    fn client(scopes: &str, secrets: &[u8], kids: &[&str]) -> Client {
        let keys: Vec<_> =
            kids.iter().map(|kid| format!(r#"{{"kid":"{kid}","x":"{}"}}"#, &kid[..1])).collect();
        Client {
            name: ClientName::parse("ci").unwrap(),
            kind: ClientKind::Confidential,
            scopes: set(scopes),
            secrets: secrets.iter().map(|byte| [*byte; 32]).collect(),
            jwks: (!keys.is_empty()).then(|| format!(r#"{{"keys":[{}]}}"#, keys.join(","))),
            ..Client::built_in()
        }
    }

    fn makers(had: [Option<&str>; KINDS]) -> Makers {
        Makers(had.map(|had| had.map(set)))
    }

    /// The makers once somebody who has `held` makes `new` of `old`, whose makers were `before`.
    fn after(old: &Client, before: [Option<&str>; KINDS], new: &Client, held: &str) -> Makers {
        Makers::of(Some((old, &makers(before))), new, &rights(held)).unwrap()
    }

    #[test]
    fn a_credential_is_its_makers_as_long_as_it_is_there() {
        let (one, both, other) = (client("", &[1], &[]), client("", &[2, 1], &[]), client("", &[2], &[]));
        let wide = "signet.clients.write signet.users.read";
        let of_secrets = |had| makers([had, None, None]);
        let narrow = [Some(WRITE), None, None];
        assert_eq!(Makers::of(None, &one, &rights(WRITE)).unwrap(), of_secrets(Some(WRITE)));
        assert_eq!(Makers::of(None, &one, &Rights::OPERATOR).unwrap(), Makers::default());
        assert_eq!(after(&one, narrow, &both, wide), of_secrets(Some(WRITE)), "the older one stays");
        assert_eq!(after(&one, narrow, &other, wide), of_secrets(Some(wide)), "it ends");
        assert_eq!(after(&one, [None; 3], &both, WRITE), of_secrets(Some(WRITE)), "another maker");
        assert_eq!(after(&both, narrow, &one, wide), of_secrets(Some(WRITE)), "nothing is made");
        assert_eq!(after(&one, narrow, &client("", &[], &[]), wide), Makers::default(), "nothing is left");
    }

    #[test]
    fn a_key_is_the_same_in_another_set_and_under_another_name() {
        let (old, wide) = (client("", &[], &["a"]), "signet.clients.write signet.users.read");
        let narrow = [None, Some(WRITE), None];
        let of_keys = |new: &Client| after(&old, narrow, new, wide).0[1].clone();
        assert_eq!(of_keys(&client("", &[], &["a", "b"])), Some(set(WRITE)));
        assert_eq!(of_keys(&client("", &[], &["a2"])), Some(set(WRITE)));
        assert_eq!(of_keys(&client("", &[], &["b"])), Some(set(wide)));
        assert_eq!(
            after(&old, narrow, &client("", &[1], &["a"]), wide),
            makers([Some(wide), Some(WRITE), None])
        );
        // One kind after the other.
        let (with_both, keys_first) = (client("", &[1], &["a"]), client("", &[1], &["b"]));
        let keys_replaced = after(&with_both, [Some(WRITE), Some(WRITE), None], &keys_first, wide);
        assert_eq!(keys_replaced, makers([Some(WRITE), Some(wide), None]));
        let done = Makers::of(Some((&keys_first, &keys_replaced)), &client("", &[2], &["b"]), &rights(wide));
        assert_eq!(done.unwrap(), makers([Some(wide), Some(wide), None]));
    }

    #[test]
    fn a_client_is_registered_with_nothing_new_that_a_maker_lacked() {
        let (old, makers) = (client("a", &[1], &[]), makers([Some(WRITE), None, None]));
        let registered =
            |new: &Client, old: &Client| Makers::of(Some((old, &makers)), new, &Rights::OPERATOR);
        let more = client("a b signet.clients.write signet.users.read", &[1], &[]);
        match registered(&more, &old) {
            Err(Error::MakerLacksScope { client, scopes }) => {
                assert_eq!((client.as_str(), scopes.as_str()), ("ci", "signet.users.read"));
            }
            other => panic!("{other:?}"),
        }
        assert!(
            registered(&client("a b signet.clients.write", &[1], &[]), &old).is_ok(),
            "no maker lacks it"
        );
        assert!(registered(&more, &more).is_ok(), "it had it");
        assert!(registered(&Client { secrets: vec![[2; 32]], ..more }, &old).is_ok(), "with another secret");
    }
}
