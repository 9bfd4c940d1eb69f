//! A day and more of retries, by a clock of its own.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use super::super::retry::Retry;
use super::super::store::{Attempt, Next, Purpose, Round, Store};
use super::{count, disorder};
use crate::error::{DeliveryError, Kind, Peer};
use crate::message::Parts;

/// When it begins, in Unix milliseconds.
const START: i64 = 1_800_000_000_000;

const MINUTE: i64 = 60_000;
const HOUR: i64 = 60 * MINUTE;

/// What a busy receiver asks for.
const RETRY_AFTER: Duration = Duration::from_secs(90 * 60);

const MESSAGES: usize = 8;

/// How long living through it all may take.
const LIMIT: Duration = Duration::from_secs(1);

/// How the receiver treats each resource.
const RESOURCES: [(&str, Answer); 6] = [
    ("fine", |_, _| Ok(())),
    // Down for hours.
    ("down", |since, _| {
        let connect = Kind::Connect {
            peer: Peer::Receiver,
        };
        if since < 3 * HOUR {
            Err(connect.into())
        } else {
            Ok(())
        }
    }),
    ("busy", |since, _| {
        if since < 2 * HOUR {
            Err(status(503, Some(RETRY_AFTER)))
        } else {
            Ok(())
        }
    }),
    // One of them only.
    ("gone", |_, number| {
        if number == 2 {
            Err(status(410, None))
        } else {
            Ok(())
        }
    }),
    ("broken", |_, number| {
        if number == 1 {
            Err(status(500, None))
        } else {
            Ok(())
        }
    }),
    // Broken to the end: each in turn is given up.
    ("lost", |_, _| Err(status(500, None))),
];

/// What comes of an attempt so long after the beginning, with the resource's message of this number.
type Answer = fn(i64, usize) -> Result<(), DeliveryError>;

fn status(status: u16, retry_after: Option<Duration>) -> DeliveryError {
    Kind::Status {
        status,
        retry_after,
    }
    .into()
}

/// An attempt of a message, as the receiver saw it.
#[derive(Debug)]
struct Seen {
    number: usize,
    at: i64,
    is_taken: bool,
}

/// The draws of chance, the same every time (splitmix64), from 0 to 1.
struct Draws(u64);

impl Draws {
    fn next(&mut self) -> f64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        (mixed ^ (mixed >> 31)) as f64 / u64::MAX as f64
    }
}

fn bring(store: &Store, resource: &str, number: usize, now: i64) {
    let id = format!("evt_{resource}_{number}");
    let parts = Parts {
        id: &id,
        event_type: "app.opteryx.view.create",
        source: "/workspaces/w",
        subject: Some(resource),
        time: None,
    };
    store.accept(parts, b"{}", now).expect("it is stored");
}

/// Steps the clock from one due time to the next until nothing is pending. Returns what the receiver
/// saw of each resource, and the hour at the end.
fn live_through(store: &mut Store, retry: &Retry) -> (BTreeMap<&'static str, Vec<Seen>>, i64) {
    let mut seen: BTreeMap<&str, Vec<Seen>> = BTreeMap::new();
    let mut draws = Draws(1);
    let mut now = START;
    for number in 1..=MESSAGES {
        for (resource, _) in RESOURCES {
            bring(store, resource, number, now);
        }
    }
    let mut attempts: Vec<Attempt> = Vec::new();
    loop {
        let granted = store
            .round(&Round {
                worker: "one",
                now: now * 1_000,
                lease: Duration::from_secs(10),
                attempts: &attempts,
                underway: &[],
                wanted: 4,
                rate: None,
            })
            .expect("the disk is well");
        attempts.clear();
        if granted.claims.is_empty() {
            match store.next_due().expect("the disk is well") {
                // What waits is not due, and what is due does not wait.
                Some(due) => {
                    assert!(due > now, "due at {due}, and not handed out at {now}");
                    now = due;
                    continue;
                }
                None => return (seen, now),
            }
        }
        for claim in granted.claims {
            let (resource, answer) = RESOURCES
                .into_iter()
                .find(|(resource, _)| *resource == claim.subject)
                .expect("a resource of ours");
            let (_, number) = claim.id.rsplit_once('_').expect("an id of ours");
            let number = number.parse().expect("a number");
            let result = answer(now - START, number);
            seen.entry(resource).or_default().push(Seen {
                number,
                at: now,
                is_taken: result.is_ok(),
            });
            let next = match &result {
                Ok(()) => Next::Delivered,
                Err(error) => retry
                    .after(claim.failures as usize + 1, error, draws.next())
                    .map_or(Next::Dead, |wait| {
                        Next::Again(now + wait.as_millis() as i64)
                    }),
            };
            attempts.push(Attempt {
                seq: claim.seq,
                at: now,
                duration: Duration::ZERO,
                status: None,
                error: result.err().map(|error| error.to_string()),
                answer: None,
                next,
            });
        }
    }
}

/// The attempts of one message.
fn of(seen: &[Seen], number: usize) -> Vec<&Seen> {
    seen.iter().filter(|seen| seen.number == number).collect()
}

/// Whether each wait is the policy's, to a fifth; or as long as the receiver has asked for.
fn assert_waits(attempts: &[&Seen], retry: &Retry, asked: Duration) {
    for (pair, delay) in attempts.windows(2).zip(retry.delays()) {
        let wait = Duration::from_millis((pair[1].at - pair[0].at) as u64);
        // Milliseconds are cut off, and not rounded.
        let least = delay.mul_f64(0.8).max(asked) - Duration::from_millis(1);
        let most = delay.mul_f64(1.2).max(asked);
        assert!(
            (least..=most).contains(&wait),
            "{wait:?} between {pair:?}, where {delay:?} is the rule"
        );
    }
}

#[test]
fn a_day_of_the_retry_policy_runs_in_under_a_second_with_a_clock_of_its_own() {
    let folder = tempfile::tempdir().expect("there is room for a folder");
    // The policy is the same however well the disk keeps things.
    let mut store = Store::open(&folder.path().join("db"), Purpose::Deliver).expect("it opens");
    let retry = Retry::default();
    let started = Instant::now();
    let (seen, end) = live_through(&mut store, &retry);
    let taken = started.elapsed();

    assert!(end - START >= 24 * HOUR, "{} h", (end - START) / HOUR);
    for (resource, seen) in &seen {
        let numbers: Vec<usize> = seen.iter().map(|seen| seen.number).collect();
        assert!(numbers.is_sorted(), "{resource} came as {numbers:?}");
        for number in 1..=MESSAGES {
            let attempts = of(seen, number);
            let (last, before) = attempts.split_last().expect("it was attempted");
            assert!(before.iter().all(|seen| !seen.is_taken), "{attempts:?}");
            let asked = match *resource {
                "busy" => RETRY_AFTER,
                _ => Duration::ZERO,
            };
            assert_waits(&attempts, &retry, asked);
            let expected = match (*resource, number) {
                ("fine", _) | ("gone", _) => 1,
                ("broken", 1) | ("lost", _) => 7,
                // The first waits until the receiver is up, and the others go with it.
                ("down" | "busy", 1) => attempts.len(),
                _ => 1,
            };
            assert_eq!(attempts.len(), expected, "{resource} {number}");
            let is_dead = matches!(
                (*resource, number),
                ("gone", 2) | ("broken", 1) | ("lost", _)
            );
            assert_eq!(last.is_taken, !is_dead, "{resource} {number}");
        }
    }
    // Nobody waits for another's trouble.
    for resource in ["fine", "gone"] {
        assert!(seen[resource].iter().all(|seen| seen.at == START));
    }
    let up = of(&seen["down"], 1);
    let up = up.last().expect("it was attempted").at;
    assert!((START + 3 * HOUR..START + 8 * HOUR).contains(&up));
    assert!(
        seen["down"][up_to(&seen["down"], 1)..]
            .iter()
            .all(|seen| seen.at == up)
    );
    assert_eq!(
        of(&seen["busy"], 1).len(),
        3,
        "at once, after 90 min, after 180"
    );

    let dead = 2 + MESSAGES as u64;
    let all = (RESOURCES.len() * MESSAGES) as u64;
    let stats = store.stats().expect("the disk is well");
    assert_eq!(
        (stats.accepted, stats.delivered, stats.dead, stats.pending),
        (all, all - dead, dead, 0)
    );
    assert_eq!(disorder(&store), Vec::<String>::new());
    let made: usize = seen.values().map(Vec::len).sum();
    let kept = count(&store, "SELECT count(*) FROM webhook_attempt");
    assert_eq!(kept, made as u64, "every attempt is written down");
    let hours = (end - START) / HOUR;
    eprintln!("{hours} h and {made} attempts in {taken:?}");
    // Again, should others have kept the machine busy.
    let is_quick = taken < LIMIT
        || (0..4).any(|_| {
            let folder = tempfile::tempdir().expect("there is room for a folder");
            let path = folder.path().join("db");
            let mut store = Store::open(&path, Purpose::Deliver).expect("it opens");
            let started = Instant::now();
            live_through(&mut store, &retry);
            started.elapsed() < LIMIT
        });
    assert!(is_quick, "{taken:?}");
}

/// How many attempts there were until the first of these messages was settled.
fn up_to(seen: &[Seen], number: usize) -> usize {
    seen.partition_point(|seen| seen.number <= number)
}
