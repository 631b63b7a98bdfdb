//! Owns whether what a valid token stands for still counts, and which of its scopes its subject still has.

use std::sync::Arc;

use super::{
    Accounts, Clients, Permissions, RolesAt, Sessions,
    clients::RegisteredClient,
    permissions::{HeldRoles, Left},
};
use crate::{
    auth::{Caller, Standing, Stands},
    model::{
        Claims, Client, ClientId, ClientKind, Error, NameSet, Session, SessionId, Subject, TokenTyp, User,
        UserId,
    },
};

/// A user's token stands while its session goes on, its user is there and active, and so is the client that it was got with; a
/// client's own token while the client is there and active. Its scopes count as far as its user, or client, has them.
#[derive(Clone, Debug)]
pub struct GoodStanding {
    accounts: Arc<Accounts>,
    sessions: Arc<Sessions>,
    clients: Arc<Clients>,
    permissions: Arc<Permissions>,
}

/// A caller who is in good standing.
#[derive(Debug)]
pub struct Recognised {
    /// None if it is a client by itself.
    user: Option<Arc<User>>,
    held: Arc<HeldRoles>,
}

impl Recognised {
    /// The user, as it was at most the bound of the cache ago; none of a client by itself.
    #[must_use]
    pub fn user(&self) -> Option<&User> {
        self.user.as_deref()
    }
}

impl GoodStanding {
    /// Asks `accounts`, `sessions`, `clients` and `permissions`.
    #[must_use]
    pub const fn new(
        accounts: Arc<Accounts>,
        sessions: Arc<Sessions>,
        clients: Arc<Clients>,
        permissions: Arc<Permissions>,
    ) -> Self {
        Self { accounts, sessions, clients, permissions }
    }

    /// The names of the roles that `found` has, and of the groups by which they come, at `audience` as it stands in `aud`: those of this
    /// moment, whatever the token says.
    #[must_use]
    pub fn roles_at(&self, found: &Recognised, audience: &str) -> Arc<RolesAt> {
        self.permissions.names_at(&found.held, audience)
    }

    /// The user of `session`, and the scopes that a token of it would have now, if the user and the client are in good standing. Whether
    /// the session goes on is known to who found it.
    ///
    /// # Errors
    /// [`Error::Unavailable`] or [`Error::Internal`], with the cause.
    pub(super) async fn of_session(
        &self,
        session: &Session,
        audience: &NameSet,
    ) -> Result<Option<(Arc<User>, NameSet)>, Error> {
        let Some(user) = self.active_user(session.user_id).await? else { return Ok(None) };
        let Some(client) = self.active_client(&session.client_id).await? else { return Ok(None) };
        let (id, asked) = (session.user_id, &session.asked_scope);
        let left = self.permissions.left_of_session(id, asked, audience, &client).await?;
        Ok(Some((user, left)))
    }

    /// Succeeds if `client` has proven who it is and has `scope` in its own name: as it is registered, or by a role that is bound to it.
    ///
    /// # Errors
    /// [`Error::InvalidClient`] for a public one, which proves nothing; [`Error::InsufficientScope`].
    pub(super) async fn must_have(&self, client: &Client, scope: &str) -> Result<(), Error> {
        if client.kind == ClientKind::Public {
            return Err(Error::InvalidClient);
        }
        if self.permissions.client_has(client, scope).await? {
            return Ok(());
        }
        Err(Error::InsufficientScope(scope.to_owned()))
    }

    async fn check_user(
        &self,
        user: UserId,
        session: SessionId,
        claims: &Claims,
    ) -> Result<Option<Stands<Recognised>>, Error> {
        let Some(user) = self.active_user(user).await? else { return Ok(None) };
        if !self.sessions.goes_on_for(session, claims.jti).await? {
            return Ok(None);
        }
        let Some(client) = self.active_client(&claims.client_id).await? else { return Ok(None) };
        let held = self.permissions.of_user(user.id).await?;
        self.cut(Some(user), held, claims, &client).await.map(Some)
    }

    async fn check_client(&self, id: ClientId, claims: &Claims) -> Result<Option<Stands<Recognised>>, Error> {
        let Some(client) = self.clients.active(id).await? else { return Ok(None) };
        let held = self.permissions.of_client(id).await?;
        self.cut(None, held, claims, &client).await.map(Some)
    }

    async fn cut(
        &self,
        user: Option<Arc<User>>,
        held: Arc<HeldRoles>,
        claims: &Claims,
        client: &Arc<RegisteredClient>,
    ) -> Result<Stands<Recognised>, Error> {
        let left = match self.permissions.left_of(&held, claims, client).await? {
            Left::All => None,
            Left::Only(left) => Some(left),
        };
        Ok(Stands { found: Some(Arc::new(Recognised { user, held })), left })
    }

    /// Succeeds if the type of a token counts, whose claims these are and which has been verified.
    ///
    /// # Errors
    /// [`Error::TokenInvalid`] for a `JWT` of an audience that does not ask for it; [`Error::Unavailable`] or [`Error::Internal`], with the
    /// cause.
    pub(super) async fn must_count(&self, claims: &Claims) -> Result<(), Error> {
        // Seldom needed: what it takes is not carried along by every call.
        if claims.typ == TokenTyp::AtJwt || Box::pin(self.permissions.counts_as(claims)).await? {
            return Ok(());
        }
        Err(Error::TokenInvalid("its `typ` is not `at+jwt`"))
    }

    async fn active_user(&self, id: UserId) -> Result<Option<Arc<User>>, Error> {
        Ok(self.accounts.user(id).await?.filter(|user| user.is_active))
    }

    /// The client that a token was got with, if it is there and active.
    async fn active_client(&self, client_id: &str) -> Result<Option<Arc<RegisteredClient>>, Error> {
        match ClientId::parse(client_id) {
            Some(id) => self.clients.active(id).await,
            None => Ok(None),
        }
    }
}

impl Standing for GoodStanding {
    type Found = Recognised;

    async fn check(&self, claims: &Claims) -> Result<Stands<Recognised>, Error> {
        self.must_count(claims).await?;
        let stands = match claims.subject() {
            Subject::User(user, session) => self.check_user(user, session, claims).await?,
            Subject::Client(id) => self.check_client(id, claims).await?,
        };
        stands.ok_or(Error::TokenRevoked)
    }
}

/// The user of `caller`, as [`GoodStanding`] has just found it: as it was at most the bound of the cache ago.
///
/// # Errors
/// [`Error::InsufficientScope`] for a client by itself.
pub fn user_of(caller: &Caller) -> Result<&User, Error> {
    caller.must_be_user()?;
    recognised(caller)?.user().ok_or_else(unchecked)
}

/// The user or client that [`GoodStanding`] found for `caller`.
///
/// # Errors
/// [`Error::Internal`], if nobody has checked whether the token still stands: a defect of the service.
pub fn recognised(caller: &Caller) -> Result<&Recognised, Error> {
    caller.found().ok_or_else(unchecked)
}

fn unchecked() -> Error {
    Error::internal("nobody has checked whether the caller's token still stands")
}
