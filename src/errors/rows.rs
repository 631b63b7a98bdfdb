//! Owns the table of errors: what each is over every protocol, in one row.

use std::{borrow::Cow, time::Duration};

use tonic::Code;

use super::OAuthCode as OAuth;
use crate::{
    model::{Error, NameSet},
    proto::identity::v1::ErrorReason as Reason,
};

/// No reason's number is larger: a test compares with the proto.
const MAX_REASON: i32 = 256;

/// When to try again after something the service needs did not answer.
const UNAVAILABLE_RETRY_AFTER: Duration = Duration::from_secs(1);

/// When to try again what waits for an index: a build takes minutes.
const INDEX_RETRY_AFTER: Duration = Duration::from_secs(30);

/// What an error is over every protocol.
#[derive(Clone, Debug)]
pub struct Row<'a> {
    /// The code of its gRPC status.
    pub code: Code,
    reason: Reason,
    /// The reason that no RPC answers yet, if it is one.
    unreleased: Option<&'static str>,
    /// Its status over HTTP.
    pub http_status: u16,
    /// Its error code over HTTP.
    pub oauth: OAuth,
    /// What `ErrorInfo.metadata` has, if anything: a key and its value.
    pub metadata: Option<(&'static str, Cow<'a, str>)>,
    /// When it is worth trying again, if it is.
    pub retry_after: Option<Duration>,
}

/// Every reason that a call or a request can be told: the names of the proto's `ErrorReason` without their prefix.
pub fn reasons() -> impl Iterator<Item = &'static str> {
    // Protobuf numbers a value once and for good, so that the numbers may have gaps, and the largest is not much beyond their count.
    (1..=MAX_REASON).filter_map(|number| Reason::try_from(number).ok()).map(name)
}

fn name(reason: Reason) -> &'static str {
    reason.as_str_name().trim_start_matches("ERROR_REASON_")
}

impl<'a> Row<'a> {
    /// The row of `error`.
    ///
    /// A reason stands in one row alone. Only what does not exist has none: that is gRPC's own affair.
    #[must_use]
    #[rustfmt::skip]
    #[expect(clippy::too_many_lines, reason = "it is the table: a line for each error")]
    pub fn of(error: &'a Error) -> Self {
        match error {
            Error::InvalidFields(_) => row(Code::InvalidArgument, Reason::InvalidFields, 400, OAuth::InvalidRequest),
            Error::MalformedRequest(_) => row(Code::InvalidArgument, Reason::MalformedRequest, 400, OAuth::InvalidRequest),
            Error::MessageTooLarge { max_bytes } => row(Code::ResourceExhausted, Reason::MessageTooLarge, 413, OAuth::InvalidRequest)
                .with("max_message_bytes", max_bytes.to_string()),
            Error::HeadersTooLarge { max_bytes } => row(Code::ResourceExhausted, Reason::HeadersTooLarge, 431, OAuth::InvalidRequest)
                .with("max_header_bytes", max_bytes.to_string()),
            Error::UsernameTaken => row(Code::AlreadyExists, Reason::UsernameTaken, 409, OAuth::InvalidRequest),
            Error::SignUpOff => row(Code::PermissionDenied, Reason::SignUpOff, 403, OAuth::AccessDenied),
            Error::InvalidCredentials => row(Code::Unauthenticated, Reason::InvalidCredentials, 400, OAuth::InvalidGrant),
            Error::PasswordChangeRequired => row(Code::Unauthenticated, Reason::PasswordChangeRequired, 400, OAuth::InvalidGrant),
            Error::TokenMissing => row(Code::Unauthenticated, Reason::TokenMissing, 401, OAuth::InvalidToken),
            Error::TokenInvalid(_) => row(Code::Unauthenticated, Reason::TokenInvalid, 401, OAuth::InvalidToken),
            Error::TokenExpired => row(Code::Unauthenticated, Reason::TokenExpired, 401, OAuth::InvalidToken),
            Error::TokenRevoked => row(Code::Unauthenticated, Reason::TokenRevoked, 401, OAuth::InvalidToken),
            Error::RefreshTokenInvalid => row(Code::Unauthenticated, Reason::RefreshTokenInvalid, 400, OAuth::InvalidGrant),
            Error::RefreshTokenReused => row(Code::Unauthenticated, Reason::RefreshTokenReused, 400, OAuth::InvalidGrant),
            Error::SessionNotFound => row(Code::NotFound, Reason::SessionNotFound, 404, OAuth::NotFound),
            Error::AuditEventNotFound => row(Code::NotFound, Reason::AuditEventNotFound, 404, OAuth::NotFound),
            Error::InvalidClient => row(Code::Unauthenticated, Reason::InvalidClient, 401, OAuth::InvalidClient),
            Error::AddressClaimNotAllowed => row(Code::PermissionDenied, Reason::AddressClaimNotAllowed, 400, OAuth::UnauthorizedClient),
            Error::InvalidScope(names) => row(Code::InvalidArgument, Reason::InvalidScope, 400, OAuth::InvalidScope)
                .with_names("scope", names),
            Error::InvalidAudience(names) => row(Code::InvalidArgument, Reason::InvalidAudience, 400, OAuth::InvalidTarget)
                .with_names("audience", names),
            Error::TokenOfAnotherClient => row(Code::PermissionDenied, Reason::TokenOfAnotherClient, 400, OAuth::InvalidGrant),
            Error::UnsupportedTokenType => row(Code::InvalidArgument, Reason::UnsupportedTokenType, 400, OAuth::UnsupportedTokenType),
            Error::UnsupportedGrantType => row(Code::InvalidArgument, Reason::UnsupportedGrantType, 400, OAuth::UnsupportedGrantType),
            Error::InsufficientScope(scope) => row(Code::PermissionDenied, Reason::InsufficientScope, 403, OAuth::InsufficientScope)
                .with("required_scope", scope),
            Error::InsufficientRole(role) => row(Code::PermissionDenied, Reason::InsufficientRole, 403, OAuth::AccessDenied)
                .with("required_role", role),
            Error::RolesNotInToken(role) => row(Code::PermissionDenied, Reason::RolesNotInToken, 403, OAuth::AccessDenied)
                .with("required_role", role),
            Error::CallerNotAllowed(kind) => row(Code::PermissionDenied, Reason::CallerNotAllowed, 403, OAuth::AccessDenied)
                .with("callers", kind.name()),
            Error::PolicyVersionNotFound { .. } => row(Code::NotFound, Reason::PolicyVersionNotFound, 404, OAuth::NotFound),
            Error::PolicyVersionExists { .. } => row(Code::AlreadyExists, Reason::PolicyVersionExists, 409, OAuth::InvalidRequest),
            Error::PolicyWidens(_) => row(Code::PermissionDenied, Reason::PolicyWidens, 403, OAuth::AccessDenied)
                .with("required_scope", "signet.policies.widen"),
            Error::GrantNotHeld(names) => row(Code::PermissionDenied, Reason::GrantNotHeld, 403, OAuth::AccessDenied).with_names("scope", names),
            Error::HoldsMore(names) => row(Code::PermissionDenied, Reason::HoldsMore, 403, OAuth::AccessDenied).with_names("scope", names),
            Error::NotOwner { audience, .. } => row(Code::PermissionDenied, Reason::NotOwner, 403, OAuth::AccessDenied)
                .with("audience", audience),
            Error::MakerLacksScope { scopes, .. } => row(Code::FailedPrecondition, Reason::MakerLacksScope, 400, OAuth::InvalidRequest)
                .with_names("scope", scopes),
            Error::LastAdmin => row(Code::FailedPrecondition, Reason::LastAdmin, 400, OAuth::InvalidRequest),
            Error::EtagMismatch => row(Code::Aborted, Reason::EtagMismatch, 409, OAuth::InvalidRequest),
            Error::RequestIdReused => row(Code::InvalidArgument, Reason::RequestIdReused, 400, OAuth::InvalidRequest),
            Error::AccessUndeclared(_) => row(Code::PermissionDenied, Reason::AccessUndeclared, 403, OAuth::AccessDenied),
            Error::RouteMisconfigured(_) => row(Code::PermissionDenied, Reason::RouteMisconfigured, 403, OAuth::AccessDenied),
            Error::OriginNotAllowed => row(Code::PermissionDenied, Reason::OriginNotAllowed, 403, OAuth::AccessDenied),
            Error::HostNotAllowed => row(Code::PermissionDenied, Reason::HostNotAllowed, 421, OAuth::AccessDenied),
            Error::UserNotFound(said) => row(Code::NotFound, Reason::UserNotFound, 404, OAuth::NotFound).with("user", said),
            Error::UserAmbiguous { named, .. } => unreleased(Code::InvalidArgument, "USER_AMBIGUOUS", 400, OAuth::InvalidRequest)
                .with("user_id", named.to_string()),
            Error::ClientNotFound(_) => row(Code::NotFound, Reason::ClientNotFound, 404, OAuth::NotFound),
            Error::PublicClient { .. } => row(Code::FailedPrecondition, Reason::PublicClient, 400, OAuth::InvalidRequest),
            Error::BuiltInClient { .. } => row(Code::FailedPrecondition, Reason::BuiltInClient, 400, OAuth::InvalidRequest),
            Error::ClientNameTaken => row(Code::AlreadyExists, Reason::ClientNameTaken, 409, OAuth::InvalidRequest),
            Error::SpiffeIdTaken => row(Code::AlreadyExists, Reason::SpiffeIdTaken, 409, OAuth::InvalidRequest),
            Error::RoleNotFound { .. } => row(Code::NotFound, Reason::RoleNotFound, 404, OAuth::NotFound),
            Error::GroupNotFound(_) => row(Code::NotFound, Reason::GroupNotFound, 404, OAuth::NotFound),
            Error::AudienceNotFound(_) => row(Code::NotFound, Reason::AudienceNotFound, 404, OAuth::NotFound),
            Error::BindingNotFound(_) => row(Code::NotFound, Reason::BindingNotFound, 404, OAuth::NotFound),
            Error::MembershipNotFound { .. } => row(Code::NotFound, Reason::MembershipNotFound, 404, OAuth::NotFound),
            Error::OwnerNotFound { .. } => unreleased(Code::NotFound, "OWNER_NOT_FOUND", 404, OAuth::NotFound),
            Error::ManifestRefused(_) => row(Code::InvalidArgument, Reason::ManifestRefused, 400, OAuth::InvalidRequest),
            Error::PlanOutdated => row(Code::Aborted, Reason::PlanOutdated, 409, OAuth::InvalidRequest),
            Error::SetOfAnother(_) => row(Code::FailedPrecondition, Reason::SetOfAnother, 400, OAuth::InvalidRequest),
            Error::ApplyUnderWay(retry_after) => row(Code::ResourceExhausted, Reason::ApplyUnderWay, 429, OAuth::TemporarilyUnavailable)
                .again_after(*retry_after),
            Error::RoleExists { .. } => row(Code::AlreadyExists, Reason::RoleExists, 409, OAuth::InvalidRequest),
            Error::GroupExists(_) => row(Code::AlreadyExists, Reason::GroupExists, 409, OAuth::InvalidRequest),
            Error::AttributeNotFound(_) => row(Code::NotFound, Reason::AttributeNotFound, 404, OAuth::NotFound),
            Error::AttributeExists(_) => row(Code::AlreadyExists, Reason::AttributeExists, 409, OAuth::InvalidRequest),
            Error::BindingExists(id) => row(Code::AlreadyExists, Reason::BindingExists, 409, OAuth::InvalidRequest)
                .with("binding_id", id.to_string()),
            Error::BuiltInRole(_) => row(Code::FailedPrecondition, Reason::BuiltInRole, 400, OAuth::InvalidRequest),
            Error::Reserved(names) => row(Code::InvalidArgument, Reason::Reserved, 400, OAuth::InvalidRequest).with_names("scope", names),
            Error::LimitReached { most, .. } => row(Code::FailedPrecondition, Reason::LimitReached, 400, OAuth::InvalidRequest)
                .with("most", most.to_string()),
            Error::SigningKeyNotFound(_) => row(Code::NotFound, Reason::SigningKeyNotFound, 404, OAuth::NotFound),
            Error::NextKeyPublished { kid, .. } => row(Code::FailedPrecondition, Reason::NextKeyPublished, 400, OAuth::InvalidRequest)
                .with("kid", kid.0.as_str()),
            Error::ClocksApart { .. } => row(Code::FailedPrecondition, Reason::ClocksApart, 400, OAuth::InvalidRequest),
            Error::WrongMasterKey { .. } => unreleased(Code::FailedPrecondition, "WRONG_MASTER_KEY", 400, OAuth::InvalidRequest),
            Error::MetricsElsewhere { .. } | Error::Unimplemented => row(Code::Unimplemented, Reason::Unspecified, 404, OAuth::NotFound),
            Error::Overloaded { retry_after, .. } => row(Code::ResourceExhausted, Reason::Overloaded, 429, OAuth::TemporarilyUnavailable)
                .again_after(*retry_after),
            Error::TooManyAttempts { retry_after, .. } =>
                row(Code::ResourceExhausted, Reason::TooManyAttempts, 429, OAuth::TemporarilyUnavailable).again_after(*retry_after),
            Error::TooManyChanges { retry_after } =>
                row(Code::ResourceExhausted, Reason::TooManyChanges, 429, OAuth::TemporarilyUnavailable).again_after(*retry_after),
            Error::TooManyRepeats { retry_after } =>
                row(Code::ResourceExhausted, Reason::TooManyRepeats, 429, OAuth::TemporarilyUnavailable).again_after(*retry_after),
            Error::TooManyRefreshes { retry_after } =>
                row(Code::ResourceExhausted, Reason::TooManyRefreshes, 429, OAuth::TemporarilyUnavailable).again_after(*retry_after),
            Error::DeadlineExceeded => row(Code::DeadlineExceeded, Reason::DeadlineExceeded, 504, OAuth::TemporarilyUnavailable),
            Error::Unavailable { .. } => row(Code::Unavailable, Reason::Unavailable, 503, OAuth::TemporarilyUnavailable)
                .again_after(UNAVAILABLE_RETRY_AFTER),
            Error::IndexBeingBuilt { index } => row(Code::Unavailable, Reason::IndexBeingBuilt, 503, OAuth::TemporarilyUnavailable)
                .with("index", *index).again_after(INDEX_RETRY_AFTER),
            Error::Internal(_) => row(Code::Internal, Reason::Internal, 500, OAuth::ServerError),
        }
    }

    /// The stable reason, the same over every protocol: a name of the proto's `ErrorReason` without its prefix (AIP-193), or one that
    /// is not released yet. None for what does not exist.
    #[must_use]
    pub fn reason(&self) -> Option<&'static str> {
        let of_proto = || name(self.reason);
        self.unreleased.or_else(|| (self.reason != Reason::Unspecified).then(of_proto))
    }

    /// Whether an RPC can answer the error. The others are answers to commands alone: a reason in the proto is a promise to whoever
    /// generates code from it, so it gets there with the first RPC that gives it.
    #[must_use]
    pub const fn is_released(&self) -> bool {
        self.unreleased.is_none()
    }

    /// Whether the request was decided and is refused. If not, it was too large or too much, or could not be finished.
    #[must_use]
    pub const fn is_refusal(&self) -> bool {
        !(matches!(self.code, Code::ResourceExhausted) || self.leaves_unknown())
    }

    /// Whether a change that was asked for may have been made in spite of the error.
    #[must_use]
    pub const fn leaves_unknown(&self) -> bool {
        matches!(self.code, Code::DeadlineExceeded) || self.is_failure()
    }

    /// Whether the service failed for reasons of its own.
    #[must_use]
    pub const fn is_failure(&self) -> bool {
        matches!(self.code, Code::Internal | Code::Unavailable)
    }

    fn with(self, key: &'static str, value: impl Into<Cow<'a, str>>) -> Self {
        Self { metadata: Some((key, value.into())), ..self }
    }

    /// Says which `names` are not allowed, if any were understood.
    fn with_names(self, key: &'static str, names: &'a NameSet) -> Self {
        if names.is_empty() { self } else { self.with(key, names.as_str()) }
    }

    const fn again_after(mut self, delay: Duration) -> Self {
        self.retry_after = Some(delay);
        self
    }
}

const fn row<'a>(code: Code, reason: Reason, http_status: u16, oauth: OAuth) -> Row<'a> {
    Row { code, reason, unreleased: None, http_status, oauth, metadata: None, retry_after: None }
}

/// The row of what no RPC answers yet. The first that does writes `reason` into the proto, and [`row`] here.
fn unreleased<'a>(code: Code, reason: &'static str, http_status: u16, oauth: OAuth) -> Row<'a> {
    Row { unreleased: Some(reason), ..row(code, Reason::Unspecified, http_status, oauth) }
}

/// One error of each row, in the order of the rows; the causes among them say "secret". A test counts them.
#[cfg(test)]
#[expect(clippy::too_many_lines, reason = "a line for each error")]
pub(crate) fn examples() -> Vec<Error> {
    use uuid::Uuid;

    use crate::{
        base::Timestamp,
        model::{BindingId, CallerKind, FieldReason, KeyId, RuleViolation, UNDECLARED, UserId},
    };

    let retry_after = Duration::from_millis(1_001);
    let names = || NameSet::parse("a b").unwrap();
    vec![
        Error::InvalidFields(vec![RuleViolation::new(FieldReason::Required, "must be set").at("token")]),
        Error::MalformedRequest("x".to_owned()),
        Error::MessageTooLarge { max_bytes: 1 },
        Error::HeadersTooLarge { max_bytes: 1 },
        Error::UsernameTaken,
        Error::SignUpOff,
        Error::InvalidCredentials,
        Error::PasswordChangeRequired,
        Error::TokenMissing,
        Error::TokenInvalid("it is bad"),
        Error::TokenExpired,
        Error::TokenRevoked,
        Error::RefreshTokenInvalid,
        Error::RefreshTokenReused,
        Error::SessionNotFound,
        Error::AuditEventNotFound,
        Error::InvalidClient,
        Error::AddressClaimNotAllowed,
        Error::InvalidScope(names()),
        Error::InvalidAudience(names()),
        Error::TokenOfAnotherClient,
        Error::UnsupportedTokenType,
        Error::UnsupportedGrantType,
        Error::InsufficientScope("a".to_owned()),
        Error::InsufficientRole("a".to_owned()),
        Error::RolesNotInToken("a".to_owned()),
        Error::CallerNotAllowed(CallerKind::User),
        Error::PolicyVersionNotFound { service: "x".to_owned(), version: "x".to_owned() },
        Error::PolicyVersionExists { service: "x".to_owned(), version: "x".to_owned() },
        Error::PolicyWidens("x".to_owned()),
        Error::GrantNotHeld(NameSet::parse("signet.users.write").unwrap()),
        Error::HoldsMore(NameSet::parse("signet.users.write").unwrap()),
        Error::NotOwner { audience: "stock".to_owned(), acts_as_owner: false },
        Error::MakerLacksScope {
            client: "x".to_owned(),
            scopes: NameSet::parse("signet.users.write").unwrap(),
        },
        Error::LastAdmin,
        Error::EtagMismatch,
        Error::RequestIdReused,
        Error::AccessUndeclared(UNDECLARED),
        Error::RouteMisconfigured("x"),
        Error::OriginNotAllowed,
        Error::HostNotAllowed,
        Error::UserNotFound("x".to_owned()),
        Error::UserAmbiguous { said: "x".to_owned(), named: UserId(Uuid::nil()) },
        Error::ClientNotFound("x".to_owned()),
        Error::PublicClient { client: "x".to_owned(), because: "it has none" },
        Error::BuiltInClient { because: "it is" },
        Error::ClientNameTaken,
        Error::SpiffeIdTaken,
        Error::RoleNotFound { role: "x".to_owned(), audience: None },
        Error::GroupNotFound("x".to_owned()),
        Error::AudienceNotFound("x".to_owned()),
        Error::BindingNotFound("there is no such binding".to_owned()),
        Error::MembershipNotFound { who: "the user `x`".to_owned(), group: "x".to_owned() },
        Error::OwnerNotFound { who: "the user `x`".to_owned(), audience: "x".to_owned() },
        Error::ManifestRefused(vec!["roles[0]: the name must not be empty".to_owned()]),
        Error::PlanOutdated,
        Error::SetOfAnother("the set `x` belongs to the operator".to_owned()),
        Error::ApplyUnderWay(retry_after),
        Error::RoleExists { role: "x".to_owned(), audience: "x".to_owned() },
        Error::GroupExists("x".to_owned()),
        Error::AttributeNotFound("x".to_owned()),
        Error::AttributeExists("x".to_owned()),
        Error::BindingExists(BindingId(Uuid::nil())),
        Error::BuiltInRole("everyone".to_owned()),
        Error::Reserved(NameSet::parse("signet.users.write").unwrap()),
        Error::LimitReached { whose: "the user".to_owned(), what: "bindings", most: 128 },
        Error::SigningKeyNotFound("x".to_owned()),
        Error::NextKeyPublished { kid: KeyId("x".to_owned()), sign_time: Timestamp::from_micros(0) },
        Error::ClocksApart { offset: "1s behind the database's".to_owned() },
        Error::WrongMasterKey { what: "signing key x".to_owned() },
        Error::MetricsElsewhere { operations_addr: None },
        Error::Unimplemented,
        Error::Overloaded { what: "x", retry_after },
        Error::TooManyAttempts { whose: "x", retry_after },
        Error::TooManyChanges { retry_after },
        Error::TooManyRepeats { retry_after },
        Error::TooManyRefreshes { retry_after },
        Error::DeadlineExceeded,
        Error::Unavailable { what: "database", source: "secret".into() },
        Error::IndexBeingBuilt { index: "users_email_key" },
        Error::internal("secret"),
    ]
}
