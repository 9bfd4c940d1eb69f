//! Who answers at the other end, and what to make of it.

use std::time::{Duration, Instant};

use opteryx_webhooks::{DeliveryError, Notifier, Reached};
use serde::Serialize;

/// What came of asking.
#[derive(Serialize)]
pub(crate) struct Probe {
    pub(crate) grade: Grade,
    /// The answer, or why there is none.
    pub(crate) answer: String,
    /// What that most likely means, where it means something.
    pub(crate) hint: Option<String>,
    pub(crate) status: Option<u16>,
    pub(crate) milliseconds: f64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Grade {
    Well,
    Warning,
    Wrong,
}

impl Probe {
    /// Asks, unless there is nothing to ask.
    pub(crate) fn make(notifier: &Notifier) -> Option<Probe> {
        let started = Instant::now();
        let reached = notifier.probe();
        let milliseconds = milliseconds(started.elapsed());
        let (grade, hint) = match &reached {
            Ok(Reached::Nothing) => return None,
            Ok(reached) => judge(reached),
            Err(error) => (Grade::Wrong, remedy(error)),
        };
        let status = match &reached {
            Ok(Reached::Receiver { status, .. }) => Some(*status),
            _ => None,
        };
        Some(Probe {
            grade,
            answer: match &reached {
                Ok(reached) => reached.to_string(),
                Err(error) => format!("{error:#}"),
            },
            hint,
            status,
            milliseconds,
        })
    }
}

fn judge(reached: &Reached) -> (Grade, Option<String>) {
    let (grade, hint) = match reached {
        Reached::Receiver {
            status, location, ..
        } => {
            return judge_status(*status, location.as_deref());
        }
        Reached::Queue {
            is_running: true, ..
        } => return (Grade::Well, None),
        Reached::Queue {
            is_running: false, ..
        } => (
            Grade::Warning,
            "it takes events and delivers none until it is resumed (`gcloud tasks queues resume`)"
                .to_owned(),
        ),
        Reached::HiddenQueue { reason, .. } => (
            Grade::Well,
            format!(
                "it may put events into it all the same, for which roles/cloudtasks.enqueuer is \
                 enough; `send` tells. Cloud Tasks says: {reason}"
            ),
        ),
        _ => return (Grade::Well, None),
    };
    (grade, Some(hint))
}

/// The question was no event, so only some answers say what an event's would be.
fn judge_status(status: u16, location: Option<&str>) -> (Grade, Option<String>) {
    let (grade, hint) = match (status, location) {
        (300..=399, Some(location)) => {
            let hint = format!(
                "it points to {location}, and events do not follow: OPTERYX_WEBHOOK_DOMAIN must \
                 name the receiver itself"
            );
            return (Grade::Wrong, Some(hint));
        }
        (300..=399, None) => (
            Grade::Wrong,
            "it would have events go elsewhere, and does not say where",
        ),
        (401 | 403, _) => (
            Grade::Well,
            "as it should if it takes only what is signed, which the question was not; `send` tells",
        ),
        (404, _) => (
            Grade::Warning,
            "there may be no receiver at this path: OPTERYX_WEBHOOK_DOMAIN is its host and the path \
             before /event; `send` tells",
        ),
        (405, _) => (Grade::Well, "as usual: it takes POST alone"),
        (410, _) => (Grade::Warning, "the receiver says that it is gone for good"),
        (429, _) => (Grade::Warning, "it is asked too often"),
        (500.., _) => (
            Grade::Warning,
            "it, or a gateway before it, is in trouble; `send` tells whether events are, too",
        ),
        _ => return (Grade::Well, None),
    };
    (grade, Some(hint.to_owned()))
}

/// Where to look when nobody answers, as far as the error does not say so itself.
fn remedy(error: &DeliveryError) -> Option<String> {
    let line = error.to_string();
    let hint = if error.is_timeout() {
        "a firewall drops what is sent there, or OPTERYX_WEBHOOK_TIMEOUT is too short"
    } else if line.contains("TLS handshake") {
        "the certificate must be for the host in OPTERYX_WEBHOOK_DOMAIN, and come from a CA that \
         SSL_CERT_FILE or the system has; a receiver in plain text is `http://…`"
    } else if line.contains("could not be resolved") {
        "see whether the host is spelt right, and known to this machine"
    } else if line.starts_with("no connection") {
        "see whether it runs, listens on this port, and can be reached from this machine"
    } else if line.contains("NOT_FOUND") || line.contains("FAILED_PRECONDITION") {
        "see whether project, location and queue in OPTERYX_WEBHOOK_QUEUE are right, and the queue \
         has been created"
    } else {
        return None;
    };
    Some(hint.to_owned())
}

/// In tenths.
pub(crate) fn milliseconds(duration: Duration) -> f64 {
    (duration.as_secs_f64() * 10_000.0).round() / 10.0
}
