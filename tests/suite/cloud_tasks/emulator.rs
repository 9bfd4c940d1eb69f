//! Against the emulator that operators use, which really delivers: from notifier to emulator to
//! receiver.

use std::collections::HashMap;
use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};

use opteryx_webhooks::Reached;

use super::{QUEUE, task_of};
use crate::support::server::{Connection, Request, Server};
use crate::support::{event, eventually, notifier, python};

struct Emulator {
    process: Child,
    address: String,
}

impl Emulator {
    fn start() -> Emulator {
        let python = python::interpreter("requirements-emulator.txt");
        let mut process = Command::new(python)
            .current_dir(env!("CARGO_MANIFEST_DIR"))
            .args(["tests/python/emulator.py", QUEUE])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let mut port = String::new();
        BufReader::new(process.stdout.take().unwrap())
            .read_line(&mut port)
            .unwrap();
        let address = format!("127.0.0.1:{}", port.trim());
        assert!(!port.is_empty(), "tests/python/emulator.py did not start");
        Emulator { process, address }
    }
}

impl Drop for Emulator {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// Enqueues one event, and returns its id and the requests that the receiver got, this many.
fn delivered(receiver: &Server, requests: usize) -> (String, Vec<Request>) {
    let emulator = Emulator::start();
    let vars = [
        ("OPTERYX_WEBHOOK_QUEUE", QUEUE),
        ("CLOUD_TASKS_EMULATOR_HOST", emulator.address.as_str()),
        ("OPTERYX_WEBHOOK_HEADERS", "x-team=data"),
    ];
    let domain = receiver.domain();
    let outcome = notifier(&domain, vars).notify(&event());
    let id = task_of(&outcome).rsplit('/').next().unwrap().to_owned();
    eventually("the emulator delivers", || {
        receiver.requests().len() >= requests
    });
    (id, receiver.requests())
}

#[test]
fn the_emulator_delivers_the_payload_with_every_header() {
    let receiver = Server::ok();
    let (id, requests) = delivered(&receiver, 1);
    let request = &requests[0];
    assert_eq!(request.line, "POST /event HTTP/1.1");
    assert_eq!(request.json()["event"]["resource_name"], "my-dataset");
    assert_eq!(request.json()["data"]["location"], "gs://bucket/path");
    let expected = HashMap::from([
        ("content-type", "application/json"),
        ("user-agent", "opteryx-catalog-webhook/1.0"),
        ("webhook-id", id.as_str()),
        ("ce-specversion", "1.0"),
        ("ce-id", id.as_str()),
        ("ce-type", "app.opteryx.dataset.create"),
        ("ce-source", "/workspaces/my-workspace"),
        ("ce-subject", "my-collection/my-dataset"),
        ("x-team", "data"),
        ("x-cloudtasks-taskname", id.as_str()),
        ("x-cloudtasks-taskretrycount", "0"),
    ]);
    for (name, value) in expected {
        assert_eq!(
            request.headers.get(name).map(String::as_str),
            Some(value),
            "{name}"
        );
    }
    assert!(request.headers["ce-time"].ends_with('Z'));
    assert!(request.headers["webhook-timestamp"].parse::<u64>().is_ok());
}

#[test]
fn the_emulator_knows_the_queue_that_it_has_and_none_beside() {
    let emulator = Emulator::start();
    let probe = |queue: &str| {
        let vars = [
            ("OPTERYX_WEBHOOK_QUEUE", queue),
            ("CLOUD_TASKS_EMULATOR_HOST", emulator.address.as_str()),
        ];
        notifier("router.opteryx.app", vars).probe()
    };
    let reached = probe(QUEUE).unwrap();
    assert!(
        matches!(
            reached,
            Reached::Queue {
                is_running: true,
                ..
            }
        ),
        "{reached:?}"
    );
    let other = "projects/my-project/locations/us-central1/queues/other";
    let error = probe(other).unwrap_err();
    assert!(format!("{error:#}").contains(other), "{error:#}");
}

#[test]
fn a_receiver_that_answers_503_twice_gets_it_a_third_time() {
    let receiver = {
        let answered = std::sync::atomic::AtomicUsize::new(0);
        Server::start(move |mut connection: Connection| {
            while connection.request().is_some() {
                let before = answered.fetch_add(1, std::sync::atomic::Ordering::SeqCst);
                let status = if before < 2 { "503 Busy" } else { "200 OK" };
                let _ = connection.send(format!("HTTP/1.1 {status}\r\nContent-Length: 0\r\n\r\n"));
            }
        })
    };
    let (id, requests) = delivered(&receiver, 3);
    assert_eq!(requests.len(), 3);
    for (attempt, request) in requests.iter().enumerate() {
        assert_eq!(request.headers["webhook-id"], id);
        assert_eq!(
            request.headers["x-cloudtasks-taskretrycount"],
            attempt.to_string()
        );
        assert_eq!(request.body, requests[0].body);
    }
}
