use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::time::Duration;

use serde_json::json;

use super::{End, SECRET, answering, nobody, tool, tool_for};
use crate::support::server::{Connection, Server};
use crate::support::tls::Authority;
use crate::support::within;

#[test]
fn without_a_domain_the_notifier_is_off_and_all_is_right() {
    let end = End::of(&mut tool(&["check"]));
    assert_eq!((end.code, &*end.stderr), (Some(0), ""));
    assert!(end.line("OPTERYX_WEBHOOK_DOMAIN").contains("unset"));
    assert!(end.stdout.ends_with("The notifier is off.\n"), "{end:?}");

    let end = End::of(tool(&["check"]).env("OPTERYX_WEBHOOK_TIMEOUT", "5"));
    assert_eq!(end.code, Some(0));
    assert!(end.line("OPTERYX_WEBHOOK_TIMEOUT").contains("unused"));
    assert!(
        end.line("warning:")
            .contains("OPTERYX_WEBHOOK_DOMAIN is not set")
    );
}

#[test]
fn every_variable_is_shown_with_what_it_comes_to() {
    let receiver = answering("405 Method Not Allowed", "");
    let end = End::of(
        tool_for(&receiver.domain(), &["check"])
            .env("OPTERYX_WEBHOOK_TIMEOUT", "2.5")
            .env("OPTERYX_WEBHOOK_EVENTS", "dataset.create, view.*")
            .env("OPTERYX_WEBHOOK_SECRET", SECRET)
            .env(
                "OPTERYX_WEBHOOK_HEADERS",
                "Authorization=hunter2,x-team=hunter2",
            )
            .env("CLOUD_TASKS_EMULATOR_HOST", "localhost:1")
            .env("SSL_CERT_FILE", "/hunter2"),
    );
    assert_eq!((end.code, &*end.stderr), (Some(0), ""), "{end:?}");
    for (variable, meaning) in [
        (
            "OPTERYX_WEBHOOK_DOMAIN",
            format!("{}/event", receiver.domain()),
        ),
        ("OPTERYX_WEBHOOK_QUEUE", "unset".to_owned()),
        (
            "OPTERYX_WEBHOOK_TIMEOUT",
            "one event may take 2.5 s".to_owned(),
        ),
        (
            "OPTERYX_WEBHOOK_EVENTS",
            "only these are sent: dataset.create view.*".to_owned(),
        ),
        (
            "OPTERYX_WEBHOOK_SECRET",
            "signed with 1 secret: whsec_ (HMAC-SHA256)".to_owned(),
        ),
        (
            "OPTERYX_WEBHOOK_HEADERS",
            "2 further headers (values not shown): authorization, x-team".to_owned(),
        ),
        ("CLOUD_TASKS_EMULATOR_HOST", "unused".to_owned()),
        ("SSL_CERT_FILE", "unused".to_owned()),
        ("ok:", "the receiver answered 405".to_owned()),
    ] {
        assert!(end.line(variable).contains(&meaning), "{variable}: {end:?}");
    }
    assert!(!end.stdout.contains("hunter2") && !end.stdout.contains(&SECRET[6..]));
}

#[test]
fn asking_sends_no_event_but_a_head_with_the_operators_headers() {
    let receiver = Server::ok();
    let end =
        End::of(tool_for(&receiver.domain(), &["check"]).env("OPTERYX_WEBHOOK_HEADERS", "x-key=k"));
    assert_eq!(end.code, Some(0), "{end:?}");
    let requests = receiver.requests();
    assert_eq!(requests.len(), 1);
    assert_eq!(requests[0].line, "HEAD /event HTTP/1.1");
    assert_eq!(requests[0].headers["x-key"], "k");
    assert!(!requests[0].headers.contains_key("webhook-id"));
}

#[test]
fn offline_nobody_is_asked() {
    let receiver = Server::ok();
    for flag in ["--offline", "--no-network"] {
        let end = End::of(&mut tool_for(&receiver.domain(), &["check", flag]));
        assert_eq!(end.code, Some(0));
        assert!(end.stdout.contains("Nobody was asked"), "{end:?}");
    }
    assert_eq!(receiver.connections(), 0);
}

#[test]
fn every_error_is_shown_and_not_the_first_alone() {
    let vars = [
        ("OPTERYX_WEBHOOK_DOMAIN", "hunter2:hunter2@example.com"),
        ("OPTERYX_WEBHOOK_TIMEOUT", "hunter2"),
        ("OPTERYX_WEBHOOK_EVENTS", "hunter2"),
        ("OPTERYX_WEBHOOK_SECRET", "hunter2"),
        ("OPTERYX_WEBHOOK_HEADERS", "hunter2"),
        ("HTTPS_PROXY", "socks5://hunter2:1"),
    ];
    let end = End::of(tool(&["check"]).envs(vars));
    assert_eq!((end.code, &*end.stderr), (Some(1), ""));
    for (variable, _) in vars {
        assert!(
            end.line(variable).contains(" wrong "),
            "{variable}: {end:?}"
        );
    }
    assert!(end.stdout.contains("off, for 6 errors") && !end.stdout.contains("hunter2"));

    let report = End::of(tool(&["check", "--json"]).envs(vars)).json();
    assert_eq!(report["ok"], json!(false));
    assert_eq!(report["errors"].as_array().map(Vec::len), Some(6));
    assert_eq!(
        (&report["road"], &report["url"], &report["probe"]),
        (&json!(null), &json!(null), &json!(null))
    );
}

#[test]
fn a_secret_in_the_wrong_variable_is_never_shown() {
    let bare = &SECRET[6..];
    for variable in [
        "DOMAIN",
        "QUEUE",
        "TIMEOUT",
        "EVENTS",
        "HEADERS",
        "OIDC_SERVICE_ACCOUNT",
        "OIDC_AUDIENCE",
        "SECRETS",
    ]
    .map(|name| format!("OPTERYX_WEBHOOK_{name}"))
    .into_iter()
    .chain(
        [
            "HTTPS_PROXY",
            "NO_PROXY",
            "SSL_CERT_FILE",
            "SSL_CERT_DIR",
            "CLOUD_TASKS_EMULATOR_HOST",
            "CLOUDSDK_API_ENDPOINT_OVERRIDES_CLOUDTASKS",
            "GOOGLE_APPLICATION_CREDENTIALS",
        ]
        .map(str::to_owned),
    ) {
        // What its alphabet is makes some of them valid where they do not belong.
        for secret in [
            SECRET,
            "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw",
            "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSwAA==",
        ] {
            for queue in [None, Some("projects/p/locations/l/queues/q")] {
                let mut command = tool_for("router.example.com", &["check", "--offline"]);
                command.envs(queue.map(|queue| ("OPTERYX_WEBHOOK_QUEUE", queue)));
                let end = End::of(command.env(&variable, secret));
                let shown = format!("{}{}", end.stdout, end.stderr).to_ascii_lowercase();
                for secret in [bare, &secret[6..]] {
                    assert!(
                        !shown.contains(&secret.to_ascii_lowercase()),
                        "{variable}: {end:?}"
                    );
                }
            }
        }
    }
}

#[test]
fn what_is_not_utf_8_is_named_and_breaks_nothing() {
    let garbage = OsStr::from_bytes(b"hunter2\xff");
    let end = End::of(tool(&["check", "--offline"]).env("OPTERYX_WEBHOOK_SECRET", garbage));
    assert_eq!(end.code, Some(1));
    assert!(
        end.line("OPTERYX_WEBHOOK_SECRET").ends_with("is not UTF-8"),
        "{end:?}"
    );
    assert!(!end.stdout.contains("hunter2"));

    let end = End::of(tool(&["check", "--offline"]).env(garbage, garbage));
    assert_eq!(end.code, Some(0), "{end:?}");
}

#[test]
fn an_unknown_variable_is_a_warning_that_suggests_the_known_one() {
    let mut command = tool_for("router.example.com", &["check", "--offline"]);
    let end = End::of(command.env("OPTERYX_WEBHOOK_SECRETT", "hunter2"));
    assert_eq!(end.code, Some(0));
    let line = end.line("OPTERYX_WEBHOOK_SECRETT");
    assert!(line.contains("unknown") && line.contains("did you mean OPTERYX_WEBHOOK_SECRET?"));
    assert!(!end.stdout.contains("warning:"), "said twice: {end:?}");
}

#[test]
fn a_warning_is_said_once() {
    let end = End::of(&mut tool_for(
        "http://router.example.com",
        &["check", "--offline"],
    ));
    assert_eq!((end.code, &*end.stderr), (Some(0), ""));
    assert_eq!(end.stdout.matches("plain http").count(), 1, "{end:?}");
}

#[test]
fn a_receiver_that_is_down_is_an_error_with_the_reason() {
    let domain = nobody();
    let end = End::of(&mut tool_for(&domain, &["check"]));
    assert_eq!(end.code, Some(1));
    let line = end.line("error:");
    assert!(
        line.contains(&domain) && line.contains("Connection refused"),
        "{line}"
    );

    let report = End::of(&mut tool_for(&domain, &["check", "--json"])).json();
    assert_eq!(report["probe"]["grade"], "wrong");
    assert_eq!(
        (&report["ok"], &report["errors"]),
        (&json!(false), &json!([]))
    );
}

#[test]
fn what_answers_is_judged_by_its_status() {
    for (status, headers, code, word, hint) in [
        ("200 OK", "", 0, "ok:", None),
        ("400 Bad Request", "", 0, "ok:", None),
        ("401 Unauthorized", "", 0, "ok:", Some("signed")),
        ("404 Not Found", "", 0, "warning:", Some("path")),
        ("500 Oops", "", 0, "warning:", Some("trouble")),
        (
            "308 Moved",
            "Location: https://u:hunter2@other/event?hunter2\r\n",
            1,
            "error:",
            Some("https://other/event"),
        ),
        ("302 Found", "", 1, "error:", Some("elsewhere")),
    ] {
        let receiver = answering(status, headers);
        let end = End::of(&mut tool_for(&receiver.domain(), &["check"]));
        assert_eq!(end.code, Some(code), "{end:?}");
        let line = end.line(word);
        assert!(
            line.contains(&format!("answered {}", &status[..3])),
            "{line}"
        );
        assert_eq!(end.stdout.contains("\n    "), hint.is_some(), "{end:?}");
        assert!(end.stdout.contains(hint.unwrap_or_default()), "{end:?}");
        assert!(!end.stdout.contains("hunter2"));
    }
}

#[test]
fn a_receiver_that_hangs_costs_the_timeout_and_is_an_error() {
    let receiver = Server::start(Connection::stay_silent);
    let mut command = tool_for(&receiver.domain(), &["check"]);
    command.env("OPTERYX_WEBHOOK_TIMEOUT", "0.3");
    let end = within(Duration::from_secs(5), || End::of(&mut command));
    assert_eq!(end.code, Some(1));
    assert!(
        end.line("error:").contains("timed out after 300ms"),
        "{end:?}"
    );
}

#[test]
fn a_certificate_that_nobody_vouches_for_is_an_error_and_its_authority_mends_it() {
    let authority = Authority::new();
    let receiver = Server::start_tls(authority.server(), Connection::answer_all);
    let domain = receiver.address().to_string();
    let check = |file: &OsStr| {
        let mut command = tool_for(&domain, &["check"]);
        End::of(command.env("SSL_CERT_FILE", file))
    };
    let trusted = authority.file();
    let end = check(trusted.as_os_str());
    assert_eq!(end.code, Some(0), "{end:?}");
    let line = end.line("SSL_CERT_FILE");
    assert!(
        line.contains("1 CA certificate from ") && line.contains(trusted.to_str().unwrap()),
        "{line}"
    );

    let end = check(Authority::new().file().as_os_str());
    assert_eq!(end.code, Some(1));
    assert!(end.line("error:").contains("TLS handshake"), "{end:?}");

    let end = check(OsStr::new("/no/such/hunter2"));
    assert_eq!(end.code, Some(1));
    assert!(end.line("SSL_CERT_FILE").contains(" wrong "), "{end:?}");
    assert!(!end.stdout.contains("hunter2"), "{end:?}");
}

#[test]
fn a_proxy_is_shown_without_its_password_and_what_no_proxy_excepts() {
    let check = |vars: &[(&str, &str)]| {
        let mut command = tool_for("router.example.com", &["check", "--offline"]);
        End::of(command.envs(vars.iter().copied()))
    };
    let proxy = ("HTTPS_PROXY", "http://me:hunter2@proxy.example.com:3128");
    let end = check(&[
        proxy,
        ("ALL_PROXY", "http://other:1"),
        ("NO_PROXY", "localhost"),
    ]);
    assert!(
        end.line("HTTPS_PROXY")
            .ends_with("through proxy.example.com:3128, with user and password"),
        "{end:?}"
    );
    assert!(end.line("ALL_PROXY").contains("unused"));
    assert!(end.line("NO_PROXY").contains("unused"));
    assert!(!end.stdout.contains("hunter2") && !end.stdout.contains(" me"));

    let end = check(&[proxy, ("NO_PROXY", "localhost,.example.com")]);
    assert!(end.line("HTTPS_PROXY").contains("unused"));
    assert!(
        end.line("NO_PROXY")
            .ends_with("the receiver is reached without HTTPS_PROXY"),
        "{end:?}"
    );
}

#[cfg(feature = "cloud-tasks")]
mod queue {
    use gcloud_sdk::google::cloud::tasks::v2::queue::State;
    use tonic::Code;

    use super::super::{End, tool_for};
    use crate::support::queue_server::{Look, QueueServer};

    const QUEUE: &str = "projects/p/locations/l/queues/q";

    fn check(server: &QueueServer, arguments: &[&str]) -> End {
        let mut command = tool_for("router.example.com", arguments);
        End::of(
            command
                .env("OPTERYX_WEBHOOK_QUEUE", QUEUE)
                .env("OPTERYX_WEBHOOK_TIMEOUT", "5")
                .env("CLOUD_TASKS_EMULATOR_HOST", server.address().to_string()),
        )
    }

    #[test]
    fn a_queue_is_asked_for_and_nothing_put_into_it() {
        let server = QueueServer::start();
        let end = check(&server, &["check"]);
        assert_eq!(end.code, Some(0), "{end:?}");
        assert!(
            end.line("OPTERYX_WEBHOOK_QUEUE")
                .ends_with(&format!("events go into {QUEUE}"))
        );
        assert!(end.line("ok:").contains("the queue is running"), "{end:?}");
        assert!(
            end.line("CLOUD_TASKS_EMULATOR_HOST")
                .contains("in plain text")
        );
        assert_eq!((server.looks(), server.calls().len()), (1, 0));
        let report = check(&server, &["check", "--json"]).json();
        assert_eq!(
            (&report["road"], &report["ok"]),
            (&"queue".into(), &true.into())
        );
    }

    #[test]
    fn credentials_that_are_no_file_are_an_error() {
        let mut command = tool_for("router.example.com", &["check", "--offline"]);
        command.env("OPTERYX_WEBHOOK_QUEUE", QUEUE);
        let end = End::of(&mut command);
        assert_eq!(end.code, Some(0), "{end:?}");
        let end = End::of(command.env("GOOGLE_APPLICATION_CREDENTIALS", "/no/such/hunter2"));
        assert_eq!(end.code, Some(1), "{end:?}");
        let line = end.line("GOOGLE_APPLICATION_CREDENTIALS");
        assert!(
            line.contains(" wrong ") && !end.stdout.contains("hunter2"),
            "{line}"
        );
    }

    #[test]
    fn what_the_queue_answers_is_judged() {
        const LACKS: &str = "lacks cloudtasks.queues.get";
        for (look, code, word, said) in [
            (
                Look::Is(State::Paused),
                0,
                "warning:",
                "until it is resumed",
            ),
            (Look::Refuse(Code::PermissionDenied, LACKS), 0, "ok:", LACKS),
            (
                Look::Refuse(Code::NotFound, "no such queue"),
                1,
                "error:",
                QUEUE,
            ),
            (
                Look::Refuse(Code::Unavailable, "not now"),
                1,
                "error:",
                "not now",
            ),
            (
                Look::Refuse(Code::Unauthenticated, "who?"),
                1,
                "error:",
                "UNAUTHENTICATED",
            ),
        ] {
            let server = QueueServer::start();
            server.show(look);
            let end = check(&server, &["check"]);
            assert_eq!(end.code, Some(code), "{look:?}: {end:?}");
            assert!(
                end.line(word).contains(QUEUE) && end.stdout.contains(said),
                "{end:?}"
            );
        }
    }

    #[test]
    fn a_queue_that_hangs_costs_the_timeout_and_one_that_is_down_nothing() {
        let mut server = QueueServer::start();
        server.show(Look::Hang);
        let mut command = tool_for("router.example.com", &["check"]);
        let command = command
            .env("OPTERYX_WEBHOOK_QUEUE", QUEUE)
            .env("CLOUD_TASKS_EMULATOR_HOST", server.address().to_string());
        let end = End::of(command.env("OPTERYX_WEBHOOK_TIMEOUT", "0.5"));
        assert_eq!(end.code, Some(1));
        assert!(
            end.line("error:").contains("timed out after 500ms"),
            "{end:?}"
        );

        server.kill();
        let end = End::of(command.env("OPTERYX_WEBHOOK_TIMEOUT", "3600"));
        assert_eq!(end.code, Some(1));
        assert!(
            end.line("error:").contains("no connection to Cloud Tasks"),
            "{end:?}"
        );
    }
}
