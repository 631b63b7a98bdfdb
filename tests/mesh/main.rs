//! Signet in a mesh: the real program, a real Envoy with the configurations of `examples/deploy/envoy/`, and a service behind it.
//!
//! `scripts/test` fetches Envoy and runs these tests; plain `cargo test`, which needs Rust alone, leaves them out.

#![allow(clippy::unwrap_used, reason = "a test panics to fail")]

mod envoy;
mod ext_authz;
mod jwt_authn;
mod replicas;
mod requests;
mod rest;
mod signet;
mod upstream;
mod web;
