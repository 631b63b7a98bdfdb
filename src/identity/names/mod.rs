//! Owns what is kept of names beside the users who have them: the key under which those are kept that may be none, the names that rest, and
//! the upkeep of what names look like.

pub(super) mod key;
mod rests;
mod upkeep;

pub use key::NameKey;
pub use rests::UsernameRests;
pub use upkeep::Usernames;
