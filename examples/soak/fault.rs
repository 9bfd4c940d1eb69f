//! What the receiver does to a request, and to all of them at once.

use std::ops::Range;

use crate::chance::Chance;

/// What becomes of one request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fault {
    /// It is taken, after a while.
    Slow,
    /// It is answered when the sender's time has run out.
    Stall,
    /// It is refused with 503.
    Unavailable,
    /// It is refused with 429 and `Retry-After: 1`.
    TooMany,
    /// It is refused with 410.
    Gone,
    /// The connection is reset.
    Reset,
    /// The connection is closed, without an answer.
    HangUp,
    /// The connection is closed in the middle of the answer's head.
    HalfHead,
    /// It is taken, and the connection closed in the middle of the answer's body.
    HalfBody,
    /// It is taken, and the answer's body longer than any sender should read.
    LongBody,
}

/// What becomes of all that come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Episode {
    /// The receiver closes its port and all connections, and comes back on the same port.
    Restart,
    /// It neither accepts a connection nor answers.
    Stall,
    /// It refuses everything with 503.
    Refusal,
}

/// How many of so many requests each fault befalls.
const OF: u64 = 100_000;
const FAULTS: [(Fault, u64); 10] = [
    (Fault::Slow, 100),
    (Fault::Stall, 10),
    (Fault::Unavailable, 500),
    (Fault::TooMany, 100),
    (Fault::Gone, 100),
    (Fault::Reset, 200),
    (Fault::HangUp, 200),
    (Fault::HalfHead, 200),
    (Fault::HalfBody, 100),
    (Fault::LongBody, 100),
];

/// How long each episode lasts, in milliseconds.
const EPISODES: [(Episode, Range<u64>); 3] = [
    (Episode::Restart, 20..400),
    (Episode::Stall, 200..1_600),
    (Episode::Refusal, 50..400),
];

/// How long after one episode the next begins, in milliseconds.
pub(crate) const BETWEEN_EPISODES: Range<u64> = 300..4_000;

/// How long a slow answer takes, in milliseconds.
pub(crate) const SLOW: Range<u64> = 10..300;

/// How much later than the sender's timeout the answer comes after a stall, in milliseconds.
pub(crate) const TOO_LATE: Range<u64> = 100..600;

impl Fault {
    /// The fault of one attempt; most have none.
    pub(crate) fn draw(chance: &mut Chance) -> Option<Fault> {
        let mut draw = chance.below(OF);
        for (fault, share) in FAULTS {
            if draw < share {
                return Some(fault);
            }
            draw -= share;
        }
        None
    }

    /// The status that the receiver answers with.
    pub(crate) fn status(self) -> u16 {
        match self {
            Fault::Unavailable => 503,
            Fault::TooMany => 429,
            Fault::Gone => 410,
            _ => 200,
        }
    }
}

impl Episode {
    /// An episode, and how long it is to last in milliseconds.
    pub(crate) fn draw(chance: &mut Chance) -> (Episode, Range<u64>) {
        let index = chance.below(EPISODES.len() as u64) as usize;
        EPISODES[index].clone()
    }
}
