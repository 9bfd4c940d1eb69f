//! What the crate is to hold, and whether it does.

use crate::counts::{INSTRUCTIONS, MEMORY, SYSTEM_CALLS};
use crate::direct;
use crate::outbox::{FULL, IDLE};
use crate::queue;
use crate::report::{number, time};
use crate::row::{Row, Who};
use crate::small::{DISABLED, ENCODED, FILTERED};

/// The body's size in the bars on direct delivery, in bytes.
const SIZE: usize = 512;

/// Prints a line for each bar whose rows were measured; whether all of them held.
pub fn print(rows: &[Row], growth: Option<u64>) -> bool {
    let mut all_held = true;
    for (what, bar, is) in bars(rows, growth) {
        let Some(is) = is else { continue };
        let (held, bar, is) = match bar {
            AtMost(bar) => (is <= bar, format!("at most {bar}"), format!("{is:.2}")),
            AtLeast(bar) => (is >= bar, format!("at least {bar}"), format!("{is:.2}")),
            Time(bar) => (is <= bar, format!("at most {}", time(bar)), time(is)),
            Count(bar) => (is <= bar, format!("at most {}", number(bar)), number(is)),
        };
        all_held &= held;
        println!(
            "{:<6} {what}: {is} ({bar})",
            if held { "ok" } else { "MISSED" }
        );
    }
    all_held
}

enum Bar {
    AtMost(f64),
    AtLeast(f64),
    /// At most so many nanoseconds.
    Time(f64),
    /// At most so many.
    Count(f64),
}
use Bar::{AtLeast, AtMost, Count, Time};

fn bars(rows: &[Row], growth: Option<u64>) -> Vec<(&'static str, Bar, Option<f64>)> {
    let find = |name: &str| rows.iter().find(|row| row.name == name);
    let direct = |is_warm, threads| find(&direct::name("https", is_warm, threads, SIZE));
    let ratio = |row: Option<&Row>| row?.ratio(Who::Ours);
    let median = |name: &str| find(name)?.median(Who::Ours);
    let slower = |row: Option<&Row>| Some(row?.median(Who::Python)? / row?.median(Who::Ours)?);
    #[allow(clippy::cast_precision_loss)]
    let growth = growth.map(|growth| growth as f64);
    vec![
        (
            "https, warm: times the raw client's time",
            AtMost(1.4),
            ratio(direct(true, 1)),
        ),
        (
            "https, warm, 8 threads: part of the raw client's throughput",
            AtLeast(0.7),
            ratio(direct(true, 8)).map(|ratio| 1.0 / ratio),
        ),
        (
            "https, fresh: times the raw client's time",
            AtMost(1.25),
            ratio(direct(false, 1)),
        ),
        (
            "the reference: times our time, warm",
            AtLeast(50.0),
            slower(direct(true, 1)),
        ),
        (
            "the reference: times our time, fresh",
            AtLeast(4.0),
            slower(direct(false, 1)),
        ),
        ("the sample event encoded", Time(1000.0), median(ENCODED)),
        ("an event left out", Time(5.0), median(FILTERED)),
        ("an event while off", Time(5.0), median(DISABLED)),
        (
            "an enqueue: part of the reference's time",
            AtMost(0.33),
            ratio(find(queue::NAME)),
        ),
        (
            "an event stored: times a bare insert",
            AtMost(2.0),
            ratio(find(IDLE)),
        ),
        (
            "the same with 100,000 pending: times that with none",
            AtMost(1.2),
            median(FULL).and_then(|full| Some(full / median(IDLE)?)),
        ),
        ("memory for them, KiB", Count(8192.0), growth),
        (
            "instructions of a warm event over https",
            Count(45_000.0),
            median(INSTRUCTIONS),
        ),
        (
            "system calls of a warm event over https",
            Count(8.0),
            median(SYSTEM_CALLS),
        ),
        (
            "bytes of memory of an idle connection over https",
            Count(150_000.0),
            median(MEMORY),
        ),
    ]
}
