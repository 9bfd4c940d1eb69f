//! Direct delivery to receivers that behave.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use opteryx_webhooks::{Event, Notifier, Outcome};

use crate::support::server::{Connection, Server};
use crate::support::tls::Authority;
use crate::support::{event, notifier};

#[test]
fn the_request_is_what_a_receiver_expects() {
    let receiver = Server::ok();
    let outcome = notifier(&receiver.domain(), []).notify(&event().at_unix_ms(1_704_556_800_000));
    assert!(
        matches!(outcome, Outcome::Delivered { status: 200 }),
        "{outcome:?}"
    );

    let [request] = &receiver.requests()[..] else {
        panic!("one request")
    };
    assert_eq!(request.line, "POST /event HTTP/1.1");
    assert_eq!(
        std::str::from_utf8(&request.body).unwrap(),
        r#"{"event":{"action":"create","workspace":"my-workspace","collection":"my-collection","resource_type":"dataset","resource_name":"my-dataset","timestamp":1704556800000},"data":{"location":"gs://bucket/path","properties":{}}}"#
    );
    let header = |name: &str| request.headers.get(name).map(String::as_str);
    assert_eq!(header("content-type"), Some("application/json"));
    assert_eq!(header("user-agent"), Some("opteryx-catalog-webhook/1.0"));
    assert_eq!(
        header("host"),
        Some(receiver.address().to_string().as_str())
    );
    assert_eq!(header("ce-specversion"), Some("1.0"));
    assert_eq!(header("ce-type"), Some("app.opteryx.dataset.create"));
    assert_eq!(header("ce-source"), Some("/workspaces/my-workspace"));
    assert_eq!(header("ce-subject"), Some("my-collection/my-dataset"));
    assert_eq!(header("ce-time"), Some("2024-01-06T16:00:00.000Z"));
    assert_eq!(header("ce-id"), header("webhook-id"));
    let timestamp: u64 = header("webhook-timestamp").unwrap().parse().unwrap();
    let now = std::time::UNIX_EPOCH.elapsed().unwrap().as_secs();
    assert!((now - 60..=now).contains(&timestamp));
    // Nothing beyond the design's table and what HTTP needs.
    let mut names: Vec<_> = request.headers.keys().map(String::as_str).collect();
    names.sort_unstable();
    assert_eq!(
        names,
        [
            "ce-id",
            "ce-source",
            "ce-specversion",
            "ce-subject",
            "ce-time",
            "ce-type",
            "content-length",
            "content-type",
            "host",
            "user-agent",
            "webhook-id",
            "webhook-timestamp",
        ]
    );
}

#[test]
fn a_path_prefix_and_further_headers_are_honoured() {
    let receiver = Server::ok();
    let domain = format!("{}/hooks/catalog/", receiver.domain());
    let headers = (
        "OPTERYX_WEBHOOK_HEADERS",
        "Authorization=Bearer%20a%2Cb,X-Team=data",
    );
    assert!(notifier(&domain, [headers]).notify(&event()).is_ok());
    let request = &receiver.requests()[0];
    assert_eq!(request.line, "POST /hooks/catalog/event HTTP/1.1");
    assert_eq!(request.headers["authorization"], "Bearer a,b");
    assert_eq!(request.headers["x-team"], "data");
}

#[test]
fn an_event_carries_the_moment_it_is_notified_unless_it_has_its_own() {
    let receiver = Server::ok();
    let before = chrono::DateTime::from(std::time::SystemTime::now()).timestamp_millis();
    notifier(&receiver.domain(), []).notify(&event());
    let after = chrono::DateTime::from(std::time::SystemTime::now()).timestamp_millis();
    let sent = receiver.requests()[0].json()["event"]["timestamp"]
        .as_i64()
        .unwrap();
    assert!((before..=after).contains(&sent), "{before} {sent} {after}");
}

#[test]
fn a_hundred_events_of_one_thread_take_one_connection() {
    let receiver = Server::ok();
    let notifier = notifier(&receiver.domain(), []);
    for _ in 0..100 {
        assert!(notifier.notify(&event()).is_ok());
    }
    assert_eq!(receiver.connections(), 1);
    assert_eq!(notifier.stats().delivered, 100);
}

#[test]
fn thirty_two_threads_take_forty_connections_at_most() {
    let receiver = Server::ok();
    let notifier = notifier(&receiver.domain(), []);
    thread::scope(|scope| {
        for _ in 0..32 {
            scope.spawn(|| {
                for _ in 0..100 {
                    let outcome = notifier.notify(&event());
                    assert!(outcome.is_ok(), "{outcome:?}");
                }
            });
        }
    });
    assert_eq!(receiver.requests().len(), 3200);
    let connections = receiver.connections();
    assert!(connections <= 40, "{connections}");
}

#[test]
fn https_is_judged_by_ssl_cert_file_and_kept_alive() {
    let authority = Authority::new();
    let receiver = Server::start_tls(authority.server(), Connection::answer_all);
    let file = authority.file();
    let domain = format!("localhost:{}", receiver.address().port());
    let notifier = notifier(&domain, [("SSL_CERT_FILE", file.to_str().unwrap())]);
    for _ in 0..10 {
        let outcome = notifier.notify(&event());
        assert!(outcome.is_ok(), "{outcome:?}");
    }
    assert_eq!(receiver.connections(), 1);
    assert_eq!(receiver.requests().len(), 10);
}

#[test]
fn ssl_cert_dir_is_a_list_and_stands_beside_ssl_cert_file() {
    let authority = Authority::new();
    let receiver = Server::start_tls(authority.server(), Connection::answer_all);
    let domain = format!("localhost:{}", receiver.address().port());
    let file = authority.file();
    let dir = file.with_extension("dir");
    std::fs::create_dir_all(&dir).unwrap();
    std::fs::copy(&file, dir.join("ca.pem")).unwrap();
    let dirs = format!("/nonexistent:{}:", dir.display());
    let stranger = Authority::new().file();
    for vars in [
        vec![("SSL_CERT_DIR", dirs.as_str())],
        vec![
            ("SSL_CERT_DIR", dirs.as_str()),
            ("SSL_CERT_FILE", stranger.to_str().unwrap()),
        ],
    ] {
        let outcome = notifier(&domain, vars).notify(&event());
        assert!(outcome.is_ok(), "{outcome}");
    }
    let spaced = format!(" {} ", file.display());
    assert!(
        notifier(&domain, [("SSL_CERT_FILE", spaced.as_str())])
            .notify(&event())
            .is_ok()
    );
    let wrong = [
        ("SSL_CERT_DIR", dirs.as_str()),
        ("SSL_CERT_FILE", "/nonexistent"),
    ];
    let outcome = notifier(&domain, wrong).notify(&event());
    assert!(outcome.to_string().contains("/nonexistent"), "{outcome}");
}

#[test]
fn a_ca_file_that_is_no_file_is_not_read() {
    let notifier = notifier("localhost:1", [("SSL_CERT_FILE", "/dev/zero")]);
    let outcome = crate::support::in_time(Duration::ZERO, || notifier.notify(&event()));
    assert!(
        outcome.to_string().contains("/dev/zero is not a file"),
        "{outcome}"
    );
}

#[test]
fn a_ca_bundle_that_comes_later_is_found_at_the_next_event() {
    let authority = Authority::new();
    let receiver = Server::start_tls(authority.server(), Connection::answer_all);
    let domain = format!("localhost:{}", receiver.address().port());
    let file = authority.file().with_extension("later");
    let notifier = notifier(&domain, [("SSL_CERT_FILE", file.to_str().unwrap())]);
    let outcome = notifier.notify(&event());
    let error = outcome.error().expect("there is no CA yet").to_string();
    assert!(error.contains("SSL_CERT_FILE"), "{error}");
    std::fs::copy(authority.file(), &file).unwrap();
    let outcome = notifier.notify(&event());
    assert!(outcome.is_ok(), "{outcome:?}");
}

#[test]
fn a_receiver_that_restarts_between_events_loses_none() {
    let mut receiver = Server::ok();
    let address = receiver.address();
    let notifier = notifier(&receiver.domain(), []);
    let mut received = 0;
    for _ in 0..20 {
        for _ in 0..5 {
            let outcome = notifier.notify(&event());
            assert!(outcome.is_ok(), "{outcome:?}");
        }
        received += receiver.requests().len();
        drop(receiver);
        let listener = std::net::TcpListener::bind(address).expect("the port is still free");
        receiver = Server::on(listener, None, Connection::answer_all);
    }
    assert_eq!(received, 100);
}

#[test]
fn a_receiver_that_closes_at_the_moment_of_the_next_event_loses_none() {
    const PERIOD: Duration = Duration::from_millis(3);
    const THREADS: usize = 8;
    let connections_closed = Arc::new(AtomicUsize::new(0));
    let closed = Arc::clone(&connections_closed);
    let receiver = Server::start(move |mut connection| {
        while connection.request().is_some() {
            let _ = connection.send("HTTP/1.1 204 No Content\r\n\r\n");
            connection.wait_at_most(PERIOD);
        }
        closed.fetch_add(1, Ordering::SeqCst);
        connection.close();
    });
    thread::scope(|scope| {
        for _ in 0..THREADS {
            scope.spawn(|| {
                let notifier = notifier(&receiver.domain(), []);
                for event_number in 0..2000 / THREADS as u32 {
                    let outcome = notifier.notify(&event());
                    assert!(outcome.is_ok(), "{outcome:?}");
                    // Around the moment at which the receiver closes, which no clock tells exactly.
                    let pause = PERIOD * (event_number % 50) / 20;
                    let next = Instant::now() + pause;
                    while Instant::now() < next {
                        thread::yield_now();
                    }
                }
            });
        }
    });
    // Otherwise the moment was never hit, and the test has shown nothing.
    let closed = connections_closed.load(Ordering::SeqCst);
    assert!(closed > 100, "only {closed} connections were closed");
}

/// A receiver that serves one request per connection, and closes it when the second arrives.
fn serves_one_and_then(close: fn(Connection)) -> impl Fn(Connection) + Send + Sync + 'static {
    move |mut connection| {
        connection.request();
        let _ = connection.send("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n");
        if connection.request().is_some() {
            close(connection);
        }
    }
}

/// Sends five events; each but the first finds its connection dead, and is sent once more.
fn each_is_sent_again_once(receiver: &Server, notifier: &Notifier) {
    for _ in 0..5 {
        let outcome = notifier.notify(&event());
        assert!(outcome.is_ok(), "{outcome:?}");
    }
    assert_eq!(receiver.connections(), 5);
    let requests = receiver.requests();
    assert_eq!(requests.len(), 9);
    for pair in requests[1..].chunks(2) {
        assert_eq!(pair[0].headers["webhook-id"], pair[1].headers["webhook-id"]);
        assert_eq!(pair[0].body, pair[1].body);
    }
}

#[test]
fn a_kept_alive_connection_that_is_closed_is_replaced_once_with_the_same_message() {
    let receiver = Server::start(serves_one_and_then(Connection::close));
    each_is_sent_again_once(&receiver, &notifier(&receiver.domain(), []));
}

#[test]
fn a_kept_alive_connection_that_is_reset_is_replaced_once_with_the_same_message() {
    let receiver = Server::start(serves_one_and_then(Connection::reset));
    each_is_sent_again_once(&receiver, &notifier(&receiver.domain(), []));
}

#[test]
fn a_kept_alive_tls_connection_that_is_closed_is_replaced_once_with_the_same_message() {
    let authority = Authority::new();
    let file = authority.file();
    for close in [Connection::close, Connection::reset] {
        let receiver = Server::start_tls(authority.server(), serves_one_and_then(close));
        let domain = format!("localhost:{}", receiver.address().port());
        let notifier = notifier(&domain, [("SSL_CERT_FILE", file.to_str().unwrap())]);
        each_is_sent_again_once(&receiver, &notifier);
    }
}

#[test]
fn a_body_of_a_mebibyte_arrives_and_a_larger_one_is_refused() {
    let receiver = Server::ok();
    let notifier = notifier(&receiver.domain(), []);
    let large = "x".repeat(1024 * 1024 - 300);
    let base = Event::new("create", "view", "w", Some("c"), "v");
    assert!(notifier.notify(&base.clone().with_data(&large)).is_ok());
    assert_eq!(receiver.requests()[0].json()["data"], large);
    let larger = "x".repeat(1024 * 1024);
    let outcome = notifier.notify(&base.with_data(&larger));
    assert!(
        outcome
            .error()
            .unwrap()
            .to_string()
            .contains("1048576 bytes"),
        "{outcome:?}"
    );
    assert_eq!(receiver.requests().len(), 1);
}

#[test]
fn data_that_cannot_be_encoded_is_an_outcome() {
    let receiver = Server::ok();
    let notifier = notifier(&receiver.domain(), []);
    let data = std::collections::BTreeMap::from([((1, 2), 3)]);
    let outcome = notifier.notify(&Event::new("a", "b", "w", None, "n").with_data(data));
    let error = outcome.error().expect("a tuple is no key");
    assert!(!error.is_retryable() && std::error::Error::source(error).is_some());
    assert_eq!(receiver.connections(), 0);
    assert_eq!(notifier.stats().failed, 1);
}

#[test]
fn data_that_panics_is_an_outcome() {
    struct Panics;
    impl serde::Serialize for Panics {
        fn serialize<S: serde::Serializer>(&self, _: S) -> Result<S::Ok, S::Error> {
            panic!("in Serialize")
        }
    }
    let receiver = Server::ok();
    let notifier = notifier(&receiver.domain(), []);
    let outcome = notifier.notify(&Event::new("a", "b", "w", None, "n").with_data(Panics));
    assert!(
        outcome.error().is_some_and(|error| !error.is_retryable()),
        "{outcome:?}"
    );
    assert!(notifier.notify(&event()).is_ok());
}

#[test]
fn a_panic_of_the_hosts_is_contained_and_logged_with_the_id_and_the_kind() {
    struct Bomb;
    impl Drop for Bomb {
        fn drop(&mut self) {
            panic!("once more");
        }
    }
    struct Panics;
    impl opteryx_webhooks::Delivery for Panics {
        fn deliver(&self, _: &opteryx_webhooks::Message) -> Outcome {
            std::panic::panic_any(Bomb)
        }
    }
    let notifier = Notifier::with_delivery(Panics);
    let (outcome, lines) = crate::support::logged::while_running(|| notifier.notify(&event()));
    assert!(
        outcome.error().is_some_and(|error| !error.is_retryable()),
        "{outcome}"
    );
    let [(log::Level::Warn, line)] = &lines[..] else {
        panic!("{lines:?}")
    };
    assert!(
        line.starts_with("webhook evt_") && line.contains("(dataset.create)"),
        "{line}"
    );
    assert_eq!(notifier.stats().failed, 1);
}

#[test]
fn a_408_that_was_said_to_an_idle_connection_costs_no_event() {
    let receiver = Server::start(|mut connection| {
        connection.request();
        let _ = connection.send("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n");
        connection.request();
        let _ =
            connection.send("HTTP/1.1 408 Idle\r\nConnection: close\r\nContent-Length: 0\r\n\r\n");
    });
    let notifier = notifier(&receiver.domain(), []);
    for _ in 0..3 {
        let outcome = notifier.notify(&event());
        assert!(outcome.is_ok(), "{outcome}");
    }
}

#[test]
fn a_message_does_not_show_its_body_to_whoever_debugs() {
    let recorder = opteryx_webhooks::Recorder::new();
    Notifier::with_delivery(recorder.clone()).notify(&event().with_data("hunter2"));
    let shown = format!("{recorder:?}");
    assert!(
        shown.contains("evt_") && !shown.contains("hunter2"),
        "{shown}"
    );
    assert!(
        !shown.contains(&format!("{:?}", b"hunter2")[1..20]),
        "{shown}"
    );
}

#[test]
fn names_from_the_catalog_cannot_forge_a_header() {
    let receiver = Server::ok();
    let notifier = notifier(&receiver.domain(), []);
    let name = "x\r\nX-Forged: 1\r\n\r\n\0\u{1F980}\"%";
    let outcome = notifier.notify(&Event::new(name, name, name, Some(name), name));
    assert!(outcome.is_ok(), "{outcome:?}");
    let request = &receiver.requests()[0];
    assert!(!request.headers.contains_key("x-forged"));
    assert_eq!(request.json()["event"]["resource_name"], name);
    assert_eq!(
        percent_encoding::percent_decode_str(&request.headers["ce-subject"])
            .decode_utf8()
            .unwrap(),
        format!("{name}/{name}")
    );
}
