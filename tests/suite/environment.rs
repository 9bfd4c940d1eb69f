//! The variables: what each means, what is wrong with it, and what is said about that.

use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::OsStrExt;

use log::Level;
use opteryx_webhooks::{Config, Event, Notifier, Outcome};

use crate::support::server::Server;
use crate::support::{child, event, logged, notifier};

fn error(name: &str, value: &str) -> String {
    let vars = [("OPTERYX_WEBHOOK_DOMAIN", "example.com"), (name, value)];
    let vars = vars
        .into_iter()
        .skip(usize::from(name == "OPTERYX_WEBHOOK_DOMAIN"));
    let error = Config::from_vars(vars).expect_err(name);
    assert_eq!(error.variable(), name);
    error.to_string()
}

#[test]
fn a_wrong_value_is_an_error_that_names_the_variable_and_hides_the_value() {
    for (name, value) in [
        ("OPTERYX_WEBHOOK_DOMAIN", "user:hunter2@example.com"),
        ("OPTERYX_WEBHOOK_DOMAIN", "ftp://hunter2"),
        ("OPTERYX_WEBHOOK_TIMEOUT", "hunter2"),
        ("OPTERYX_WEBHOOK_TIMEOUT", "0"),
        ("OPTERYX_WEBHOOK_TIMEOUT", "-1"),
        ("OPTERYX_WEBHOOK_TIMEOUT", "inf"),
        ("OPTERYX_WEBHOOK_TIMEOUT", "nan"),
        ("OPTERYX_WEBHOOK_TIMEOUT", "1e3"),
        ("OPTERYX_WEBHOOK_TIMEOUT", "1.2.3"),
        ("OPTERYX_WEBHOOK_TIMEOUT", "."),
        ("OPTERYX_WEBHOOK_TIMEOUT", "10s"),
        ("OPTERYX_WEBHOOK_TIMEOUT", "99999999999999999999999"),
        ("OPTERYX_WEBHOOK_EVENTS", "hunter2"),
        ("OPTERYX_WEBHOOK_HEADERS", "hunter2"),
        ("OPTERYX_WEBHOOK_OUTBOX", "/"),
        ("OPTERYX_WEBHOOK_OUTBOX", "hunter2/.."),
        ("OPTERYX_WEBHOOK_RETRY", "hunter2"),
        ("OPTERYX_WEBHOOK_RATE", "hunter2"),
        ("OPTERYX_WEBHOOK_HISTORY", "hunter2"),
        ("OPTERYX_WEBHOOK_HISTORY", "30d 20d"),
        ("HTTPS_PROXY", "socks5://hunter2:1"),
    ] {
        let error = error(name, value);
        assert!(
            error.starts_with(&format!("{name}: ")) && !error.contains("hunter2"),
            "{error}"
        );
    }
}

/// `cargo test --no-default-features` runs this.
#[cfg(not(feature = "cloud-tasks"))]
#[test]
fn a_variable_whose_feature_is_not_built_in_is_an_error_that_names_the_feature() {
    for name in [
        "OPTERYX_WEBHOOK_QUEUE",
        "OPTERYX_WEBHOOK_OIDC_SERVICE_ACCOUNT",
        "OPTERYX_WEBHOOK_OIDC_AUDIENCE",
    ] {
        let error = error(name, "hunter2");
        assert!(
            error.contains("`cloud-tasks`") && !error.contains("hunter2"),
            "{error}"
        );
    }
}

#[test]
fn unset_empty_and_blank_are_the_same() {
    for blank in ["", " ", "\t \n"] {
        for name in [
            "TIMEOUT", "EVENTS", "HEADERS", "OUTBOX", "RETRY", "RATE", "HISTORY", "QUEUE", "SECRET",
        ] {
            let name = format!("OPTERYX_WEBHOOK_{name}");
            Config::from_vars([(name.as_str(), blank), ("OPTERYX_WEBHOOK_DOMAIN", "a.b")]).unwrap();
        }
        let config = Config::from_vars([("OPTERYX_WEBHOOK_DOMAIN", blank)]).unwrap();
        assert!(!Notifier::new(config).is_enabled());
    }
}

#[test]
fn values_are_trimmed() {
    let receiver = Server::ok();
    let notifier = notifier(
        &format!("  {} \n", receiver.domain()),
        [("OPTERYX_WEBHOOK_TIMEOUT", " 5 ")],
    );
    assert!(notifier.notify(&event()).is_ok());
}

#[test]
fn without_a_domain_all_is_off() {
    let notifier = Notifier::new(Config::from_vars::<&str, &str>([]).unwrap());
    assert!(!notifier.is_enabled());
    assert!(matches!(notifier.notify(&event()), Outcome::Disabled));
    assert!(!notifier.notify(&event()).is_ok());
    assert_eq!(notifier.stats(), opteryx_webhooks::Stats::default());
}

#[test]
fn the_filter_decides_before_anything_is_encoded() {
    struct NeverEncoded;
    impl serde::Serialize for NeverEncoded {
        fn serialize<S: serde::Serializer>(&self, _: S) -> Result<S::Ok, S::Error> {
            panic!("a filtered event was encoded")
        }
    }
    let receiver = Server::ok();
    let notifier = notifier(
        &receiver.domain(),
        [("OPTERYX_WEBHOOK_EVENTS", "dataset.create, view.*")],
    );
    assert!(notifier.notify(&event()).is_ok());
    let deleted = Event::new("delete", "dataset", "w", Some("c"), "d").with_data(NeverEncoded);
    assert!(matches!(notifier.notify(&deleted), Outcome::Filtered));
    assert!(
        notifier
            .notify(&Event::new("refresh", "view", "w", Some("c"), "v"))
            .is_ok()
    );
    assert_eq!(receiver.requests().len(), 2);
}

#[test]
fn an_unknown_name_is_a_warning_that_suggests_the_nearest() {
    for (name, nearest) in [
        ("OPTERYX_WEBHOOK_DOMIAN", "OPTERYX_WEBHOOK_DOMAIN"),
        ("opteryx_webhook_timeout", "OPTERYX_WEBHOOK_TIMEOUT"),
        ("OPTERYX_WEBHOOK_SECRETS", "OPTERYX_WEBHOOK_SECRET"),
        ("OPTERYX_WEBHOOK_", "OPTERYX_WEBHOOK_RATE"),
    ] {
        let config =
            Config::from_vars([("OPTERYX_WEBHOOK_DOMAIN", "a.b"), (name, "hunter2")]).unwrap();
        let [warning] = config.warnings() else {
            panic!("{:?}", config.warnings())
        };
        assert!(
            warning.contains(name) && warning.contains(nearest),
            "{warning}"
        );
        assert!(!warning.contains("hunter2"));
    }
}

#[test]
fn a_word_of_the_filter_that_may_be_misspelt_is_a_warning_and_counts_all_the_same() {
    let warnings = |events| {
        let vars = [
            ("OPTERYX_WEBHOOK_DOMAIN", "a.b"),
            ("OPTERYX_WEBHOOK_EVENTS", events),
        ];
        Config::from_vars(vars).unwrap().warnings().to_vec()
    };
    assert!(warnings("dataset.create view.* *.delete materialized_view.execute").is_empty());
    let [warning] = &warnings("datset.create")[..] else {
        panic!()
    };
    assert!(warning.contains("`dataset`"), "{warning}");
    let [warning] = &warnings("dataset.created")[..] else {
        panic!()
    };
    assert!(warning.contains("`create`"), "{warning}");
}

#[test]
fn a_domain_that_names_the_route_already_is_a_warning() {
    let config = Config::from_vars([("OPTERYX_WEBHOOK_DOMAIN", "example.com/event")]).unwrap();
    let [warning] = config.warnings() else {
        panic!("{:?}", config.warnings())
    };
    assert!(
        warning.contains("https://example.com/event/event"),
        "{warning}"
    );
}

#[test]
fn a_variable_that_is_set_twice_is_an_error_that_names_it() {
    let twice = [
        ("OPTERYX_WEBHOOK_DOMAIN", "a.b"),
        ("OPTERYX_WEBHOOK_DOMAIN", "c.d"),
    ];
    let error = Config::from_vars(twice).unwrap_err();
    assert_eq!(
        error.to_string(),
        "OPTERYX_WEBHOOK_DOMAIN: is set twice; set it once"
    );
}

#[test]
fn plain_http_is_a_warning_unless_it_stays_on_the_machine() {
    let warnings = |domain| {
        Config::from_vars([("OPTERYX_WEBHOOK_DOMAIN", domain)])
            .unwrap()
            .warnings()
            .len()
    };
    assert_eq!(warnings("http://example.com"), 1);
    assert_eq!(warnings("http://127.0.0.1:8080"), 0);
    assert_eq!(warnings("http://localhost"), 0);
    assert_eq!(warnings("https://example.com"), 0);
}

#[test]
fn any_bytes_in_any_variable_are_an_error_at_most() {
    let bytes = OsStr::from_bytes(b"\xff\xfe\0x");
    for name in [
        "OPTERYX_WEBHOOK_DOMAIN",
        "OPTERYX_WEBHOOK_QUEUE",
        "OPTERYX_WEBHOOK_TIMEOUT",
        "OPTERYX_WEBHOOK_EVENTS",
        "OPTERYX_WEBHOOK_SECRET",
        "OPTERYX_WEBHOOK_HEADERS",
        "OPTERYX_WEBHOOK_OUTBOX",
        "OPTERYX_WEBHOOK_RETRY",
        "OPTERYX_WEBHOOK_RATE",
        "OPTERYX_WEBHOOK_HISTORY",
        "OPTERYX_WEBHOOK_OIDC_SERVICE_ACCOUNT",
        "OPTERYX_WEBHOOK_OIDC_AUDIENCE",
    ] {
        let error = Config::from_vars([(OsString::from(name), bytes)]).expect_err(name);
        assert_eq!(error.variable(), name);
    }
    // Names that are not UTF-8, and other variables that are not: none of this crate's business.
    Config::from_vars([
        (OsStr::from_bytes(b"OPTERYX_WEBHOOK_\xff"), bytes),
        (OsStr::from_bytes(b"\xff"), bytes),
        (OsStr::new("PATH"), bytes),
        (OsStr::new("SSL_CERT_FILE"), bytes),
    ])
    .unwrap();
    let vars = [
        ("OPTERYX_WEBHOOK_DOMAIN".into(), "example.com".into()),
        (OsString::from("NO_PROXY"), bytes.to_owned()),
    ];
    Config::from_vars(vars.clone()).expect("there is no proxy to be an exception to");
    let vars = vars
        .into_iter()
        .chain([("HTTPS_PROXY".into(), "http://proxy:1".into())]);
    assert_eq!(Config::from_vars(vars).unwrap_err().variable(), "NO_PROXY");
}

#[test]
fn nothing_secret_shows_in_debug() {
    let config = Config::from_vars([
        ("OPTERYX_WEBHOOK_DOMAIN", "example.com"),
        ("OPTERYX_WEBHOOK_HEADERS", "authorization=hunter2"),
        ("HTTPS_PROXY", "http://user:hunter2@proxy:1"),
    ])
    .unwrap();
    let shown = format!("{config:?} {:?}", Notifier::new(config.clone()));
    assert!(!shown.contains("hunter2"), "{shown}");
}

#[test]
fn a_failure_is_logged_once_with_all_that_helps_and_nothing_secret() {
    let receiver = Server::start(|mut connection| {
        connection.request();
        let _ = connection
            .send("HTTP/1.1 503 hunter2\r\nX-Echo: hunter2\r\nContent-Length: 7\r\n\r\nhunter2");
    });
    let headers = ("OPTERYX_WEBHOOK_HEADERS", "authorization=hunter2");
    let notifier = notifier(&receiver.domain(), [headers]);
    let (outcome, lines) = logged::while_running(|| notifier.notify(&event().with_data("hunter2")));
    assert!(!outcome.is_ok());
    let id = receiver.requests()[0].headers["webhook-id"].clone();
    let expected = format!(
        "webhook {id} (dataset.create) to {}/event was not delivered: the receiver answered 503",
        receiver.domain()
    );
    assert_eq!(lines, [(Level::Warn, expected)]);
    assert_eq!(notifier.stats().failed, 1);
}

#[test]
fn a_success_is_logged_for_debugging_alone() {
    let receiver = Server::ok();
    let notifier = notifier(&receiver.domain(), []);
    let (_, lines) = logged::while_running(|| notifier.notify(&event()));
    assert!(matches!(&lines[..], [(Level::Debug, _)]), "{lines:?}");
}

#[test]
fn names_cannot_forge_a_line_of_the_log() {
    let name = "x\nWARN forged";
    let notifier = notifier("http://127.0.0.1:9", []);
    let (_, lines) = logged::while_running(|| {
        notifier.notify(&Event::new(name, name, name, Some(name), name));
        let data = std::collections::BTreeMap::from([((1, 2), 3)]);
        notifier.notify(&Event::new(name, name, name, Some(name), name).with_data(data));
    });
    assert_eq!(lines.len(), 2);
    assert!(
        lines.iter().all(|(_, line)| !line.contains('\n')),
        "{lines:?}"
    );
}

#[test]
fn a_wrong_environment_switches_off_and_is_logged_as_one_error() {
    if child::is_child() {
        let (notifier, lines) = logged::while_running(Notifier::from_env);
        assert!(!notifier.is_enabled());
        let [(Level::Error, line)] = &lines[..] else {
            panic!("{lines:?}")
        };
        assert!(
            line.contains("OPTERYX_WEBHOOK_TIMEOUT") && !line.contains("soon"),
            "{line}"
        );
        assert_eq!(
            Notifier::try_from_env().unwrap_err().variable(),
            "OPTERYX_WEBHOOK_TIMEOUT"
        );
        // The process-wide notifier is made once, and says so once.
        let ((), lines) = logged::while_running(|| {
            for _ in 0..3 {
                assert!(matches!(
                    opteryx_webhooks::notify(&event()),
                    Outcome::Disabled
                ));
            }
        });
        assert_eq!(lines.len(), 1);
        return;
    }
    child::run(
        "environment::a_wrong_environment_switches_off_and_is_logged_as_one_error",
        [
            (
                OsStr::new("OPTERYX_WEBHOOK_DOMAIN"),
                OsStr::new("example.com"),
            ),
            (OsStr::new("OPTERYX_WEBHOOK_TIMEOUT"), OsStr::new("soon")),
            (OsStr::new("UNRELATED"), OsStr::from_bytes(b"\xff\xfe")),
            (OsStr::from_bytes(b"\xffNAME"), OsStr::new("x")),
        ],
    );
}

#[test]
fn the_environment_alone_switches_it_on() {
    if child::is_child() {
        let (notifier, lines) = logged::while_running(Notifier::from_env);
        let warnings: Vec<_> = lines
            .iter()
            .filter(|(level, _)| *level == Level::Warn)
            .collect();
        assert!(matches!(&warnings[..], [(_, line)] if line.contains("OPTERYX_WEBHOOK_DOMANE")));
        assert!(notifier.notify(&event()).is_ok());
        assert!(opteryx_webhooks::notify(&event()).is_ok());
        return;
    }
    let receiver = Server::ok();
    child::run(
        "environment::the_environment_alone_switches_it_on",
        [
            ("OPTERYX_WEBHOOK_DOMAIN", receiver.domain().as_str()),
            ("OPTERYX_WEBHOOK_DOMANE", "x"),
        ],
    );
    assert_eq!(receiver.requests().len(), 2);
}

/// A logger of a host's that is no better than it should be.
struct Unruly(fn(&log::Record<'_>));

impl log::Log for Unruly {
    fn enabled(&self, metadata: &log::Metadata<'_>) -> bool {
        metadata.target() == "opteryx_webhooks"
    }

    fn log(&self, record: &log::Record<'_>) {
        if self.enabled(record.metadata()) {
            (self.0)(record);
        }
    }

    fn flush(&self) {}
}

fn install(logger: fn(&log::Record<'_>)) {
    log::set_boxed_logger(Box::new(Unruly(logger))).unwrap();
    log::set_max_level(log::LevelFilter::Trace);
}

#[test]
fn a_logger_that_panics_changes_no_outcome() {
    if child::is_child() {
        install(|_| panic!("the logger"));
        let recorder = opteryx_webhooks::Recorder::new();
        let notifier = Notifier::with_delivery(recorder.clone());
        assert!(notifier.notify(&event()).is_ok());
        let stats = notifier.stats();
        assert_eq!(
            (recorder.messages().len(), stats.delivered, stats.failed),
            (1, 1, 0)
        );
        assert!(!Notifier::from_env().is_enabled());
        assert!(matches!(
            opteryx_webhooks::notify(&event()),
            Outcome::Disabled
        ));
        return;
    }
    child::run(
        "environment::a_logger_that_panics_changes_no_outcome",
        [("OPTERYX_WEBHOOK_TIMEOUT", "soon")],
    );
}

#[test]
fn a_logger_that_announces_something_itself_does_not_stop_the_process_wide_notifier() {
    if child::is_child() {
        install(|_| drop(opteryx_webhooks::notify(&event())));
        assert!(matches!(
            opteryx_webhooks::notify(&event()),
            Outcome::Disabled
        ));
        return;
    }
    let test = "environment::a_logger_that_announces_something_itself_does_not_stop_the_process_wide_notifier";
    child::run(test, [("OPTERYX_WEBHOOK_TIMEOUT", "soon")]);
}

#[test]
fn a_blank_ssl_cert_file_is_unset() {
    if child::is_child() {
        let notifier = Notifier::try_from_env().unwrap();
        let outcome = notifier.notify(&event());
        // The system has no CA that vouches for the receiver, but it has some.
        let error = outcome
            .error()
            .expect("nobody vouches for the receiver")
            .to_string();
        assert_eq!(error, "the TLS handshake failed");
        return;
    }
    let authority = crate::support::tls::Authority::new();
    let receiver = Server::start_tls(
        authority.server(),
        crate::support::server::Connection::answer_all,
    );
    let domain = format!("localhost:{}", receiver.address().port());
    child::run(
        "environment::a_blank_ssl_cert_file_is_unset",
        [
            ("OPTERYX_WEBHOOK_DOMAIN", domain.as_str()),
            ("SSL_CERT_FILE", " "),
            ("SSL_CERT_DIR", ""),
        ],
    );
}
