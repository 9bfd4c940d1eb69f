//! What keeps the outbox from being used, and what becomes of the events then.

use std::fs;
use std::time::{Duration, Instant};

use log::Level;
use opteryx_webhooks::{Event, Notifier, Outcome};
use rusqlite::Connection;

use super::{Place, stats, store};
use crate::support::server::Server;
use crate::support::{eventually, logged};

fn notify(notifier: &Notifier) -> Outcome {
    notifier.notify(&Event::new("create", "view", "w", Some("c"), "v"))
}

/// Two events while there is trouble go directly, and one error is logged; once it is over, events
/// are stored.
fn goes_directly(place: &Place, reason: &str, mend: impl FnOnce()) {
    let receiver = Server::ok();
    let notifier = place.notifier(&receiver.domain(), []);
    let (outcomes, lines) = logged::while_running(|| [notify(&notifier), notify(&notifier)]);
    for outcome in &outcomes {
        assert!(
            matches!(outcome, Outcome::Delivered { status: 200 }),
            "{outcome:?}"
        );
    }
    let errors: Vec<_> = lines
        .iter()
        .filter(|(level, _)| *level == Level::Error)
        .collect();
    assert_eq!(errors.len(), 1, "{lines:?}");
    let path = place.path();
    assert!(
        errors[0].1.contains(reason) && errors[0].1.contains(path.to_str().unwrap()),
        "{errors:?}"
    );
    assert_eq!(notifier.stats().delivered, 2);
    mend();
    let (outcome, lines) = logged::while_running(|| notify(&notifier));
    assert!(matches!(outcome, Outcome::Stored), "{outcome:?}");
    assert!(
        lines
            .iter()
            .any(|(level, line)| *level == Level::Warn && line.contains("works again")),
        "{lines:?}"
    );
    assert!(notifier.flush(Duration::from_secs(60)));
    assert_eq!(receiver.requests().len(), 3);
    assert_eq!(stats(&notifier).accepted, 1);
}

#[test]
fn a_folder_that_is_not_there() {
    let place = Place::new();
    fs::remove_dir(place.folder()).unwrap();
    goes_directly(&place, "its folder does not exist", || {
        fs::create_dir(place.folder()).unwrap();
    });
}

#[test]
fn a_file_that_is_no_sqlite_file() {
    let place = Place::new();
    fs::write(place.path(), "hello ".repeat(1000)).unwrap();
    goes_directly(&place, "it is no SQLite file", || {
        fs::remove_file(place.path()).unwrap();
    });
}

#[test]
fn a_folder_in_the_files_place() {
    let place = Place::new();
    fs::create_dir(place.path()).unwrap();
    goes_directly(&place, "it is a folder", || {
        fs::remove_dir(place.path()).unwrap();
    });
}

#[test]
fn a_file_of_a_newer_version() {
    let place = Place::new();
    drop(place.notifier("a.example.com", []));
    eventually("the file is made", || place.path().exists());
    let set = |version: i64| {
        let connection = Connection::open(place.path()).unwrap();
        connection
            .execute("UPDATE webhook_outbox SET version = ?1", [version])
            .unwrap();
    };
    set(2);
    goes_directly(&place, "a newer version of opteryx-webhooks", || set(1));
}

#[test]
fn a_damaged_file() {
    let place = Place::new();
    {
        let receiver = Server::ok();
        let notifier = place.notifier(&receiver.domain(), []);
        for name in 0..50 {
            store(&notifier, &name.to_string());
        }
        assert!(notifier.flush(Duration::from_secs(60)));
    }
    eventually("it is closed", || {
        !place.folder().join("webhooks.db-wal").exists()
    });
    let whole = fs::read(place.path()).unwrap();
    let mut damaged = whole.clone();
    // Behind the header, which says that it is a SQLite file.
    for byte in &mut damaged[100..] {
        *byte = 0xA5;
    }
    fs::write(place.path(), &damaged).unwrap();
    goes_directly(&place, "it is damaged", || {
        fs::remove_file(place.path()).unwrap();
    });
}

#[test]
fn a_lock_that_another_process_keeps() {
    let place = Place::new();
    let receiver = Server::ok();
    let notifier = place.notifier(&receiver.domain(), [("OPTERYX_WEBHOOK_TIMEOUT", "2")]);
    store(&notifier, "v");
    assert!(notifier.flush(Duration::from_secs(60)));
    let mut other = Connection::open(place.path()).unwrap();
    let lock = other
        .transaction_with_behavior(rusqlite::TransactionBehavior::Immediate)
        .unwrap();
    let (outcome, lines) = logged::while_running(|| {
        let started = Instant::now();
        let outcome = notify(&notifier);
        assert!(started.elapsed() < Duration::from_millis(2300));
        outcome
    });
    assert!(matches!(outcome, Outcome::Delivered { .. }), "{outcome:?}");
    assert!(
        lines
            .iter()
            .any(|(level, line)| *level == Level::Error && line.contains("lock")),
        "{lines:?}"
    );
    // Whoever comes next does not wait once more.
    let started = Instant::now();
    assert!(notify(&notifier).is_ok());
    assert!(started.elapsed() < Duration::from_millis(1000));
    drop(lock);
    assert!(matches!(notify(&notifier), Outcome::Stored));
    assert!(notifier.flush(Duration::from_secs(60)));
    assert_eq!(stats(&notifier).accepted, 2);
}

#[test]
fn a_file_that_vanishes_under_a_running_service() {
    let place = Place::new();
    let receiver = Server::ok();
    let notifier = place.notifier(&receiver.domain(), []);
    store(&notifier, "before");
    assert!(notifier.flush(Duration::from_secs(60)));
    fs::remove_dir_all(place.folder()).unwrap();
    let (outcome, lines) = logged::while_running(|| notify(&notifier));
    assert!(matches!(outcome, Outcome::Delivered { .. }), "{outcome:?}");
    assert!(
        lines.iter().any(|(level, _)| *level == Level::Error),
        "{lines:?}"
    );
    fs::create_dir(place.folder()).unwrap();
    assert!(matches!(notify(&notifier), Outcome::Stored));
    assert!(place.path().exists());
    assert!(notifier.flush(Duration::from_secs(60)));
    assert_eq!(stats(&notifier).accepted, 1);
}
