//! How long a thread has for what it is doing.
//!
//! One `notify` encodes, and may then go more than one road, such as straight to the receiver where the
//! outbox cannot be used. What each may still take is not its own to say. It is kept with the thread,
//! since the roads are behind a trait that knows nothing of it.

use std::cell::Cell;
use std::time::{Duration, Instant};

thread_local! {
    // Const and without a destructor, so that it is there even while the thread ends.
    static ENDS: Cell<Option<Instant>> = const { Cell::new(None) };
}

/// Runs something that has this much time, or what is left of a time that was set around it if that
/// is less.
pub(crate) fn within<T>(limit: Duration, run: impl FnOnce() -> T) -> T {
    struct Restore(Option<Instant>);
    impl Drop for Restore {
        fn drop(&mut self) {
            ENDS.set(self.0);
        }
    }

    let ends = Instant::now().checked_add(remaining(limit));
    let _restore = Restore(ENDS.replace(ends));
    run()
}

/// When this time ends, or the time that was set if that is sooner.
pub(crate) fn end_of(limit: Duration) -> Instant {
    let end = Instant::now() + limit;
    ENDS.get().map_or(end, |ends| ends.min(end))
}

/// What is left of the time that was set; `limit` if that is less, or if none was.
pub(crate) fn remaining(limit: Duration) -> Duration {
    ENDS.get().map_or(limit, |ends| {
        ends.saturating_duration_since(Instant::now()).min(limit)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_lies_within_gets_no_more_time_than_is_left() {
        let (second, hour) = (Duration::from_secs(1), Duration::from_secs(3600));
        assert_eq!(remaining(hour), hour);
        within(second, || {
            assert!(remaining(hour) <= second);
            within(hour, || assert!(remaining(hour) <= second));
            within(Duration::ZERO, || assert!(remaining(hour).is_zero()));
            assert!(remaining(hour) > Duration::ZERO);
        });
        assert_eq!(remaining(hour), hour);
    }

    #[test]
    fn a_panic_leaves_no_time_set() {
        let panicked = std::panic::catch_unwind(|| within(Duration::ZERO, || panic!("within")));
        assert!(panicked.is_err());
        assert_eq!(remaining(Duration::MAX), Duration::MAX);
    }
}
