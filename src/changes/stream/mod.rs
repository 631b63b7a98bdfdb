//! Owns the stream of changes that other services follow: gathered, and encoded once for all who are told the same.

mod answer;
mod audiences;
mod beginning;
mod clients;
mod event;
mod group;
mod hub;
mod interest;
mod log;
mod position;
mod settings;
mod split;
mod state;
mod told;
mod watcher;

pub use beginning::WatchRequest;
pub use hub::Hub;
pub use settings::StreamSettings;
pub use told::{ChangesTold, Encode, EndedClient, EndedUser, Kind, Kinds, Part, TakenScopes};
pub use watcher::Watch;
