//! The CloudEvents of a message: whatever a catalog's objects are called, the headers hold it and
//! nothing more.

use std::collections::HashMap;

use opteryx_webhooks::{Config, Event, Message, Notifier, Outcome, Recorder};
use proptest::prelude::*;

/// Announces an event with these names, and gives the message, or the reason why there is none.
fn message(
    action: &str,
    resource_type: &str,
    workspace: &str,
    collection: Option<&str>,
    name: &str,
) -> Result<Message, String> {
    let recorder = Recorder::new();
    let event = Event::new(action, resource_type, workspace, collection, name);
    match Notifier::with_delivery(recorder.clone()).notify(&event) {
        Outcome::Failed(error) => Err(error.to_string()),
        _ => Ok(recorder.take().remove(0)),
    }
}

fn headers(message: &Message) -> HashMap<String, String> {
    let headers = message.headers();
    let count = headers.len();
    let map: HashMap<_, _> = headers
        .into_iter()
        .map(|(name, value)| (name.to_ascii_lowercase(), value.into_owned()))
        .collect();
    assert_eq!(map.len(), count, "a header is there twice");
    map
}

/// What the HTTP binding says a receiver does with a value (1.0.2, 3.1.3.2): a per cent sign and two
/// hexadecimal digits are a byte, and the bytes are UTF-8. Written apart from the encoder.
fn decoded(value: &str) -> String {
    let mut bytes = Vec::new();
    let mut rest = value.bytes();
    while let Some(byte) = rest.next() {
        assert!((0x21..=0x7e).contains(&byte) && byte != b'"', "{value:?}");
        bytes.push(match byte {
            b'%' => {
                let mut digit = || (rest.next().unwrap() as char).to_digit(16).unwrap();
                u8::try_from(digit() * 16 + digit()).unwrap()
            }
            byte => byte,
        });
    }
    String::from_utf8(bytes).unwrap()
}

#[test]
fn a_plain_event_has_plain_attributes() {
    let message = message("create", "dataset", "my-workspace", Some("sales"), "orders").unwrap();
    let headers = headers(&message);
    for (name, value) in [
        ("ce-specversion", "1.0"),
        ("ce-id", message.id()),
        ("ce-type", "app.opteryx.dataset.create"),
        ("ce-source", "/workspaces/my-workspace"),
        ("ce-subject", "sales/orders"),
        ("content-type", "application/json"),
    ] {
        assert_eq!(headers[name], value);
    }
    assert!(!headers.contains_key("ce-datacontenttype"));
    assert!(!headers.contains_key("webhook-signature"));
}

#[test]
fn a_name_of_64_kilobytes_is_an_outcome_with_a_reason() {
    let long = "n".repeat(64 * 1024);
    for (header, result) in [
        (
            "ce-subject",
            message("create", "view", "w", Some("c"), &long),
        ),
        (
            "ce-subject",
            message("create", "view", "w", Some(&long), "n"),
        ),
        (
            "ce-source",
            message("create", "view", &long, Some("c"), "n"),
        ),
        ("ce-type", message(&long, "view", "w", Some("c"), "n")),
        ("ce-type", message("create", &long, "w", Some("c"), "n")),
    ] {
        let reason = result.unwrap_err();
        assert!(
            reason.contains(header) && reason.contains("4096"),
            "{reason}"
        );
    }
}

/// Text that is likely to break something.
fn name() -> impl Strategy<Value = String> {
    prop_oneof![
        any::<String>(),
        "[\u{0}-\u{2f}%\"\u{7f}-\u{a0}]{0,20}",
        Just("a\r\nwebhook-id: forged\r\n\r\n{}".to_owned()),
        Just("%0d%0ax: y".to_owned()),
        Just("\u{1F980}\u{FEFF}\u{2028}".to_owned()),
        "[a-z]{0,4100}",
    ]
}

proptest! {
    #[test]
    fn no_name_breaks_a_header_and_each_is_read_as_it_was(
        action in name(),
        resource_type in name(),
        workspace in name(),
        collection in proptest::option::of(name()),
        name in name(),
    ) {
        let result = message(&action, &resource_type, &workspace, collection.as_deref(), &name);
        let message = match result {
            Ok(message) => message,
            Err(reason) => {
                prop_assert!(reason.contains("too long"), "{}", reason);
                return Ok(());
            }
        };
        let headers = headers(&message);
        for (name, value) in &headers {
            prop_assert!(http::HeaderName::from_bytes(name.as_bytes()).is_ok());
            prop_assert!(value.bytes().all(|b| (0x20..0x7f).contains(&b)), "{:?}", value);
            prop_assert!(value.len() <= 4096);
        }
        let attribute = |name: &str| headers.get(name).map(|value| decoded(value));

        let event_type = format!("app.opteryx.{resource_type}.{action}");
        prop_assert_eq!(attribute("ce-type").unwrap(), event_type);
        let subject = match &collection {
            Some(collection) => format!("{collection}/{name}"),
            None => name.clone(),
        };
        prop_assert_eq!(attribute("ce-subject"), Some(subject).filter(|s| !s.is_empty()));

        prop_assert_eq!(attribute("ce-source").unwrap(), format!("/workspaces/{workspace}"));
    }

    #[test]
    fn further_headers_are_sent_as_they_were_meant(
        values in proptest::collection::hash_map("[a-z][a-z0-9-]{0,15}", "[ -~\t]{0,40}", 0..5),
    ) {
        let encoded = |value: &str| {
            value.bytes().map(|byte| format!("%{byte:02X}")).collect::<String>()
        };
        let list: Vec<_> = values
            .iter()
            .map(|(name, value)| format!("x-{name}={}", encoded(value)))
            .collect();
        let config = Config::from_vars([("OPTERYX_WEBHOOK_HEADERS", list.join(","))]).unwrap();
        let recorder = Recorder::new();
        Notifier::with_config_and_delivery(config, recorder.clone())
            .notify(&Event::new("create", "view", "w", None, "v"));
        let headers = headers(&recorder.take().remove(0));
        for (name, value) in values {
            prop_assert_eq!(headers[&format!("x-{name}")].as_str(), value.trim());
        }
    }

    #[test]
    fn no_configuration_panics_or_shows_a_secret(
        domain in any::<String>(),
        secret in "(whsec_|whsk_|whpk_|)hunter2[ -~]{0,40}",
        headers in "[a-z=,% ]{0,40}",
        events in "[a-z.*, ]{0,40}",
        timeout in "[0-9.a-z-]{0,20}",
    ) {
        let result = Config::from_vars([
            ("OPTERYX_WEBHOOK_DOMAIN", domain),
            ("OPTERYX_WEBHOOK_SECRET", secret),
            ("OPTERYX_WEBHOOK_HEADERS", headers),
            ("OPTERYX_WEBHOOK_EVENTS", events),
            ("OPTERYX_WEBHOOK_TIMEOUT", timeout),
        ]);
        let shown = format!("{result:?}");
        prop_assert!(!shown.contains("hunter2"), "{}", shown);
    }
}
