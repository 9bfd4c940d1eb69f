//! Asking Cloud Tasks for the queue.

use gcloud_sdk::google::cloud::tasks::v2::queue::State;
use opteryx_webhooks::Reached;
use tonic::Code;

use super::{QUEUE, notifier};
use crate::probe::times_out;
use crate::support::event;
use crate::support::queue_server::{Look, QueueServer};

#[test]
fn the_queue_is_asked_for_over_the_connection_of_the_events() {
    let server = QueueServer::start();
    let notifier = notifier(&server, []);
    assert!(notifier.notify(&event()).is_ok());
    for (state, is_it) in [
        (State::Running, true),
        (State::Paused, false),
        (State::Disabled, false),
    ] {
        server.show(Look::Is(state));
        match notifier.probe().unwrap() {
            Reached::Queue { is_running, .. } => assert_eq!(is_running, is_it),
            other => panic!("no queue: {other:?}"),
        }
    }
    assert_eq!(
        (server.connections(), server.looks(), server.calls().len()),
        (1, 3, 1)
    );
}

#[test]
fn an_account_that_may_only_enqueue_has_reached_the_service() {
    let server = QueueServer::start();
    server.show(Look::Refuse(
        Code::PermissionDenied,
        "lacks \"cloudtasks.queues.get\"\n",
    ));
    match notifier(&server, []).probe().unwrap() {
        Reached::HiddenQueue { reason, .. } => {
            assert_eq!(reason, "lacks \"cloudtasks.queues.get\"\\n");
        }
        other => panic!("the queue is hidden: {other:?}"),
    }
}

#[test]
fn a_queue_that_is_not_there_is_an_error_that_names_it() {
    let server = QueueServer::start();
    server.show(Look::Refuse(Code::NotFound, "Queue does not exist."));
    let error = notifier(&server, []).probe().unwrap_err();
    assert_eq!(
        format!("{error:#}"),
        format!("Cloud Tasks answered NOT_FOUND: {QUEUE}: Queue does not exist.")
    );
}

#[test]
fn it_is_asked_once_and_never_for_longer_than_the_timeout() {
    let server = QueueServer::start();
    server.show(Look::Refuse(Code::Unavailable, "not now"));
    notifier(&server, []).probe().unwrap_err();
    assert_eq!(server.looks(), 1);

    server.show(Look::Hang);
    let notifier = notifier(&server, [("OPTERYX_WEBHOOK_TIMEOUT", "0.3")]);
    times_out(&notifier);
    // What has hung hinders nobody.
    server.show(Look::Is(State::Running));
    assert!(notifier.probe().is_ok());
    assert!(notifier.notify(&event()).is_ok());
}
