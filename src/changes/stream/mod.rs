//! Owns the stream of changes that other services follow: gathered, and encoded once for all who are told the same.

mod audiences;
mod event;
mod group;
mod history;
mod hub;
mod parts;
mod position;
mod state;
mod told;
mod watcher;

pub use hub::{Hub, StreamSettings, WatchRequest};
pub use told::{ChangesTold, Encode, EndedAt, Kind, Kinds, Part, TakenScopes};
pub use watcher::Watch;
