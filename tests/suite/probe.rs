//! Asking whether anyone answers: the same promises as for an event, and no event.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use log::Level;
use opteryx_webhooks::{Notifier, Reached, Recorder, Stats};

use crate::support::server::{Connection, Server, listener};
use crate::support::tls::Authority;
use crate::support::{event, logged, notifier};

/// The status of what answered.
fn status(reached: &Reached) -> u16 {
    match reached {
        Reached::Receiver { status, .. } => *status,
        other => panic!("no receiver: {other:?}"),
    }
}

#[test]
fn any_status_is_an_answer() {
    for line in [
        "200 OK",
        "204 None",
        "401 No",
        "404 Nothing",
        "500 Oops",
        "599 Odd",
    ] {
        let server = Server::start(move |mut connection: Connection| {
            while connection.request().is_some() {
                let _ = connection.send(format!("HTTP/1.1 {line}\r\nContent-Length: 9\r\n\r\n"));
            }
        });
        let reached = notifier(&server.domain(), []).probe().unwrap();
        assert_eq!(status(&reached).to_string(), line[..3]);
    }
}

#[test]
fn it_shares_the_events_connection_and_counts_for_none() {
    let server = Server::start(|mut connection: Connection| {
        while let Some(request) = connection.request() {
            // The length of what a GET would get, as receivers state it.
            let length = if request.line.starts_with("HEAD ") {
                9
            } else {
                0
            };
            let _ = connection.send(format!(
                "HTTP/1.1 200 OK\r\nContent-Length: {length}\r\n\r\n"
            ));
        }
    });
    let notifier = notifier(&server.domain(), []);
    for _ in 0..2 {
        assert_eq!(status(&notifier.probe().unwrap()), 200);
        assert!(notifier.notify(&event()).is_ok());
    }
    assert_eq!(server.connections(), 1);
    let lines: Vec<_> = server.requests().iter().map(|r| r.line.clone()).collect();
    let (head, post) = ("HEAD /event HTTP/1.1", "POST /event HTTP/1.1");
    assert_eq!(lines, [head, post, head, post]);
    assert_eq!(notifier.stats(), {
        let mut stats = Stats::default();
        stats.delivered = 2;
        stats
    });
}

#[test]
fn a_connection_that_died_meanwhile_is_no_failure() {
    let served = AtomicUsize::new(0);
    let server = Server::start(move |mut connection: Connection| {
        let _ = connection.request();
        let _ = connection.send("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n");
        if served.fetch_add(1, Ordering::SeqCst) == 0 {
            // The second request arrives and finds nobody.
            let _ = connection.request();
            connection.reset();
        }
    });
    let notifier = notifier(&server.domain(), []);
    assert!(notifier.notify(&event()).is_ok());
    assert_eq!(status(&notifier.probe().unwrap()), 200);
    assert_eq!(server.connections(), 2);
}

#[test]
fn it_never_outlasts_its_timeout() {
    let silent = Server::start(Connection::stay_silent);
    let dripping = Server::start(|mut connection: Connection| {
        let _ = connection.request();
        connection.drip("HTTP/1.1 200 OK\r\n".repeat(100), Duration::from_millis(20));
    });
    for server in [silent, dripping] {
        let notifier = notifier(&server.domain(), [("OPTERYX_WEBHOOK_TIMEOUT", "0.3")]);
        times_out(&notifier);
    }
}

/// It does, where the timeout is 0.3 seconds.
pub fn times_out(notifier: &Notifier) {
    let started = Instant::now();
    let error = notifier.probe().unwrap_err();
    assert!(
        started.elapsed() < Duration::from_millis(600),
        "{:?}",
        started.elapsed()
    );
    assert!(error.is_timeout(), "{error}");
}

#[test]
fn nobody_and_a_certificate_that_nobody_vouches_for_are_errors() {
    let address = listener().local_addr().unwrap();
    let error = notifier(&format!("http://{address}"), [])
        .probe()
        .unwrap_err();
    assert!(
        format!("{error:#}").contains("Connection refused"),
        "{error:#}"
    );

    let authority = Authority::new();
    let server = Server::start_tls(authority.server(), Connection::answer_all);
    let domain = server.address().to_string();
    let probe = |authority: &Authority| {
        let file = authority.file();
        notifier(&domain, [("SSL_CERT_FILE", file.to_str().unwrap())]).probe()
    };
    assert_eq!(status(&probe(&authority).unwrap()), 200);
    let error = probe(&Authority::new()).unwrap_err();
    assert!(error.to_string().contains("TLS"), "{error}");
}

#[test]
fn it_goes_through_the_proxy() {
    let authority = Authority::new();
    let server = Server::start_tls(authority.server(), Connection::answer_all);
    let target = server.address();
    let proxy = Server::start(move |mut connection: Connection| {
        let _ = connection.request();
        let _ = connection.send("HTTP/1.1 200 OK\r\n\r\n");
        connection.tunnel_to(target);
    });
    let (file, proxy_url) = (authority.file(), proxy.domain());
    let notifier = notifier(
        "localhost:1",
        [
            ("SSL_CERT_FILE", file.to_str().unwrap()),
            ("HTTPS_PROXY", &proxy_url),
        ],
    );
    assert_eq!(status(&notifier.probe().unwrap()), 200);
    assert_eq!(proxy.requests()[0].line, "CONNECT localhost:1 HTTP/1.1");
    assert_eq!(server.requests()[0].line, "HEAD /event HTTP/1.1");
}

#[test]
fn where_there_is_nothing_to_ask_nothing_is_asked() {
    assert_eq!(Notifier::disabled().probe().unwrap(), Reached::Nothing);
    let recorder = Recorder::new();
    let notifier = Notifier::with_delivery(recorder.clone());
    assert_eq!(notifier.probe().unwrap(), Reached::Nothing);
    assert!(recorder.messages().is_empty());
}

#[test]
fn it_is_logged_for_debugging_alone() {
    let address = listener().local_addr().unwrap();
    let server = Server::ok();
    for domain in [server.domain(), format!("http://{address}")] {
        let notifier = notifier(&domain, [("OPTERYX_WEBHOOK_HEADERS", "x-key=hunter2")]);
        let (_, lines) = logged::while_running(|| notifier.probe());
        assert_eq!(lines.len(), 1, "{lines:?}");
        assert_eq!(lines[0].0, Level::Debug);
        assert!(
            lines[0]
                .1
                .starts_with(&format!("probe of {domain}/event: ")),
            "{lines:?}"
        );
        assert!(!lines[0].1.contains("hunter2"));
    }
}

#[test]
fn inside_a_runtime_it_does_not_panic() {
    let server = Server::ok();
    let notifier = notifier(&server.domain(), []);
    let runtime = tokio::runtime::Builder::new_current_thread()
        .build()
        .unwrap();
    let reached = runtime.block_on(async { notifier.probe() }).unwrap();
    assert_eq!(status(&reached), 200);
}
