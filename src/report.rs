//! What is said to the operator: one line at a time, and whatever the host's own code does.

use std::fmt::Display;
use std::panic::{AssertUnwindSafe, catch_unwind};

use log::Level;

use crate::delivery::Outcome;

/// The target of all that is logged, whatever file it comes from.
const LOG_TARGET: &str = "opteryx_webhooks";

/// Something to log.
pub(crate) type Line = (Level, String);

pub(crate) fn warning(line: String) -> Line {
    (Level::Warn, line)
}

/// Logs a line, whatever the host's logger makes of it.
pub(crate) fn log((level, line): Line) {
    contained(|| log::log!(target: LOG_TARGET, level, "{line}"));
}

/// Logs what came of a message, the failures as warnings. `came` may be an error of the host's own,
/// which writes itself.
pub(crate) fn log_outcome(
    outcome: &Outcome,
    id: impl Display,
    kind: &str,
    destination: &str,
    came: impl Display,
) {
    let level = match outcome {
        Outcome::Failed(_) => Level::Warn,
        _ => Level::Debug,
    };
    if log::log_enabled!(target: LOG_TARGET, level) {
        let kind = kind.escape_debug();
        let line = contained(|| format!("webhook {id} ({kind}) to {destination} {came}"));
        log((
            level,
            line.unwrap_or_else(|| format!("webhook {id}: its reason panics")),
        ));
    }
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
