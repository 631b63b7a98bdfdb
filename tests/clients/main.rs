//! Drives the real program with the clients that its users have: grpcurl, buf, promtool, the OAuth libraries of Python and
//! Node.js, and a browser.
//!
//! `scripts/test` fetches the clients and runs these tests; plain `cargo test`, which needs Rust alone, leaves them out.

mod accounts;
mod attack;
mod banner;
#[path = "../support/database.rs"]
#[allow(dead_code, reason = "each test binary uses its part of it")]
#[allow(clippy::unwrap_used, reason = "a test panics to fail")]
mod database;
mod deadlines;
mod discovery;
mod errors;
mod grpcurl;
mod machine_clients;
mod moving_over;
mod oauth;
mod operator;
#[path = "../support/pki.rs"]
#[allow(dead_code, reason = "each test binary uses its part of it")]
#[allow(clippy::unwrap_used, reason = "a test panics to fail")]
mod pki;
#[path = "../support/ports.rs"]
mod ports;
#[path = "../support/program.rs"]
mod program;
mod prometheus;
mod retries;
mod signet;
mod tls;
mod tools;
mod web;
