//! The JSON that is sent.

use std::io::{self, Write as _};

use serde::Serialize;

use crate::error::{DeliveryError, Kind};
use crate::event::Event;

/// The largest body that is sent, in bytes: the limit that Cloud Tasks puts on a task.
pub(crate) const MAX_BODY: usize = 1024 * 1024;

/// The size with which a body begins, in bytes: most never grow.
const BODY_ROOM: usize = 512;

/// Whether an event's names stand for themselves, in a header and in a JSON string; most do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Names {
    Plain,
    Escaped,
}

/// The body of this event.
pub(crate) fn encode<D: Serialize>(
    event: &Event<'_, D>,
    names: Names,
    timestamp_ms: i64,
) -> Result<Vec<u8>, DeliveryError> {
    let mut body = BoundedBody {
        bytes: Vec::with_capacity(BODY_ROOM),
        overflowed: false,
    };
    match body.write_event(event, names, timestamp_ms) {
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

impl BoundedBody {
    /// `{"event": …, "data": …}`, in the reference's order. The keys stand here as they are written, since
    /// serde_json would look for what to escape in each of them every time.
    fn write_event<D: Serialize>(
        &mut self,
        event: &Event<'_, D>,
        names: Names,
        timestamp_ms: i64,
    ) -> io::Result<()> {
        self.write_all(br#"{"event":{"action":""#)?;
        self.write_text(event.action().as_str(), names)?;
        self.write_all(br#"","workspace":""#)?;
        self.write_text(event.workspace(), names)?;
        if let Some(collection) = event.collection() {
            self.write_all(br#"","collection":""#)?;
            self.write_text(collection, names)?;
            self.write_all(br#"","resource_type":""#)?;
        } else {
            self.write_all(br#"","collection":null,"resource_type":""#)?;
        }
        self.write_text(event.resource_type().as_str(), names)?;
        self.write_all(br#"","resource_name":""#)?;
        self.write_text(event.resource_name(), names)?;
        self.write_all(br#"","timestamp":"#)?;
        serde_json::to_writer(&mut *self, &timestamp_ms)?;
        self.write_all(br#"},"data":"#)?;
        serde_json::to_writer(&mut *self, event.data())?;
        self.write_all(b"}")
    }

    /// What stands between the quotes of a JSON string.
    #[inline]
    fn write_text(&mut self, text: &str, names: Names) -> io::Result<()> {
        if names == Names::Plain {
            return self.write_all(text.as_bytes());
        }
        let quoted = serde_json::to_vec(text)?;
        self.write_all(&quoted[1..quoted.len() - 1])
    }
}

impl io::Write for BoundedBody {
    #[inline]
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.write_all(bytes).map(|()| bytes.len())
    }

    // serde_json calls this for every quote and every comma, so it must not go by the default, a
    // loop around `write`.
    #[inline]
    fn write_all(&mut self, bytes: &[u8]) -> io::Result<()> {
        if bytes.len() > MAX_BODY - self.bytes.len() {
            self.overflowed = true;
            return Err(io::ErrorKind::FileTooLarge.into());
        }
        self.bytes.extend_from_slice(bytes);
        Ok(())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::{Notifier, Recorder};

    proptest! {
        #[test]
        fn names_stand_in_the_body_as_serde_json_writes_them(
            names in prop_oneof![prop::array::uniform5(".{0,8}"), prop::array::uniform5("[!-~]{0,3}")],
            has_collection: bool,
        ) {
            let [action, resource_type, workspace, collection, name] = names.each_ref().map(String::as_str);
            let collection = has_collection.then_some(collection);
            let event = Event::new(action, resource_type, workspace, collection, name).at_unix_ms(-1);
            let json = |text| serde_json::to_string(text).unwrap();
            let expected = format!(
                r#"{{"event":{{"action":{},"workspace":{},"collection":{},"resource_type":{},"resource_name":{},"timestamp":-1}},"data":{{}}}}"#,
                json(action), json(workspace), collection.map_or("null".into(), json), json(resource_type), json(name),
            );
            // Whether they are plain is the message's to say.
            let recorder = Recorder::new();
            Notifier::with_delivery(recorder.clone()).notify(&event);
            let body = recorder.take()[0].body().to_vec();
            prop_assert_eq!(String::from_utf8(body).unwrap(), expected);
        }
    }

    #[test]
    fn a_body_over_the_limit_is_refused_and_one_at_the_limit_is_not() {
        let encoded = |data: &str| {
            let event = Event::new("create", "view", "w", None, "v").with_data(data);
            encode(&event, Names::Plain, 0)
        };
        let room = MAX_BODY - encoded("").unwrap().len();
        assert_eq!(encoded(&"x".repeat(room)).unwrap().len(), MAX_BODY);
        let error = encoded(&"x".repeat(room + 1)).unwrap_err();
        assert_eq!(
            error.to_string(),
            "the body is larger than the limit of 1048576 bytes"
        );
        assert!(!error.is_retryable());
    }
}
