use std::fs;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use opteryx_webhooks::outbox::State;

use super::{End, answering, nobody, tool, tool_for};
use crate::outbox::{Place, stats, store};
use crate::support::eventually;
use crate::support::server::Server;

const MINUTE: Duration = Duration::from_secs(60);

/// The tool for this outbox.
fn outbox(path: &Path, arguments: &[&str]) -> Command {
    let mut command = tool(&["outbox"]);
    command.args(arguments).env("OPTERYX_WEBHOOK_OUTBOX", path);
    command
}

/// A place with one event delivered, one dead, and one pending; and their ids, in that order.
fn one_of_each() -> (Place, [String; 3]) {
    let place = Place::new();
    let receiver = Server::start(|mut connection| {
        while let Some(request) = connection.request() {
            let name = request.json()["event"]["resource_name"].clone();
            let status = match name.as_str() {
                Some("taken") => "200 OK",
                Some("refused") => "410 Gone",
                _ => "500 No",
            };
            let answer = format!("HTTP/1.1 {status}\r\nContent-Length: 6\r\n\r\n\x1b[2J\r\n");
            if connection.send(answer).is_err() {
                return;
            }
        }
    });
    let notifier = place.notifier(&receiver.domain(), [("OPTERYX_WEBHOOK_RETRY", "1h")]);
    for name in ["taken", "refused", "waiting"] {
        store(&notifier, name);
    }
    eventually("each has been attempted", || {
        let stats = stats(&notifier);
        let messages = place.file().messages(None, 10).unwrap();
        stats.pending == 1 && messages.iter().all(|message| message.attempts == 1)
    });
    let id = |state| {
        place.file().messages(Some(state), 10).unwrap()[0]
            .id
            .clone()
    };
    let ids = [State::Delivered, State::Dead, State::Pending].map(id);
    (place, ids)
}

#[test]
fn a_list_shows_what_has_become_of_each_event() {
    let (place, [taken, refused, waiting]) = one_of_each();
    let end = End::of(&mut outbox(&place.path(), &["list"]));
    assert_eq!((end.code, &*end.stderr), (Some(0), ""), "{end:?}");
    let lines: Vec<_> = end.stdout.lines().collect();
    assert_eq!(lines.len(), 4, "{end:?}");
    assert!(lines[0].starts_with("ACCEPTED"));
    for (line, parts) in lines[1..].iter().zip([
        [
            &*waiting,
            "view.create",
            "w/c/waiting",
            "pending, next 20",
            "answered 500",
        ],
        [
            &*refused,
            "view.create",
            "w/c/refused",
            "dead",
            "answered 410",
        ],
        [&*taken, "view.create", "w/c/taken", "delivered", ""],
    ]) {
        for part in parts {
            assert!(line.contains(part), "{part} in {line}");
        }
    }
    assert!(!end.stdout.contains('\x1b'), "no colour without a terminal");

    let end = End::of(&mut outbox(
        &place.path(),
        &["list", "--state", "dead", "--json"],
    ));
    let list = end.json();
    assert_eq!(list.as_array().unwrap().len(), 1);
    assert_eq!(list[0]["id"], *refused);
    assert_eq!(list[0]["state"], "dead");
    assert_eq!(list[0]["last_error"], "the receiver answered 410");
    let end = End::of(&mut outbox(
        &place.path(),
        &["list", "--limit", "1", "--json"],
    ));
    assert_eq!(end.json()[0]["id"], *waiting);
}

#[test]
fn an_event_is_shown_with_its_attempts() {
    let (place, [taken, refused, _]) = one_of_each();
    let end = End::of(&mut outbox(&place.path(), &["show", &refused]));
    assert_eq!(end.code, Some(0), "{end:?}");
    assert!(end.line("id").ends_with(&refused));
    assert!(end.line("state").ends_with("dead"));
    let attempt = end.line("1");
    assert!(attempt.contains("410") && attempt.contains("the receiver answered 410"));
    assert!(
        attempt.contains("\\u{1b}[2J"),
        "what a terminal would obey is escaped"
    );

    let end = End::of(&mut outbox(&place.path(), &["show", &taken, "--json"]));
    let shown = end.json();
    assert_eq!(shown["body"]["event"]["resource_name"], "taken");
    assert_eq!(shown["tried"][0]["status"], 200);
    assert_eq!(shown["tried"][0]["answer"], "\x1b[2J\r\n");

    let end = End::of(&mut outbox(&place.path(), &["show", "evt_0"]));
    assert_eq!((end.code, &*end.stdout), (Some(1), ""));
    assert!(end.stderr.contains("evt_0 is not in the outbox"), "{end:?}");
}

#[test]
fn what_is_redelivered_a_running_service_delivers() {
    let (place, [taken, refused, waiting]) = one_of_each();
    let receiver = Server::ok();
    let notifier = place.notifier(&receiver.domain(), []);
    let end = End::of(&mut outbox(&place.path(), &["redeliver", "--dead"]));
    assert_eq!(
        end.stdout, "1 event will be delivered once more.\n",
        "{end:?}"
    );
    eventually("the dead letter is delivered", || {
        stats(&notifier).dead == 0
    });
    let end = End::of(&mut outbox(&place.path(), &["redeliver", &waiting, &taken]));
    assert_eq!(
        end.stdout, "2 events will be delivered once more.\n",
        "{end:?}"
    );
    assert!(notifier.flush(MINUTE));
    let mut ids: Vec<_> = receiver
        .requests()
        .iter()
        .map(|request| request.headers["webhook-id"].clone())
        .collect();
    ids.sort();
    let mut expected = vec![taken, refused, waiting.clone()];
    expected.sort();
    assert_eq!(ids, expected);

    let arguments = ["redeliver", &waiting, "evt_0", "evt_1"];
    let end = End::of(&mut outbox(&place.path(), &arguments));
    assert_eq!(end.code, Some(1));
    assert!(end.stdout.starts_with("1 event "));
    assert!(
        end.stderr.contains("evt_0") && end.stderr.contains("evt_1"),
        "{end:?}"
    );
    let end = End::of(&mut outbox(
        &place.path(),
        &["redeliver", "evt_0", "--json"],
    ));
    assert_eq!(end.code, Some(1));
    assert_eq!(
        end.json(),
        serde_json::json!({"redelivered": 0, "not_there": ["evt_0"]})
    );
}

#[test]
fn the_sums_add_up() {
    let (place, _) = one_of_each();
    let end = End::of(&mut outbox(&place.path(), &["stats"]));
    for (name, count) in [
        ("accepted", 3),
        ("delivered", 1),
        ("pending", 1),
        ("dead", 1),
    ] {
        assert!(end.line(name).ends_with(&format!(" {count}")), "{end:?}");
    }
    let end = End::of(&mut outbox(&place.path(), &["stats", "--json"]));
    let sums = serde_json::json!({"accepted": 3, "delivered": 1, "pending": 1, "dead": 1});
    assert_eq!(end.json(), sums);
}

#[test]
fn pruning_forgets_what_it_is_told_to_and_never_what_is_pending() {
    let (place, [taken, refused, waiting]) = one_of_each();
    let end = End::of(&mut outbox(&place.path(), &["prune"]));
    assert_eq!(
        end.stdout, "0 attempts and 0 dead letters were forgotten.\n",
        "{end:?}"
    );
    let end = End::of(&mut outbox(
        &place.path(),
        &["prune", "--keep", "0", "--dead", "--json"],
    ));
    assert_eq!(
        end.json(),
        serde_json::json!({"attempts": 3, "dead": 1}),
        "{end:?}"
    );
    let file = place.file();
    for (id, is_there) in [(&taken, false), (&refused, false), (&waiting, true)] {
        assert_eq!(file.message(id).unwrap().is_some(), is_there);
    }
    let sums = file.stats().unwrap();
    assert_eq!(
        (sums.accepted, sums.delivered, sums.pending, sums.dead),
        (3, 1, 1, 1)
    );
    let end = End::of(&mut outbox(&place.path(), &["prune", "--keep", "soon"]));
    assert_eq!(end.code, Some(2));
    assert!(end.stderr.contains("such as `30d`"), "{end:?}");
}

#[test]
fn a_file_that_cannot_be_used_is_named_with_the_reason() {
    let place = Place::new();
    let path = place.path();
    let is_refused = |reason: &str| {
        for arguments in [
            &["list"][..],
            &["show", "evt_0"],
            &["redeliver", "--dead"],
            &["stats"],
            &["prune"],
        ] {
            let end = End::of(&mut outbox(&path, arguments));
            assert_eq!((end.code, &*end.stdout), (Some(1), ""), "{end:?}");
            assert!(
                end.stderr.contains(path.to_str().unwrap()) && end.stderr.contains(reason),
                "{end:?}"
            );
        }
    };
    is_refused("there is no such file");
    fs::write(&path, "hello ".repeat(1000)).unwrap();
    is_refused("it is no SQLite file");
    fs::remove_file(&path).unwrap();
    fs::create_dir(&path).unwrap();
    is_refused("it is a folder");
    fs::remove_dir(&path).unwrap();
    // SQLite, but somebody else's; and it stays as it was.
    let other = rusqlite::Connection::open(&path).unwrap();
    other.execute("CREATE TABLE theirs (x)", []).unwrap();
    drop(other);
    let before = fs::read(&path).unwrap();
    is_refused("it has no outbox in it");
    assert_eq!(fs::read(&path).unwrap(), before);

    let end = End::of(&mut tool(&["outbox", "list"]));
    assert_eq!(end.code, Some(1));
    assert!(
        end.stderr.contains("OPTERYX_WEBHOOK_OUTBOX is not set"),
        "{end:?}"
    );
    let (place, _) = one_of_each();
    let path = place.path();
    let end = End::of(&mut tool(&[
        "outbox",
        "stats",
        "--file",
        path.to_str().unwrap(),
    ]));
    assert_eq!(end.code, Some(0), "{end:?}");
}

#[test]
fn wrong_arguments_are_named() {
    for arguments in [
        &["outbox"][..],
        &["outbox", "redeliver"],
        &["outbox", "redeliver", "--dead", "evt_0"],
        &["outbox", "list", "--state", "lost"],
        &["outbox", "show"],
    ] {
        let end = End::of(&mut tool(arguments));
        assert_eq!((end.code, &*end.stdout), (Some(2), ""), "{end:?}");
        assert!(
            ["Usage: ", "possible values"]
                .iter()
                .any(|help| end.stderr.contains(help)),
            "{end:?}"
        );
    }
}

#[test]
fn an_event_that_is_sent_is_stored_and_what_came_of_it_is_said() {
    let (place, receiver) = (Place::new(), Server::ok());
    let send = |domain: &str, arguments: &[&str]| {
        let mut command = tool_for(domain, &["send"]);
        command.args(arguments);
        End::of(command.env("OPTERYX_WEBHOOK_OUTBOX", place.path()))
    };
    let end = send(&receiver.domain(), &[]);
    assert_eq!((end.code, &*end.stderr), (Some(0), ""), "{end:?}");
    assert!(end.line("outcome").contains("was stored"), "{end:?}");
    assert!(
        end.line("since").contains("the receiver answered 200"),
        "{end:?}"
    );
    let refusing = answering("503 No", "");
    let end = send(&refusing.domain(), &["--json"]);
    assert_eq!(end.code, Some(1), "{end:?}");
    let report = end.json();
    assert_eq!(
        (&report["outcome"], &report["ok"]),
        (&"stored".into(), &false.into())
    );
    assert_eq!(report["stored"]["status"], 503);
    assert_eq!(place.file().stats().unwrap().pending, 1);
}

#[test]
fn a_check_says_where_events_are_stored_and_delivers_none_of_them() {
    let (place, _) = one_of_each();
    let path = place.path();
    let check = |path: &Path, domain: &str| {
        let mut command = tool_for(domain, &["check"]);
        command
            .env("OPTERYX_WEBHOOK_OUTBOX", path)
            .env("OPTERYX_WEBHOOK_RETRY", "90s,1h 2d")
            .env("OPTERYX_WEBHOOK_RATE", "2.5");
        End::of(&mut command)
    };
    let receiver = answering("405 No", "");
    let end = check(&path, &receiver.domain());
    assert_eq!(end.code, Some(0), "{end:?}");
    let line = end.line("OPTERYX_WEBHOOK_OUTBOX");
    assert!(line.contains(path.to_str().unwrap()) && line.contains("1 pending, 1 dead"));
    assert!(
        end.line("OPTERYX_WEBHOOK_RETRY")
            .contains("up to 4 attempts, 90s 1h 2d apart")
    );
    assert!(
        end.line("OPTERYX_WEBHOOK_RATE")
            .contains("2.5 deliveries a second")
    );
    assert!(
        end.line("OPTERYX_WEBHOOK_HISTORY")
            .contains("30d, and 100000")
    );
    assert_eq!(receiver.requests().len(), 1, "the question alone");
    assert_eq!(receiver.requests()[0].line, "HEAD /event HTTP/1.1");

    let end = check(Path::new("/nowhere/at/all.db"), &nobody());
    assert_eq!(end.code, Some(1));
    assert!(
        end.line("OPTERYX_WEBHOOK_OUTBOX")
            .contains("its folder does not exist"),
        "{end:?}"
    );
    fs::write(place.folder().join("other"), "hello ".repeat(1000)).unwrap();
    let end = check(&place.folder().join("other"), &receiver.domain());
    assert_eq!(end.code, Some(1));
    assert!(
        end.line("OPTERYX_WEBHOOK_OUTBOX")
            .contains("no SQLite file"),
        "{end:?}"
    );
}
