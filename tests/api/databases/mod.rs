//! Owns what must be alike on every database: run on SQLite by `cargo test`, and on servers by `scripts/databases`.

mod clocks;
mod events;
mod feed;
mod gaps;
pub(crate) mod locks;
mod organizations;
mod outage;
mod passed_over;
mod proofs;
mod races;
pub(crate) mod relay;
mod strangers;
mod values;

use signet::model::SessionId;

/// The `sid` of an access token.
fn session(token: &str) -> SessionId {
    use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
    let payload = URL_SAFE_NO_PAD.decode(token.split('.').nth(1).unwrap()).unwrap();
    let claims: serde_json::Value = serde_json::from_slice(&payload).unwrap();
    SessionId(claims["sid"].as_str().unwrap().parse().unwrap())
}
