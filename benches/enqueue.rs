//! An enqueue beside the Python reference's: the same task, the same server, in turns.
//!
//! ```sh
//! cargo bench --bench enqueue
//! ```
//!
//! Fails if an enqueue takes more than a third of the reference's time.

// What fails here fails the benchmark, and says so.
#![allow(
    clippy::expect_used,
    clippy::panic,
    clippy::print_stdout,
    clippy::unwrap_used,
    dead_code,
    unreachable_pub
)]

/// What the suite has for this already.
#[path = "../tests/suite/support"]
mod support {
    pub mod install;
    pub mod python;
    pub mod queue_server;
}

use std::io::{BufRead, BufReader, Write};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use opteryx_webhooks::{Config, DatasetCreated, Event, Notifier};
use support::python;
use support::queue_server::QueueServer;

const QUEUE: &str = "projects/my-project/locations/us-central1/queues/webhooks";
const DOMAIN: &str = "router.opteryx.app";

/// The part of the reference's time that an enqueue may take.
const BAR: f64 = 1.0 / 3.0;

/// How many turns each of the two gets, and how many tasks it creates in one.
const TURNS: usize = 40;
const TASKS: usize = 50;

fn main() {
    let server = QueueServer::start();
    let address = server.address().to_string();
    let notifier = Notifier::new(
        Config::from_vars([
            ("OPTERYX_WEBHOOK_DOMAIN", DOMAIN),
            ("OPTERYX_WEBHOOK_QUEUE", QUEUE),
            ("CLOUD_TASKS_EMULATOR_HOST", &address),
        ])
        .unwrap(),
    );
    let event = Event::dataset_created(
        "my-workspace",
        "my-collection",
        "my-dataset",
        DatasetCreated {
            location: Some("gs://bucket/path"),
            ..Default::default()
        },
    );
    assert!(notifier.notify(&event).is_ok());
    let payload = server.calls()[0].http().body.clone();

    let mut reference = Command::new(python::interpreter("requirements-google.txt"))
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .args(["tests/python/reference_task.py", &address, QUEUE, DOMAIN])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut orders = reference.stdin.take().unwrap();
    let mut times = BufReader::new(reference.stdout.take().unwrap());
    orders.write_all(&payload).unwrap();
    orders.write_all(b"\n").unwrap();
    let mut reference_once = || {
        orders.write_all(b"one task\n").unwrap();
        let mut time = String::new();
        times.read_line(&mut time).unwrap();
        Duration::from_nanos(time.trim().parse().expect("the reference runs"))
    };
    let ours_once = || {
        let started = Instant::now();
        assert!(notifier.notify(&event).is_ok());
        started.elapsed()
    };

    let (mut ours, mut theirs) = (Vec::new(), Vec::new());
    // The first turn warms both up.
    for turn in 0..=TURNS {
        for _ in 0..TASKS {
            let time = ours_once();
            if turn > 0 {
                ours.push(time);
            }
        }
        for _ in 0..TASKS {
            let time = reference_once();
            if turn > 0 {
                theirs.push(time);
            }
        }
    }
    drop(orders);
    assert!(reference.wait().unwrap().success());

    let ((our_median, our_p99), (median, p99)) = (summary(ours), summary(theirs));
    let ratio = our_median.as_secs_f64() / median.as_secs_f64();
    println!(
        "| enqueue of {} tasks each, in turns | median | p99 |",
        TURNS * TASKS
    );
    println!("| --- | ---: | ---: |");
    println!("| opteryx-webhooks | {our_median:.0?} | {our_p99:.0?} |");
    println!("| google-cloud-tasks (Python) | {median:.0?} | {p99:.0?} |");
    println!(
        "| ratio | {ratio:.2} | {:.2} |",
        our_p99.as_secs_f64() / p99.as_secs_f64()
    );
    assert!(ratio <= BAR, "more than a third of the reference's time");
}

fn summary(mut times: Vec<Duration>) -> (Duration, Duration) {
    times.sort();
    (times[times.len() / 2], times[times.len() * 99 / 100])
}
