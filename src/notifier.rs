//! The façade: takes events, and never troubles the one who brings them.

use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::{Duration, SystemTime};

use log::Level;
use serde::Serialize;

use crate::config::Config;
use crate::deadline;
#[cfg(feature = "cloud-tasks")]
use crate::delivery::CloudTasks;
use crate::delivery::{Delivery, Direct, Outcome};
use crate::error::{ConfigError, DeliveryError, Kind};
use crate::event::Event;
use crate::filter::Filter;
use crate::id::{Id, Ids};
use crate::message::{Envelope, Message};
#[cfg(feature = "outbox")]
use crate::outbox::{Outbox, OutboxStats};
use crate::probe::{Probe, Reached};
use crate::report::{Line, contained, log, log_outcome, warning};

/// Where messages go that a host delivers itself, for the log.
pub(crate) const HOSTS_OWN: &str = "the host's own delivery";

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
    ids: Ids,
    /// None is the host's own affair, as its delivery is.
    timeout: Option<Duration>,
    envelope: Arc<Envelope>,
    delivery: Box<dyn Delivery>,
    /// The delivery once more, where it is an outbox.
    #[cfg(feature = "outbox")]
    outbox: Option<Arc<Outbox<Box<dyn Delivery>>>>,
    /// Asks whether the other end of the delivery answers; a host's own knows nothing of that.
    probe: Option<Arc<dyn Probe>>,
    /// Where the delivery leads, for the log.
    destination: String,
    counters: Counters,
}

/// On cache lines of their own: each event writes here, and reads what stands beside them.
#[derive(Default)]
#[repr(align(128))]
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
    /// What has become of the events in the outbox's file, since that was made and over all processes
    /// that share it; none where there is no outbox, or its file cannot be read at this moment.
    #[cfg(feature = "outbox")]
    pub outbox: Option<OutboxStats>,
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
    pub fn new(mut config: Config) -> Notifier {
        let Some(endpoint) = config.endpoint.take() else {
            return Notifier::disabled();
        };
        #[cfg(feature = "cloud-tasks")]
        if let Some(queue) = config.queue.take() {
            let destination = format!("{endpoint} through {}", queue.path);
            let trust = config.trust.clone();
            let tasks = Arc::new(CloudTasks::new(endpoint, queue, config.timeout, trust));
            let delivery = Box::new(Arc::clone(&tasks));
            return Notifier::active(config, delivery, Some(tasks), destination);
        }
        let destination = endpoint.to_string();
        let (proxy, trust) = (config.proxy.take(), config.trust.clone());
        let direct = Arc::new(Direct::new(endpoint, config.timeout, proxy, trust));
        let delivery = Box::new(Arc::clone(&direct));
        Notifier::active(config, delivery, Some(direct), destination)
    }

    /// A notifier that hands every message to this delivery: a [`Recorder`](crate::Recorder) in
    /// tests, or a road of the host's own. This reads no environment variable.
    pub fn with_delivery(delivery: impl Delivery + 'static) -> Notifier {
        Notifier::with_config_and_delivery(Config::default(), delivery)
    }

    /// The same with what a configuration says of the messages: which events are sent, their
    /// further headers and their signatures, and with what it says of an outbox, which then stands
    /// before this delivery. What it says of the road (domain, queue, proxy) is not used. This reads no
    /// environment variable.
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
        Notifier::active(config, Box::new(delivery), None, HOSTS_OWN.to_owned())
    }

    /// A notifier that is off: every event's outcome is [`Outcome::Disabled`].
    pub const fn disabled() -> Notifier {
        Notifier { active: None }
    }

    fn active(
        config: Config,
        delivery: Box<dyn Delivery>,
        probe: Option<Arc<dyn Probe>>,
        destination: String,
    ) -> Notifier {
        #[cfg(feature = "outbox")]
        let (outbox, delivery) = match config.outbox {
            Some(outbox) => {
                let outbox = Arc::new(Outbox::configured(
                    outbox,
                    config.timeout,
                    Arc::clone(&config.envelope),
                    destination.clone(),
                    delivery,
                ));
                (
                    Some(Arc::clone(&outbox)),
                    Box::new(outbox) as Box<dyn Delivery>,
                )
            }
            None => (None, delivery),
        };
        let active = Active {
            filter: config.filter,
            ids: Ids::new(),
            timeout: probe.is_some().then_some(config.timeout),
            envelope: config.envelope,
            delivery,
            #[cfg(feature = "outbox")]
            outbox,
            probe,
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
    #[inline(always)]
    pub fn notify<D: Serialize>(&self, event: &Event<'_, D>) -> Outcome {
        match self.admitting(event) {
            Ok(active) => active.announce(event),
            Err(outcome) => outcome,
        }
    }

    /// The same, and says which id the event went out with: its `webhook-id` at the receiver, and
    /// what the log names it by. For a host that keeps it beside what it announced, so that one can
    /// be found by the other. There is none where the notifier is off or leaves the event out.
    ///
    /// ```
    /// use opteryx_webhooks::{Event, Notifier, Recorder};
    ///
    /// let recorder = Recorder::new();
    /// let notifier = Notifier::with_delivery(recorder.clone());
    /// let event = Event::new("create", "view", "my-workspace", Some("my-collection"), "my-view");
    /// let (outcome, id) = notifier.notify_with_id(&event);
    /// assert!(outcome.is_ok());
    /// assert_eq!(id.as_deref(), Some(recorder.messages()[0].id()));
    /// ```
    pub fn notify_with_id<D: Serialize>(&self, event: &Event<'_, D>) -> (Outcome, Option<String>) {
        match self.admitting(event) {
            Ok(active) => {
                let now = SystemTime::now();
                let id = active.ids.draw(now);
                let outcome = active.announce_as(id, now, event, |m| active.delivery.deliver(m));
                (outcome, Some(id.to_string()))
            }
            Err(outcome) => (outcome, None),
        }
    }

    /// Stores an event by a connection of the host's, in whatever transaction that is in: the event is
    /// announced if, and only if, the transaction commits. For a host that keeps its catalog in SQLite
    /// and has its tables in the file that `OPTERYX_WEBHOOK_OUTBOX` names.
    ///
    /// The outcome is `Stored`, or an error, and then the event goes no other road. It is delivered
    /// within a second of the commit.
    ///
    /// ```
    /// use opteryx_webhooks::outbox::rusqlite::Connection;
    /// use opteryx_webhooks::{Config, Event, Notifier, Outcome, Recorder, ViewCreated};
    ///
    /// # let folder = std::env::temp_dir().join(format!("opteryx-webhooks-{}", std::process::id()));
    /// # std::fs::create_dir_all(&folder)?;
    /// # let path = folder.join("catalog.db");
    /// # let config = Config::from_vars([("OPTERYX_WEBHOOK_OUTBOX", &path)])?;
    /// # let notifier = Notifier::with_config_and_delivery(config, Recorder::new());
    /// # while notifier.stats().outbox.is_none() {}
    /// let mut catalog = Connection::open(&path)?;
    /// # catalog.execute("CREATE TABLE view (name TEXT)", [])?;
    /// let transaction = catalog.transaction()?;
    /// transaction.execute("INSERT INTO view (name) VALUES ('my-view')", [])?;
    /// let view = ViewCreated { definition: "SELECT 1", ..Default::default() };
    /// let event = Event::view_created("my-workspace", "my-collection", "my-view", view);
    /// assert!(matches!(notifier.notify_in(&transaction, &event), Outcome::Stored));
    /// transaction.commit()?;
    /// # assert!(notifier.flush(std::time::Duration::from_secs(30)));
    /// # drop(notifier);
    /// # std::fs::remove_dir_all(&folder)?;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[cfg(feature = "outbox")]
    pub fn notify_in<D: Serialize>(
        &self,
        connection: &rusqlite::Connection,
        event: &Event<'_, D>,
    ) -> Outcome {
        let active = match self.admitting(event) {
            Ok(active) => active,
            Err(outcome) => return outcome,
        };
        let now = SystemTime::now();
        active.announce_as(active.ids.draw(now), now, event, |message| {
            match &active.outbox {
                Some(outbox) => outbox.store_in(connection, message),
                None => Outcome::Failed(DeliveryError::permanent(
                    "there is no outbox: OPTERYX_WEBHOOK_OUTBOX is not set",
                )),
            }
        })
    }

    /// What takes this event, or what has become of it already.
    #[inline(always)]
    fn admitting<D>(&self, event: &Event<'_, D>) -> Result<&Active, Outcome> {
        let Some(active) = &self.active else {
            return Err(Outcome::Disabled);
        };
        if !active.filter.admits(event.resource_type(), event.action()) {
            return Err(Outcome::Filtered);
        }
        Ok(active)
    }

    /// Asks whether the receiver, or the queue, answers, without sending an event: for a host's
    /// readiness check, and for an operator who wants to know before the first event does.
    ///
    /// It asks once, by the road that events take: through the same
    /// proxy, trusting the same certificates, with the same credentials, and, like
    /// [`notify`](Notifier::notify), it never panics and returns within the timeout and 300 ms. A
    /// receiver gets a `HEAD` of the event's URL with the headers of `OPTERYX_WEBHOOK_HEADERS`;
    /// Cloud Tasks is asked for the queue (`GetQueue`). What comes of it is not counted, and logged at
    /// `debug` alone.
    ///
    /// That it answers does not say that it will take an event, which only an event can show.
    ///
    /// ```
    /// use opteryx_webhooks::{Notifier, Reached};
    ///
    /// let notifier = Notifier::disabled();
    /// assert_eq!(notifier.probe()?, Reached::Nothing);
    /// # Ok::<(), opteryx_webhooks::DeliveryError>(())
    /// ```
    ///
    /// # Errors
    ///
    /// Why no answer came; or that Cloud Tasks does not know the queue, or not the account.
    pub fn probe(&self) -> Result<Reached, DeliveryError> {
        let Some((active, probe)) = self.active.as_ref().and_then(|active| {
            let probe = active.probe.as_ref()?;
            Some((active, probe))
        }) else {
            return Ok(Reached::Nothing);
        };
        let reached = contained(|| probe.probe(&active.envelope.headers))
            .unwrap_or_else(|| Err(Kind::Panicked.into()));
        let destination = &active.destination;
        log((
            Level::Debug,
            match &reached {
                Ok(reached) => format!("probe of {destination}: {reached}"),
                Err(error) => format!("probe of {destination}: {error:#}"),
            },
        ));
        reached
    }

    /// What has come of the events so far.
    pub fn stats(&self) -> Stats {
        let Some(active) = &self.active else {
            return Stats::default();
        };
        Stats {
            #[cfg(feature = "outbox")]
            outbox: active
                .outbox
                .as_ref()
                .and_then(|outbox| outbox.stats().ok()),
            ..active.counters.read()
        }
    }

    /// Waits until nothing is still on its way, for `timeout` at most, and says whether that is so.
    ///
    /// With an outbox that is until nothing in its file is pending, whoever stored it. Without one
    /// there is nothing to wait for: an event's outcome is known when [`notify`](Notifier::notify)
    /// returns.
    pub fn flush(&self, timeout: Duration) -> bool {
        #[cfg(feature = "outbox")]
        if let Some(outbox) = self
            .active
            .as_ref()
            .and_then(|active| active.outbox.as_ref())
        {
            return outbox.flush(timeout);
        }
        let _ = timeout;
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
    /// Encodes an event, and has it delivered.
    // Not in the host's own code, as what decides that an event goes nowhere is.
    #[inline(never)]
    fn announce<D: Serialize>(&self, event: &Event<'_, D>) -> Outcome {
        let now = SystemTime::now();
        self.announce_as(self.ids.draw(now), now, event, |message| {
            self.delivery.deliver(message)
        })
    }

    /// The same by this id and at this moment, whatever delivers it.
    fn announce_as<D: Serialize>(
        &self,
        id: Id,
        now: SystemTime,
        event: &Event<'_, D>,
        deliver: impl FnOnce(&Message) -> Outcome,
    ) -> Outcome {
        let run = || {
            // The data's `Serialize` and the delivery may be the host's own, and may panic.
            let message = contained(|| Message::encode(event, id, now, &self.envelope))
                .unwrap_or_else(|| Err(Kind::Panicked.into()))?;
            let outcome = contained(|| deliver(&message))
                .unwrap_or_else(|| Outcome::Failed(Kind::Panicked.into()));
            Ok((message, outcome))
        };
        let delivered: Result<_, DeliveryError> = match self.timeout {
            // What it takes to encode a large event is taken from its delivery's time.
            Some(timeout) => deadline::within(timeout, run),
            None => run(),
        };
        match delivered {
            Ok((message, outcome)) => self.settle(id, message.kind(), outcome),
            Err(error) => {
                let kind = format!("{}.{}", event.resource_type(), event.action());
                self.settle(id, &kind, Outcome::Failed(error))
            }
        }
    }

    /// Counts and logs an outcome: the one place where either is done.
    fn settle(&self, id: Id, kind: &str, outcome: Outcome) -> Outcome {
        self.counters.count(&outcome);
        log_outcome(&outcome, id, kind, &self.destination, &outcome);
        outcome
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
            #[cfg(feature = "outbox")]
            outbox: None,
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

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use super::*;

    /// Keeps how much time each delivery was left.
    struct Asks(Arc<Mutex<Vec<Duration>>>);

    impl Delivery for Asks {
        fn deliver(&self, _: &Message) -> Outcome {
            let left = deadline::remaining(Duration::MAX);
            self.0.lock().unwrap().push(left);
            Outcome::Stored
        }
    }

    #[test]
    fn a_hosts_own_delivery_takes_the_time_that_it_takes() {
        let left = Arc::default();
        let notifier = Notifier::with_delivery(Asks(Arc::clone(&left)));
        notifier.notify(&Event::new("create", "view", "w", Some("c"), "v"));
        assert_eq!(*left.lock().unwrap(), [Duration::MAX]);
    }
}
