//! Owns randomness as a parameter, beside the clock: for ids, and for spreading what would else come all at once.
//!
//! Nothing secret is made of it, since a test repeats it by its seed. Keys, secrets, salts and the `jti` of tokens come from
//! [`fill_from_system`](super::fill_from_system) or the system's generator itself; tests/tidy/randomness.rs says in which files.

use std::{ops::Range, time::Duration};

use rand::{Rng, RngExt};

/// Where randomness comes from.
#[derive(Clone, Debug)]
pub struct Entropy(Generator);

#[derive(Clone, Debug)]
enum Generator {
    /// The thread's generator, which the system seeds.
    System,
    /// Known beforehand: in unit tests of this crate alone.
    #[cfg(test)]
    Seeded(std::sync::Arc<std::sync::Mutex<rand::rngs::StdRng>>),
}

impl Entropy {
    /// What nobody knows beforehand: all that there is outside of unit tests.
    #[must_use]
    pub const fn system() -> Self {
        Self(Generator::System)
    }

    /// What repeats by its `seed`, in one sequence for all clones.
    ///
    /// It is compiled for the unit tests of this crate, and for nothing else: the program, and tests that speak to it, cannot name it.
    #[cfg(test)]
    pub(crate) fn seeded(seed: u64) -> Self {
        let rng = <rand::rngs::StdRng as rand::SeedableRng>::seed_from_u64(seed);
        Self(Generator::Seeded(std::sync::Arc::new(std::sync::Mutex::new(rng))))
    }

    /// Random bytes.
    #[must_use]
    pub fn bytes<const N: usize>(&self) -> [u8; N] {
        self.with(|rng| {
            let mut bytes = [0; N];
            rng.fill_bytes(&mut bytes);
            bytes
        })
    }

    /// A random time between these parts of `whole`.
    #[must_use]
    pub fn part_of(&self, whole: Duration, parts: Range<f64>) -> Duration {
        whole.mul_f64(self.with(|rng| rng.random_range(parts)))
    }

    fn with<T>(&self, take: impl FnOnce(&mut dyn Rng) -> T) -> T {
        match &self.0 {
            Generator::System => take(&mut rand::rng()),
            #[cfg(test)]
            Generator::Seeded(rng) => take(&mut *rng.lock().unwrap()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_seed_repeats_and_the_system_does_not() {
        let drawn = |entropy: Entropy| {
            let spread = entropy.part_of(Duration::from_secs(100), 0.8..1.0);
            (entropy.bytes::<16>(), entropy.clone().bytes::<16>(), spread)
        };
        assert_eq!(drawn(Entropy::seeded(7)), drawn(Entropy::seeded(7)));
        assert_ne!(drawn(Entropy::seeded(7)), drawn(Entropy::seeded(8)));
        assert_ne!(drawn(Entropy::system()), drawn(Entropy::system()));
        let (first, second, spread) = drawn(Entropy::seeded(7));
        assert_ne!(first, second, "clones draw from one sequence");
        assert!((Duration::from_secs(80)..Duration::from_secs(100)).contains(&spread), "{spread:?}");
    }
}
