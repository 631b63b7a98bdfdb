//! Protects tonic services by the access tokens of Signet, and calls such services.
//!
//! # The server half
//!
//! The RPCs say who may call them, by the option of `identity/v1/access.proto` (docs/POLICY.md). Three lines protect the service:
//!
//! ```no_run
//! use signet_sdk::{ClientCredential, Policy, Signet, Verifier};
//! # use signet_sdk::proto::DESCRIPTOR_SET;
//! # async fn run(addr: std::net::SocketAddr, id: &str, secret: &str) -> Result<(), Box<dyn std::error::Error>> {
//! # let (_, stock) = tonic_health::server::health_reporter();
//!
//! let verifier = Verifier::builder("https://id.example", "stock")
//!     .follow_revocations(Signet::at(["https://signet.example:50051"]), ClientCredential::secret(id, secret))
//!     .start()?;
//! let policy = Policy::from_descriptor_set(DESCRIPTOR_SET)?.with_public_services(["grpc.health.v1.Health"]);
//! let mut server = tonic::transport::Server::builder().layer(verifier.guard(policy));
//!
//! server.add_service(stock).serve(addr).await?;
//! # Ok(())
//! # }
//! ```
//!
//! An RPC that says nothing is denied. Refusals are gRPC statuses with the reasons of `identity.v1.ErrorReason` and, in the metadata of
//! `ErrorInfo`, the `audience` and the `method` that refused. A handler learns who is calling from [`Caller::of`]. Open streams are ended
//! when their token has expired for [`stream_grace`](VerifierBuilder::stream_grace), or is revoked.
//!
//! # The client half
//!
//! ```no_run
//! use signet_sdk::{AuthorizedChannel, ClientCredential, Signet, TokenSource};
//! # use signet_sdk::proto::DESCRIPTOR_SET;
//! # fn run(id: &str, secret: &str) -> Result<(), Box<dyn std::error::Error>> {
//!
//! let signet = Signet::at(["https://signet.example:50051"]);
//! let source = TokenSource::builder(signet, ClientCredential::secret(id, secret), "stock").build()?;
//! let channel = AuthorizedChannel::to("https://stock.example", &source)?
//!     .retry_unary_of(DESCRIPTOR_SET)?
//!     .connect_lazy()?;
//! # Ok(())
//! # }
//! ```
//!
//! Generated clients take `channel` in the place of tonic's own. The token goes to that service alone, and is renewed in the background.

#![deny(missing_docs)]

#[cfg(feature = "axum")]
pub mod axum;
mod client;
#[cfg(test)]
mod conformance;
mod guard;
mod held_call;
mod hooks;
mod introspection;
mod open_stream;
mod replicas;
mod revocations;
mod signing_key;
mod standing;
mod stream;
#[cfg(any(test, feature = "testing"))]
pub mod testing;
mod time;
mod verifier;

pub use client::{
    AccessToken, AuthorizedChannel, ChannelTarget, ClientCredential, StoreRefreshToken, TokenSource,
    TokenSourceBuilder,
};
pub use guard::Guard;
pub use hooks::{Hooks, RevocationsState};
pub use introspection::Introspected;
pub use replicas::{ClientError, Signet};
pub use revocations::{Revocations, WhenStale};
pub use signet::{
    auth::{
        Access, Authenticator, Caller, CallerKind, Claims, Error, FetchSettings, Policy, PolicyError,
        RemoteKeysError, Requirements, Subject, VerifyingKey, published_keys,
    },
    base::{Clock, Timestamp},
    proto,
};
pub use standing::{GivenKeys, IssuerKeys, TokenStanding};
pub use stream::{StreamLayer, StreamService};
pub use time::{ManualClock, Random, Time};
pub use verifier::{Verifier, VerifierBuilder, VerifierError};
