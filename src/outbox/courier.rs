//! The threads that deliver what a worker has claimed.

use std::io;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant, SystemTime};

use super::Setup;
use super::store::{Attempt, Claim, Next};
use super::worker::Signal;
use crate::delivery::{Delivery, Outcome, answer};
use crate::draw::draw;
use crate::error::{Chain, DeliveryError};
use crate::event::unix_ms;
use crate::message::{Message, Parts};
use crate::report::{contained, log_outcome};

/// Threads that each deliver one message at a time, and report to the worker.
pub(super) struct Couriers<D> {
    setup: Arc<Setup>,
    delivery: Arc<D>,
    reports: Sender<Signal>,
    claims: Sender<Claim>,
    queue: Arc<Mutex<Receiver<Claim>>>,
    started: usize,
}

impl<D: Delivery + 'static> Couriers<D> {
    /// None of them is started before it is needed.
    pub(super) fn new(setup: Arc<Setup>, delivery: Arc<D>, reports: Sender<Signal>) -> Couriers<D> {
        let (claims, queue) = channel();
        Couriers {
            setup,
            delivery,
            reports,
            claims,
            queue: Arc::new(Mutex::new(queue)),
            started: 0,
        }
    }

    /// Has a message delivered, where so many are on their way already.
    pub(super) fn deliver(&mut self, claim: Claim, underway: usize) {
        if underway >= self.started && self.start().is_ok() {
            self.started += 1;
        }
        if self.started == 0 {
            // Where no thread can be had, the worker's own has to do.
            report(&self.reports, attempt(&self.setup, &self.delivery, claim));
        } else {
            // It fails only if every courier is gone, and they go only after this.
            let _ = self.claims.send(claim);
        }
    }

    fn start(&self) -> io::Result<()> {
        let (setup, delivery) = (Arc::clone(&self.setup), Arc::clone(&self.delivery));
        let (queue, reports) = (Arc::clone(&self.queue), self.reports.clone());
        thread::Builder::new()
            .name("opteryx-webhooks-courier".to_owned())
            .spawn(move || {
                loop {
                    let claim = queue.lock().unwrap_or_else(PoisonError::into_inner).recv();
                    let Ok(claim) = claim else { return };
                    report(&reports, attempt(&setup, &delivery, claim));
                }
            })
            .map(drop)
    }
}

fn report(reports: &Sender<Signal>, attempt: Attempt) {
    // Without a worker there is nobody to put it down, and the claim runs out.
    let _ = reports.send(Signal::Attempted(attempt));
}

/// Makes one attempt, and says what is to become of the message.
fn attempt(setup: &Setup, delivery: &impl Delivery, claim: Claim) -> Attempt {
    let parts = Parts {
        id: &claim.id,
        event_type: &claim.event_type,
        source: &claim.source,
        subject: Some(claim.subject.as_str()).filter(|subject| !subject.is_empty()),
        time: claim.time.as_deref(),
    };
    let message = Message::restored(parts, claim.body, &setup.envelope);
    let (at, started) = (unix_ms(SystemTime::now()), Instant::now());
    let (outcome, answer) = answer::heard(|| contained(|| delivery.deliver(&message)));
    let duration = started.elapsed();
    let outcome = outcome
        .unwrap_or_else(|| Outcome::Failed(DeliveryError::new("a panic on the way, caught")));

    let mut attempt = Attempt {
        seq: claim.seq,
        at,
        duration,
        status: None,
        error: None,
        answer,
        next: Next::Delivered,
    };
    let mut what_follows = String::new();
    match &outcome {
        Outcome::Delivered { status } => attempt.status = Some(*status),
        Outcome::Enqueued { task } => attempt.answer = Some(task.clone()),
        Outcome::Failed(error) => {
            let failures = claim.failures as usize + 1;
            let wait = setup.outbox.retry.after(failures, error, draw());
            attempt.status = error.status();
            // The reason may be an error of the host's own, which writes itself.
            attempt.error = contained(|| Chain(error).to_string())
                .or_else(|| Some("its reason panics".to_owned()));
            attempt.next = wait.map_or(Next::Dead, |wait| {
                let wait = i64::try_from(wait.as_millis()).unwrap_or(i64::MAX);
                Next::Again(unix_ms(SystemTime::now()).saturating_add(wait))
            });
            what_follows = match wait {
                Some(wait) => format!(
                    "; failure {failures} of {}, the next attempt is in {:?}",
                    setup.outbox.retry.attempts(),
                    rounded(wait)
                ),
                None => "; it is a dead letter now".to_owned(),
            };
        }
        // Whoever delivers has taken it, or does not want it.
        Outcome::Stored | Outcome::Disabled | Outcome::Filtered => {}
    }
    let (id, kind, destination) = (message.id(), message.kind(), &setup.destination);
    match &attempt.error {
        Some(reason) => {
            let came = format_args!("was not delivered: {reason}{what_follows}");
            log_outcome(&outcome, id, kind, destination, came);
        }
        None => log_outcome(&outcome, id, kind, destination, &outcome),
    }
    attempt
}

/// To what a reader of the log cares for.
fn rounded(wait: Duration) -> Duration {
    if wait < Duration::from_secs(1) {
        wait
    } else {
        Duration::from_secs(wait.as_secs())
    }
}
