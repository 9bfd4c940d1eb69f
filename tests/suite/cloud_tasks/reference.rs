//! Beside the Python reference: the same task, by Google's own library, on the same server.

use std::io::Write;
use std::process::{Command, Stdio};

use serde_json::Value;

use super::{QUEUE, notifier};
use crate::support::queue_server::{Call, QueueServer};
use crate::support::{event, python};

/// Creates the reference's task for a payload, on this server.
fn reference(server: &QueueServer, payload: &[u8]) {
    let mut process = Command::new(python::interpreter("requirements-google.txt"))
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .arg("tests/python/reference_task.py")
        .arg(server.address().to_string())
        .args([QUEUE, "router.opteryx.app"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let input = [payload, b"\none task\n"].concat();
    process.stdin.take().unwrap().write_all(&input).unwrap();
    let output = process.wait_with_output().unwrap();
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{stderr}");
}

/// The body with its keys in order, and without white space.
fn body(call: &Call) -> String {
    // Numbers and strings as they stand, so that only white space may differ.
    let mut compact = String::new();
    let (mut within, mut escaped) = (false, false);
    for character in std::str::from_utf8(&call.http().body).unwrap().chars() {
        if within || !character.is_whitespace() {
            compact.push(character);
        }
        match character {
            '"' if !escaped => within = !within,
            _ => {}
        }
        escaped = character == '\\' && !escaped;
    }
    compact
}

#[test]
fn the_request_equals_the_references_and_carries_its_two_headers_among_ours() {
    let server = QueueServer::start();
    assert!(notifier(&server, []).notify(&event()).is_ok());
    let ours = server.calls()[0].clone();
    reference(&server, &ours.http().body);
    let theirs = server.calls()[1].clone();

    assert_eq!(ours.request.parent, theirs.request.parent);
    assert_eq!(ours.request.response_view, theirs.request.response_view);
    assert_eq!(ours.http().http_method, theirs.http().http_method);
    assert_eq!(ours.http().url, theirs.http().url);
    assert_eq!(
        ours.http().authorization_header,
        theirs.http().authorization_header
    );
    assert_eq!(body(&ours), body(&theirs));
    serde_json::from_str::<Value>(&body(&ours)).expect("it is JSON still");
    assert_eq!(theirs.http().headers.len(), 2);
    for (name, value) in &theirs.http().headers {
        assert_eq!(ours.http().headers.get(name), Some(value), "{name}");
    }
    // Theirs has no name, so that a retried enqueue stores it twice; all else is the same.
    let mut nameless = ours.task().clone();
    nameless.name.clear();
    nameless.message_type = theirs.task().message_type.clone();
    assert_eq!(&nameless, theirs.task());
    assert_eq!(server.stored().len(), 2);
}
