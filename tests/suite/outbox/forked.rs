//! Processes that are forked while an outbox is open.

use std::cell::Cell;
use std::collections::HashSet;
use std::time::Duration;

use opteryx_webhooks::outbox::OutboxFile;
use opteryx_webhooks::{Event, Notifier, Outcome};

use super::{Place, stats, store};
use crate::support::child;
use crate::support::server::Server;

const MINUTE: Duration = Duration::from_secs(60);

fn notify(notifier: &Notifier, name: &str) -> Outcome {
    notifier.notify(&Event::new("create", "view", "w", Some("c"), name))
}

/// Runs it in a forked child, which must return true; `meanwhile` runs here once the child says so.
fn forked(place: &Place, run: impl FnOnce(&dyn Fn()) -> bool, meanwhile: impl FnOnce()) {
    let (half, done) = (place.folder().join("half"), place.folder().join("done"));
    let wait_for = |path: &std::path::Path| {
        crate::support::eventually("the other process is as far", || path.exists());
    };
    match fork::fork().unwrap() {
        fork::Fork::Child => {
            let is_well = run(&|| {
                std::fs::write(&half, "").unwrap();
                wait_for(&done);
            });
            std::process::exit(if is_well { 0 } else { 1 });
        }
        fork::Fork::Parent(pid) => {
            wait_for(&half);
            meanwhile();
            std::fs::write(&done, "").unwrap();
            let status = fork::waitpid(pid).unwrap();
            assert_eq!(fork::WEXITSTATUS(status), 0, "the child was not well");
        }
    }
}

/// The ids that a receiver has taken.
fn ids(receiver: &Server) -> HashSet<String> {
    let requests = receiver.requests();
    let ids = requests
        .iter()
        .map(|request| &request.headers["webhook-id"]);
    ids.cloned().collect()
}

#[test]
fn what_a_forked_child_calls_stored_outlasts_it_and_its_parent() {
    if !child::is_child() {
        // In a process of its own: a fork copies one thread, and this program has many.
        let test = "outbox::forked::what_a_forked_child_calls_stored_outlasts_it_and_its_parent";
        child::run::<&str, &str>(test, []);
        return;
    }
    let (place, receiver) = (Place::new(), Server::ok());
    let domain = receiver.domain();
    let notifier = place.notifier(&domain, []);
    store(&notifier, "before");
    assert!(notifier.flush(MINUTE));

    let notifier = Cell::new(Some(notifier));
    forked(
        &place,
        |now_the_parent| {
            let inherited = notifier.take().expect("each process has its own");
            let own = place.notifier(&domain, []);
            let mut outcomes = vec![notify(&inherited, "inherited"), notify(&own, "own")];
            now_the_parent();
            outcomes.extend([notify(&inherited, "inherited"), notify(&own, "own")]);
            eprintln!("{outcomes:?}");
            // SQLite cannot be used here, and so it is said that nothing is stored.
            outcomes
                .iter()
                .all(|outcome| matches!(outcome, Outcome::Delivered { status: 200 }))
                && OutboxFile::open(place.path()).is_err()
                && inherited.stats().outbox.is_none()
                && !own.flush(Duration::from_millis(10))
        },
        || {
            let notifier = notifier.take().expect("each process has its own");
            store(&notifier, "after");
            assert!(notifier.flush(MINUTE));
            assert_eq!(stats(&notifier).accepted, 2);
            // This closes the file, and removes its log.
        },
    );
    assert_eq!(place.file().stats().unwrap().accepted, 2);
    assert_eq!(ids(&receiver).len(), 6);

    // Once it is closed, a child may have it.
    std::fs::remove_file(place.folder().join("half")).unwrap();
    std::fs::remove_file(place.folder().join("done")).unwrap();
    forked(
        &place,
        |now_the_parent| {
            let own = place.notifier(&domain, []);
            now_the_parent();
            store(&own, "own");
            own.flush(MINUTE)
        },
        || (),
    );
    assert_eq!(place.file().stats().unwrap().delivered, 3);
    assert_eq!(ids(&receiver).len(), 7);
}
