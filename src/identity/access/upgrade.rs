//! Owns what the operator is told once roles have come into a database that had none.

use crate::{
    model::{
        Error, Role,
        claims::{ACCOUNT_SCOPE, USER_SCOPE},
    },
    store::{BATCH, Store},
};

/// What users have from now on.
#[derive(Clone, Debug, Default)]
pub struct Upgrade {
    /// The role `everyone` of each audience; the service's own only if it has more than reading and changing the own account.
    pub everyone: Vec<Role>,
}

impl Upgrade {
    /// Whether there is nothing to tell.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.everyone.is_empty()
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
        upgrade.everyone.extend(everyone.into_iter().filter(is_telling));
        after = Some(last.clone());
    }
    Ok(upgrade)
}

/// Whether `everyone` says more than what every user has in any installation.
fn is_telling(everyone: &Role) -> bool {
    let is_own = |scope: &str| scope == USER_SCOPE || scope == ACCOUNT_SCOPE;
    !everyone.audience.is_signet() || !everyone.scopes.iter().all(is_own)
}
