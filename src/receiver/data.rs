//! The typed data of the events that are known, as a receiver reads them.

use serde_json::{Map, Value};

use crate::event::{Action, ResourceType};
use crate::payload::{
    CollectionCreated, DatasetCommitted, DatasetCreated, DatasetDeleted, DatasetRenamed,
    DatasetUpdated, Properties, Schema, ViewCreated, ViewDeleted, ViewExecuted, ViewUpdated,
    WorkspaceDeleted, WorkspaceLocked, WorkspaceRestored, WorkspaceUnlocked,
};

/// The data of a [`Notification`](crate::receiver::Notification): the same types that a sender
/// makes, or whatever else came.
///
/// What is optional may be null or missing, and what is not known is passed over (it still stands in
/// [`Notification::json`](crate::receiver::Notification::json)). Data that has another form, such as
/// a number where text should be, is [`Other`](Data::Other) and no error.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum Data<'a> {
    /// A dataset was created.
    DatasetCreated(DatasetCreated<'a>),
    /// A dataset was deleted.
    DatasetDeleted(DatasetDeleted<'a>),
    /// A dataset was renamed.
    DatasetRenamed(DatasetRenamed<'a>),
    /// A dataset's description or properties were changed.
    DatasetUpdated(DatasetUpdated<'a>),
    /// Data was committed to a dataset.
    DatasetCommitted(DatasetCommitted),
    /// A collection was created.
    CollectionCreated(CollectionCreated<'a>),
    /// A view was created.
    ViewCreated(ViewCreated<'a>),
    /// A view was updated.
    ViewUpdated(ViewUpdated<'a>),
    /// A view was deleted.
    ViewDeleted(ViewDeleted<'a>),
    /// A view was executed.
    ViewExecuted(ViewExecuted<'a>),
    /// A workspace was deleted.
    WorkspaceDeleted(WorkspaceDeleted<'a>),
    /// A workspace was restored.
    WorkspaceRestored(WorkspaceRestored<'a>),
    /// A workspace was locked.
    WorkspaceLocked(WorkspaceLocked<'a>),
    /// A workspace was unlocked.
    WorkspaceUnlocked(WorkspaceUnlocked<'a>),
    /// Another kind of event, or another form of data.
    Other(&'a Value),
}

impl<'a> Data<'a> {
    pub(crate) fn of(
        resource_type: &ResourceType<'_>,
        action: &Action<'_>,
        data: &'a Value,
    ) -> Data<'a> {
        data.as_object()
            .and_then(|object| typed(resource_type, action, &Object(object)))
            .unwrap_or(Data::Other(data))
    }
}

fn typed<'a>(
    resource_type: &ResourceType<'_>,
    action: &Action<'_>,
    data: &Object<'a>,
) -> Option<Data<'a>> {
    use {Action as A, ResourceType as R};
    Some(match (resource_type, action) {
        (R::Dataset, A::Create) => Data::DatasetCreated(DatasetCreated {
            location: data.optional_text("location")?,
            properties: data.properties()?,
            schema: data.schema()?,
        }),
        (R::Dataset, A::Delete) => Data::DatasetDeleted(DatasetDeleted {
            location: data.optional_text("location")?,
            dropped_by: data.optional_text("dropped_by")?,
        }),
        (R::Dataset, A::Rename) => Data::DatasetRenamed(DatasetRenamed {
            old_identifier: data.text("old_identifier")?,
            new_identifier: data.text("new_identifier")?,
            old_location: data.optional_text("old_location")?,
            new_location: data.optional_text("new_location")?,
            renamed_by: data.optional_text("renamed_by")?,
        }),
        (R::Dataset, A::Update) => Data::DatasetUpdated(DatasetUpdated {
            description: data.optional_text("description")?,
            properties: data.properties()?,
        }),
        (R::Dataset, A::Commit) => Data::DatasetCommitted(DatasetCommitted {
            snapshot_id: data.0.get("snapshot_id")?.as_i64()?,
            sequence_number: data.0.get("sequence_number")?.as_i64()?,
            record_count: data.0.get("record_count")?.as_u64()?,
            file_count: data.0.get("file_count")?.as_u64()?,
        }),
        (R::Collection, A::Create) => Data::CollectionCreated(CollectionCreated {
            properties: data.properties()?,
        }),
        (R::View, A::Create) => Data::ViewCreated(ViewCreated {
            definition: data.text("definition")?,
            properties: data.properties()?,
        }),
        (R::View, A::Update) => Data::ViewUpdated(ViewUpdated {
            description: data.optional_text("description")?,
            properties: data.properties()?,
        }),
        (R::View, A::Delete) => Data::ViewDeleted(ViewDeleted {
            dropped_by: data.optional_text("dropped_by")?,
        }),
        (R::View, A::Execute) => Data::ViewExecuted(ViewExecuted {
            execution_time_ms: data.optional("execution_time_ms", Value::as_u64)?,
            row_count: data.optional("row_count", Value::as_u64)?,
            error: data.optional_text("error")?,
        }),
        (R::Workspace, A::Delete) => Data::WorkspaceDeleted(WorkspaceDeleted {
            dropped_by: data.optional_text("dropped_by")?,
        }),
        (R::Workspace, A::Restore) => Data::WorkspaceRestored(WorkspaceRestored {
            restored_by: data.optional_text("restored_by")?,
        }),
        (R::Workspace, A::Lock) => Data::WorkspaceLocked(WorkspaceLocked {
            locked_by: data.optional_text("locked_by")?,
        }),
        (R::Workspace, A::Unlock) => Data::WorkspaceUnlocked(WorkspaceUnlocked {
            unlocked_by: data.optional_text("unlocked_by")?,
        }),
        _ => return None,
    })
}

/// An object whose fields are read as what they should be; `None` is a field of another form.
struct Object<'a>(&'a Map<String, Value>);

impl<'a> Object<'a> {
    fn text(&self, name: &str) -> Option<&'a str> {
        self.0.get(name)?.as_str()
    }

    fn optional_text(&self, name: &str) -> Option<Option<&'a str>> {
        self.optional(name, Value::as_str)
    }

    fn optional<T>(
        &self,
        name: &str,
        read: impl FnOnce(&'a Value) -> Option<T>,
    ) -> Option<Option<T>> {
        match self.0.get(name) {
            None | Some(Value::Null) => Some(None),
            Some(value) => read(value).map(Some),
        }
    }

    fn properties(&self) -> Option<Properties<'a>> {
        let properties = self.optional("properties", Value::as_object)?;
        Some(properties.map_or_else(Properties::default, Properties::from))
    }

    fn schema(&self) -> Option<Option<Schema<'a>>> {
        self.optional("schema", Schema::of_json)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::payload::Field;

    fn data<'a>(resource_type: &str, action: &str, data: &'a Value) -> Data<'a> {
        Data::of(&resource_type.into(), &action.into(), data)
    }

    #[test]
    fn a_dataset_is_read_with_its_columns_and_properties() {
        let value = json!({
            "location": "gs://b",
            "properties": {"owner": "me", "rows": 7},
            "schema": {"fields": [{"name": "id", "type": "int64", "nullable": true}]},
            "new": 1,
        });
        let Data::DatasetCreated(dataset) = data("dataset", "create", &value) else {
            panic!("not typed");
        };
        assert_eq!(dataset.location, Some("gs://b"));
        assert_eq!(dataset.properties.get("owner"), Some("me"));
        assert_eq!(dataset.properties.get("rows"), None);
        let schema = dataset.schema.unwrap();
        let fields: Vec<_> = schema.fields().collect();
        assert_eq!(fields, [Field::new("id", "int64")]);
        assert_eq!(
            serde_json::to_value(schema).unwrap(),
            json!({"fields": [{"name": "id", "type": "int64"}]})
        );
    }

    #[test]
    fn data_of_another_form_is_kept_as_it_came() {
        for (resource_type, action, value) in [
            ("dataset", "create", json!({"location": 1})),
            ("dataset", "create", json!({"properties": []})),
            (
                "dataset",
                "create",
                json!({"schema": {"fields": [{"name": 1}]}}),
            ),
            ("dataset", "create", json!(null)),
            ("dataset", "create", json!([])),
            ("view", "create", json!({})),
            ("dataset", "commit", json!({"snapshot_id": 1.5})),
            ("workspace", "explode", json!({})),
        ] {
            let data = data(resource_type, action, &value);
            assert!(
                matches!(data, Data::Other(kept) if *kept == value),
                "{value}"
            );
        }
        assert!(matches!(
            data("dataset", "create", &json!({})),
            Data::DatasetCreated(_)
        ));
    }
}
