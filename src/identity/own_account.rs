//! Owns what users do to their own accounts: change it, change its password, end its sessions, delete it.

use std::{sync::Arc, time::Duration};

use super::{
    Accounts, Clients, HashRequest, IssuedToken, Permissions, RefreshToken, Sessions, ShownAttributes,
    Tokens,
    accounts::Attempt,
    grants::Vouching,
    new_accounts::note,
    permissions::Recipient,
    tokens::{TokenStamp, TokenSubject},
};
use crate::{
    admission::{Allowance, Allowances, Charge},
    audit::{Audit, Event, Field, Reason},
    base::{Clock, Deadline},
    model::{
        AttributeEdit, Claims, Error, NameSet, Origin, SessionId, User, UserId,
        id::uuid_v7,
        profile::{DisplayName, Email},
    },
    store::{PasswordChange, ProfileChange, Replacement, Store, UpdatedProfile},
};

/// How often a user may change what it says of itself: each time is a write to the database, and an event of the audit log. Nothing that
/// a user needs against a thief is charged to it.
const UPDATES: Allowance = Allowance { at_once: 30, interval: Duration::from_secs(1) };

/// How often a session may ask to end sessions, and end none. What ends one is not charged, since it was paid for by a login; and it is
/// charged to the session that asks, so that whoever stole another one's tokens cannot use up what its owner has.
const VAIN_ENDS: Allowance = Allowance { at_once: 50, interval: Duration::from_secs(1) };

/// How many users, or sessions, are told apart by each: as many as the process can have served lately.
const KEYS: usize = 10_000;

/// The accounts in the hands of their users.
#[derive(Debug)]
pub struct OwnAccount {
    store: Store,
    accounts: Arc<Accounts>,
    sessions: Arc<Sessions>,
    clients: Arc<Clients>,
    permissions: Arc<Permissions>,
    attributes: Arc<ShownAttributes>,
    tokens: Arc<Tokens>,
    clock: Clock,
    audit: Audit,
    updates: Allowances<UserId>,
    vain_ends: Allowances<SessionId>,
}

/// What a user changes of what it says of itself, as it came: for each field, nothing, a new value, or none from now on.
#[derive(Clone, Debug, Default)]
pub struct NewProfile<'a> {
    /// The e-mail address.
    pub email: Option<Option<&'a str>>,
    /// The name to show.
    pub display_name: Option<Option<&'a str>>,
    /// The attributes.
    pub attributes: AttributeEdit,
}

/// The passwords of a change, as they came.
#[derive(Clone, Copy, Debug)]
pub struct NewPassword<'a> {
    /// The one that the user has.
    pub current: &'a str,
    /// The one that takes its place.
    pub new: &'a str,
}

/// The tokens of a session that was opened in the place of another one.
#[derive(Debug)]
pub struct Reopened {
    /// The access token.
    pub access: IssuedToken,
    /// The refresh token of the session, if the one before had some.
    pub refresh_token: Option<RefreshToken>,
}

impl OwnAccount {
    /// The users in `store`, as `vouching` knows them.
    #[must_use]
    pub fn new(store: Store, vouching: Vouching, clock: Clock, audit: Audit) -> Self {
        let Vouching { accounts, sessions, clients, permissions, attributes, tokens } = vouching;
        let updates = Allowances::new(UPDATES, KEYS, clock.clone());
        let vain_ends = Allowances::new(VAIN_ENDS, KEYS, clock.clone());
        Self {
            store,
            accounts,
            sessions,
            clients,
            permissions,
            attributes,
            tokens,
            clock,
            audit,
            updates,
            vain_ends,
        }
    }

    /// Changes what the user `id` says of itself, in the session `session`.
    ///
    /// # Errors
    /// [`Error::InvalidFields`] with every violation, [`Error::TooManyChanges`], [`Error::TokenRevoked`] if there is no such user any more.
    pub async fn update(
        &self,
        (id, session): (UserId, SessionId),
        change: NewProfile<'_>,
        origin: &Origin,
    ) -> Result<User, Error> {
        let mut violations = Vec::new();
        let email = change.email.map(|email| email.map(Email::parse).transpose());
        let email = email.map(|email| note(email, "user.email", &mut violations));
        let name = change.display_name.map(|name| name.map(DisplayName::parse).transpose());
        let name = name.map(|name| note(name, "user.display_name", &mut violations));
        if !violations.is_empty() {
            return Err(Error::InvalidFields(violations));
        }
        let attributes = change.attributes;
        let change = ProfileChange { email: email.flatten(), display_name: name.flatten(), attributes };
        let _charged = self.updates.take(id).map_err(|retry_after| Error::TooManyChanges { retry_after })?;
        let asked = asked(&change);
        let event = Event::UserUpdated.done().user(id).session(session).origin(origin).changed(asked);
        let pending = self.audit.begin(event);
        let updated = match self.store.update_profile(id, change, self.clock.now()).await {
            Ok(updated) => updated,
            Err(error) => {
                pending.settle(Some(&error));
                return Err(error);
            }
        };
        let Some(UpdatedProfile { user, changed }) = updated else {
            pending.dismiss();
            return Err(Error::TokenRevoked);
        };
        if changed.is_empty() {
            pending.dismiss();
        } else {
            pending.done_changing(changed);
            self.accounts.forget(id);
        }
        Ok(user)
    }

    /// Ends the session `id` of the user who asks for it in the session `current`.
    ///
    /// # Errors
    /// [`Error::SessionNotFound`] if the user has none of that id; [`Error::TooManyChanges`].
    pub async fn end_session(
        &self,
        (user, current): (UserId, SessionId),
        id: SessionId,
        origin: &Origin,
    ) -> Result<(), Error> {
        let charge = self.charge_end(current)?;
        let ended = self.sessions.end(user, id, origin).await;
        if ended.is_ok() {
            charge.give_back();
        }
        ended
    }

    /// Ends every session of the user who asks for it in the session `current`, but for that one if it is to be kept.
    ///
    /// # Errors
    /// [`Error::TooManyChanges`].
    pub async fn end_sessions(
        &self,
        (user, current): (UserId, SessionId),
        keep_current: bool,
        origin: &Origin,
    ) -> Result<(), Error> {
        let charge = self.charge_end(current)?;
        if self.sessions.end_all(user, keep_current.then_some(current), origin).await? {
            charge.give_back();
        }
        Ok(())
    }

    fn charge_end(&self, current: SessionId) -> Result<Charge<'_, SessionId>, Error> {
        self.vain_ends.take(current).map_err(|retry_after| Error::TooManyChanges { retry_after })
    }

    /// Replaces the password of `user`, whom `claims` stand for, and who proves to know the current one, and ends every session of the
    /// user. One is opened in the place of that of `claims`, so that who copied its tokens has nothing that goes on. It is a login of this
    /// moment, by the password alone.
    ///
    /// # Errors
    /// [`Error::InvalidFields`], [`Error::InvalidCredentials`], [`Error::Overloaded`]; [`Error::TokenRevoked`] if the session has ended
    /// meanwhile.
    pub async fn change_password(
        &self,
        claims: &Claims,
        (user, session): (&User, SessionId),
        NewPassword { current, new }: NewPassword<'_>,
        origin: &Origin,
        deadline: Deadline,
    ) -> Result<Reopened, Error> {
        let attempt = Attempt { event: Event::PasswordChanged, origin };
        let (id, username) = (user.id, &user.username);
        let new = self.accounts.check_new_password(new, username)?;
        // Whoever called with less than the session allows gets no more than that.
        let scope = NameSet::from_stored(claims.scope.clone());
        let audience = claims.aud.names().iter().map(String::as_str);
        let audience = NameSet::of(audience).map_err(Error::internal)?;
        let recipient =
            Recipient { audience: &audience, claims: &self.clients.token_claims(&claims.client_id).await? };
        let mut given = self.permissions.for_user(id, &scope, recipient).await?;
        let request = HashRequest::new(Some(username.canonical()), origin.network(), deadline);
        let proof = self.accounts.judge(attempt, user, current, request).await?;
        given.attributes = self.attributes.in_token(&proof.user).await?;
        let new = self.accounts.hash(new, request).await?;
        let now = self.clock.now();
        let opened = SessionId(uuid_v7(now, self.store.entropy()));
        let (refresh_token, refresh) = RefreshToken::first(opened);
        let replacement = Replacement {
            old: session,
            new: opened,
            refresh,
            origin: origin.clone(),
            // The session that it replaces may have been opened on more, and longer ago: what has been proven now is what counts.
            authentication: proof.authentication(),
            end_time: now.after(self.tokens.lifetime()),
        };
        let pending = self.audit.begin(attempt.event.done().user(id).session(opened).origin(origin));
        let changed =
            self.store.change_password(id, &proof.credential_version, new, &replacement, now).await?;
        self.accounts.forget(id);
        let (session, ended) = match changed {
            PasswordChange::Done { session, ended } => (session, ended),
            PasswordChange::OtherPassword => {
                pending.dismiss();
                // Somebody else changed it while this was hashed, so `current` is current no more.
                return Err(self.accounts.refuse(attempt, Some(id), Reason::UserChanged));
            }
            PasswordChange::SessionEnded => {
                pending.dismiss();
                return Err(Error::TokenRevoked);
            }
        };
        pending.done();
        self.sessions.forget(&ended);
        let stamp = TokenStamp::new(session.create_time);
        let access = self.tokens.issue(TokenSubject::User(&session), stamp, &given, &audience)?;
        Ok(Reopened { access, refresh_token: session.is_refreshed().then_some(refresh_token) })
    }

    /// Deletes `user`, who proves to know the password, and its sessions.
    ///
    /// # Errors
    /// [`Error::InvalidCredentials`], [`Error::Overloaded`]; [`Error::LastAdmin`] if nobody else is an admin without an end.
    pub async fn delete(
        &self,
        user: &User,
        password: &str,
        origin: &Origin,
        deadline: Deadline,
    ) -> Result<(), Error> {
        let (id, attempt) = (user.id, Attempt { event: Event::UserDeleted, origin });
        let request = HashRequest::new(Some(user.username.canonical()), origin.network(), deadline);
        let user = self.accounts.judge(attempt, user, password, request).await?.user;
        let pending = self.audit.begin(attempt.event.done().user(id).origin(origin));
        let now = self.clock.now();
        let resting = self.accounts.rests().after(&user, now);
        let ended = match self.store.delete_user(id, resting, now).await {
            Ok(ended) => ended,
            Err(error) => {
                pending.settle(Some(&error));
                return Err(error);
            }
        };
        // None: another call was first, and has told of it.
        pending.done_if(ended.is_some());
        self.accounts.forget(id);
        self.sessions.forget(&ended.unwrap_or_default());
        Ok(())
    }
}

/// The fields that `change` is about.
fn asked(change: &ProfileChange) -> Vec<Field> {
    let all = [
        (Field::Email, change.email.is_some()),
        (Field::DisplayName, change.display_name.is_some()),
        (Field::Attributes, !change.attributes.is_empty()),
    ];
    all.into_iter().filter(|(_, is_asked)| *is_asked).map(|(field, _)| field).collect()
}
