//! The file: what is written to it and read from it, each step in one transaction.
//!
//! It knows SQLite and nothing of time or the network: the hour is given, and who waits for a lock
//! waits as long as its thread has time.

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use rusqlite::hooks::Wal;
use rusqlite::types::{ToSqlOutput, ValueRef};
use rusqlite::{
    CachedStatement, Connection, OpenFlags, OptionalExtension, Row, ToSql, Transaction,
    TransactionBehavior, params,
};

use super::OutboxStats;
use super::error::OutboxError;
use super::opened::Opened;
use super::rate::Rate;
use crate::deadline;
use crate::message::Parts;

/// The version of the tables that this crate writes.
const VERSION: i64 = 1;

/// The tables, as they are made in an empty file.
const SCHEMA: &str = include_str!("schema.sql");

/// How many statements are kept prepared: all that there are.
const STATEMENTS: usize = 32;

/// How many rows one transaction goes through where there may be very many: few enough that no event
/// waits for it.
pub(super) const CHUNK: i64 = 200;

/// How many pages the write-ahead log may have before an event itself has to copy them into the
/// file. The worker, which sees to it at a tenth of that, spares it the wait.
const CHECKPOINT_OF_EVENTS: usize = 10_000;

/// How many pages the write-ahead log may have before the worker copies them into the file:
/// SQLite's own default. A log that starts over is faster to write than one that grows.
const CHECKPOINT_OF_WORKER: usize = 1_000;

/// The size of a new file's pages, in bytes. An event changes six of them, and each goes to the disk as a
/// whole: half of SQLite's own size is a tenth less time, and still takes most bodies in one.
const PAGE_SIZE: i64 = 2048;

/// The longest pause before a lock that another process holds is asked for again.
const MAX_LOCK_PAUSE: Duration = Duration::from_millis(5);

/// How long is waited for such a lock where nothing else is set.
const LOCK_PATIENCE: Duration = Duration::from_secs(5);

/// What a connection to the file is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Purpose {
    /// Taking events: what was committed has reached the disk.
    Accept,
    /// Delivering them: what was committed reaches the disk some time. A power cut may undo it, and
    /// has a message delivered once more; nothing is lost.
    Deliver,
    /// Looking at what is there already.
    Inspect,
}

/// A connection to the file.
pub(super) struct Store {
    path: PathBuf,
    identity: Identity,
    connection: Option<Connection>,
    /// Whether the log has become longer by as much as the worker is to copy.
    is_log_long: Arc<AtomicBool>,
    /// After the connection, so that it is dropped after it.
    opened: Opened,
}

/// A message that this worker, and no other, is to deliver.
#[derive(Debug)]
pub(super) struct Claim {
    pub(super) seq: i64,
    pub(super) id: String,
    pub(super) event_type: String,
    pub(super) source: String,
    pub(super) subject: String,
    pub(super) time: Option<String>,
    /// How many attempts have failed so far since it was accepted or redelivered.
    pub(super) failures: u32,
    pub(super) body: Vec<u8>,
}

/// An attempt that has been made.
#[derive(Debug)]
pub(super) struct Attempt {
    pub(super) seq: i64,
    /// When it began, in Unix milliseconds.
    pub(super) at: i64,
    pub(super) duration: Duration,
    pub(super) status: Option<u16>,
    pub(super) error: Option<String>,
    pub(super) answer: Option<String>,
    pub(super) next: Next,
}

/// What becomes of a message after an attempt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Next {
    Delivered,
    /// Not before this time, in Unix milliseconds.
    Again(i64),
    Dead,
}

/// What a worker asks of the file at once.
pub(super) struct Round<'a> {
    pub(super) worker: &'a str,
    /// Unix microseconds.
    pub(super) now: i64,
    /// How long a claim lasts unless it is renewed.
    pub(super) lease: Duration,
    pub(super) attempts: &'a [Attempt],
    /// What is still on its way, whose claims are renewed.
    pub(super) underway: &'a [i64],
    /// How many messages it could deliver now.
    pub(super) wanted: usize,
    pub(super) rate: Option<Rate>,
}

/// What it gets.
#[derive(Debug, Default)]
pub(super) struct Granted {
    pub(super) claims: Vec<Claim>,
    /// When the rate allows more, in Unix microseconds, if it was the rate that kept some back.
    pub(super) next_slot: Option<i64>,
}

impl Store {
    /// Opens the file, and makes it if it is not there, unless it is only to be inspected.
    pub(super) fn open(path: &Path, purpose: Purpose) -> Result<Store, OutboxError> {
        deadline::within(LOCK_PATIENCE, || {
            loop {
                // Where two connections make the log at once, SQLite refuses one of them without
                // asking whether it would wait.
                match Store::open_once(path, purpose) {
                    Err(error)
                        if error.is_busy() && !deadline::remaining(LOCK_PATIENCE).is_zero() =>
                    {
                        thread::sleep(MAX_LOCK_PAUSE);
                    }
                    result => return result,
                }
            }
        })
    }

    /// The one that was kept, if it still leads to the file; if not, another.
    pub(super) fn kept_or_opened(
        kept: Option<Store>,
        path: &Path,
        purpose: Purpose,
    ) -> Result<Store, OutboxError> {
        match kept {
            Some(store) if store.is_in_place() => Ok(store),
            _ => Store::open(path, purpose),
        }
    }

    fn open_once(path: &Path, purpose: Purpose) -> Result<Store, OutboxError> {
        let identity = match purpose {
            Purpose::Inspect => existing(path),
            Purpose::Accept | Purpose::Deliver => made(path),
        }
        .map_err(|error| OutboxError::io(path, error))?;
        let opened = Opened::one_more().ok_or_else(|| OutboxError::inherited(path))?;
        let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let mut connection = Connection::open_with_flags(path, flags)
            .map_err(|error| OutboxError::sqlite(path, error))?;
        connection
            .busy_handler(Some(wait_for_lock))
            .map_err(|error| OutboxError::sqlite(path, error))?;
        let mut store = Store {
            path: path.to_owned(),
            identity,
            connection: Some(connection),
            is_log_long: Arc::default(),
            opened,
        };
        store.ask(|connection| {
            connection.set_prepared_statement_cache_capacity(STATEMENTS);
            let mode: String =
                connection.pragma_query_value(None, "journal_mode", |row| row.get(0))?;
            // What is only to be looked at may be no outbox at all.
            if mode != "wal" && purpose != Purpose::Inspect {
                // Of no effect on a file with something in it.
                connection.pragma_update(None, "page_size", PAGE_SIZE)?;
                connection.pragma_update_and_check(None, "journal_mode", "wal", |_| Ok(()))?;
            }
            let synchronous = match purpose {
                Purpose::Accept => "full",
                Purpose::Deliver | Purpose::Inspect => "normal",
            };
            connection.pragma_update(None, "synchronous", synchronous)
        })?;
        store.migrate(purpose)?;
        if purpose != Purpose::Inspect {
            store.watch_log()?;
        }
        Ok(store)
    }

    /// Has the worker copy the log, in place of SQLite's own checkpoints, for which whoever commits at
    /// that moment would wait.
    fn watch_log(&mut self) -> Result<(), OutboxError> {
        let is_long = Arc::clone(&self.is_log_long);
        let Some(connection) = &mut self.connection else {
            return Err(self.closed());
        };
        let mut next = CHECKPOINT_OF_WORKER;
        connection
            .wal_hook(Some(move |log: &mut Wal, pages| {
                let pages = usize::try_from(pages).unwrap_or(0);
                if pages < CHECKPOINT_OF_WORKER {
                    next = CHECKPOINT_OF_WORKER;
                } else if pages >= next {
                    // Where a reader keeps the log from starting over, not at every commit.
                    next = pages + CHECKPOINT_OF_WORKER;
                    is_long.store(true, Ordering::Relaxed);
                    if pages >= CHECKPOINT_OF_EVENTS {
                        // What is committed is safe already; what cannot be copied is another time.
                        let _ = log.checkpoint();
                    }
                }
                Ok(())
            }))
            .map_err(|error| OutboxError::sqlite(&self.path, error))
    }

    /// Whether it is the worker's turn to copy the log; once for each time that it is.
    pub(super) fn takes_long_log(&self) -> bool {
        self.is_log_long.swap(false, Ordering::Relaxed)
    }

    /// Copies the log's pages into the file, as far as nobody reads them; events go on meanwhile. If
    /// that is all of them, the log starts over.
    pub(super) fn checkpoint(&self) {
        // As by SQLite's own: what is committed is safe in the log, and the next one may succeed.
        let _ = self.ask(|connection| {
            connection.query_row("PRAGMA wal_checkpoint(PASSIVE)", [], |_| Ok(()))
        });
    }

    /// Brings the tables to the version of this crate.
    fn migrate(&mut self, purpose: Purpose) -> Result<(), OutboxError> {
        let mut found = self.ask(version)?;
        if found.is_none() && purpose != Purpose::Inspect {
            found = self.write(|transaction| {
                // Another process may have been first.
                if version(transaction)?.is_none() {
                    transaction.execute_batch(SCHEMA)?;
                }
                version(transaction)
            })?;
        }
        match found {
            Some(VERSION) => Ok(()),
            None => Err(OutboxError::new(&self.path, "it has no outbox in it")),
            Some(_) => Err(OutboxError::new(
                &self.path,
                "a newer version of opteryx-webhooks has made it; use that version",
            )),
        }
    }

    /// Takes a message: once this returns it is on the disk.
    ///
    /// One that is there already is left as it is.
    pub(super) fn accept(
        &self,
        parts: Parts<'_>,
        body: &[u8],
        now: i64,
    ) -> Result<(), OutboxError> {
        self.ask(|connection| accept(connection, parts, body, now))
    }

    /// Whether the path still leads to the file that was opened, and not to nothing or another one:
    /// what is then written is in no folder any more, and lost when this process ends.
    fn is_in_place(&self) -> bool {
        existing(&self.path).is_ok_and(|identity| identity == self.identity)
    }

    /// Puts a worker's attempts down, renews its claims and gives it more, at once.
    pub(super) fn round(&mut self, round: &Round<'_>) -> Result<Granted, OutboxError> {
        self.write(|transaction| {
            for attempt in round.attempts {
                record(transaction, attempt, round)?;
            }
            let ends =
                milliseconds(round.now) + i64::try_from(round.lease.as_millis()).unwrap_or(0);
            for seq in round.underway {
                transaction
                    .prepare_cached(
                        "UPDATE webhook_message SET due_at = ?1 WHERE seq = ?2 AND claimed_by = ?3",
                    )?
                    .execute(params![ends, seq, round.worker])?;
            }
            claim(transaction, round, ends)
        })
    }

    /// When the next message is due, in Unix milliseconds.
    pub(super) fn next_due(&self) -> Result<Option<i64>, OutboxError> {
        self.ask(|connection| {
            connection
                .prepare_cached("SELECT min(due_at) FROM webhook_message WHERE is_first = 1")?
                .query_row([], |row| row.get(0))
        })
    }

    /// Puts right what a clock that was wrong has put too far into the future.
    pub(super) fn forgive_the_clock(&mut self, now: i64, latest: i64) -> Result<(), OutboxError> {
        self.write(|transaction| {
            transaction
                .prepare_cached(
                    "UPDATE webhook_message SET due_at = ?1 WHERE is_first = 1 AND due_at > ?2",
                )?
                .execute(params![now, latest])
                .map(drop)
        })
    }

    /// The sums.
    pub(super) fn stats(&self) -> Result<OutboxStats, OutboxError> {
        self.ask(|connection| {
            connection
                .prepare_cached("SELECT accepted, delivered, pending, dead FROM webhook_outbox")?
                .query_row([], |row| {
                    Ok(OutboxStats {
                        accepted: row.get(0)?,
                        delivered: row.get(1)?,
                        pending: row.get(2)?,
                        dead: row.get(3)?,
                    })
                })
        })
    }

    /// Runs something that reads, or is one statement.
    pub(super) fn ask<T>(
        &self,
        run: impl FnOnce(&Connection) -> rusqlite::Result<T>,
    ) -> Result<T, OutboxError> {
        let connection = self.connection.as_ref().ok_or_else(|| self.closed())?;
        run(connection).map_err(|error| OutboxError::sqlite(&self.path, error))
    }

    /// Runs something that writes, all of it or nothing.
    pub(super) fn write<T>(
        &mut self,
        run: impl FnOnce(&Transaction<'_>) -> rusqlite::Result<T>,
    ) -> Result<T, OutboxError> {
        let Some(connection) = &mut self.connection else {
            return Err(self.closed());
        };
        connection
            .transaction_with_behavior(TransactionBehavior::Immediate)
            .and_then(|transaction| {
                let value = run(&transaction)?;
                transaction.commit()?;
                Ok(value)
            })
            .map_err(|error| OutboxError::sqlite(&self.path, error))
    }

    fn closed(&self) -> OutboxError {
        OutboxError::new(&self.path, "it has been closed")
    }
}

impl Drop for Store {
    fn drop(&mut self) {
        // SQLite's connections must not be used, nor closed, in a child that was forked.
        if !self.opened.is_here() {
            std::mem::forget(self.connection.take());
        }
    }
}

/// Asked by SQLite whether to wait on for a lock that another connection holds, the n-th time.
fn wait_for_lock(asked: i32) -> bool {
    let left = deadline::remaining(LOCK_PATIENCE);
    // Without a time of the thread's own, the patience is counted in pauses.
    if left.is_zero() || u128::from(asked.unsigned_abs()) * 5 > LOCK_PATIENCE.as_millis() {
        return false;
    }
    // Whoever holds it is most likely about to let go.
    let pause = Duration::from_micros(50) * asked.unsigned_abs().saturating_add(1);
    thread::sleep(pause.min(MAX_LOCK_PAUSE).min(left));
    true
}

/// Inserts a message.
pub(super) fn accept(
    connection: &Connection,
    parts: Parts<'_>,
    body: &[u8],
    now: i64,
) -> rusqlite::Result<()> {
    connection
        .prepare_cached(
            "INSERT INTO webhook_message
                 (id, type, source, subject, time, accepted_at, due_at, is_first, body)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?6, NOT EXISTS (
                 SELECT 1 FROM webhook_message
                 WHERE source = ?3 AND subject = ?4 AND state = 'pending'
             ), ?7)
             ON CONFLICT (id) DO NOTHING",
        )?
        .execute(params![
            parts.id,
            parts.event_type,
            parts.source,
            parts.subject.unwrap_or_default(),
            parts.time,
            now,
            Text(body),
        ])
        .map(drop)
}

/// JSON, which is always UTF-8, without a copy.
struct Text<'a>(&'a [u8]);

impl ToSql for Text<'_> {
    fn to_sql(&self) -> rusqlite::Result<ToSqlOutput<'_>> {
        Ok(ToSqlOutput::Borrowed(ValueRef::Text(self.0)))
    }
}

/// The version of the tables; none where there are none.
fn version(connection: &Connection) -> rusqlite::Result<Option<i64>> {
    let exists = "SELECT 1 FROM sqlite_schema WHERE type = 'table' AND name = 'webhook_outbox'";
    if connection
        .query_row(exists, [], |_| Ok(()))
        .optional()?
        .is_none()
    {
        return Ok(None);
    }
    connection
        .query_row("SELECT version FROM webhook_outbox", [], |row| row.get(0))
        .optional()
}

fn record(
    transaction: &Transaction<'_>,
    attempt: &Attempt,
    round: &Round<'_>,
) -> rusqlite::Result<()> {
    transaction
        .prepare_cached(
            "INSERT INTO webhook_attempt (message, number, at, duration_ms, status, error, answer)
             SELECT seq, attempts + 1, ?2, ?3, ?4, ?5, ?6 FROM webhook_message WHERE seq = ?1",
        )?
        .execute(params![
            attempt.seq,
            attempt.at,
            i64::try_from(attempt.duration.as_millis()).unwrap_or(i64::MAX),
            attempt.status,
            attempt.error,
            attempt.answer,
        ])?;
    let (state, due_at) = match attempt.next {
        Next::Delivered => ("delivered", None),
        Next::Again(due_at) => ("pending", Some(due_at)),
        Next::Dead => ("dead", None),
    };
    let is_settled = due_at.is_none();
    let is_failed = attempt.next != Next::Delivered;
    let is_ours = transaction
        .prepare_cached(
            "UPDATE webhook_message SET
                 state = ?3, due_at = ?4, is_first = ?5, claimed_by = NULL, settled_at = ?6,
                 attempts = attempts + 1, failures = failures + ?7, last_error = ?8
             WHERE seq = ?1 AND claimed_by = ?2",
        )?
        .execute(params![
            attempt.seq,
            round.worker,
            state,
            due_at,
            !is_settled,
            is_settled.then(|| milliseconds(round.now)),
            is_failed,
            attempt.error,
        ])?
        > 0;
    if !is_ours {
        // The claim ran out and another worker has it, or has already settled it. That the attempt
        // was made is true all the same.
        transaction
            .prepare_cached("UPDATE webhook_message SET attempts = attempts + 1 WHERE seq = ?1")?
            .execute([attempt.seq])?;
    } else if is_settled {
        // It has not been attempted, and waits for nothing else: unless the clock was ahead when it came.
        transaction
            .prepare_cached(
                "UPDATE webhook_message SET is_first = 1, due_at = min(due_at, ?2) WHERE seq = (
                     SELECT min(next.seq) FROM webhook_message AS next, webhook_message AS this
                     WHERE this.seq = ?1 AND next.state = 'pending'
                         AND next.source = this.source AND next.subject = this.subject
                 )",
            )?
            .execute([attempt.seq, milliseconds(round.now)])?;
    }
    Ok(())
}

fn claim(transaction: &Transaction<'_>, round: &Round<'_>, ends: i64) -> rusqlite::Result<Granted> {
    /// Whose turn it is; not what this worker has under way, though it may have lost the claim. But a
    /// claim of its own that it has not under way is one of a round that was taken for failed.
    const DUE: &str = "SELECT seq FROM webhook_message
         WHERE is_first = 1 AND due_at <= ?1 AND seq NOT IN (SELECT value FROM json_each(?2))
         ORDER BY due_at, seq LIMIT ?3";

    let mut granted = Granted::default();
    let now = milliseconds(round.now);
    let underway = format!("{:?}", round.underway);
    let mut wanted = i64::try_from(round.wanted).unwrap_or(i64::MAX);
    if let Some(rate) = round.rate {
        let due: i64 = transaction
            .prepare_cached(&format!("SELECT count(*) FROM ({DUE})"))?
            .query_row(params![now, underway, wanted], |row| row.get(0))?;
        let next = transaction
            .prepare_cached("SELECT next_slot FROM webhook_outbox")?
            .query_row([], |row| row.get(0))?;
        let (taken, next) = rate.take(next, round.now, usize::try_from(due).unwrap_or(0));
        wanted = i64::try_from(taken).unwrap_or(i64::MAX);
        granted.next_slot = (wanted < due).then_some(next);
        if taken > 0 {
            transaction
                .prepare_cached("UPDATE webhook_outbox SET next_slot = ?1")?
                .execute([next])?;
        }
    }
    if wanted == 0 {
        return Ok(granted);
    }
    let mut statement = transaction.prepare_cached(&format!(
        "UPDATE webhook_message SET claimed_by = ?5, due_at = ?4 WHERE seq IN ({DUE})
         RETURNING seq, id, type, source, subject, time, failures, body"
    ))?;
    granted.claims = claims(
        &mut statement,
        &[&now, &underway, &wanted, &ends, &round.worker],
    )?;
    Ok(granted)
}

fn claims(
    statement: &mut CachedStatement<'_>,
    parameters: &[&dyn ToSql],
) -> rusqlite::Result<Vec<Claim>> {
    let claim = |row: &Row<'_>| {
        Ok(Claim {
            seq: row.get(0)?,
            id: row.get(1)?,
            event_type: row.get(2)?,
            source: row.get(3)?,
            subject: row.get(4)?,
            time: row.get(5)?,
            failures: row.get(6)?,
            body: row.get_ref(7)?.as_bytes()?.to_vec(),
        })
    };
    statement.query_map(parameters, claim)?.collect()
}

fn milliseconds(microseconds: i64) -> i64 {
    microseconds.div_euclid(1_000)
}

/// Which file it is, whatever it is called.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Identity {
    device: u64,
    inode: u64,
}

fn existing(path: &Path) -> io::Result<Identity> {
    identity(&fs::metadata(path)?)
}

/// Makes the file if it is not there, for its owner alone: it holds what the catalog announces.
fn made(path: &Path) -> io::Result<Identity> {
    if let Ok(identity) = existing(path) {
        return Ok(identity);
    }
    let mut options = File::options();
    options.write(true).create(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    identity(&options.open(path)?.metadata()?)
}

fn identity(metadata: &fs::Metadata) -> io::Result<Identity> {
    if metadata.is_dir() {
        return Err(io::ErrorKind::IsADirectory.into());
    }
    if !metadata.is_file() {
        return Err(io::ErrorKind::InvalidInput.into());
    }
    #[cfg(unix)]
    {
        use std::os::unix::fs::MetadataExt;
        Ok(Identity {
            device: metadata.dev(),
            inode: metadata.ino(),
        })
    }
    // Elsewhere a file that is open cannot be moved or deleted.
    #[cfg(not(unix))]
    Ok(Identity::default())
}
