//! Owns recognising a caller: which token is genuine, whom it stands for, and which method it may call.
//!
//! Usable by any tonic service: what it needs from its surroundings it states as two traits, [`Keys`] and [`Standing`].

mod authenticator;
mod caller;
mod keys;
mod layer;
mod policy;
mod verifier;

pub use authenticator::{Authenticator, Standing, bearer_token};
pub use caller::Caller;
pub use keys::{KeySet, Keys, VerifyingKey};
pub use layer::{AuthLayer, AuthService};
pub use policy::{Access, Policy, PolicyError};
pub use verifier::{Verifier, VerifierSettings};
