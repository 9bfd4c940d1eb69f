//! What becomes of an event that was stored in an outbox.

use std::fmt;
use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};

use opteryx_webhooks::outbox::{OutboxError, OutboxFile, State};
use serde::Serialize;

/// How often the file is looked at.
const POLL: Duration = Duration::from_millis(20);

/// What has become of it by the end of its first attempt.
#[derive(Serialize)]
pub(crate) struct Stored {
    state: State,
    attempts: u64,
    /// The status of the receiver's answer, if there was one.
    status: Option<u16>,
    last_error: Option<String>,
}

impl Stored {
    /// Waits for the first attempt to end, as long as one may take and a little longer.
    pub(crate) fn wait(path: &Path, id: &str, timeout: Duration) -> Result<Stored, OutboxError> {
        let started = Instant::now();
        let file = OutboxFile::open(path)?;
        loop {
            let message = file.message(id)?;
            let is_over = started.elapsed() > timeout + Duration::from_secs(1);
            if let Some(message) = message.filter(|message| message.attempts > 0 || is_over) {
                let attempts = file.attempts(id)?;
                return Ok(Stored {
                    state: message.state,
                    attempts: message.attempts,
                    status: attempts.last().and_then(|attempt| attempt.status),
                    last_error: message.last_error,
                });
            }
            if is_over {
                return Ok(Stored {
                    state: State::Pending,
                    attempts: 0,
                    status: None,
                    last_error: None,
                });
            }
            thread::sleep(POLL);
        }
    }

    /// Whether nothing has gone wrong so far.
    pub(crate) fn is_well(&self) -> bool {
        self.last_error.is_none()
    }
}

impl fmt::Display for Stored {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (&self.last_error, self.state, self.status) {
            (Some(error), State::Dead, _) => write!(f, "it is a dead letter: {error}"),
            (Some(error), ..) => write!(f, "the first attempt failed, others follow: {error}"),
            (None, State::Delivered, Some(status)) => {
                write!(f, "it was delivered: the receiver answered {status}")
            }
            (None, State::Delivered, None) => f.write_str("it was taken by the queue"),
            (None, ..) => f.write_str("it waits for its turn; `outbox list` shows behind what"),
        }
    }
}
