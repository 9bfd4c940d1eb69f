//! What does not depend on what else the machine does: processor instructions and system calls of a
//! warm event over https, in a process that does nothing else.
//!
//! A child sends some events, and another twice as many; the difference is what the events took, without
//! the start, the connection and the end. The receiver is in this process and not counted.

use std::env;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::event::Dataset;
use crate::raw::{self, RawClient};
use crate::receiver;
use crate::row::{Row, Who};
use crate::site::{self, Trust};
use crate::support::install::stdout_of;

/// How many events the first child sends; as a test, fewer.
const EVENTS: u32 = 500;
const TEST_EVENTS: u32 = 10;

/// The rows' names, by which the bars find them.
pub const INSTRUCTIONS: &str = "processor instructions, https, warm, the sample event";
pub const SYSTEM_CALLS: &str = "system calls, https, warm, the sample event";

const OURS: &str = "ours";
const BY_HAND: &str = "by-hand";

pub fn rows(is_bench: bool) -> Vec<Row> {
    let trust = Trust::new();
    let address = receiver::start(Some(trust.server()), true);
    let events = if is_bench { EVENTS } else { TEST_EVENTS };
    let row = |name, count: fn(&[String]) -> u64| {
        let each = |who: &str| {
            let counted = |events: u32| {
                let file = trust.file.display().to_string();
                let events = events.to_string();
                count(&[
                    "count".into(),
                    who.into(),
                    address.to_string(),
                    file,
                    events,
                ])
            };
            let (some, twice) = (counted(events), counted(2 * events));
            #[allow(clippy::cast_precision_loss)]
            let difference = twice.saturating_sub(some) as f64;
            difference / f64::from(events)
        };
        let counts = [(Who::Ours, each(OURS)), (Who::ByHand, each(BY_HAND))];
        Row::counted(name, counts)
    };
    vec![
        row(INSTRUCTIONS, instructions),
        row(SYSTEM_CALLS, system_calls),
    ]
}

/// What a child does: it sends, given who sends, the address, the file of the authority and how often.
pub fn child(arguments: &[String]) {
    let [who, address, trust, events] = arguments else {
        panic!("not as the parent calls it: {arguments:?}");
    };
    let events: u32 = events.parse().unwrap();
    let (trust, dataset) = (Path::new(trust), Dataset::sample());
    if who == OURS {
        let notifier = site::notifier(&format!("https://{address}"), Some(trust));
        for _ in 0..events {
            assert!(notifier.notify(&dataset.event()).is_ok());
        }
    } else {
        let request = raw::request(&dataset.message(), address);
        let tls = Some(site::client(trust));
        let mut client = RawClient::new(address.parse().unwrap(), tls);
        for _ in 0..events {
            client.send(&request);
        }
    }
}

fn instructions(arguments: &[String]) -> u64 {
    let file = scratch("callgrind");
    let mut out = std::ffi::OsString::from("--callgrind-out-file=");
    out.push(&file);
    let mut command = Command::new("valgrind");
    command.args(["--tool=callgrind", "--quiet"]).arg(out);
    let remedy = "valgrind is needed: `apt-get install valgrind`, or leave the part `counts` out";
    stdout_of(command.arg(program()).args(arguments), remedy);
    let text = fs::read_to_string(file).unwrap();
    let total = text.lines().find_map(|line| {
        let rest = line.strip_prefix("totals:");
        rest.or_else(|| line.strip_prefix("summary:"))
    });
    total.unwrap().trim().parse().unwrap()
}

fn system_calls(arguments: &[String]) -> u64 {
    let file = scratch("strace");
    let mut command = Command::new("strace");
    command.args(["-f", "-c", "-o"]).arg(&file);
    let remedy = "strace is needed: `apt-get install strace`, or leave the part `counts` out";
    stdout_of(command.arg(program()).args(arguments), remedy);
    // The last line is the total: share, seconds, microseconds each, calls, errors if any.
    let text = fs::read_to_string(file).unwrap();
    let total = text.lines().last().unwrap();
    let calls = total.split_whitespace().nth(3).unwrap();
    calls.parse().unwrap()
}

fn program() -> PathBuf {
    env::current_exe().expect("the benchmark is a file")
}

fn scratch(name: &str) -> PathBuf {
    let name = format!("{name}-{}.out", std::process::id());
    Path::new(env!("CARGO_TARGET_TMPDIR")).join(name)
}
