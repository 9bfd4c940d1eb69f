//! The durable outbox: what is stored is delivered at least once, or ends as a dead letter.
//!
//! With `OPTERYX_WEBHOOK_OUTBOX` set, a [`Notifier`](crate::Notifier) stores each message in a
//! SQLite file before `notify` returns, and a thread of its own delivers it, by whatever road the
//! rest of the environment describes, until it is taken. The service's code does not change, and
//! needs nothing of this module but to look into the file: [`OutboxFile`].
//!
//! # What is promised
//!
//! - An event whose outcome was `Stored` is delivered at least once, or stands in the dead letters,
//!   whatever kills the process or the machine. A receiver knows one that comes twice by its
//!   `webhook-id`.
//! - Events of one resource (the same workspace, collection and name) go out in the order in which
//!   they were stored, one at a time; the next goes when the one before it was taken or is dead. Other
//!   resources do not wait for it.
//! - An event that cannot be stored is attempted directly, as if there were no outbox, and the reason
//!   is logged as an error. Such an event may overtake what is stored.
//! - Several processes may share a file. Each event is claimed by one at a time, for ten seconds that
//!   are renewed while it works.
//! - A process that was forked while an outbox was open cannot use one, for SQLite cannot: its events
//!   are attempted directly, and that is logged as an error. Make the notifier after the fork.
//!
//! # The file
//!
//! It is a SQLite file in WAL mode, made for its owner alone (mode 0600), on a local disk. Any SQLite
//! shell can read it, and README has queries worth having; these are its tables:
//!
//! ```sql
#![doc = include_str!("schema.sql")]
//! ```

mod courier;
mod error;
mod file;
mod history;
mod opened;
mod rate;
mod retry;
mod shared;
mod store;
#[cfg(test)]
mod tests;
mod trouble;
mod turn;
mod variables;
mod worker;

use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime};

use rusqlite::Connection;
use serde::Serialize;

use crate::config::Config;
use crate::deadline;
use crate::delivery::{Delivery, Outcome};
use crate::error::{ConfigError, DeliveryError};
use crate::event::unix_ms;
use crate::message::{Envelope, Message};
use crate::process::PerProcess;

pub use error::OutboxError;
pub use file::{OutboxFile, State, StoredAttempt, StoredMessage};
pub use history::History;
pub(crate) use rate::Rate;
pub(crate) use retry::Retry;
pub use rusqlite;
pub(crate) use variables::OutboxVariables;

use shared::Shared;
use trouble::Trouble;

/// How long dropping an outbox waits for its thread.
const MAX_STOP: Duration = Duration::from_millis(900);

/// How long an event waits for the file where the one before it waited in vain.
const PATIENCE_IN_TROUBLE: Duration = Duration::from_millis(10);

/// Stores messages in a file, and hands each to another delivery until that has taken it.
///
/// It is itself a [`Delivery`], whose outcome is [`Outcome::Stored`]. A
/// [`Notifier`](crate::Notifier) whose configuration has `OPTERYX_WEBHOOK_OUTBOX` makes one by itself,
/// also for a delivery of the host's own
/// ([`with_config_and_delivery`](crate::Notifier::with_config_and_delivery)); that is the way to have
/// its sums in `stats` and to `flush` it.
///
/// Dropping it stops its thread within a second. What is not delivered by then waits in the file.
pub struct Outbox<D: Delivery + 'static> {
    setup: Arc<Setup>,
    delivery: Arc<D>,
    local: PerProcess<Local>,
}

/// What the configuration says of an outbox.
#[derive(Clone, Debug)]
pub(crate) struct OutboxConfig {
    pub(crate) path: PathBuf,
    pub(crate) retry: Retry,
    pub(crate) rate: Option<Rate>,
    pub(crate) history: History,
}

/// What an outbox is made with.
struct Setup {
    outbox: OutboxConfig,
    timeout: Duration,
    envelope: Arc<Envelope>,
    /// Where the delivery leads, for the log.
    destination: String,
}

/// A process's own.
#[derive(Default)]
struct Local {
    shared: Mutex<Option<Arc<Shared>>>,
    trouble: Trouble,
}

/// What has become of the events in an outbox's file, since it was made and over all processes:
/// `accepted = delivered + pending + dead`, always.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct OutboxStats {
    /// Stored.
    pub accepted: u64,
    /// Taken by the receiver or by a queue.
    pub delivered: u64,
    /// Still to be delivered.
    pub pending: u64,
    /// Given up: after the last retry, or because the receiver does not want it (`410 Gone`).
    pub dead: u64,
}

impl<D: Delivery + 'static> Outbox<D> {
    /// An outbox in the file that a configuration names, with its retries, rate, secrets and further
    /// headers. This reads no environment variable. Its thread starts at once, to deliver what an
    /// earlier process has left.
    ///
    /// # Errors
    ///
    /// The configuration has no `OPTERYX_WEBHOOK_OUTBOX`. Whether the file can be used is not asked
    /// here: as long as it cannot, that is logged and messages go directly.
    pub fn new(config: &Config, delivery: D) -> Result<Outbox<D>, ConfigError> {
        let outbox = config.outbox.clone().ok_or_else(|| {
            ConfigError::new(
                "OPTERYX_WEBHOOK_OUTBOX",
                "is not set; it must name the outbox's file",
            )
        })?;
        Ok(Outbox::configured(
            outbox,
            config.timeout,
            Arc::clone(&config.envelope),
            crate::notifier::HOSTS_OWN.to_owned(),
            delivery,
        ))
    }

    pub(crate) fn configured(
        outbox: OutboxConfig,
        timeout: Duration,
        envelope: Arc<Envelope>,
        destination: String,
        delivery: D,
    ) -> Outbox<D> {
        let setup = Setup {
            outbox,
            timeout,
            envelope,
            destination,
        };
        let outbox = Outbox {
            setup: Arc::new(setup),
            delivery: Arc::new(delivery),
            local: PerProcess::new(),
        };
        // Where no thread can be had now, the first event asks again, and says so.
        let _ = outbox.shared(outbox.local.get());
        outbox
    }

    /// The sums of the file.
    ///
    /// # Errors
    ///
    /// Where the file cannot be read.
    pub fn stats(&self) -> Result<OutboxStats, OutboxError> {
        self.shared(self.local.get())?.stats()
    }

    /// Waits until nothing in the file is pending, for `timeout` at most, and says whether that is so.
    pub fn flush(&self, timeout: Duration) -> bool {
        let shared = self.shared(self.local.get());
        shared.is_ok_and(|shared| shared.flush(timeout))
    }

    /// Stores a message by a connection of the host's, in whatever transaction that is in.
    pub(crate) fn store_in(&self, connection: &Connection, message: &Message) -> Outcome {
        let now = unix_ms(SystemTime::now());
        match store::accept(connection, message.parts(), message.body(), now) {
            Ok(()) => Outcome::Stored,
            Err(error) => Outcome::Failed(
                DeliveryError::new(
                    "it could not be stored by the host's connection, which must be to the file \
                     of OPTERYX_WEBHOOK_OUTBOX",
                )
                .with_source(error),
            ),
        }
    }

    fn store(&self, local: &Local, message: &Message) -> Result<(), OutboxError> {
        // Half the time is left for the other road.
        let limit = if local.trouble.is_there() {
            PATIENCE_IN_TROUBLE
        } else {
            self.setup.timeout / 2
        };
        self.shared(local)?.store(message, limit)
    }

    fn shared(&self, local: &Local) -> Result<Arc<Shared>, OutboxError> {
        let mut shared = lock(local);
        if let Some(shared) = &*shared {
            return Ok(Arc::clone(shared));
        }
        let started = worker::start(&self.setup, &self.delivery)
            .map_err(|error| OutboxError::no_thread(&self.setup.outbox.path, error))?;
        Ok(Arc::clone(shared.insert(started)))
    }
}

impl<D: Delivery + 'static> Delivery for Outbox<D> {
    fn deliver(&self, message: &Message) -> Outcome {
        // Once: it asks the system which process this is.
        let local = self.local.get();
        let trouble = &local.trouble;
        deadline::within(self.setup.timeout, || match self.store(local, message) {
            Ok(()) => {
                trouble.ended(|| {
                    let path = self.setup.outbox.path.display();
                    format!("the outbox {path} works again, and events are stored in it")
                });
                Outcome::Stored
            }
            Err(error) => {
                trouble.began(&error, "until it works, events are attempted directly");
                self.delivery.deliver(message)
            }
        })
    }
}

impl<D: Delivery + 'static> Drop for Outbox<D> {
    fn drop(&mut self) {
        // In a child that was forked this is the child's own worker, if it has one.
        if let Some(shared) = lock(self.local.get()).take() {
            shared.stop(MAX_STOP);
        }
    }
}

impl<D: Delivery + 'static> std::fmt::Debug for Outbox<D> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Outbox")
            .field("path", &self.setup.outbox.path)
            .finish_non_exhaustive()
    }
}

fn lock(local: &Local) -> MutexGuard<'_, Option<Arc<Shared>>> {
    // A panic while it was held left a worker or none, and either will do.
    local.shared.lock().unwrap_or_else(PoisonError::into_inner)
}
