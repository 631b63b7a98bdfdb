//! Owns what is stored of names beside their users: the key of their digests, resting names, and what names look like.

pub(super) mod key;
mod rests;
mod upkeep;

pub use key::NameKey;
pub use rests::UsernameRests;
pub use upkeep::Usernames;
