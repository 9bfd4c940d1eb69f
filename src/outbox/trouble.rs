//! What keeps an outbox from being used, said once for as long as it lasts.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};

use log::Level;

use super::error::OutboxError;
use crate::report::log;

/// How many reasons of one trouble are said.
const MAX_REASONS: usize = 8;

/// Whether there is trouble, and which.
#[derive(Default)]
pub(super) struct Trouble {
    /// Whether there are `reasons`: so that where all is well, no lock is taken.
    is_there: AtomicBool,
    /// What was said. Threads may meet the same trouble as this and as that, again and again.
    reasons: Mutex<Vec<String>>,
}

impl Trouble {
    pub(super) fn is_there(&self) -> bool {
        self.is_there.load(Ordering::Relaxed)
    }

    /// Something went wrong. It is logged unless it has been since all was well.
    pub(super) fn began(&self, error: &OutboxError, consequence: &str) {
        let reason = format!("{error:#}");
        let is_new = {
            let mut known = self.reasons.lock().unwrap_or_else(PoisonError::into_inner);
            self.is_there.store(true, Ordering::Relaxed);
            let is_new = known.len() < MAX_REASONS && !known.contains(&reason);
            if is_new {
                known.push(reason.clone());
            }
            is_new
        };
        // Not while the lock is held: the logger may itself have something to announce.
        if is_new {
            log((Level::Error, format!("{reason}; {consequence}")));
        }
    }

    /// All is well.
    pub(super) fn ended(&self, relief: impl FnOnce() -> String) {
        if !self.is_there() {
            return;
        }
        let was_there = {
            let mut known = self.reasons.lock().unwrap_or_else(PoisonError::into_inner);
            self.is_there.store(false, Ordering::Relaxed);
            !std::mem::take(&mut *known).is_empty()
        };
        if was_there {
            log((Level::Warn, relief()));
        }
    }
}
