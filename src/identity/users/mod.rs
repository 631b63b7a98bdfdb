//! Owns users in the hands of those who manage them: the same for the command line as for any other caller.

mod directory;
mod registry;

pub use crate::store::NameCollision;
pub use directory::{NameCollisions, UserDirectory, UserError, UserRef};
pub use registry::{DeletedUser, UserRegistry};
