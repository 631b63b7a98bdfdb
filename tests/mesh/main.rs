//! Signet in a mesh: the real program, a real Envoy with the configurations of `examples/deploy/envoy/`, and a service behind it. And
//! the other files of `examples/deploy`, as far as they can be judged where there is neither a cluster nor a container engine.
//!
//! `scripts/test` fetches Envoy and runs these tests; plain `cargo test`, which needs Rust alone, leaves them out.

#![allow(clippy::unwrap_used, reason = "a test panics to fail")]

mod deploy;
mod doctor;
mod envoy;
mod ext_authz;
mod forward_auth;
mod in_process;
mod issuer;
mod jwt_authn;
mod load;
mod mtls;
mod policies;
mod policy_rename;
mod policy_spellings;
mod proxies;
mod repeats;
mod replicas;
mod requests;
mod rest;
mod sdks;
mod signet;
mod stock;
#[path = "../support/mod.rs"]
mod support;
mod traces;
mod upstream;
mod watching;
mod web;
