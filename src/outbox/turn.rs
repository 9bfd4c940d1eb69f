//! Turns: a lock that one waits for only so long.

use std::ops::{Deref, DerefMut};
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use crate::deadline;

/// Holds a value that one thread has at a time.
///
/// The standard library's lock waits for ever, and an event must not. So who wants the value waits
/// for its turn first, and then has the lock without waiting.
pub(super) struct Turns<T> {
    is_taken: Mutex<bool>,
    returned: Condvar,
    value: Mutex<T>,
}

/// Has the value until it is dropped.
pub(super) struct Turn<'a, T> {
    turns: &'a Turns<T>,
    value: MutexGuard<'a, T>,
}

impl<T> Turns<T> {
    pub(super) fn new(value: T) -> Turns<T> {
        Turns {
            is_taken: Mutex::new(false),
            returned: Condvar::new(),
            value: Mutex::new(value),
        }
    }

    /// The value, once nobody else has it; none if that takes longer than `limit`, or than this
    /// thread has time.
    pub(super) fn take(&self, limit: Duration) -> Option<Turn<'_, T>> {
        // A panic while either lock was held left nothing half done.
        let mut is_taken = self.is_taken.lock().unwrap_or_else(PoisonError::into_inner);
        if *is_taken {
            is_taken = deadline::within(limit, || {
                while *is_taken {
                    let left = deadline::remaining(limit);
                    if left.is_zero() {
                        return None;
                    }
                    let waited = self.returned.wait_timeout(is_taken, left);
                    (is_taken, _) = waited.unwrap_or_else(PoisonError::into_inner);
                }
                Some(is_taken)
            })?;
        }
        *is_taken = true;
        drop(is_taken);
        Some(Turn {
            turns: self,
            value: self.value.lock().unwrap_or_else(PoisonError::into_inner),
        })
    }
}

impl<T> Drop for Turn<'_, T> {
    fn drop(&mut self) {
        let mut is_taken = self
            .turns
            .is_taken
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        *is_taken = false;
        self.turns.returned.notify_one();
    }
}

impl<T> Deref for Turn<'_, T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.value
    }
}

impl<T> DerefMut for Turn<'_, T> {
    fn deref_mut(&mut self) -> &mut T {
        &mut self.value
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::thread;
    use std::time::Instant;

    use super::*;

    #[test]
    fn a_turn_that_does_not_come_is_waited_for_only_so_long() {
        let turns = Turns::new(0);
        let first = turns.take(Duration::ZERO).expect("nobody has it");
        let started = Instant::now();
        thread::scope(|scope| {
            let second = scope.spawn(|| turns.take(Duration::from_millis(50)).is_none());
            assert!(second.join().unwrap());
        });
        assert!(started.elapsed() >= Duration::from_millis(50));
        drop(first);
        assert!(turns.take(Duration::ZERO).is_some());
    }

    #[test]
    fn one_thread_at_a_time_has_the_value() {
        let turns = Arc::new(Turns::new(0));
        thread::scope(|scope| {
            for _ in 0..8 {
                scope.spawn(|| {
                    for _ in 0..500 {
                        let mut turn = turns.take(Duration::from_secs(60)).expect("a turn");
                        let value = *turn;
                        thread::yield_now();
                        *turn = value + 1;
                    }
                });
            }
        });
        assert_eq!(*turns.take(Duration::ZERO).unwrap(), 4000);
    }
}
