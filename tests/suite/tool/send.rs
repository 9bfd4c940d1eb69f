use std::fs;
use std::path::PathBuf;

use serde_json::json;

use super::{End, SECRET, answering, nobody, tool, tool_for};
use crate::support::server::{Connection, Server};
use opteryx_webhooks::receiver::Verifier;

/// A file of this test's own.
fn file(name: &str, content: &[u8]) -> PathBuf {
    let name = format!("data-{}-{name}", std::process::id());
    let path = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(name);
    fs::write(&path, content).expect("the folder can be written");
    path
}

#[test]
fn a_test_event_arrives_and_says_that_it_is_one() {
    let receiver = Server::ok();
    let mut command = tool_for(&receiver.domain(), &["send"]);
    let end = End::of(command.env("OPTERYX_WEBHOOK_SECRET", SECRET));
    assert_eq!((end.code, &*end.stderr), (Some(0), ""), "{end:?}");
    let request = receiver.requests().remove(0);
    let body = request.json();
    assert_eq!(body["event"]["action"], "create");
    assert_eq!(body["event"]["resource_type"], "dataset");
    for name in ["workspace", "collection", "resource_name"] {
        assert_eq!(body["event"][name], "opteryx-webhooks-test");
    }
    assert!(
        body["data"]["properties"]["note"]
            .as_str()
            .unwrap()
            .contains("test event")
    );

    let verifier = Verifier::new([SECRET.parse().unwrap()]);
    verifier.verify(&request.headers, &request.body).unwrap();
    assert!(
        end.line("id").ends_with(&request.headers["webhook-id"]),
        "{end:?}"
    );
    assert!(
        end.line("to")
            .ends_with(&format!("{}/event", receiver.domain()))
    );
    assert!(
        end.line("outcome")
            .contains("was delivered: the receiver answered 200")
    );
    assert!(end.line("took").ends_with(" ms"));
}

#[test]
fn any_event_is_sent_as_it_is_given() {
    let receiver = Server::ok();
    let data = br#"{"z": 1, "a": 123456789012345678901234567890, "f": 1.10, "m": {"y": 1e400, "b": "\u00e9"}}"#;
    let path = file("any.json", data);
    let end = End::of(&mut tool_for(
        &receiver.domain(),
        &[
            "send",
            "--json",
            "--type",
            "view",
            "--action",
            "refresh",
            "--workspace",
            "w",
            "--collection",
            "c",
            "--name",
            "n \u{1F600}",
            "--at",
            "2026-01-31T12:00:00.5+01:00",
            "--data",
            path.to_str().unwrap(),
        ],
    ));
    assert_eq!((end.code, &*end.stderr), (Some(0), ""), "{end:?}");
    let request = receiver.requests().remove(0);
    let body = String::from_utf8(request.body.clone()).unwrap();
    assert!(
        body.ends_with(&format!(
            "\"data\":{}}}",
            std::str::from_utf8(data).unwrap()
        )),
        "{body}"
    );
    assert!(
        body.starts_with(
            "{\"event\":{\"action\":\"refresh\",\"workspace\":\"w\",\"collection\":\"c\",\
             \"resource_type\":\"view\",\"resource_name\":\"n \u{1F600}\",\"timestamp\":1769857200500}"
        ),
        "{body}"
    );
    let report = end.json();
    assert_eq!(report["ok"], json!(true));
    assert_eq!(report["outcome"], "delivered");
    assert_eq!(report["event"], "view.refresh");
    assert_eq!(report["status"], 200);
    assert_eq!(report["id"], *request.headers["webhook-id"]);
    assert!(report["milliseconds"].as_f64().unwrap() > 0.0);
}

#[test]
fn data_comes_from_standard_input_as_well() {
    let receiver = Server::ok();
    let mut command = tool_for(&receiver.domain(), &["send", "--data", "-"]);
    let end = End::with_input(&mut command, b" [1, 2]\n");
    assert_eq!(end.code, Some(0), "{end:?}");
    assert_eq!(receiver.requests()[0].json()["data"], json!([1, 2]));
}

#[test]
fn a_workspace_and_a_collection_are_named_as_the_reference_names_them() {
    let receiver = Server::ok();
    let domain = receiver.domain();
    for arguments in [
        ["--type", "workspace", "--workspace", "w"],
        ["--type", "collection", "--collection", "c"],
    ] {
        let mut all = vec!["send"];
        all.extend(arguments);
        assert_eq!(End::of(&mut tool_for(&domain, &all)).code, Some(0));
    }
    let events: Vec<_> = receiver
        .requests()
        .iter()
        .map(|r| r.json()["event"].clone())
        .collect();
    assert_eq!(
        (&events[0]["collection"], &events[0]["resource_name"]),
        (&json!(null), &json!("w"))
    );
    assert_eq!(
        (&events[1]["collection"], &events[1]["resource_name"]),
        (&json!("c"), &json!("c"))
    );
}

#[test]
fn times_before_1970_and_in_milliseconds_are_times() {
    let receiver = Server::ok();
    for (time, timestamp) in [
        ("1704556800000", 1_704_556_800_000_i64),
        ("-1", -1),
        ("1969-12-31T23:59:59Z", -1000),
    ] {
        let end = End::of(&mut tool_for(&receiver.domain(), &["send", "--at", time]));
        assert_eq!(end.code, Some(0), "{end:?}");
        let event = receiver.requests().pop().unwrap().json();
        assert_eq!(event["event"]["timestamp"], timestamp);
    }
    let end = End::of(&mut tool_for(
        &receiver.domain(),
        &["send", "--at", "yesterday"],
    ));
    assert_eq!(end.code, Some(2));
    assert!(
        end.stderr.contains("--at") && end.stderr.contains("2026-01-31T12:00:00Z"),
        "{end:?}"
    );
}

#[test]
fn what_is_not_json_is_an_error_that_names_file_line_and_column() {
    let receiver = Server::ok();
    let send = |data: &str| End::of(&mut tool_for(&receiver.domain(), &["send", "--data", data]));
    for (name, content, said) in [
        (
            "comma.json",
            &b"{\n  \"a\": 1,\n}"[..],
            "line 3, column 1: is not JSON: key must be a string",
        ),
        (
            "cut.json",
            b"{\"hunter2\": [1",
            "line 1, column 14: is not JSON: EOF while parsing a list",
        ),
        (
            "two.json",
            b"{} {}",
            "line 1, column 4: is not JSON: trailing characters",
        ),
        ("latin.json", b"\"hunter2\xe9\"", "line 1"),
        ("empty.json", b" \n", "is empty"),
    ] {
        let path = file(name, content);
        let end = send(path.to_str().unwrap());
        assert_eq!((end.code, &*end.stdout), (Some(1), ""), "{end:?}");
        assert!(end.stderr.starts_with("error: "), "{end:?}");
        assert!(
            end.stderr.contains(name) && end.stderr.contains(said),
            "{end:?}"
        );
        assert!(!end.stderr.contains("hunter2"), "{end:?}");
    }
    for (path, said) in [
        ("/no/such/file.json", "No such file"),
        ("/", "Is a directory"),
    ] {
        let end = send(path);
        assert_eq!((end.code, &*end.stdout), (Some(1), ""));
        assert!(
            end.stderr.contains(path) && end.stderr.contains(said),
            "{end:?}"
        );
    }
    let mut command = tool_for(&receiver.domain(), &["send", "--data", "-"]);
    let end = End::with_input(&mut command, b"nonsense");
    assert_eq!(end.code, Some(1));
    assert!(
        end.stderr.contains("standard input: line 1, column 2"),
        "{end:?}"
    );
    assert_eq!(receiver.connections(), 0);
}

#[cfg(target_os = "linux")]
#[test]
fn data_without_end_is_refused() {
    let end = End::of(&mut tool_for(&nobody(), &["send", "--data", "/dev/zero"]));
    assert_eq!(end.code, Some(1));
    assert!(
        end.stderr.contains("/dev/zero: is larger than 16 MiB"),
        "{end:?}"
    );
}

#[test]
fn data_over_the_limit_of_a_message_is_not_sent() {
    let path = file(
        "large.json",
        format!("\"{}\"", "x".repeat(1 << 20)).as_bytes(),
    );
    let end = End::of(&mut tool_for(
        &nobody(),
        &["send", "--data", path.to_str().unwrap()],
    ));
    assert_eq!(end.code, Some(1));
    assert!(
        end.stderr
            .contains("larger than the limit of 1048576 bytes"),
        "{end:?}"
    );
}

#[test]
fn without_a_domain_or_with_a_wrong_variable_nothing_is_sent_and_the_variable_named() {
    let end = End::of(&mut tool(&["send"]));
    assert_eq!((end.code, &*end.stdout), (Some(1), ""));
    assert!(
        end.stderr
            .starts_with("error: OPTERYX_WEBHOOK_DOMAIN is not set"),
        "{end:?}"
    );

    let receiver = Server::ok();
    let mut command = tool_for(&receiver.domain(), &["send", "--json"]);
    let end = End::of(
        command
            .env("OPTERYX_WEBHOOK_SECRET", "hunter2")
            .env("OPTERYX_WEBHOOK_TIMEOUT", "hunter2"),
    );
    assert_eq!((end.code, &*end.stdout), (Some(1), ""));
    assert_eq!(end.stderr.lines().count(), 2, "{end:?}");
    assert!(
        end.stderr.contains("OPTERYX_WEBHOOK_SECRET: ")
            && end.stderr.contains("OPTERYX_WEBHOOK_TIMEOUT: ")
    );
    assert!(!end.stderr.contains("hunter2"));
    assert_eq!(receiver.connections(), 0);
}

#[test]
fn what_is_not_delivered_is_said_once_with_the_reason() {
    let redirect = answering("308 Moved", "Location: https://other/event\r\n");
    let broken = answering("500 Oops", "Retry-After: 7\r\n");
    let missing = answering("404 Not Found", "");
    let hanging = Server::start(Connection::stay_silent);
    for (domain, reason) in [
        (nobody(), "no connection to the receiver"),
        (redirect.domain(), "a redirect to https://other/event"),
        (broken.domain(), "the receiver answered 500"),
        (missing.domain(), "the receiver answered 404"),
        (hanging.domain(), "timed out after 500ms"),
    ] {
        let send = |arguments: &[&str]| {
            let mut command = tool_for(&domain, arguments);
            End::of(command.env("OPTERYX_WEBHOOK_TIMEOUT", "0.5"))
        };
        let end = send(&["send"]);
        assert_eq!((end.code, &*end.stdout), (Some(1), ""));
        assert_eq!(end.stderr.lines().count(), 1, "{end:?}");
        assert!(
            end.stderr.contains(reason) && end.stderr.contains("evt_"),
            "{end:?}"
        );

        let end = send(&["send", "--json"]);
        assert_eq!((end.code, &*end.stderr), (Some(1), ""));
        let report = end.json();
        assert_eq!(
            (&report["ok"], &report["outcome"]),
            (&json!(false), &json!("failed"))
        );
        assert!(
            report["error"]["reason"].as_str().unwrap().contains(reason),
            "{report}"
        );
        assert!(report["id"].as_str().unwrap().starts_with("evt_"));
    }
    let report = End::of(&mut tool_for(&broken.domain(), &["send", "--json"])).json();
    assert_eq!(report["status"], 500);
    assert_eq!(report["error"]["retry_after_seconds"], 7);
}

#[test]
fn an_event_that_the_filter_leaves_out_is_not_sent_and_that_is_said() {
    let receiver = Server::ok();
    let mut command = tool_for(&receiver.domain(), &["send"]);
    let end = End::of(command.env("OPTERYX_WEBHOOK_EVENTS", "view.*"));
    assert_eq!(end.code, Some(1));
    assert!(
        end.stderr.contains("OPTERYX_WEBHOOK_EVENTS leaves it out"),
        "{end:?}"
    );
    assert_eq!(receiver.connections(), 0);
}

#[cfg(feature = "cloud-tasks")]
#[test]
fn through_a_queue_the_task_is_named() {
    let server = crate::support::queue_server::QueueServer::start();
    let queue = "projects/p/locations/l/queues/q";
    let send = |arguments: &[&str]| {
        let mut command = tool_for("router.example.com", arguments);
        End::of(
            command
                .env("OPTERYX_WEBHOOK_QUEUE", queue)
                .env("CLOUD_TASKS_EMULATOR_HOST", server.address().to_string()),
        )
    };
    let end = send(&["send"]);
    assert_eq!(end.code, Some(0), "{end:?}");
    assert!(
        end.line("to")
            .ends_with(&format!("https://router.example.com/event through {queue}"))
    );
    let report = send(&["send", "--json"]).json();
    assert_eq!(report["outcome"], "enqueued");
    let id = report["id"].as_str().unwrap();
    assert_eq!(report["task"], format!("{queue}/tasks/{id}"));
    assert_eq!(server.stored().len(), 2);
}

#[test]
fn a_warning_is_shown_once() {
    let mut command = tool_for(&nobody(), &["send"]);
    let end = End::of(command.env("OPTERYX_WEBHOOK_TIMEOUTS", "1"));
    assert_eq!(end.stderr.matches("warning: ").count(), 1, "{end:?}");
    assert_eq!(
        end.stderr.matches("OPTERYX_WEBHOOK_TIMEOUTS").count(),
        1,
        "{end:?}"
    );
}
