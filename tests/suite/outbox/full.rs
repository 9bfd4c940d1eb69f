//! A disk that is full.

use std::collections::HashSet;
use std::time::Duration;

use opteryx_webhooks::{Config, Event, Notifier, Outcome};

use super::{errors, stats, works_again};
use crate::support::disk::small::{self, SmallDisk, Way};
use crate::support::logged;
use crate::support::server::Server;

/// How much room there is at first.
const ROOM: u64 = 1024 * 1024;

/// How many events are announced while the disk is full.
const WHILE_FULL: usize = 20;

fn notify(notifier: &Notifier, number: usize) -> Outcome {
    let name = format!("v{}", number % 3);
    let event = Event::new("create", "view", "w", Some("c"), &name).with_data("x".repeat(5_000));
    notifier.notify(&event)
}

fn is_used_again_once_there_is_room(disk: &SmallDisk) {
    let receiver = Server::ok();
    let path = disk.path("webhooks.db");
    let domain = receiver.domain();
    let config = Config::from_vars([
        ("OPTERYX_WEBHOOK_DOMAIN", domain.as_ref()),
        ("OPTERYX_WEBHOOK_OUTBOX", path.as_os_str()),
    ])
    .expect("the variables are right");
    let notifier = Notifier::new(config);
    let mut announced = 0;
    let mut stored = 0;
    let outcome = notify(&notifier, announced);
    assert!(matches!(outcome, Outcome::Stored), "{outcome:?}");
    announced += 1;
    stored += 1;

    disk.fill();
    let ((), lines) = logged::while_running(|| {
        // The log has some room yet that it has used before.
        let mut refused = 0;
        while refused < WHILE_FULL {
            match notify(&notifier, announced) {
                Outcome::Stored => stored += 1,
                Outcome::Delivered { status: 200 } => refused += 1,
                outcome => panic!("{outcome:?}"),
            }
            announced += 1;
            assert!(announced < 10_000, "it is never full");
        }
    });
    let reason = match disk.way() {
        Way::Tmpfs => "the disk is full",
        // SQLite does not say more of EFBIG.
        Way::FileLimit => "reading or writing it failed",
    };
    let errors = errors(&lines);
    assert_eq!(errors.len(), 1, "{errors:#?}");
    assert!(errors[0].contains(reason), "{errors:?}");

    disk.make_room();
    works_again(|| notify(&notifier, announced));
    announced += 1;
    stored += 1;
    assert!(notifier.flush(Duration::from_secs(60)));
    let sums = stats(&notifier);
    assert_eq!((sums.accepted, sums.delivered), (stored, stored));
    let ids: HashSet<String> = receiver
        .requests()
        .iter()
        .map(|request| request.headers["webhook-id"].clone())
        .collect();
    assert_eq!(ids.len(), announced, "every event has arrived");
}

#[test]
fn on_a_full_disk_events_go_directly_and_are_stored_again_once_there_is_room() {
    small::run(
        "outbox::full::on_a_full_disk_events_go_directly_and_are_stored_again_once_there_is_room",
        ROOM,
        is_used_again_once_there_is_room,
    );
}
