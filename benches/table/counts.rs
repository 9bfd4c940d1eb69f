//! What does not depend on what else the machine does: processor instructions, system calls and memory,
//! in a process that does nothing else.
//!
//! A child sends some events, and another twice as many; the difference is what the events took, without
//! the start, the connection and the end. The receiver is in this process and not counted.

use std::env;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Barrier, Mutex};
use std::thread;

use opteryx_webhooks::Outcome;

use crate::event::Dataset;
use crate::raw::{self, RawClient};
use crate::receiver;
use crate::row::{Row, Who};
use crate::site::{self, Trust};
use crate::small::{self, DISABLED, ENCODED, FILTERED};
use crate::support::install::stdout_of;

/// How many events the first child sends; as a test, fewer.
const EVENTS: u32 = 500;
const TEST_EVENTS: u32 = 10;

/// How many threads send at once, so that there are about as many connections, and how often.
const THREADS: usize = 48;
const EACH: usize = 20;

/// The rows' names, by which the bars find them.
pub const INSTRUCTIONS: &str = "processor instructions, https, warm, the sample event";
pub const SYSTEM_CALLS: &str = "system calls, https, warm, the sample event";
pub const MEMORY: &str = "bytes of memory, an idle connection, https";

const OURS: &str = "ours";
const BY_HAND: &str = "by-hand";
const CONNECTIONS: &str = "connections";

pub fn rows(is_bench: bool) -> Vec<Row> {
    let trust = Trust::new();
    let address = receiver::start(Some(trust.server()), true);
    let events = if is_bench { EVENTS } else { TEST_EVENTS };
    let arguments = |what: &str, events: u32| {
        let file = trust.file.display().to_string();
        let events = events.to_string();
        [
            "count".into(),
            what.into(),
            address.to_string(),
            file,
            events,
        ]
    };
    let each = |what: &str, count: fn(&[String]) -> u64| {
        let some = count(&arguments(what, events));
        let twice = count(&arguments(what, 2 * events));
        #[allow(clippy::cast_precision_loss)]
        let difference = twice.saturating_sub(some) as f64;
        difference / f64::from(events)
    };
    let both = |count| [OURS, BY_HAND].map(|who| each(who, count));
    let compared = |name: &str, [ours, by_hand]: [f64; 2]| {
        Row::counted(name, [(Who::Ours, ours), (Who::ByHand, by_hand)])
    };
    let alone = |name: &str, count| Row::counted(name, [(Who::Ours, count)]);
    let mut rows = vec![compared(INSTRUCTIONS, both(instructions))];
    rows.extend([ENCODED, FILTERED, DISABLED].map(|what| {
        let name = format!("processor instructions, {what}");
        alone(&name, each(what, instructions))
    }));
    rows.push(compared(SYSTEM_CALLS, both(system_calls)));
    rows.push(alone(MEMORY, memory(&arguments(CONNECTIONS, 0))));
    rows
}

/// What a child does, given what it is to do, the address, the file of the authority and how often.
pub fn child(arguments: &[String]) {
    let [what, address, trust, events] = arguments else {
        panic!("not as the parent calls it: {arguments:?}");
    };
    let events: u32 = events.parse().unwrap();
    let (trust, domain) = (Path::new(trust), format!("https://{address}"));
    match what.as_str() {
        OURS => {
            let (notifier, dataset) = (site::notifier(&domain, Some(trust)), Dataset::sample());
            for _ in 0..events {
                delivered(&notifier.notify(&dataset.event()));
            }
        }
        BY_HAND => {
            let request = raw::request(&Dataset::sample().message(), address);
            let tls = Some(site::client(trust));
            let mut client = RawClient::new(address.parse().unwrap(), tls);
            for _ in 0..events {
                client.send(&request);
            }
        }
        CONNECTIONS => println!("{}", bytes_of_a_connection(&domain, trust)),
        what => small::run(what, events),
    }
}

/// What this process holds more for each connection, once there are many.
fn bytes_of_a_connection(domain: &str, trust: &Path) -> u64 {
    let (notifier, dataset) = (site::notifier(domain, Some(trust)), Dataset::sample());
    let notify = || delivered(&notifier.notify(&dataset.event()));
    let (one_by_one, step) = (Mutex::new(()), Barrier::new(THREADS + 1));
    thread::scope(|scope| {
        for _ in 0..THREADS {
            scope.spawn(|| {
                // One after the other, over one connection: what a thread itself holds is there then.
                let turn = one_by_one.lock().unwrap();
                notify();
                drop(turn);
                step.wait();
                step.wait();
                (0..EACH).for_each(|_| notify());
                step.wait();
                step.wait();
            });
        }
        step.wait();
        let before = (resident(), sockets());
        step.wait();
        step.wait();
        let after = (resident(), sockets());
        step.wait();
        (after.0 - before.0) / (after.1 - before.1)
    })
}

fn delivered(outcome: &Outcome) {
    assert!(outcome.is_ok(), "{outcome:?}");
}

/// The memory that this process has, in bytes.
fn resident() -> u64 {
    let status = fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let kib: u64 = line
        .unwrap()
        .trim()
        .trim_end_matches(" kB")
        .parse()
        .unwrap();
    kib * 1024
}

fn sockets() -> u64 {
    let files = fs::read_dir("/proc/self/fd").unwrap().flatten();
    let targets = files.filter_map(|file| fs::read_link(file.path()).ok());
    let sockets = targets.filter(|target| target.to_string_lossy().starts_with("socket:"));
    sockets.count() as u64
}

#[allow(clippy::cast_precision_loss)]
fn memory(arguments: &[String]) -> f64 {
    let mut command = Command::new(program());
    let said = stdout_of(command.args(arguments), "Linux is needed");
    said.trim().parse::<u64>().unwrap() as f64
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
