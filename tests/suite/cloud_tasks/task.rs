//! The task that an event becomes.

use std::collections::HashMap;
use std::error::Error;
use std::time::Duration;

use gcloud_sdk::google::cloud::tasks::v2::http_request::AuthorizationHeader;
use gcloud_sdk::google::cloud::tasks::v2::{HttpMethod, OidcToken};
use log::Level;
use opteryx_webhooks::Config;
use tonic::Code;

use super::{QUEUE, notifier, task_of};
use crate::support::queue_server::{QueueServer, Reply};
use crate::support::{event, in_time, logged};

#[test]
fn an_event_becomes_a_task_that_posts_it_with_every_header() {
    let server = QueueServer::start();
    let notifier = notifier(&server, [("OPTERYX_WEBHOOK_HEADERS", "x-team=data")]);
    let outcome = notifier.notify(&event());
    assert_eq!(notifier.stats().enqueued, 1);

    let [call] = &server.calls()[..] else {
        panic!("{:?}", server.calls())
    };
    assert_eq!(call.request.parent, QUEUE);
    assert_eq!(call.task().name, task_of(&outcome));
    assert_eq!(call.authorization, None);
    let http = call.http();
    assert_eq!(http.url, "https://router.opteryx.app/event");
    assert_eq!(http.http_method(), HttpMethod::Post);
    assert_eq!(http.authorization_header, None);

    let id = task_of(&outcome).strip_prefix(&format!("{QUEUE}/tasks/"));
    let mut headers: HashMap<&str, &str> = http
        .headers
        .iter()
        .map(|(name, value)| (name.as_str(), value.as_str()))
        .collect();
    let timestamp: u64 = headers
        .remove("webhook-timestamp")
        .unwrap()
        .parse()
        .unwrap();
    assert!(timestamp > 1_700_000_000);
    let body: serde_json::Value = serde_json::from_slice(&http.body).unwrap();
    assert_eq!(body["event"]["resource_name"], "my-dataset");
    assert!(headers.remove("ce-time").unwrap().ends_with('Z'));
    assert_eq!(
        headers,
        HashMap::from([
            ("Content-Type", "application/json"),
            ("User-Agent", "opteryx-catalog-webhook/1.0"),
            ("webhook-id", id.unwrap()),
            ("ce-specversion", "1.0"),
            ("ce-id", id.unwrap()),
            ("ce-type", "app.opteryx.dataset.create"),
            ("ce-source", "/workspaces/my-workspace"),
            ("ce-subject", "my-collection/my-dataset"),
            ("x-team", "data"),
        ])
    );
}

#[test]
fn a_signed_event_is_enqueued_with_its_signature() {
    let secret = "whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD";
    let server = QueueServer::start();
    let notifier = notifier(&server, [("OPTERYX_WEBHOOK_SECRET", secret)]);
    assert!(notifier.notify(&event()).is_ok());
    let calls = server.calls();
    let http = calls[0].http();
    let headers = http
        .headers
        .iter()
        .map(|(name, value)| (name.as_str(), value.as_str()));
    let verifier = opteryx_webhooks::receiver::Verifier::new([secret.parse().unwrap()]);
    verifier.verify(headers, &http.body).unwrap();
}

#[test]
fn an_oidc_token_is_asked_for_where_a_service_account_is_set() {
    const ACCOUNT: &str = "webhooks@my-project.iam.gserviceaccount.com";
    let server = QueueServer::start();
    let vars = [("OPTERYX_WEBHOOK_OIDC_SERVICE_ACCOUNT", ACCOUNT)];
    assert!(notifier(&server, vars).notify(&event()).is_ok());
    let audience = [vars[0], ("OPTERYX_WEBHOOK_OIDC_AUDIENCE", "my-receiver")];
    assert!(notifier(&server, audience).notify(&event()).is_ok());

    let tokens: Vec<_> = server
        .calls()
        .iter()
        .map(|call| call.http().authorization_header.clone())
        .collect();
    let token = |audience: &str| {
        Some(AuthorizationHeader::OidcToken(OidcToken {
            service_account_email: ACCOUNT.to_owned(),
            audience: audience.to_owned(),
        }))
    };
    // Without an audience Cloud Tasks takes the URL.
    assert_eq!(tokens, [token(""), token("my-receiver")]);
}

#[test]
fn a_ca_variable_that_googles_library_would_misread_is_an_error() {
    let queue = [
        ("OPTERYX_WEBHOOK_DOMAIN", "a.b"),
        ("OPTERYX_WEBHOOK_QUEUE", QUEUE),
    ];
    for (name, value) in [
        ("SSL_CERT_FILE", ""),
        ("SSL_CERT_FILE", " /ca.pem"),
        ("SSL_CERT_DIR", " "),
    ] {
        let vars = queue.into_iter().chain([(name, value)]);
        assert_eq!(Config::from_vars(vars).unwrap_err().variable(), name);
        // It is Google's library alone that cannot.
        let emulator = ("CLOUD_TASKS_EMULATOR_HOST", "localhost:1");
        Config::from_vars(queue.into_iter().chain([(name, value), emulator])).unwrap();
        Config::from_vars([queue[0], (name, value)]).unwrap();
    }
}

#[test]
fn what_would_give_secrets_away_on_the_road_to_google_is_a_warning() {
    let queue = [
        ("OPTERYX_WEBHOOK_DOMAIN", "a.b"),
        ("OPTERYX_WEBHOOK_QUEUE", QUEUE),
    ];
    let warnings = |vars: &[(&'static str, &'static str)]| {
        let config = Config::from_vars(queue.iter().chain(vars).copied()).unwrap();
        config.warnings().join("\n")
    };
    assert!(warnings(&[("HTTP_PROXY", "http://p:1")]).contains("metadata.google.internal"));
    assert!(
        warnings(&[
            ("http_proxy", "http://p:1"),
            ("NO_PROXY", "google.internal")
        ])
        .contains("169.254")
    );
    let excepted = ("NO_PROXY", "metadata.google.internal, 169.254.169.254");
    assert_eq!(warnings(&[("http_proxy", "http://p:1"), excepted]), "");
    assert!(
        warnings(&[("CLOUD_TASKS_EMULATOR_HOST", "emulator.example.com:1")]).contains("clear text")
    );
    assert_eq!(
        warnings(&[("CLOUD_TASKS_EMULATOR_HOST", "127.0.0.1:1")]),
        ""
    );
}

#[test]
fn variables_that_contradict_each_other_are_errors() {
    const QUEUE_SET: (&str, &str) = ("OPTERYX_WEBHOOK_QUEUE", QUEUE);
    const ACCOUNT: (&str, &str) = ("OPTERYX_WEBHOOK_OIDC_SERVICE_ACCOUNT", "a@p.iam");
    const AUDIENCE: (&str, &str) = ("OPTERYX_WEBHOOK_OIDC_AUDIENCE", "x");
    const DOMAIN: (&str, &str) = ("OPTERYX_WEBHOOK_DOMAIN", "router.opteryx.app");
    const PLAIN: (&str, &str) = ("OPTERYX_WEBHOOK_DOMAIN", "http://router.opteryx.app");
    for (vars, named, advice) in [
        (
            vec![DOMAIN, ("OPTERYX_WEBHOOK_QUEUE", "webhooks")],
            "OPTERYX_WEBHOOK_QUEUE",
            "projects/my-project/locations",
        ),
        (vec![DOMAIN, ACCOUNT], ACCOUNT.0, "OPTERYX_WEBHOOK_QUEUE"),
        (vec![DOMAIN, AUDIENCE], AUDIENCE.0, "OPTERYX_WEBHOOK_QUEUE"),
        (vec![DOMAIN, QUEUE_SET, AUDIENCE], AUDIENCE.0, ACCOUNT.0),
        (
            vec![DOMAIN, QUEUE_SET, (ACCOUNT.0, "webhooks")],
            ACCOUNT.0,
            "iam.gserviceaccount.com",
        ),
        (vec![PLAIN, QUEUE_SET, ACCOUNT], ACCOUNT.0, "https"),
        (
            vec![DOMAIN, QUEUE_SET, ("CLOUD_TASKS_EMULATOR_HOST", "a b")],
            "CLOUD_TASKS_EMULATOR_HOST",
            "localhost:8123",
        ),
        (
            vec![
                DOMAIN,
                QUEUE_SET,
                ("CLOUDSDK_API_ENDPOINT_OVERRIDES_CLOUDTASKS", "http://a"),
            ],
            "CLOUDSDK_API_ENDPOINT_OVERRIDES_CLOUDTASKS",
            "https",
        ),
        (
            vec![
                DOMAIN,
                QUEUE_SET,
                ACCOUNT,
                ("OPTERYX_WEBHOOK_HEADERS", "authorization=hunter2"),
            ],
            "OPTERYX_WEBHOOK_HEADERS",
            ACCOUNT.0,
        ),
        (
            vec![
                DOMAIN,
                QUEUE_SET,
                ("OPTERYX_WEBHOOK_HEADERS", "x-appengine-a=hunter2"),
            ],
            "OPTERYX_WEBHOOK_HEADERS",
            "x-appengine-a",
        ),
        (
            vec![DOMAIN, QUEUE_SET, ("HTTPS_PROXY", "https://hunter2:1")],
            "HTTPS_PROXY",
            "NO_PROXY",
        ),
    ] {
        let error = Config::from_vars(vars.clone()).expect_err(advice);
        assert_eq!(error.variable(), named, "{vars:?}");
        let error = error.to_string();
        assert!(
            error.contains(advice) && !error.contains("hunter2"),
            "{error}"
        );
    }
    // Other programs' variables, which mean nothing here without a queue; and to an emulator a token
    // does not go out at all.
    for vars in [
        vec![DOMAIN, ("CLOUD_TASKS_EMULATOR_HOST", "a b")],
        vec![QUEUE_SET],
        vec![
            PLAIN,
            QUEUE_SET,
            ACCOUNT,
            ("CLOUD_TASKS_EMULATOR_HOST", "localhost:1"),
        ],
    ] {
        Config::from_vars(vars).unwrap();
    }
}

#[test]
fn an_answer_that_was_lost_stores_the_event_once() {
    let server = QueueServer::start();
    let mut first = true;
    server.answer(move |_| match std::mem::take(&mut first) {
        true => Reply::StoreAndHangUp,
        false => Reply::Store,
    });
    let outcome = notifier(&server, []).notify(&event());
    assert_eq!(server.stored(), [task_of(&outcome)]);
    assert_eq!((server.calls().len(), server.duplicates()), (2, 1));
}

#[test]
fn what_passes_is_tried_again_with_the_same_name() {
    for code in [
        Code::Unavailable,
        Code::Unknown,
        Code::Internal,
        Code::Aborted,
        Code::Cancelled,
        Code::DeadlineExceeded,
        Code::ResourceExhausted,
        // A token that was revoked.
        Code::Unauthenticated,
    ] {
        let server = QueueServer::start();
        let mut failures = if code == Code::Unauthenticated { 1 } else { 2 };
        let expected = failures + 1;
        server.answer(move |_| match failures {
            0 => Reply::Store,
            _ => {
                failures -= 1;
                Reply::Refuse(code, "not now")
            }
        });
        let outcome = notifier(&server, []).notify(&event());
        assert_eq!(server.stored(), [task_of(&outcome)], "{code:?}");
        let calls = server.calls();
        assert_eq!(calls.len(), expected, "{code:?}");
        assert!(calls.iter().all(|call| call.request == calls[0].request));
    }
}

#[test]
fn what_no_retry_mends_fails_at_once_with_the_reason_and_the_next_event_succeeds() {
    for (code, name, retryable) in [
        (Code::NotFound, "NOT_FOUND", true),
        (Code::PermissionDenied, "PERMISSION_DENIED", true),
        (Code::FailedPrecondition, "FAILED_PRECONDITION", true),
        (Code::InvalidArgument, "INVALID_ARGUMENT", false),
        (Code::OutOfRange, "OUT_OF_RANGE", false),
        (Code::Unimplemented, "UNIMPLEMENTED", false),
    ] {
        let server = QueueServer::start();
        server.always(Reply::Refuse(code, "the server's reason"));
        let notifier = notifier(&server, []);
        let outcome = in_time(Duration::from_secs(1), || notifier.notify(&event()));
        let error = outcome.error().expect(name);
        assert_eq!(error.to_string(), format!("Cloud Tasks answered {name}"));
        assert_eq!(error.source().unwrap().to_string(), "the server's reason");
        assert_eq!(error.is_retryable(), retryable, "{name}");
        assert!(!error.is_timeout());
        assert_eq!(server.calls().len(), 1, "{name}");

        server.always(Reply::Store);
        assert!(notifier.notify(&event()).is_ok());
    }
}

#[test]
fn what_does_not_pass_in_time_fails_with_the_reason_and_the_next_event_succeeds() {
    for (code, name) in [
        (Code::Unavailable, "UNAVAILABLE"),
        (Code::ResourceExhausted, "RESOURCE_EXHAUSTED"),
        (Code::DeadlineExceeded, "DEADLINE_EXCEEDED"),
        (Code::Unauthenticated, "UNAUTHENTICATED"),
    ] {
        let server = QueueServer::start();
        server.always(Reply::Refuse(code, "the server's reason"));
        let notifier = notifier(&server, [("OPTERYX_WEBHOOK_TIMEOUT", "1.5")]);
        let outcome = in_time(Duration::from_millis(1500), || notifier.notify(&event()));
        let error = outcome.error().expect(name);
        assert_eq!(error.to_string(), format!("Cloud Tasks answered {name}"));
        assert_eq!(error.source().unwrap().to_string(), "the server's reason");
        assert!(error.is_retryable());
        assert!(server.calls().len() > 1, "{name}");

        server.always(Reply::Store);
        assert!(notifier.notify(&event()).is_ok());
    }
}

#[test]
fn where_the_time_runs_out_the_last_answer_is_told_if_there_was_one() {
    let server = QueueServer::start();
    let mut replies = vec![Reply::Hang, Reply::Refuse(Code::Unavailable, "draining")];
    server.answer(move |_| replies.pop().unwrap_or(Reply::Hang));
    let notifier = notifier(&server, [("OPTERYX_WEBHOOK_TIMEOUT", "1.5")]);
    let outcome = in_time(Duration::from_millis(1500), || notifier.notify(&event()));
    let error = outcome.error().unwrap();
    assert_eq!(error.to_string(), "Cloud Tasks answered UNAVAILABLE");
    assert_eq!(error.source().unwrap().to_string(), "draining");
    assert!(server.calls().len() > 1);
}

#[test]
fn the_log_names_queue_and_endpoint_and_no_header_value_that_the_server_quotes() {
    let server = QueueServer::start();
    server.always(Reply::Refuse(
        Code::InvalidArgument,
        "header authorization: Bearer hunter2\r\nforged",
    ));
    let vars = [("OPTERYX_WEBHOOK_HEADERS", "authorization=Bearer%20hunter2")];
    let notifier = notifier(&server, vars);
    let (_, lines) = logged::while_running(|| notifier.notify(&event()));
    let [(Level::Warn, line)] = &lines[..] else {
        panic!("{lines:?}")
    };
    for part in [
        QUEUE,
        "https://router.opteryx.app/event",
        "Cloud Tasks answered INVALID_ARGUMENT",
    ] {
        assert!(line.contains(part), "{line}");
    }
    assert!(!line.contains("hunter2") && !line.contains('\n'), "{line}");
}

#[test]
fn a_body_of_a_megabyte_goes_through() {
    let server = QueueServer::start();
    let definition = "x".repeat(1024 * 1024 - 1000);
    let view = opteryx_webhooks::ViewCreated {
        definition: &definition,
        ..Default::default()
    };
    let event = opteryx_webhooks::Event::view_created("w", "c", "v", view);
    assert!(notifier(&server, []).notify(&event).is_ok());
    assert!(server.calls()[0].http().body.len() > definition.len());
}
