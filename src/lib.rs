//! Signet, a gRPC identity service: the map of the house.
//!
//! A request comes in through `server` (which orders the layers), is recognised by `auth`, decoded by `rpc`, decided by
//! `identity`, kept by `store`, and every failure on its way is a [`model::Error`], of which [`errors`] says what it is over every
//! protocol. Rooms import downward only:
//!
//! ```text
//! { main -> cli, fuzzing } -> { server -> { rpc, http, jobs }, transfer, shutdown } -> install -> config -> { identity, peer, traces }
//!      -> changes -> { admission, store } -> { auth, audit } -> { jose, errors, wire } -> { proto, metrics, observe }
//!      -> { model, files } -> base
//! ```
//!
//! docs/ARCHITECTURE.md tells four requests, a command and a job as stories, file after file.
//!
//! The feature `server`, which is on by default, is the service. Without it, [`auth`] is what another service recognises its callers
//! with.

pub mod base;
pub mod errors;
pub mod model;
pub mod proto;

#[cfg(feature = "auth")]
pub mod auth;
#[cfg(feature = "auth")]
pub mod jose;

#[cfg(feature = "server")]
mod admission;
#[cfg(feature = "server")]
pub mod audit;
#[cfg(feature = "server")]
pub mod changes;
#[cfg(feature = "server")]
pub mod cli;
#[cfg(feature = "server")]
pub mod config;
#[cfg(feature = "server")]
mod files;
#[cfg(all(feature = "server", any(fuzzing, test)))]
pub mod fuzzing;
#[cfg(feature = "server")]
mod http;
#[cfg(feature = "server")]
pub mod identity;
#[cfg(feature = "server")]
pub mod install;
#[cfg(feature = "server")]
pub mod jobs;
#[cfg(feature = "server")]
pub mod metrics;
#[cfg(feature = "server")]
pub mod observe;
#[cfg(feature = "server")]
mod peer;
#[cfg(feature = "server")]
mod rpc;
#[cfg(feature = "server")]
pub mod server;
#[cfg(feature = "server")]
pub mod shutdown;
#[cfg(feature = "server")]
pub mod store;
#[cfg(feature = "server")]
pub mod traces;
#[cfg(feature = "server")]
pub mod transfer;
#[cfg(feature = "server")]
mod wire;
