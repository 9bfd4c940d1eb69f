//! What a run is to be: its arguments, and what both processes agree on.

use std::time::Duration;

/// How many threads notify at once.
pub(crate) const LANES: usize = 8;

/// `OPTERYX_WEBHOOK_TIMEOUT`: short, or the threads would do little but wait for a receiver that
/// stalls.
pub(crate) const TIMEOUT: Duration = Duration::from_secs(1);

/// `OPTERYX_WEBHOOK_RETRY`, with the outbox: nothing is to wait for hours, and hardly anything to die
/// of the faults alone.
pub(crate) const RETRY: &str = "20ms 50ms 100ms 200ms 500ms 1s 2s 4s";

/// How many attempts that makes.
pub(crate) const ATTEMPTS: u64 = 9;

/// `OPTERYX_WEBHOOK_SECRET`: not worth keeping.
pub(crate) const SECRET: &str = "whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD";

/// Files in the run's folder: the authority's certificate, the receiver's records, the outbox.
pub(crate) const AUTHORITY: &str = "authority.pem";
pub(crate) const RECORDS: &str = "records";
pub(crate) const OUTBOX: &str = "outbox.db";

/// How the receiver's lines begin that no fault explains.
pub(crate) const WRONG: &str = "WRONG";

/// How long a run lasts unless it is told otherwise.
const DEFAULT_DURATION: Duration = Duration::from_secs(10 * 60);

/// The shortest run that has anything to compare.
const MIN_DURATION: Duration = Duration::from_secs(5);

pub(crate) const USAGE: &str = "\
Usage: soak [DURATION] [--outbox] [--http] [--seed NUMBER]

Notifies at the full rate, in 8 threads, a receiver that restarts, stalls and refuses at random, and
fails unless memory, threads and file descriptors stay flat and every event is accounted for.

  DURATION       such as 30s, 10m or 2h (default: 10m; 5s at the least)
  --outbox       stores the events in an outbox, in a temporary folder
  --http         without TLS
  --seed NUMBER  the randomness of an earlier run
  -h, --help     shows this
";

/// A run.
#[derive(Clone, Debug)]
pub(crate) struct Plan {
    pub(crate) duration: Duration,
    pub(crate) outbox: bool,
    pub(crate) https: bool,
    pub(crate) seed: u64,
}

impl Plan {
    /// Parses arguments. The error says what is wrong with them.
    pub(crate) fn parse(arguments: &[String], any_seed: u64) -> Result<Plan, String> {
        let mut plan = Plan {
            duration: DEFAULT_DURATION,
            outbox: false,
            https: true,
            seed: any_seed,
        };
        let mut arguments = arguments.iter();
        while let Some(argument) = arguments.next() {
            match argument.as_str() {
                "--outbox" => plan.outbox = true,
                "--http" => plan.https = false,
                "--seed" => {
                    let seed = arguments.next().and_then(|seed| seed.parse().ok());
                    plan.seed = seed.ok_or("--seed must be followed by a number")?;
                }
                other => {
                    plan.duration = duration(other)
                        .ok_or_else(|| format!("neither a duration nor an option: {other}"))?;
                }
            }
        }
        if plan.duration < MIN_DURATION {
            return Err(format!("a run must last {MIN_DURATION:?} at the least"));
        }
        Ok(plan)
    }
}

fn duration(text: &str) -> Option<Duration> {
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    let (number, unit) = text.split_at(digits);
    let seconds = match unit {
        "s" => 1,
        "m" => 60,
        "h" => 60 * 60,
        _ => return None,
    };
    let number: u64 = number.parse().ok()?;
    number.checked_mul(seconds).map(Duration::from_secs)
}
