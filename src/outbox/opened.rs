//! Which process has connections to SQLite open.
//!
//! SQLite keeps a book of the locks that a process has. A child that is forked inherits the book and
//! none of the locks: a file that it opens then it believes locked already, and the next process that
//! closes that file removes the log, with the events that the child has put there. It may also have
//! inherited a mutex that a thread held which it has not. So it must not use SQLite at all, unless
//! everything was closed when it was forked.

use std::process;
use std::sync::atomic::{AtomicU64, Ordering};

/// In the upper half the process, in the lower how many connections it has open.
static OPENED: AtomicU64 = AtomicU64::new(0);

const COUNT: u64 = u32::MAX as u64;

/// That a connection is open, or about to be; to be dropped after it.
pub(super) struct Opened {
    pid: u32,
}

impl Opened {
    /// None in a process that has inherited connections.
    pub(super) fn one_more() -> Option<Opened> {
        let pid = process::id();
        let one_more = |opened: u64| {
            let (holder, count) = (opened & !COUNT, opened & COUNT);
            let here = u64::from(pid) << 32;
            (count == 0 || holder == here).then_some(here | (count + 1))
        };
        OPENED
            .fetch_update(Ordering::AcqRel, Ordering::Acquire, one_more)
            .ok()
            // Not made before it is counted, for dropping it takes it off again.
            .map(|_| Opened { pid })
    }
}

impl Opened {
    /// Whether it is open in this process, and not one that has inherited it.
    pub(super) fn is_here(&self) -> bool {
        self.pid == process::id()
    }
}

impl Drop for Opened {
    fn drop(&mut self) {
        // A child that has inherited it has nothing to close.
        if self.is_here() {
            OPENED.fetch_sub(1, Ordering::AcqRel);
        }
    }
}
