//! Owns the memories that hashes of this service are computed in: how many there may be, and that each is wiped before it rests.

use super::argon2id::Memory;

/// As many as may be lent at once, and one more while a hash is begun anew whose thread gets no core.
#[derive(Debug)]
pub(super) struct Memories {
    /// How many are kept for the next hash: asking the system for one anew costs a fifth of a hash.
    kept: usize,
    lent: usize,
    wiped: Vec<Memory>,
    /// A memory with the traces of a hash, which the next one overwrites.
    used: Vec<Memory>,
}

impl Memories {
    /// One for each of so many `threads`.
    pub(super) const fn of(threads: usize) -> Self {
        Self { kept: threads, lent: 0, wiped: Vec::new(), used: Vec::new() }
    }

    /// Whether there is one to lend.
    pub(super) const fn has_one(&self) -> bool {
        self.lent <= self.kept
    }

    /// Lends one.
    pub(super) fn lend(&mut self) -> Option<Memory> {
        if !self.has_one() {
            return None;
        }
        self.lent += 1;
        Some(self.used.pop().or_else(|| self.wiped.pop()).unwrap_or_default())
    }

    /// Takes one back that a hash was computed in. Returns it if it is not to be kept.
    #[must_use]
    pub(super) fn take_back(&mut self, memory: Memory) -> Option<Memory> {
        self.lent = self.lent.saturating_sub(1);
        if self.lent + self.wiped.len() + self.used.len() >= self.kept {
            return Some(memory);
        }
        self.used.push(memory);
        None
    }

    /// One that was lent has been given back to the system.
    pub(super) const fn lose_one(&mut self) {
        self.lent = self.lent.saturating_sub(1);
    }

    /// Lends one that is to be wiped, if there is any.
    pub(super) fn lend_used(&mut self) -> Option<Memory> {
        let used = self.used.pop()?;
        self.lent += 1;
        Some(used)
    }

    /// Takes one back that is wiped.
    pub(super) fn take_back_wiped(&mut self, memory: Memory) {
        self.lent = self.lent.saturating_sub(1);
        self.wiped.push(memory);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn there_is_one_more_than_threads_and_it_is_not_kept() {
        let mut memories = Memories::of(2);
        let mut lent: Vec<_> = (0..3).map(|_| memories.lend().unwrap()).collect();
        assert!(!memories.has_one());
        assert!(memories.lend().is_none());
        assert!(memories.take_back(lent.pop().unwrap()).is_some(), "two others are lent");
        assert!(memories.has_one());
        assert!(memories.take_back(lent.pop().unwrap()).is_none());
        assert!(memories.take_back(lent.pop().unwrap()).is_none());
        while let Some(memory) = memories.lend_used() {
            memories.take_back_wiped(memory);
        }
        assert_eq!((memories.lent, memories.wiped.len(), memories.used.len()), (0, 2, 0));
    }
}
