//! What the verifier of a receiver takes, and what it refuses.

use std::error::Error;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, STANDARD_NO_PAD, URL_SAFE};
use opteryx_webhooks::receiver::{Attempt, SIGNED_HEADERS, Verifier, VerifyError};
use opteryx_webhooks::{Config, Event, Notifier, Recorder, Secret};
use proptest::prelude::*;

use crate::support::child;

const SECRET: &str = "whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD";
const OTHER_SECRET: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
const ID: &str = "msg_27UH4WbU6Z5A5EzD8u03UvzRbpk";
const BODY: &[u8] = br#"{"email":"test@example.com","username":"test_user"}"#;
const NOW: u64 = 1_649_367_553;

/// RFC 8032, 7.1, test 1.
const PRIVATE: &str = "whsk_nWGxne/9WmC6hEr0kuwsxERJxWl7MmkZcDusAxyuf2A=";
const PUBLIC: &str = "whpk_11qYAYKxCrfVS/7TyWQHOg7hcvPapiMlrwIaaPcHURo=";

fn secret(text: &str) -> Secret {
    text.parse().unwrap()
}

fn verifier(secrets: &[&str]) -> Verifier {
    Verifier::new(secrets.iter().map(|text| secret(text)))
        .with_clock(|| UNIX_EPOCH + Duration::from_secs(NOW))
}

/// A signature that is right, by the first secret.
fn signature() -> String {
    secret(SECRET).sign(ID, NOW, BODY).unwrap()
}

fn authenticate(signature: &str) -> Result<Attempt, VerifyError> {
    authenticate_at(&NOW.to_string(), signature)
}

fn authenticate_at(timestamp: &str, signature: &str) -> Result<Attempt, VerifyError> {
    verifier(&[SECRET]).authenticate(headers(ID, timestamp, signature), BODY)
}

fn headers<'a>(id: &'a str, timestamp: &'a str, signature: &'a str) -> [(&'a str, &'a str); 3] {
    [
        ("Webhook-Id", id),
        ("webhook-timestamp", timestamp),
        ("WEBHOOK-SIGNATURE", signature),
    ]
}

fn refusal(result: Result<Attempt, VerifyError>) -> String {
    let error = result.unwrap_err();
    assert_eq!(error.status(), 401);
    assert!(!error.is_authentic());
    error.to_string()
}

#[test]
fn the_known_answer_is_reproduced_and_accepted() {
    let known = "v1,tZ1I4/hDygAJgO5TYxiSd6Sd0kDW6hPenDe+bTa3Kkw=";
    assert_eq!(signature(), known);
    let attempt = authenticate(known).unwrap();
    assert_eq!((attempt.id(), attempt.unix_seconds()), (ID, NOW));
}

#[test]
fn one_match_among_several_signatures_is_enough() {
    let foreign = secret(OTHER_SECRET).sign(ID, NOW, BODY).unwrap();
    let right = signature();
    assert!(authenticate(&format!("v9,new {foreign} v1a,xx {right}")).is_ok());
    assert!(
        verifier(&[OTHER_SECRET, SECRET])
            .authenticate(headers(ID, &NOW.to_string(), &right), BODY)
            .is_ok()
    );
}

#[test]
fn a_public_key_checks_what_its_private_key_signed() {
    let signature = secret(PRIVATE).sign(ID, NOW, BODY).unwrap();
    for checker in [PUBLIC, PRIVATE] {
        let result =
            verifier(&[checker]).authenticate(headers(ID, &NOW.to_string(), &signature), BODY);
        assert!(result.is_ok(), "{checker}");
    }
    assert_eq!(refusal(authenticate(&signature)), "no signature matches");
}

#[test]
fn a_body_that_is_not_utf_8_verifies() {
    let body = b"\xff\xfe\x00 not text";
    let signature = secret(SECRET).sign(ID, NOW, body).unwrap();
    let timestamp = NOW.to_string();
    let headers = headers(ID, &timestamp, &signature);
    assert!(verifier(&[SECRET]).authenticate(headers, body).is_ok());
    let error = verifier(&[SECRET]).verify(headers, body).unwrap_err();
    assert!(error.is_authentic());
    assert_eq!(error.status(), 400);
    assert!(error.source().is_some());
}

#[test]
fn a_bare_v1_is_refused() {
    for bare in ["v1,", "v1", ",", "v1,=", "v1a,", "v1, v1,", "v1,,"] {
        assert_eq!(
            refusal(authenticate(bare)),
            "no signature matches",
            "{bare}"
        );
    }
    assert_eq!(refusal(authenticate("")), "no signature matches");
}

#[test]
fn a_truncated_signature_is_refused() {
    let signature = signature();
    for length in 0..signature.len() {
        assert!(authenticate(&signature[..length]).is_err(), "{length}");
    }
    let bytes = STANDARD.decode(&signature[3..]).unwrap();
    for length in 0..bytes.len() {
        let shorter = format!("v1,{}", STANDARD.encode(&bytes[..length]));
        assert!(authenticate(&shorter).is_err(), "{length}");
    }
}

#[test]
fn a_re_encoded_signature_is_refused() {
    let signature = signature();
    let bytes = STANDARD.decode(&signature[3..]).unwrap();
    let hex: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
    for encoded in [
        STANDARD_NO_PAD.encode(&bytes),
        URL_SAFE.encode(&bytes),
        STANDARD.encode(STANDARD.encode(&bytes)),
        hex,
        // The bits beyond the last byte are not nought.
        signature[3..].replace("w=", "x="),
        format!("{}\n", &signature[3..]),
        signature[3..].replace('/', "%2F"),
        format!("{}====", &signature[3..]),
    ] {
        assert!(authenticate(&format!("v1,{encoded}")).is_err(), "{encoded}");
    }
}

#[test]
fn an_upper_cased_signature_is_refused() {
    let signature = signature();
    assert!(authenticate(&signature.to_uppercase()).is_err());
    assert!(authenticate(&signature.replace("v1", "V1")).is_err());
    assert!(authenticate(&signature.to_lowercase()).is_err());
}

#[test]
fn a_foreign_signature_is_refused() {
    let sign = |key: &str, id, timestamp, body| secret(key).sign(id, timestamp, body).unwrap();
    for foreign in [
        sign(OTHER_SECRET, ID, NOW, BODY),
        sign(SECRET, "msg_other", NOW, BODY),
        sign(SECRET, ID, NOW + 1, BODY),
        sign(SECRET, ID, NOW, b"{}"),
        signature().replace("v1,", "v1a,"),
        signature().replace("v1,", "v2,"),
        signature().replace("v1,", ""),
    ] {
        assert_eq!(refusal(authenticate(&foreign)), "no signature matches");
    }
}

#[test]
fn an_old_timestamp_is_refused() {
    let at = |seconds: u64| {
        let signature = secret(SECRET).sign(ID, seconds, BODY).unwrap();
        authenticate_at(&seconds.to_string(), &signature)
    };
    assert!(at(NOW - 300).is_ok());
    let error = at(NOW - 301).unwrap_err();
    assert!(error.is_untimely());
    assert_eq!(refusal(Err(error)), "the timestamp is too old");
    assert!(at(0).is_err());
}

#[test]
fn a_new_timestamp_is_refused() {
    let at = |seconds: u64| {
        let signature = secret(SECRET).sign(ID, seconds, BODY).unwrap();
        authenticate_at(&seconds.to_string(), &signature)
    };
    assert!(at(NOW + 300).is_ok());
    let error = at(NOW + 301).unwrap_err();
    assert!(error.is_untimely());
    assert_eq!(refusal(Err(error)), "the timestamp is too new");
    assert_eq!(refusal(at(u64::MAX)), "the timestamp is too new");
}

#[test]
fn the_tolerance_can_be_set() {
    let at = |seconds: u64, tolerance| {
        let signature = secret(SECRET).sign(ID, seconds, BODY).unwrap();
        verifier(&[SECRET])
            .with_tolerance(tolerance)
            .authenticate(headers(ID, &seconds.to_string(), &signature), BODY)
    };
    assert!(at(NOW - 1, Duration::ZERO).is_err());
    assert!(at(NOW, Duration::ZERO).is_ok());
    assert!(at(NOW - 3600, Duration::from_secs(3600)).is_ok());
    assert!(at(0, Duration::MAX).is_ok());
}

#[test]
fn a_clock_before_the_epoch_refuses_instead_of_panicking() {
    let verifier = verifier(&[SECRET]).with_clock(|| UNIX_EPOCH - Duration::from_secs(1));
    let signature = signature();
    let timestamp = NOW.to_string();
    assert!(
        verifier
            .authenticate(headers(ID, &timestamp, &signature), BODY)
            .is_err()
    );
}

#[test]
fn a_negative_timestamp_is_refused() {
    assert_malformed_timestamp("-1");
    assert_malformed_timestamp(&format!("-{NOW}"));
}

#[test]
fn the_timestamp_i64_min_is_refused() {
    assert_malformed_timestamp(&i64::MIN.to_string());
}

#[test]
fn a_timestamp_that_is_not_a_number_is_refused() {
    for timestamp in [
        "",
        "now",
        "1649367553.0",
        " 1649367553",
        "+1649367553",
        "1e9",
        "0x1",
    ] {
        assert_malformed_timestamp(timestamp);
    }
    assert_malformed_timestamp("99999999999999999999");
    assert_malformed_timestamp("١٦٤٩٣٦٧٥٥٣");
    assert_malformed_timestamp("1649367553, 1649367553");
}

/// Refused although the signature is right for it.
fn assert_malformed_timestamp(timestamp: &str) {
    let signature = sign_text(SECRET, ID, timestamp, BODY);
    let error = authenticate_at(timestamp, &signature).unwrap_err();
    assert!(!error.is_untimely());
    assert_eq!(
        refusal(Err(error)),
        "the header webhook-timestamp is malformed",
        "{timestamp}"
    );
}

/// Signs whatever is given, with the primitive alone.
fn sign_text(whsec: &str, id: &str, timestamp: &str, body: &[u8]) -> String {
    let key = STANDARD.decode(&whsec["whsec_".len()..]).unwrap();
    sign_with(&key, id, timestamp, body)
}

fn sign_with(key: &[u8], id: &str, timestamp: &str, body: &[u8]) -> String {
    let key = ring::hmac::Key::new(ring::hmac::HMAC_SHA256, key);
    let signed = [id.as_bytes(), timestamp.as_bytes(), body].join(&b'.');
    format!("v1,{}", STANDARD.encode(ring::hmac::sign(&key, &signed)))
}

#[test]
fn two_headers_of_a_name_are_refused() {
    let (timestamp, signature) = (NOW.to_string(), signature());
    let once = headers(ID, &timestamp, &signature);
    for (position, name) in SIGNED_HEADERS.into_iter().enumerate() {
        // Even the very same one.
        let mut twice = once.to_vec();
        twice.push((name, once[position].1));
        let error = refusal(verifier(&[SECRET]).authenticate(twice, BODY));
        assert_eq!(error, format!("there are several headers {name}"));

        let mut map = http::HeaderMap::new();
        for (name, value) in once {
            let name = http::HeaderName::from_bytes(name.as_bytes()).unwrap();
            map.append(name, value.parse().unwrap());
        }
        assert!(verifier(&[SECRET]).authenticate(&map, BODY).is_ok());
        map.append(name, once[position].1.parse().unwrap());
        assert!(verifier(&[SECRET]).authenticate(&map, BODY).is_err());
    }
}

#[test]
fn a_header_that_is_missing_is_named() {
    let (timestamp, signature) = (NOW.to_string(), signature());
    for missing in SIGNED_HEADERS {
        let rest = headers(ID, &timestamp, &signature)
            .into_iter()
            .filter(|(name, _)| !name.eq_ignore_ascii_case(missing));
        let error = refusal(verifier(&[SECRET]).authenticate(rest, BODY));
        assert_eq!(error, format!("there is no header {missing}"));
    }
}

#[test]
fn an_id_with_a_dot_is_refused() {
    assert_malformed_id("msg.1");
    // What it would be good for: the end of an id passing for a timestamp.
    let id = format!("{ID}.{}", NOW - 1000);
    assert_malformed_id(&id);
}

#[test]
fn an_id_that_is_empty_long_or_not_visible_ascii_is_refused() {
    for id in ["", " ", "a b", "a\tb", "é", "evt_1,evt_1", "evt_1, evt_1"] {
        assert_malformed_id(id);
    }
    assert_malformed_id(&"x".repeat(257));
    let longest = "x".repeat(256);
    let signature = sign_text(SECRET, &longest, &NOW.to_string(), BODY);
    let timestamp = NOW.to_string();
    let headers = headers(&longest, &timestamp, &signature);
    assert!(verifier(&[SECRET]).authenticate(headers, BODY).is_ok());
}

fn assert_malformed_id(id: &str) {
    let timestamp = NOW.to_string();
    let signature = sign_text(SECRET, id, &timestamp, BODY);
    let result = verifier(&[SECRET]).authenticate(headers(id, &timestamp, &signature), BODY);
    assert_eq!(
        refusal(result),
        "the header webhook-id is malformed",
        "{id}"
    );
}

#[test]
fn a_body_changed_by_one_bit_is_refused() {
    let (timestamp, signature) = (NOW.to_string(), signature());
    for bit in 0..BODY.len() * 8 {
        let mut body = BODY.to_vec();
        body[bit / 8] ^= 1 << (bit % 8);
        let headers = headers(ID, &timestamp, &signature);
        assert!(
            verifier(&[SECRET]).authenticate(headers, &body).is_err(),
            "{bit}"
        );
    }
}

#[test]
fn an_empty_secret_is_refused() {
    for empty in ["", "whsec_", "whsk_", "whpk_", "whsec_====", " "] {
        assert!(empty.parse::<Secret>().is_err(), "{empty}");
        if !empty.trim().is_empty() {
            let error = Config::from_vars([("OPTERYX_WEBHOOK_SECRET", empty)]).unwrap_err();
            assert_eq!(error.variable(), "OPTERYX_WEBHOOK_SECRET");
        }
    }
    // And no secret at all takes nothing, not even what an empty one signed.
    let timestamp = NOW.to_string();
    let signature = sign_with(b"", ID, &timestamp, BODY);
    let result = verifier(&[]).authenticate(headers(ID, &timestamp, &signature), BODY);
    assert_eq!(refusal(result), "no signature matches");
}

#[test]
fn a_v1_made_with_a_public_key_is_refused() {
    let public_key = STANDARD.decode(&PUBLIC["whpk_".len()..]).unwrap();
    let timestamp = NOW.to_string();
    for key in [
        public_key.as_slice(),
        PUBLIC.as_bytes(),
        &PUBLIC.as_bytes()[5..],
    ] {
        let forged = sign_with(key, ID, &timestamp, BODY);
        for forged in [forged.replace("v1,", "v1a,"), forged] {
            for checker in [PUBLIC, PRIVATE] {
                let headers = headers(ID, &timestamp, &forged);
                let result = verifier(&[checker]).authenticate(headers, BODY);
                assert_eq!(refusal(result), "no signature matches");
            }
        }
    }
}

#[test]
fn more_signatures_than_anybody_sends_are_refused() {
    let many = format!("{}{}", "v1,x ".repeat(16), signature());
    assert_eq!(
        refusal(authenticate(&many)),
        "there are too many signatures"
    );
    let fewer = format!("{}{}", "v1,x ".repeat(15), signature());
    assert!(authenticate(&fewer).is_ok());
}

#[test]
fn headers_that_are_no_text_are_refused() {
    let verifier = verifier(&[SECRET]);
    for place in 0..3 {
        let mut headers = SIGNED_HEADERS.map(|name| (name, b"x".to_vec()));
        headers[place].1 = vec![0xff];
        assert!(verifier.authenticate(headers, BODY).is_err());
    }
}

#[test]
fn a_verifier_shows_no_secret() {
    let shown = format!("{:?}", verifier(&[SECRET, PRIVATE]));
    assert!(
        !shown.contains("C2FV") && !shown.contains("nWGx"),
        "{shown}"
    );
}

#[test]
fn a_secret_is_replaced_without_losing_a_delivery() {
    let deliver = |sender: &str, receiver: &[&str]| {
        let recorder = Recorder::new();
        let config = Config::from_vars([("OPTERYX_WEBHOOK_SECRET", sender)]).unwrap();
        let notifier = Notifier::with_config_and_delivery(config, recorder.clone());
        notifier.notify(&Event::new("create", "view", "w", Some("c"), "v"));
        let message = recorder.take().remove(0);
        let headers = message.headers();
        let headers = headers.iter().map(|(name, value)| (name, value.as_bytes()));
        Verifier::new(receiver.iter().map(|text| secret(text)))
            .verify(headers, message.body())
            .map(|(_, notification)| notification.resource_name().to_owned())
    };
    let both = format!("{SECRET} {OTHER_SECRET}");
    for (sender, receiver) in [
        (SECRET, [SECRET].as_slice()),
        (SECRET, &[SECRET, OTHER_SECRET]),
        (OTHER_SECRET, &[SECRET, OTHER_SECRET]),
        (OTHER_SECRET, &[OTHER_SECRET]),
        // Or the other way round, for a receiver that takes only one secret.
        (&both, &[SECRET]),
        (&both, &[OTHER_SECRET]),
    ] {
        assert_eq!(deliver(sender, receiver).unwrap(), "v");
    }
    assert!(deliver(SECRET, &[OTHER_SECRET]).is_err());
}

#[test]
fn a_secret_of_the_environment_is_read_and_a_wrong_one_is_not_shown() {
    let name = "verifier::a_secret_of_the_environment_is_read_and_a_wrong_one_is_not_shown";
    if child::is_child() {
        eprintln!("{:?}", Verifier::from_env());
        return;
    }
    let verifier_with = |value: Option<&str>| {
        let output = child::run(name, value.map(|value| ("OPTERYX_WEBHOOK_SECRET", value)));
        String::from_utf8(output.stderr).unwrap()
    };
    let two = format!("  {SECRET}  {PUBLIC} ");
    let shown = verifier_with(Some(&two));
    assert!(shown.contains("Ok(Verifier"), "{shown}");
    assert!(
        shown.contains("whsec_…") && shown.contains("whpk_…"),
        "{shown}"
    );
    for unset in [None, Some(""), Some("  ")] {
        let shown = verifier_with(unset);
        assert!(
            shown.contains("Err(ConfigError") && shown.contains("is not set"),
            "{shown}"
        );
    }
    let shown = verifier_with(Some("hunter2"));
    assert!(
        shown.contains("Err(ConfigError") && !shown.contains("hunter2"),
        "{shown}"
    );
}

#[test]
fn a_malformed_secret_turns_no_notifier_on() {
    for wrong in [
        "hunter2",
        "whsec_hunter2",
        PUBLIC,
        &format!("{SECRET} whsk_hunter2"),
    ] {
        let error = Config::from_vars([
            ("OPTERYX_WEBHOOK_DOMAIN", "router.opteryx.app"),
            ("OPTERYX_WEBHOOK_SECRET", wrong),
        ])
        .unwrap_err();
        assert_eq!(error.variable(), "OPTERYX_WEBHOOK_SECRET");
        let shown = format!("{error} {error:?}");
        assert!(
            !shown.contains("hunter2") && !shown.contains("11qY"),
            "{shown}"
        );
        assert_eq!(
            shown.contains("public key, with which"),
            wrong == PUBLIC,
            "{shown}"
        );
    }
}

proptest! {
    #[test]
    fn what_is_signed_verifies_and_what_is_changed_does_not(
        key in proptest::collection::vec(any::<u8>(), 24..=64),
        seed in any::<[u8; 32]>(),
        id in "[!-+\\--/-~&&[^.]]{1,64}",
        timestamp in any::<u64>(),
        body in proptest::collection::vec(any::<u8>(), 0..512),
        change in any::<proptest::sample::Index>(),
    ) {
        let now = SystemTime::now();
        for encoded in [
            format!("whsec_{}", STANDARD.encode(&key)),
            format!("whsk_{}", STANDARD.encode(seed)),
        ] {
            let secret = secret(&encoded);
            let signature = secret.sign(&id, timestamp, &body).unwrap();
            let verifier = Verifier::new([secret])
                .with_tolerance(Duration::MAX)
                .with_clock(move || now);
            let text = timestamp.to_string();
            let headers = headers(&id, &text, &signature);
            let attempt = verifier.authenticate(headers, &body).unwrap();
            prop_assert_eq!(attempt.id(), &id);
            prop_assert_eq!(attempt.unix_seconds(), timestamp);

            let mut changed = body.clone();
            changed.push(0);
            prop_assert!(verifier.authenticate(headers, &changed).is_err());

            // Any other letter anywhere in the signature.
            let place = change.index(signature.len());
            let mut changed = signature.clone().into_bytes();
            changed[place] = if changed[place] == b'A' { b'B' } else { b'A' };
            let changed = String::from_utf8(changed).unwrap();
            let headers = [headers[0], headers[1], ("webhook-signature", &changed)];
            prop_assert!(verifier.authenticate(headers, &body).is_err());
        }
    }

    #[test]
    fn no_headers_make_the_verifier_panic(
        values in proptest::collection::vec(
            (0..4usize, proptest::collection::vec(any::<u8>(), 0..80)), 0..6),
        body in proptest::collection::vec(any::<u8>(), 0..64),
    ) {
        let names = [SIGNED_HEADERS[0], SIGNED_HEADERS[1], SIGNED_HEADERS[2], "x"];
        let headers = values.iter().map(|(name, value)| (names[*name], value));
        prop_assert!(verifier(&[SECRET, PUBLIC]).verify(headers, &body).is_err());
    }
}
