//! Owns who is calling, once it is known.

use std::{
    any::Any,
    sync::{Arc, OnceLock},
};

use super::Stands;
use crate::model::{
    CallerKind, Claims, Error, NameSet, SessionId, Shows, Subject, UserId, claims::USER_SCOPE,
};

/// The caller of an RPC, proven by an access token: found in the request's extensions by the handlers of authenticated methods.
#[derive(Clone, Debug)]
pub struct Caller {
    /// What the token says.
    claims: Arc<Claims>,
    /// What the caller has still, if that is less.
    cut: Option<Arc<Cut>>,
    found: Option<Arc<dyn Any + Send + Sync>>,
    /// The roles that somebody was asked for, where the token had no room for them.
    roles: Option<Arc<[String]>>,
    was_seen: bool,
}

/// What a token tells of the roles of its holder at one audience.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum ToldRoles {
    /// Which they are.
    All,
    /// That there was no room for them.
    Omitted,
    /// Nothing.
    None,
}

/// Where the authenticator puts who calls, also if the call is refused for what the caller lacks: an extension of the request by which a
/// layer in front learns it.
#[derive(Clone, Debug, Default)]
pub struct CallerSlot(Arc<OnceLock<Caller>>);

impl CallerSlot {
    /// Puts `caller` there, if nobody is there yet.
    pub(super) fn put(&self, caller: &Caller) {
        let _ = self.0.set(caller.clone());
    }

    /// Who calls; none if nobody was proven.
    #[must_use]
    pub fn caller(&self) -> Option<&Caller> {
        self.0.get()
    }
}

/// What is left of a token. Most methods ask for a scope, and for none of the other claims.
#[derive(Debug)]
struct Cut {
    left: NameSet,
    claims: OnceLock<Claims>,
}

impl Caller {
    /// Whom `claims` stand for, and what the check of their standing has found.
    pub(super) fn new<T: Send + Sync + 'static>(claims: Arc<Claims>, stands: Stands<T>) -> Self {
        let Stands { found, left } = stands;
        let cut = left.map(|left| Arc::new(Cut { left, claims: OnceLock::new() }));
        let found = found.map(|found| -> Arc<dyn Any + Send + Sync> { found });
        Self { claims, cut, found, roles: None, was_seen: false }
    }

    /// The same, with the `roles` that the token had no room for.
    pub(super) fn having(self, roles: Vec<String>) -> Self {
        Self { roles: Some(roles.into()), ..self }
    }

    /// The same, whose token had been verified before, or had not.
    pub(super) fn seen(self, was_seen: bool) -> Self {
        Self { was_seen, ..self }
    }

    /// What the token tells of roles at `audience`: it lists them if it has one audience alone.
    pub(super) fn told_roles(&self, audience: &str) -> ToldRoles {
        let Claims { aud, roles, roles_omitted, .. } = &*self.claims;
        match roles {
            _ if aud.names().len() != 1 || !aud.contains(audience) => ToldRoles::None,
            _ if *roles_omitted => ToldRoles::Omitted,
            Some(_) => ToldRoles::All,
            None => ToldRoles::None,
        }
    }

    /// Whether the token had been verified in an earlier call, and cost no signature check in this one.
    #[must_use]
    pub const fn was_seen(&self) -> bool {
        self.was_seen
    }

    /// The roles that are known of the caller at the token's audience: as the token says, or Signet has told where it had no room for them.
    #[must_use]
    pub fn roles(&self) -> &[String] {
        self.roles.as_deref().or(self.claims.roles.as_deref()).unwrap_or_default()
    }

    /// The caller of `request`, as the layer found it.
    ///
    /// # Errors
    /// [`Error::Internal`] if the method is public, or no layer stands before it: a defect of the service.
    pub fn of<T>(request: &tonic::Request<T>) -> Result<&Self, Error> {
        let caller = request.extensions().get();
        caller.ok_or_else(|| Error::internal("a handler asked for the caller of a method that needs none"))
    }

    /// Whom the token stands for: a user, or a client by itself.
    #[must_use]
    pub fn subject(&self) -> Subject {
        self.claims.subject()
    }

    /// The id of whom the token stands for (`sub`).
    #[must_use]
    pub fn id(&self) -> String {
        self.claims.sub.to_string()
    }

    /// The client that asked for the token (`client_id`).
    #[must_use]
    pub fn client_id(&self) -> &str {
        &self.claims.client_id
    }

    /// The login session of the user (`sid`); none of a client by itself.
    #[must_use]
    pub fn session_id(&self) -> Option<String> {
        self.claims.sid.map(|session| session.to_string())
    }

    /// The scopes that count, in the token's order.
    pub fn scopes(&self) -> impl Iterator<Item = &str> {
        let scope = self.cut.as_ref().map_or(self.claims.scope.as_str(), |cut| cut.left.as_str());
        scope.split(' ').filter(|scope| !scope.is_empty())
    }

    /// From when on the token is refused, in seconds since the epoch (`exp`).
    #[must_use]
    pub fn expires_at(&self) -> i64 {
        self.claims.exp
    }

    /// The user that the token stands for and the login session that it belongs to; none if it is a client's own.
    #[must_use]
    pub fn user(&self) -> Option<(UserId, SessionId)> {
        match self.subject() {
            Subject::User(user, session) => Some((user, session)),
            Subject::Client(_) => None,
        }
    }

    /// The same, where only a user may call.
    ///
    /// # Errors
    /// [`Error::InsufficientScope`] for a client by itself: it lacks the scope `profile`, which is for users.
    pub fn must_be_user(&self) -> Result<(UserId, SessionId), Error> {
        self.user().ok_or_else(|| Error::InsufficientScope(USER_SCOPE.to_owned()))
    }

    /// Succeeds if the token carries all of `scopes`, and the caller has them still.
    ///
    /// # Errors
    /// [`Error::InsufficientScope`] with the first that it lacks.
    pub fn must_have<'a>(&self, scopes: impl IntoIterator<Item = &'a str>) -> Result<(), Error> {
        match scopes.into_iter().find(|scope| !self.has_scope(scope)) {
            Some(lacking) => Err(Error::InsufficientScope(lacking.to_owned())),
            None => Ok(()),
        }
    }

    /// What the check of the token's standing found of the caller ([`Standing::Found`](super::Standing::Found)); none if it found
    /// nothing, or something else than a `T`.
    #[must_use]
    pub fn found<T: 'static>(&self) -> Option<&T> {
        self.found.as_ref()?.downcast_ref()
    }

    /// Everything the token says; of its scopes those that the caller has still.
    #[must_use]
    pub fn claims(&self) -> &Claims {
        let Some(Cut { left, claims }) = self.cut.as_deref() else { return &self.claims };
        claims.get_or_init(|| Claims { scope: left.as_str().to_owned(), ..Claims::clone(&self.claims) })
    }
}

impl Shows for Caller {
    fn kind(&self) -> CallerKind {
        match self.subject() {
            Subject::User(..) => CallerKind::User,
            Subject::Client(_) => CallerKind::Client,
        }
    }

    fn is_meant_for(&self, audience: &str) -> bool {
        self.claims.aud.contains(audience)
    }

    fn has_scope(&self, scope: &str) -> bool {
        match &self.cut {
            Some(cut) => cut.left.contains(scope),
            None => self.claims.has_scope(scope),
        }
    }

    /// As the token says, which lists roles if it has one audience alone.
    fn has_role(&self, role: &str, audience: &str) -> bool {
        let aud = &self.claims.aud;
        aud.names().len() == 1 && aud.contains(audience) && self.roles().iter().any(|held| held == role)
    }
}
