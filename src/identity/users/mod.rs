//! Owns users in the hands of those who manage them: the same for the command line as for any other caller.

mod directory;
mod registry;

// A value that the store fills: whoever lists collisions gets it from here, and does not import the store.
pub use crate::store::NameCollision;
pub use directory::{NameCollisions, UserDirectory, UserRef};
pub use registry::{DeletedUser, UserRegistry};
