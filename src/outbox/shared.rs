//! What the threads that bring events and the worker have in common, in one process.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::Sender;
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::time::{Duration, SystemTime};

use super::error::OutboxError;
use super::store::{Purpose, Store};
use super::turn::Turns;
use super::worker::Signal;
use super::{OutboxStats, Setup};
use crate::deadline;
use crate::event::unix_ms;
use crate::message::Message;

/// How long the sums are waited for while others use the file.
const STATS_PATIENCE: Duration = Duration::from_secs(1);

/// How often a flush looks at what other processes have delivered.
const FLUSH_POLL: Duration = Duration::from_millis(50);

/// A worker, as others see it.
pub(super) struct Shared {
    setup: Arc<Setup>,
    /// The connection that takes events; none until it could be opened, and after it failed. Whoever
    /// writes to the file, on whichever connection, has the turn: SQLite's own lock would have one
    /// sleep for it.
    accepting: Turns<Option<Store>>,
    signals: Sender<Signal>,
    /// Whether the worker has been told of something stored that it has not looked for yet.
    is_told: AtomicBool,
    /// Whether events have made the write-ahead log long, and the worker has not copied it yet.
    must_checkpoint: AtomicBool,
    progress: Mutex<Progress>,
    progressed: Condvar,
}

#[derive(Default)]
struct Progress {
    rounds: u64,
    has_stopped: bool,
}

impl Shared {
    pub(super) fn new(setup: Arc<Setup>, signals: Sender<Signal>) -> Shared {
        Shared {
            setup,
            accepting: Turns::new(None),
            signals,
            is_told: AtomicBool::new(false),
            must_checkpoint: AtomicBool::new(false),
            progress: Mutex::default(),
            progressed: Condvar::new(),
        }
    }

    /// Stores a message, and tells the worker.
    pub(super) fn store(&self, message: &Message, limit: Duration) -> Result<(), OutboxError> {
        let now = unix_ms(SystemTime::now());
        self.with_store(limit, |store| {
            store.accept(message.parts(), message.body(), now)?;
            if store.takes_long_log() {
                self.must_checkpoint.store(true, Ordering::Release);
            }
            Ok(())
        })?;
        self.wake();
        Ok(())
    }

    /// The sums.
    pub(super) fn stats(&self) -> Result<OutboxStats, OutboxError> {
        self.with_store(STATS_PATIENCE, Store::stats)
    }

    /// Waits until nothing is pending.
    pub(super) fn flush(&self, timeout: Duration) -> bool {
        deadline::within(timeout, || {
            loop {
                let seen = self.progress().rounds;
                if self.stats().is_ok_and(|stats| stats.pending == 0) {
                    return true;
                }
                let pause = deadline::remaining(FLUSH_POLL);
                if pause.is_zero() {
                    return false;
                }
                let progress = self.progress();
                if progress.rounds == seen {
                    let waited = self.progressed.wait_timeout(progress, pause);
                    drop(waited.unwrap_or_else(PoisonError::into_inner));
                }
            }
        })
    }

    /// Has the worker stop, and waits for it, so long at most. What it is still delivering then it
    /// puts down later, if the process lives on; if not, another one delivers it again.
    pub(super) fn stop(&self, limit: Duration) {
        if self.signals.send(Signal::Stop).is_err() {
            return;
        }
        let stopped = self
            .progressed
            .wait_timeout_while(self.progress(), limit, |progress| !progress.has_stopped);
        drop(stopped.unwrap_or_else(PoisonError::into_inner));
    }

    /// Tells the worker that something is stored.
    pub(super) fn wake(&self) {
        if !self.is_told.swap(true, Ordering::AcqRel) {
            // A worker that has gone is one that was stopped.
            let _ = self.signals.send(Signal::Stored);
        }
    }

    /// The worker is about to look for what is stored.
    pub(super) fn is_woken(&self) {
        self.is_told.store(false, Ordering::Release);
    }

    /// Whether the worker is to copy the write-ahead log, which it does then.
    pub(super) fn takes_checkpoint(&self) -> bool {
        self.must_checkpoint.swap(false, Ordering::AcqRel)
    }

    /// The worker has done a round.
    pub(super) fn progressed(&self) {
        self.progress().rounds += 1;
        self.progressed.notify_all();
    }

    /// The worker has put everything down and ends.
    pub(super) fn stopped(&self) {
        self.progress().has_stopped = true;
        self.progressed.notify_all();
    }

    /// Runs something while nobody else in this process writes; none if its turn does not come.
    pub(super) fn with_turn<T>(&self, limit: Duration, run: impl FnOnce() -> T) -> Option<T> {
        let _turn = self.accepting.take(limit)?;
        Some(run())
    }

    /// The error for a turn that did not come.
    pub(super) fn busy(&self) -> OutboxError {
        OutboxError::new(&self.setup.outbox.path, "its lock was held for too long")
    }

    fn with_store<T>(
        &self,
        limit: Duration,
        run: impl FnOnce(&Store) -> Result<T, OutboxError>,
    ) -> Result<T, OutboxError> {
        deadline::within(limit, || {
            let mut turn = self.accepting.take(limit).ok_or_else(|| self.busy())?;
            let path = &self.setup.outbox.path;
            let store = Store::kept_or_opened(turn.take(), path, Purpose::Accept)?;
            let result = run(&store);
            // A connection that has failed is not trusted again.
            if result.is_ok() {
                *turn = Some(store);
            }
            result
        })
    }

    fn progress(&self) -> std::sync::MutexGuard<'_, Progress> {
        self.progress.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
