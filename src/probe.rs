//! Whether anyone answers at the other end, asked without sending an event.

use std::fmt;

use crate::error::DeliveryError;
use crate::headers::ExtraHeaders;

/// What answered [`Notifier::probe`](crate::Notifier::probe).
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Reached {
    /// There was nothing to ask: the notifier is off, or its delivery is the host's own.
    Nothing,
    /// The receiver answered. Whatever the status, something is there that speaks HTTP; many
    /// receivers answer 405 to what is no event.
    #[non_exhaustive]
    Receiver {
        /// The status of its answer.
        status: u16,
        /// Where it pointed, if the answer is a redirect: scheme, host and path alone. An event
        /// would not follow.
        location: Option<String>,
    },
    /// Cloud Tasks answered, and has the queue.
    #[non_exhaustive]
    Queue {
        /// Whether it delivers what is put into it. One that has been paused or disabled does not,
        /// until it is resumed.
        is_running: bool,
    },
    /// Cloud Tasks answered, but does not let this account look at the queue. It may put events into
    /// it all the same: the role `roles/cloudtasks.enqueuer` allows only that. Nor is it known
    /// whether there is such a queue.
    #[non_exhaustive]
    HiddenQueue {
        /// What Cloud Tasks says about it.
        reason: String,
    },
}

/// One line for people.
impl fmt::Display for Reached {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Reached::Nothing => f.write_str("there was nothing to ask"),
            Reached::Receiver { status, .. } => write!(f, "the receiver answered {status}"),
            Reached::Queue { is_running: true } => {
                f.write_str("Cloud Tasks answered, and the queue is running")
            }
            Reached::Queue { is_running: false } => {
                f.write_str("Cloud Tasks answered, and the queue is paused or disabled")
            }
            Reached::HiddenQueue { .. } => {
                f.write_str("Cloud Tasks answered, but does not let this account look at the queue")
            }
        }
    }
}

/// A road whose other end can be asked. Not part of [`Delivery`](crate::Delivery), which hosts
/// implement, and which is to ask nothing more of them than to deliver.
pub(crate) trait Probe: Send + Sync {
    /// Asks once, within the time for one event.
    fn probe(&self, headers: &ExtraHeaders) -> Result<Reached, DeliveryError>;
}
