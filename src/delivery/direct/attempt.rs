//! What one thread is attempting at this moment.
//!
//! ureq asks its transport and resolver for one step at a time and does not say for which attempt,
//! but always in the thread that made it. So the attempt is kept there: the deadline that no step may
//! outlast, and how far it came, which ureq's errors do not tell.

use std::cell::Cell;
use std::time::{Duration, Instant};

thread_local! {
    // Const and without a destructor, so that it is there even while the thread ends.
    static CURRENT: Cell<Option<Attempt>> = const { Cell::new(None) };
}

/// How far an attempt has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Phase {
    Starting,
    Resolving,
    Connecting,
    Handshaking,
    Sending,
    Waiting,
}

impl Phase {
    /// For "timed out after 10s …" and "the connection was lost …".
    pub(super) fn description(self) -> &'static str {
        match self {
            Phase::Starting => "before anything was sent",
            Phase::Resolving => "while resolving the receiver's name",
            Phase::Connecting => "while connecting",
            Phase::Handshaking => "during the TLS or proxy handshake",
            Phase::Sending => "while sending",
            Phase::Waiting => "while waiting for the answer",
        }
    }
}

#[derive(Clone, Copy, Debug)]
pub(super) struct Attempt {
    deadline: Instant,
    reads: bool,
    pub(super) phase: Phase,
    /// Whether a connection was made for it; otherwise it got one that was kept alive.
    pub(super) connected: bool,
    /// Whether a byte of the answer came back.
    pub(super) answered: bool,
}

/// Ends the attempt when dropped; what it lay within, if anything, goes on.
pub(super) struct Guard {
    outer: Option<Attempt>,
}

/// Begins an attempt in this thread.
pub(super) fn begin(deadline: Instant) -> Guard {
    let attempt = Attempt {
        deadline,
        reads: true,
        phase: Phase::Starting,
        connected: false,
        answered: false,
    };
    Guard {
        outer: CURRENT.replace(Some(attempt)),
    }
}

impl Guard {
    /// How far the attempt has come.
    pub(super) fn state(&self) -> Option<Attempt> {
        CURRENT.get()
    }
}

impl Drop for Guard {
    fn drop(&mut self) {
        CURRENT.set(self.outer);
    }
}

fn update(change: impl FnOnce(&mut Attempt)) {
    if let Some(mut attempt) = CURRENT.get() {
        change(&mut attempt);
        CURRENT.set(Some(attempt));
    }
}

pub(super) fn enter(phase: Phase) {
    update(|attempt| attempt.phase = phase);
}

/// A connection is being made for this attempt.
pub(super) fn connecting() {
    update(|attempt| {
        attempt.phase = Phase::Connecting;
        attempt.connected = true;
    });
}

/// Leaves the attempt this much time and no more.
pub(super) fn shorten(time: Duration) {
    update(|attempt| attempt.deadline = attempt.deadline.min(Instant::now() + time));
}

/// Nothing more is to be read for the attempt.
pub(super) fn stop_reading() {
    update(|attempt| attempt.reads = false);
}

/// Whether something may still be read for it.
pub(super) fn reads() -> bool {
    CURRENT.get().is_none_or(|attempt| attempt.reads)
}

/// Something of the answer has arrived.
pub(super) fn answered() {
    update(|attempt| attempt.answered = true);
}

/// What is left of the attempt's time; `limit` if that is less, or if there is no attempt.
pub(super) fn remaining(limit: Duration) -> Duration {
    CURRENT.get().map_or(limit, |attempt| {
        attempt
            .deadline
            .saturating_duration_since(Instant::now())
            .min(limit)
    })
}
