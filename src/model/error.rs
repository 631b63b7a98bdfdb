//! Owns what can go wrong, once for the whole service.

use std::{net::SocketAddr, time::Duration};

use super::{
    BindingId, CallerKind, KeyId, NameSet, UserId,
    access_rule::one_of,
    name_set::MalformedNames,
    violation::{FieldViolation, summary},
};
use crate::base::Timestamp;

/// The cause behind a failure of the service itself: logged in full, never shown to a caller.
pub type Cause = Box<dyn std::error::Error + Send + Sync>;

/// Why nobody may call an RPC whose proto says nothing of that.
pub const UNDECLARED: &str = "this method declares no access rule";

/// Why nobody may call what no active version of a policy knows.
pub const UNKNOWN_METHOD: &str = "no active version of the policy knows this method, called this way";

/// Why a call, or a command, could not be served.
///
/// The text is for people and says nothing of its cause. What each is over every protocol, its row in `errors/rows.rs` says.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Fields of the request break rules: all of them.
    #[error("{}", summary(.0))]
    InvalidFields(Vec<FieldViolation>),
    /// The request is not a message of the RPC.
    #[error("the request is malformed: {0}")]
    MalformedRequest(String),
    /// The request message is larger than the limit, in bytes.
    #[error("the request message is larger than the {max_bytes} bytes that this server takes")]
    MessageTooLarge {
        /// The limit.
        max_bytes: usize,
    },
    /// The request's headers are larger than the limit, in bytes.
    #[error("the request's headers are larger than the {max_bytes} bytes that this server takes")]
    HeadersTooLarge {
        /// The limit.
        max_bytes: usize,
    },
    /// Another user has the name.
    #[error("the username is taken")]
    UsernameTaken,
    /// Nobody may sign up.
    #[error("signing up is turned off: the operator of this service makes its accounts")]
    SignUpOff,
    /// The credentials belong to no active user.
    #[error("the username or the password is wrong")]
    InvalidCredentials,
    /// The password is a one-time password, which opens nothing.
    #[error(
        "the password is a one-time password: choose one of your own by SetNewPassword, and log in with that"
    )]
    PasswordChangeRequired,
    /// No token came with the call.
    #[error("this call needs an access token: send `authorization: Bearer <access_token>`")]
    TokenMissing,
    /// The token is not one that this service accepts; the text says what is wrong with its form, never why its
    /// signature failed.
    #[error("the access token is invalid: {0}")]
    TokenInvalid(&'static str),
    /// The token was valid once.
    #[error("the access token has expired")]
    TokenExpired,
    /// The token is genuine, but what it stands for no longer is.
    #[error(
        "the access token is no longer accepted: its session has ended, or its user or client has been disabled or deleted"
    )]
    TokenRevoked,
    /// The refresh token stands for no session.
    #[error("the refresh token is not accepted: log in again")]
    RefreshTokenInvalid,
    /// A copy of the refresh token is at large; the session has been ended.
    #[error(
        "the refresh token was used before, perhaps by somebody else: the session has been ended, log in again"
    )]
    RefreshTokenReused,
    /// The caller has no such session.
    #[error("there is no such session")]
    SessionNotFound,
    /// No audit event has the id, or not any more.
    #[error("there is no such event")]
    AuditEventNotFound,
    /// The client did not prove that it is one that may ask: one answer, whatever is wrong.
    #[error("the client's credentials are not accepted")]
    InvalidClient,
    /// The client told the address of its user, and may not.
    #[error("this client may not tell its users' addresses: its operator has not allowed it")]
    AddressClaimNotAllowed,
    /// The scope asked for goes beyond what may be had, by these names; by none if it is malformed.
    #[error("{}", not_allowed("scope", .0))]
    InvalidScope(NameSet),
    /// The audience asked for goes beyond what may be had, by these names; by none if it is malformed.
    #[error("{}", not_allowed("audience", .0))]
    InvalidAudience(NameSet),
    /// The token was issued to another client than the one that asks (RFC 7009 section 2.1).
    #[error("the token was issued to another client")]
    TokenOfAnotherClient,
    /// A client's own access token cannot be revoked (RFC 7009 section 2.2.1).
    #[error("a client's own access token cannot be revoked: it expires")]
    UnsupportedTokenType,
    /// Grants of this type are not exchanged here.
    #[error("grants of this type are not exchanged here")]
    UnsupportedGrantType,
    /// The caller lacks a scope; or each of several, separated by spaces, of which one would do.
    #[error("{} needed, and was not granted", one_of("scope", .0))]
    InsufficientScope(String),
    /// The caller lacks a role that a route or a policy requires; or each of several, separated by spaces, of which one would do.
    #[error("{} needed, and was not given", one_of("role", .0))]
    InsufficientRole(String),
    /// The caller's token does not say which roles its holder has, and one of these, separated by spaces, is needed.
    #[error(
        "{} needed, and the token does not say which roles its holder has: it has no claim `roles`, or is for several audiences; the \
         claim is left out where the client does not have it told, and for a holder who has no role",
        one_of("role", .0)
    )]
    RolesNotInToken(String),
    /// The token stands for a user where only a client by itself may call, or the other way round.
    #[error("only {} may call this", .0.in_words())]
    CallerNotAllowed(CallerKind),
    /// A version of a service's policy that is not there.
    #[error("the policy of `{service}` has no version `{version}`")]
    PolicyVersionNotFound {
        /// The service.
        service: String,
        /// The version.
        version: String,
    },
    /// The version of a service's policy is there, with other rules.
    #[error(
        "the policy of `{service}` has a version `{version}` of another file: push this one under a name of its own"
    )]
    PolicyVersionExists {
        /// The service.
        service: String,
        /// The version.
        version: String,
    },
    /// A change of a policy would let calls pass that are refused now: which, in words.
    #[error(
        "calls would pass that are refused now, which takes the scope `signet.policies.widen` and `allow_widening`: {0}"
    )]
    PolicyWidens(String),
    /// Somebody was to be given scopes that administer the service, and whoever gives them lacks them.
    #[error("only who has them gives scopes that administer the service: `{0}`")]
    GrantNotHeld(NameSet),
    /// Whoever was to be changed may do more to the service than whoever changes it.
    #[error("who has scopes that administer the service is changed only by who has them, too: `{0}`")]
    HoldsMore(NameSet),
    /// The audience is its owners' to rule: its roles and bindings, and who may come to act as one of them.
    #[error("{}", not_owner(audience, *acts_as_owner))]
    NotOwner {
        /// The audience.
        audience: String,
        /// Whether an owner was to get a password or a credential that its maker could act as the owner by.
        acts_as_owner: bool,
    },
    /// A client was to hold scopes that administer the service, and somebody who made a credential of it lacked them.
    #[error(
        "the client `{client}` would hold what somebody lacked who made credentials of it: `{scopes}`. First have somebody who has that replace \
         all of them, and end the older ones"
    )]
    MakerLacksScope {
        /// The client's name.
        client: String,
        /// The scopes.
        scopes: NameSet,
    },
    /// Nobody would be left who administers.
    #[error("no other active user would be an admin without an end")]
    LastAdmin,
    /// The resource has changed since it was read.
    #[error("it has changed since it was read: read it again, and change that")]
    EtagMismatch,
    /// The id of a request came with another request before.
    #[error("the request id was used for another request: a new request has a new id")]
    RequestIdReused,
    /// There is no access rule for the RPC: [`UNDECLARED`], or why else.
    #[error("{0}, so nobody may call it")]
    AccessUndeclared(&'static str),
    /// The rule of a sidecar's route lets nothing pass, since what it means to let pass is unknown: what is wrong with it.
    #[error("{0}, so nobody may pass: the log of the authorization server has the cause")]
    RouteMisconfigured(&'static str),
    /// A web page calls whose origin is not among those that may.
    #[error(
        "a page of this origin may not call this: only those may whose origins the operator names in --web-origins"
    )]
    OriginNotAllowed,
    /// The request asks for a host name that the operations address, or the explorer, does not answer to.
    #[error(
        "this does not answer under the host name that was asked for: ask by an IP address or as localhost; the explorer also by the host of --issuer, the operations address by what --operations-hosts names"
    )]
    HostNotAllowed,
    /// There is no such user, by id or by name.
    #[error("there is no user `{0}`")]
    UserNotFound(String),
    /// What was said reads as an id, and is the username of a user, too.
    #[error("`{said}` is the username of the user {named}, and reads as an id")]
    UserAmbiguous {
        /// What was said.
        said: String,
        /// The user whose name it is.
        named: UserId,
    },
    /// There is no such client, by id or by name.
    #[error("there is no client `{0}`")]
    ClientNotFound(String),
    /// The client is a public one, for which this cannot be done.
    #[error("`{client}` is a public client: {because}")]
    PublicClient {
        /// The client's name.
        client: String,
        /// What a public client lacks.
        because: &'static str,
    },
    /// The client is the built-in one, of which this cannot be changed.
    #[error("`signet` is the service's own client: {because}")]
    BuiltInClient {
        /// What cannot be done to it.
        because: &'static str,
    },
    /// Another client has the name.
    #[error("the name is taken")]
    ClientNameTaken,
    /// Another client is registered by the SPIFFE ID.
    #[error("another client has this SPIFFE ID")]
    SpiffeIdTaken,
    /// There is no such role, by its id, or by its name at an audience.
    #[error("there is no role `{role}`{}", at_audience(.audience.as_deref()))]
    RoleNotFound {
        /// What was said.
        role: String,
        /// At which audience, if it was said by name.
        audience: Option<String>,
    },
    /// There is no such group, by id or by name.
    #[error("there is no group `{0}`")]
    GroupNotFound(String),
    /// There is no such audience.
    #[error("there is no audience `{0}`: the first role or client that names it makes it")]
    AudienceNotFound(String),
    /// There is no such binding: the sentence that says so.
    #[error("{0}")]
    BindingNotFound(String),
    /// The user is not in the group.
    #[error("{who} is not in the group `{group}`")]
    MembershipNotFound {
        /// The user, in words.
        who: String,
        /// The group.
        group: String,
    },
    /// Who was to lose an audience does not own it.
    #[error("{who} does not own the audience `{audience}`")]
    OwnerNotFound {
        /// Who, in words.
        who: String,
        /// The audience.
        audience: String,
    },
    /// What a manifest says cannot be meant.
    #[error("{}", .0.join("; "))]
    ManifestRefused(Vec<String>),
    /// A set of manifests belongs to another than who applies it: which one, and to whom.
    #[error("{0}: to take it over has to be said")]
    SetOfAnother(String),
    /// Another manifest is being applied or exported: when it is worth trying again.
    #[error("another manifest is being applied or exported: try again later")]
    ApplyUnderWay(Duration),
    /// What is there is no longer what a plan was made for.
    #[error(
        "what is there has changed since the plan was made, and nothing was written: apply again, and look at the new plan"
    )]
    PlanOutdated,
    /// Another role of the audience has the name.
    #[error("the audience `{audience}` has a role `{role}` already")]
    RoleExists {
        /// The name.
        role: String,
        /// The audience.
        audience: String,
    },
    /// Another group has the name.
    #[error("there is a group `{0}` already")]
    GroupExists(String),
    /// No attribute is declared by this id or name.
    #[error("no attribute `{0}` is declared")]
    AttributeNotFound(String),
    /// Another attribute is declared by the name.
    #[error("an attribute `{0}` is declared already")]
    AttributeExists(String),
    /// The role is given already.
    #[error("the role is given already, by the binding {0}")]
    BindingExists(BindingId),
    /// The role follows from the program, by this name.
    #[error("{}", built_in(.0))]
    BuiltInRole(String),
    /// Scopes that the role cannot give, whoever asks for it.
    #[error(
        "scopes that begin with `signet.` administer the service itself: only roles of the audience `signet` give them, `everyone` does \
         not, and only those that this release knows: `{0}`"
    )]
    Reserved(NameSet),
    /// There would be too many.
    #[error("{whose} has {most} {what} already, which is the most")]
    LimitReached {
        /// Of whom, in words.
        whose: String,
        /// Of what, in the plural.
        what: &'static str,
        /// How many there may be.
        most: u64,
    },
    /// There is no such signing key.
    #[error("there is no signing key `{0}`")]
    SigningKeyNotFound(String),
    /// The next signing key is published, and another one was asked for.
    #[error("the next key is published already: {kid} signs from {sign_time} on")]
    NextKeyPublished {
        /// The next key.
        kid: KeyId,
        /// From when it signs.
        sign_time: Timestamp,
    },
    /// By a wrong time a key would sign too early or too late.
    #[error("this machine's clock is {offset}: no signing key is made until they agree")]
    ClocksApart {
        /// How far the clock is from the database's, in words.
        offset: String,
    },
    /// What is stored was sealed with another master key.
    #[error("the master key does not open the {what}: it was sealed with another one")]
    WrongMasterKey {
        /// What does not open.
        what: String,
    },
    /// Metrics are asked for where they are not served; they are at `operations_addr`, if anywhere.
    #[error("{}", metrics_elsewhere(*.operations_addr))]
    MetricsElsewhere {
        /// Where operators are served.
        operations_addr: Option<SocketAddr>,
    },
    /// No such RPC, or nothing at the path.
    #[error("this server has no such method or path")]
    Unimplemented,
    /// There is no room for more work.
    #[error("the server is busy: too many {what} at once")]
    Overloaded {
        /// What there are too many of, in the plural.
        what: &'static str,
        /// When it is worth trying again.
        retry_after: Duration,
    },
    /// Too much has failed that could be guessing.
    #[error("there were too many failed attempts of {whose}: try again later")]
    TooManyAttempts {
        /// Whose failures.
        whose: &'static str,
        /// When it is worth trying again.
        retry_after: Duration,
    },
    /// The caller has changed its account too often.
    #[error("your account was changed too often: try again later")]
    TooManyChanges {
        /// When it is worth trying again.
        retry_after: Duration,
    },
    /// The exchange of the refresh token has been repeated too often.
    #[error(
        "the refresh token was exchanged already, and that was repeated too often: go on with the next one"
    )]
    TooManyRepeats {
        /// When it is worth trying again, with the next one.
        retry_after: Duration,
    },
    /// The user, or one session, has refreshed too often.
    #[error(
        "the session was refreshed too often, or others of its user: use the access token, and try again later"
    )]
    TooManyRefreshes {
        /// When it is worth trying again, with the same refresh token.
        retry_after: Duration,
    },
    /// The call's time is up.
    #[error("the deadline passed before the answer was complete; a stream has --max-connection-age at most")]
    DeadlineExceeded,
    /// Something that the service needs does not answer.
    #[error("the service cannot reach its {what} at the moment")]
    Unavailable {
        /// What cannot be reached.
        what: &'static str,
        /// The cause, for the log.
        source: Cause,
    },
    /// A search needs an index that a job is still building.
    #[error("what this is searched by cannot be used yet: its index is being built")]
    IndexBeingBuilt {
        /// Its name.
        index: &'static str,
    },
    /// A defect.
    #[error("the service failed; its log has the cause")]
    Internal(#[source] Cause),
}

impl Error {
    /// That the roles and bindings of `audience` are its owners' to change.
    #[must_use]
    pub fn not_owner(audience: &str) -> Self {
        Self::NotOwner { audience: audience.to_owned(), acts_as_owner: false }
    }

    /// A defect with its cause.
    pub fn internal(cause: impl Into<Cause>) -> Self {
        Self::Internal(cause.into())
    }
}

/// The error and every cause below it, for the log. What an error has said of its cause already is not said again.
#[must_use]
pub fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(inner) = cause {
        let said = inner.to_string();
        if !text.ends_with(&said) {
            text.push_str(": ");
            text.push_str(&said);
        }
        cause = inner.source();
    }
    text
}

fn not_allowed(what: &str, names: &NameSet) -> String {
    if names.is_empty() {
        format!("the {what} asked for {MalformedNames}")
    } else {
        format!("the {what} `{names}` is not allowed here")
    }
}

fn not_owner(audience: &str, acts_as_owner: bool) -> String {
    if acts_as_owner {
        format!(
            "who gives an owner of the audience `{audience}` a password, a secret, a key or a certificate could act as that owner: that \
             takes to own the audience as well, or `signet.audiences.admin`"
        )
    } else {
        format!(
            "the roles, bindings and policies of the audience `{audience}` are changed by its owners, with a token for this service alone; \
             roles and bindings also by who has `signet.bindings.write`"
        )
    }
}

fn at_audience(audience: Option<&str>) -> String {
    audience.map(|name| format!(" of the audience `{name}`")).unwrap_or_default()
}

fn built_in(role: &str) -> String {
    if role == "everyone" {
        "every user has the role `everyone`: it is given to nobody, and cannot be deleted".to_owned()
    } else {
        format!("the role `{role}` of the service itself is built in: nobody makes, changes or deletes it")
    }
}

fn metrics_elsewhere(operations_addr: Option<SocketAddr>) -> String {
    match operations_addr {
        Some(addr) => format!("metrics are not served at this address but at --operations-addr: {addr}"),
        None => "metrics are not served at this address but at --operations-addr, where nothing listens"
            .to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, thiserror::Error)]
    #[error("not written: {0}")]
    struct SaysItsCause(#[source] std::io::Error);

    #[test]
    fn a_chain_tells_every_cause_once() {
        let cause = std::io::Error::other("the disk is full");
        let error = Error::Unavailable { what: "database", source: Box::new(cause) };
        assert_eq!(chain(&error), format!("{error}: the disk is full"));
        let error = SaysItsCause(std::io::Error::other("the disk is full"));
        assert_eq!(chain(&error), "not written: the disk is full");
    }
}
