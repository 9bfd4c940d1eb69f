//! The sample receivers, in Rust and in Python: with a secret they take only what is signed, and
//! always each message once; and both do it alike.

use std::io::{BufRead, BufReader, Lines};
use std::path::Path;
use std::process::{ChildStdout, Command, Stdio};
use std::time::{SystemTime, UNIX_EPOCH};

use opteryx_webhooks::Secret;

use crate::support::child::without_our_variables;
use crate::support::exchange::exchange;
use crate::support::listening::{Listening, example};
use crate::support::{event, notifier, python};

const SECRET: &str = "whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD";
const OLD_SECRET: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
const FOREIGN_SECRET: &str = "whsec_c2VjcmV0c2VjcmV0c2VjcmV0c2VjcmV0";

const RECEIVED: (u16, &str) = (200, "{\"status\":\"ok\"}\n");

fn rust() -> Command {
    without_our_variables(Command::new(example("receiver")))
}

fn flask() -> Command {
    let mut command = without_our_variables(Command::new(python::interpreter("requirements.txt")));
    command.arg(Path::new(env!("CARGO_MANIFEST_DIR")).join("examples/flask_receiver.py"));
    command
}

struct Receiver {
    listening: Listening,
    lines: Lines<BufReader<ChildStdout>>,
}

impl Receiver {
    fn start(mut command: Command, secrets: &str) -> Receiver {
        command
            .arg("127.0.0.1:0")
            .env("OPTERYX_WEBHOOK_SECRET", secrets)
            .stdout(Stdio::piped());
        let mut listening = Listening::start(&mut command);
        let stdout = listening.child.stdout.take().unwrap();
        Receiver {
            listening,
            lines: BufReader::new(stdout).lines(),
        }
    }

    fn both(secrets: &str) -> [Receiver; 2] {
        [rust(), flask()].map(|command| Receiver::start(command, secrets))
    }

    fn answer(&self, headers: &[String], body: &str) -> (u16, String) {
        let mut request = format!(
            "POST /event HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\
             Content-Type: application/json\r\nContent-Length: {}\r\n",
            body.len()
        );
        for header in headers {
            request.push_str(header);
            request.push_str("\r\n");
        }
        let answer = exchange(
            self.listening.address,
            format!("{request}\r\n{body}").as_bytes(),
        );
        (answer.status, answer.body)
    }

    /// The name in the next event that it printed: what was received last, if nothing else was.
    fn printed(&mut self) -> String {
        let mut line = || self.lines.next().unwrap().unwrap();
        let mut first = line();
        // What Flask says of itself at the start.
        while first.starts_with(" * ") {
            first = line();
        }
        assert!(first.starts_with("Received create "), "{first}");
        for start in ["Workspace: ", "Timestamp: ", "Data: "] {
            let line = line();
            assert!(line.starts_with(start), "{line}");
        }
        first.rsplit(' ').next().unwrap().to_owned()
    }
}

fn payload(name: &str) -> String {
    format!(
        "{{\"event\":{{\"action\":\"create\",\"workspace\":\"w\",\"collection\":\"c\",\
         \"resource_type\":\"dataset\",\"resource_name\":\"{name}\",\"timestamp\":1}},\"data\":{{}}}}"
    )
}

fn now() -> u64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH);
    now.unwrap().as_secs()
}

fn signed(secret: &str, id: &str, timestamp: u64, body: &str) -> Vec<String> {
    let secret: Secret = secret.parse().unwrap();
    let signature = secret.sign(id, timestamp, body.as_bytes()).unwrap();
    vec![
        format!("webhook-id: {id}"),
        format!("webhook-timestamp: {timestamp}"),
        format!("webhook-signature: {signature}"),
    ]
}

#[test]
fn what_is_signed_is_received_once() {
    for mut receiver in Receiver::both(&format!("{SECRET} {OLD_SECRET}")) {
        let received = |(status, body): (u16, String)| assert_eq!((status, &*body), RECEIVED);
        let (first, second) = (payload("first"), payload("second"));
        received(receiver.answer(&signed(SECRET, "evt_1", now(), &first), &first));
        // The next attempt has a time and a signature of its own.
        received(receiver.answer(&signed(SECRET, "evt_1", now() - 1, &first), &first));
        received(receiver.answer(&signed(OLD_SECRET, "evt_2", now(), &second), &second));
        assert_eq!(receiver.printed(), "first");
        assert_eq!(receiver.printed(), "second");

        let domain = format!("http://{}", receiver.listening.address);
        let outcome = notifier(&domain, [("OPTERYX_WEBHOOK_SECRET", SECRET)]).notify(&event());
        assert!(outcome.is_ok(), "{outcome:?}");
        assert_eq!(receiver.printed(), "my-dataset");
    }
}

#[test]
fn what_does_not_check_is_answered_401_before_it_is_parsed() {
    let [mut rust, mut flask] = Receiver::both(SECRET);
    let body = payload("refused");
    let right = signed(SECRET, "evt_1", now(), &body);
    let without = |place: usize| {
        let mut headers = right.clone();
        headers.remove(place);
        headers
    };
    let twice = |place: usize| {
        let mut headers = right.clone();
        headers.push(right[place].clone());
        headers
    };
    let changed = body.replace("refused", "refuseD");
    for (headers, body) in [
        (vec![], &*body),
        (vec![], "no JSON"),
        (without(0), &body),
        (without(1), &body),
        (without(2), &body),
        (twice(0), &body),
        (twice(1), &body),
        (twice(2), &body),
        (right.clone(), &changed),
        (right.clone(), "no JSON"),
        (signed(FOREIGN_SECRET, "evt_1", now(), &body), &body),
        (signed(SECRET, "evt_1", now() - 400, &body), &body),
        (signed(SECRET, "evt_1", now() + 400, &body), &body),
        (
            vec![
                right[0].clone(),
                right[1].clone(),
                "webhook-signature: v1,".to_owned(),
            ],
            &body,
        ),
        (
            vec![
                right[0].clone(),
                right[1].clone(),
                "webhook-signature: v1".to_owned(),
            ],
            &body,
        ),
    ] {
        let answer = rust.answer(&headers, body);
        assert_eq!(answer.0, 401, "{headers:?}");
        assert_eq!(answer, flask.answer(&headers, body), "{headers:?}");
    }
    // Nothing has been printed until now, and the id counts as new.
    for receiver in [&mut rust, &mut flask] {
        let body = payload("taken");
        let answer = receiver.answer(&signed(SECRET, "evt_1", now(), &body), &body);
        assert_eq!(answer.0, 200);
        assert_eq!(receiver.printed(), "taken");
    }
}

#[test]
fn a_forger_cannot_have_a_message_forgotten() {
    for mut receiver in Receiver::both(SECRET) {
        let (first, last) = (payload("first"), payload("last"));
        let attempt = || signed(SECRET, "evt_1", now(), &first);
        assert_eq!(receiver.answer(&attempt(), &first).0, 200);
        assert_eq!(receiver.answer(&attempt(), "no JSON").0, 401);
        assert_eq!(receiver.answer(&attempt(), &first).0, 200);
        let headers = signed(SECRET, "evt_2", now(), &last);
        assert_eq!(receiver.answer(&headers, &last).0, 200);
        assert_eq!(receiver.printed(), "first");
        assert_eq!(receiver.printed(), "last");
    }
}

#[test]
fn what_could_not_be_dealt_with_may_come_again() {
    for secrets in [SECRET, ""] {
        for mut receiver in Receiver::both(secrets) {
            for (body, status) in [("no JSON", 400), ("{}", 500), (&payload("right"), 200)] {
                let headers = signed(SECRET, "evt_1", now(), body);
                assert_eq!(receiver.answer(&headers, body).0, status, "{body}");
            }
            assert_eq!(receiver.printed(), "right");
        }
    }
}

#[test]
fn without_a_secret_everything_is_received_and_each_id_once() {
    for mut receiver in Receiver::both(" ") {
        let id = |id: &str| vec![format!("webhook-id: {id}")];
        for (headers, name) in [
            (id("a"), "one"),
            (id("a"), "again"),
            (id("b"), "two"),
            (vec![], "three"),
            (vec![], "four"),
            (id(""), "five"),
            (id(""), "six"),
            // What has two ids is another message.
            (vec![id("a").remove(0), id("b").remove(0)], "seven"),
            (vec![id("a").remove(0), id("b").remove(0)], "again"),
            (id("\u{e4}"), "eight"),
            (id("\u{e4}"), "again"),
        ] {
            let (status, body) = receiver.answer(&headers, &payload(name));
            assert_eq!((status, &*body), RECEIVED, "{name}");
        }
        for name in [
            "one", "two", "three", "four", "five", "six", "seven", "eight",
        ] {
            assert_eq!(receiver.printed(), name);
        }
    }
}

#[test]
fn a_wrong_secret_keeps_a_receiver_from_starting_and_is_not_shown() {
    for command in [rust, flask] {
        for wrong in [
            "hunter2",
            "whsec_hunter2",
            &format!("{SECRET} hunter2"),
            "whsec_hunter2hunter2hunter2hunter2hunt_-",
        ] {
            let output = command()
                .arg("127.0.0.1:0")
                .env("OPTERYX_WEBHOOK_SECRET", wrong)
                .output()
                .unwrap();
            assert_eq!(output.status.code(), Some(1));
            let shown = String::from_utf8(output.stderr).unwrap();
            assert!(shown.contains("OPTERYX_WEBHOOK_SECRET"), "{shown}");
            assert!(!shown.contains("hunter2"), "{shown}");
        }
    }
}

#[test]
fn the_rust_receiver_checks_with_a_public_key() {
    let private = "whsk_nWGxne/9WmC6hEr0kuwsxERJxWl7MmkZcDusAxyuf2A=";
    let public = "whpk_11qYAYKxCrfVS/7TyWQHOg7hcvPapiMlrwIaaPcHURo=";
    let mut receiver = Receiver::start(rust(), public);
    let body = payload("asymmetric");
    let headers = signed(private, "evt_1", now(), &body);
    assert_eq!(receiver.answer(&headers, &body).0, 200);
    assert_eq!(receiver.printed(), "asymmetric");
}
