//! The way of what is stored, from `Stored` to the receiver or the dead letters.

use std::collections::HashMap;
use std::fs;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant, SystemTime};

use opteryx_webhooks::outbox::State;
use opteryx_webhooks::receiver::Verifier;
use opteryx_webhooks::{Delivery, DeliveryError, Event, Message, Notifier, Outcome, Recorder};

use super::{Place, names, stats, store};
use crate::support::server::{Server, listener};
use crate::support::{eventually, in_time, within};

const SECRET: &str = "whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD";

const SECOND: Duration = Duration::from_secs(1);
const MINUTE: Duration = Duration::from_secs(60);

#[test]
fn what_is_stored_is_delivered_at_once() {
    let (place, receiver) = (Place::new(), Server::ok());
    let notifier = place.notifier(&receiver.domain(), []);
    store(&notifier, "first");
    assert!(notifier.flush(MINUTE));
    // Or the worker was not woken.
    within(SECOND, || {
        store(&notifier, "second");
        assert!(notifier.flush(MINUTE));
    });
    assert_eq!(names(&receiver.requests()), ["first", "second"]);
    let stats = stats(&notifier);
    assert_eq!((stats.accepted, stats.delivered), (2, 2));
    assert_eq!(notifier.stats().stored, 2);
}

#[test]
fn the_file_is_for_its_owner_alone() {
    use std::os::unix::fs::PermissionsExt;
    let (place, receiver) = (Place::new(), Server::ok());
    let notifier = place.notifier(&receiver.domain(), []);
    store(&notifier, "v");
    let mut seen = 0;
    for file in place.folder().read_dir().unwrap() {
        let mode = file.unwrap().metadata().unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        seen += 1;
    }
    assert_eq!(seen, 3, "the file, its log and the log's index");
}

#[test]
fn each_attempt_is_signed_anew_and_the_message_stays_the_same() {
    let place = Place::new();
    let calls = Arc::new(AtomicUsize::new(0));
    let receiver = {
        let calls = Arc::clone(&calls);
        Server::start(move |mut connection| {
            while connection.request().is_some() {
                let status = match calls.fetch_add(1, Ordering::SeqCst) {
                    0 => "500 No",
                    _ => "200 OK",
                };
                let answer = format!("HTTP/1.1 {status}\r\nContent-Length: 0\r\n\r\n");
                if connection.send(answer).is_err() {
                    return;
                }
            }
        })
    };
    let vars = [
        ("OPTERYX_WEBHOOK_RETRY", "1500ms"),
        ("OPTERYX_WEBHOOK_SECRET", SECRET),
        ("OPTERYX_WEBHOOK_HEADERS", "x-tenant=blue"),
    ];
    let notifier = place.notifier(&receiver.domain(), vars);
    store(&notifier, "v");
    assert!(notifier.flush(MINUTE));
    let requests = receiver.requests();
    let [first, second] = requests.as_slice() else {
        panic!("{} attempts", requests.len())
    };
    assert_eq!(first.body, second.body);
    for name in [
        "webhook-id",
        "ce-id",
        "ce-type",
        "ce-source",
        "ce-subject",
        "ce-time",
        "x-tenant",
    ] {
        assert_eq!(first.headers[name], second.headers[name], "{name}");
    }
    assert_ne!(
        first.headers["webhook-timestamp"],
        second.headers["webhook-timestamp"]
    );
    let verifier = Verifier::new([SECRET.parse().unwrap()]);
    for request in &requests {
        verifier.verify(&request.headers, &request.body).unwrap();
    }
}

#[test]
fn what_one_process_has_left_the_next_one_delivers_with_its_own_secret() {
    let place = Place::new();
    let address = listener();
    let domain = format!("http://{}", address.local_addr().unwrap());
    {
        drop(address);
        let notifier = place.notifier(&domain, [("OPTERYX_WEBHOOK_RETRY", "1s")]);
        store(&notifier, "left");
        assert!(!notifier.flush(Duration::from_millis(50)));
    }
    let receiver = Server::ok();
    let vars = [("OPTERYX_WEBHOOK_SECRET", SECRET)];
    // Without an event of its own.
    let notifier = place.notifier(&receiver.domain(), vars);
    assert!(notifier.flush(MINUTE));
    let requests = receiver.requests();
    assert_eq!(names(&requests), ["left"]);
    let verifier = Verifier::new([SECRET.parse().unwrap()]);
    verifier
        .verify(&requests[0].headers, &requests[0].body)
        .unwrap();
    assert_eq!(stats(&notifier).accepted, 1);
}

#[test]
fn events_wait_for_a_receiver_that_is_down_and_go_when_it_comes_up() {
    let place = Place::new();
    let address = listener().local_addr().unwrap();
    let notifier = place.notifier(
        &format!("http://{address}"),
        [(
            "OPTERYX_WEBHOOK_RETRY",
            "100ms 100ms 100ms 100ms 100ms 100ms 1s 1s 1s 1s 1s 1s 1s 1s",
        )],
    );
    for name in ["a", "b", "a", "b"] {
        store(&notifier, name);
    }
    eventually("an attempt has failed", || {
        place
            .file()
            .messages(None, 10)
            .unwrap()
            .iter()
            .any(|message| message.attempts > 1)
    });
    assert_eq!(stats(&notifier).pending, 4);
    let listener = std::net::TcpListener::bind(address).expect("the port is still free");
    let receiver = Server::on(listener, None, |connection| connection.answer_all());
    assert!(notifier.flush(MINUTE));
    assert_eq!(receiver.requests().len(), 4);
    assert_eq!(stats(&notifier).delivered, 4);
}

#[test]
fn a_dead_letter_is_kept_and_can_be_sent_again() {
    let place = Place::new();
    let refuses = Arc::new(AtomicBool::new(true));
    let receiver = {
        let refuses = Arc::clone(&refuses);
        Server::start(move |mut connection| {
            while connection.request().is_some() {
                let answer = if refuses.load(Ordering::SeqCst) {
                    "HTTP/1.1 500 No\r\nContent-Length: 11\r\n\r\nnot\ttoday\r\n"
                } else {
                    "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
                };
                if connection.send(answer).is_err() {
                    return;
                }
            }
        })
    };
    let notifier = place.notifier(&receiver.domain(), [("OPTERYX_WEBHOOK_RETRY", "1ms 1ms")]);
    store(&notifier, "v");
    eventually("it is given up", || stats(&notifier).dead == 1);
    let mut file = place.file();
    let dead = file.messages(Some(State::Dead), 10).unwrap();
    let [letter] = dead.as_slice() else {
        panic!("{dead:?}")
    };
    assert_eq!(letter.attempts, 3);
    assert_eq!(
        letter.last_error.as_deref(),
        Some("the receiver answered 500")
    );
    let attempts = file.attempts(&letter.id).unwrap();
    assert_eq!(attempts.len(), 3);
    for (attempt, number) in attempts.iter().zip(1..) {
        assert_eq!((attempt.number, attempt.status), (number, Some(500)));
        assert_eq!(attempt.answer.as_deref(), Some("not\ttoday\r\n"));
    }
    refuses.store(false, Ordering::SeqCst);
    assert_eq!(file.redeliver_dead().unwrap(), 1);
    assert!(notifier.flush(MINUTE));
    let stats = stats(&notifier);
    assert_eq!((stats.accepted, stats.delivered, stats.dead), (1, 1, 0));
    assert_eq!(file.attempts(&letter.id).unwrap().len(), 4);
    // Once more, although it was delivered.
    assert!(file.redeliver(&letter.id).unwrap());
    assert!(!file.redeliver("evt_0").unwrap());
    eventually("it is sent again", || receiver.requests().len() == 5);
    assert!(notifier.flush(MINUTE));
}

#[test]
fn gone_is_final_at_once() {
    let place = Place::new();
    let receiver = Server::start(|mut connection| {
        while connection.request().is_some() {
            if connection
                .send("HTTP/1.1 410 Gone\r\nContent-Length: 0\r\n\r\n")
                .is_err()
            {
                return;
            }
        }
    });
    let notifier = place.notifier(&receiver.domain(), []);
    store(&notifier, "v");
    assert!(notifier.flush(MINUTE), "nothing is pending any more");
    assert_eq!(stats(&notifier).dead, 1);
    assert_eq!(receiver.requests().len(), 1);
}

#[test]
fn retry_after_is_waited_for() {
    for retry_after in ["3600", "Sun, 06 Nov 2078 08:49:37 GMT"] {
        let place = Place::new();
        let receiver = Server::start(move |mut connection| {
            while connection.request().is_some() {
                let answer = format!(
                    "HTTP/1.1 429 Slow\r\nRetry-After: {retry_after}\r\nContent-Length: 0\r\n\r\n"
                );
                if connection.send(answer).is_err() {
                    return;
                }
            }
        });
        let notifier = place.notifier(&receiver.domain(), [("OPTERYX_WEBHOOK_RETRY", "1ms")]);
        let before = chrono::DateTime::<chrono::Utc>::from(SystemTime::now()).timestamp_millis();
        store(&notifier, "v");
        let due = || {
            let messages = place.file().messages(None, 1).unwrap();
            (messages[0].attempts == 1).then(|| messages[0].due_at.expect("it is pending"))
        };
        eventually("the first attempt is made", || due().is_some());
        let wait = due().unwrap() - before;
        let expected = if retry_after == "3600" {
            3_600_000
        } else {
            86_400_000
        };
        assert!((expected..expected + 60_000).contains(&wait), "{wait}");
    }
}

#[test]
fn one_resource_that_is_refused_holds_up_no_other_and_keeps_its_own_order() {
    let place = Place::new();
    let refused = Arc::new(AtomicUsize::new(0));
    let receiver = {
        let refused = Arc::clone(&refused);
        Server::start(move |mut connection| {
            while let Some(request) = connection.request() {
                let is_stuck = request.json()["event"]["resource_name"] == "stuck";
                let status = if is_stuck && refused.fetch_add(1, Ordering::SeqCst) < 3 {
                    "503 No"
                } else {
                    "200 OK"
                };
                let answer = format!("HTTP/1.1 {status}\r\nContent-Length: 0\r\n\r\n");
                if connection.send(answer).is_err() {
                    return;
                }
            }
        })
    };
    let notifier = place.notifier(
        &receiver.domain(),
        [("OPTERYX_WEBHOOK_RETRY", "500ms 500ms 500ms")],
    );
    for round in 0..5 {
        for name in ["stuck", "free", "other"] {
            let event = opteryx_webhooks::Event::new("create", "view", "w", Some("c"), name)
                .with_data(round);
            assert!(matches!(notifier.notify(&event), Outcome::Stored));
        }
    }
    eventually("what is not stuck is delivered", || {
        stats(&notifier).delivered == 10
    });
    assert!(
        refused.load(Ordering::SeqCst) < 3,
        "the others did not wait"
    );
    assert!(notifier.flush(MINUTE));
    let mut rounds: HashMap<String, Vec<i64>> = HashMap::new();
    for request in receiver.requests() {
        let body = request.json();
        let name = body["event"]["resource_name"].as_str().unwrap().to_owned();
        rounds
            .entry(name)
            .or_default()
            .push(body["data"].as_i64().unwrap());
    }
    assert_eq!(rounds["free"], [0, 1, 2, 3, 4]);
    assert_eq!(rounds["other"], [0, 1, 2, 3, 4]);
    assert_eq!(rounds["stuck"], [0, 0, 0, 0, 1, 2, 3, 4]);
}

#[test]
fn no_more_goes_out_in_a_second_than_the_rate() {
    let (place, receiver) = (Place::new(), Server::ok());
    let notifier = place.notifier(&receiver.domain(), [("OPTERYX_WEBHOOK_RATE", "20")]);
    let started = Instant::now();
    within(Duration::from_secs(5), || {
        for name in 0..21 {
            store(&notifier, &name.to_string());
        }
        assert!(notifier.flush(MINUTE));
    });
    let taken = started.elapsed();
    assert!(taken >= Duration::from_millis(980), "{taken:?}");
}

#[test]
fn the_log_starts_over_while_the_receiver_hangs() {
    let place = Place::new();
    let receiver = Server::start(|connection| connection.stay_silent());
    let notifier = place.notifier(&receiver.domain(), []);
    let data = "x".repeat(16 * 1024);
    let stored = 1200;
    for name in 0..stored {
        let name = name.to_string();
        let event = Event::new("create", "view", "w", Some("c"), &name).with_data(&data);
        let outcome = notifier.notify(&event);
        assert!(matches!(outcome, Outcome::Stored), "{outcome:?}");
    }
    let log = fs::metadata(place.path().with_extension("db-wal")).unwrap();
    let written = stored * data.len();
    assert!(log.len() < written as u64 / 2, "{} bytes", log.len());
}

#[test]
fn a_flush_keeps_its_deadline_and_dropping_the_last_notifier_takes_less_than_a_second() {
    let place = Place::new();
    let receiver = Server::start(|connection| connection.stay_silent());
    let notifier = place.notifier(&receiver.domain(), []);
    store(&notifier, "v");
    let (started, limit) = (Instant::now(), Duration::from_millis(300));
    assert!(!in_time(limit, || notifier.flush(limit)));
    assert!(started.elapsed() >= limit, "gave up early");
    let clone = notifier.clone();
    drop(notifier);
    store(&clone, "w");
    within(SECOND + Duration::from_millis(100), || drop(clone));
    let stats = place.file().stats().unwrap();
    assert_eq!((stats.accepted, stats.pending), (2, 2));
}

#[test]
fn dropping_the_notifier_waits_for_what_is_nearly_done() {
    let place = Place::new();
    let receiver = Server::start(|mut connection| {
        while connection.request().is_some() {
            std::thread::sleep(Duration::from_millis(200));
            let _ = connection.send("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n");
        }
    });
    let notifier = place.notifier(&receiver.domain(), []);
    store(&notifier, "v");
    eventually("it is under way", || receiver.requests().len() == 1);
    drop(notifier);
    assert_eq!(place.file().stats().unwrap().delivered, 1);
}

/// Panics, fails and succeeds in turns.
struct Moody(AtomicUsize, Recorder);

impl Delivery for Moody {
    fn deliver(&self, message: &Message) -> Outcome {
        match self.0.fetch_add(1, Ordering::SeqCst) % 3 {
            0 => panic!("the host's own"),
            1 => Outcome::Failed(DeliveryError::new("not now")),
            _ => self.1.deliver(message),
        }
    }
}

#[test]
fn a_delivery_of_the_hosts_own_has_an_outbox_too_and_its_panics_are_failures() {
    let (place, recorder) = (Place::new(), Recorder::new());
    let config = place.config("unused.example.com", [("OPTERYX_WEBHOOK_RETRY", "1ms 1ms")]);
    let notifier =
        Notifier::with_config_and_delivery(config, Moody(AtomicUsize::new(0), recorder.clone()));
    store(&notifier, "v");
    assert!(notifier.flush(MINUTE));
    assert_eq!(recorder.messages().len(), 1);
    let id = recorder.messages()[0].id().to_owned();
    let errors: Vec<_> = place.file().attempts(&id).unwrap();
    let errors: Vec<_> = errors.into_iter().map(|attempt| attempt.error).collect();
    assert_eq!(
        errors,
        [
            Some("a panic on the way, caught".to_owned()),
            Some("not now".to_owned()),
            None
        ]
    );
}

#[test]
fn the_queries_that_the_readme_has_can_be_run() {
    let (place, receiver) = (Place::new(), Server::ok());
    let notifier = place.notifier(&receiver.domain(), []);
    store(&notifier, "v");
    assert!(notifier.flush(MINUTE));
    let readme = include_str!("../../../README.md");
    let (_, rest) = readme.split_once("```sql\n").expect("it has queries");
    let (queries, _) = rest.split_once("```").expect("they end");
    let connection = rusqlite::Connection::open(place.path()).unwrap();
    let rows: Vec<usize> = queries
        .split_inclusive(';')
        .filter(|query| query.ends_with(';'))
        .map(|query| {
            let mut query = connection.prepare(query).unwrap();
            let mut rows = query.query([]).unwrap();
            std::iter::from_fn(|| rows.next().unwrap().map(|_| ())).count()
        })
        .collect();
    assert_eq!(rows, [1, 0, 0], "a sum, no failures, nothing pending");
}
