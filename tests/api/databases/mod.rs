//! Owns what must be alike on every database: run on SQLite by `cargo test`, and on servers by `scripts/databases`.

mod clocks;
mod gaps;
mod locks;
mod outage;
mod proofs;
mod races;
mod relay;
mod strangers;
mod values;
