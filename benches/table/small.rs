//! What it costs to encode an event, to sign it, to verify it, and what one costs that goes nowhere.

use std::hint::black_box;
use std::time::Instant;

use opteryx_webhooks::receiver::Verifier;
use opteryx_webhooks::{Config, Delivery, Message, Notifier, Outcome, Recorder, ViewCreated};

use crate::event::Dataset;
use crate::row::{Row, Who};

/// The size of the body that is signed and verified, in bytes.
const SIZE: usize = 1024;

/// How long one turn is to take at the least, so that the clock does not matter, in nanoseconds.
const TURN: f64 = 200_000.0;

const SYMMETRIC: &str = "whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD";
const ASYMMETRIC: &str = "whsk_nWGxne/9WmC6hEr0kuwsxERJxWl7MmkZcDusAxyuf2A=";

/// The rows' names, by which the bars find them.
pub const ENCODED: &str = "an event encoded";
pub const FILTERED: &str = "an event left out by the filter";
pub const DISABLED: &str = "an event while off";

/// Takes every message, and does nothing with it.
struct Nowhere;

impl Delivery for Nowhere {
    fn deliver(&self, message: &Message) -> Outcome {
        black_box(message);
        Outcome::Stored
    }
}

pub fn rows() -> Vec<Row> {
    let (unsigned, symmetric, asymmetric) = (message(""), message(SYMMETRIC), message(ASYMMETRIC));
    let verifier = Verifier::new([SYMMETRIC.parse().unwrap()]);
    let signed = symmetric.clone();
    let headers: Vec<_> = symmetric
        .headers()
        .iter()
        .map(|(name, value)| (name.to_string(), value.as_bytes().to_vec()))
        .collect();
    let config = Config::from_vars([("OPTERYX_WEBHOOK_EVENTS", "view.*")]).unwrap();
    let filtering = Notifier::with_config_and_delivery(config, Nowhere);
    let (encoding, off) = (Notifier::with_delivery(Nowhere), Notifier::disabled());
    let [of_encoding, of_filtering, of_off] = [(); 3].map(|()| Dataset::sample());
    vec![
        row(ENCODED, move || announce(&encoding, &of_encoding)),
        row(FILTERED, move || announce(&filtering, &of_filtering)),
        row(DISABLED, move || announce(&off, &of_off)),
        row("an attempt's headers, unsigned", move || {
            black_box(unsigned.headers());
        }),
        row("an attempt's headers, signed v1, 1 KB", move || {
            black_box(symmetric.headers());
        }),
        row("an attempt's headers, signed v1a, 1 KB", move || {
            black_box(asymmetric.headers());
        }),
        row("a notification verified, v1, 1 KB", move || {
            let headers = headers
                .iter()
                .map(|(name, value)| (name.as_str(), value.as_slice()));
            verifier.authenticate(headers, signed.body()).unwrap();
        }),
    ]
}

fn row(name: &str, run: impl Fn() + 'static) -> Row {
    // A loop of its own, or what takes a nanosecond would be lost in the call.
    let times = move |runs: u32| {
        let started = Instant::now();
        (0..runs).for_each(|_| run());
        started.elapsed().as_secs_f64() * 1e9 / f64::from(runs)
    };
    // Runs of one turn; doubled until they are enough.
    let mut runs = 1;
    while times(runs) * f64::from(runs) < TURN {
        runs *= 2;
    }
    Row::new(name, Who::Ours).with(Who::Ours, move |values| values.push(times(runs)))
}

fn message(secret: &str) -> Message {
    let recorder = Recorder::new();
    let config = Config::from_vars([("OPTERYX_WEBHOOK_SECRET", secret)]).unwrap();
    let notifier = Notifier::with_config_and_delivery(config, recorder.clone());
    let notify = |definition: &str| {
        let view = ViewCreated {
            definition,
            ..Default::default()
        };
        let event = opteryx_webhooks::Event::view_created("w", "c", "v", view);
        notifier.notify(&event);
        recorder.take().remove(0)
    };
    let frame = notify("").body().len();
    let message = notify(&"x".repeat(SIZE - frame));
    assert_eq!(message.body().len(), SIZE);
    message
}

/// Makes an event, and announces it.
#[inline]
fn announce(notifier: &Notifier, dataset: &Dataset) {
    black_box(notifier).notify(&black_box(dataset).event());
}
