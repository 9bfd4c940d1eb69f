//! What an event costs, beside what else could send it: `cargo bench`.
//!
//! ```sh
//! cargo bench                    # the whole table, and the plot
//! cargo bench -- direct small    # parts of it: counts, direct, outbox, queue, small
//! cargo bench -- --write         # all of it, and into README and benches/plot.svg
//! ```
//!
//! Everything happens in one run and on loopback. In each round every line takes one turn, beside the
//! others of its row and in an order that changes from round to round, so that whatever else the
//! machine does befalls them alike. The medians are shown, and how many times that of the row's
//! reference each is: a client written by hand, which does no more than the exchange itself, a bare
//! insert, or the Python library. The table is written to `target/bench/table.md`, the data in
//! nanoseconds to `target/bench/table.json`, the plot to `target/bench/plot.svg`. At the end stand the
//! bars that the crate is to hold; the exit code is 1 if one is missed.
//!
//! Without `--bench`, as a test, there are a few turns, and no bar.

// What fails here fails the benchmark, and says so.
#![allow(
    clippy::expect_used,
    clippy::panic,
    clippy::print_stdout,
    clippy::unwrap_used,
    dead_code,
    unreachable_pub
)]

mod bars;
mod counts;
mod curl;
mod direct;
mod event;
mod machine;
mod outbox;
mod peers;
mod plot;
mod queue;
mod raw;
mod readme;
mod receiver;
mod reference;
mod report;
mod row;
mod site;
mod small;
mod team;

/// What the suite has for this already.
#[path = "../../tests/suite/support"]
mod support {
    pub mod install;
    pub mod python;
    pub mod queue_server;
    pub mod tls;
}

use std::env;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::{Duration, Instant};

use row::Row;

/// How many rounds there are, and when there are no more: on a slow machine some are left out, and
/// the table says so.
const ROUNDS: usize = 120;
const MAX_TIME: Duration = Duration::from_secs(150);

/// How many there are as a test.
const TEST_ROUNDS: usize = 2;

/// The parts of the table, by the words that choose them.
const PARTS: [&str; 5] = ["counts", "direct", "outbox", "queue", "small"];

/// Writes README and the plot beside it anew.
const WRITE: &str = "--write";

fn main() -> ExitCode {
    let arguments: Vec<String> = env::args().skip(1).collect();
    if let Some(("count", rest)) = arguments.split_first().map(|(a, b)| (a.as_str(), b)) {
        counts::child(rest);
        return ExitCode::SUCCESS;
    }
    let is_bench = arguments.iter().any(|argument| argument == "--bench");
    let write = arguments.iter().any(|argument| argument == WRITE);
    let words: Vec<_> = arguments.iter().filter(|word| *word != "--bench").collect();
    let unknown = |word: &&&String| **word != WRITE && !PARTS.contains(&word.as_str());
    if let Some(word) = words.iter().find(unknown)
        && is_bench
    {
        eprintln!("{word}: there are {PARTS:?} and {WRITE}");
        return ExitCode::from(2);
    }
    let whole = words.iter().all(|word| *word == WRITE);
    if write && !whole {
        eprintln!("{WRITE} is for the whole table");
        return ExitCode::from(2);
    }
    let wanted = |part: &str| whole || words.iter().any(|word| *word == part);

    let mut rows = Vec::new();
    if wanted("direct") {
        rows.extend(direct::rows());
    }
    if wanted("queue") {
        rows.extend(queue::rows());
    }
    let stores = wanted("outbox").then(|| outbox::Stores::new(is_bench));
    if let Some(stores) = &stores {
        rows.extend(stores.rows());
    }
    if wanted("small") {
        rows.extend(small::rows());
    }
    let rounds = take_turns(&mut rows, if is_bench { ROUNDS } else { TEST_ROUNDS });
    if wanted("counts") {
        rows.extend(counts::rows(is_bench));
    }
    let growth = stores.map(outbox::Stores::growth);

    let table = report::table(&rows, |_| true);
    let conditions = machine::conditions(rounds);
    println!("{table}\n{conditions}\n");
    let folder = folder();
    fs::write(folder.join("table.md"), format!("{table}\n{conditions}\n")).unwrap();
    fs::write(folder.join("table.json"), report::json(&rows)).unwrap();
    if let Some(plot) = plot::svg(&rows) {
        fs::write(folder.join("plot.svg"), &plot).unwrap();
        if write {
            fs::write(plot::PATH, &plot).unwrap();
        }
    }
    println!("{}", folder.join("table.md").display());
    if write {
        readme::write(&report::table(&rows, readme::shows), &conditions);
        println!("README.md and {}", plot::PATH);
    }
    if is_bench && !bars::print(&rows, growth) {
        return ExitCode::FAILURE;
    }
    ExitCode::SUCCESS
}

/// Each line of each row once in every round. How many rounds there were.
fn take_turns(rows: &mut [Row], rounds: usize) -> usize {
    let started = Instant::now();
    for round in 0..rounds {
        if started.elapsed() > MAX_TIME {
            return round;
        }
        let turn = |row: &mut Row| row.take_turns(round);
        if round % 2 == 0 {
            rows.iter_mut().for_each(turn);
        } else {
            rows.iter_mut().rev().for_each(turn);
        }
    }
    rounds
}

/// Where the results go.
fn folder() -> PathBuf {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).with_file_name("bench");
    fs::create_dir_all(&folder).expect("the target folder can be written");
    folder
}
