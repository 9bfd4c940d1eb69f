//! The official libraries of Standard Webhooks and of CloudEvents take what this crate sends, and
//! its verifier takes what they sign.

use std::io::{BufRead, BufReader, Lines, Write};
use std::path::Path;
use std::process::{Child, ChildStdout, Command, Stdio};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use opteryx_webhooks::receiver::Verifier;
use opteryx_webhooks::{Config, DatasetCreated, Event, Notifier, Outcome, Recorder};
use serde_json::{Value, json};

use crate::support::{node, python};

const SECRET: &str = "whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD";
const OTHER_SECRET: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
const PRIVATE: &str = "whsk_nWGxne/9WmC6hEr0kuwsxERJxWl7MmkZcDusAxyuf2A=";
const PUBLIC: &str = "whpk_11qYAYKxCrfVS/7TyWQHOg7hcvPapiMlrwIaaPcHURo=";

/// 2024-01-06T16:00:00.007Z
const TIME_MS: i64 = 1_704_556_800_007;

fn python_script() -> Command {
    let mut command = Command::new(python::interpreter("requirements-standards.txt"));
    command.arg(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/python/standards.py"));
    command
}

fn node_script() -> Command {
    node::script("standards.js")
}

/// A program that answers line by line, ended with the test.
struct Program {
    child: Child,
    lines: Lines<BufReader<ChildStdout>>,
}

impl Program {
    fn start(command: &mut Command) -> Program {
        let mut child = command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap()).lines();
        Program { child, lines }
    }

    fn line(&mut self) -> String {
        self.lines.next().expect("the program goes on").unwrap()
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A receiver that the official libraries make.
struct Receiver {
    program: Program,
    port: u16,
}

impl Receiver {
    fn start(mut command: Command, secret: &str) -> Receiver {
        let mut program = Program::start(command.args(["receive", secret]));
        let port = program.line().parse().unwrap();
        Receiver { program, port }
    }

    fn notifier(&self, secrets: &str) -> Notifier {
        let domain = format!("http://127.0.0.1:{}", self.port);
        let variables = [
            ("OPTERYX_WEBHOOK_DOMAIN", domain.as_str()),
            ("OPTERYX_WEBHOOK_SECRET", secrets),
        ];
        Notifier::new(Config::from_vars(variables).unwrap())
    }

    fn taken(&mut self) -> Value {
        serde_json::from_str(&self.program.line()).unwrap()
    }
}

/// An event whose workspace is no plain word, as its source shows.
fn event() -> Event<'static, DatasetCreated<'static>> {
    let data = DatasetCreated {
        location: Some("gs://bucket/é\u{1F980}"),
        ..Default::default()
    };
    Event::dataset_created("my ws", "sales", "or\"ders\u{1F980}%20", data).at_unix_ms(TIME_MS)
}

fn assert_is_the_event(taken: &Value, source: &str, subject: &str) {
    assert_eq!(taken["type"], "app.opteryx.dataset.create", "{taken}");
    assert_eq!(taken["source"], source);
    assert_eq!(taken["subject"], subject);
    assert_eq!(taken["time_ms"], TIME_MS);
    assert_eq!(taken["specversion"], "1.0");
    assert_eq!(taken["datacontenttype"], "application/json");
    assert_eq!(
        taken["data"]["event"]["resource_name"],
        "or\"ders\u{1F980}%20"
    );
    assert_eq!(taken["data"]["data"]["location"], "gs://bucket/é\u{1F980}");
    assert!(taken["id"].as_str().unwrap().starts_with("evt_"));
}

/// The receiver takes what is signed with its secret, whatever else it is signed with, as an event
/// of this source and subject; and nothing else.
fn takes_our_deliveries(command: Command, source: &str, subject: &str) {
    let mut receiver = Receiver::start(command, SECRET);
    for secrets in [
        SECRET.to_owned(),
        format!("{PRIVATE} {OTHER_SECRET} {SECRET}"),
    ] {
        let outcome = receiver.notifier(&secrets).notify(&event());
        let taken = receiver.taken();
        assert!(
            matches!(outcome, Outcome::Delivered { status: 200 }),
            "{outcome:?}, {taken}"
        );
        assert_is_the_event(&taken, source, subject);
    }
    let outcome = receiver.notifier(OTHER_SECRET).notify(&event());
    assert_eq!(outcome.error().unwrap().status(), Some(401));
    assert_eq!(receiver.taken()["refused"], "No matching signature found");
}

#[test]
fn the_python_libraries_take_our_deliveries() {
    let subject = "sales/or\"ders\u{1F980}%20";
    takes_our_deliveries(python_script(), "/workspaces/my ws", subject);
}

#[test]
fn the_javascript_libraries_take_our_deliveries() {
    // This library leaves the percent-encoding of headers to its user.
    let subject = "sales/or%22ders%F0%9F%A6%80%2520";
    takes_our_deliveries(node_script(), "/workspaces/my%20ws", subject);
}

#[test]
fn an_ed25519_signature_is_one_to_node() {
    let public = Program::start(node_script().args(["public", PRIVATE])).line();
    assert_eq!(public, PUBLIC);
    let mut receiver = Receiver::start(node_script(), PUBLIC);
    let outcome = receiver.notifier(PRIVATE).notify(&event());
    let taken = receiver.taken();
    assert!(outcome.is_ok(), "{outcome:?}, {taken}");
    assert!(!receiver.notifier(SECRET).notify(&event()).is_ok());
}

/// What the library in this script signs, our verifier takes.
fn assert_we_take_what_it_signs(mut script: Command, secret: &str, checker: &str) {
    let mut program = Program::start(script.arg("sign"));
    let mut input = program.child.stdin.take().unwrap();
    let now = 1_777_000_000;
    let clock = UNIX_EPOCH + Duration::from_secs(now);
    let verifier = Verifier::new([checker.parse().unwrap()]).with_clock(move || clock);
    for (id, timestamp, body) in [
        ("msg_1", now, "{}"),
        (
            "msg_27UH4WbU6Z5A5EzD8u03UvzRbpk",
            now - 300,
            "{\"é\": \"\u{1F980}\"}",
        ),
        ("evt_0123456789abcdef", now, ""),
    ] {
        let case = json!({"secret": secret, "id": id, "timestamp": timestamp, "body": body});
        writeln!(input, "{case}").unwrap();
        let signature = program.line();
        let headers = [
            ("webhook-id", id),
            ("webhook-timestamp", &timestamp.to_string()),
            ("webhook-signature", &signature),
        ];
        let attempt = verifier.authenticate(headers, body.as_bytes()).unwrap();
        assert_eq!((attempt.id(), attempt.unix_seconds()), (id, timestamp));
        assert!(verifier.authenticate(headers, b"changed").is_err());
    }
}

#[test]
fn we_take_what_the_python_library_signs() {
    assert_we_take_what_it_signs(python_script(), SECRET, SECRET);
}

#[test]
fn we_take_what_the_javascript_library_signs() {
    assert_we_take_what_it_signs(node_script(), SECRET, SECRET);
}

#[test]
fn we_take_what_node_signs_with_ed25519() {
    assert_we_take_what_it_signs(node_script(), PRIVATE, PUBLIC);
}

#[test]
fn the_rust_library_takes_our_messages() {
    let recorder = Recorder::new();
    let secrets = format!("{PRIVATE} {SECRET}");
    let config = Config::from_vars([("OPTERYX_WEBHOOK_SECRET", secrets)]).unwrap();
    Notifier::with_config_and_delivery(config, recorder.clone()).notify(&event());
    let message = recorder.take().remove(0);
    let headers: http::HeaderMap = message
        .headers()
        .into_iter()
        .map(|(name, value)| {
            let name = http::HeaderName::from_bytes(name.as_bytes()).unwrap();
            (name, value.parse().unwrap())
        })
        .collect();
    let library = standardwebhooks::Webhook::new(SECRET).unwrap();
    library.verify(message.body(), &headers).unwrap();
    let other = standardwebhooks::Webhook::new(OTHER_SECRET).unwrap();
    assert!(other.verify(message.body(), &headers).is_err());
}

#[test]
fn we_take_what_the_rust_library_signs() {
    let now = SystemTime::now();
    let seconds = now.duration_since(UNIX_EPOCH).unwrap().as_secs();
    let signature = standardwebhooks::Webhook::new(SECRET)
        .unwrap()
        .sign("msg_1", seconds.try_into().unwrap(), b"{}")
        .unwrap();
    let mut headers = http::HeaderMap::new();
    headers.insert("webhook-id", "msg_1".parse().unwrap());
    headers.insert("webhook-timestamp", seconds.into());
    headers.insert("webhook-signature", signature.parse().unwrap());
    let verifier = Verifier::new([SECRET.parse().unwrap()]).with_clock(move || now);
    verifier.authenticate(&headers, b"{}").unwrap();
    let later = now + Duration::from_secs(301);
    let verifier = verifier.with_clock(move || later);
    assert!(
        verifier
            .authenticate(&headers, b"{}")
            .unwrap_err()
            .is_untimely()
    );
}
