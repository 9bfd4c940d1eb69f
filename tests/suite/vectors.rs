//! The reference's own payloads, as its builders made them: ours are the same, key order included.

use std::sync::Arc;

use opteryx_webhooks::{
    CollectionCreated, DatasetCommitted, DatasetCreated, DatasetDeleted, DatasetRenamed,
    DatasetUpdated, Event, Field, Notifier, Properties, Recorder, Schema, ViewCreated, ViewDeleted,
    ViewExecuted, ViewUpdated, WorkspaceDeleted, WorkspaceLocked, WorkspaceRestored,
    WorkspaceUnlocked,
};
use serde::Serialize;
use serde_json::Value;

/// Compact JSON as it stands in the text, so that key order shows.
fn compact(json: &str) -> String {
    let (mut out, mut in_string, mut escaped) = (String::new(), false, false);
    for c in json.chars() {
        if in_string {
            in_string = escaped || c != '"';
            escaped = !escaped && c == '\\';
        } else if c.is_whitespace() {
            continue;
        } else {
            in_string = c == '"';
        }
        out.push(c);
    }
    out
}

/// The text of every `"body"` in the file, in order.
fn bodies(text: &str) -> Vec<String> {
    text.split("\n  \"body\": ")
        .skip(1)
        .map(|rest| compact(rest.split("\n }").next().expect("a case ends")))
        .collect()
}

struct Case<'a> {
    vector: &'a Value,
    recorder: &'a Recorder,
    notifier: &'a Notifier,
}

impl<'a> Case<'a> {
    fn text(&self, key: &str) -> &'a str {
        self.vector[key].as_str().unwrap()
    }

    fn arg(&self, key: &str) -> Option<&'a str> {
        self.vector["args"][key].as_str()
    }

    fn number(&self, key: &str) -> Option<u64> {
        self.vector["args"][key].as_u64()
    }

    fn properties(&self) -> Properties<'a> {
        self.vector["args"]["properties"]
            .as_object()
            .map_or(Properties::default(), Properties::from)
    }

    /// Sends it as the general event, which must not differ from the typed one.
    fn notify_as_any(&self, data: impl Serialize) {
        self.notify(
            Event::new(
                self.text("action"),
                self.text("resource_type"),
                self.text("workspace"),
                self.vector["collection"].as_str(),
                self.text("resource_name"),
            )
            .with_data(data),
        );
    }

    fn notify(&self, event: Event<'_, impl Serialize>) {
        let outcome = self
            .notifier
            .notify(&event.at_unix_ms(self.vector["timestamp_ms"].as_i64().unwrap()));
        assert!(outcome.is_ok(), "{outcome:?}");
    }

    fn run(&self) -> Vec<String> {
        let (workspace, name) = (self.text("workspace"), self.text("resource_name"));
        let collection = self.vector["collection"].as_str().unwrap_or_default();
        macro_rules! both {
            ($constructor:ident, $data:expr) => {{
                let data = $data;
                self.notify_as_any(&data);
                self.notify(Event::$constructor(workspace, collection, name, data));
            }};
            ($constructor:ident of $subject:expr, $data:expr) => {{
                let data = $data;
                self.notify_as_any(&data);
                self.notify(Event::$constructor($subject, data));
            }};
        }
        let fields = self.vector["args"]["arrow_schema"].as_array();
        let fields: Option<Vec<_>> = fields.map(|fields| {
            fields
                .iter()
                .map(|field| field.as_array().unwrap())
                .map(|f| Field::new(f[0].as_str().unwrap(), f[1].as_str().unwrap()))
                .collect()
        });
        match self.vector["builder"].as_str() {
            Some("dataset_created_payload") => both!(
                dataset_created,
                DatasetCreated {
                    location: self.arg("location"),
                    properties: self.properties(),
                    schema: fields.as_ref().map(Schema::from),
                }
            ),
            Some("dataset_deleted_payload") => both!(
                dataset_deleted,
                DatasetDeleted {
                    location: self.arg("location"),
                    dropped_by: self.arg("dropped_by"),
                }
            ),
            Some("dataset_renamed_payload") => both!(
                dataset_renamed,
                DatasetRenamed {
                    old_identifier: self.arg("old_identifier").unwrap(),
                    new_identifier: self.arg("new_identifier").unwrap(),
                    old_location: self.arg("old_location"),
                    new_location: self.arg("new_location"),
                    renamed_by: self.arg("renamed_by"),
                }
            ),
            Some("dataset_updated_payload") => both!(
                dataset_updated,
                DatasetUpdated {
                    description: self.arg("description"),
                    properties: self.properties(),
                }
            ),
            Some("dataset_commit_payload") => both!(
                dataset_committed,
                DatasetCommitted {
                    snapshot_id: self.number("snapshot_id").unwrap().try_into().unwrap(),
                    sequence_number: self.number("sequence_number").unwrap().try_into().unwrap(),
                    record_count: self.number("record_count").unwrap(),
                    file_count: self.number("file_count").unwrap(),
                }
            ),
            Some("collection_created_payload") => {
                let data = CollectionCreated {
                    properties: self.properties(),
                };
                self.notify_as_any(&data);
                self.notify(Event::collection_created(workspace, collection, data));
            }
            Some("view_created_payload") => both!(
                view_created,
                ViewCreated {
                    definition: self.arg("definition").unwrap(),
                    properties: self.properties(),
                }
            ),
            Some("view_updated_payload") => both!(
                view_updated,
                ViewUpdated {
                    description: self.arg("description"),
                    properties: self.properties(),
                }
            ),
            Some("view_deleted_payload") => {
                both!(
                    view_deleted,
                    ViewDeleted {
                        dropped_by: self.arg("dropped_by")
                    }
                )
            }
            Some("view_executed_payload") => both!(
                view_executed,
                ViewExecuted {
                    execution_time_ms: self.number("execution_time_ms"),
                    row_count: self.number("row_count"),
                    error: self.arg("error"),
                }
            ),
            Some("workspace_deleted_payload") => {
                both!(workspace_deleted of workspace, WorkspaceDeleted {
                    dropped_by: self.arg("dropped_by"),
                })
            }
            Some("workspace_locked_payload") => {
                both!(workspace_locked of workspace, WorkspaceLocked {
                    locked_by: self.arg("locked_by"),
                })
            }
            Some("workspace_unlocked_payload") => {
                both!(workspace_unlocked of workspace, WorkspaceUnlocked {
                    unlocked_by: self.arg("unlocked_by"),
                })
            }
            Some("workspace_restored_payload") => {
                both!(workspace_restored of workspace, WorkspaceRestored {
                    restored_by: self.arg("restored_by"),
                })
            }
            None => self.notify_as_any(opteryx_webhooks::NoData {}),
            Some(other) => panic!("no payload of ours for {other}"),
        }
        let bodies = self.recorder.take();
        bodies
            .iter()
            .map(|m| String::from_utf8(m.body().to_vec()).unwrap())
            .collect()
    }
}

#[test]
fn every_payload_is_the_references() {
    let text = include_str!("../vectors/payloads.json");
    let vectors: Vec<Value> = serde_json::from_str(text).unwrap();
    let bodies = bodies(text);
    assert_eq!((vectors.len(), bodies.len()), (17, 17));
    let recorder = Recorder::new();
    let notifier = Notifier::with_delivery(Arc::new(recorder.clone()));
    for (vector, body) in vectors.iter().zip(bodies) {
        let case = Case {
            vector,
            recorder: &recorder,
            notifier: &notifier,
        };
        let sent = case.run();
        assert!(!sent.is_empty());
        for sent in sent {
            assert_eq!(sent, body, "{}", vector["case"]);
        }
    }
}

#[test]
fn numbers_and_text_go_out_as_they_are() {
    let recorder = Recorder::new();
    let notifier = Notifier::with_delivery(recorder.clone());
    let text = "caf\u{e9} \u{1F980} \u{0}\u{1f}\u{7f}\u{2028} \" \\ / </script>";
    notifier.notify(&Event::dataset_committed(
        text,
        text,
        text,
        DatasetCommitted {
            snapshot_id: i64::MIN,
            sequence_number: i64::MAX,
            record_count: u64::MAX,
            file_count: 0,
        },
    ));
    let body = String::from_utf8(recorder.take()[0].body().to_vec()).unwrap();
    for number in [
        "-9223372036854775808",
        "9223372036854775807",
        "18446744073709551615",
    ] {
        assert!(body.contains(number), "{body}");
    }
    let value: Value = serde_json::from_str(&body).unwrap();
    for key in ["workspace", "collection", "resource_name"] {
        assert_eq!(value["event"][key], text);
    }
}
