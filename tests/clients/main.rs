//! Drives the real program with the clients that its users have: grpcurl, buf, and the OAuth libraries of Python and Node.js.
//!
//! `scripts/test` fetches the clients and runs these tests; plain `cargo test`, which needs Rust alone, leaves them out.

mod accounts;
mod banner;
mod deadlines;
mod discovery;
mod errors;
mod grpcurl;
mod oauth;
mod operator;
mod signet;
mod tools;
