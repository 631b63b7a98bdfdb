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
    /// What users have lost where the service's own audience has another name.
    pub unread: Option<Unread>,
}

/// What the role `everyone` gives at an audience that has the name of the service's own one, and does not give at that: nobody reads it,
/// since the service's own is kept under one name, whatever it is called.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unread {
    /// What the service is called.
    pub audience: AudienceName,
    /// The scopes that users do not have.
    pub scopes: NameSet,
}

impl Upgrade {
    /// Whether there is nothing to tell.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.everyone.is_empty()
            && self.left_out.is_empty()
            && self.too_long.is_empty()
            && self.unread.is_none()
    }
}

/// Reads what users have in `store`, to which roles have just come, and where the service's own audience is called `own`.
///
/// # Errors
/// [`Error::Unavailable`] or [`Error::Internal`], with the cause.
pub async fn after_upgrade(store: &Store, own: &NameSet) -> Result<Upgrade, Error> {
    let mut upgrade = Upgrade { unread: unread(store, own).await?, ..Upgrade::default() };
    let mut of_clients = of_clients(store, own).await?;
    upgrade.too_long = of_clients.keys().filter(|name| name.len() > AUDIENCE_MAX_BYTES).cloned().collect();
    let mut after = None;
    loop {
        let page = store.audiences(after.as_ref(), BATCH as u64).await?;
        let names: Vec<_> = page.into_iter().map(|audience| audience.name).collect();
        let Some(last) = names.last() else { break };
        let everyone = store.everyone(&names).await?;
        for role in &everyone {
            let unread = upgrade.unread.iter().filter(|_| role.audience.is_signet());
            let has: BTreeSet<_> =
                role.scopes.iter().chain(unread.flat_map(|unread| unread.scopes.iter())).collect();
            let wanted = of_clients.remove(role.audience.as_str()).unwrap_or_default();
            let lacking: Vec<_> =
                wanted.iter().map(String::as_str).filter(|scope| !has.contains(scope)).collect();
            if !lacking.is_empty() {
                upgrade.left_out.push((role.audience.clone(), NameSet::default().with(lacking)));
            }
        }
        upgrade.everyone.extend(everyone.into_iter().filter(|role| is_telling(role, own)));
        after = Some(last.clone());
    }
    Ok(upgrade)
}

/// What nobody reads of the roles in `store`, since the service's own audience is called `own`; none if there is nothing.
///
/// # Errors
/// [`Error::Unavailable`] or [`Error::Internal`], with the cause.
pub async fn unread(store: &Store, own: &NameSet) -> Result<Option<Unread>, Error> {
    let Some(audience) = own.iter().next().and_then(|name| AudienceName::parse(name).ok()) else {
        return Ok(None);
    };
    if audience.is_signet() {
        return Ok(None);
    }
    let (read, unread): (Vec<_>, Vec<_>) = store
        .everyone(&[audience.clone(), AudienceName::signet()])
        .await?
        .into_iter()
        .partition(|role| role.audience.is_signet());
    let scopes =
        |roles: Vec<Role>| roles.iter().fold(NameSet::default(), |all, role| all.with(role.scopes.iter()));
    let scopes = scopes(unread).without(&scopes(read));
    Ok((!scopes.is_empty()).then_some(Unread { audience, scopes }))
}

/// The scopes that the clients in `store` have for their users, at each of their audiences.
async fn of_clients(store: &Store, own: &NameSet) -> Result<BTreeMap<String, BTreeSet<String>>, Error> {
    let mut of_clients: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    let mut after = None;
    loop {
        let page = store.clients(after, BATCH as u64).await?;
        let Some(last) = page.last() else { return Ok(of_clients) };
        after = Some(last.id);
        for client in &page {
            // A client without audiences has the service's own.
            let alone = client.audiences.is_empty().then(AudienceName::signet);
            for audience in client.audiences.iter().map(|name| AudienceName::of(name, own)).chain(alone) {
                let scopes = client.scopes.iter().filter(|scope| is_for_everyone(scope)).map(str::to_owned);
                of_clients.entry(audience.as_str().to_owned()).or_default().extend(scopes);
            }
        }
    }
}

/// Whether users had `scope` without a role: not what is for clients, nor what administers the service. `account` is new.
fn is_for_everyone(scope: &str) -> bool {
    scope != INTROSPECT_SCOPE && scope != ACCOUNT_SCOPE && !is_admin_scope(scope)
}

/// Whether `everyone` says more than what every user has in any installation.
fn is_telling(everyone: &Role, own: &NameSet) -> bool {
    if own.contains(everyone.audience.as_str()) && !everyone.audience.is_signet() {
        // Nobody reads it.
        return false;
    }
    let is_own = |scope: &str| scope == USER_SCOPE || scope == ACCOUNT_SCOPE;
    !everyone.audience.is_signet() || !everyone.scopes.iter().all(is_own)
}
