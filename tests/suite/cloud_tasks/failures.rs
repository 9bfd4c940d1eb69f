//! Networks and servers that fail: an outcome in time, and the first event after that is well.

use std::time::{Duration, Instant};

use opteryx_webhooks::{DeliveryError, Notifier, Outcome};

use super::{notifier_at, task_of};
use crate::support::queue_server::{QueueServer, Reply};
use crate::support::relay::Relay;
use crate::support::{event, in_time};

/// Long enough that a machine under load does not reach it by itself, and short enough to wait for.
const TIMEOUT: Duration = Duration::from_millis(1500);
const SECONDS: (&str, &str) = ("OPTERYX_WEBHOOK_TIMEOUT", "1.5");

fn impatient(address: impl ToString) -> Notifier {
    notifier_at(&address.to_string(), [SECONDS])
}

fn failure(notifier: &Notifier) -> DeliveryError {
    match in_time(TIMEOUT, || notifier.notify(&event())) {
        Outcome::Failed(error) => error,
        other => panic!("{other:?}"),
    }
}

/// Two in a row, so that what the first leaves behind is tried as well.
fn times_out_twice(notifier: &Notifier) {
    for _ in 0..2 {
        let started = Instant::now();
        let error = failure(notifier);
        assert!(error.is_timeout() && error.is_retryable(), "{error}");
        assert_eq!(
            error.to_string(),
            "timed out after 1.5s while connecting to Cloud Tasks or waiting for its answer"
        );
        assert!(started.elapsed() >= TIMEOUT, "gave up early");
    }
}

fn succeeds(notifier: &Notifier, server: &QueueServer) {
    let outcome = in_time(TIMEOUT, || notifier.notify(&event()));
    assert!(server.stored().iter().any(|name| name == task_of(&outcome)));
}

#[test]
fn a_port_that_swallows_every_packet() {
    let server = QueueServer::start();
    let relay = Relay::blackhole(server.address());
    let notifier = impatient(relay.address());
    times_out_twice(&notifier);
    relay.mend();
    succeeds(&notifier, &server);
}

#[test]
fn a_server_that_accepts_and_stays_silent() {
    let server = QueueServer::start();
    let relay = Relay::to(server.address());
    relay.freeze();
    let notifier = impatient(relay.address());
    times_out_twice(&notifier);
    relay.mend();
    succeeds(&notifier, &server);
}

#[test]
fn a_call_that_is_never_answered() {
    let server = QueueServer::start();
    server.always(Reply::Hang);
    let notifier = impatient(server.address());
    times_out_twice(&notifier);
    server.always(Reply::Store);
    succeeds(&notifier, &server);
}

#[test]
fn a_connection_that_has_died_without_a_sign_is_replaced_within_the_same_event() {
    let server = QueueServer::start();
    let relay = Relay::to(server.address());
    let notifier = impatient(relay.address());
    succeeds(&notifier, &server);
    relay.freeze_open();
    succeeds(&notifier, &server);
    assert_eq!(server.connections(), 2);
    // Where the new one is dead as well, the time runs out.
    relay.freeze();
    times_out_twice(&notifier);
    relay.mend();
    succeeds(&notifier, &server);
}

#[test]
fn a_connection_that_served_an_already_exists_and_died_is_replaced_as_well() {
    let server = QueueServer::start();
    let relay = Relay::to(server.address());
    let notifier = impatient(relay.address());
    let mut is_first = true;
    // Stored, but the answer is lost with the connection: the next attempt finds the task there.
    server.answer(move |_| match std::mem::take(&mut is_first) {
        true => Reply::StoreAndHangUp,
        false => Reply::Store,
    });
    succeeds(&notifier, &server);
    relay.freeze_open();
    succeeds(&notifier, &server);
}

#[test]
fn a_server_that_is_not_there() {
    let mut server = QueueServer::start();
    let notifier = impatient(server.address());
    succeeds(&notifier, &server);
    server.kill();
    let error = failure(&notifier);
    assert_eq!(error.to_string(), "no connection to Cloud Tasks");
    assert!(error.is_retryable() && !error.is_timeout());
    server.restart();
    succeeds(&notifier, &server);
}

#[test]
fn a_server_that_does_not_speak_http_2() {
    let receiver = crate::support::server::Server::start(|mut connection| {
        let _ = connection.send("SSH-2.0-OpenSSH_9.2\r\n");
    });
    let error = failure(&impatient(receiver.address()));
    assert_eq!(error.to_string(), "no connection to Cloud Tasks");
}
