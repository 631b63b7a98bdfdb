//! Owns what can be recorded: the events, their outcomes, and whom they concern.

use super::{Actor, field::FieldChange, kept::Keeper};
use crate::model::{GroupId, KeyId, Origin, Principal, RequestId, RoleId, SessionId, UserId, named::named};

/// How much is kept of what a client calls itself, and of its address, in characters.
const MAX_CHARS: usize = 255;

named! {
    /// What happened. A new event is one line here, one in docs/AUDIT.md (a test compares them), and the call that records it.
    Event {
        /// Somebody signed up.
        SignedUp = "user.signed_up",
        /// Somebody logged in by password, or tried to.
        Login = "login",
        /// A password was not judged, or a sign-up not taken, since too many had failed.
        LoginThrottled = "login.throttled",
        /// The failures of one account have become many: somebody guesses, or a client goes on with an old password.
        FailuresHigh = "login.failures_high",
        /// An exchange of a refresh token was repeated late or from elsewhere, and answered once more: a copy may be at large.
        RefreshRepeated = "refresh_token.repeated",
        /// A refresh token was used again: a copy is at large, and its session has been ended.
        RefreshReplayed = "refresh_token.replayed",
        /// A user, or an administrator, ended one session.
        SessionRevoked = "session.revoked",
        /// A user ended all sessions, or all but the present one; or an operator or an administrator those of a user, of a client or of
        /// everybody.
        AllSessionsRevoked = "session.all_revoked",
        /// A user changed the password, or tried to without knowing it; every session ended with it, and one was opened.
        PasswordChanged = "password.changed",
        /// An operator, or an administrator, gave a user a one-time password in the place of the password; every session ended with that.
        PasswordReset = "password.reset",
        /// A user chose a password by a one-time password, or tried to; or an operator set one, and every session ended with that.
        PasswordSet = "password.set",
        /// A user changed what it says of itself; or an operator, or an administrator, changed it, or the username.
        UserUpdated = "user.updated",
        /// An operator or an administrator created a user.
        UserCreated = "user.created",
        /// An operator or an administrator disabled a user.
        UserDisabled = "user.disabled",
        /// An operator or an administrator enabled a user.
        UserEnabled = "user.enabled",
        /// An operator or an administrator restored the allowance of failed passwords of an account.
        ThrottleCleared = "user.throttle_cleared",
        /// A user (or somebody who did not know the password, in vain), an operator or an administrator deleted an account.
        UserDeleted = "user.deleted",
        /// An operator brought users over: they were added or changed.
        UsersImported = "users.imported",
        /// An operator wrote out all users and their password hashes.
        UsersExported = "users.exported",
        /// Somebody said to be a client, and was refused.
        ClientRefused = "client.refused",
        /// An operator or an administrator registered a client.
        ClientCreated = "client.created",
        /// An operator or an administrator gave a client a new secret.
        ClientSecretRotated = "client.secret_rotated",
        /// An operator replaced a client's public keys.
        ClientKeysReplaced = "client.keys_replaced",
        /// An operator or an administrator disabled a client.
        ClientDisabled = "client.disabled",
        /// An operator replaced whose certificate stands for a client.
        ClientCertificateReplaced = "client.certificate_replaced",
        /// An operator let a client tell the addresses of its users.
        ClientAddressClaimsAllowed = "client.address_claims_allowed",
        /// An operator no longer lets a client tell the addresses of its users.
        ClientAddressClaimsForbidden = "client.address_claims_forbidden",
        /// An operator or an administrator enabled a client.
        ClientEnabled = "client.enabled",
        /// An operator or an administrator changed a client's name, scopes or audiences.
        ClientUpdated = "client.updated",
        /// An operator or an administrator deleted a client, and its sessions with it.
        ClientDeleted = "client.deleted",
        /// An operator or an administrator created a role.
        RoleCreated = "role.created",
        /// An operator or an administrator changed what a role gives, or what it is for.
        RoleUpdated = "role.updated",
        /// An operator or an administrator deleted a role, and its bindings with it.
        RoleDeleted = "role.deleted",
        /// An operator or an administrator gave somebody a role, or the role that it had another end.
        RoleBound = "role.bound",
        /// An operator or an administrator took a role from somebody.
        RoleUnbound = "role.unbound",
        /// A binding came to its end, and was deleted.
        RoleBindingEnded = "role.binding_ended",
        /// An operator or an administrator created a group.
        GroupCreated = "group.created",
        /// An operator or an administrator deleted a group, and its bindings with it.
        GroupDeleted = "group.deleted",
        /// An operator or an administrator added a user to a group.
        GroupMemberAdded = "group.member_added",
        /// An operator or an administrator took a user out of a group.
        GroupMemberRemoved = "group.member_removed",
        /// An operator or an administrator declared an attribute that users may have.
        AttributeCreated = "attribute.created",
        /// An operator or an administrator changed where an attribute is said, or what it is for.
        AttributeUpdated = "attribute.updated",
        /// An operator or an administrator deleted an attribute, and its values with it.
        AttributeDeleted = "attribute.deleted",
        /// An operator named an owner of an audience.
        AudienceOwnerAdded = "audience.owner_added",
        /// An operator took an audience from an owner.
        AudienceOwnerRemoved = "audience.owner_removed",
        /// An administrator set all owners of an audience at once.
        AudienceOwnersChanged = "audience.owners_changed",
        /// An administrator changed what the tokens of an audience are called, and perhaps its owners, too.
        AudienceUpdated = "audience.updated",
        /// An operator or an owner of the service pushed a version of its policy.
        PolicyPushed = "policy.pushed",
        /// An operator or an owner of the service activated a version of its policy: it is enforced.
        PolicyActivated = "policy.activated",
        /// An operator or an owner of the service put a version of its policy into SHADOW: it is judged, and lets nobody in.
        PolicyShadowed = "policy.shadowed",
        /// An operator or an owner of the service retired a version of its policy.
        PolicyRetired = "policy.retired",
        /// An operator or an administrator applied a manifest: what it changed is told by events of its own.
        ManifestApplied = "manifest.applied",
        /// An operator or an administrator took a set of manifests over from whoever it belonged to.
        ManifestSetTaken = "manifest.set_taken",
        /// A signing key was created and is published from now on.
        SigningKeyPublished = "signing_key.published",
        /// A signing key took over from the one before: by a command or a call of the admin API, or since a process began to sign with it.
        SigningKeyRotated = "signing_key.rotated",
        /// A signing key was deleted: no valid token needs it.
        SigningKeyDeleted = "signing_key.deleted",
        /// An operator or an administrator deleted a signing key that is compromised.
        SigningKeyRevoked = "signing_key.revoked",
        /// An operator changed the master key: every signing key was sealed anew.
        SigningKeysResealed = "signing_keys.resealed",
        /// An operator discarded what a lost master key had sealed.
        SigningKeysReset = "signing_keys.reset",
        /// An operator created a backup: a copy of everything, hashes of passwords included.
        DatabaseBackedUp = "database.backed_up",
        /// An operator put a backup in the database's place.
        DatabaseRestored = "database.restored",
        /// An operator copied the database to a server.
        DatabaseCopied = "database.copied",
        /// A call of the admin API was refused.
        AdminRefused = "admin.refused",
        /// Events before this one are missing.
        Lost = "audit.lost",
    }
}

named! {
    /// Whether it was done.
    Outcome {
        /// It did.
        Success = "success",
        /// It was refused.
        Failure = "failure",
        /// The client went away, or the database failed, while it was being done: it may have been done or not.
        Unknown = "unknown",
    }
}

named! {
    /// Why it was refused. A client is not told the difference.
    Reason {
        /// No user has the name.
        UnknownUser = "unknown_user",
        /// The password is another one.
        WrongPassword = "wrong_password",
        /// The password is the user's one-time password, which opens nothing: the user is to choose one.
        PasswordChangeRequired = "password_change_required",
        /// The one-time password was right, and too late.
        OneTimePasswordExpired = "one_time_password_expired",
        /// The one-time password was right, and has ended since the user was given a scope that administers the service.
        OneTimePasswordVoid = "one_time_password_void",
        /// The password is right, and the user is disabled.
        UserDisabled = "user_disabled",
        /// The password was changed, or the user disabled or deleted, at the same time.
        UserChanged = "user_changed",
        /// Too many failures came from the address.
        AddressFailures = "address_failures",
        /// Too many users failed for whom the client asked.
        ClientFailures = "client_failures",
        /// Too many failures were made at the account, or many at last.
        AccountFailures = "account_failures",
        /// The token had been used, and this is no repeat that is answered.
        TokenReused = "token_reused",
        /// No client has the id.
        UnknownClient = "unknown_client",
        /// The client proved who it is, or cannot, and is disabled.
        ClientDisabled = "client_disabled",
        /// The client is confidential, and proved nothing.
        MissingProof = "missing_proof",
        /// The client's certificate was issued to another than is registered, or has expired.
        WrongCertificate = "wrong_certificate",
        /// The secret is none of the client's.
        WrongSecret = "wrong_secret",
        /// The assertion is malformed, signed with no key of the client's, meant for another, or not valid at this time.
        BadAssertion = "bad_assertion",
        /// The assertion is good, and was used before.
        ReplayedAssertion = "replayed_assertion",
        /// The caller's token lacks a scope that the call needs.
        MissingScope = "missing_scope",
        /// The caller would have given a scope that administers the service and that they lack.
        GrantNotHeld = "grant_not_held",
        /// The caller would have taken a scope that administers the service and that they lack, or changed who has one.
        HoldsMore = "holds_more",
        /// The caller does not own the audience.
        NotOwner = "not_owner",
        /// Nobody would have been left who is an admin.
        LastAdmin = "last_admin",
        /// The set of the manifest is another's.
        SetOfAnother = "set_of_another",
        /// A client would have come to hold a scope that somebody lacked who made a credential of it.
        MakerLacksScope = "maker_lacks_scope",
        /// Calls would pass that a policy refuses now, and that was not allowed.
        PolicyWidens = "policy_widens",
        /// The role follows from the program, or every user has it.
        BuiltInRole = "built_in_role",
        /// A role would have given a scope that administers the service, and may not.
        ReservedScope = "reserved_scope",
        /// The token has ended while the call waited.
        TokenRevoked = "token_revoked",
        /// Another rule; the answer's reason says which.
        Forbidden = "forbidden",
    }
}

/// One event. It has no field for a password, a token, a hash or the name of a user of Signet, so no line can show one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    pub(super) event: Event,
    pub(super) outcome: Outcome,
    pub(super) reason: Option<Reason>,
    pub(super) actor: Actor,
    pub(super) changed: Vec<FieldChange>,
    pub(super) user_id: Option<UserId>,
    pub(super) session_id: Option<SessionId>,
    pub(super) client_id: Option<String>,
    pub(super) key_id: Option<KeyId>,
    pub(super) role_id: Option<RoleId>,
    pub(super) group_id: Option<GroupId>,
    pub(super) audience: Option<String>,
    pub(super) address: Option<String>,
    pub(super) claimed_address: Option<String>,
    pub(super) user_agent: Option<String>,
    pub(super) request_id: Option<RequestId>,
    pub(super) method: Option<String>,
    pub(super) keeper: Keeper,
    pub(super) sessions: Option<u64>,
}

impl Event {
    /// It happened, by the doing of the user whom it concerns.
    #[must_use]
    pub fn done(self) -> Entry {
        Entry {
            event: self,
            outcome: Outcome::Success,
            reason: None,
            actor: Actor::Oneself,
            changed: Vec::new(),
            user_id: None,
            session_id: None,
            client_id: None,
            key_id: None,
            role_id: None,
            group_id: None,
            audience: None,
            address: None,
            claimed_address: None,
            user_agent: None,
            request_id: None,
            method: None,
            keeper: Keeper::default(),
            sessions: None,
        }
    }

    /// It was refused; who asked is not known.
    #[must_use]
    pub fn refused(self, reason: Reason) -> Entry {
        Entry { outcome: Outcome::Failure, reason: Some(reason), actor: Actor::Anonymous, ..self.done() }
    }
}

impl Entry {
    /// It was the doing of the operator who runs this process.
    #[must_use]
    pub fn by_operator(self) -> Self {
        self.by(Actor::operator())
    }

    /// It was the doing of `actor`.
    #[must_use]
    pub fn by(self, actor: Actor) -> Self {
        Self { actor, ..self }
    }

    /// It is the call of `method`.
    #[must_use]
    pub fn method(self, method: &str) -> Self {
        Self { method: Some(printable(method)), ..self }
    }

    /// It changed `fields`.
    #[must_use]
    pub fn changed(self, fields: impl IntoIterator<Item = impl Into<FieldChange>>) -> Self {
        Self { changed: fields.into_iter().map(Into::into).collect(), ..self }
    }

    /// It concerns `user`.
    #[must_use]
    pub fn user(self, user: UserId) -> Self {
        Self { user_id: Some(user), ..self }
    }

    /// It concerns `session`.
    #[must_use]
    pub fn session(self, session: SessionId) -> Self {
        Self { session_id: Some(session), ..self }
    }

    /// It concerns the client `id`: one that is registered, never what a caller says of itself.
    #[must_use]
    pub fn client(self, id: impl Into<String>) -> Self {
        Self { client_id: Some(id.into()), ..self }
    }

    /// It concerns the signing key `id`.
    #[must_use]
    pub fn key(self, id: KeyId) -> Self {
        Self { key_id: Some(id), ..self }
    }

    /// It concerns the role `id`.
    #[must_use]
    pub fn role(self, id: RoleId) -> Self {
        Self { role_id: Some(id), ..self }
    }

    /// It concerns the group `id`.
    #[must_use]
    pub fn group(self, id: GroupId) -> Self {
        Self { group_id: Some(id), ..self }
    }

    /// It concerns the audience `name`.
    #[must_use]
    pub fn audience(self, name: &str) -> Self {
        Self { audience: Some(name.to_owned()), ..self }
    }

    /// It concerns `principal`.
    #[must_use]
    pub fn principal(self, principal: Principal) -> Self {
        match principal {
            Principal::User(id) => self.user(id),
            Principal::Group(id) => self.group(id),
            Principal::Client(id) => self.client(id.to_string()),
        }
    }

    /// It ended `count` sessions.
    #[must_use]
    pub fn sessions(self, count: u64) -> Self {
        Self { sessions: Some(count), ..self }
    }

    /// It came from `origin`.
    #[must_use]
    pub fn origin(self, origin: &Origin) -> Self {
        Self {
            address: origin.address.as_deref().map(printable),
            claimed_address: origin.claimed_address.as_deref().map(printable),
            user_agent: origin.user_agent.as_deref().map(printable),
            request_id: origin.request_id,
            ..self
        }
    }
}

/// `text` without what could begin a line or command the terminal of whoever reads it, and not too long.
pub(super) fn printable(text: &str) -> String {
    let safe = |char: char| {
        // Line and paragraph separators, and what turns the direction of writing, are no controls to Unicode.
        let hidden = char.is_control()
            || matches!(char, '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
        if hidden { char::REPLACEMENT_CHARACTER } else { char }
    };
    text.chars().take(MAX_CHARS).map(safe).collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const LINE_SEPARATOR: char = '\u{2028}';
    const OVERRIDE: char = '\u{202e}';

    #[test]
    fn names_are_told_apart() {
        let mut names: Vec<_> = Event::ALL.iter().map(|event| event.name()).collect();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), Event::ALL.len());
    }

    proptest! {
        #[test]
        fn what_a_client_says_cannot_forge_a_line(text in any::<String>()) {
            let kept = printable(&text);
            let is_safe = |char: char| !char.is_control() && char != LINE_SEPARATOR && char != OVERRIDE;
            prop_assert!(kept.chars().all(is_safe));
            prop_assert!(kept.chars().count() <= MAX_CHARS);
        }
    }
}
