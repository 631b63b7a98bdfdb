//! The program on clusters of database servers whose nodes fail: three replicas behind `HAProxy`, under load.
//!
//! `scripts/test` has `scripts/databases` start the clusters and runs these tests, one after the other; plain `cargo test`, which
//! needs Rust alone, leaves them out. Those of `postgres` need `postgres-ha`, those of `galera` need `galera`, all others take either.
#![allow(clippy::unwrap_used, reason = "a test panics to fail")]

#[expect(dead_code, reason = "not all that the tests of the process need is needed here")]
#[path = "../process/client.rs"]
mod client;
mod cluster;
mod galera;
#[expect(dead_code, reason = "as above")]
#[path = "../process/harness.rs"]
mod harness;
mod load;
mod outage;
mod postgres;
#[path = "../support/mod.rs"]
mod support;
mod tls;
