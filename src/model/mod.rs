//! Owns the values the service speaks of and their rules: no I/O, no framework.

pub mod certificate;
pub mod claims;
pub mod client;
pub mod clock;
pub mod error;
pub mod key;
pub mod name_set;
pub mod password;
pub mod profile;
pub mod session;
pub mod spiffe_id;
pub mod tally;
pub mod user;
pub mod username;

pub use certificate::{CertificateNames, CertificateSubject, DnsName};
pub use claims::{Audience, Claims, Subject};
pub use client::{Client, ClientId, ClientKind, ClientName};
pub use clock::{Clock, Deadline, Timestamp};
pub use error::{Error, FieldReason, FieldViolation, RuleViolation};
pub use key::{KeyId, SigningAlg};
pub use name_set::NameSet;
pub use password::{Password, PasswordRules};
pub use session::{Origin, Session, SessionId, SessionLifetime};
pub use spiffe_id::SpiffeId;
pub use tally::Tally;
pub use user::{User, UserId};
pub use username::Username;
