//! A road of the host's own: every notification becomes a line of JSON on standard output, where a
//! broker's client or an audit log would stand in a service.
//!
//! `cargo run --example custom_delivery`

use std::io::{self, Write};
use std::process::ExitCode;
use std::sync::{Mutex, PoisonError};

use opteryx_webhooks::{Delivery, DeliveryError, Event, Message, Notifier, Outcome, ViewCreated};

/// Writes each message's body as one line.
struct JsonLines<W> {
    // `deliver` is called from many threads at once.
    lines: Mutex<W>,
}

impl<W: Write + Send> Delivery for JsonLines<W> {
    fn deliver(&self, message: &Message) -> Outcome {
        let mut lines = self.lines.lock().unwrap_or_else(PoisonError::into_inner);
        let written = lines
            .write_all(message.body())
            .and_then(|()| lines.write_all(b"\n"))
            .and_then(|()| lines.flush());
        match written {
            Ok(()) => Outcome::Stored,
            // The notifier logs and counts it. A reader who has gone is worth another attempt later.
            Err(error) => {
                Outcome::Failed(DeliveryError::new("the line was not written").with_source(error))
            }
        }
    }
}

fn main() -> ExitCode {
    env_logger::Builder::from_env(env_logger::Env::default().default_filter_or("warn")).init();

    let notifier = Notifier::with_delivery(JsonLines {
        lines: Mutex::new(io::stdout()),
    });
    let outcome = notifier.notify(&Event::view_created(
        "my-workspace",
        "my-collection",
        "my-view",
        ViewCreated {
            definition: "SELECT 1",
            ..Default::default()
        },
    ));
    if outcome.is_ok() {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    }
}
