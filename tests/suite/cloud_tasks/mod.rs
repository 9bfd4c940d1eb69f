//! Delivery through Cloud Tasks: against a server of the tests' own, against the emulator, and beside
//! Google's own library.

mod contexts;
mod emulator;
mod failures;
mod google;
mod load;
mod probe;
mod reference;
mod task;

use opteryx_webhooks::{Config, Notifier, Outcome};

use crate::support::queue_server::QueueServer;

const QUEUE: &str = "projects/my-project/locations/us-central1/queues/webhooks";

/// A notifier whose queue is on this server, an emulator to it.
fn notifier<'a>(
    server: &QueueServer,
    vars: impl IntoIterator<Item = (&'a str, &'a str)>,
) -> Notifier {
    notifier_at(&server.address().to_string(), vars)
}

/// The same where the server is at this address.
fn notifier_at<'a>(address: &str, vars: impl IntoIterator<Item = (&'a str, &'a str)>) -> Notifier {
    let vars = [
        ("OPTERYX_WEBHOOK_DOMAIN", "router.opteryx.app"),
        ("OPTERYX_WEBHOOK_QUEUE", QUEUE),
        ("CLOUD_TASKS_EMULATOR_HOST", address),
    ]
    .into_iter()
    .map(|(name, value)| (name, value.to_owned()))
    .chain(
        vars.into_iter()
            .map(|(name, value)| (name, value.to_owned())),
    );
    Notifier::new(Config::from_vars(vars).expect("the variables are right"))
}

/// The name of the task that an event became.
fn task_of(outcome: &Outcome) -> &str {
    match outcome {
        Outcome::Enqueued { task, .. } => task,
        other => panic!("not enqueued: {other:?}"),
    }
}
