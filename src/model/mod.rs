//! Owns the values the service speaks of and their rules: no I/O, no framework.

pub mod access_rule;
pub mod attribute;
pub mod claims;
mod denied;
pub mod error;
pub mod id;
pub mod key;
pub mod name_set;
pub(crate) mod named;
pub mod network;
mod peer_places;
mod refused_change;
mod violation;
pub(crate) mod well_known;

pub use access_rule::{Access, CallerKind, Missing, Requirements, Shows, first_names};
pub use attribute::{AttributeValue, NamedAttributes};
pub use claims::{Audience, Claims, Subject, TokenTyp};
pub use error::{Error, UNDECLARED, UNKNOWN_METHOD};
pub use id::{AttributeId, BindingId, ClientId, GroupId, PolicyVersionId, RoleId, SessionId, UserId};
pub use key::{KeyId, SigningAlg};
pub use name_set::NameSet;
pub use network::Network;
pub(crate) use peer_places::{PeerPlace, PeerPlaces};
pub use refused_change::RefusedChange;
pub use violation::{FieldReason, FieldViolation, RuleViolation};

// What the service keeps: nobody needs it who only recognises callers, nor the tables of Unicode that its rules go by.
#[cfg(feature = "server")]
pub mod admin_scope;
#[cfg(feature = "server")]
pub mod attribute_declaration;
#[cfg(feature = "server")]
pub mod audience;
#[cfg(feature = "server")]
pub mod authentication;
#[cfg(feature = "server")]
pub mod authority;
#[cfg(feature = "server")]
pub mod binding;
#[cfg(feature = "server")]
mod caller_network;
#[cfg(feature = "server")]
pub mod certificate;
#[cfg(feature = "server")]
pub mod client;
#[cfg(feature = "server")]
mod current_request;
#[cfg(feature = "server")]
pub mod description;
#[cfg(feature = "server")]
pub mod etag;
#[cfg(feature = "server")]
pub mod group;
#[cfg(feature = "server")]
pub mod host;
#[cfg(feature = "server")]
pub mod look;
#[cfg(feature = "server")]
mod new_username;
#[cfg(feature = "server")]
pub mod password;
#[cfg(feature = "server")]
pub mod policy;
#[cfg(feature = "server")]
pub mod profile;
#[cfg(feature = "server")]
pub mod proxy;
#[cfg(feature = "server")]
mod request_id;
#[cfg(feature = "server")]
mod request_key;
#[cfg(feature = "server")]
pub mod role;
#[cfg(feature = "server")]
pub mod search_key;
#[cfg(feature = "server")]
pub mod session;
#[cfg(feature = "server")]
pub mod spiffe_id;
#[cfg(feature = "server")]
pub mod user;
#[cfg(feature = "server")]
pub mod user_attributes;
#[cfg(feature = "server")]
pub mod username;

#[cfg(feature = "server")]
pub use self::{
    admin_scope::{AdminScope, BuiltInRole},
    attribute_declaration::{
        AttributeDeclaration, AttributeEdit, AttributeName, AttributeSource, AttributeType, AttributeUses,
        AttributeWriter, Declarations,
    },
    audience::{AskedTyp, AudienceChange, AudienceName, OwnedAudience},
    authentication::Authentication,
    authority::{Authority, Rights},
    binding::{Binding, Grant, Principal},
    certificate::{CertificateNames, CertificateSubject, DnsName},
    client::{Client, ClientKind, ClientName},
    description::Description,
    etag::Etag,
    group::{Group, GroupName, Membership},
    host::{AllowedHosts, Host, HostPattern, LOCALHOST, is_loopback},
    look::ReservedNames,
    password::{Password, PasswordRules},
    policy::{PolicyState, PolicyVersionName},
    proxy::{ForwardedHeader, ProxyNetwork},
    request_id::{REQUEST_ID_HEADER, RequestId},
    request_key::RequestKey,
    role::{Role, RoleName},
    search_key::{Prefix, SearchKey},
    session::{Origin, Session, SessionLifetime},
    spiffe_id::SpiffeId,
    user::User,
    user_attributes::UserAttributes,
    username::Username,
};
#[cfg(feature = "server")]
pub(crate) use self::{
    caller_network::{caller_network, for_caller},
    current_request::{
        at_once_for_request, current_request, current_trace, for_request, for_same_request, trace_request,
        works_for_request,
    },
};
