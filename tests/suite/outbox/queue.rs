//! A queue of Cloud Tasks behind the outbox.

use std::time::Duration;

use opteryx_webhooks::outbox::State;

use super::{Place, stats, store};
use crate::support::eventually;
use crate::support::queue_server::QueueServer;

const MINUTE: Duration = Duration::from_secs(60);
const QUEUE: &str = "projects/my-project/locations/us-central1/queues/webhooks";

#[test]
fn what_is_stored_waits_until_the_queue_has_it() {
    let (place, mut server) = (Place::new(), QueueServer::start());
    let address = server.address().to_string();
    let notifier = place.notifier(
        "router.opteryx.app",
        [
            ("OPTERYX_WEBHOOK_QUEUE", QUEUE),
            ("CLOUD_TASKS_EMULATOR_HOST", &address),
            (
                "OPTERYX_WEBHOOK_RETRY",
                "100ms 100ms 200ms 500ms 1s 1s 1s 1s 1s 1s",
            ),
            ("OPTERYX_WEBHOOK_TIMEOUT", "1"),
        ],
    );
    server.kill();
    store(&notifier, "v");
    eventually("an attempt has failed", || {
        place.file().messages(None, 1).unwrap()[0].attempts > 0
    });
    server.restart();
    assert!(notifier.flush(MINUTE));
    assert_eq!(stats(&notifier).delivered, 1);
    let stored = server.stored();
    assert_eq!(stored.len(), 1);
    let file = place.file();
    let messages = file.messages(Some(State::Delivered), 10).unwrap();
    let attempts = file.attempts(&messages[0].id).unwrap();
    assert!(attempts.len() > 1 && attempts[0].error.is_some());
    // What a queue says is the name of its task, which is the message's id.
    assert_eq!(attempts.last().unwrap().answer.as_ref(), Some(&stored[0]));
    assert_eq!(stored[0], format!("{QUEUE}/tasks/{}", messages[0].id));
}
