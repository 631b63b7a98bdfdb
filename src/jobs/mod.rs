//! Owns what runs by itself: each job has a name, a pace, a last result and a metric, and goes on after a panic.
//!
//! What one process does for all that share the database is a *shared* job: a line in `table.rs`. It runs under the lease of its name,
//! whose row keeps its last run, and `signet jobs` lists it. What each process does for itself is an *own* job: a line in
//! `server/work.rs`. It shows in metrics alone.

mod listing;
mod own;
mod report;
mod rotation;
mod shared;
mod table;
mod under_lease;

pub use listing::{ListedJob, list};
pub(crate) use own::{OwnJob, OwnJobs, Pace};
pub(crate) use rotation::Rotation;
#[cfg(test)]
pub(crate) use shared::tests::easy as easy_shared_jobs;
pub(crate) use shared::{DUE_CHECK_INTERVAL, STOP_TIMEOUT, SharedJobs};
pub(crate) use table::Upkeep;
