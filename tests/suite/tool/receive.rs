use std::io::Read;
use std::process::Stdio;

use super::{End, SECRET, tool, tool_for};
use crate::support::listening::Listening;

#[test]
fn what_is_sent_is_received_and_shown() {
    let mut command = tool(&["receive", "0"]);
    let mut receiver = Listening::start(command.stdout(Stdio::piped()));
    let domain = format!("http://{}", receiver.address);
    assert_eq!(End::of(&mut tool_for(&domain, &["check"])).code, Some(0));
    assert_eq!(
        End::of(&mut tool_for(&domain, &["send", "--at", "0"])).code,
        Some(0)
    );
    receiver.child.kill().unwrap();
    let mut shown = String::new();
    receiver
        .child
        .stdout
        .take()
        .unwrap()
        .read_to_string(&mut shown)
        .unwrap();
    assert!(
        shown.starts_with(
            "Received create event for dataset opteryx-webhooks-test\n\
             Workspace: opteryx-webhooks-test, Collection: opteryx-webhooks-test\n\
             Timestamp: 0\n\
             Data: {'location': None, "
        ),
        "{shown}"
    );
}

#[test]
fn with_a_secret_only_what_is_signed_is_taken() {
    let mut command = tool(&["receive", ":0"]);
    command
        .env("OPTERYX_WEBHOOK_SECRET", SECRET)
        .stdout(Stdio::null());
    let receiver = Listening::start(&mut command);
    let domain = format!("http://{}", receiver.address);
    let end = End::of(&mut tool_for(&domain, &["send"]));
    assert_eq!(end.code, Some(1));
    assert!(end.stderr.contains("answered 401"), "{end:?}");
    let mut command = tool_for(&domain, &["send"]);
    assert_eq!(
        End::of(command.env("OPTERYX_WEBHOOK_SECRET", SECRET)).code,
        Some(0)
    );
}

#[test]
fn where_it_cannot_listen_it_says_so() {
    let taken = crate::support::server::listener();
    let address = taken.local_addr().unwrap().to_string();
    let end = End::of(&mut tool(&["receive", &address]));
    assert_eq!((end.code, &*end.stdout), (Some(1), ""));
    assert!(end.stderr.starts_with("error: cannot listen: "), "{end:?}");

    for wrong in ["port", "127.0.0.1:99999", "::"] {
        let end = End::of(&mut tool(&["receive", wrong]));
        assert_eq!(end.code, Some(2), "{end:?}");
        assert!(end.stderr.contains("no address"), "{end:?}");
    }
    let mut command = tool(&["receive", "0"]);
    let end = End::of(command.env("OPTERYX_WEBHOOK_SECRET", "hunter2"));
    assert_eq!(end.code, Some(1));
    assert!(end.stderr.contains("OPTERYX_WEBHOOK_SECRET") && !end.stderr.contains("hunter2"));
}
