//! The roads that a message can take, and what came of it.

pub(crate) mod answer;
#[cfg(feature = "cloud-tasks")]
mod cloud_tasks;
mod direct;
mod recorder;

#[cfg(feature = "cloud-tasks")]
pub(crate) use cloud_tasks::{CloudTasks, Queue, QueueVariables, Site, SiteVariables};
pub(crate) use direct::Direct;
pub use recorder::Recorder;

use std::fmt;
use std::sync::Arc;

use crate::error::{Chain, DeliveryError};
use crate::message::Message;

/// A road that messages take.
///
/// A [`Notifier`](crate::Notifier) made from the environment brings its own. A host that delivers
/// elsewhere (to its message broker, its audit log) implements this and hands it to
/// [`Notifier::with_delivery`](crate::Notifier::with_delivery); `examples/custom_delivery.rs` shows
/// how.
pub trait Delivery: Send + Sync {
    /// Delivers one message, and says what came of it.
    ///
    /// It is called in the thread that called `notify`, from many threads at once, while a catalog
    /// operation waits: whatever it does should end soon. A panic in it is caught and counts as a
    /// failure. The notifier logs and counts the outcome, so this need not.
    fn deliver(&self, message: &Message) -> Outcome;
}

impl<D: Delivery + ?Sized> Delivery for Arc<D> {
    fn deliver(&self, message: &Message) -> Outcome {
        (**self).deliver(message)
    }
}

impl<D: Delivery + ?Sized> Delivery for Box<D> {
    fn deliver(&self, message: &Message) -> Outcome {
        (**self).deliver(message)
    }
}

/// What came of a notification. Nobody has to look at it: it has been logged and counted.
#[derive(Debug)]
#[non_exhaustive]
// With a tag of its own, and not in the niches of a `String`: so the compiler sees that there is nothing
// to drop in the outcome of an event that goes nowhere.
#[repr(u8)]
pub enum Outcome {
    /// The notifier is off.
    Disabled,
    /// `OPTERYX_WEBHOOK_EVENTS` leaves this kind of event out.
    Filtered,
    /// The receiver took it.
    Delivered {
        /// The receiver's answer, a 2xx status.
        status: u16,
    },
    /// A queue took it, and will deliver it.
    Enqueued {
        /// The task's full name in the queue.
        task: String,
    },
    /// It is on disk, and will be delivered.
    Stored,
    /// It is not known to have been delivered, and this notifier does nothing more about it. After a
    /// timeout or a lost connection it may have arrived all the same.
    Failed(DeliveryError),
}

impl Outcome {
    /// What the reference's `send` returns: whether the event was sent, or is safely on its way.
    ///
    /// As there, a notifier that is off has not sent it.
    pub fn is_ok(&self) -> bool {
        matches!(
            self,
            Outcome::Delivered { .. } | Outcome::Enqueued { .. } | Outcome::Stored
        )
    }

    /// Why it failed, if it did.
    pub fn error(&self) -> Option<&DeliveryError> {
        match self {
            Outcome::Failed(error) => Some(error),
            _ => None,
        }
    }
}

/// One line for people, with the reason of a failure.
impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Outcome::Disabled => f.write_str("was not sent: the notifier is off"),
            Outcome::Filtered => f.write_str("was not sent: OPTERYX_WEBHOOK_EVENTS leaves it out"),
            Outcome::Delivered { status } => {
                write!(f, "was delivered: the receiver answered {status}")
            }
            Outcome::Enqueued { task } => write!(f, "was enqueued as {task}"),
            Outcome::Stored => f.write_str("was stored"),
            Outcome::Failed(error) => write!(f, "was not delivered: {}", Chain(error)),
        }
    }
}

impl From<Result<Outcome, DeliveryError>> for Outcome {
    fn from(result: Result<Outcome, DeliveryError>) -> Outcome {
        result.unwrap_or_else(Outcome::Failed)
    }
}
