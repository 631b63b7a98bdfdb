//! Owns what the operator is told after the upgrade that brings roles.

use std::collections::{BTreeMap, BTreeSet};

use crate::{
    model::{
        AudienceName, Error, NameSet, Role,
        audience::AUDIENCE_MAX_BYTES,
        claims::{ACCOUNT_SCOPE, INTROSPECT_SCOPE, USER_SCOPE},
        role::is_admin_scope,
    },
    store::{BATCH, Store},
};

/// What an upgrade gave to users.
#[derive(Clone, Debug, Default)]
pub struct Upgrade {
    /// The role `everyone` of each audience; the service's own only if it has more than reading and changing the own account.
    pub everyone: Vec<Role>,
    /// The scopes that clients have for their users and that found no room in the role: nobody has them.
    pub left_out: Vec<(AudienceName, NameSet)>,
    /// The audiences of clients whose names are too long for one: nobody has anything there.
    pub too_long: Vec<String>,
}

impl Upgrade {
    /// Whether there is nothing to tell.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.everyone.is_empty() && self.left_out.is_empty() && self.too_long.is_empty()
    }
}

/// Reads what users have in `store`, to which roles have just come.
///
/// # Errors
/// [`Error::Unavailable`] or [`Error::Internal`], with the cause.
pub async fn after_upgrade(store: &Store) -> Result<Upgrade, Error> {
    let mut upgrade = Upgrade::default();
    let mut of_clients = of_clients(store).await?;
    upgrade.too_long = of_clients.keys().filter(|name| name.len() > AUDIENCE_MAX_BYTES).cloned().collect();
    let mut after = None;
    loop {
        let page = store.audiences(after.as_ref(), BATCH as u64).await?;
        let names: Vec<_> = page.into_iter().map(|audience| audience.name).collect();
        let Some(last) = names.last() else { break };
        let everyone = store.everyone(&names).await?;
        for role in &everyone {
            let has: BTreeSet<_> = role.scopes.iter().collect();
            let wanted = of_clients.remove(role.audience.as_str()).unwrap_or_default();
            let lacking: Vec<_> =
                wanted.iter().map(String::as_str).filter(|scope| !has.contains(scope)).collect();
            if !lacking.is_empty() {
                upgrade.left_out.push((role.audience.clone(), NameSet::default().with(lacking)));
            }
        }
        upgrade.everyone.extend(everyone.into_iter().filter(is_telling));
        after = Some(last.clone());
    }
    Ok(upgrade)
}

/// The scopes that the clients in `store` have for their users, at each of their audiences.
async fn of_clients(store: &Store) -> Result<BTreeMap<String, BTreeSet<String>>, Error> {
    let mut of_clients: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    let mut after = None;
    loop {
        let page = store.clients(after, BATCH as u64).await?;
        let Some(last) = page.last() else { return Ok(of_clients) };
        after = Some(last.id);
        for client in &page {
            // A client without audiences has the service's own.
            let own = client.audiences.is_empty().then_some(AudienceName::SIGNET);
            for audience in client.audiences.iter().chain(own) {
                let scopes = client.scopes.iter().filter(|scope| is_for_everyone(scope)).map(str::to_owned);
                of_clients.entry(audience.to_owned()).or_default().extend(scopes);
            }
        }
    }
}

/// Whether users had `scope` without a role: not what is for clients, nor what administers the service. `account` is new.
fn is_for_everyone(scope: &str) -> bool {
    scope != INTROSPECT_SCOPE && scope != ACCOUNT_SCOPE && !is_admin_scope(scope)
}

/// Whether `everyone` says more than what every user has in any installation.
fn is_telling(everyone: &Role) -> bool {
    let is_own = |scope: &str| scope == USER_SCOPE || scope == ACCOUNT_SCOPE;
    !everyone.audience.is_signet() || !everyone.scopes.iter().all(is_own)
}
