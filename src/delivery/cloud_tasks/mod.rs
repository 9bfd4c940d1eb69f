//! Through a queue of Google Cloud Tasks: one call that stores a task, one deadline.
//!
//! gRPC is asynchronous and the caller is not, or is so in a runtime of its own that must not be
//! blocked on. So everything asynchronous lives in one thread, the [`Worker`]'s; the caller hands it
//! a task and waits with a time limit.

mod connection;
mod credentials;
mod queue;
mod reason;
mod retry;
mod service;
mod task;
mod variables;
mod worker;

use std::error::Error as _;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use gcloud_sdk::google::cloud::tasks::v2::GetQueueRequest;
use gcloud_sdk::google::cloud::tasks::v2::queue::State;
use tonic::Code;

use crate::deadline;
use crate::delivery::{Delivery, Outcome};
use crate::endpoint::Endpoint;
use crate::error::{Chain, DeliveryError, Kind};
use crate::headers::ExtraHeaders;
use crate::message::Message;
use crate::probe::{Probe, Reached};
use crate::process::PerProcess;
use crate::trust::Trust;

pub(crate) use queue::{Queue, Site};
pub(crate) use variables::{QueueVariables, SiteVariables};

use connection::Settings;
use service::{Call, Reply};
use worker::{Answer, Worker};

/// How long past the deadline the worker's own account of a failure is waited for. It says more than
/// that the time is up.
const GRACE: Duration = Duration::from_millis(200);

/// How many of the threads there may be at once: one, and those that were given up and hang.
const MAX_ALIVE: usize = 8;

/// Puts messages into a queue, as tasks that deliver them to the endpoint.
pub(crate) struct CloudTasks {
    endpoint: Endpoint,
    queue: Queue,
    timeout: Duration,
    settings: Settings,
    workers: PerProcess<Workers>,
}

/// A process's workers.
#[derive(Default)]
struct Workers {
    /// Made at the first event, and anew after one that left it unusable.
    current: Mutex<Option<Arc<Worker>>>,
    /// How many threads there are, with those that hang.
    alive: Arc<AtomicUsize>,
}

impl CloudTasks {
    pub(crate) fn new(
        endpoint: Endpoint,
        queue: Queue,
        timeout: Duration,
        trust: Trust,
    ) -> CloudTasks {
        let settings = Settings {
            site: queue.site.clone(),
            timeout,
            proxy: queue.proxy.clone(),
            trust,
        };
        CloudTasks {
            endpoint,
            queue,
            timeout,
            settings,
            workers: PerProcess::new(),
        }
    }

    fn worker(&self) -> Result<Arc<Worker>, DeliveryError> {
        let mut slot = self.slot();
        if let Some(worker) = &*slot {
            return Ok(Arc::clone(worker));
        }
        let alive = &self.workers.get().alive;
        if alive.load(Ordering::Relaxed) >= MAX_ALIVE {
            return Err(DeliveryError::new(
                "the threads that speak to Cloud Tasks hang, most likely reading a file of \
                 credentials or CA certificates",
            ));
        }
        let worker = Worker::start(self.settings.clone(), alive).map_err(|error| {
            DeliveryError::new("the thread that speaks to Cloud Tasks could not be started")
                .with_source(error)
        })?;
        Ok(Arc::clone(slot.insert(Arc::new(worker))))
    }

    /// The next event gets a new worker. Who still waits for this one goes on waiting.
    fn discard(&self, worker: &Arc<Worker>) {
        let mut slot = self.slot();
        if slot
            .as_ref()
            .is_some_and(|current| Arc::ptr_eq(current, worker))
        {
            *slot = None;
        }
    }

    fn slot(&self) -> std::sync::MutexGuard<'_, Option<Arc<Worker>>> {
        let slot = &self.workers.get().current;
        // A panic while it was held left a worker or none, and either will do.
        slot.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn enqueue(&self, message: &Message) -> Result<Outcome, DeliveryError> {
        let deadline = deadline::end_of(self.timeout);
        let creation = task::creation(&self.queue, &self.endpoint, message);
        self.make(Call::Create(Arc::new(creation)), deadline)?;
        Ok(Outcome::Enqueued {
            task: self.queue.path.task(message.id()),
        })
    }

    fn make(&self, call: Call, deadline: Instant) -> Result<Reply, DeliveryError> {
        // An earlier event may have left a dead worker, so the second is a new one.
        for _ in 0..2 {
            let worker = self.worker()?;
            match worker.make(call.clone(), deadline, deadline + GRACE) {
                Answer::Done(reply) => return Ok(reply),
                Answer::Failed(error) => return Err(error),
                Answer::Stuck(error) => {
                    self.discard(&worker);
                    return Err(error);
                }
                Answer::Late => {
                    self.discard(&worker);
                    return Err(Kind::Timeout {
                        limit: self.timeout,
                        during: "without a word from the thread that speaks to Cloud Tasks",
                    }
                    .into());
                }
                Answer::Gone => self.discard(&worker),
            }
        }
        Err(DeliveryError::new(
            "the thread that speaks to Cloud Tasks panicked",
        ))
    }
}

impl Delivery for CloudTasks {
    fn deliver(&self, message: &Message) -> Outcome {
        self.enqueue(message).into()
    }
}

/// `GetQueue`. The account that may put tasks into the queue need not be one that may look at it.
impl Probe for CloudTasks {
    fn probe(&self, _: &ExtraHeaders) -> Result<Reached, DeliveryError> {
        let deadline = deadline::end_of(self.timeout);
        let look = GetQueueRequest {
            name: self.queue.path.to_string(),
        };
        let error = match self.make(Call::Look(look), deadline) {
            Ok(state) => {
                let is_stopped = matches!(state, Some(State::Paused | State::Disabled));
                return Ok(Reached::Queue {
                    is_running: !is_stopped,
                });
            }
            Err(error) => error,
        };
        let Kind::Queue { code, .. } = error.kind() else {
            return Err(error);
        };
        let reason = error.source().map(|below| Chain(below).to_string());
        let reason = reason.unwrap_or_default();
        if *code == retry::name(Code::PermissionDenied) {
            Ok(Reached::HiddenQueue { reason })
        } else {
            // Its own reason does not say which queue it is about.
            let reason = format!("{}: {reason}", self.queue.path);
            Err(error.with_source(reason))
        }
    }
}
