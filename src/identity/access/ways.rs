//! Owns why a principal may do something: each scope, and everything that gives it.

use std::collections::BTreeMap;

use super::{AccessDirectory, PrincipalRef};
use crate::{
    base::Timestamp,
    model::{
        AdminScope, AudienceName, Error, Grant, NameSet, Principal, RoleId,
        claims::{ACCOUNT_SCOPE, INTROSPECT_SCOPE, USER_SCOPE},
        role::is_admin_scope,
    },
};

/// A scope that somebody has at an audience, and all that gives it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ScopeAccess {
    /// The scope.
    pub scope: String,
    /// What gives it: if one is taken away, the others still do.
    pub ways: Vec<Way>,
}

/// One way by which a principal has a scope.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Way {
    /// Every user has it, by the role `everyone` with this id.
    Everyone(RoleId),
    /// The client is registered with it.
    Registered,
    /// A role, by a binding of one's own or of a group.
    Role(Box<Grant>),
}

impl AccessDirectory {
    /// What `who` may have at `audience` at `now`, in the order of the scopes' names. Whether a token carries it is another matter: a
    /// user's has no more than the client that it is got with may ask for.
    ///
    /// # Errors
    /// As [`principal`](Self::principal). Of a group there is no such answer, but for its bindings.
    pub async fn access(
        &self,
        who: &PrincipalRef,
        audience: &AudienceName,
        now: Timestamp,
    ) -> Result<Vec<ScopeAccess>, Error> {
        let principal = self.principal(who).await?.principal;
        let mut ways: BTreeMap<String, Vec<Way>> = BTreeMap::new();
        let mut give = |scopes: &NameSet, way: &Way| {
            for scope in scopes.iter().filter(|scope| may_have(principal, scope, audience)) {
                ways.entry(scope.to_owned()).or_default().push(way.clone());
            }
        };
        let grants = match principal {
            Principal::User(id) => {
                for role in self.store.everyone(std::slice::from_ref(audience)).await? {
                    give(&role.scopes, &Way::Everyone(role.id));
                }
                self.store.grants_of_user(id).await?
            }
            Principal::Client(id) => {
                if let Some(client) = self.store.client(id).await? {
                    // Who judges tokens says so by its secret, too, whomever its own ones are meant for.
                    let counts = |scope: &str| scope == INTROSPECT_SCOPE && audience.is_signet();
                    let is_for = self.clients.is_for(&client, audience);
                    give(&client.scopes.keeping(|scope| is_for || counts(scope)), &Way::Registered);
                }
                self.store.grants_of_client(id).await?
            }
            Principal::Group(_) => Vec::new(),
        };
        for grant in
            grants.into_iter().filter(|grant| grant.role.audience == *audience && grant.holds_at(now))
        {
            let scopes = grant.role.scopes.keeping(|scope| scope != INTROSPECT_SCOPE || audience.is_signet());
            give(&scopes, &Way::Role(Box::new(grant)));
        }
        Ok(ways.into_iter().map(|(scope, ways)| ScopeAccess { scope, ways }).collect())
    }
}

/// Whether `principal` can have `scope` at `audience` at all, whatever a role says: a client has no account, a user does not judge tokens,
/// and what administers the service is had at the service itself, if this release knows it.
fn may_have(principal: Principal, scope: &str, audience: &AudienceName) -> bool {
    if is_admin_scope(scope) && (!audience.is_signet() || AdminScope::named(scope).is_none()) {
        return false;
    }
    match principal {
        Principal::User(_) | Principal::Group(_) => scope != INTROSPECT_SCOPE,
        Principal::Client(_) => scope != USER_SCOPE && scope != ACCOUNT_SCOPE,
    }
}
