//! An event, encoded: its id, its body, its headers.

use std::borrow::Cow;
use std::fmt::{self, Write as _};
use std::hash::{BuildHasher, RandomState};
use std::io;
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use chrono::{DateTime, SecondsFormat};
use percent_encoding::{AsciiSet, CONTROLS, utf8_percent_encode};
use ring::rand::{SecureRandom, SystemRandom};
use serde::Serialize;

use crate::error::{DeliveryError, Kind};
use crate::event::{Body, Event, unix_ms};
use crate::headers::ExtraHeaders;
use crate::signature::Signer;

/// The largest body that is sent, in bytes: the limit that Cloud Tasks puts on a task.
pub(crate) const MAX_BODY: usize = 1024 * 1024;

/// The longest header value that is made of an event's names, in bytes. Common servers refuse a
/// header of more than 8 KiB in all.
pub(crate) const MAX_HEADER_VALUE: usize = 4 * 1024;

/// The reference's own, so that a receiver that looks at it sees no difference.
pub(crate) const USER_AGENT: &str = "opteryx-catalog-webhook/1.0";

/// What every `ce-type` begins with, before `<resource_type>.<action>`.
const EVENT_TYPE_PREFIX: &str = "app.opteryx.";

/// What the CloudEvents HTTP binding wants encoded in a header's value: the space, `"`, `%` and
/// everything outside U+0021 to U+007E
/// ([3.1.3.2](https://github.com/cloudevents/spec/blob/v1.0.2/cloudevents/bindings/http-protocol-binding.md#3132-http-header-values)).
/// Text outside ASCII is always encoded, as UTF-8.
const HEADER_ESCAPES: &AsciiSet = &CONTROLS.add(b' ').add(b'"').add(b'%');

/// An event, encoded once: the same id and the same bytes at every attempt and on every road.
///
/// A [`Delivery`](crate::Delivery) gets it by reference and sends [`body`](Message::body) with
/// [`headers`](Message::headers), untouched.
#[derive(Clone)]
pub struct Message {
    id: String,
    event_type: String,
    source: String,
    subject: Option<String>,
    time: Option<String>,
    extra: Arc<ExtraHeaders>,
    signer: Arc<Signer>,
    body: Vec<u8>,
}

impl Message {
    pub(crate) fn encode<D: Serialize>(
        event: &Event<'_, D>,
        id: &str,
        extra: &Arc<ExtraHeaders>,
        signer: &Arc<Signer>,
    ) -> Result<Message, DeliveryError> {
        let timestamp_ms = event
            .timestamp_ms()
            .unwrap_or_else(|| unix_ms(SystemTime::now()));
        let (resource_type, action) = (event.resource_type().as_str(), event.action().as_str());
        let event_type = header_value("ce-type", &[EVENT_TYPE_PREFIX, resource_type, ".", action])?;
        let source = header_value("ce-source", &["/workspaces/", event.workspace()])?;
        let subject = match event.collection() {
            Some(collection) => {
                header_value("ce-subject", &[collection, "/", event.resource_name()])?
            }
            None => header_value("ce-subject", &[event.resource_name()])?,
        };
        // An attribute that is there must not be empty, and this one is optional.
        let subject = Some(subject).filter(|subject| !subject.is_empty());
        Ok(Message {
            id: id.to_owned(),
            event_type,
            source,
            subject,
            time: rfc3339(timestamp_ms),
            extra: Arc::clone(extra),
            signer: Arc::clone(signer),
            body: body_of(event, timestamp_ms)?,
        })
    }

    /// A message that was encoded earlier, perhaps by another process, as its parts were then. Its
    /// attempts are signed with the secrets of now.
    #[cfg(feature = "outbox")]
    pub(crate) fn restored(
        parts: Parts<'_>,
        body: Vec<u8>,
        extra: &Arc<ExtraHeaders>,
        signer: &Arc<Signer>,
    ) -> Message {
        Message {
            id: parts.id.to_owned(),
            event_type: parts.event_type.to_owned(),
            source: parts.source.to_owned(),
            subject: parts.subject.map(str::to_owned),
            time: parts.time.map(str::to_owned),
            extra: Arc::clone(extra),
            signer: Arc::clone(signer),
            body,
        }
    }

    /// What makes it this message, beside its body.
    #[cfg(feature = "outbox")]
    pub(crate) fn parts(&self) -> Parts<'_> {
        Parts {
            id: &self.id,
            event_type: &self.event_type,
            source: &self.source,
            subject: self.subject.as_deref(),
            time: self.time.as_deref(),
        }
    }

    /// `evt_` and the 32 hexadecimal digits of a random UUID: the header `webhook-id`.
    ///
    /// A receiver that sees it twice has seen the same message twice.
    pub fn id(&self) -> &str {
        &self.id
    }

    /// What happened to what: `app.opteryx.<resource_type>.<action>`, the header `ce-type`.
    pub fn event_type(&self) -> &str {
        &self.event_type
    }

    /// The JSON that is sent, byte for byte.
    pub fn body(&self) -> &[u8] {
        &self.body
    }

    /// The headers of an attempt that is made now, each with its value.
    ///
    /// Names are as a reader would write them, values visible ASCII. They differ from attempt to
    /// attempt in `webhook-timestamp`, the attempt's time in Unix seconds, and with it in
    /// `webhook-signature`, which is there if the notifier has a secret: ask for them once per
    /// attempt, and send all that come together. A road that keeps them for later, such as a queue,
    /// keeps that time as well, and a receiver may then find it too old.
    pub fn headers(&self) -> Vec<(&str, Cow<'_, str>)> {
        let now = SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .map_or(0, |since| since.as_secs());
        self.headers_at(now)
    }

    fn headers_at(&self, unix_seconds: u64) -> Vec<(&str, Cow<'_, str>)> {
        let timestamp = unix_seconds.to_string();
        let signature = self.signer.signature(&self.id, &timestamp, &self.body);
        let mut headers = Vec::with_capacity(11 + self.extra.len());
        let mut push = |name, value| headers.push((name, value));
        push("Content-Type", Cow::Borrowed("application/json"));
        push("User-Agent", Cow::Borrowed(USER_AGENT));
        push("webhook-id", Cow::Borrowed(self.id.as_str()));
        push("webhook-timestamp", Cow::Owned(timestamp));
        if let Some(signature) = signature {
            push("webhook-signature", Cow::Owned(signature));
        }
        push("ce-specversion", Cow::Borrowed("1.0"));
        push("ce-id", Cow::Borrowed(self.id.as_str()));
        push("ce-type", Cow::Borrowed(self.event_type.as_str()));
        push("ce-source", Cow::Borrowed(self.source.as_str()));
        if let Some(subject) = &self.subject {
            push("ce-subject", Cow::Borrowed(subject.as_str()));
        }
        if let Some(time) = &self.time {
            push("ce-time", Cow::Borrowed(time.as_str()));
        }
        for (name, value) in self.extra.iter() {
            push(name, Cow::Borrowed(value));
        }
        headers
    }

    /// The kind of event as `OPTERYX_WEBHOOK_EVENTS` writes it, such as `dataset.create`.
    pub(crate) fn kind(&self) -> &str {
        self.event_type
            .strip_prefix(EVENT_TYPE_PREFIX)
            .unwrap_or(&self.event_type)
    }
}

/// What an outbox keeps of a message, beside its body: the values of its headers that are the same
/// at every attempt.
#[cfg(feature = "outbox")]
#[derive(Clone, Copy, Debug)]
pub(crate) struct Parts<'a> {
    pub(crate) id: &'a str,
    pub(crate) event_type: &'a str,
    pub(crate) source: &'a str,
    pub(crate) subject: Option<&'a str>,
    pub(crate) time: Option<&'a str>,
}

/// `evt_` and a random UUID.
///
/// Never fails: where the operating system gives no random bytes, an id that is unique all the same
/// is better than an event that is lost for want of one.
pub(crate) fn random_id() -> String {
    let mut random = [0; 16];
    if SystemRandom::new().fill(&mut random).is_err() {
        // Seeded by the standard library, once for each thread and stepped at every use.
        let half = |salt: u8| {
            RandomState::new()
                .hash_one((salt, SystemTime::now()))
                .to_ne_bytes()
        };
        random[..8].copy_from_slice(&half(0));
        random[8..].copy_from_slice(&half(1));
    }
    let uuid = uuid::Builder::from_random_bytes(random).into_uuid();
    let mut id = String::with_capacity("evt_".len() + 32);
    // Writing to a String cannot fail.
    let _ = write!(id, "evt_{}", uuid.simple());
    id
}

/// Not the body, which may be large and is nobody's business, nor a header's value.
impl fmt::Debug for Message {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Message")
            .field("id", &self.id)
            .field("event_type", &self.event_type)
            .field("body_len", &self.body.len())
            .finish_non_exhaustive()
    }
}

/// The parts in a row, percent-encoded.
fn header_value(name: &'static str, parts: &[&str]) -> Result<String, DeliveryError> {
    // Before anything is encoded, so that a huge name costs nothing.
    let length = parts.iter().map(|part| part.len()).sum();
    check_length(name, length)?;
    let mut value = String::with_capacity(length);
    for part in parts {
        value.extend(utf8_percent_encode(part, HEADER_ESCAPES));
    }
    check_length(name, value.len())?;
    Ok(value)
}

fn check_length(name: &'static str, length: usize) -> Result<(), DeliveryError> {
    if length > MAX_HEADER_VALUE {
        Err(Kind::HeaderTooLong {
            name,
            limit: MAX_HEADER_VALUE,
        }
        .into())
    } else {
        Ok(())
    }
}

/// RFC 3339 in UTC with milliseconds, for years that it can write.
fn rfc3339(timestamp_ms: i64) -> Option<String> {
    let time = DateTime::from_timestamp_millis(timestamp_ms)?;
    let text = time.to_rfc3339_opts(SecondsFormat::Millis, true);
    // A fifth digit or a sign before the year is not RFC 3339, and `ce-time` is optional.
    (text.len() == "2024-01-06T16:00:00.000Z".len() && !text.starts_with('-')).then_some(text)
}

fn body_of<D: Serialize>(
    event: &Event<'_, D>,
    timestamp_ms: i64,
) -> Result<Vec<u8>, DeliveryError> {
    let mut body = BoundedBody {
        bytes: Vec::with_capacity(512),
        overflowed: false,
    };
    match serde_json::to_writer(
        &mut body,
        &Body {
            event,
            timestamp_ms,
        },
    ) {
        Ok(()) => Ok(body.bytes),
        Err(_) if body.overflowed => Err(Kind::TooLarge { limit: MAX_BODY }.into()),
        Err(error) => Err(DeliveryError::from(Kind::Encoding).with_source(error)),
    }
}

/// A body that stops growing at the limit, so that no event can take the catalog's memory.
struct BoundedBody {
    bytes: Vec<u8>,
    overflowed: bool,
}

impl io::Write for BoundedBody {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if bytes.len() > MAX_BODY - self.bytes.len() {
            self.overflowed = true;
            return Err(io::ErrorKind::FileTooLarge.into());
        }
        self.bytes.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message(event: &Event<'_, impl Serialize>) -> Result<Message, DeliveryError> {
        Message::encode(event, "evt_0", &Arc::default(), &Arc::default())
    }

    fn header(message: &Message, name: &str) -> Option<String> {
        let found = message.headers().into_iter().find(|(n, _)| *n == name);
        found.map(|(_, value)| value.into_owned())
    }

    #[test]
    fn the_headers_are_those_of_the_two_standards() {
        let event = Event::new(
            "create",
            "dataset",
            "my ws",
            Some("c"),
            "d/é\r\n\"%\u{1F980}",
        )
        .at_unix_ms(1_704_556_800_007);
        let message = message(&event).unwrap();
        let id = message.id();
        assert_eq!(id, "evt_0");
        assert_eq!(header(&message, "webhook-id").as_deref(), Some(id));
        assert_eq!(header(&message, "ce-id").as_deref(), Some(id));
        assert_eq!(header(&message, "ce-specversion").as_deref(), Some("1.0"));
        assert_eq!(
            header(&message, "ce-type").as_deref(),
            Some("app.opteryx.dataset.create")
        );
        assert_eq!(
            header(&message, "ce-source").as_deref(),
            Some("/workspaces/my%20ws")
        );
        assert_eq!(
            header(&message, "ce-subject").as_deref(),
            Some("c/d/%C3%A9%0D%0A%22%25%F0%9F%A6%80")
        );
        assert_eq!(
            header(&message, "ce-time").as_deref(),
            Some("2024-01-06T16:00:00.007Z")
        );
        assert_eq!(message.kind(), "dataset.create");
    }

    #[test]
    fn an_event_without_names_has_no_subject() {
        let event = Event::new("create", "view", "w", None, "");
        assert_eq!(header(&message(&event).unwrap(), "ce-subject"), None);
        let event = Event::new("create", "view", "w", Some(""), "");
        assert_eq!(
            header(&message(&event).unwrap(), "ce-subject").as_deref(),
            Some("/")
        );
    }

    #[test]
    fn the_attempt_has_its_own_timestamp_and_the_message_keeps_its_id() {
        let message = message(&Event::new("create", "view", "w", None, "v")).unwrap();
        let at = |seconds| {
            let headers = message.headers_at(seconds);
            headers
                .into_iter()
                .find(|(name, _)| *name == "webhook-timestamp")
                .unwrap()
                .1
        };
        assert_eq!(at(1_704_556_800), "1704556800");
        assert_eq!(at(1_704_556_805), "1704556805");
    }

    #[test]
    fn a_time_that_rfc_3339_cannot_write_is_left_out() {
        for timestamp in [i64::MAX, i64::MIN, 253_402_300_800_000, -62_167_219_200_001] {
            let event = Event::new("create", "view", "w", None, "v").at_unix_ms(timestamp);
            assert_eq!(
                header(&message(&event).unwrap(), "ce-time"),
                None,
                "{timestamp}"
            );
        }
        let last = Event::new("create", "view", "w", None, "v").at_unix_ms(253_402_300_799_999);
        assert_eq!(
            header(&message(&last).unwrap(), "ce-time").as_deref(),
            Some("9999-12-31T23:59:59.999Z")
        );
    }

    #[test]
    fn a_body_over_the_limit_is_refused_and_one_at_the_limit_is_not() {
        let empty = message(&Event::new("create", "view", "w", None, "v").with_data("")).unwrap();
        let room = MAX_BODY - empty.body().len();
        let fits = "x".repeat(room);
        let event = Event::new("create", "view", "w", None, "v").with_data(fits.as_str());
        assert_eq!(message(&event).unwrap().body().len(), MAX_BODY);
        let too_large = "x".repeat(room + 1);
        let event = Event::new("create", "view", "w", None, "v").with_data(too_large.as_str());
        let error = message(&event).unwrap_err();
        assert_eq!(
            error.to_string(),
            "the body is larger than the limit of 1048576 bytes"
        );
        assert!(!error.is_retryable());
    }

    #[test]
    fn a_name_too_long_for_a_header_is_an_error_that_names_the_header() {
        let name = "n".repeat(64 * 1024);
        let error = message(&Event::new("create", "view", "w", Some("c"), &name)).unwrap_err();
        assert!(error.to_string().contains("ce-subject"), "{error}");
        let emoji = "\u{1F980}".repeat(400);
        assert!(message(&Event::new("create", "view", &emoji, None, "v")).is_err());
    }

    #[test]
    fn ids_are_random_uuids() {
        let ids: std::collections::HashSet<_> = (0..1000).map(|_| random_id()).collect();
        assert_eq!(ids.len(), 1000);
        for id in ids {
            let uuid: uuid::Uuid = id.strip_prefix("evt_").unwrap().parse().unwrap();
            assert_eq!(uuid.get_version_num(), 4);
        }
    }
}
