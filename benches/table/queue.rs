//! An enqueue beside the Python reference's: the same task, the same server.

use std::time::Instant;

use opteryx_webhooks::{Config, Notifier};

use crate::event::Dataset;
use crate::reference::Reference;
use crate::row::{Row, Who};
use crate::support::queue_server::QueueServer;

const QUEUE: &str = "projects/my-project/locations/us-central1/queues/webhooks";
const DOMAIN: &str = "router.opteryx.app";

/// The body's size, in bytes.
const SIZE: usize = 512;

/// How many tasks each creates in one turn.
const TASKS: usize = 8;

/// The row's name, by which the bars find it.
pub const NAME: &str = "enqueued in Cloud Tasks, 0.5 KB";

pub fn rows() -> Vec<Row> {
    let server = QueueServer::start();
    let address = server.address();
    let notifier = Notifier::new(
        Config::from_vars([
            ("OPTERYX_WEBHOOK_DOMAIN", DOMAIN),
            ("OPTERYX_WEBHOOK_QUEUE", QUEUE),
            ("CLOUD_TASKS_EMULATOR_HOST", &address.to_string()),
        ])
        .unwrap(),
    );
    let dataset = Dataset::of_size(SIZE);
    let mut python = Reference::queue(address, QUEUE, DOMAIN, dataset.message().body());
    let ours = move |times: &mut Vec<f64>| {
        for _ in 0..TASKS {
            let started = Instant::now();
            assert!(notifier.notify(&dataset.event()).is_ok());
            times.push(started.elapsed().as_secs_f64() * 1e9);
        }
    };
    let theirs = move |times: &mut Vec<f64>| {
        // The server is there for as long as someone may ask it.
        let _ = &server;
        times.extend((0..TASKS).map(|_| python.send(0)));
    };
    vec![
        Row::new(NAME, Who::Python)
            .with(Who::Ours, ours)
            .with(Who::Python, theirs),
    ]
}
