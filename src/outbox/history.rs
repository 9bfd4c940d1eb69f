//! How long attempts are remembered.

use std::str::FromStr;
use std::time::Duration;

use rusqlite::params;

use super::error::OutboxError;
use super::retry::MAX_DELAY;
use super::store::{CHUNK, Store};
use crate::value::{duration, entries};

/// How long an attempt is remembered, unless `OPTERYX_WEBHOOK_HISTORY` says otherwise.
const DEFAULT_AGE: Duration = Duration::from_secs(30 * 24 * 60 * 60);

/// How many attempts are remembered, unless it says otherwise.
const DEFAULT_ATTEMPTS: u64 = 100_000;

/// What is kept of attempts that have been made: those that are neither too old nor too many.
///
/// A delivered message is forgotten with its last attempt; pending ones and dead letters are kept.
/// The sums still count what has been forgotten.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct History {
    /// How old an attempt may be: 30 days by default.
    pub age: Duration,
    /// How many attempts there may be: 100,000 by default.
    pub attempts: u64,
}

impl Default for History {
    fn default() -> History {
        History {
            age: DEFAULT_AGE,
            attempts: DEFAULT_ATTEMPTS,
        }
    }
}

/// An age such as `30d`, a number of attempts such as `100000`, or both, separated by spaces or commas;
/// what is not there is as by default. The error says what would be right.
impl FromStr for History {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<History, &'static str> {
        const FORM: &str = "must be an age such as `30d`, a number of attempts such as `100000`, or \
                            both, separated by a space";

        let (mut age, mut attempts) = (None, None);
        for part in entries(text) {
            let is_new = if let Some(parsed) = duration(part) {
                age.replace(parsed).is_none()
            } else if part.bytes().all(|byte| byte.is_ascii_digit()) {
                let parsed = part.parse().map_err(|_| FORM)?;
                attempts.replace(parsed).is_none()
            } else {
                false
            };
            if !is_new {
                return Err(FORM);
            }
        }
        if age.is_none() && attempts.is_none() {
            return Err(FORM);
        }
        let default = History::default();
        Ok(History {
            age: age.unwrap_or(default.age),
            attempts: attempts.unwrap_or(default.attempts),
        })
    }
}

impl History {
    /// Forgets a few of the oldest attempts that need not be kept, and says how many: none once all
    /// are gone. `now` is in Unix milliseconds.
    pub(super) fn forget_some(&self, store: &mut Store, now: i64) -> Result<u64, OutboxError> {
        let age = i64::try_from(self.age.as_millis()).unwrap_or(i64::MAX);
        let kept = i64::try_from(self.attempts).unwrap_or(i64::MAX);
        // Attempts are numbered without gaps, and forgotten from the lowest number on.
        let forgotten: Vec<i64> = store.ask(|connection| {
            connection
                .prepare_cached(
                    "SELECT seq FROM (SELECT seq, at FROM webhook_attempt ORDER BY seq LIMIT ?3)
                     WHERE at < ?1 OR seq <= (SELECT max(seq) FROM webhook_attempt) - ?2",
                )?
                .query_map(params![now.saturating_sub(age), kept, CHUNK], |row| {
                    row.get(0)
                })?
                .collect()
        })?;
        if forgotten.is_empty() {
            return Ok(0);
        }
        store.write(|transaction| {
            for seq in &forgotten {
                let message: Option<i64> = {
                    let mut statement = transaction.prepare_cached(
                        "DELETE FROM webhook_attempt WHERE seq = ?1 RETURNING message",
                    )?;
                    let mut rows = statement.query([seq])?;
                    rows.next()?.map(|row| row.get(0)).transpose()?
                };
                transaction
                    .prepare_cached(
                        "DELETE FROM webhook_message WHERE seq = ?1 AND state = 'delivered'
                             AND NOT EXISTS (SELECT 1 FROM webhook_attempt WHERE message = ?1)",
                    )?
                    .execute([message])?;
            }
            Ok(forgotten.len() as u64)
        })
    }
}

/// The latest moment at which anything can rightly be due, in Unix milliseconds.
pub(super) fn latest_due(now: i64) -> i64 {
    // With its jitter, and some more.
    let longest = MAX_DELAY.as_millis().saturating_mul(2);
    now.saturating_add(i64::try_from(longest).unwrap_or(i64::MAX))
}
