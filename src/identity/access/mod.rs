//! Owns administering roles, groups, bindings and audiences.

mod audiences;
mod bindings;
mod directory;
mod ends;
mod groups;
mod holder;
mod registry;
mod roles;
mod upgrade;
mod ways;

// Values that the store fills: whoever lists bindings gets them from here, and does not import the store.
pub use crate::store::{BindingFilter, Bound};
pub(super) use audiences::event_of;
pub use directory::{AccessDirectory, ListedBinding};
pub use ends::BindingEnds;
pub use holder::{GroupRef, NamedPrincipal, PrincipalRef, RoleRef};
pub use registry::AccessRegistry;
pub use roles::{NewRole, RoleChange, ScopeChange};
pub use upgrade::{Unread, Upgrade, after_upgrade, unread};
pub use ways::{ScopeAccess, Way};
