//! The sample receivers, in Rust and in Python, against the one of the reference's documentation:
//! whatever is sent to them, they print the same lines and give the same answer.

mod chance;
mod requests;

use std::fs::{self, File};
use std::io::{BufRead, BufReader, Read};
use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use serde_json::Value;

use crate::support::child::without_our_variables;
use crate::support::exchange::{Answer, exchange, exchange_and_end, exchange_in_turn};
use crate::support::listening::{Listening, example};
use crate::support::python;
use chance::Chance;
use requests::{JSON, chunked, event, payload, post, raw, request, utf_16, utf_32};

/// The largest body that our own receivers take; the reference's has no limit.
const BODY_LIMIT: usize = 16 * 1024 * 1024;

/// A request and the status of its answer; on all the rest the receivers have to agree.
struct Case {
    fact: String,
    status: u16,
    request: Vec<u8>,
    /// Whether the stream ends with the request.
    ended: bool,
    among: Among,
}

/// Which receivers a case is about.
#[derive(Clone, Copy, PartialEq)]
enum Among {
    All,
    /// All but the reference's.
    Ours,
    Rust,
}

fn case(fact: &str, status: u16, request: Vec<u8>) -> Case {
    Case {
        fact: fact.to_owned(),
        status,
        request,
        ended: false,
        among: Among::All,
    }
}

impl Case {
    fn ended(self) -> Case {
        Case {
            ended: true,
            ..self
        }
    }

    fn but_the_reference(self) -> Case {
        Case {
            among: Among::Ours,
            ..self
        }
    }

    fn rust_alone(self) -> Case {
        Case {
            among: Among::Rust,
            ..self
        }
    }
}

/// A table: the fact, the status, the request, and what is particular about it.
macro_rules! cases {
    ($($fact:literal => $status:literal, $request:expr $(, $particular:ident)?;)*) => {
        [$(case($fact, $status, $request)$(.$particular())?),*]
    };
}

#[test]
fn every_event_that_the_reference_builds_is_printed_alike() {
    let vectors = include_str!("../vectors/payloads.json");
    let vectors: Vec<Value> = serde_json::from_str(vectors).expect("the vectors are JSON");
    let cases = vectors.iter().map(|vector| {
        let fact = vector["case"].as_str().expect("each has a name");
        case(fact, 200, event(vector["body"].to_string()))
    });
    compare(cases);
}

#[test]
fn every_value_that_python_can_read_is_printed_alike() {
    let in_data = |data: &str| event(payload("create", data));
    let in_action = |action: &str| {
        let payload = payload("create", "{}");
        event(payload.replace("\"create\"", action))
    };
    let nested = |depth: usize, open: &str, close: &str| {
        in_data(&format!("{}{}", open.repeat(depth), close.repeat(depth)))
    };
    let document = payload("create", "[\"|\"]");
    let (before, after) = document.split_once('|').expect("it has one");
    let surrogates = b"\xED\xA0\xBD\xED\xB8\x80\\ud83d\xED\xB8\x80";
    compare(cases! {
        "constants have Python's names" => 200, in_data("[null, true, false]");
        "empty containers are printed" => 200, in_data("[{}, [], \"\"]");
        "keys keep their order" => 200, in_data(r#"{"z": 1, "a": 2, "M": {"y": [], "b": 0}}"#);
        "a key that comes twice keeps its first place and its last value" =>
            200, in_data(r#"{"a": 1, "b": 2, "a": 3, "\u0062": 4}"#);
        "keys that nobody asked for are not printed, but in the data" =>
            200, event(payload("create", "{\"free\": 1}").replace("{\"action", "{\"more\": 1, \"action"));
        "a later event replaces an earlier one" =>
            200, event(payload("create", "1").replace("{\"event\"", "{\"event\": 1, \"event\""));
        "integers keep their digits" =>
            200, in_data("[0, -0, -1, 9007199254740993, 18446744073709551616, -12345678901234567890]");
        "an integer of 4300 digits is read" => 200, in_data(&"9".repeat(4300));
        "a negative integer of 4300 digits is read" =>
            200, in_data(&format!("-{}", "9".repeat(4300)));
        "an integer of 4301 digits is refused" => 400, in_data(&"9".repeat(4301));
        "a float of 5000 digits is read" => 200, in_data(&format!("0.{}", "3".repeat(5000)));
        "floats have the shortest digits" =>
            200, in_data("[0.1, 0.30000000000000004, 1.10, 123456.789e3, 5e-324]");
        "of two shortest the even one is taken" =>
            200, in_data("[280548796311112.625, 140274398155556.3125, 5.684341886080802e-14]");
        "floats turn to exponents where Python's do" =>
            200, in_data("[1e15, 1e16, 1.5e16, 9999999999999998.0, 1E+22, 0.0001, 0.00001, 1.5e-7]");
        "whole floats have a point" => 200, in_data("[1.0, -0.0, 0e5, 1e0, 100E-2]");
        "floats overflow to infinity" => 200, in_data("[1e400, -1e400, 1e-400]");
        "what JSON has no numbers for is read" => 200, in_data("[NaN, Infinity, -Infinity]");
        "quotes are chosen by what is quoted" =>
            200, in_data(r#"["plain", "it's", "\"", "it's \"both\"", "\\", "\\'", {"it's": "\"'\""}]"#);
        "control characters are escaped" =>
            200, in_data(r#"["\u0000\u0001\b\t\n\f\r\u001b\u001f \u007f\u0080\u009f\u00a0\u00ad\/"]"#);
        "letters of the world are printed" =>
            200, in_data(r#"["é ß ñ 漢字 Ελλάδα עברית ไทย", "\u00e9"]"#);
        "emoji are printed" => 200, in_data(r#"["😀👍🏽", "\ud83d\ude00", "👩‍👩‍👧"]"#);
        "what is not printable is escaped" =>
            200, in_data("[\"\u{200b}\u{2028}\u{2029}\u{3000}\u{feff}\u{fffe}\u{e000}\u{10ffff}\u{e0001}\"]");
        "combining characters are printed" => 200, in_data("[\"e\u{301}\", \"\u{301}\"]");
        "lone surrogates are escaped" =>
            200, in_data(r#"["\ud800", "\udc00\ud800", "\ud83dx", "\ud83d\ud83d\ude00", "\uD83D\n"]"#);
        "a key may be any string" => 200, in_data(r#"{"": 1, "\ud800": 2, "\n": 3, "ключ": 4}"#);
        "a string is printed as it is outside the data" =>
            200, in_action(r#""cr\neate 'it' \"é\" 😀""#);
        "null is None outside the data" => 200, in_action("null");
        "a float is Python's outside the data" => 200, in_action("1e16");
        "a list is Python's outside the data" => 200, in_action(r#"["a", null]"#);
        "an object is Python's outside the data" => 200, in_action(r#"{"a": true}"#);
        "a lone surrogate cannot be printed in the first line" => 500, in_action(r#""\ud800""#);
        "a lone surrogate in the second line comes after the first" =>
            500, event(payload("create", "1").replace("my-workspace", r"\udfff"));
        "a lone surrogate in the third line comes after the second" =>
            500, event(payload("create", "1").replace("1704556800000", r#""\ud800""#));
        "a lone surrogate in the fourth line comes after the third" => 500, in_data(r#""\ud800""#);
        "data may be a string" => 200, in_data(r#""as it 'is'\n""#);
        "data may be null" => 200, in_data("null");
        "nesting is followed for long" => 200, nested(900, "[", "]");
        "nested objects are followed for long" =>
            200, in_data(&format!("{}1{}", "{\"a\":".repeat(900), "}".repeat(900)));
        "nesting is not followed for ever" => 500, nested(100_000, "[", "]");
        "nesting that never ends is not followed for ever" => 500, nested(100_000, "[", "");
        "white space is skipped" => 200, in_data(" \t\r\n[\n1\t,\r2 ] \t\r\n");
        "UTF-8 with a byte order mark is read" =>
            200, event([b"\xEF\xBB\xBF", payload("é", "1").as_bytes()].concat());
        "UTF-16 is read, little end first" =>
            200, event(utf_16(&payload("é😀", "1"), u16::to_le_bytes));
        "UTF-16 is read, big end first" =>
            200, event(utf_16(&payload("é😀", "1"), u16::to_be_bytes));
        "UTF-16 with a byte order mark is read, little end first" =>
            200, event(utf_16(&format!("\u{feff}{}", payload("é😀", "1")), u16::to_le_bytes));
        "UTF-16 with a byte order mark is read, big end first" =>
            200, event(utf_16(&format!("\u{feff}{}", payload("é😀", "1")), u16::to_be_bytes));
        "UTF-32 is read, little end first" =>
            200, event(utf_32(&payload("é😀", "1"), u32::to_le_bytes));
        "UTF-32 is read, big end first" =>
            200, event(utf_32(&payload("é😀", "1"), u32::to_be_bytes));
        "UTF-32 with a byte order mark is read, little end first" =>
            200, event(utf_32(&format!("\u{feff}{}", payload("é😀", "1")), u32::to_le_bytes));
        "UTF-32 with a byte order mark is read, big end first" =>
            200, event(utf_32(&format!("\u{feff}{}", payload("é😀", "1")), u32::to_be_bytes));
        "surrogates encoded in UTF-8 are read" =>
            200, event([before.as_bytes(), surrogates, after.as_bytes()].concat());
    });
}

#[test]
fn a_body_that_is_not_json_is_refused_alike() {
    compare(cases! {
        "an empty body" => 400, event(b"");
        "white space alone" => 400, event(b" \n");
        "a word" => 400, event(b"hello");
        "a form" => 400, event(b"event=create&data=1");
        "a body that ends too early" => 400, event(br#"{"event": {"action": "create"#);
        "something after the end" => 400, event(b"{} {}");
        "a point after the end" => 400, event(b"1.");
        "single quotes" => 400, event(b"{'event': 1}");
        "a comma before the end of an object" => 400, event(br#"{"a": 1,}"#);
        "a comma before the end of a list" => 400, event(b"[1,]");
        "a comma alone" => 400, event(b"[,]");
        "a missing comma" => 400, event(b"[1 2]");
        "a missing colon" => 400, event(br#"{"a" 1}"#);
        "a missing value" => 400, event(br#"{"a":}"#);
        "a key that is no string" => 400, event(b"{1: 2}");
        "a comment" => 400, event(b"{} // done");
        "a leading zero" => 400, event(b"[01]");
        "a leading plus" => 400, event(b"[+1]");
        "a leading point" => 400, event(b"[.5]");
        "a minus alone" => 400, event(b"[-]");
        "an exponent without digits" => 400, event(b"[1e]");
        "a hexadecimal number" => 400, event(b"[0x10]");
        "a negative NaN" => 400, event(b"[-NaN]");
        "another spelling of infinity" => 400, event(b"[inf]");
        "Python's None" => 400, event(b"None");
        "a constant in capitals" => 400, event(b"TRUE");
        "a line feed in a string" => 400, event(b"[\"a\nb\"]");
        "a tab in a string" => 400, event(b"[\"a\tb\"]");
        "a NUL in a string" => 400, event(b"[\"a\0b\"]");
        "an unknown escape" => 400, event(br#"["\x41"]"#);
        "an escaped quote of the other kind" => 400, event(br#"["\'"]"#);
        "an escape that is too short" => 400, event(br#"["\u12"]"#);
        "an escape that is not hexadecimal" => 400, event(br#"["\u12g4"]"#);
        "an escape with a sign" => 400, event(br#"["\u+123"]"#);
        "a surrogate with half an escape" => 400, event(br#"["\ud83d\u12"]"#);
        "a string without an end" => 400, event(br#"["a]"#);
        "a backslash at the end" => 400, event(br#"["a\"#);
        "Latin-1" => 400, event(b"[\"caf\xE9\"]");
        "UTF-8 cut off" => 400, event(b"[\"\xF0\x9F\x98\"]");
        "UTF-8 of too many bytes" => 400, event(b"[\"\xC0\x80\"]");
        "UTF-8 beyond Unicode" => 400, event(b"[\"\xF4\x90\x80\x80\"]");
        "a byte order mark alone" => 400, event(b"\xEF\xBB\xBF");
        "two byte order marks" => 400, event(b"\xEF\xBB\xBF\xEF\xBB\xBF{}");
        "UTF-16 cut off" => 400, event(b"\xFF\xFE{\0}");
        "UTF-32 cut off" => 400, event(b"{\0\0\0}\0");
        "UTF-32 beyond Unicode" => 400, event(b"\xFF\xFE\0\0\0\0\x11\0");
        "a compressed body" =>
            400, event(b"\x1F\x8B\x08\0\0\0\0\0\0\x03\xAB\xAE\x05\0C\xBF\xA6\xA3\x02\0\0\0");
    });
}

#[test]
fn a_payload_that_is_no_event_fails_alike() {
    let without = |key: &str| {
        let mut payload: Value = serde_json::from_str(&payload("create", "{}")).unwrap();
        payload["event"].as_object_mut().unwrap().remove(key);
        event(payload.to_string())
    };
    compare(cases! {
        "a payload without an event" => 500, event(r#"{"data": {}}"#);
        "a payload without data, after three lines" =>
            500, event(payload("create", "{}").replace("\"data\"", "\"date\""));
        "an event without an action" => 500, without("action");
        "an event without a type of resource" => 500, without("resource_type");
        "an event without a name" => 500, without("resource_name");
        "an event without a workspace" => 500, without("workspace");
        "an event without a collection" => 500, without("collection");
        "an event without a timestamp, after two lines" => 500, without("timestamp");
        "an event that is null" => 500, event(r#"{"event": null, "data": {}}"#);
        "an event that is a list" => 500, event(r#"{"event": ["action"], "data": {}}"#);
        "an event that is a string" => 500, event(r#"{"event": "action", "data": {}}"#);
        "an empty object" => 500, event("{}");
        "a list" => 500, event("[]");
        "a string" => 500, event("\"event\"");
        "a number" => 500, event("1");
        "NaN" => 500, event("NaN");
        "null" => 500, event("null");
    });
}

#[test]
fn a_request_that_is_no_event_is_answered_alike() {
    let good = || payload("create", "{}");
    let typed = |content_type: &str| post(&[&format!("Content-Type: {content_type}")], good());
    let to = |method: &str, target: &str| request(method, target, &[JSON], good());
    let length = format!("Content-Length: {}", good().len());
    let large = |size: usize| {
        let mut body = good().into_bytes();
        body.resize(size, b' ');
        body
    };
    compare(cases! {
        "another path is not found" => 404, to("POST", "/events");
        "the root is not found" => 404, to("POST", "/");
        "a slash at the end is another path" => 404, to("POST", "/event/");
        "capitals are another path" => 404, to("POST", "/EVENT");
        "a path below is not found" => 404, to("POST", "/event/1");
        "a path above is not found" => 404, to("POST", "/v1/event");
        "parameters of a path make another path" => 404, to("POST", "/event;v=1");
        "another path is not found by any method" => 404, to("GET", "/events");
        "another path has no options" => 404, to("OPTIONS", "/");
        "options of the receiver as a whole are not found" => 404, to("OPTIONS", "*");
        "a query is ignored" => 200, to("POST", "/event?token=1&x");
        "an escaped path is the same path" => 200, to("POST", "/%65vent");
        "an escaped slash at the end is a slash" => 404, to("POST", "/event%2F");
        "an escape that is none is another path" => 404, to("POST", "/event%");
        "many slashes at the start are one" => 200, to("POST", "///event");
        "an escaped slash at the start is one more slash" => 200, to("POST", "/%2Fevent");
        "a whole URL is its path" => 200, to("POST", "http://receiver.example/event");
        "GET is not allowed" => 405, request("GET", "/event", &[], "");
        "HEAD is not allowed, without a page" => 405, request("HEAD", "/event", &[], "");
        "PUT is not allowed" => 405, to("PUT", "/event");
        "PATCH is not allowed" => 405, to("PATCH", "/event");
        "DELETE is not allowed" => 405, to("DELETE", "/event");
        "TRACE is not allowed" => 405, request("TRACE", "/event", &[], "");
        "a method that nobody knows is not allowed" => 405, to("NOTIFY", "/event");
        "a method in small letters is the same method" => 200, to("post", "/event");
        "OPTIONS says what is allowed" => 200, request("OPTIONS", "/event", &[], "");
        "OPTIONS with a body says what is allowed" => 200, to("OPTIONS", "/event");
        "no content type is refused" => 415, post(&[], good());
        "an empty content type is refused" => 415, typed("");
        "plain text is refused" => 415, typed("text/plain");
        "a form is refused" => 415, typed("application/x-www-form-urlencoded");
        "JSON as text is refused" => 415, typed("text/json");
        "several JSONs are refused" => 415, typed("application/x-ndjson");
        "JSON as a parameter is refused" => 415, typed("text/plain; application/json");
        "a type that only starts like JSON is refused" => 415, typed("application/jsonp");
        "two types in one are refused" => 415, typed("application/json, text/plain");
        "the content type is looked at before the body" =>
            415, post(&["Content-Type: text/plain"], "");
        "a charset is taken" => 200, typed("application/json; charset=utf-8");
        "a charset is not believed" => 200, typed("application/json; charset=utf-16");
        "parameters that are none are taken" => 200, typed("application/json;;=\";");
        "capitals are taken" => 200, typed("Application/JSON");
        "space around the type is taken" => 200, typed("\t application/json \t; a=b");
        "a CloudEvent is taken" => 200, typed("application/cloudevents+json");
        "a type that ends in JSON is taken" => 200, typed("application/vnd.opteryx.v1+JSON; v=1");
        "another kind that ends in JSON is refused" => 415, typed("model/gltf+json");
        "of two content types the last one counts" =>
            200, post(&["Content-Type: text/plain", JSON], good());
        "of two content types the first one does not count" =>
            415, post(&[JSON, "Content-Type: text/plain"], good());
        "a body in chunks is put together" => 200, chunked(&[good().as_bytes()]);
        "a body in many chunks is put together" =>
            200, chunked(&good().as_bytes().chunks(7).collect::<Vec<_>>());
        "no chunks are an empty body" => 400, chunked(&[]);
        "a body without a length is empty" =>
            400, raw("POST /event HTTP/1.1", &[JSON], "");
        "a body that is cut off is refused" =>
            400, raw("POST /event HTTP/1.1", &[JSON, "Content-Length: 1000"], good()), ended;
        "the end of the stream after a whole request does no harm" => 200, event(good()), ended;
        "who waits to be told to continue is told" =>
            200, post(&[JSON, "Expect: 100-continue"], good());
        "HTTP/1.0 is spoken" => 200, raw("POST /event HTTP/1.0", &[JSON, &length], good());
        "header names are taken in any case" =>
            200, raw("POST /event HTTP/1.1", &[&JSON.to_uppercase(), &length.to_lowercase()], good());
        "headers that nobody asked for are taken" =>
            200, post(&[JSON, "webhook-id: evt_1", "ce-id: evt_1", "Authorization: Bearer x"], good());
        "a body as large as the limit is taken" => 200, event(large(BODY_LIMIT));
        "a body larger than the limit is refused" =>
            413, event(large(BODY_LIMIT + 1)), but_the_reference;
        // Of these Werkzeug takes as many as the limit has room for.
        "chunks larger than the limit are refused" =>
            413, chunked(&large(BODY_LIMIT + 1).chunks(1 << 20).collect::<Vec<_>>()), rust_alone;
        "a large body on another path is not found" =>
            404, request("POST", "/", &[JSON], large(BODY_LIMIT + 1)), but_the_reference;
    });
}

#[test]
fn payloads_made_at_random_are_printed_alike() {
    let mut chance = Chance(0x9E37_79B9_7F4A_7C15);
    let documents = (0..250).map(|number| {
        let values: Vec<String> = (0..8).map(|_| chance.value(3)).collect();
        let mut document = payload("create", &format!("[{}]", values.join(", ")));
        if chance.below(4) == 0 {
            // Most likely not JSON any more; the receivers have to agree on that too.
            let places: Vec<usize> = document.char_indices().map(|(place, _)| place).collect();
            document.remove(places[chance.below(places.len())]);
        }
        (format!("number {number}: {document}"), event(document))
    });
    let receivers = Receivers::start();
    let mut printed = 0;
    let mut differences = Vec::new();
    for (fact, request) in documents {
        let outcomes = receivers.outcomes(Among::All, &request, false);
        printed += usize::from(outcomes[0].1.status == 200);
        differences.extend(difference(&fact, &outcomes));
    }
    report(differences);
    assert!(printed > 150, "only {printed} were JSON");
}

#[test]
fn an_event_is_printed_as_documented_and_seen_at_once_through_a_pipe() {
    let receivers = [rust(), flask()].map(|mut command| {
        command.arg("0").stdout(Stdio::piped());
        Listening::start(&mut command)
    });
    for mut receiver in receivers {
        let stdout = BufReader::new(receiver.child.stdout.take().expect("it is piped"));
        let (said, hear) = mpsc::channel();
        thread::spawn(move || {
            let lines = stdout.lines().map_while(Result::ok);
            // Flask says first that it starts.
            for line in lines.filter(|line| !line.starts_with(" * ")) {
                let _ = said.send(line);
            }
        });
        let answer = exchange(
            receiver.address,
            &event(payload("create", r#"{"a": null}"#)),
        );
        assert_eq!(answer.status, 200);
        assert_eq!(answer.header("content-type"), Some("application/json"));
        assert_eq!(answer.body, "{\"status\":\"ok\"}\n");
        let lines = [(); 4].map(|()| hear.recv_timeout(Duration::from_secs(60)).expect("a line"));
        assert_eq!(
            lines,
            [
                "Received create event for dataset my-dataset",
                "Workspace: my-workspace, Collection: my-collection",
                "Timestamp: 1704556800000",
                "Data: {'a': None}",
            ],
        );
    }
}

#[test]
fn what_the_catalog_example_creates_is_printed_by_the_references_own_sample_and_by_ours_alike() {
    let receivers = Receivers::start();
    let catalog = example("catalog");
    for receiver in &receivers.0 {
        let mut catalog = without_our_variables(Command::new(&catalog));
        catalog.env(
            "OPTERYX_WEBHOOK_DOMAIN",
            format!("http://{}", receiver.process.address),
        );
        let output = catalog.output().expect("the example can be started");
        assert!(output.status.success(), "{}: {output:?}", receiver.name);
        let printed = receiver.printed();
        let lines: Vec<_> = printed.lines().collect();
        assert_eq!(lines.len(), 8, "{}: {printed}", receiver.name);
        assert_eq!(lines[0], "Received create event for dataset my-dataset");
        assert_eq!(
            lines[1],
            "Workspace: my-workspace, Collection: my-collection"
        );
        assert!(is_now(lines[2]), "{}", lines[2]);
        assert_eq!(
            lines[3],
            "Data: {'location': 'gs://catalog/my-workspace/my-collection/my-dataset', \
             'properties': {'owner': 'data-team'}, 'schema': {'fields': [{'name': 'id', 'type': \
             'int64'}, {'name': 'name', 'type': 'string'}, {'name': 'at', 'type': \
             'timestamp[us]'}]}}"
        );
        assert_eq!(lines[4], "Received create event for view my-view");
        assert_eq!(
            lines[5],
            "Workspace: my-workspace, Collection: my-collection"
        );
        assert!(is_now(lines[6]), "{}", lines[6]);
        assert_eq!(
            lines[7],
            "Data: {'definition': \"SELECT id, name FROM my-collection.my-dataset WHERE name = \
             'café'\", 'properties': {}}"
        );
    }
}

/// Whether this is a `Timestamp:` of the last minute, in milliseconds.
fn is_now(line: &str) -> bool {
    let now = std::time::UNIX_EPOCH
        .elapsed()
        .expect("it is past 1970")
        .as_millis();
    let timestamp = line
        .strip_prefix("Timestamp: ")
        .and_then(|digits| digits.parse().ok());
    timestamp.is_some_and(|timestamp: u128| (now - 60_000..=now).contains(&timestamp))
}

#[test]
fn the_lines_of_events_that_arrive_together_are_not_mixed() {
    let rust = Receiver::start("the Rust one", &mut rust());
    let address = rust.process.address;
    thread::scope(|scope| {
        for sender in 0..8 {
            scope.spawn(move || {
                for number in 0..20 {
                    let word = format!("{sender}/{number}");
                    let request = event(payload(&word, &format!("\"{word}\"")));
                    assert_eq!(exchange(address, &request).status, 200);
                }
            });
        }
    });
    let printed = rust.printed();
    let lines: Vec<&str> = printed.lines().collect();
    assert_eq!(lines.len(), 8 * 20 * 4);
    for event in lines.chunks(4) {
        let (_, action) = event[0]
            .split_once("Received ")
            .expect("the first line is first");
        let (action, _) = action.split_once(' ').expect("a word");
        assert_eq!(event[3], format!("Data: {action}"));
    }
}

#[test]
fn the_rust_receiver_keeps_a_connection_whatever_it_has_answered() {
    let receiver = Listening::start(rust().arg("0").stdout(Stdio::null()));
    let requests: [&[u8]; 4] = [
        &event(payload("create", "1")),
        &event("not JSON"),
        &request("PUT", "/event", &[JSON], payload("create", "1")),
        &event(payload("create", "1")),
    ];
    let answers = exchange_in_turn(receiver.address, &requests);
    let statuses: Vec<u16> = answers.iter().map(|answer| answer.status).collect();
    assert_eq!(statuses, [200, 400, 405, 200]);
}

#[test]
fn an_address_can_be_given_in_any_form_and_is_of_this_machine_alone_unless_it_says_otherwise() {
    for make in [rust, flask] {
        for argument in [":0", "127.0.0.1:0"] {
            let receiver = Listening::start(make().arg(argument).stdout(Stdio::null()));
            assert_eq!(receiver.address.ip(), Ipv4Addr::LOCALHOST, "{argument}");
            let answer = exchange(receiver.address, &event(payload("create", "1")));
            assert_eq!(answer.status, 200, "{argument}");
        }
    }
}

#[test]
fn usage_is_told_to_who_asks_and_to_who_is_wrong() {
    let run = |command: &mut Command, arguments: &[&str]| -> Output {
        command.args(arguments).output().expect("it can be started")
    };
    for make in [rust, flask] {
        let output = run(&mut make(), &["--help"]);
        assert!(output.status.success());
        let usage = String::from_utf8_lossy(&output.stdout);
        assert!(usage.contains("127.0.0.1:8080"), "{usage}");

        let wrong: [&[&str]; 3] = [&["localhost"], &["65536"], &["0", "0"]];
        for arguments in wrong {
            let output = run(&mut make(), arguments);
            assert_eq!(output.status.code(), Some(2), "{arguments:?}");
            let problem = String::from_utf8_lossy(&output.stderr).to_lowercase();
            assert!(problem.contains("usage"), "{arguments:?}: {problem}");
        }
    }
}

/// A receiver whose output goes to a file, which has all of an event's lines by the time that its
/// answer is there.
struct Receiver {
    name: &'static str,
    process: Listening,
    output: PathBuf,
    printed: File,
}

/// What comes of a request.
#[derive(PartialEq)]
struct Outcome {
    status: u16,
    headers: Vec<(&'static str, Option<String>)>,
    body: String,
    printed: String,
}

impl Receiver {
    fn start(name: &'static str, command: &mut Command) -> Receiver {
        static COUNT: AtomicUsize = AtomicUsize::new(0);
        let number = COUNT.fetch_add(1, Ordering::Relaxed);
        let output = Path::new(env!("CARGO_TARGET_TMPDIR"))
            .join(format!("receiver-{}-{number}", std::process::id()));
        let file = File::create(&output).expect("the target folder can be written");
        let receiver = Receiver {
            name,
            process: Listening::start(command.arg("0").stdout(file)),
            printed: File::open(&output).expect("it has just been made"),
            output,
        };
        // Flask says there that it starts.
        receiver.printed();
        receiver
    }

    /// What has been printed since this was last asked.
    fn printed(&self) -> String {
        let mut printed = Vec::new();
        (&self.printed)
            .read_to_end(&mut printed)
            .expect("it can be read");
        String::from_utf8(printed).expect("UTF-8")
    }

    fn outcome(&self, request: &[u8], ended: bool) -> Outcome {
        let exchange = if ended { exchange_and_end } else { exchange };
        let answer = exchange(self.process.address, request);
        Outcome {
            status: answer.status,
            headers: ["content-type", "content-length", "allow"]
                .map(|name| (name, in_order(name, &answer)))
                .to_vec(),
            body: answer.body,
            printed: self.printed(),
        }
    }
}

impl Drop for Receiver {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.output);
    }
}

/// A header's value. Flask says what is allowed in the order of a Python set, which is none.
fn in_order(name: &str, answer: &Answer) -> Option<String> {
    let mut items: Vec<&str> = answer.header(name)?.split(", ").collect();
    items.sort_unstable();
    Some(items.join(", "))
}

struct Receivers([Receiver; 3]);

impl Receivers {
    fn start() -> Receivers {
        Receivers([
            Receiver::start("the Rust one", &mut rust()),
            Receiver::start("the Flask one", &mut flask()),
            Receiver::start("the reference", &mut reference()),
        ])
    }

    fn outcomes(&self, among: Among, request: &[u8], ended: bool) -> Vec<(&'static str, Outcome)> {
        let count = match among {
            Among::All => 3,
            Among::Ours => 2,
            Among::Rust => 1,
        };
        let asked = self.0.iter().take(count);
        asked
            .map(|receiver| (receiver.name, receiver.outcome(request, ended)))
            .collect()
    }
}

fn compare(cases: impl IntoIterator<Item = Case>) {
    let receivers = Receivers::start();
    let mut problems = Vec::new();
    for case in cases {
        let outcomes = receivers.outcomes(case.among, &case.request, case.ended);
        if outcomes[0].1.status != case.status {
            problems.push(format!(
                "{}: {} instead of {}",
                case.fact, outcomes[0].1.status, case.status
            ));
        }
        problems.extend(difference(&case.fact, &outcomes));
    }
    report(problems);
}

fn difference(fact: &str, outcomes: &[(&str, Outcome)]) -> Option<String> {
    if outcomes
        .iter()
        .all(|(_, outcome)| *outcome == outcomes[0].1)
    {
        return None;
    }
    let mut difference = format!("{fact}:");
    for (name, outcome) in outcomes {
        let Outcome {
            status,
            headers,
            body,
            printed,
        } = outcome;
        difference +=
            &format!("\n  {name}: {status} {headers:?}\n    {body:.2000?}\n    {printed:.2000?}");
    }
    Some(difference)
}

fn report(problems: Vec<String>) {
    assert!(problems.is_empty(), "{}", problems.join("\n"));
}

fn rust() -> Command {
    without_our_variables(Command::new(example("receiver")))
}

fn flask() -> Command {
    python("examples/flask_receiver.py")
}

fn reference() -> Command {
    let mut command = python("tests/python/serve_reference_sample.py");
    // The sample itself does not flush.
    command.env("PYTHONUNBUFFERED", "1");
    command
}

fn python(script: &str) -> Command {
    let mut command = without_our_variables(Command::new(python::interpreter("requirements.txt")));
    command
        .arg(Path::new(env!("CARGO_MANIFEST_DIR")).join(script))
        .env_remove("FLASK_DEBUG")
        .env_remove("FLASK_RUN_FROM_CLI")
        .env_remove("PYTHONUTF8")
        // As on any machine of today; in the locale C, Python would let some surrogates through.
        .env("PYTHONIOENCODING", "utf-8:strict")
        .env("PYTHONDONTWRITEBYTECODE", "1");
    command
}
