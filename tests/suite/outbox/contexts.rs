//! Wherever the outbox is used from.

use std::thread;
use std::time::Duration;

use opteryx_webhooks::{Event, Outcome};

use super::{Place, names, stats, store};
use crate::support::server::Server;

const MINUTE: Duration = Duration::from_secs(60);

#[test]
fn thirty_two_threads_at_once() {
    let (place, receiver) = (Place::new(), Server::ok());
    let notifier = place.notifier(&receiver.domain(), []);
    thread::scope(|scope| {
        for number in 0..32 {
            let notifier = &notifier;
            scope.spawn(move || {
                for round in 0..10 {
                    let name = format!("view-{number}");
                    let event =
                        Event::new("create", "view", "w", Some("c"), &name).with_data(round);
                    let outcome = notifier.notify(&event);
                    assert!(matches!(outcome, Outcome::Stored), "{outcome:?}");
                }
            });
        }
    });
    assert!(notifier.flush(MINUTE));
    assert_eq!(stats(&notifier).delivered, 320);
    let mut rounds = vec![Vec::new(); 32];
    for request in receiver.requests() {
        let body = request.json();
        let name = body["event"]["resource_name"].as_str().unwrap();
        let number: usize = name["view-".len()..].parse().unwrap();
        rounds[number].push(body["data"].as_i64().unwrap());
    }
    for round in rounds {
        assert_eq!(round, (0..10).collect::<Vec<_>>());
    }
}

#[test]
fn inside_a_runtime() {
    let (place, receiver) = (Place::new(), Server::ok());
    let runtime = tokio::runtime::Builder::new_current_thread()
        .build()
        .unwrap();
    runtime.block_on(async {
        let notifier = place.notifier(&receiver.domain(), []);
        store(&notifier, "v");
        assert!(notifier.flush(MINUTE));
    });
    assert_eq!(receiver.requests().len(), 1);
}

#[test]
fn two_notifiers_with_one_file_deliver_each_event_once() {
    let (place, receiver) = (Place::new(), Server::ok());
    let notifiers = [(); 2].map(|()| place.notifier(&receiver.domain(), []));
    thread::scope(|scope| {
        for (number, notifier) in notifiers.iter().enumerate() {
            scope.spawn(move || {
                for round in 0..50 {
                    store(notifier, &format!("{number}-{round}"));
                }
            });
        }
    });
    assert!(notifiers.iter().all(|notifier| notifier.flush(MINUTE)));
    let mut names = names(&receiver.requests());
    names.sort();
    names.dedup();
    assert_eq!((names.len(), receiver.requests().len()), (100, 100));
    assert_eq!(stats(&notifiers[0]), stats(&notifiers[1]));
}
