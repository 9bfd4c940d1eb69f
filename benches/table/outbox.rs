//! Storing an event beside a bare insert into SQLite, on the same disk and with the same settings: a
//! write-ahead log, synchronous=FULL, one transaction for each.

use std::cell::{Cell, RefCell};
use std::fs;
use std::path::Path;
use std::rc::Rc;
use std::thread;
use std::time::{Duration, Instant};

use opteryx_webhooks::outbox::OutboxFile;
use opteryx_webhooks::{Config, Delivery, Message, Notifier, Outcome};
use rusqlite::Connection;
use tempfile::TempDir;

use crate::event::Dataset;
use crate::row::{Row, Who};

/// How many events are pending in the file that is full.
const PENDING: u64 = 100_000;

/// How many as a test.
const TEST_PENDING: u64 = 100;

/// How many events a line stores in one turn.
const EVENTS: usize = 5;

/// How many are stored before the memory is looked at.
const FIRST_EVENTS: u64 = 100;

/// The rows' names, by which the bars find them.
pub const IDLE: &str = "stored in the outbox";
pub const FULL: &str = "the same, 100,000 pending";
const BUSY: &str = "the same, all delivered meanwhile";

/// Never comes back: what is stored stays pending.
struct Never;

impl Delivery for Never {
    fn deliver(&self, _: &Message) -> Outcome {
        loop {
            thread::park();
        }
    }
}

/// Takes everything at once.
struct Taken;

impl Delivery for Taken {
    fn deliver(&self, _: &Message) -> Outcome {
        Outcome::Delivered { status: 200 }
    }
}

/// The files that are written to.
pub struct Stores {
    folder: TempDir,
    bare: Rc<RefCell<Connection>>,
    idle: Notifier,
    full: Notifier,
    busy: Notifier,
    /// The last resource's number, so that each event is of another.
    number: Rc<Cell<u64>>,
    /// KiB.
    growth: u64,
}

impl Stores {
    pub fn new(is_bench: bool) -> Stores {
        // Beside what is built, since a folder for temporary files is often no disk at all.
        let folder = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
        let path = |name: &str| folder.path().join(name);
        fill(
            &path("full.db"),
            if is_bench { PENDING } else { TEST_PENDING },
        );
        let before = memory();
        let full = notifier(&path("full.db"), Never);
        for number in 0..FIRST_EVENTS {
            store(&full, &Dataset::sample(), &format!("new-{number}"));
        }
        Stores {
            growth: memory().saturating_sub(before),
            full,
            bare: Rc::new(RefCell::new(bare(&path("bare.db")))),
            idle: notifier(&path("idle.db"), Never),
            busy: notifier(&path("busy.db"), Taken),
            number: Rc::default(),
            folder,
        }
    }

    pub fn rows(&self) -> Vec<Row> {
        let ours = [(IDLE, &self.idle), (FULL, &self.full), (BUSY, &self.busy)];
        let row = |(name, notifier): (&'static str, &Notifier)| {
            let (notifier, number) = (notifier.clone(), Rc::clone(&self.number));
            let (bare, ids) = (Rc::clone(&self.bare), Rc::clone(&self.number));
            let dataset = Dataset::sample();
            Row::new(name, Who::ByHand)
                .with(Who::ByHand, move |times| {
                    times.extend(timed(|| {
                        let id = format!("evt_{:032x}", next(&ids));
                        let started = Instant::now();
                        insert(&bare.borrow(), &id);
                        started.elapsed()
                    }));
                })
                .with(Who::Ours, move |times| {
                    times.extend(timed(|| {
                        let resource = format!("dataset-{}", next(&number));
                        let started = Instant::now();
                        store(&notifier, &dataset, &resource);
                        started.elapsed()
                    }));
                    // Or what is still delivered would be in the way of the row whose turn is next.
                    if name == BUSY {
                        assert!(notifier.flush(Duration::from_secs(60)));
                    }
                })
        };
        ours.map(row).into()
    }

    /// How much more memory this process had for all that was pending, in KiB; once it is over, and
    /// what was to be delivered has been.
    pub fn growth(self) -> u64 {
        assert!(self.busy.flush(Duration::from_secs(60)));
        let file = OutboxFile::open(self.folder.path().join("busy.db")).unwrap();
        let stats = file.stats().unwrap();
        assert_eq!(stats.delivered, stats.accepted);
        self.growth
    }
}

/// What one after the other takes, in nanoseconds. The first is not counted: it wakes up whatever went
/// to sleep since the last turn.
fn timed(mut once: impl FnMut() -> Duration) -> Vec<f64> {
    once();
    (0..EVENTS).map(|_| once().as_secs_f64() * 1e9).collect()
}

fn next(number: &Cell<u64>) -> u64 {
    number.set(number.get() + 1);
    number.get()
}

fn store(notifier: &Notifier, dataset: &Dataset, name: &str) {
    let outcome = notifier.notify(&dataset.event_of(name));
    assert!(matches!(outcome, Outcome::Stored), "{outcome:?}");
}

fn notifier(path: &Path, delivery: impl Delivery + 'static) -> Notifier {
    let config = Config::from_vars([("OPTERYX_WEBHOOK_OUTBOX", path)]).unwrap();
    Notifier::with_config_and_delivery(config, delivery)
}

fn bare(path: &Path) -> Connection {
    let connection = Connection::open(path).unwrap();
    let settings = [
        ("page_size", "2048"),
        ("journal_mode", "wal"),
        ("synchronous", "full"),
    ];
    for (name, value) in settings {
        connection.pragma_update(None, name, value).unwrap();
    }
    let table = "CREATE TABLE message (seq INTEGER PRIMARY KEY, id TEXT, body TEXT)";
    connection.execute(table, []).unwrap();
    connection
}

fn insert(connection: &Connection, id: &str) {
    let body = r#"{"event":{"action":"create","workspace":"my-workspace","collection":"my-collection","resource_type":"dataset","resource_name":"my-dataset","timestamp":1704556800000},"data":{"location":"gs://bucket/path","properties":{},"schema":{"fields":[{"name":"id","type":"int64"},{"name":"name","type":"string"},{"name":"at","type":"timestamp[us]"}]}}}"#;
    connection
        .prepare_cached("INSERT INTO message (id, body) VALUES (?1, ?2)")
        .and_then(|mut statement| statement.execute([id, body]))
        .unwrap();
}

/// Leaves so many events pending in a file, each of a resource of its own.
fn fill(path: &Path, pending: u64) {
    let notifier = notifier(path, Never);
    let dataset = Dataset::sample();
    store(&notifier, &dataset, "first");
    let mut connection = Connection::open(path).unwrap();
    connection.busy_timeout(Duration::from_secs(10)).unwrap();
    let transaction = connection.transaction().unwrap();
    for number in 1..pending {
        let name = format!("pending-{number}");
        let outcome = notifier.notify_in(&transaction, &dataset.event_of(&name));
        assert!(outcome.is_ok());
    }
    transaction.commit().unwrap();
}

/// This process's resident memory, in KiB.
fn memory() -> u64 {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let number = line.and_then(|line| line.split_whitespace().next());
    number.and_then(|number| number.parse().ok()).unwrap_or(0)
}
