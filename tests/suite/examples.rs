//! The examples, run as a newcomer runs them.

use std::process::{Command, Output, Stdio};

use crate::support::child::without_our_variables;
use crate::support::listening::example;
use crate::support::server::Server;

/// An example with none of the variables set that a notifier reads.
fn command(name: &str) -> Command {
    let mut command = without_our_variables(Command::new(example(name)));
    command.stdin(Stdio::null());
    command
}

fn run(command: &mut Command) -> (Output, String, String) {
    let output = command.output().expect("the example can be started");
    let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).expect("UTF-8");
    let (stdout, stderr) = (text(&output.stdout), text(&output.stderr));
    (output, stdout, stderr)
}

#[test]
fn the_catalog_alone_shows_two_notifications_that_arrived() {
    let (output, stdout, stderr) = run(&mut command("catalog"));
    assert!(output.status.success() && stderr.is_empty(), "{stderr}");
    let lines = |start: &str| {
        stdout
            .lines()
            .filter(|line| line.starts_with(start))
            .count()
    };
    assert_eq!(
        lines("  receiver | Received create event for dataset my-dataset"),
        1,
        "{stdout}"
    );
    assert_eq!(
        lines("  receiver | Received create event for view my-view"),
        1,
        "{stdout}"
    );
    assert_eq!(lines("  receiver | Received"), 2, "{stdout}");
    assert_eq!(
        lines("  outcome  | it was delivered: the receiver answered 200"),
        2,
        "{stdout}"
    );
    assert_eq!(lines("  refused  | "), 1, "{stdout}");
}

#[test]
fn the_catalog_sends_where_the_environment_says() {
    let receiver = Server::ok();
    let (output, stdout, _) =
        run(command("catalog").env("OPTERYX_WEBHOOK_DOMAIN", receiver.domain()));
    assert!(output.status.success());
    assert!(!stdout.contains("receiver |"), "{stdout}");
    let kinds: Vec<_> = receiver
        .requests()
        .iter()
        .map(|r| r.headers["ce-type"].clone())
        .collect();
    assert_eq!(
        kinds,
        ["app.opteryx.dataset.create", "app.opteryx.view.create"]
    );
}

#[test]
fn the_catalog_goes_on_where_nobody_listens_and_says_so() {
    let address = crate::support::server::listener().local_addr().unwrap();
    let (output, stdout, stderr) =
        run(command("catalog").env("OPTERYX_WEBHOOK_DOMAIN", format!("http://{address}")));
    assert_eq!(output.status.code(), Some(1));
    assert!(stdout.contains("my-dataset exists already"), "{stdout}");
    assert_eq!(
        stderr.lines().filter(|line| line.contains("WARN")).count(),
        2,
        "{stderr}"
    );
}

#[test]
fn the_catalog_with_a_wrong_variable_is_silent_and_says_why() {
    let (_, stdout, stderr) =
        run(command("catalog").env("OPTERYX_WEBHOOK_DOMAIN", "user:hunter2@x"));
    assert!(stdout.contains("the notifier is off"), "{stdout}");
    assert!(
        stderr.contains("OPTERYX_WEBHOOK_DOMAIN") && !stderr.contains("hunter2"),
        "{stderr}"
    );
}

#[test]
fn a_delivery_of_the_hosts_own_gets_the_body_as_it_would_be_sent() {
    let (output, stdout, _) = run(&mut command("custom_delivery"));
    assert!(output.status.success());
    let body: serde_json::Value = serde_json::from_str(&stdout).expect("one line of JSON");
    assert_eq!(body["event"]["resource_name"], "my-view");
}

#[cfg(target_os = "linux")]
#[test]
fn a_delivery_of_the_hosts_own_that_fails_is_an_outcome() {
    let full = std::fs::OpenOptions::new()
        .write(true)
        .open("/dev/full")
        .expect("it is there");
    let (output, _, stderr) = run(command("custom_delivery").stdout(full));
    assert_eq!(output.status.code(), Some(1));
    assert!(stderr.contains("the line was not written"), "{stderr}");
}
