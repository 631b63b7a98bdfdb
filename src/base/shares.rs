//! Owns the arithmetic of shares: how much of one bound each holder may have, and that all of it is given back.

use std::hash::Hash;

use ahash::HashMap;

/// What has been taken of one bound, and by whom.
#[derive(Debug)]
pub(crate) struct Shares<Holder> {
    all: u64,
    taken: u64,
    held: HashMap<Holder, u64>,
}

impl<Holder: Copy + Eq + Hash> Shares<Holder> {
    /// A bound of `all`, of which nothing is taken.
    pub(crate) fn new(all: u64) -> Self {
        Self { all, taken: 0, held: HashMap::default() }
    }

    /// Whether each of `holders`, with the most that it may have, may have `amount` more, if there is as much.
    pub(crate) fn allow(&self, mut holders: impl Iterator<Item = (Holder, u64)>, amount: u64) -> bool {
        holders.all(|(holder, limit)| {
            let held = self.held.get(&holder).copied().unwrap_or(0);
            held.saturating_add(amount) <= limit
        })
    }

    /// Takes `amount` for all of `holders`, each with the most that it may have, or nothing at all. Returns whether it fitted.
    pub(crate) fn take(&mut self, holders: impl Iterator<Item = (Holder, u64)> + Clone, amount: u64) -> bool {
        let has_room = self.taken.saturating_add(amount) <= self.all && self.allow(holders.clone(), amount);
        if has_room {
            self.taken += amount;
            for (holder, _) in holders {
                *self.held.entry(holder).or_default() += amount;
            }
        }
        has_room
    }

    /// Gives back what was taken for the same `holders`.
    pub(crate) fn give_back(&mut self, holders: impl Iterator<Item = Holder>, amount: u64) {
        self.taken = self.taken.saturating_sub(amount);
        for holder in holders {
            if let Some(held) = self.held.get_mut(&holder) {
                *held = held.saturating_sub(amount);
                if *held == 0 {
                    self.held.remove(&holder);
                }
            }
        }
    }

    /// How much is taken in all.
    #[cfg(any(feature = "server", test))]
    pub(crate) const fn taken(&self) -> u64 {
        self.taken
    }

    /// Who holds how much.
    #[cfg(any(feature = "server", test))]
    pub(crate) fn held(&self) -> impl Iterator<Item = (Holder, u64)> {
        self.held.iter().map(|(holder, held)| (*holder, *held))
    }
}
