//! Chance, for delays that should not all be the same.

use std::hash::{BuildHasher, Hasher, RandomState};

/// A number from 0 to 1, another every time.
pub(crate) fn draw() -> f64 {
    // Seeded by the standard library, once for each thread and stepped at every use.
    let random = RandomState::new().build_hasher().finish();
    random as f64 / u64::MAX as f64
}
