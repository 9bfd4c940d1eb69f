//! What came of an event, as the sender was told: one byte for each, on disk, so that the sender's own
//! memory stays as it is.

use opteryx_webhooks::{DeliveryError, Outcome};

use crate::records::{BROKEN, GONE, HALVED, Record, STALLED, TOO_MANY, UNAVAILABLE};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum Came {
    Delivered,
    Stored,
    TimedOut,
    Lost,
    NoConnection,
    NoHttp,
    Unavailable,
    TooMany,
    Gone,
    /// Nothing that this receiver does can lead to it.
    Other,
}

const ALL: [Came; 10] = [
    Came::Delivered,
    Came::Stored,
    Came::TimedOut,
    Came::Lost,
    Came::NoConnection,
    Came::NoHttp,
    Came::Unavailable,
    Came::TooMany,
    Came::Gone,
    Came::Other,
];

impl Came {
    pub(crate) fn of(outcome: &Outcome) -> Came {
        match outcome {
            Outcome::Delivered { .. } => Came::Delivered,
            Outcome::Stored => Came::Stored,
            Outcome::Failed(error) => Came::of_error(error),
            _ => Came::Other,
        }
    }

    fn of_error(error: &DeliveryError) -> Came {
        match error.status() {
            Some(503) => return Came::Unavailable,
            Some(429) => return Came::TooMany,
            Some(410) => return Came::Gone,
            Some(_) => return Came::Other,
            None if error.is_timeout() => return Came::TimedOut,
            None => {}
        }
        let reason = error.to_string();
        if reason.starts_with("the connection was lost") {
            Came::Lost
        } else if reason == "no connection to the receiver" {
            Came::NoConnection
        } else if reason == "the answer is not HTTP/1.1" {
            Came::NoHttp
        } else {
            Came::Other
        }
    }

    pub(crate) fn from_byte(byte: u8) -> Came {
        ALL.get(usize::from(byte)).copied().unwrap_or(Came::Other)
    }

    pub(crate) fn is_failure(self) -> bool {
        !matches!(self, Came::Delivered | Came::Stored)
    }

    /// Whether it is no failure, or what befell the event at the receiver explains it. One that never
    /// arrived there can have come while it was restarting, or was still to accept the connection.
    pub(crate) fn is_explained(self, record: &Record) -> bool {
        let never_arrived = record.seen == 0;
        match self {
            Came::Delivered | Came::Stored => true,
            // A connection that broke is replaced, and the next one may be none that is accepted.
            Came::TimedOut => never_arrived || record.has(STALLED | BROKEN),
            Came::Lost | Came::NoConnection => never_arrived || record.has(BROKEN),
            Came::NoHttp => record.has(HALVED),
            Came::Unavailable => record.has(UNAVAILABLE),
            Came::TooMany => record.has(TOO_MANY),
            Came::Gone => record.has(GONE),
            Came::Other => false,
        }
    }
}
