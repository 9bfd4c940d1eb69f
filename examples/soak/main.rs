//! Notifies at the full rate a receiver that restarts, stalls and refuses at random, and looks whether
//! memory, threads and file descriptors stay flat and no event is unaccounted for.
//!
//! `cargo run --release --example soak` takes ten minutes; `-- 30s`, `-- --outbox` and others say
//! otherwise. It ends with 1 where something grew or an event is unaccounted for, and says what.

mod account;
mod authority;
mod came;
mod chance;
mod fault;
mod gauge;
mod plan;
mod receiver;
mod records;
mod request;
mod sender;

/// What the suite has for this already.
#[path = "../../tests/suite/support/pauses.rs"]
#[allow(unreachable_pub)]
mod pauses;

use std::env;
use std::error::Error;
use std::hash::{BuildHasher, RandomState};
use std::io::{self, BufRead, BufReader, Read, Write};
use std::path::Path;
use std::process::{Child, ChildStdout, Command, ExitCode, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use opteryx_webhooks::{Config, Notifier};

use account::Account;
use gauge::{Sample, Trend};
use pauses::Pauses;
use plan::{Plan, RETRY, SECRET, TIMEOUT, USAGE};
use sender::{Sender, Tally};

/// The first argument of the process that is the receiver; its folder is the second.
const RECEIVER: &str = "as-the-receiver-of";

/// How often what this process holds is looked at; more often in a run of less than a minute.
const SAMPLE: Duration = Duration::from_secs(1);

/// How often a line is shown; more often in a run of less than a minute.
const LINE: Duration = Duration::from_secs(10);

/// How many events may wait in the outbox. Storing is faster than delivering, and a run is to end with
/// nothing that waits.
const MAX_PENDING: u64 = 2_000;

/// How long they may take at the end.
const MAX_FLUSH: Duration = Duration::from_secs(120);

fn main() -> ExitCode {
    // The faults are told at the end; thousands of warnings would say the same.
    env_logger::Builder::from_env(env_logger::Env::default().default_filter_or("error")).init();
    let arguments: Vec<String> = env::args_os()
        .skip(1)
        .map(|argument| argument.to_string_lossy().into_owned())
        .collect();
    if arguments.iter().any(|a| a == "-h" || a == "--help") {
        return status(
            write!(io::stdout(), "{USAGE}")
                .map(|()| true)
                .map_err(Into::into),
        );
    }
    let any_seed = RandomState::new().hash_one(()) % 1_000_000;
    let (folder, rest) = match arguments.as_slice() {
        [mark, folder, rest @ ..] if mark == RECEIVER => (Some(folder), rest),
        rest => (None, rest),
    };
    match (Plan::parse(rest, any_seed), folder) {
        (Ok(plan), None) => status(soak(&plan)),
        (Ok(plan), Some(folder)) => status(receiver::run(&plan, Path::new(folder)).map(|()| true)),
        (Err(problem), _) => {
            eprint!("{problem}\n\n{USAGE}");
            ExitCode::from(2)
        }
    }
}

fn status(result: Result<bool, Box<dyn Error>>) -> ExitCode {
    match result {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("soak: {error}");
            ExitCode::FAILURE
        }
    }
}

/// A run; whether all was as it should be.
fn soak(plan: &Plan) -> Result<bool, Box<dyn Error>> {
    let mut out = io::stdout();
    Sample::take()?;
    let folder = tempfile::tempdir()?;
    let folder = folder.path();
    let (receiver, mut heard, port) = start_receiver(plan, folder)?;
    let notifier = notifier(plan, folder, port)?;
    let road = if plan.outbox {
        "through the outbox"
    } else {
        "directly"
    };
    let scheme = if plan.https { "https" } else { "http" };
    let (duration, seed) = (plan.duration, plan.seed);
    writeln!(out, "{duration:?} {road} over {scheme}, seed {seed}")?;

    let pauses = Pauses::longer_than(TIMEOUT / 10);
    let sender = Sender::start(&notifier, folder)?;
    let samples = watch(plan, &notifier, &sender)?;
    let tally = sender.end()?;
    let is_flushed = notifier.flush(MAX_FLUSH);
    let stats = notifier.stats();
    // Its thread has ended and the file is as it will stay.
    drop(notifier);
    let (pauses, _) = pauses.so_far();
    let done = end_receiver(receiver, &mut heard)?;

    writeln!(out, "\nthe receiver:\n{done}\nthe sender:")?;
    for (reason, count) in &tally.reasons {
        writeln!(out, "{count:>9}  {reason}")?;
    }
    writeln!(
        out,
        "{:>9}  ms for the slowest notify",
        tally.slowest.as_millis()
    )?;

    let mut problems = Vec::new();
    let account = Account::of(folder, pauses)?;
    let Tally {
        notified,
        delivered,
        stored,
        failed,
        ..
    } = tally;
    writeln!(
        out,
        "\nsums: {notified} notified = {delivered} delivered + {stored} stored + {failed} failed"
    )?;
    if notified != delivered + stored + failed || notified != account.events() {
        problems.push("the outcomes do not add up to the events".to_owned());
    }
    if (delivered, stored, failed) != (stats.delivered, stats.stored, stats.failed) {
        problems.push(format!("the notifier has other sums: {stats:?}"));
    }
    if plan.outbox {
        let sums = stats.outbox.ok_or("the outbox has no sums")?;
        let (accepted, delivered) = (sums.accepted, sums.delivered);
        let (pending, dead) = (sums.pending, sums.dead);
        writeln!(
            out,
            "outbox: {accepted} accepted = {delivered} delivered + {pending} pending + {dead} dead"
        )?;
        if accepted != delivered + pending + dead || accepted != stored {
            problems.push("the outbox's sums do not add up".to_owned());
        }
        if !is_flushed || pending > 0 {
            problems.push(format!(
                "{pending} still pending {MAX_FLUSH:?} after the end"
            ));
        }
    }
    writeln!(out, "account: {account}")?;
    problems.extend(account.problems());
    problems.extend(
        done.lines()
            .filter(|line| line.contains(plan::WRONG))
            .map(str::to_owned),
    );

    let trend = Trend::of(&samples).ok_or("there were too few samples")?;
    writeln!(out, "held: {trend}")?;
    problems.extend(trend.problems());
    for problem in &problems {
        writeln!(out, "NOT AS IT SHOULD BE: {problem}")?;
    }
    if problems.is_empty() {
        writeln!(out, "All is flat, and every event is accounted for.")?;
    }
    Ok(problems.is_empty())
}

/// The notifier that variables describe.
fn notifier(plan: &Plan, folder: &Path, port: u16) -> Result<Notifier, Box<dyn Error>> {
    let scheme = if plan.https { "https" } else { "http" };
    let path = |name| folder.join(name).to_string_lossy().into_owned();
    let mut vars = vec![
        (
            "OPTERYX_WEBHOOK_DOMAIN",
            format!("{scheme}://localhost:{port}"),
        ),
        ("OPTERYX_WEBHOOK_TIMEOUT", TIMEOUT.as_secs_f64().to_string()),
        ("OPTERYX_WEBHOOK_SECRET", SECRET.to_owned()),
    ];
    if plan.https {
        vars.push(("SSL_CERT_FILE", path(plan::AUTHORITY)));
    }
    if plan.outbox {
        vars.push(("OPTERYX_WEBHOOK_OUTBOX", path(plan::OUTBOX)));
        vars.push(("OPTERYX_WEBHOOK_RETRY", RETRY.to_owned()));
    }
    Ok(Notifier::new(Config::from_vars(vars)?))
}

/// Looks at what this process holds until the time is over, and shows it now and then.
fn watch(plan: &Plan, notifier: &Notifier, sender: &Sender) -> Result<Vec<Sample>, Box<dyn Error>> {
    let (started, mut samples) = (Instant::now(), Vec::new());
    // Room for all of them from the beginning, so that they are no growth.
    let every = SAMPLE.min(plan.duration / 60);
    samples.reserve((plan.duration.as_millis() / every.as_millis()) as usize + 1);
    let (mut shown, mut shown_events) = (started, 0);
    while started.elapsed() < plan.duration {
        thread::sleep(every);
        let sample = Sample::take()?;
        samples.push(sample);
        let stats = notifier.stats();
        let pending = stats.outbox.map_or(0, |outbox| outbox.pending);
        sender.hold(pending > MAX_PENDING);
        let since = shown.elapsed();
        if since >= LINE.min(plan.duration / 4) {
            let events = stats.delivered + stats.stored + stats.failed;
            let rate = (events - shown_events) as f64 / since.as_secs_f64();
            writeln!(
                io::stdout(),
                "{:>5.0} s {events:>9} events {rate:>6.0}/s {:>9} delivered {:>9} stored \
                 {:>7} failed {pending:>6} pending; {sample}",
                started.elapsed().as_secs_f64(),
                stats.delivered,
                stats.stored,
                stats.failed,
            )?;
            (shown, shown_events) = (Instant::now(), events);
        }
    }
    sender.hold(false);
    Ok(samples)
}

type Heard = BufReader<ChildStdout>;

/// Starts this program once more, as the receiver; returns what it says and the port it has.
fn start_receiver(plan: &Plan, folder: &Path) -> Result<(Child, Heard, u16), Box<dyn Error>> {
    let mut command = Command::new(env::current_exe()?);
    command.arg(RECEIVER).arg(folder);
    command.args(["--seed", &plan.seed.to_string()]);
    if !plan.https {
        command.arg("--http");
    }
    let mut receiver = command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()?;
    let stdout = receiver.stdout.take().ok_or("the receiver has no output")?;
    let mut heard = BufReader::new(stdout);
    let mut line = String::new();
    heard.read_line(&mut line)?;
    let port = line
        .trim()
        .strip_prefix("listening ")
        .ok_or("the receiver did not start")?;
    Ok((receiver, heard, port.parse()?))
}

/// Ends the receiver, and returns what it says it has done.
fn end_receiver(mut receiver: Child, heard: &mut Heard) -> Result<String, Box<dyn Error>> {
    drop(receiver.stdin.take());
    let mut done = String::new();
    heard.read_to_string(&mut done)?;
    if !receiver.wait()?.success() {
        return Err("the receiver failed".into());
    }
    Ok(done)
}
