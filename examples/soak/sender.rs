//! The sender: threads that notify as fast as they can, and put down what came of it.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use opteryx_webhooks::{DatasetCreated, Event, Field, Notifier, Outcome, Schema};

use crate::came::Came;
use crate::plan::LANES;

/// How long a thread waits that must not bring more at the moment.
const PAUSE: Duration = Duration::from_millis(5);

/// Threads that notify until they are told to stop.
pub(crate) struct Sender {
    threads: Vec<JoinHandle<io::Result<Tally>>>,
    valves: Arc<Valves>,
}

#[derive(Default)]
struct Valves {
    must_end: AtomicBool,
    must_wait: AtomicBool,
}

/// What came of a thread's events, or of all.
#[derive(Default)]
pub(crate) struct Tally {
    pub(crate) notified: u64,
    pub(crate) delivered: u64,
    pub(crate) stored: u64,
    pub(crate) failed: u64,
    /// Why they failed.
    pub(crate) reasons: BTreeMap<String, u64>,
    /// What the slowest call took.
    pub(crate) slowest: Duration,
}

impl Sender {
    /// Starts the threads.
    pub(crate) fn start(notifier: &Notifier, folder: &Path) -> io::Result<Sender> {
        let valves = Arc::new(Valves::default());
        let mut threads = Vec::new();
        for lane in 0..LANES {
            let (notifier, valves) = (notifier.clone(), Arc::clone(&valves));
            let file = File::create(outcomes(folder, lane))?;
            let run = move || notify_all(lane, &notifier, &valves, file);
            threads.push(thread::Builder::new().spawn(run)?);
        }
        Ok(Sender { threads, valves })
    }

    /// Has them wait, or go on.
    pub(crate) fn hold(&self, must_wait: bool) {
        self.valves.must_wait.store(must_wait, Ordering::Relaxed);
    }

    /// Has them end, and adds up what they counted.
    pub(crate) fn end(self) -> io::Result<Tally> {
        self.valves.must_end.store(true, Ordering::Relaxed);
        let mut sum = Tally::default();
        for thread in self.threads {
            let tally = thread
                .join()
                .map_err(|_| io::Error::other("a thread that notifies panicked"))??;
            sum.add(tally);
        }
        Ok(sum)
    }
}

/// Where a lane's outcomes are put down.
pub(crate) fn outcomes(folder: &Path, lane: usize) -> PathBuf {
    folder.join(format!("outcomes-{lane}"))
}

fn notify_all(lane: usize, notifier: &Notifier, valves: &Valves, file: File) -> io::Result<Tally> {
    let mut file = BufWriter::new(file);
    let mut tally = Tally::default();
    let fields = [Field::new("id", "int64"), Field::new("name", "string")];
    while !valves.must_end.load(Ordering::Relaxed) {
        if valves.must_wait.load(Ordering::Relaxed) {
            thread::sleep(PAUSE);
            continue;
        }
        let name = format!("{lane}-{}", tally.notified);
        let event = Event::dataset_created(
            "my-workspace",
            "my-collection",
            &name,
            DatasetCreated {
                location: Some("gs://bucket/path"),
                schema: Some(Schema::from(&fields)),
                ..Default::default()
            },
        );
        let started = Instant::now();
        let outcome = notifier.notify(&event);
        tally.count(&outcome, started.elapsed());
        file.write_all(&[Came::of(&outcome) as u8])?;
    }
    file.flush()?;
    Ok(tally)
}

impl Tally {
    fn count(&mut self, outcome: &Outcome, took: Duration) {
        self.notified += 1;
        self.slowest = self.slowest.max(took);
        match outcome {
            Outcome::Delivered { .. } => self.delivered += 1,
            Outcome::Stored => self.stored += 1,
            Outcome::Failed(error) => {
                self.failed += 1;
                *self.reasons.entry(error.to_string()).or_default() += 1;
            }
            // Neither can be, and then the sums are not right.
            _ => {}
        }
    }

    fn add(&mut self, other: Tally) {
        self.notified += other.notified;
        self.delivered += other.delivered;
        self.stored += other.stored;
        self.failed += other.failed;
        self.slowest = self.slowest.max(other.slowest);
        for (reason, count) in other.reasons {
            *self.reasons.entry(reason).or_default() += count;
        }
    }
}
