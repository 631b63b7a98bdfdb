//! Owns what the operator is told once roles have come into a database that had none.

use crate::{
    model::{
        ClientId, ClientName, Error, NameSet, Role,
        claims::{ACCOUNT_SCOPE, INTROSPECT_SCOPE, USER_SCOPE},
    },
    store::{BATCH, Store},
};

/// What users have from now on.
#[derive(Clone, Debug, Default)]
pub struct Upgrade {
    /// The role `everyone` of each audience but the service's own.
    pub everyone: Vec<Role>,
    /// Clients whose users have had other scopes than `profile` for the service's own audience: no role gives them those.
    pub losing: Vec<(ClientName, NameSet)>,
}

impl Upgrade {
    /// Whether there is nothing to tell.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.everyone.is_empty() && self.losing.is_empty()
    }
}

/// What users have in `store`, which has just got roles.
///
/// # Errors
/// [`Error::Unavailable`] or [`Error::Internal`], with the cause.
pub async fn after_upgrade(store: &Store) -> Result<Upgrade, Error> {
    let mut upgrade = Upgrade::default();
    let mut after = None;
    loop {
        let page = store.audiences(after.as_ref(), BATCH as u64).await?;
        let names: Vec<_> = page.into_iter().map(|audience| audience.name).collect();
        let Some(last) = names.last() else { break };
        let everyone = store.everyone(&names).await?;
        upgrade.everyone.extend(everyone.into_iter().filter(|role| !role.audience.is_signet()));
        after = Some(last.clone());
    }
    let mut after: Option<ClientId> = None;
    loop {
        let page = store.clients(after, BATCH as u64).await?;
        let Some(last) = page.last() else { return Ok(upgrade) };
        after = Some(last.id);
        for client in page.into_iter().filter(|client| client.audiences.is_empty()) {
            let scopes = [USER_SCOPE, ACCOUNT_SCOPE, INTROSPECT_SCOPE]
                .iter()
                .fold(client.scopes, |scopes, scope| scopes.without_name(scope));
            if !scopes.is_empty() {
                upgrade.losing.push((client.name, scopes));
            }
        }
    }
}
