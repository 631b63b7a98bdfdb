//! Owns administering users: the same for commands and for RPCs.

mod directory;
mod passwords;
mod registry;
mod search;
mod search_upkeep;

// Values that the store fills: whoever asks gets them from here, and does not import the store.
pub use crate::store::{FoundUser, NameCollision, PlaceValue, Span, UserPlace};
pub use directory::{NameCollisions, UserDirectory, UserRef};
pub use passwords::{NewUserOf, PasswordState, Reset, UserPasswords};
pub use registry::{DeletedUser, NewUserFields, UserRegistry};
pub use search::{UserFilter, UserPage};
pub use search_upkeep::UserSearchUpkeep;
