//! Owns what the service does: accounts, passwords, clients, tokens and the keys that sign them.

mod absent;
pub mod accounts;
pub mod change_feed;
pub mod clients;
pub mod clock_check;
pub mod followed;
pub mod grants;
pub mod introspection;
pub mod keyring;
pub mod master_key;
pub mod passwords;
mod read_cache;
pub mod readiness;
pub mod refresh_token;
mod revocation;
pub mod sessions;
mod standing;
pub mod tokens;
mod user_registry;

pub use accounts::{Accounts, NewAccount};
pub use change_feed::ChangeFeed;
pub use clients::{ClientRegistry, Clients};
pub use clock_check::ClockCheck;
pub use grants::Grants;
pub use introspection::Introspection;
pub use keyring::{KeyRotation, Keyring};
pub use master_key::MasterKey;
pub use passwords::{HashRequest, Passwords};
pub use readiness::Readiness;
pub use refresh_token::RefreshToken;
pub use revocation::Revocation;
pub use sessions::Sessions;
pub use standing::GoodStanding;
pub use tokens::{IssuedToken, Tokens};
pub use user_registry::UserRegistry;
