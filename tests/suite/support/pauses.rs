//! The moments in which the machine lets nobody run: on one that others use as well, whole seconds. What
//! a promise about time is held to does not count them.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

/// How often the watcher wakes up.
const STEP: Duration = Duration::from_millis(5);

/// A thread that only sleeps, and adds up by how much it is late, until this is dropped.
pub struct Pauses {
    counted: Arc<Counted>,
}

#[derive(Default)]
struct Counted {
    number: AtomicU64,
    microseconds: AtomicU64,
}

impl Pauses {
    /// Pauses that are longer than this; a machine that is only busy has none of 20 ms.
    pub fn longer_than(limit: Duration) -> Pauses {
        let counted = Arc::new(Counted::default());
        let watched = Arc::downgrade(&counted);
        thread::spawn(move || {
            loop {
                let slept = Instant::now();
                thread::sleep(STEP);
                let late = slept.elapsed().saturating_sub(STEP);
                let Some(counted) = watched.upgrade() else {
                    return;
                };
                if late > limit {
                    let late = late.as_micros().try_into().unwrap_or(u64::MAX);
                    counted.microseconds.fetch_add(late, Ordering::SeqCst);
                    counted.number.fetch_add(1, Ordering::SeqCst);
                }
            }
        });
        Pauses { counted }
    }

    /// How many there were by now, and how long they were in all; one that has just ended included.
    pub fn so_far(&self) -> (u64, Duration) {
        // The watcher may not have woken up from it yet.
        thread::sleep(4 * STEP);
        let microseconds = self.counted.microseconds.load(Ordering::SeqCst);
        let number = self.counted.number.load(Ordering::SeqCst);
        (number, Duration::from_micros(microseconds))
    }
}
