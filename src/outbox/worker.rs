//! The thread that sees to it that what is stored is delivered.

use std::io;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, channel};
use std::thread;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use log::Level;

use super::Setup;
use super::courier::Couriers;
use super::error::OutboxError;
use super::history::latest_due;
use super::shared::Shared;
use super::store::{Attempt, Granted, Purpose, Round, Store};
use super::trouble::Trouble;
use crate::deadline;
use crate::delivery::Delivery;
use crate::id::Ids;
use crate::report::{contained, log};

/// How many deliveries one process has under way at a time.
const CONCURRENT: usize = 4;

/// How long a worker's claim of a message lasts unless it is renewed: so long after a process has
/// died, another takes its messages over.
const LEASE: Duration = Duration::from_secs(10);

/// How often claims are renewed, so that one missed time costs none.
const RENEWAL: Duration = Duration::from_secs(3);

/// How often the file is looked at for what other processes, or an operator, have put there.
const POLL: Duration = Duration::from_secs(1);

/// How often old attempts are forgotten.
const TIDYING: Duration = Duration::from_secs(60);

/// How long the worker waits for another process's lock, while events of its own process wait for it.
const LOCK_PATIENCE: Duration = Duration::from_millis(500);

/// How long the worker waits for its turn, while events of its own process are before it in line: as
/// many as a busy service has threads, each of which waits for the disk.
const TURN_PATIENCE: Duration = Duration::from_secs(3);

/// What the worker is told.
pub(super) enum Signal {
    /// Something has been stored.
    Stored,
    /// A courier is back.
    Attempted(Attempt),
    /// No more claims; what is under way is waited for.
    Stop,
}

/// Starts the thread. It ends after [`Signal::Stop`], once what is under way has been put down; where
/// the file does not let it, when the claims have run out.
pub(super) fn start<D: Delivery + 'static>(
    setup: &Arc<Setup>,
    delivery: &Arc<D>,
) -> io::Result<Arc<Shared>> {
    let (signals, received) = channel();
    let shared = Arc::new(Shared::new(Arc::clone(setup), signals.clone()));
    let worker = Worker {
        couriers: Couriers::new(Arc::clone(setup), Arc::clone(delivery), signals),
        setup: Arc::clone(setup),
        shared: Arc::clone(&shared),
        received,
        name: Ids::new().draw(SystemTime::now()).to_string(),
        store: None,
        trouble: Trouble::default(),
        attempts: Vec::new(),
        underway: Vec::new(),
        renewed: Instant::now(),
        tidied: None,
        is_stopping: false,
    };
    thread::Builder::new()
        .name("opteryx-webhooks-outbox".to_owned())
        .spawn(move || worker.run())?;
    Ok(shared)
}

struct Worker<D> {
    setup: Arc<Setup>,
    shared: Arc<Shared>,
    couriers: Couriers<D>,
    received: Receiver<Signal>,
    /// What its claims are made out to.
    name: String,
    /// None until it could be opened, and after it failed.
    store: Option<Store>,
    trouble: Trouble,
    /// What has been attempted and is yet to be put down.
    attempts: Vec<Attempt>,
    /// What is claimed and not put down yet: with the couriers, or in `attempts`.
    underway: Vec<i64>,
    renewed: Instant,
    tidied: Option<Instant>,
    is_stopping: bool,
}

impl<D: Delivery + 'static> Worker<D> {
    fn run(mut self) {
        let mut wait = Duration::ZERO;
        loop {
            self.listen(wait);
            // Nothing in a round panics by design; if it does, the next one still delivers.
            let done = match contained(|| self.round()) {
                Some(Ok(wait)) => Some(wait),
                Some(Err(error)) => {
                    self.trouble.began(&error, "what is stored in it waits");
                    None
                }
                None => None,
            };
            wait = done.unwrap_or(POLL);
            self.shared.progressed();
            if self.is_stopping && (self.underway.is_empty() || done.is_none() && self.is_late()) {
                break;
            }
        }
        // Before it is said that the worker has stopped, so that whoever hears it finds the file
        // closed.
        self.store = None;
        self.shared.stopped();
    }

    /// Whether nothing is on its way any more, and the claims of what is to be put down have run out:
    /// others may deliver it again by now.
    fn is_late(&self) -> bool {
        self.attempts.len() >= self.underway.len() && self.renewed.elapsed() >= LEASE
    }

    /// Waits for a signal, so long at most, and takes all that there are.
    fn listen(&mut self, wait: Duration) {
        let mut next = self.received.recv_timeout(wait).ok();
        while let Some(signal) = next {
            match signal {
                Signal::Stored => self.shared.is_woken(),
                Signal::Attempted(attempt) => self.attempts.push(attempt),
                Signal::Stop => self.is_stopping = true,
            }
            next = self.received.try_recv().ok();
        }
    }

    /// Does what there is to do, and says how long there will be nothing.
    fn round(&mut self) -> Result<Duration, OutboxError> {
        let (kept, path) = (self.store.take(), &self.setup.outbox.path);
        let mut store = match kept {
            Some(_) => deadline::within(LOCK_PATIENCE, || {
                Store::kept_or_opened(kept, path, Purpose::Deliver)
            }),
            // Not while an event opens it too: whoever makes the file closes it again, and that would
            // take the locks of the other's connection away.
            None => self
                .shared
                .with_turn(TURN_PATIENCE, || {
                    deadline::within(LOCK_PATIENCE, || Store::open(path, Purpose::Deliver))
                })
                .unwrap_or_else(|| Err(self.shared.busy())),
        }?;
        let wait = deadline::within(TURN_PATIENCE + LOCK_PATIENCE, || self.round_in(&mut store));
        if wait.is_ok() {
            self.store = Some(store);
        }
        wait
    }

    fn round_in(&mut self, store: &mut Store) -> Result<Duration, OutboxError> {
        let mut wait = POLL;
        let free = if self.is_stopping {
            0
        } else {
            CONCURRENT.saturating_sub(self.underway.len().saturating_sub(self.attempts.len()))
        };
        let is_due = |store: &Store| {
            let due = store.next_due()?;
            Ok(due.map(|due| {
                Duration::from_millis(u64::try_from(due.saturating_sub(now() / 1_000)).unwrap_or(0))
            }))
        };
        let must_renew = !self.underway.is_empty() && self.renewed.elapsed() >= RENEWAL;
        let next = if free > 0 { is_due(store)? } else { None };
        if !self.attempts.is_empty() || must_renew || next.is_some_and(|next| next.is_zero()) {
            let granted = self.put_down_and_claim(store, free)?;
            if let Some(slot) = granted.next_slot {
                let left = slot.saturating_sub(now());
                wait = wait.min(Duration::from_micros(u64::try_from(left).unwrap_or(0)));
            } else if granted.claims.len() < free {
                // The next may be due before the next look at the file.
                wait = is_due(store)?.map_or(wait, |next| next.min(wait));
            }
            for claim in granted.claims {
                let underway = self.underway.len();
                self.underway.push(claim.seq);
                self.couriers.deliver(claim, underway);
            }
        } else if let Some(next) = next {
            wait = wait.min(next);
        }
        self.tidy(store)?;
        // Both are asked, for each says so once. When the last connection closes, SQLite does it.
        if (self.shared.takes_checkpoint() | store.takes_long_log()) && !self.is_stopping {
            store.checkpoint();
            // What has come meanwhile, while nobody else in this process adds to it: little to copy,
            // but where something has come it is this one that waits for the disk.
            self.shared.with_turn(TURN_PATIENCE, || store.checkpoint());
        }
        Ok(wait)
    }

    fn put_down_and_claim(
        &mut self,
        store: &mut Store,
        wanted: usize,
    ) -> Result<Granted, OutboxError> {
        let still: Vec<i64> = self
            .underway
            .iter()
            .copied()
            .filter(|seq| self.attempts.iter().all(|attempt| attempt.seq != *seq))
            .collect();
        let round = Round {
            worker: &self.name,
            now: now(),
            lease: LEASE,
            attempts: &self.attempts,
            underway: &still,
            wanted,
            rate: self.setup.outbox.rate,
        };
        let granted = self
            .shared
            .with_turn(TURN_PATIENCE, || {
                deadline::within(LOCK_PATIENCE, || store.round(&round))
            })
            .unwrap_or_else(|| Err(self.shared.busy()))?;
        self.trouble.ended(|| {
            format!(
                "the outbox {} works again",
                self.setup.outbox.path.display()
            )
        });
        self.attempts.clear();
        self.underway = still;
        self.renewed = Instant::now();
        Ok(granted)
    }

    /// Forgets what is too old, a little at a time.
    fn tidy(&mut self, store: &mut Store) -> Result<(), OutboxError> {
        if self.is_stopping || self.tidied.is_some_and(|tidied| tidied.elapsed() < TIDYING) {
            return Ok(());
        }
        let now = now() / 1_000;
        let forgotten = self
            .shared
            .with_turn(TURN_PATIENCE, || {
                deadline::within(LOCK_PATIENCE, || {
                    store.forgive_the_clock(now, latest_due(now))?;
                    self.setup.outbox.history.forget_some(store, now)
                })
            })
            .unwrap_or_else(|| Err(self.shared.busy()))?;
        if forgotten == 0 {
            self.tidied = Some(Instant::now());
        } else {
            log((
                Level::Debug,
                format!("{forgotten} old attempts were forgotten"),
            ));
        }
        Ok(())
    }
}

/// Unix microseconds.
fn now() -> i64 {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .ok()
        .and_then(|since| i64::try_from(since.as_micros()).ok())
        .unwrap_or(0)
}
