//! Wherever the catalog calls from: an outcome, and never a panic.

use std::sync::Arc;
use std::thread;
use std::time::Duration;

use opteryx_webhooks::Outcome;

use crate::support::server::Connection;
use crate::support::server::Server;
use crate::support::tls::Authority;
use crate::support::{child, event, in_time, notifier};

#[test]
fn a_plain_thread() {
    let receiver = Server::ok();
    let notifier = notifier(&receiver.domain(), []);
    assert!(
        thread::spawn(move || notifier.notify(&event()).is_ok())
            .join()
            .unwrap()
    );
}

#[tokio::main]
async fn in_a_multi_threaded_runtime(domain: &str) -> Outcome {
    let notifier = notifier(domain, []);
    let outcome = notifier.notify(&event());
    let spawned = notifier.clone();
    assert!(
        tokio::spawn(async move { spawned.notify(&event()).is_ok() })
            .await
            .unwrap()
    );
    assert!(
        tokio::task::spawn_blocking(move || notifier.notify(&event()).is_ok())
            .await
            .unwrap()
    );
    outcome
}

#[tokio::main(flavor = "current_thread")]
async fn in_a_current_thread_runtime(domain: &str) -> Outcome {
    let notifier = notifier(domain, []);
    let local = tokio::task::LocalSet::new();
    let within = notifier.clone();
    let done = local
        .run_until(async move {
            tokio::task::spawn_local(async move { within.notify(&event()).is_ok() })
                .await
                .unwrap()
        })
        .await;
    assert!(done, "inside a LocalSet");
    notifier.notify(&event())
}

#[test]
fn inside_tokio_main_of_both_kinds_and_a_local_set() {
    let receiver = Server::ok();
    assert!(in_a_multi_threaded_runtime(&receiver.domain()).is_ok());
    assert!(in_a_current_thread_runtime(&receiver.domain()).is_ok());
    assert_eq!(receiver.requests().len(), 5);
}

#[test]
fn thirty_two_threads_at_once_against_a_receiver_that_stays_silent() {
    let receiver = Server::start(Connection::stay_silent);
    let notifier = notifier(&receiver.domain(), [("OPTERYX_WEBHOOK_TIMEOUT", "1")]);
    thread::scope(|scope| {
        for _ in 0..32 {
            scope.spawn(|| {
                let outcome = in_time(Duration::from_secs(1), || notifier.notify(&event()));
                assert!(
                    outcome.error().is_some_and(|error| error.is_timeout()),
                    "{outcome:?}"
                );
            });
        }
    });
    assert_eq!(notifier.stats().failed, 32);
}

#[test]
fn the_destructor_of_a_thread_local() {
    struct NotifiesAtTheEnd(opteryx_webhooks::Notifier);
    impl Drop for NotifiesAtTheEnd {
        fn drop(&mut self) {
            self.0.notify(&event());
        }
    }
    thread_local! {
        static LAST: std::cell::OnceCell<NotifiesAtTheEnd> = const { std::cell::OnceCell::new() };
    }
    let receiver = Server::ok();
    let last = notifier(&receiver.domain(), []);
    thread::spawn(move || LAST.with(|cell| cell.set(NotifiesAtTheEnd(last)).is_ok()))
        .join()
        .unwrap();
    assert_eq!(receiver.requests().len(), 1);
}

#[test]
fn a_forked_child_has_connections_of_its_own() {
    if child::is_child() {
        let authority = Authority::new();
        let receiver = Server::start_tls(authority.server(), Connection::answer_all);
        let file = authority.file();
        let domain = format!("localhost:{}", receiver.address().port());
        let notifier = Arc::new(notifier(
            &domain,
            [("SSL_CERT_FILE", file.to_str().unwrap())],
        ));
        assert!(notifier.notify(&event()).is_ok());
        // The child's events on the parent's TLS connection would garble both.
        match fork::fork().unwrap() {
            fork::Fork::Child => {
                let well = (0..3).all(|_| notifier.notify(&event()).is_ok());
                std::process::exit(if well { 0 } else { 1 });
            }
            fork::Fork::Parent(pid) => {
                let status = fork::waitpid(pid).unwrap();
                assert_eq!(
                    fork::WEXITSTATUS(status),
                    0,
                    "the child's events were delivered"
                );
            }
        }
        for _ in 0..3 {
            assert!(notifier.notify(&event()).is_ok());
        }
        assert_eq!(receiver.connections(), 2);
        assert_eq!(receiver.requests().len(), 7);
        return;
    }
    // In a process of its own: a fork copies one thread, and this program has many.
    child::run::<&str, &str>("contexts::a_forked_child_has_connections_of_its_own", []);
}
