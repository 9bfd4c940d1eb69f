//! What several suites share.

pub mod child;
#[cfg(all(target_os = "linux", target_env = "gnu"))]
pub mod disk;
pub mod exchange;
pub mod install;
pub mod listening;
pub mod logged;
pub mod node;
pub mod pauses;
pub mod python;
#[cfg(feature = "cloud-tasks")]
pub mod queue_server;
#[cfg(feature = "cloud-tasks")]
pub mod relay;
pub mod server;
pub mod tls;

use std::fmt::Debug;
use std::time::{Duration, Instant};

use opteryx_webhooks::{Config, DatasetCreated, Event, Notifier};

use pauses::Pauses;

/// What `notify` may take beyond its timeout.
const GRACE: Duration = Duration::from_millis(300);

/// A notifier for this domain and these further variables.
pub fn notifier<'a>(
    domain: &'a str,
    vars: impl IntoIterator<Item = (&'a str, &'a str)>,
) -> Notifier {
    let vars = [("OPTERYX_WEBHOOK_DOMAIN", domain)].into_iter().chain(vars);
    Notifier::new(Config::from_vars(vars).expect("the variables are right"))
}

/// The event that most suites send.
pub fn event() -> Event<'static, DatasetCreated<'static>> {
    Event::dataset_created(
        "my-workspace",
        "my-collection",
        "my-dataset",
        DatasetCreated {
            location: Some("gs://bucket/path"),
            ..Default::default()
        },
    )
}

/// Runs it and fails if it takes longer than a notification with this timeout may.
pub fn in_time<T: Debug>(timeout: Duration, notify: impl FnOnce() -> T) -> T {
    within(timeout + GRACE, notify)
}

/// Runs it and fails if it takes longer than this.
pub fn within<T: Debug>(limit: Duration, run: impl FnOnce() -> T) -> T {
    let pauses = Pauses::longer_than(Duration::from_millis(20));
    let started = Instant::now();
    let value = run();
    let taken = started.elapsed();
    if taken > limit {
        let (_, paused) = pauses.so_far();
        assert!(
            taken <= limit + paused,
            "took {taken:?} of {limit:?}, and the machine paused for {paused:?}: {value:?}"
        );
    }
    value
}

/// Waits for what another thread or process brings about; fails loudly if it never does.
pub fn eventually(what: &str, mut holds: impl FnMut() -> bool) {
    let started = Instant::now();
    while !holds() {
        assert!(
            started.elapsed() < Duration::from_secs(30),
            "not in 30 s: {what}"
        );
        std::thread::sleep(Duration::from_millis(2));
    }
}
