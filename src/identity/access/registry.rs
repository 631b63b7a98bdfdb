//! Owns recording changes of roles, groups, bindings and audiences, with who made them.

use super::{AccessDirectory, PrincipalRef, ScopeAccess};
use crate::{
    audit::Audit,
    base::Clock,
    model::{AudienceName, Error, NameSet},
    store::Store,
};

/// Roles, groups, bindings and audiences in the hands of those who manage them. Each act is recorded, and told to the other processes.
#[derive(Debug)]
pub struct AccessRegistry {
    pub(super) directory: AccessDirectory,
    pub(super) store: Store,
    pub(super) clock: Clock,
    pub(super) audit: Audit,
}

impl AccessRegistry {
    /// What `store` has; `audit` is told of each act, and `own` is the service's own audience.
    #[must_use]
    pub fn new(store: Store, clock: Clock, audit: Audit, own: NameSet) -> Self {
        Self { directory: AccessDirectory::new(store.clone(), own), store, clock, audit }
    }

    /// The directory that finds and lists them.
    #[must_use]
    pub const fn directory(&self) -> &AccessDirectory {
        &self.directory
    }

    /// The scopes that `who` may have at `audience` at this moment, and what gives them.
    ///
    /// # Errors
    /// As [`AccessDirectory::access`].
    pub async fn access(
        &self,
        who: &PrincipalRef,
        audience: &AudienceName,
    ) -> Result<Vec<ScopeAccess>, Error> {
        self.directory.access(who, audience, self.clock.now()).await
    }
}
