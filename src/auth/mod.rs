//! Owns recognising a caller: which token is genuine, whom it stands for, and which method it may call.
//!
//! Usable by any tonic service: what it needs from its surroundings it states as two traits, [`Keys`] and [`Standing`].

mod authenticator;
mod caller;
mod issuer;
mod keys;
mod layer;
mod policy;
pub mod public_key;
mod resource_server;
mod verifier;

pub use authenticator::{Authenticator, Standing, bearer_token};
pub use caller::Caller;
pub use issuer::{RefreshSettings, RemoteKeys, RemoteKeysError, issuer_identifier};
pub use keys::{KeySet, Keys, VerifyingKey};
pub use layer::{AuthLayer, AuthService};
pub use policy::{Access, Policy, PolicyError};
pub use resource_server::{ResourceServer, ResourceServerSettings, UntilExpiry};
pub use verifier::{Verifier, VerifierSettings};
