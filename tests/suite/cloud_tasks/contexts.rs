//! Wherever the catalog calls from: an outcome, and never a panic.

use std::cell::OnceCell;
use std::thread;
use std::time::Duration;

use opteryx_webhooks::Notifier;

use super::notifier;
use crate::support::queue_server::{QueueServer, Reply};
use crate::support::{child, event, in_time};

#[tokio::main]
async fn in_a_multi_threaded_runtime(notifier: &Notifier) {
    assert!(notifier.notify(&event()).is_ok());
    for _ in 0..2 {
        let notifier = notifier.clone();
        let spawned = tokio::spawn(async move { notifier.notify(&event()).is_ok() });
        assert!(spawned.await.unwrap());
    }
    let notifier = notifier.clone();
    let blocking = tokio::task::spawn_blocking(move || notifier.notify(&event()).is_ok());
    assert!(blocking.await.unwrap());
}

#[tokio::main(flavor = "current_thread")]
async fn in_a_current_thread_runtime(notifier: &Notifier) {
    assert!(notifier.notify(&event()).is_ok());
    let within = notifier.clone();
    let local = async move {
        tokio::task::spawn_local(async move { within.notify(&event()).is_ok() })
            .await
            .unwrap()
    };
    assert!(tokio::task::LocalSet::new().run_until(local).await);
}

#[test]
fn inside_tokio_main_of_both_kinds_and_a_local_set() {
    let server = QueueServer::start();
    // Each is the first to use its notifier, and the other's later.
    let (first, second) = (notifier(&server, []), notifier(&server, []));
    in_a_multi_threaded_runtime(&first);
    in_a_current_thread_runtime(&second);
    in_a_multi_threaded_runtime(&second);
    in_a_current_thread_runtime(&first);
    assert_eq!(server.stored().len(), 12);
}

#[tokio::main(flavor = "current_thread")]
async fn made_and_dropped_in_a_runtime(server: &QueueServer) {
    let notifier = notifier(server, []);
    assert!(notifier.notify(&event()).is_ok());
    drop(notifier);
}

#[test]
fn a_notifier_that_is_made_and_dropped_in_a_runtime() {
    made_and_dropped_in_a_runtime(&QueueServer::start());
}

#[test]
fn thirty_two_threads_at_once_where_no_call_is_answered() {
    let server = QueueServer::start();
    server.always(Reply::Hang);
    let notifier = notifier(&server, [("OPTERYX_WEBHOOK_TIMEOUT", "1")]);
    thread::scope(|scope| {
        for _ in 0..32 {
            scope.spawn(|| {
                let outcome = in_time(Duration::from_secs(1), || notifier.notify(&event()));
                assert!(outcome.error().unwrap().is_timeout(), "{outcome:?}");
            });
        }
    });
    server.always(Reply::Store);
    assert!(notifier.notify(&event()).is_ok());
}

#[test]
fn the_destructor_of_a_thread_local() {
    struct NotifiesAtTheEnd(Notifier);
    impl Drop for NotifiesAtTheEnd {
        fn drop(&mut self) {
            self.0.notify(&event());
        }
    }
    thread_local! {
        static LAST: OnceCell<NotifiesAtTheEnd> = const { OnceCell::new() };
    }
    let server = QueueServer::start();
    let last = notifier(&server, []);
    thread::spawn(move || LAST.with(|cell| cell.set(NotifiesAtTheEnd(last)).is_ok()))
        .join()
        .unwrap();
    assert_eq!(server.stored().len(), 1);
}

#[test]
fn a_process_that_exits_meanwhile() {
    if child::is_child() {
        let server = QueueServer::start();
        let notifier = notifier(&server, []);
        for _ in 0..8 {
            let notifier = notifier.clone();
            thread::spawn(move || {
                loop {
                    assert!(notifier.notify(&event()).is_ok());
                }
            });
        }
        crate::support::eventually("events flow", || server.stored().len() > 100);
        std::process::exit(42);
    }
    let status = child::command("cloud_tasks::contexts::a_process_that_exits_meanwhile")
        .output()
        .unwrap();
    let stderr = String::from_utf8_lossy(&status.stderr);
    assert_eq!(status.status.code(), Some(42), "{stderr}");
    assert!(!stderr.contains("panicked"), "{stderr}");
}

#[test]
fn a_forked_child_has_a_worker_of_its_own() {
    if child::is_child() {
        let server = QueueServer::start();
        let notifier = notifier(&server, []);
        assert!(notifier.notify(&event()).is_ok());
        match fork::fork().unwrap() {
            fork::Fork::Child => {
                let well = (0..3).all(|_| notifier.notify(&event()).is_ok());
                // What it inherited is dropped without touching the parent's.
                drop(notifier);
                std::process::exit(if well { 0 } else { 1 });
            }
            fork::Fork::Parent(pid) => {
                let status = fork::waitpid(pid).unwrap();
                assert_eq!(
                    fork::WEXITSTATUS(status),
                    0,
                    "the child's events were enqueued"
                );
            }
        }
        for _ in 0..3 {
            assert!(notifier.notify(&event()).is_ok());
        }
        assert_eq!((server.stored().len(), server.connections()), (7, 2));
        return;
    }
    // In a process of its own: a fork copies one thread, and this program has many.
    let test = "cloud_tasks::contexts::a_forked_child_has_a_worker_of_its_own";
    child::run::<&str, &str>(test, []);
}
