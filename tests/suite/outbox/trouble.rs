//! What keeps the outbox from being used, and what becomes of the events then.

use std::fs;
use std::path::PathBuf;
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use log::Level;
use opteryx_webhooks::{Delivery, Event, Message, Notifier, Outcome};
use rusqlite::Connection;

use super::{Place, errors, stats, store, works_again};
use crate::support::server::Server;
use crate::support::{eventually, in_time, logged, within};

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
    let errors = errors(&lines);
    assert_eq!(errors.len(), 1, "{lines:?}");
    let path = place.path();
    assert!(
        errors[0].contains(reason) && errors[0].contains(path.to_str().unwrap()),
        "{errors:?}"
    );
    assert_eq!(notifier.stats().delivered, 2);
    mend();
    works_again(|| notify(&notifier));
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
    let (outcome, lines) =
        logged::while_running(|| in_time(Duration::from_secs(2), || notify(&notifier)));
    assert!(matches!(outcome, Outcome::Delivered { .. }), "{outcome:?}");
    assert!(
        lines
            .iter()
            .any(|(level, line)| *level == Level::Error && line.contains("lock")),
        "{lines:?}"
    );
    // Whoever comes next does not wait once more.
    assert!(within(Duration::from_secs(1), || notify(&notifier)).is_ok());
    drop(lock);
    assert!(matches!(notify(&notifier), Outcome::Stored));
    assert!(notifier.flush(Duration::from_secs(60)));
    assert_eq!(stats(&notifier).accepted, 2);
}

#[test]
fn a_lock_that_another_process_keeps_is_said_once_however_many_threads_meet_it() {
    let (place, receiver) = (Place::new(), Server::ok());
    let notifier = place.notifier(&receiver.domain(), [("OPTERYX_WEBHOOK_TIMEOUT", "1")]);
    store(&notifier, "v");
    assert!(notifier.flush(Duration::from_secs(60)));
    let mut other = Connection::open(place.path()).unwrap();
    let lock = other
        .transaction_with_behavior(rusqlite::TransactionBehavior::Immediate)
        .unwrap();
    let lines: Vec<_> = thread::scope(|scope| {
        let threads: Vec<_> = (0..4)
            .map(|_| {
                let announce = || (0..25).for_each(|_| drop(notify(&notifier)));
                scope.spawn(move || logged::while_running(announce).1)
            })
            .collect();
        threads
            .into_iter()
            .flat_map(|thread| thread.join().unwrap())
            .filter(|(level, _)| *level == Level::Error)
            .collect()
    });
    drop(lock);
    // One thread waits for the lock, the others for that thread.
    assert!((1..=2).contains(&lines.len()), "{lines:#?}");
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

/// Takes a message, and makes an end of the folder that the outbox is in.
struct Wrecks {
    folder: PathBuf,
    /// Goes when the outbox's threads have ended.
    _alive: Arc<()>,
}

impl Delivery for Wrecks {
    fn deliver(&self, _message: &Message) -> Outcome {
        fs::remove_dir_all(&self.folder).expect("the folder is there");
        Outcome::Delivered { status: 200 }
    }
}

#[test]
fn a_file_that_is_gone_for_good_keeps_no_thread_once_the_notifier_is_dropped() {
    let (place, alive) = (Place::new(), Arc::new(()));
    let delivery = Wrecks {
        folder: place.folder().to_owned(),
        _alive: Arc::clone(&alive),
    };
    let notifier = Notifier::with_config_and_delivery(place.config("a.example.com", []), delivery);
    store(&notifier, "v");
    eventually("it is delivered", || !place.folder().exists());
    within(Duration::from_millis(1100), || drop(notifier));
    eventually("the outbox's threads have ended", || {
        Arc::strong_count(&alive) == 1
    });
}
