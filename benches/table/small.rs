//! What it costs to encode an event, to sign it, to verify it, and what one costs that goes nowhere.

use std::hint::black_box;
use std::time::Instant;

use opteryx_webhooks::receiver::Verifier;
use opteryx_webhooks::{
    Config, DatasetCreated, Delivery, Event, Message, Notifier, Outcome, Recorder, ViewCreated,
};

use crate::event::{Dataset, LOCATION};
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
    let announced = |name| {
        let notifier = notifier(name);
        row(name, move || announce(&notifier, LOCATION))
    };
    let columns = [("id", "int64"), ("name", "string"), ("at", "timestamp[us]")];
    let (encoding, of_columns) = (notifier(ENCODED), Dataset::with_columns(columns));
    vec![
        announced(ENCODED),
        row("an event with three columns encoded", move || {
            encoding.notify(&black_box(&of_columns).event());
        }),
        announced(FILTERED),
        announced(DISABLED),
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

/// The sample event so many times, in one of these ways.
pub fn run(name: &str, times: u32) {
    let notifier = notifier(name);
    (0..times).for_each(|_| announce(&notifier, LOCATION));
}

fn notifier(name: &str) -> Notifier {
    let config = |vars| Config::from_vars(vars).unwrap();
    match name {
        ENCODED => Notifier::with_delivery(Nowhere),
        FILTERED => Notifier::with_config_and_delivery(
            config([("OPTERYX_WEBHOOK_EVENTS", "view.*")]),
            Nowhere,
        ),
        DISABLED => Notifier::disabled(),
        name => panic!("{name}: there is no such row"),
    }
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
    Row::new(name, Who::Ours).with(Who::Ours, move |values| {
        // What other rows did meanwhile has left neither code nor data of this one in the caches.
        times(runs);
        values.push(times(runs));
    })
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
        let event = Event::view_created("w", "c", "v", view);
        notifier.notify(&event);
        recorder.take().remove(0)
    };
    let frame = notify("").body().len();
    let message = notify(&"x".repeat(SIZE - frame));
    assert_eq!(message.body().len(), SIZE);
    message
}

/// Makes the sample event, and announces it: where it stands, as a host does, or to call this would
/// take as long as the rest.
#[inline(always)]
fn announce(notifier: &Notifier, location: &str) {
    let dataset = DatasetCreated {
        location: Some(location),
        ..Default::default()
    };
    black_box(notifier).notify(&Event::dataset_created(
        "my-workspace",
        "my-collection",
        "my-dataset",
        dataset,
    ));
}
