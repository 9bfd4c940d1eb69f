//! An outbox's file, as an operator sees it.

use std::path::Path;
use std::time::SystemTime;

use rusqlite::{Row, Transaction, params};
use serde::Serialize;

use super::OutboxStats;
use super::error::OutboxError;
use super::history::History;
use super::store::{CHUNK, Purpose, Store};

/// The file of an outbox, to look at what is in it and to send it again.
///
/// It may be open in a running service at the same time: what is asked for here is done by that
/// service, within a second. Nothing is delivered by this.
///
/// ```no_run
/// use opteryx_webhooks::outbox::{OutboxFile, State};
///
/// let mut file = OutboxFile::open("/var/lib/catalog/webhooks.db")?;
/// for message in file.messages(Some(State::Dead), 100)? {
///     println!("{} {}: {}", message.id, message.event_type, message.last_error.unwrap_or_default());
/// }
/// file.redeliver_dead()?;
/// # Ok::<(), opteryx_webhooks::outbox::OutboxError>(())
/// ```
pub struct OutboxFile(Store);

/// What has become of a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum State {
    /// It waits for its turn or for its next attempt, or is being delivered.
    Pending,
    /// The receiver, or a queue, has taken it.
    Delivered,
    /// It will not be attempted again, unless somebody asks for it.
    Dead,
}

/// A message in an outbox. Times are Unix milliseconds.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct StoredMessage {
    /// Its id, the header `webhook-id`.
    pub id: String,
    /// What happened to what: `app.opteryx.<resource_type>.<action>`, the header `ce-type`.
    pub event_type: String,
    /// `/workspaces/<workspace>`, the header `ce-source`.
    pub source: String,
    /// `<collection>/<name>`, the header `ce-subject`; empty where there is none.
    pub subject: String,
    /// What has become of it.
    pub state: State,
    /// When `notify` stored it.
    pub accepted_at: i64,
    /// How many attempts have been made.
    pub attempts: u64,
    /// While it is pending, the time before which there is no attempt. One that waits for an earlier
    /// one of the same resource may be due and yet not be next.
    pub due_at: Option<i64>,
    /// Whether a worker is delivering it.
    pub is_claimed: bool,
    /// When it was delivered, or became a dead letter.
    pub settled_at: Option<i64>,
    /// Why the last attempt failed.
    pub last_error: Option<String>,
}

/// An attempt to deliver a message.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct StoredAttempt {
    /// 1 is the message's first.
    pub number: u64,
    /// When it began, in Unix milliseconds.
    pub at: i64,
    /// How long it took, in milliseconds.
    pub duration_ms: u64,
    /// The status of the receiver's answer, if there was one.
    pub status: Option<u16>,
    /// Why it failed; none is success.
    pub error: Option<String>,
    /// The first KiB of the receiver's answer, or the name of the task that a queue took.
    pub answer: Option<String>,
}

/// Dead letters, but not what has died since: a receiver that refuses would keep this going for ever.
const DEAD_BY: &str = "SELECT seq FROM webhook_message
    WHERE state = 'dead' AND settled_at <= ?1 ORDER BY settled_at, seq LIMIT ?2";

const MESSAGE: &str = "SELECT id, type, source, subject, state, accepted_at, attempts, due_at, \
                       claimed_by IS NOT NULL, settled_at, last_error FROM webhook_message";

impl OutboxFile {
    /// Opens a file that is there.
    ///
    /// # Errors
    ///
    /// Where there is no such file, or it is no outbox, or cannot be read and written.
    pub fn open(path: impl AsRef<Path>) -> Result<OutboxFile, OutboxError> {
        let path = path.as_ref();
        if !path.exists() {
            return Err(OutboxError::new(path, "there is no such file"));
        }
        Store::open(path, Purpose::Inspect).map(OutboxFile)
    }

    /// The sums.
    ///
    /// # Errors
    ///
    /// Where the file cannot be read.
    pub fn stats(&self) -> Result<OutboxStats, OutboxError> {
        self.0.stats()
    }

    /// The messages in this state, or all, newest first, so many at most.
    ///
    /// # Errors
    ///
    /// Where the file cannot be read.
    pub fn messages(
        &self,
        state: Option<State>,
        limit: usize,
    ) -> Result<Vec<StoredMessage>, OutboxError> {
        let sql = match state {
            Some(state) => {
                format!(
                    "{MESSAGE} WHERE state = '{}' ORDER BY seq DESC LIMIT ?1",
                    state.as_str()
                )
            }
            None => format!("{MESSAGE} ORDER BY seq DESC LIMIT ?1"),
        };
        let limit = i64::try_from(limit).unwrap_or(i64::MAX);
        self.0.ask(|connection| {
            connection
                .prepare(&sql)?
                .query_map([limit], message)?
                .collect()
        })
    }

    /// The message with this id.
    ///
    /// # Errors
    ///
    /// Where the file cannot be read.
    pub fn message(&self, id: &str) -> Result<Option<StoredMessage>, OutboxError> {
        self.0.ask(|connection| {
            connection
                .prepare(&format!("{MESSAGE} WHERE id = ?1"))?
                .query_map([id], message)?
                .next()
                .transpose()
        })
    }

    /// A message's body: the JSON that is sent, byte for byte.
    ///
    /// # Errors
    ///
    /// Where the file cannot be read.
    pub fn body(&self, id: &str) -> Result<Option<Vec<u8>>, OutboxError> {
        self.0.ask(|connection| {
            connection
                .prepare("SELECT body FROM webhook_message WHERE id = ?1")?
                .query_map([id], |row| Ok(row.get_ref(0)?.as_bytes()?.to_vec()))?
                .next()
                .transpose()
        })
    }

    /// The attempts to deliver a message that are still remembered, oldest first.
    ///
    /// # Errors
    ///
    /// Where the file cannot be read.
    pub fn attempts(&self, id: &str) -> Result<Vec<StoredAttempt>, OutboxError> {
        let attempt = |row: &Row<'_>| {
            Ok(StoredAttempt {
                number: row.get(0)?,
                at: row.get(1)?,
                duration_ms: row.get(2)?,
                status: row.get(3)?,
                error: row.get(4)?,
                answer: row.get(5)?,
            })
        };
        self.0.ask(|connection| {
            connection
                .prepare(
                    "SELECT number, at, duration_ms, status, error, answer FROM webhook_attempt
                     WHERE message = (SELECT seq FROM webhook_message WHERE id = ?1)
                     ORDER BY seq",
                )?
                .query_map([id], attempt)?
                .collect()
        })
    }

    /// Has a message attempted now, with all its retries anew: a dead letter, one that was delivered
    /// already, or one that waits for its next attempt. Says whether there is such a message.
    ///
    /// One that is being delivered at this moment is left alone.
    ///
    /// # Errors
    ///
    /// Where the file cannot be written.
    pub fn redeliver(&mut self, id: &str) -> Result<bool, OutboxError> {
        let now = now();
        self.0.write(|transaction| {
            let seq = transaction
                .prepare("SELECT seq FROM webhook_message WHERE id = ?1")?
                .query_map([id], |row| row.get(0))?
                .next()
                .transpose()?;
            seq.map_or(Ok(false), |seq| {
                make_due(transaction, seq, now)?;
                Ok(true)
            })
        })
    }

    /// Has every dead letter attempted now, with all its retries anew; a few at a time, so that no
    /// event waits for it. Says how many there were.
    ///
    /// # Errors
    ///
    /// Where the file cannot be written.
    pub fn redeliver_dead(&mut self) -> Result<u64, OutboxError> {
        let now = now();
        self.each_dead(now, |transaction, seq| make_due(transaction, seq, now))
    }

    /// Forgets attempts that need not be kept, and with its last attempt each delivered message; a
    /// few at a time, so that no event waits for it. Says how many attempts were forgotten.
    ///
    /// # Errors
    ///
    /// Where the file cannot be written.
    pub fn prune(&mut self, history: &History) -> Result<u64, OutboxError> {
        let mut forgotten = 0;
        loop {
            match history.forget_some(&mut self.0, now())? {
                0 => return Ok(forgotten),
                some => forgotten += some,
            }
        }
    }

    /// Forgets the dead letters, and says how many there were; the sums still count them. A few at a
    /// time, so that no event waits for it.
    ///
    /// # Errors
    ///
    /// Where the file cannot be written.
    pub fn forget_dead(&mut self) -> Result<u64, OutboxError> {
        self.each_dead(now(), |transaction, seq| {
            for sql in [
                "DELETE FROM webhook_attempt WHERE message = ?1",
                "DELETE FROM webhook_message WHERE seq = ?1",
            ] {
                transaction.prepare_cached(sql)?.execute([seq])?;
            }
            Ok(())
        })
    }

    /// Does something to every letter that is dead by now, which it then no longer is; a few in each
    /// transaction. Says how many there were.
    fn each_dead(
        &mut self,
        now: i64,
        act: impl Fn(&Transaction<'_>, i64) -> rusqlite::Result<()>,
    ) -> Result<u64, OutboxError> {
        let mut done = 0;
        loop {
            let some = self.0.write(|transaction| {
                let dead: Vec<i64> = transaction
                    .prepare_cached(DEAD_BY)?
                    .query_map(params![now, CHUNK], |row| row.get(0))?
                    .collect::<Result<_, _>>()?;
                for seq in &dead {
                    act(transaction, *seq)?;
                }
                Ok(dead.len() as u64)
            })?;
            if some == 0 {
                return Ok(done);
            }
            done += some;
        }
    }
}

/// Has a message attempted now, unless it is being delivered.
pub(super) fn make_due(transaction: &Transaction<'_>, seq: i64, now: i64) -> rusqlite::Result<()> {
    transaction
        .prepare_cached(
            "UPDATE webhook_message SET
                 state = 'pending', due_at = ?2, failures = 0, settled_at = NULL,
                 is_first = is_first OR NOT EXISTS (
                     SELECT 1 FROM webhook_message AS other
                     WHERE other.source = webhook_message.source
                         AND other.subject = webhook_message.subject
                         AND other.state = 'pending')
             WHERE seq = ?1 AND claimed_by IS NULL",
        )?
        .execute([seq, now])
        .map(drop)
}

impl State {
    /// As it stands in the file: `pending`, `delivered` or `dead`.
    pub fn as_str(self) -> &'static str {
        match self {
            State::Pending => "pending",
            State::Delivered => "delivered",
            State::Dead => "dead",
        }
    }
}

fn message(row: &Row<'_>) -> rusqlite::Result<StoredMessage> {
    Ok(StoredMessage {
        id: row.get(0)?,
        event_type: row.get(1)?,
        source: row.get(2)?,
        subject: row.get(3)?,
        state: match row.get_ref(4)?.as_str()? {
            "delivered" => State::Delivered,
            "dead" => State::Dead,
            _ => State::Pending,
        },
        accepted_at: row.get(5)?,
        attempts: row.get(6)?,
        due_at: row.get(7)?,
        is_claimed: row.get(8)?,
        settled_at: row.get(9)?,
        last_error: row.get(10)?,
    })
}

fn now() -> i64 {
    crate::event::unix_ms(SystemTime::now())
}
