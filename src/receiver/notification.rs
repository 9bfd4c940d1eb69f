//! The payload, parsed.

use serde_json::{Map, Value};

use crate::event::{Action, ResourceType};
use crate::receiver::{Data, NotificationError};

/// What happened in the catalog: the body of a message, parsed.
///
/// It is open: actions, resource types and data that this version does not know are kept as they
/// are, and so is every field ([`json`](Notification::json)). Integers from `i64::MIN` to `u64::MAX`
/// are exact.
///
/// It says nothing of where the body came from; a [`Verifier`](crate::receiver::Verifier) does.
///
/// ```
/// use opteryx_webhooks::receiver::{Data, Notification};
/// use opteryx_webhooks::{Action, ResourceType};
///
/// let notification = Notification::parse(br#"{
///     "event": {
///         "action": "create", "workspace": "my-workspace", "collection": "my-collection",
///         "resource_type": "view", "resource_name": "my-view", "timestamp": 1704556800000
///     },
///     "data": {"definition": "SELECT 1", "properties": {}, "new": 18446744073709551615}
/// }"#)?;
/// assert_eq!(notification.action(), Action::Create);
/// assert_eq!(notification.resource_type(), ResourceType::View);
/// assert!(matches!(notification.data(), Data::ViewCreated(view) if view.definition == "SELECT 1"));
/// assert_eq!(notification.json()["data"]["new"], u64::MAX);
/// # Ok::<(), opteryx_webhooks::receiver::NotificationError>(())
/// ```
#[derive(Clone, Debug, PartialEq)]
pub struct Notification {
    action: String,
    resource_type: String,
    workspace: String,
    collection: Option<String>,
    resource_name: String,
    timestamp_ms: i64,
    json: Value,
}

impl Notification {
    /// Parses a body.
    ///
    /// # Errors
    ///
    /// It is not JSON, or not `{"event": {…}, …}` with the six fields of the event: `action`,
    /// `workspace`, `resource_type` and `resource_name`, which are text; `collection`, which is text
    /// or null; and `timestamp`, an integer. Data that is not there counts as null.
    pub fn parse(body: &[u8]) -> Result<Notification, NotificationError> {
        let json: Value = serde_json::from_slice(body).map_err(NotificationError::not_json)?;
        let event = json
            .get("event")
            .and_then(Value::as_object)
            .ok_or(NotificationError::new("`event` is not an object"))?;
        Ok(Notification {
            action: text(event, "action")?,
            resource_type: text(event, "resource_type")?,
            workspace: text(event, "workspace")?,
            collection: match event.get("collection") {
                None | Some(Value::Null) => None,
                Some(_) => Some(text(event, "collection")?),
            },
            resource_name: text(event, "resource_name")?,
            timestamp_ms: event.get("timestamp").and_then(Value::as_i64).ok_or(
                NotificationError::new("`event.timestamp` is not an integer of 64 bits"),
            )?,
            json,
        })
    }

    /// What was done.
    pub fn action(&self) -> Action<'_> {
        Action::from(self.action.as_str())
    }

    /// What kind of thing it was done to.
    pub fn resource_type(&self) -> ResourceType<'_> {
        ResourceType::from(self.resource_type.as_str())
    }

    /// The workspace it happened in.
    pub fn workspace(&self) -> &str {
        &self.workspace
    }

    /// The collection it happened in; none for a workspace's own events.
    pub fn collection(&self) -> Option<&str> {
        self.collection.as_deref()
    }

    /// The name of the thing it was done to.
    pub fn resource_name(&self) -> &str {
        &self.resource_name
    }

    /// When it happened, in milliseconds since the Unix epoch.
    pub fn timestamp_ms(&self) -> i64 {
        self.timestamp_ms
    }

    /// What else there is to say about it: typed where this kind of event is known and its data has
    /// the known form, otherwise as it came.
    pub fn data(&self) -> Data<'_> {
        const NULL: &Value = &Value::Null;
        Data::of(
            &self.resource_type(),
            &self.action(),
            self.json.get("data").unwrap_or(NULL),
        )
    }

    /// All of it, with the fields that this version does not know.
    pub fn json(&self) -> &Value {
        &self.json
    }
}

fn text(event: &Map<String, Value>, name: &str) -> Result<String, NotificationError> {
    event
        .get(name)
        .and_then(Value::as_str)
        .map(str::to_owned)
        .ok_or_else(|| NotificationError::new(format!("`event.{name}` is not text")))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn problem(body: &str) -> String {
        Notification::parse(body.as_bytes())
            .unwrap_err()
            .to_string()
    }

    #[test]
    fn what_is_no_notification_is_refused_with_a_reason() {
        assert_eq!(problem(""), "it is not JSON");
        assert_eq!(problem("[]"), "`event` is not an object");
        assert_eq!(problem(r#"{"event":"create"}"#), "`event` is not an object");
        assert_eq!(problem(r#"{"event":{}}"#), "`event.action` is not text");
        let rest = r#""action":"a","resource_type":"r","workspace":"w","resource_name":"n""#;
        assert_eq!(
            problem(&format!(r#"{{"event":{{{rest},"timestamp":1.5}}}}"#)),
            "`event.timestamp` is not an integer of 64 bits"
        );
        assert_eq!(
            problem(&format!(
                r#"{{"event":{{{rest},"timestamp":1,"collection":1}}}}"#
            )),
            "`event.collection` is not text"
        );
        assert!(Notification::parse(b"{\"event\xff\":1}").is_err());
        assert!(Notification::parse("[".repeat(100_000).as_bytes()).is_err());
    }

    #[test]
    fn an_event_that_nobody_knows_is_kept_as_it_came() {
        let notification = Notification::parse(
            br#"{"event":{"action":"refresh","resource_type":"index","workspace":"w",
                "resource_name":"n","timestamp":-1,"actor":"me"},"data":[1],"trace":"t"}"#,
        )
        .unwrap();
        assert_eq!(notification.action().as_str(), "refresh");
        assert_eq!(notification.resource_type().as_str(), "index");
        assert_eq!(notification.collection(), None);
        assert_eq!(notification.timestamp_ms(), -1);
        assert_eq!(notification.json()["event"]["actor"], "me");
        assert_eq!(notification.json()["trace"], "t");
        assert!(matches!(notification.data(), Data::Other(data) if data[0] == 1));
    }
}
