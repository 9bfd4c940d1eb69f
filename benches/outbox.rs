//! What storing an event costs beside a bare insert into SQLite: `cargo bench --bench outbox`.
//!
//! Each line takes its turn with all the others, on the same disk, so that whatever else the machine
//! does befalls them alike; the medians are shown. All write with the same settings: a write-ahead
//! log, synchronous=FULL, one transaction for each event. Without `--bench`, as a test, there are a
//! few turns.

#![allow(clippy::expect_used, clippy::print_stdout, clippy::unwrap_used)]

use std::env;
use std::fs;
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use opteryx_webhooks::outbox::OutboxFile;
use opteryx_webhooks::{
    Config, DatasetCreated, Delivery, Event, Field, Message, Notifier, Outcome, Schema,
};
use rusqlite::Connection;

/// How often the lines take turns.
const ROUNDS: usize = 3_000;

/// How many events are pending in the file that is full.
const PENDING: u64 = 100_000;

/// What the benchmark is to hold: `Stored` beside a bare insert, with nothing else going on.
const MAX_RATIO: f64 = 2.0;

/// The same with so many events pending, beside none.
const MAX_RATIO_PENDING: f64 = 1.2;

/// How much more memory a notifier may have for 100,000 pending events, in KiB.
const MAX_GROWTH: u64 = 8 * 1024;

fn event(name: &str) -> Event<'_, DatasetCreated<'_>> {
    Event::dataset_created(
        "my-workspace",
        "my-collection",
        name,
        DatasetCreated {
            location: Some("gs://bucket/path"),
            schema: Some(Schema::from_iter([
                Field::new("id", "int64"),
                Field::new("name", "string"),
            ])),
            ..Default::default()
        },
    )
}

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

fn notifier(path: &Path, delivery: impl Delivery + 'static) -> Notifier {
    let config = Config::from_vars([("OPTERYX_WEBHOOK_OUTBOX", path)]).unwrap();
    Notifier::with_config_and_delivery(config, delivery)
}

fn bare(path: &Path) -> Connection {
    let connection = Connection::open(path).unwrap();
    for (name, value) in [("journal_mode", "wal"), ("synchronous", "full")] {
        connection.pragma_update(None, name, value).unwrap();
    }
    let table = "CREATE TABLE message (seq INTEGER PRIMARY KEY, id TEXT, body TEXT)";
    connection.execute(table, []).unwrap();
    connection
}

/// Leaves so many events pending in a file, each of a resource of its own.
fn fill(path: &Path, pending: u64) {
    let notifier = notifier(path, Never);
    assert!(matches!(notifier.notify(&event("first")), Outcome::Stored));
    let mut connection = Connection::open(path).unwrap();
    connection.busy_timeout(Duration::from_secs(10)).unwrap();
    let transaction = connection.transaction().unwrap();
    for number in 1..pending {
        let name = format!("dataset-{number}");
        assert!(notifier.notify_in(&transaction, &event(&name)).is_ok());
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

struct Case<'a> {
    name: &'static str,
    run: Box<dyn FnMut() + 'a>,
    times: Vec<Duration>,
}

impl<'a> Case<'a> {
    fn new(name: &'static str, run: impl FnMut() + 'a) -> Case<'a> {
        Case {
            name,
            run: Box::new(run),
            times: Vec::new(),
        }
    }

    fn median(&mut self) -> Duration {
        self.times.sort();
        self.times[self.times.len() / 2]
    }
}

fn main() {
    let is_bench = env::args().any(|argument| argument == "--bench");
    let (rounds, pending) = if is_bench {
        (ROUNDS, PENDING)
    } else {
        (3, 100)
    };
    // Beside what is built, since a folder for temporary files is often no disk at all.
    let folder = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
    let path = |name: &str| folder.path().join(name);

    let full = path("full.db");
    fill(&full, pending);
    let before = memory();
    let full = notifier(&full, Never);
    let mut names = (0..).map(|number: u64| format!("new-{number}"));
    for name in names.by_ref().take(100) {
        assert!(matches!(full.notify(&event(&name)), Outcome::Stored));
    }
    let growth = memory().saturating_sub(before);

    let insert = bare(&path("bare.db"));
    let idle = notifier(&path("idle.db"), Never);
    let busy = notifier(&path("busy.db"), Taken);
    let body = r#"{"event":{"action":"create","workspace":"my-workspace","collection":"my-collection","resource_type":"dataset","resource_name":"my-dataset","timestamp":1704556800000},"data":{"location":"gs://bucket/path","properties":{},"schema":{"fields":[{"name":"id","type":"int64"},{"name":"name","type":"string"}]}}}"#;
    let number = AtomicU64::new(0);
    let store = |notifier: &Notifier| {
        let name = format!("dataset-{}", number.fetch_add(1, Ordering::Relaxed));
        assert!(matches!(notifier.notify(&event(&name)), Outcome::Stored));
    };
    let mut cases = [
        Case::new("a bare insert", || {
            let id = format!("evt_{:032x}", number.fetch_add(1, Ordering::Relaxed));
            insert
                .prepare_cached("INSERT INTO message (id, body) VALUES (?1, ?2)")
                .and_then(|mut statement| statement.execute([id.as_str(), body]))
                .unwrap();
        }),
        Case::new("Stored, nothing delivered", || store(&idle)),
        Case::new("Stored, 100,000 pending", || store(&full)),
        Case::new("Stored, all delivered meanwhile", || store(&busy)),
    ];
    for _ in 0..rounds {
        for case in &mut cases {
            let started = Instant::now();
            (case.run)();
            case.times.push(started.elapsed());
        }
    }
    let medians = cases.each_mut().map(Case::median);
    println!("median of {rounds}");
    for (case, median) in cases.iter().zip(medians) {
        let ratio = median.as_secs_f64() / medians[0].as_secs_f64();
        println!("{:>32}: {:>9.1?} {ratio:>6.2}", case.name, median);
    }
    println!("{pending} pending events: {growth} KiB more memory");
    drop(cases);
    assert!(busy.flush(Duration::from_secs(60)));
    let stats = OutboxFile::open(path("busy.db")).unwrap().stats().unwrap();
    assert_eq!(stats.delivered, stats.accepted);
    if is_bench {
        let ratio = |of: usize, to: usize| medians[of].as_secs_f64() / medians[to].as_secs_f64();
        assert!(ratio(1, 0) <= MAX_RATIO, "Stored beside a bare insert");
        assert!(ratio(2, 1) <= MAX_RATIO_PENDING, "with events pending");
        assert!(growth <= MAX_GROWTH, "memory for pending events");
    }
}
