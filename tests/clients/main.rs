//! Drives the real program with the clients that its users have: grpcurl, buf, promtool, the OAuth libraries of Python and
//! Node.js, those of Connect, and a browser.
//!
//! `scripts/test` fetches the clients and runs these tests; plain `cargo test`, which needs Rust alone, leaves them out.

mod accounts;
mod attack;
mod banner;
mod connect;
mod dashboard;
mod deadlines;
mod discovery;
mod errors;
mod explorer;
mod grpcurl;
mod machine_clients;
mod model_api;
mod moving_over;
mod node;
mod oauth;
mod operator;
mod other_hashes;
mod prometheus;
mod retries;
mod signet;
mod stubs;
#[path = "../support/mod.rs"]
mod support;
mod tls;
mod tools;
mod web;
