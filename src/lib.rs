//! Signet, a gRPC identity service: the map of the house.
//!
//! A request comes in through [`server`] (which orders the layers), is recognised by [`auth`], decoded by `rpc`, decided by
//! [`identity`], kept by [`store`], and every failure on its way is an [`model::Error`] that [`status`] puts on the wire.
//! Rooms import downward only:
//!
//! ```text
//! main -> cli -> server -> { rpc, http } -> { identity, limits, peer } -> { store, auth, audit }
//!      -> { proto, status, metrics } -> model
//! ```
//!
//! docs/ARCHITECTURE.md tells two requests as stories, file after file.

pub mod audit;
pub mod auth;
pub mod cli;
pub mod config;
mod http;
pub mod identity;
mod limits;
pub mod metrics;
pub mod model;
mod peer;
pub mod proto;
mod rpc;
pub mod server;
pub mod shutdown;
pub mod status;
pub mod store;
pub mod telemetry;
