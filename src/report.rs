//! What is said to the operator: one line at a time, and whatever the host's own code does.

use std::panic::{AssertUnwindSafe, catch_unwind};

use log::Level;

/// The target of all that is logged, whatever file it comes from.
pub(crate) const LOG_TARGET: &str = "opteryx_webhooks";

/// Something to log.
pub(crate) type Line = (Level, String);

pub(crate) fn warning(line: String) -> Line {
    (Level::Warn, line)
}

/// Logs a line, whatever the host's logger makes of it.
pub(crate) fn log((level, line): Line) {
    contained(|| log::log!(target: LOG_TARGET, level, "{line}"));
}

/// Runs what may be the host's own code, and keeps a panic in it from the host.
pub(crate) fn contained<T>(run: impl FnOnce() -> T) -> Option<T> {
    match catch_unwind(AssertUnwindSafe(run)) {
        Ok(value) => Some(value),
        Err(payload) => {
            // Dropping it could panic once more.
            std::mem::forget(payload);
            None
        }
    }
}
