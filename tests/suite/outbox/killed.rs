//! Processes that are killed at any moment: nothing that was stored is lost, and the sums are right.

use std::collections::{HashMap, HashSet};
use std::hash::{BuildHasher, RandomState};
use std::io::{BufRead, BufReader, Write};
use std::process::{Child, Stdio};
use std::sync::{Arc, Mutex, mpsc};
use std::thread;
use std::time::Duration;

use opteryx_webhooks::outbox::State;
use opteryx_webhooks::{Event, Notifier, Outcome};
use rusqlite::Connection;

use super::{Place, stats};
use crate::support::child;
use crate::support::server::Server;

/// How many files are used side by side.
const FILES: usize = 4;

/// How often a process is killed for each file, so that it is more than 200 times in all.
const KILLS: usize = 55;

/// How many threads of a process bring events.
const THREADS: usize = 3;

/// How many events every other process has stored before it is killed, so that some are stored however
/// slow the machine is.
const EVENTS: usize = 3;

/// The latest that a process is killed after its start, or after those, in milliseconds.
const LATEST: u64 = 150;

/// What the receiver has seen.
#[derive(Default)]
struct Seen {
    /// By resource, what was taken, in order.
    taken: HashMap<String, Vec<i64>>,
    /// What is being delivered at this moment, by id.
    underway: HashSet<String>,
    /// What was being delivered twice at a time.
    clashes: Vec<String>,
}

/// Takes most of what comes, refuses some, and takes its time now and then.
fn receiver(seen: &Arc<Mutex<Seen>>) -> Server {
    let seen = Arc::clone(seen);
    Server::start(move |mut connection| {
        while let Some(request) = connection.request() {
            let id = request.headers["webhook-id"].clone();
            let event = request.json();
            if !seen.lock().unwrap().underway.insert(id.clone()) {
                seen.lock().unwrap().clashes.push(id.clone());
            }
            let draw = random(100);
            if draw < 10 {
                thread::sleep(Duration::from_millis(5));
            }
            let is_taken = draw >= 20;
            {
                let mut seen = seen.lock().unwrap();
                seen.underway.remove(&id);
                if is_taken {
                    let resource = event["event"]["resource_name"].as_str().unwrap();
                    let number = event["data"].as_i64().unwrap();
                    seen.taken
                        .entry(resource.to_owned())
                        .or_default()
                        .push(number);
                }
            }
            let status = if is_taken { "200 OK" } else { "503 No" };
            let answer = format!("HTTP/1.1 {status}\r\nContent-Length: 0\r\n\r\n");
            if connection.send(answer).is_err() {
                return;
            }
        }
    })
}

/// As a child: brings events until it is killed, and says which were stored.
fn bring_events() {
    let notifier = Notifier::try_from_env().expect("the variables are right");
    let name = std::process::id();
    thread::scope(|scope| {
        for thread in 0..THREADS {
            let notifier = &notifier;
            scope.spawn(move || {
                let resource = format!("{name}-{thread}");
                for number in 0..i64::MAX {
                    let event =
                        Event::new("create", "view", "w", Some("c"), &resource).with_data(number);
                    let outcome = notifier.notify(&event);
                    assert!(matches!(outcome, Outcome::Stored), "{outcome:?}");
                    // In one write, so that a line is there or is not.
                    let line = format!("stored {resource} {number}\n");
                    std::io::stdout().lock().write_all(line.as_bytes()).unwrap();
                }
            });
        }
    });
}

/// After what a child is killed at a random moment.
#[derive(Clone, Copy)]
enum After {
    ItsStart,
    ItsEvents,
}

/// Starts so many such children, one after the other, and kills each. Returns what they said was stored.
fn killed_at_random(test: &str, place: &Place, receiver: &Server) -> Vec<(String, i64)> {
    let moments = [After::ItsStart, After::ItsEvents].into_iter().cycle();
    moments
        .take(KILLS)
        .flat_map(|after| kill_one(test, place, receiver, after))
        .collect()
}

fn kill_one(test: &str, place: &Place, receiver: &Server, after: After) -> Vec<(String, i64)> {
    let mut child: Child = child::command(test)
        .env("OPTERYX_WEBHOOK_DOMAIN", receiver.domain())
        .env("OPTERYX_WEBHOOK_OUTBOX", place.path())
        .env("OPTERYX_WEBHOOK_RETRY", "5ms 10ms 20ms")
        // However long the machine's disk takes.
        .env("OPTERYX_WEBHOOK_TIMEOUT", "120")
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("the suite can start itself");
    let stdout = child.stdout.take().expect("it is piped");
    let (says, told) = mpsc::channel();
    let lines = thread::spawn(move || {
        let lines = BufReader::new(stdout).lines().map_while(Result::ok);
        lines
            .filter_map(|line| {
                // What is before it is the test program's own.
                let (_, stored) = line.split_once("stored ")?;
                let (resource, number) = stored.split_once(' ')?;
                // Nobody listens any more once it is to be killed.
                let _ = says.send(());
                Some((resource.to_owned(), number.parse().ok()?))
            })
            .collect::<Vec<_>>()
    });
    if let After::ItsEvents = after {
        for _ in 0..EVENTS {
            told.recv().expect("it stores events");
        }
    }
    thread::sleep(Duration::from_millis(random(LATEST)));
    child.kill().expect("it can be killed");
    let output = child.wait_with_output().expect("it has ended");
    assert!(
        output.status.code().is_none(),
        "it ended by itself: {}",
        String::from_utf8_lossy(&output.stderr)
    );
    lines.join().expect("it only reads")
}

fn random(below: u64) -> u64 {
    RandomState::new().hash_one(()) % below
}

/// Delivers what is left, and looks whether all is there.
fn check(place: &Place, receiver: &Server, seen: &Mutex<Seen>, stored: &[(String, i64)]) {
    let notifier = place.notifier(
        &receiver.domain(),
        [("OPTERYX_WEBHOOK_RETRY", "5ms 10ms 20ms")],
    );
    // What a killed process had claimed is free after ten seconds.
    assert!(
        notifier.flush(Duration::from_secs(120)),
        "something is still pending"
    );
    let stats = stats(&notifier);
    assert_eq!(stats.pending, 0);
    assert!(stats.accepted >= stored.len() as u64);

    let file = place.file();
    let mut dead = HashSet::new();
    for letter in file.messages(Some(State::Dead), usize::MAX).unwrap() {
        let body: serde_json::Value =
            serde_json::from_slice(&file.body(&letter.id).unwrap().unwrap()).unwrap();
        let resource = body["event"]["resource_name"].as_str().unwrap().to_owned();
        dead.insert((resource, body["data"].as_i64().unwrap()));
    }
    let seen = seen.lock().unwrap();
    for (resource, number) in stored {
        let is_taken = seen
            .taken
            .get(resource)
            .is_some_and(|taken| taken.contains(number));
        assert!(
            is_taken || dead.contains(&(resource.clone(), *number)),
            "{resource} {number} is lost"
        );
    }
    for (resource, taken) in &seen.taken {
        assert!(
            taken.is_sorted(),
            "{resource} was taken out of order: {taken:?}"
        );
    }
    assert_eq!(
        seen.clashes,
        Vec::<String>::new(),
        "delivered by two at a time"
    );

    let connection = Connection::open(place.path()).unwrap();
    let count = |sql: &str| {
        connection
            .query_row(sql, [], |row| row.get::<_, u64>(0))
            .unwrap()
    };
    assert_eq!(
        count("SELECT count(*) FROM webhook_message"),
        stats.accepted
    );
    for (state, sum) in [("delivered", stats.delivered), ("dead", stats.dead)] {
        let sql = format!("SELECT count(*) FROM webhook_message WHERE state = '{state}'");
        assert_eq!(count(&sql), sum, "{state}");
    }
    let verdict: String = connection
        .query_row("PRAGMA integrity_check", [], |row| row.get(0))
        .unwrap();
    assert_eq!(verdict, "ok");
}

#[test]
fn nothing_stored_is_lost_to_sigkill() {
    if child::is_child() {
        return bring_events();
    }
    thread::scope(|scope| {
        for _ in 0..FILES {
            scope.spawn(|| {
                let (place, seen) = (Place::new(), Arc::default());
                let receiver = receiver(&seen);
                let stored = killed_at_random(
                    "outbox::killed::nothing_stored_is_lost_to_sigkill",
                    &place,
                    &receiver,
                );
                assert!(stored.len() > KILLS, "hardly anything was stored");
                check(&place, &receiver, &seen, &stored);
            });
        }
    });
}

#[test]
fn nothing_stored_is_lost_when_two_processes_share_a_file_and_are_killed() {
    if child::is_child() {
        return bring_events();
    }
    thread::scope(|scope| {
        for _ in 0..FILES / 2 {
            scope.spawn(|| {
                let (place, seen) = (Place::new(), Arc::default());
                let receiver = receiver(&seen);
                let one_after_the_other = || {
                    killed_at_random(
                        "outbox::killed::nothing_stored_is_lost_when_two_processes_share_a_file_and_are_killed",
                        &place,
                        &receiver,
                    )
                };
                let stored = thread::scope(|scope| {
                    let other = scope.spawn(one_after_the_other);
                    let mut stored = one_after_the_other();
                    stored.extend(other.join().unwrap());
                    stored
                });
                assert!(stored.len() > KILLS, "hardly anything was stored");
                check(&place, &receiver, &seen, &stored);
            });
        }
    });
}
