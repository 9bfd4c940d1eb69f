//! The façade: takes events, and never troubles the one who brings them.

use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use log::Level;
use serde::Serialize;

use crate::config::Config;
#[cfg(feature = "cloud-tasks")]
use crate::delivery::CloudTasks;
use crate::delivery::{Delivery, Direct, Outcome};
use crate::error::{ConfigError, Kind};
use crate::event::Event;
use crate::filter::Filter;
use crate::headers::ExtraHeaders;
use crate::message::{Message, random_id};
use crate::signature::Signer;

/// The target of all that is logged, whatever file it comes from.
const LOG_TARGET: &str = "opteryx_webhooks";

/// Where messages go that a host delivers itself, for the log.
const HOSTS_OWN: &str = "the host's own delivery";

/// Announces what happened in a catalog.
///
/// One for the whole service; clones share its connections and its [`stats`](Notifier::stats), and
/// are cheap. All of it may be used from any thread, inside an asynchronous runtime or not.
///
/// ```no_run
/// use opteryx_webhooks::{DatasetCreated, Event, Notifier};
///
/// let notifier = Notifier::from_env();
///
/// // … the catalog creates the dataset, and then:
/// notifier.notify(&Event::dataset_created("my-workspace", "my-collection", "my-dataset", DatasetCreated {
///     location: Some("gs://bucket/path"),
///     ..Default::default()
/// }));
/// ```
#[derive(Clone)]
pub struct Notifier {
    /// None is off.
    active: Option<Arc<Active>>,
}

struct Active {
    filter: Filter,
    headers: Arc<ExtraHeaders>,
    signer: Arc<Signer>,
    delivery: Box<dyn Delivery>,
    /// Where the delivery leads, for the log.
    destination: String,
    counters: Counters,
}

#[derive(Default)]
struct Counters {
    delivered: AtomicU64,
    enqueued: AtomicU64,
    stored: AtomicU64,
    failed: AtomicU64,
}

/// How many events came to what since the notifier was made. A notifier that is off counts nothing,
/// and neither does one count what its filter leaves out.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Stats {
    /// Taken by the receiver.
    pub delivered: u64,
    /// Taken by a queue.
    pub enqueued: u64,
    /// Taken by the outbox.
    pub stored: u64,
    /// Not delivered. Each has been logged with its reason.
    pub failed: u64,
}

impl Notifier {
    /// The notifier that the environment describes. Never fails.
    ///
    /// Where a variable is wrong it is logged as an error, and the notifier is off: better no event
    /// than one that goes to the wrong place or by the wrong road. A service that would rather not
    /// start then uses [`try_from_env`](Notifier::try_from_env).
    pub fn from_env() -> Notifier {
        let (notifier, lines) = Notifier::from_env_or_disabled();
        lines.into_iter().for_each(log);
        notifier
    }

    /// The notifier that the environment describes.
    ///
    /// # Errors
    ///
    /// The first variable that is wrong.
    pub fn try_from_env() -> Result<Notifier, ConfigError> {
        let config = Config::from_env()?;
        config.warnings().iter().cloned().map(warning).for_each(log);
        Ok(Notifier::new(config))
    }

    /// Says nothing yet, but what there is to say.
    fn from_env_or_disabled() -> (Notifier, Vec<Line>) {
        match Config::from_env() {
            Ok(config) => {
                let lines = config.warnings().iter().cloned().map(warning).collect();
                (Notifier::new(config), lines)
            }
            Err(error) => {
                let line = (Level::Error, format!("webhooks are off: {error}"));
                (Notifier::disabled(), vec![line])
            }
        }
    }

    /// The notifier that a configuration describes: off if it names no domain. This reads no
    /// environment variable and opens no connection; the first event does. (Where the configuration
    /// names a queue of Cloud Tasks, that event has Google's library look for credentials, which
    /// does read the environment.)
    pub fn new(config: Config) -> Notifier {
        let Some(endpoint) = config.endpoint else {
            return Notifier::disabled();
        };
        let Config {
            filter,
            headers,
            signer,
            ..
        } = config;
        let active = |delivery, destination| {
            Notifier::active(filter, headers, signer, delivery, destination)
        };
        #[cfg(feature = "cloud-tasks")]
        if let Some(queue) = config.queue {
            let destination = format!("{endpoint} through {}", queue.path);
            let tasks = CloudTasks::new(endpoint, queue, config.timeout, config.trust);
            return active(Box::new(tasks), destination);
        }
        let destination = endpoint.to_string();
        let direct = Direct::new(endpoint, config.timeout, config.proxy, config.trust);
        active(Box::new(direct), destination)
    }

    /// A notifier that hands every message to this delivery: a [`Recorder`](crate::Recorder) in
    /// tests, or a road of the host's own. This reads no environment variable.
    pub fn with_delivery(delivery: impl Delivery + 'static) -> Notifier {
        Notifier::active(
            Filter::default(),
            ExtraHeaders::default(),
            Arc::default(),
            Box::new(delivery),
            HOSTS_OWN.to_owned(),
        )
    }

    /// The same with what a configuration says of the messages: which events are sent, their
    /// further headers and their signatures. What it says of the road (domain, timeout, proxy) is
    /// not used. This reads no environment variable.
    ///
    /// ```
    /// use opteryx_webhooks::{Config, Event, Notifier, Recorder};
    ///
    /// let recorder = Recorder::new();
    /// let config = Config::from_vars([
    ///     ("OPTERYX_WEBHOOK_EVENTS", "view.*"),
    ///     ("OPTERYX_WEBHOOK_SECRET", "whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD"),
    /// ])?;
    /// let notifier = Notifier::with_config_and_delivery(config, recorder.clone());
    /// notifier.notify(&Event::new("create", "dataset", "my-workspace", Some("c"), "not sent"));
    /// notifier.notify(&Event::new("create", "view", "my-workspace", Some("c"), "sent"));
    /// let messages = recorder.messages();
    /// assert_eq!(messages.len(), 1);
    /// assert!(messages[0].headers().iter().any(|(name, _)| *name == "webhook-signature"));
    /// # Ok::<(), opteryx_webhooks::ConfigError>(())
    /// ```
    pub fn with_config_and_delivery(config: Config, delivery: impl Delivery + 'static) -> Notifier {
        Notifier::active(
            config.filter,
            config.headers,
            config.signer,
            Box::new(delivery),
            HOSTS_OWN.to_owned(),
        )
    }

    /// A notifier that is off: every event's outcome is [`Outcome::Disabled`].
    pub const fn disabled() -> Notifier {
        Notifier { active: None }
    }

    fn active(
        filter: Filter,
        headers: ExtraHeaders,
        signer: Arc<Signer>,
        delivery: Box<dyn Delivery>,
        destination: String,
    ) -> Notifier {
        let active = Active {
            filter,
            headers: Arc::new(headers),
            signer,
            delivery,
            destination,
            counters: Counters::default(),
        };
        Notifier {
            active: Some(Arc::new(active)),
        }
    }

    /// Whether events go anywhere. Worth a look only where making an event's data is itself dear.
    pub fn is_enabled(&self) -> bool {
        self.active.is_some()
    }

    /// Announces an event, and says what came of it to whoever cares.
    ///
    /// It never panics, and returns within the timeout (`OPTERYX_WEBHOOK_TIMEOUT`) and 300 ms,
    /// whatever the network does. An event that fails is logged as a warning, once, with its id, its
    /// kind, where it was to go and the reason; and counted.
    pub fn notify<D: Serialize>(&self, event: &Event<'_, D>) -> Outcome {
        let Some(active) = &self.active else {
            return Outcome::Disabled;
        };
        if !active.filter.admits(event.resource_type(), event.action()) {
            return Outcome::Filtered;
        }
        // The data's `Serialize` and the delivery may be the host's own, and may panic.
        let id = random_id();
        let encoded = contained(|| Message::encode(event, &id, &active.headers, &active.signer));
        match encoded.unwrap_or_else(|| Err(Kind::Panicked.into())) {
            Ok(message) => {
                let outcome = contained(|| active.delivery.deliver(&message))
                    .unwrap_or_else(|| Outcome::Failed(Kind::Panicked.into()));
                active.settle(&id, message.kind(), outcome)
            }
            Err(error) => {
                let kind = format!("{}.{}", event.resource_type(), event.action());
                active.settle(&id, &kind, Outcome::Failed(error))
            }
        }
    }

    /// What has come of the events so far.
    pub fn stats(&self) -> Stats {
        self.active
            .as_ref()
            .map_or(Stats::default(), |active| active.counters.read())
    }

    /// Waits until nothing that this notifier has taken is still on its way, for `timeout` at most,
    /// and says whether that is so.
    ///
    /// Without an outbox there is nothing to wait for: an event's outcome is known when
    /// [`notify`](Notifier::notify) returns.
    pub fn flush(&self, _timeout: Duration) -> bool {
        true
    }
}

impl fmt::Debug for Notifier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Notifier")
            .field(
                "destination",
                &self.active.as_ref().map(|active| &active.destination),
            )
            .field("stats", &self.stats())
            .finish()
    }
}

impl Active {
    /// Counts and logs an outcome: the one place where either is done.
    fn settle(&self, id: &str, kind: &str, outcome: Outcome) -> Outcome {
        self.counters.count(&outcome);
        let level = match &outcome {
            Outcome::Failed(_) => Level::Warn,
            _ => Level::Debug,
        };
        if log::log_enabled!(target: LOG_TARGET, level) {
            let (destination, kind) = (&self.destination, kind.escape_debug());
            // The reason may be an error of the host's own, which writes itself.
            let line = contained(|| format!("webhook {id} ({kind}) to {destination} {outcome}"));
            log((
                level,
                line.unwrap_or_else(|| format!("webhook {id}: its reason panics")),
            ));
        }
        outcome
    }
}

/// Something to log.
type Line = (Level, String);

fn warning(line: String) -> Line {
    (Level::Warn, line)
}

/// Logs a line, whatever the host's logger makes of it.
fn log((level, line): Line) {
    contained(|| log::log!(target: LOG_TARGET, level, "{line}"));
}

/// Runs what may be the host's own code, and keeps a panic in it from the host.
fn contained<T>(run: impl FnOnce() -> T) -> Option<T> {
    match catch_unwind(AssertUnwindSafe(run)) {
        Ok(value) => Some(value),
        Err(payload) => {
            // Dropping it could panic once more.
            std::mem::forget(payload);
            None
        }
    }
}

impl Counters {
    fn count(&self, outcome: &Outcome) {
        let counter = match outcome {
            Outcome::Delivered { .. } => &self.delivered,
            Outcome::Enqueued { .. } => &self.enqueued,
            Outcome::Stored => &self.stored,
            Outcome::Failed(_) => &self.failed,
            Outcome::Disabled | Outcome::Filtered => return,
        };
        counter.fetch_add(1, Ordering::Relaxed);
    }

    fn read(&self) -> Stats {
        Stats {
            delivered: self.delivered.load(Ordering::Relaxed),
            enqueued: self.enqueued.load(Ordering::Relaxed),
            stored: self.stored.load(Ordering::Relaxed),
            failed: self.failed.load(Ordering::Relaxed),
        }
    }
}

/// Announces an event on the notifier of the whole process, which is made from the environment at
/// the first call, as by [`Notifier::from_env`].
///
/// ```
/// use opteryx_webhooks::{Event, ViewCreated};
///
/// let view = ViewCreated { definition: "SELECT 1", ..Default::default() };
/// opteryx_webhooks::notify(&Event::view_created("my-workspace", "my-collection", "my-view", view));
/// ```
pub fn notify<D: Serialize>(event: &Event<'_, D>) -> Outcome {
    static NOTIFIER: OnceLock<Notifier> = OnceLock::new();
    if let Some(notifier) = NOTIFIER.get() {
        return notifier.notify(event);
    }
    let (made, lines) = Notifier::from_env_or_disabled();
    let mut is_first = false;
    let notifier = NOTIFIER.get_or_init(|| {
        is_first = true;
        made
    });
    // Not while it is made: the logger may itself have something to announce.
    if is_first {
        lines.into_iter().for_each(log);
    }
    notifier.notify(event)
}
