//! What it costs to encode an event, what a signature adds to an attempt, and what an event costs
//! that goes nowhere.
//!
//! `cargo bench --bench sign`. The cases take turns within one run, so that whatever else the
//! machine does befalls them alike; the medians are shown. Without `--bench`, as a test, there is
//! one turn.

#![allow(clippy::unwrap_used, clippy::print_stdout, missing_docs)]

use std::env;
use std::hint::black_box;
use std::time::Instant;

use opteryx_webhooks::receiver::Verifier;
use opteryx_webhooks::{
    Config, DatasetCreated, Delivery, Event, Message, Notifier, Outcome, Recorder, ViewCreated,
};

/// How often the cases take turns.
const ROUNDS: usize = 2_000;

/// How often a case is run at each turn.
const BATCH: u32 = 200;

const SYMMETRIC: &str = "whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD";
const ASYMMETRIC: &str = "whsk_nWGxne/9WmC6hEr0kuwsxERJxWl7MmkZcDusAxyuf2A=";

struct Case<'a> {
    name: &'static str,
    /// Runs it so many times: a loop of its own, or what takes a nanosecond would be lost in the call.
    run: Box<dyn Fn(u32) + 'a>,
    /// Nanoseconds for one run, by turns.
    times: Vec<f64>,
}

impl<'a> Case<'a> {
    fn new(name: &'static str, run: impl Fn() + 'a) -> Case<'a> {
        Case {
            name,
            run: Box::new(move |times| (0..times).for_each(|_| run())),
            times: Vec::with_capacity(ROUNDS),
        }
    }

    fn take_a_turn(&mut self) {
        let start = Instant::now();
        (self.run)(BATCH);
        let nanoseconds = start.elapsed().as_secs_f64() * 1e9;
        self.times.push(nanoseconds / f64::from(BATCH));
    }

    fn median(mut self) -> f64 {
        self.times.sort_by(f64::total_cmp);
        self.times[self.times.len() / 2]
    }
}

fn message(secret: &str, body: usize) -> Message {
    let recorder = Recorder::new();
    let config = Config::from_vars([("OPTERYX_WEBHOOK_SECRET", secret)]).unwrap();
    let notifier = Notifier::with_config_and_delivery(config, recorder.clone());
    let definition = |length| "x".repeat(length);
    let notify = |definition: &str| {
        let view = ViewCreated {
            definition,
            ..Default::default()
        };
        notifier.notify(&Event::view_created(
            "my-workspace",
            "my-collection",
            "my-view",
            view,
        ));
        recorder.take().remove(0)
    };
    let frame = notify("").body().len();
    let message = notify(&definition(body - frame));
    assert_eq!(message.body().len(), body);
    message
}

/// Takes every message, and does nothing with it.
struct Nowhere;

impl Delivery for Nowhere {
    fn deliver(&self, message: &Message) -> Outcome {
        black_box(message);
        Outcome::Stored
    }
}

/// Makes an event, and announces it.
#[inline]
fn announce(notifier: &Notifier) {
    black_box(notifier).notify(&Event::dataset_created(
        "my-workspace",
        "my-collection",
        "my-dataset",
        DatasetCreated {
            location: Some("gs://bucket/path"),
            ..Default::default()
        },
    ));
}

fn main() {
    let (unsigned, symmetric, asymmetric) = (
        message("", 1024),
        message(SYMMETRIC, 1024),
        message(ASYMMETRIC, 1024),
    );
    let verifier = Verifier::new([SYMMETRIC.parse().unwrap()]);
    let headers = symmetric.headers();
    let config = Config::from_vars([("OPTERYX_WEBHOOK_EVENTS", "view.*")]).unwrap();
    let filtering = Notifier::with_config_and_delivery(config, Nowhere);
    let (encoding, off) = (Notifier::with_delivery(Nowhere), Notifier::disabled());

    let mut cases = [
        Case::new("headers, unsigned", || {
            black_box(unsigned.headers());
        }),
        Case::new("headers, v1", || {
            black_box(symmetric.headers());
        }),
        Case::new("headers, v1a", || {
            black_box(asymmetric.headers());
        }),
        Case::new("authenticate, v1", || {
            let headers = headers.iter().map(|(name, value)| (name, value.as_bytes()));
            verifier.authenticate(headers, symmetric.body()).unwrap();
        }),
        Case::new("an event encoded", || announce(&encoding)),
        Case::new("an event left out", || announce(&filtering)),
        Case::new("an event while off", || announce(&off)),
    ];
    let is_bench = env::args().any(|argument| argument == "--bench");
    let rounds = if is_bench { ROUNDS } else { 1 };
    for _ in 0..rounds {
        cases.iter_mut().for_each(Case::take_a_turn);
    }
    println!("nanoseconds, median of {rounds}, body of 1024 bytes");
    let medians = cases.map(|case| {
        let (name, median) = (case.name, case.median());
        println!("{name:>20}: {median:>11.1}");
        median
    });
    println!("a v1 signature adds {:.0}", medians[1] - medians[0]);
}
