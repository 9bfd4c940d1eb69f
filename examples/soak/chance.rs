//! Randomness that the same seed makes again.

use std::ops::Range;
use std::time::Duration;

/// A sequence of random numbers (SplitMix64).
pub(crate) struct Chance(u64);

impl Chance {
    /// The sequence that belongs to a seed and to what it is drawn for.
    pub(crate) fn of(seed: u64, drawn_for: impl IntoIterator<Item = u64>) -> Chance {
        let mut chance = Chance(seed);
        for part in drawn_for {
            chance.0 = chance.next() ^ part;
        }
        chance
    }

    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        mixed ^ (mixed >> 31)
    }

    /// A number below the bound, which is not 0.
    pub(crate) fn below(&mut self, bound: u64) -> u64 {
        self.next() % bound
    }

    /// A time in the range, which is in milliseconds.
    pub(crate) fn time(&mut self, range: &Range<u64>) -> Duration {
        Duration::from_millis(range.start + self.below(range.end - range.start))
    }
}
