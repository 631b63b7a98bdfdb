//! Owns listing what may be too much to be read at once.

use super::Failure;
use crate::model::Error;

/// How many are read at a time.
const PAGE: u64 = 500;

/// What is to be listed.
pub(super) struct Listing<Id> {
    /// The maximum number to list.
    pub(super) limit: Option<u64>,
    /// Only those after this one.
    pub(super) after: Option<Id>,
}

impl<Id> Listing<Id> {
    /// Tells each that `read` finds, which reads at most so many after an id, in the order of their ids.
    pub(super) async fn each<T>(
        self,
        read: impl AsyncFn(Option<Id>, u64) -> Result<Vec<T>, Error>,
        id: impl Fn(&T) -> Id,
        tell: impl Fn(&T) -> Result<(), Failure>,
    ) -> Result<(), Failure> {
        let Self { limit, mut after } = self;
        let mut left = limit.unwrap_or(u64::MAX);
        while left > 0 {
            let page = read(after, left.min(PAGE)).await?;
            let Some(last) = page.last() else { break };
            after = Some(id(last));
            left = left.saturating_sub(page.len() as u64);
            page.iter().try_for_each(&tell)?;
        }
        Ok(())
    }
}

/// Whether a user or a client is enabled, in a word.
pub(super) const fn state(is_active: bool) -> &'static str {
    if is_active { "active" } else { "disabled" }
}
