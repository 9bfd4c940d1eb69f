//! An event, encoded: its id, its body, its headers.

use std::borrow::Cow;
use std::fmt;
use std::ops::Range;
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use chrono::{Datelike, NaiveDate};
use percent_encoding::{AsciiSet, CONTROLS, utf8_percent_encode};
use serde::Serialize;

use crate::body::{self, Names};
use crate::error::{DeliveryError, Kind};
use crate::event::{Event, unix_ms};
use crate::headers::ExtraHeaders;
use crate::id::Id;
use crate::signature::Signer;

/// The longest header value that is made of an event's names, in bytes. Common servers refuse a
/// header of more than 8 KiB in all.
pub(crate) const MAX_HEADER_VALUE: usize = 4 * 1024;

/// Room for the values of most messages' headers, in bytes, so that their text never grows.
const VALUES_ROOM: usize = 256;

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
    values: Values,
    envelope: Arc<Envelope>,
    body: Vec<u8>,
}

/// What all messages of a notifier have in common: the operator's own headers, and who signs them.
#[derive(Debug, Default)]
pub(crate) struct Envelope {
    pub(crate) headers: ExtraHeaders,
    pub(crate) signer: Signer,
}

impl Message {
    pub(crate) fn encode<D: Serialize>(
        event: &Event<'_, D>,
        id: Id,
        now: SystemTime,
        envelope: &Arc<Envelope>,
    ) -> Result<Message, DeliveryError> {
        let timestamp_ms = event.timestamp_ms().unwrap_or_else(|| unix_ms(now));
        let (values, names) = Values::of(event, id, timestamp_ms)?;
        Ok(Message {
            values,
            envelope: Arc::clone(envelope),
            body: body::encode(event, names, timestamp_ms)?,
        })
    }

    /// A message that was encoded earlier, perhaps by another process, as its parts were then. Its
    /// attempts are signed with the secrets of now.
    #[cfg(feature = "outbox")]
    pub(crate) fn restored(parts: Parts<'_>, body: Vec<u8>, envelope: &Arc<Envelope>) -> Message {
        let mut values = Values::default();
        values.push(parts.id);
        values.push(parts.event_type);
        values.push(parts.source);
        values.push(parts.subject.unwrap_or_default());
        values.push(parts.time.unwrap_or_default());
        Message {
            values,
            envelope: Arc::clone(envelope),
            body,
        }
    }

    /// What makes it this message, beside its body.
    #[cfg(feature = "outbox")]
    pub(crate) fn parts(&self) -> Parts<'_> {
        Parts {
            id: self.values.id(),
            event_type: self.values.event_type(),
            source: self.values.source(),
            subject: self.values.subject(),
            time: self.values.time(),
        }
    }

    /// `evt_` and the 32 hexadecimal digits of a random UUID: the header `webhook-id`.
    ///
    /// A receiver that sees it twice has seen the same message twice.
    pub fn id(&self) -> &str {
        self.values.id()
    }

    /// What happened to what: `app.opteryx.<resource_type>.<action>`, the header `ce-type`.
    pub fn event_type(&self) -> &str {
        self.values.event_type()
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
        self.headers_at(unix_seconds())
    }

    fn headers_at(&self, unix_seconds: u64) -> Vec<(&str, Cow<'_, str>)> {
        let mut headers = Vec::with_capacity(11 + self.envelope.headers.len());
        self.each_header(unix_seconds, |name, value| {
            let name = match name {
                "content-type" => "Content-Type",
                "user-agent" => "User-Agent",
                name => name,
            };
            headers.push((name, value));
        });
        headers
    }

    /// Appends the same as HTTP/1.1 writes it: a line for each, names in small letters.
    pub(crate) fn write_headers(&self, head: &mut Vec<u8>) -> Result<(), DeliveryError> {
        // A line's end in a value would be a header more. None has one, by how they are made; but these
        // may have been in a file since.
        if !consists_of(&self.values.text, |byte| {
            matches!(byte, b' '..=b'~' | b'\t')
        }) {
            return Err(Kind::Encoding.into());
        }
        self.each_header(unix_seconds(), |name, value| {
            head.extend_from_slice(name.as_bytes());
            head.extend_from_slice(b": ");
            head.extend_from_slice(value.as_bytes());
            head.extend_from_slice(b"\r\n");
        });
        Ok(())
    }

    /// The headers of an attempt at this time, in their order: the one place that knows it.
    fn each_header<'m>(&'m self, unix_seconds: u64, mut take: impl FnMut(&'m str, Cow<'m, str>)) {
        let timestamp = unix_seconds.to_string();
        let signer = &self.envelope.signer;
        let signature = signer.signature(self.id(), &timestamp, &self.body);
        take("content-type", Cow::Borrowed("application/json"));
        take("user-agent", Cow::Borrowed(USER_AGENT));
        take("webhook-id", Cow::Borrowed(self.id()));
        take("webhook-timestamp", Cow::Owned(timestamp));
        if let Some(signature) = signature {
            take("webhook-signature", Cow::Owned(signature));
        }
        take("ce-specversion", Cow::Borrowed("1.0"));
        take("ce-id", Cow::Borrowed(self.id()));
        take("ce-type", Cow::Borrowed(self.event_type()));
        take("ce-source", Cow::Borrowed(self.values.source()));
        if let Some(subject) = self.values.subject() {
            take("ce-subject", Cow::Borrowed(subject));
        }
        if let Some(time) = self.values.time() {
            take("ce-time", Cow::Borrowed(time));
        }
        for (name, value) in self.envelope.headers.iter() {
            take(name, Cow::Borrowed(value));
        }
    }

    /// The kind of event as `OPTERYX_WEBHOOK_EVENTS` writes it, such as `dataset.create`.
    pub(crate) fn kind(&self) -> &str {
        let event_type = self.event_type();
        event_type
            .strip_prefix(EVENT_TYPE_PREFIX)
            .unwrap_or(event_type)
    }
}

/// The values of a message's headers that are the same at every attempt, in a row: in one text,
/// because five small allocations would take longer than to fill them. They begin with
/// [`id`](Values::id), and stand in the order of the methods that read them.
#[derive(Clone, Default)]
struct Values {
    text: String,
    /// Where each of them ends.
    ends: [usize; 5],
    /// How many there are by now.
    len: usize,
}

impl Values {
    fn of<D>(
        event: &Event<'_, D>,
        id: Id,
        timestamp_ms: i64,
    ) -> Result<(Values, Names), DeliveryError> {
        let (resource_type, action) = (event.resource_type().as_str(), event.action().as_str());
        let (workspace, name) = (event.workspace(), event.resource_name());
        let subject = match event.collection() {
            Some(collection) => [collection, "/", name],
            None => ["", "", name],
        };
        let mut values = Values {
            text: String::with_capacity(VALUES_ROOM),
            ..Values::default()
        };
        id.push_to(&mut values.text);
        values.end();
        let names = values.push_names([
            ("ce-type", &[EVENT_TYPE_PREFIX, resource_type, ".", action]),
            ("ce-source", &["/workspaces/", workspace]),
            ("ce-subject", &subject),
        ])?;
        push_rfc3339(&mut values.text, timestamp_ms);
        values.end();
        Ok((values, names))
    }

    #[cfg(feature = "outbox")]
    fn push(&mut self, value: &str) {
        self.text.push_str(value);
        self.end();
    }

    /// Appends the values of these headers, each of its parts in a row, percent-encoded.
    fn push_names<const N: usize>(
        &mut self,
        headers: [(&'static str, &[&str]); N],
    ) -> Result<Names, DeliveryError> {
        let (start, len) = (self.text.len(), self.len);
        for (name, parts) in headers {
            // Before anything is copied, so that a huge name costs nothing.
            check_length(name, parts.iter().map(|part| part.len()).sum())?;
            self.text.extend(parts.iter().copied());
            self.end();
        }
        // To look at all of them once is fast.
        if consists_of(&self.text[start..], is_plain) {
            return Ok(Names::Plain);
        }
        self.text.truncate(start);
        self.len = len;
        for (name, parts) in headers {
            let start = self.text.len();
            for part in parts {
                self.text.extend(utf8_percent_encode(part, HEADER_ESCAPES));
            }
            check_length(name, self.text.len() - start)?;
            self.end();
        }
        Ok(Names::Escaped)
    }

    /// What was appended since the last end is a value.
    fn end(&mut self) {
        self.ends[self.len] = self.text.len();
        self.len += 1;
    }

    fn id(&self) -> &str {
        &self.text[..self.ends[0]]
    }

    fn event_type(&self) -> &str {
        &self.text[self.ends[0]..self.ends[1]]
    }

    fn source(&self) -> &str {
        &self.text[self.ends[1]..self.ends[2]]
    }

    fn subject(&self) -> Option<&str> {
        // An attribute that is there must not be empty, and this one is optional.
        Some(&self.text[self.ends[2]..self.ends[3]]).filter(|value| !value.is_empty())
    }

    fn time(&self) -> Option<&str> {
        Some(&self.text[self.ends[3]..self.ends[4]]).filter(|value| !value.is_empty())
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

/// Not the body, which may be large and is nobody's business, nor a header's value.
impl fmt::Debug for Message {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Message")
            .field("id", &self.id())
            .field("event_type", &self.event_type())
            .field("body_len", &self.body.len())
            .finish_non_exhaustive()
    }
}

fn unix_seconds() -> u64 {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .map_or(0, |since| since.as_secs())
}

/// Whether all of its bytes are such. Looks at every one of them, come what may, so that the compiler
/// can take sixteen at a time.
fn consists_of(text: &str, is_such: impl Fn(u8) -> bool) -> bool {
    text.bytes().fold(true, |all, byte| all & is_such(byte))
}

/// Whether a byte is none that [`HEADER_ESCAPES`] encodes or JSON escapes.
fn is_plain(byte: u8) -> bool {
    matches!(byte, b'!'..=b'~') && !matches!(byte, b'"' | b'%' | b'\\')
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

/// Appends the time in RFC 3339, in UTC with milliseconds; nothing for a year that it cannot write.
fn push_rfc3339(value: &mut String, timestamp_ms: i64) {
    const DAY: i64 = 24 * 60 * 60 * 1000;
    let date = i32::try_from(timestamp_ms.div_euclid(DAY)).ok();
    let Some(date) = date.and_then(NaiveDate::from_epoch_days) else {
        return;
    };
    // A fifth digit or a sign before the year is not RFC 3339, and `ce-time` is optional.
    let Some(year) = u32::try_from(date.year()).ok().filter(|year| *year <= 9999) else {
        return;
    };
    let ms = timestamp_ms.rem_euclid(DAY) as u32;
    // chrono knows the calendar; its formatter takes four times as long as this.
    let mut text = *b"0000-00-00T00:00:00.000Z";
    let mut write = |digits: Range<usize>, mut number: u32| {
        for digit in text[digits].iter_mut().rev() {
            *digit += (number % 10) as u8;
            number /= 10;
        }
    };
    write(0..4, year);
    write(5..7, date.month());
    write(8..10, date.day());
    write(11..13, ms / 3_600_000);
    write(14..16, ms / 60_000 % 60);
    write(17..19, ms / 1000 % 60);
    write(20..23, ms % 1000);
    // They are digits.
    value.push_str(str::from_utf8(&text).unwrap_or_default());
}

#[cfg(test)]
mod tests {
    use chrono::{DateTime, SecondsFormat};
    use proptest::prelude::*;

    use super::*;
    use crate::id::Ids;

    fn message(event: &Event<'_, impl Serialize>) -> Result<Message, DeliveryError> {
        let now = SystemTime::now();
        Message::encode(event, Ids::new().draw(now), now, &Arc::default())
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
        assert!(id.starts_with("evt_"), "{id}");
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

    proptest! {
        #[test]
        fn times_are_written_as_chrono_writes_them(timestamp in -62_167_219_200_000..253_402_300_800_000_i64) {
            let mut text = String::new();
            push_rfc3339(&mut text, timestamp);
            let time = DateTime::from_timestamp_millis(timestamp).unwrap();
            prop_assert_eq!(text, time.to_rfc3339_opts(SecondsFormat::Millis, true));
        }

        #[test]
        fn values_are_encoded_whether_they_need_it_or_not(parts in prop::collection::vec(".{0,8}|[!-~]{0,8}", 1..5)) {
            let parts: Vec<&str> = parts.iter().map(String::as_str).collect();
            let mut values = Values::default();
            values.push_names([("webhook-id", &["evt_0"]), ("ce-type", &parts), ("ce-source", &["/"])]).unwrap();
            let encoded = utf8_percent_encode(&parts.concat(), HEADER_ESCAPES).to_string();
            prop_assert_eq!(values.event_type(), encoded);
            prop_assert_eq!((values.id(), values.source()), ("evt_0", "/"));
        }
    }

    #[test]
    fn a_head_has_the_headers_in_lines_and_nothing_that_would_break_them() {
        let message = message(&Event::new("create", "view", "w", None, "a\r\nb: c")).unwrap();
        let mut head = Vec::new();
        message.write_headers(&mut head).unwrap();
        let lines = message
            .headers()
            .iter()
            .map(|(name, value)| format!("{}: {value}\r\n", name.to_lowercase()))
            .collect::<String>();
        assert_eq!(String::from_utf8(head).unwrap(), lines);
        assert_eq!(lines.matches('\n').count(), message.headers().len());

        let broken = Message {
            values: Values {
                text: "a\nb".to_owned(),
                ends: [3; 5],
                len: 5,
            },
            ..message
        };
        assert!(broken.write_headers(&mut Vec::new()).is_err());
    }

    #[test]
    fn a_name_too_long_for_a_header_is_an_error_that_names_the_header() {
        let name = "n".repeat(64 * 1024);
        let error = message(&Event::new("create", "view", "w", Some("c"), &name)).unwrap_err();
        assert!(error.to_string().contains("ce-subject"), "{error}");
        let emoji = "\u{1F980}".repeat(400);
        assert!(message(&Event::new("create", "view", &emoji, None, "v")).is_err());
    }
}
