//! What the store has acknowledged, on disks that crash, lose power, fill up and fail.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::time::Duration;

use rusqlite::OptionalExtension;

use super::super::error::OutboxError;
use super::super::file::make_due;
use super::super::history::{History, latest_due};
use super::super::rate::Rate;
use super::super::store::{Attempt, Claim, Next, Purpose, Round, Store};
use super::disk::{self, Crash, Disk, Disks};
use super::{count, disorder};
use crate::message::Parts;

/// When the workload begins, in Unix milliseconds.
const START: i64 = 1_800_000_000_000;

const SECOND: i64 = 1_000;

const LEASE: Duration = Duration::from_secs(10);

/// How many pages the log may have before the worker copies them into the file: few enough that it
/// happens many times.
const CHECKPOINT: i64 = 12;

/// A message, by its resource and its number there.
type Name = (&'static str, usize);

/// What is in the file was asked for by these; what they were told of it.
#[derive(Default)]
struct Service {
    path: PathBuf,
    accepting: Option<Store>,
    delivering: Option<Store>,
    /// How many messages each resource was to have so far.
    brought: BTreeMap<&'static str, usize>,
    acknowledged: BTreeSet<Name>,
    /// What the receiver has taken.
    taken: BTreeSet<Name>,
    refused_for_good: BTreeSet<Name>,
    /// The worker's, by its name.
    workers: BTreeMap<&'static str, Hand>,
    now: i64,
    failures: Vec<OutboxError>,
}

/// What a worker has in hand.
#[derive(Default)]
struct Hand {
    claims: Vec<Claim>,
    /// What is yet to be put down.
    attempts: Vec<Attempt>,
}

/// What the receiver says to a message.
#[derive(Clone, Copy)]
enum Answer {
    Taken,
    Later(i64),
    Never,
    None,
}

impl Service {
    fn new(path: PathBuf) -> Service {
        Service {
            path,
            now: START,
            ..Service::default()
        }
    }

    /// Uses a connection as the crate does: one that has failed is not trusted again.
    fn with<T>(
        &mut self,
        purpose: Purpose,
        run: impl FnOnce(&mut Store) -> Result<T, OutboxError>,
    ) -> Option<T> {
        let path = self.path.clone();
        let kept = match purpose {
            Purpose::Accept => &mut self.accepting,
            _ => &mut self.delivering,
        };
        let opened = match kept.take() {
            Some(store) => Ok(store),
            None => Store::open(&path, purpose).and_then(|store| {
                if purpose == Purpose::Deliver {
                    store.ask(|c| c.pragma_update(None, "wal_autocheckpoint", CHECKPOINT))?;
                }
                Ok(store)
            }),
        };
        let result = opened.and_then(|mut store| Ok((run(&mut store)?, store)));
        match result {
            Ok((value, store)) => {
                *kept = Some(store);
                Some(value)
            }
            Err(error) => {
                self.failures.push(error);
                None
            }
        }
    }

    fn accept(&mut self, resource: &'static str) {
        let number = self.brought.entry(resource).or_default();
        *number += 1;
        let name = (resource, *number);
        let now = self.now;
        let stored = self.with(Purpose::Accept, |store| {
            let id = id(name);
            store.accept(parts(&id, resource), &body(name), now)
        });
        if stored.is_some() {
            self.acknowledged.insert(name);
        }
    }

    /// A worker's round: what it has attempted is put down, the rest renewed, and more asked for.
    fn round(&mut self, worker: &'static str, wanted: usize, rate: Option<Rate>) {
        let mut hand = self.workers.remove(worker).unwrap_or_default();
        let now = self.now;
        let underway: Vec<i64> = hand
            .claims
            .iter()
            .map(|claim| claim.seq)
            .filter(|seq| hand.attempts.iter().all(|attempt| attempt.seq != *seq))
            .collect();
        let granted = self.with(Purpose::Deliver, |store| {
            store.round(&Round {
                worker,
                now: now * 1_000,
                lease: LEASE,
                attempts: &hand.attempts,
                underway: &underway,
                wanted,
                rate,
            })
        });
        if let Some(granted) = granted {
            hand.attempts.clear();
            hand.claims.retain(|claim| underway.contains(&claim.seq));
            hand.claims.extend(granted.claims);
        }
        self.workers.insert(worker, hand);
    }

    /// The receiver answers what a worker has in hand.
    fn answer(&mut self, worker: &'static str, answer: impl Fn(Name) -> Answer) {
        let now = self.now;
        let Some(hand) = self.workers.get_mut(worker) else {
            return;
        };
        for claim in &hand.claims {
            if hand.attempts.iter().any(|attempt| attempt.seq == claim.seq) {
                continue;
            }
            let name = name(&claim.id);
            assert_eq!(claim.body, body(name), "{name:?} was handed out changed");
            let (next, status) = match answer(name) {
                Answer::Taken => (Next::Delivered, 200),
                Answer::Later(wait) => (Next::Again(now + wait), 503),
                Answer::Never => (Next::Dead, 410),
                Answer::None => continue,
            };
            match next {
                Next::Delivered => drop(self.taken.insert(name)),
                Next::Dead => drop(self.refused_for_good.insert(name)),
                Next::Again(_) => {}
            }
            hand.attempts.push(attempt(claim, now, status, next));
        }
    }

    fn write(&mut self, write: impl FnOnce(&mut Store, i64) -> Result<(), OutboxError>) {
        let now = self.now;
        self.with(Purpose::Deliver, |store| write(store, now));
    }

    fn redeliver(&mut self, name: Name) {
        self.write(|store, now| {
            store.write(|transaction| {
                let sql = "SELECT seq FROM webhook_message WHERE id = ?1";
                let seq = transaction
                    .query_row(sql, [id(name)], |row| row.get(0))
                    .optional()?;
                seq.map_or(Ok(()), |seq| make_due(transaction, seq, now))
            })
        });
    }

    fn forget(&mut self, history: History) {
        self.write(|store, now| history.forget_some(store, now).map(drop));
    }

    fn later(&mut self, milliseconds: i64) {
        self.now += milliseconds;
    }

    /// Everything that is ever written to the file, at least once; and a good deal of it while
    /// something else is under way.
    fn work(&mut self) {
        use Answer::{Later, Never, None as Silence, Taken};

        for resource in ["a", "b", "c"] {
            self.accept(resource);
        }
        self.round("one", 4, None);
        self.accept("a");
        self.accept("b");
        self.answer("one", |name| match name {
            ("a", _) => Taken,
            ("b", _) => Later(5 * SECOND),
            _ => Never,
        });
        self.accept("c");
        self.later(SECOND);
        self.round("one", 4, None);
        // What is renewed, and nothing else.
        self.later(SECOND);
        self.round("one", 0, None);
        self.redeliver(("c", 1));
        self.accept("a");
        self.answer("one", |name| if name.0 == "c" { Silence } else { Taken });
        self.later(5 * SECOND);
        self.round("one", 4, None);
        self.answer("one", |_| Taken);
        self.forget(HISTORY);
        self.round("one", 1, Rate::parse("1").ok());
        self.accept("b");

        // Another worker takes over what this one is late for; then both put it down.
        self.later(20 * SECOND);
        self.round("two", 4, None);
        self.with(Purpose::Deliver, |store| {
            store.checkpoint();
            Ok(())
        });
        self.answer("two", |_| Taken);
        self.answer("one", |_| Taken);
        self.round("one", 0, None);
        self.accept("c");
        self.round("two", 2, None);
        self.answer("two", |_| Taken);
        self.later(SECOND);
        self.round("two", 2, None);
        self.write(|store, now| store.forgive_the_clock(now, latest_due(now)));
        self.accept("a");
        self.forget(HISTORY);
        self.forget(NONE);
        // Closed one after the other, as when the service ends; and used once more.
        self.accepting = None;
        self.delivering = None;
        self.accept("b");
        self.round("two", 4, None);
        self.answer("two", |name| match name.0 {
            "b" => Later(SECOND),
            _ => Taken,
        });
        self.round("two", 1, None);
    }

    /// What the workload, when nothing went wrong, has not done for all that.
    fn left_undone(&self) -> Vec<&'static str> {
        let store = Store::open(&self.path, Purpose::Accept).expect("nothing went wrong");
        [
            ("message", "delivered", "state = 'delivered'"),
            ("message", "left pending", "state = 'pending'"),
            ("message", "tried again", "failures > 0"),
            (
                "outbox",
                "forgotten",
                "accepted > (SELECT count(*) FROM webhook_message)",
            ),
            ("outbox", "slowed down", "next_slot > 0"),
        ]
        .into_iter()
        .filter(|(table, _, condition)| {
            let sql = format!("SELECT count(*) FROM webhook_{table} WHERE {condition}");
            count(&store, &sql) == 0
        })
        .map(|(_, what, _)| what)
        .chain(self.refused_for_good.is_empty().then_some("given up"))
        .collect()
    }

    /// What is wrong with a file that was written by this service up to a crash. It is then worked
    /// off by another, and looked at again.
    fn look_at(&self, path: &Path) -> Vec<String> {
        let mut wrong = Vec::new();
        let mut store = match Store::open(path, Purpose::Accept) {
            Ok(store) => store,
            Err(error) => return vec![format!("it does not open: {error:?}")],
        };
        let mut check = |is_so: bool, what: String| {
            if !is_so {
                wrong.push(what);
            }
        };
        let found = disorder(&store);
        check(found.is_empty(), format!("{found:?}"));
        let kept = messages(&store);
        for name in &self.acknowledged {
            // With its attempt the message is forgotten.
            let is_there = kept.contains_key(name) || self.taken.contains(name);
            check(is_there, format!("{name:?} is lost"));
        }
        for (name, state) in &kept {
            let is_true = match state.as_str() {
                "delivered" => self.taken.contains(name),
                "dead" => self.refused_for_good.contains(name),
                _ => true,
            };
            check(is_true, format!("{name:?} is {state} by nobody's doing"));
        }

        // A receiver that takes everything, when every claim has run out and every wait is over.
        let now = self.now + 3_600 * SECOND;
        let mut order: Vec<Name> = Vec::new();
        let mut attempts = Vec::new();
        for _ in 0..100 {
            let round = Round {
                worker: "three",
                now: now * 1_000,
                lease: LEASE,
                attempts: &attempts,
                underway: &[],
                wanted: 4,
                rate: None,
            };
            match store.round(&round) {
                Ok(granted) if granted.claims.is_empty() => break,
                Ok(granted) => {
                    order.extend(granted.claims.iter().map(|claim| name(&claim.id)));
                    attempts = granted
                        .claims
                        .iter()
                        .map(|claim| attempt(claim, now, 200, Next::Delivered))
                        .collect();
                }
                Err(error) => {
                    check(false, format!("no round: {error:?}"));
                    break;
                }
            }
        }
        let left = store.stats().map(|stats| stats.pending);
        check(matches!(left, Ok(0)), format!("{left:?} are left"));
        let found = disorder(&store);
        check(
            found.is_empty(),
            format!("after it was worked off: {found:?}"),
        );
        for resource in self.brought.keys() {
            let numbers: Vec<usize> = order
                .iter()
                // It was sent again by hand, behind what was being delivered.
                .filter(|name| name.0 == *resource && **name != ("c", 1))
                .map(|name| name.1)
                .collect();
            let is_right = numbers.windows(2).all(|pair| pair[0] < pair[1]);
            check(is_right, format!("{resource} comes as {numbers:?}"));
        }
        for name in &self.acknowledged {
            let is_over = self.taken.contains(name)
                || self.refused_for_good.contains(name)
                || order.contains(name);
            check(is_over, format!("{name:?} never arrives"));
        }
        // It goes on.
        let more = ("later", 1);
        let accepted = store.accept(parts(&id(more), more.0), &body(more), now);
        check(accepted.is_ok(), format!("{accepted:?}"));
        check(
            count(&store, "SELECT pending FROM webhook_outbox") == 1,
            "it takes no more".to_owned(),
        );
        wrong
    }
}

/// Keeps a little, forgets the rest.
const HISTORY: History = History {
    age: Duration::from_secs(3_600),
    attempts: 3,
};

const NONE: History = History {
    age: Duration::ZERO,
    attempts: 0,
};

fn id((resource, number): Name) -> String {
    format!("evt_{resource}_{number}")
}

fn name(id: &str) -> Name {
    let (_, rest) = id.split_once('_').expect("an id of ours");
    let (resource, number) = rest.split_once('_').expect("an id of ours");
    let resource = ["a", "b", "c", "later"]
        .into_iter()
        .find(|known| *known == resource)
        .expect("a resource of ours");
    (resource, number.parse().expect("a number of ours"))
}

/// Some fit into a page of the file and some do not.
fn body((resource, number): Name) -> Vec<u8> {
    format!("{resource}{number}")
        .repeat(300 * number)
        .into_bytes()
}

fn parts<'a>(id: &'a str, resource: &'a str) -> Parts<'a> {
    Parts {
        id,
        event_type: "app.opteryx.view.create",
        source: "/workspaces/w",
        subject: Some(resource),
        time: None,
    }
}

fn attempt(claim: &Claim, now: i64, status: u16, next: Next) -> Attempt {
    Attempt {
        seq: claim.seq,
        at: now,
        duration: Duration::from_millis(7),
        status: Some(status),
        error: (status != 200).then(|| format!("the receiver answered {status}")),
        answer: None,
        next,
    }
}

/// The messages that are there, and their states.
fn messages(store: &Store) -> BTreeMap<Name, String> {
    store
        .ask(|connection| {
            connection
                .prepare("SELECT id, state, body FROM webhook_message")?
                .query_map([], |row| {
                    let name = name(&row.get::<_, String>(0)?);
                    assert_eq!(row.get_ref(2)?.as_bytes()?, body(name), "{name:?}");
                    Ok((name, row.get(1)?))
                })?
                .collect()
        })
        .unwrap_or_default()
}

/// Goes through the workload with a crash at every operation, each taken for each of these, and says
/// how many operations there were and what was wrong with the survivors.
fn crash_everywhere(disks: &Disks, crashes: impl Fn(u64) -> Vec<Crash>) -> (u64, Vec<String>) {
    let mut wrong = Vec::new();
    for n in 1.. {
        let disk = disks.empty();
        disk.crash_at(n);
        let mut service = Service::new(disk.path("db"));
        service.work();
        if !disk.was_struck() {
            disk.works_again();
            assert!(service.failures.is_empty(), "{:?}", service.failures);
            assert_eq!(service.left_undone(), Vec::<&str>::new());
            assert_eq!(service.look_at(&service.path), Vec::<String>::new());
            return (n - 1, wrong);
        }
        for crash in crashes(n) {
            let survivor = disk.survivor(crash);
            for what in service.look_at(&survivor.path("db")) {
                wrong.push(format!("{crash:?} at {n}: {what}"));
            }
        }
    }
    unreachable!("the workload ends")
}

fn loses_nothing(test: &str, crashes: impl Fn(u64) -> Vec<Crash>) {
    disk::run(&format!("outbox::tests::crashes::{test}"), |disks| {
        let (operations, wrong) = crash_everywhere(disks, crashes);
        assert!(operations > 200, "{operations} operations only");
        assert!(wrong.is_empty(), "{}: {wrong:#?}", wrong.len());
    });
}

#[test]
fn a_process_that_dies_at_any_write_loses_nothing() {
    loses_nothing("a_process_that_dies_at_any_write_loses_nothing", |n| {
        vec![Crash::Process, Crash::Torn(n)]
    });
}

#[test]
fn a_power_cut_at_any_write_loses_nothing() {
    loses_nothing("a_power_cut_at_any_write_loses_nothing", |n| {
        vec![Crash::Power, Crash::PowerShuffled(n)]
    });
}

/// Goes through the workload with a fault that begins at every operation, lets the disk work again,
/// and goes through it once more. Says what was wrong.
fn strike_everywhere(test: &str, fault: impl Fn(&Disk, u64)) {
    disk::run(&format!("outbox::tests::crashes::{test}"), |disks| {
        let mut wrong = Vec::new();
        for n in 1.. {
            let disk = disks.empty();
            fault(&disk, n);
            let mut service = Service::new(disk.path("db"));
            service.work();
            let was_struck = disk.was_struck();
            disk.works_again();
            if !was_struck {
                assert!(service.failures.is_empty(), "{:?}", service.failures);
                break;
            }
            // Connections that have failed are replaced, and the others have seen nothing of it.
            service.failures.clear();
            service.accept("a");
            service.later(20 * SECOND);
            service.round("one", 4, None);
            service.answer("one", |_| Answer::Taken);
            service.round("one", 4, None);
            for failure in &service.failures {
                wrong.push(format!("at {n}, once it works again: {failure:?}"));
            }
            if !service.acknowledged.contains(&("a", service.brought["a"])) {
                wrong.push(format!("at {n}: nothing is accepted any more"));
            }
            let survivor = disk.survivor(Crash::Power);
            for what in service.look_at(&survivor.path("db")) {
                wrong.push(format!("at {n}, then a power cut: {what}"));
            }
            service.accepting = None;
            service.delivering = None;
            for what in service.look_at(&service.path) {
                wrong.push(format!("at {n}: {what}"));
            }
        }
        assert!(wrong.is_empty(), "{}: {wrong:#?}", wrong.len());
    });
}

#[test]
fn any_one_write_that_fails_loses_nothing_and_the_next_ones_go_on() {
    strike_everywhere(
        "any_one_write_that_fails_loses_nothing_and_the_next_ones_go_on",
        Disk::fail_at,
    );
}

#[test]
fn a_disk_that_is_full_from_any_write_on_loses_nothing_and_is_used_again_later() {
    strike_everywhere(
        "a_disk_that_is_full_from_any_write_on_loses_nothing_and_is_used_again_later",
        Disk::full_at,
    );
}
