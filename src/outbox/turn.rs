//! Turns: a lock that one waits for only so long.

use std::collections::VecDeque;
use std::ops::{Deref, DerefMut};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use crate::deadline;

/// How long others may come before one who waits: so that those who use the value for microseconds
/// need not wait for a thread to wake up each time, and yet nobody waits for ever.
const PRECEDENCE: Duration = Duration::from_millis(1);

/// Holds a value that one thread has at a time.
///
/// The standard library's lock waits for ever, and an event must not; and it lets whoever has just
/// returned the value have it again, however long others have waited. So who wants the value waits
/// for its turn first, and then has the lock without waiting.
pub(super) struct Turns<T> {
    line: Mutex<Line>,
    value: Mutex<T>,
}

#[derive(Default)]
struct Line {
    is_taken: bool,
    /// Who has waited longest is first.
    waiting: VecDeque<Arc<Waiting>>,
}

struct Waiting {
    since: Instant,
    called: Condvar,
}

/// Has the value until it is dropped.
pub(super) struct Turn<'a, T> {
    turns: &'a Turns<T>,
    value: MutexGuard<'a, T>,
}

impl<T> Turns<T> {
    pub(super) fn new(value: T) -> Turns<T> {
        Turns {
            line: Mutex::default(),
            value: Mutex::new(value),
        }
    }

    /// The value, once nobody else has it; none if that takes longer than `limit`, or than this
    /// thread has time.
    pub(super) fn take(&self, limit: Duration) -> Option<Turn<'_, T>> {
        let mut line = self.line();
        let must_wait = line.is_taken
            || line
                .waiting
                .front()
                .is_some_and(|first| first.since.elapsed() >= PRECEDENCE);
        if must_wait {
            line = deadline::within(limit, || wait(line, limit))?;
        }
        line.is_taken = true;
        drop(line);
        Some(Turn {
            turns: self,
            value: self.value.lock().unwrap_or_else(PoisonError::into_inner),
        })
    }

    fn line(&self) -> MutexGuard<'_, Line> {
        // A panic while either lock was held left nothing half done.
        self.line.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Waits in line until it is this thread's turn; none if its time is over first.
fn wait(mut line: MutexGuard<'_, Line>, limit: Duration) -> Option<MutexGuard<'_, Line>> {
    let own = Arc::new(Waiting {
        since: Instant::now(),
        called: Condvar::new(),
    });
    line.waiting.push_back(Arc::clone(&own));
    loop {
        let is_first = line
            .waiting
            .front()
            .is_some_and(|first| Arc::ptr_eq(first, &own));
        if is_first && !line.is_taken {
            line.waiting.pop_front();
            return Some(line);
        }
        let left = deadline::remaining(limit);
        if left.is_zero() {
            line.waiting.retain(|waiting| !Arc::ptr_eq(waiting, &own));
            // The call may have been for this one.
            line.call();
            return None;
        }
        let waited = own.called.wait_timeout(line, left);
        (line, _) = waited.unwrap_or_else(PoisonError::into_inner);
    }
}

impl Line {
    /// Wakes up whose turn it is.
    fn call(&self) {
        if let Some(first) = self.waiting.front().filter(|_| !self.is_taken) {
            first.called.notify_one();
        }
    }
}

impl<T> Drop for Turn<'_, T> {
    fn drop(&mut self) {
        let mut line = self.turns.line();
        line.is_taken = false;
        line.call();
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
    use std::sync::atomic::{AtomicBool, Ordering};
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
    fn who_has_waited_for_long_comes_before_who_has_just_come() {
        let turns = Turns::new(0);
        let first = turns.take(Duration::ZERO).expect("nobody has it");
        let is_asked_for = AtomicBool::new(false);
        thread::scope(|scope| {
            let second = scope.spawn(|| {
                is_asked_for.store(true, Ordering::SeqCst);
                let turn = turns.take(Duration::from_secs(60));
                turn.map(|mut turn| *turn += 1).is_some()
            });
            while !is_asked_for.load(Ordering::SeqCst) {
                thread::yield_now();
            }
            // Long enough to be waiting, and to have waited.
            thread::sleep(Duration::from_millis(200));
            drop(first);
            let third = turns.take(Duration::from_secs(60)).expect("a turn");
            assert_eq!(*third, 1, "the third was before the second");
            drop(third);
            assert!(second.join().unwrap());
        });
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
