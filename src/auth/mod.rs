//! Owns recognising a caller: which token is genuine, whom it stands for, and which method it may call.
//!
//! Usable by any tonic service: what it needs from its surroundings it states as two traits, [`Keys`] and [`Standing`]. In Signet
//! itself the keyring and the sessions answer them. Elsewhere [`ResourceServer`] does, with the keys that Signet publishes, and every
//! genuine token counts until it expires ([`UntilExpiry`]).
//!
//! # For another service
//!
//! ```toml
//! signet = { path = "../signet", default-features = false, features = ["auth"] }
//! ```
//!
//! The RPCs of the service say who may call them, by the option of `identity/v1/access.proto`:
//!
//! ```proto
//! import "identity/v1/access.proto";
//!
//! rpc TakeItem(TakeItemRequest) returns (TakeItemResponse) {
//!   option (identity.v1.access) = {authenticated: {required_scopes: ["stock:write"]}};
//! }
//! ```
//!
//! The build script finds that file below `DEP_SIGNET_PROTO`, which cargo sets for whoever depends on this crate directly, and keeps the
//! descriptor set as protoc or protox write it. Then three lines protect the service:
//!
//! ```no_run
//! use signet::auth::{Policy, ResourceServer, ResourceServerSettings};
//! # use signet::proto::DESCRIPTOR_SET;
//! # async fn run(addr: std::net::SocketAddr) -> Result<(), Box<dyn std::error::Error>> {
//! # let (_, stock) = tonic_health::server::health_reporter();
//!
//! let auth = ResourceServer::start(ResourceServerSettings::new("https://id.example", "stock"))?;
//! let policy = Policy::from_descriptor_set(DESCRIPTOR_SET)?;
//! let mut server = tonic::transport::Server::builder().layer(auth.protect(policy));
//!
//! server.add_service(stock).serve(addr).await?;
//! # Ok(())
//! # }
//! ```
//!
//! An RPC that says nothing is denied, and so is one whose rule says what this release does not know. A rule by `any_roles` is judged by
//! the claim `roles` of the token, where a client has it: without it, the call is refused.
//! Refusals are gRPC statuses with the reasons of `identity.v1.ErrorReason`, as Signet's own. A handler learns who is calling from
//! [`Caller::of`]. The crate `signet-sdk` (`sdk/rust`) rests on this, and has more: what was revoked, open streams, and the client's half.

mod authenticator;
mod caller;
mod declared;
mod described_methods;
mod issuer;
mod keys;
mod layer;
mod policy;
mod resource_server;
mod verifier;

pub use crate::{
    jose::{KeySet, VerifyingKey},
    model::{Access, CallerKind, Claims, Error, Requirements, Shows, Subject},
};
pub use authenticator::{Authenticator, Standing, Stands, bearer_token};
pub use caller::{Caller, CallerSlot};
#[cfg(all(feature = "server", test))]
pub(crate) use described_methods::EXAMPLES as EXAMPLE_SETS;
#[cfg(all(feature = "server", any(fuzzing, test)))]
pub(crate) use described_methods::fuzz as fuzz_policy;
pub use described_methods::{DescribedMethod, DescribedMethods, DescribedMethodsError, WantedMethods};
pub use issuer::{FetchSettings, RemoteKeys, RemoteKeysError, issuer_identifier, published_keys};
pub use keys::Keys;
pub use layer::{AuthLayer, AuthService, CallerAddress, OnRefusal, caller_address};
pub use policy::{Policy, PolicyError};
pub use resource_server::{ResourceServer, ResourceServerSettings, UntilExpiry};
#[cfg(all(feature = "server", any(fuzzing, test)))]
pub(crate) use verifier::fuzz as fuzz_access_token;
pub use verifier::{JwtTyp, VerifiedToken, Verifier, VerifierSettings};
