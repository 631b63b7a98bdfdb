//! Owns what a request may meet: the parts of the service, each made of the narrow things that it needs.

use std::sync::Arc;

use crate::{
    auth::{Authenticator, Verifier},
    config::Config,
    identity::{
        Accounts, ChangeFeed, Clients, GoodStanding, Grants, Introspection, Keyring, Passwords, Readiness,
        Revocation, Sessions, Tokens,
    },
    limits::Places,
    model::Clock,
    store::Store,
};

/// What a request may meet.
pub(super) struct Parts {
    pub(super) accounts: Arc<Accounts>,
    pub(super) sessions: Arc<Sessions>,
    pub(super) clients: Arc<Clients>,
    pub(super) grants: Arc<Grants>,
    pub(super) introspection: Arc<Introspection>,
    pub(super) revocation: Arc<Revocation>,
    pub(super) authenticator: Arc<Authenticator<Arc<Keyring>, GoodStanding>>,
    /// Of every protocol.
    pub(super) calls: Places,
    pub(super) keyring: Arc<Keyring>,
    pub(super) changes: ChangeFeed,
    pub(super) readiness: Readiness,
    pub(super) store: Store,
}

impl Parts {
    pub(super) fn new(
        store: Store,
        keyring: Arc<Keyring>,
        passwords: Passwords,
        changes: ChangeFeed,
        config: &Config,
        clock: Clock,
    ) -> Self {
        let followed = || changes.followed();
        let accounts =
            Arc::new(Accounts::new(store.clone(), passwords, config.accounts(), clock.clone(), followed()));
        let sessions = Arc::new(Sessions::new(store.clone(), config.sessions(), clock.clone(), followed()));
        let clients = Arc::new(Clients::new(store.clone(), config.clients(), clock.clone(), followed()));
        let tokens = Arc::new(Tokens::new(Arc::clone(&keyring), clock.clone(), config.tokens.issuing()));
        let grants =
            Arc::new(Grants::new(Arc::clone(&accounts), Arc::clone(&sessions), Arc::clone(&clients), tokens));
        let verifier = Arc::new(Verifier::new(Arc::clone(&keyring), clock, config.tokens.verifying()));
        let standing = GoodStanding::new(Arc::clone(&accounts), Arc::clone(&sessions), Arc::clone(&clients));
        let introspection = Arc::new(Introspection::new(
            Arc::clone(&verifier),
            standing.clone(),
            Arc::clone(&accounts),
            Arc::clone(&sessions),
            config.tokens.issuer.clone(),
        ));
        let revocation =
            Arc::new(Revocation::new(Arc::clone(&verifier), Arc::clone(&clients), Arc::clone(&sessions)));
        let authenticator = Arc::new(Authenticator::new(verifier, standing));
        let readiness = Readiness::new(store.clone(), Arc::clone(&keyring));
        let calls = Places::new(config.limits.max_in_flight_calls);
        Self {
            accounts,
            sessions,
            clients,
            grants,
            introspection,
            revocation,
            authenticator,
            calls,
            keyring,
            changes,
            readiness,
            store,
        }
    }
}
