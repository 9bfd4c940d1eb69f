//! The ids of messages that have come before.

use std::collections::HashSet;
use std::fmt;
use std::mem;
use std::sync::{Mutex, PoisonError};

use ring::digest::{SHA256, digest};

/// How many ids are remembered unless it is said: a day at one event per second, in about 8 MB.
const DEFAULT_CAPACITY: usize = 100_000;

/// Remembers the ids of messages, so that one that comes twice is dealt with once.
///
/// It holds at least the last `capacity` ids and at most twice as many, in memory; what must survive
/// a restart belongs into a database, in the transaction that deals with the message.
///
/// ```
/// use opteryx_webhooks::receiver::SeenIds;
///
/// let seen = SeenIds::new(1000);
/// assert!(seen.insert("evt_1"));
/// assert!(!seen.insert("evt_1"));
///
/// // If dealing with it fails, so that the sender is to try again:
/// seen.remove("evt_1");
/// assert!(seen.insert("evt_1"));
/// ```
pub struct SeenIds {
    capacity: usize,
    generations: Mutex<Generations>,
}

/// When the younger one is full, it becomes the elder, and what was that is forgotten.
#[derive(Default)]
struct Generations {
    younger: HashSet<Fingerprint>,
    elder: HashSet<Fingerprint>,
}

/// A SHA-256, so that an id of any length costs the same memory.
type Fingerprint = [u8; 32];

impl SeenIds {
    /// One that remembers at least the last `capacity` ids.
    pub fn new(capacity: usize) -> SeenIds {
        SeenIds {
            capacity,
            generations: Mutex::default(),
        }
    }

    /// Remembers an id, and says whether it is new. Of two calls at once one gets `true`.
    ///
    /// Call it with the id of a message that has been verified: from others, anybody could have
    /// messages forgotten.
    pub fn insert(&self, id: &str) -> bool {
        let id = fingerprint(id);
        let mut generations = self.lock();
        if generations.elder.contains(&id) || generations.younger.contains(&id) {
            return false;
        }
        if generations.younger.len() >= self.capacity {
            generations.elder = mem::take(&mut generations.younger);
        }
        generations.younger.insert(id);
        true
    }

    /// Forgets an id, so that the next attempt is taken as new: for a message that could not be
    /// dealt with.
    pub fn remove(&self, id: &str) {
        let id = fingerprint(id);
        let mut generations = self.lock();
        generations.younger.remove(&id);
        generations.elder.remove(&id);
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Generations> {
        self.generations
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }
}

/// At least the last 100,000 ids.
impl Default for SeenIds {
    fn default() -> SeenIds {
        SeenIds::new(DEFAULT_CAPACITY)
    }
}

impl fmt::Debug for SeenIds {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SeenIds")
            .field("capacity", &self.capacity)
            .finish_non_exhaustive()
    }
}

fn fingerprint(id: &str) -> Fingerprint {
    let mut fingerprint = Fingerprint::default();
    fingerprint.copy_from_slice(digest(&SHA256, id.as_bytes()).as_ref());
    fingerprint
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_ids_are_remembered_and_memory_is_bounded() {
        let seen = SeenIds::new(10);
        for id in 0..1000 {
            assert!(seen.insert(&id.to_string()));
            for recent in id.max(9) - 9..=id {
                assert!(!seen.insert(&recent.to_string()), "{recent} after {id}");
            }
            let generations = seen.lock();
            assert!(generations.younger.len() + generations.elder.len() <= 20);
        }
        assert!(seen.insert("0"));
    }

    #[test]
    fn one_of_many_at_once_is_the_first() {
        let seen = SeenIds::default();
        let first = std::thread::scope(|scope| {
            let attempts: Vec<_> = (0..8)
                .map(|_| scope.spawn(|| usize::from(seen.insert("evt"))))
                .collect();
            attempts
                .into_iter()
                .map(|a| a.join().unwrap())
                .sum::<usize>()
        });
        assert_eq!(first, 1);
    }

    #[test]
    fn a_capacity_of_nothing_still_knows_the_last() {
        let seen = SeenIds::new(0);
        assert!(seen.insert("a"));
        assert!(!seen.insert("a"));
    }
}
