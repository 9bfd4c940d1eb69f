//! The delivery that keeps what it is given, for a host's own tests.

use std::sync::{Arc, Mutex, PoisonError};

use crate::delivery::{Delivery, Outcome};
use crate::message::Message;

/// Keeps every message in memory and sends none, so that a host can test what it announces.
///
/// Clones share what they keep: give one to the notifier and look at the other.
///
/// ```
/// use opteryx_webhooks::{Event, Notifier, Recorder, ViewCreated};
///
/// let recorder = Recorder::new();
/// let notifier = Notifier::with_delivery(recorder.clone());
///
/// // … the host's code, which creates a view and announces it …
/// # let view = ViewCreated { definition: "SELECT 1", ..Default::default() };
/// notifier.notify(&Event::view_created("my-workspace", "my-collection", "my-view", view));
///
/// let messages = recorder.messages();
/// assert_eq!(messages.len(), 1);
/// assert_eq!(messages[0].event_type(), "app.opteryx.view.create");
/// let body: serde_json::Value = serde_json::from_slice(messages[0].body())?;
/// assert_eq!(body["event"]["resource_name"], "my-view");
/// # Ok::<(), serde_json::Error>(())
/// ```
#[derive(Clone, Debug, Default)]
pub struct Recorder(Arc<Mutex<Vec<Message>>>);

impl Recorder {
    /// One that has kept nothing yet.
    pub fn new() -> Recorder {
        Recorder::default()
    }

    /// What it has been given so far, in that order.
    pub fn messages(&self) -> Vec<Message> {
        self.0
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    /// The same, and forgets it.
    pub fn take(&self) -> Vec<Message> {
        std::mem::take(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl Delivery for Recorder {
    /// Always delivered, with the status 200.
    fn deliver(&self, message: &Message) -> Outcome {
        self.0
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .push(message.clone());
        Outcome::Delivered { status: 200 }
    }
}
