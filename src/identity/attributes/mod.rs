//! Owns the attributes that users may have: declaring them, and what is said of a user's.

mod registry;
mod shown;

pub use registry::{AttributeChange, AttributeRef, AttributeRegistry, NewAttribute};
pub use shown::ShownAttributes;
