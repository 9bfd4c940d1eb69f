//! The typed data of the events that the reference knows.
//!
//! Field for field what the reference's builders make (`opteryx_catalog.webhooks.events`): a field
//! that is `None` is sent as `null`, unless it says that it is left out.
//!
//! All of them are made with `..Default::default()`, so that a field may be added.

use std::borrow::Cow;
use std::collections::{BTreeMap, HashMap};

use serde::{Serialize, Serializer};
use serde_json::{Map, Value};

/// No data: an empty object.
#[derive(Clone, Copy, Debug, Default, Serialize)]
pub struct NoData {}

/// The data of a dataset's creation.
#[derive(Clone, Debug, Default, Serialize)]
pub struct DatasetCreated<'a> {
    /// Where its files are, such as `gs://bucket/path`.
    pub location: Option<&'a str>,
    /// Its properties; an empty object unless given.
    pub properties: Properties<'a>,
    /// Its columns; left out unless given.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub schema: Option<Schema<'a>>,
}

/// The data of a dataset's deletion.
#[derive(Clone, Debug, Default, Serialize)]
pub struct DatasetDeleted<'a> {
    /// Where its files are, which now await reclamation.
    pub location: Option<&'a str>,
    /// Who dropped it.
    pub dropped_by: Option<&'a str>,
}

/// The data of a dataset's renaming: the old and the new, for whoever follows either.
#[derive(Clone, Debug, Default, Serialize)]
pub struct DatasetRenamed<'a> {
    /// `collection.dataset` as it was.
    pub old_identifier: &'a str,
    /// `collection.dataset` as it is now.
    pub new_identifier: &'a str,
    /// Where its files were.
    pub old_location: Option<&'a str>,
    /// Where its files are now.
    pub new_location: Option<&'a str>,
    /// Who renamed it.
    pub renamed_by: Option<&'a str>,
}

/// The data of a dataset's update.
#[derive(Clone, Debug, Default, Serialize)]
pub struct DatasetUpdated<'a> {
    /// The new description.
    pub description: Option<&'a str>,
    /// The new properties; an empty object unless given.
    pub properties: Properties<'a>,
}

/// The data of a commit to a dataset.
#[derive(Clone, Debug, Default, Serialize)]
pub struct DatasetCommitted {
    /// The new snapshot.
    pub snapshot_id: i64,
    /// The commit's place in the dataset's history.
    pub sequence_number: i64,
    /// How many records were added.
    pub record_count: u64,
    /// How many files were added.
    pub file_count: u64,
}

/// The data of a collection's creation.
#[derive(Clone, Debug, Default, Serialize)]
pub struct CollectionCreated<'a> {
    /// Its properties; an empty object unless given.
    pub properties: Properties<'a>,
}

/// The data of a view's creation.
#[derive(Clone, Debug, Default, Serialize)]
pub struct ViewCreated<'a> {
    /// The SQL that defines it.
    pub definition: &'a str,
    /// Its properties; an empty object unless given.
    pub properties: Properties<'a>,
}

/// The data of a view's update.
#[derive(Clone, Debug, Default, Serialize)]
pub struct ViewUpdated<'a> {
    /// The new description.
    pub description: Option<&'a str>,
    /// The new properties; an empty object unless given.
    pub properties: Properties<'a>,
}

/// The data of a view's deletion.
#[derive(Clone, Debug, Default, Serialize)]
pub struct ViewDeleted<'a> {
    /// Who dropped it.
    pub dropped_by: Option<&'a str>,
}

/// The data of a view's execution: what is not given is left out.
#[derive(Clone, Debug, Default, Serialize)]
pub struct ViewExecuted<'a> {
    /// How long it took, in milliseconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub execution_time_ms: Option<u64>,
    /// How many rows it returned.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub row_count: Option<u64>,
    /// What went wrong.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error: Option<&'a str>,
}

/// The data of a workspace's (soft) deletion.
#[derive(Clone, Debug, Default, Serialize)]
pub struct WorkspaceDeleted<'a> {
    /// Who deleted it.
    pub dropped_by: Option<&'a str>,
}

/// The data of a workspace's restoration.
#[derive(Clone, Debug, Default, Serialize)]
pub struct WorkspaceRestored<'a> {
    /// Who restored it.
    pub restored_by: Option<&'a str>,
}

/// The data of a workspace's locking.
#[derive(Clone, Debug, Default, Serialize)]
pub struct WorkspaceLocked<'a> {
    /// Who locked it.
    pub locked_by: Option<&'a str>,
}

/// The data of a workspace's unlocking.
#[derive(Clone, Debug, Default, Serialize)]
pub struct WorkspaceUnlocked<'a> {
    /// Who unlocked it.
    pub unlocked_by: Option<&'a str>,
}

/// Properties as a catalog keeps them, borrowed.
///
/// Made with `.into()` from a reference to what the catalog has: a JSON object, a map of strings, or
/// a slice of pairs. They are sent in the order in which that is iterated.
///
/// ```
/// use opteryx_webhooks::{Properties, ViewCreated};
///
/// let view = ViewCreated {
///     definition: "SELECT 1",
///     properties: Properties::from(&[("owner", "data-team")]),
/// };
/// # let _ = view;
/// ```
#[derive(Clone, Debug, Default)]
pub struct Properties<'a>(PropertySource<'a>);

#[derive(Clone, Debug, Default)]
enum PropertySource<'a> {
    #[default]
    Empty,
    Json(&'a Map<String, Value>),
    Sorted(&'a BTreeMap<String, String>),
    Hashed(&'a HashMap<String, String>),
    Pairs(&'a [(&'a str, &'a str)]),
}

impl Properties<'_> {
    /// The property of this name, where it is text. In the data of a
    /// [notification](crate::receiver::Notification) it may be any JSON, which
    /// [`json`](crate::receiver::Notification::json) has.
    pub fn get(&self, name: &str) -> Option<&str> {
        match &self.0 {
            PropertySource::Empty => None,
            PropertySource::Json(map) => map.get(name)?.as_str(),
            PropertySource::Sorted(map) => map.get(name).map(String::as_str),
            PropertySource::Hashed(map) => map.get(name).map(String::as_str),
            // What a receiver sees of a name that is there twice is the last.
            PropertySource::Pairs(pairs) => pairs
                .iter()
                .rev()
                .find(|(other, _)| *other == name)
                .map(|(_, value)| *value),
        }
    }
}

impl Serialize for Properties<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match &self.0 {
            PropertySource::Empty => serializer.collect_map([(); 0].map(|()| ("", ""))),
            PropertySource::Json(map) => map.serialize(serializer),
            PropertySource::Sorted(map) => map.serialize(serializer),
            PropertySource::Hashed(map) => map.serialize(serializer),
            PropertySource::Pairs(pairs) => serializer.collect_map(pairs.iter().copied()),
        }
    }
}

impl<'a> From<&'a Map<String, Value>> for Properties<'a> {
    fn from(map: &'a Map<String, Value>) -> Properties<'a> {
        Properties(PropertySource::Json(map))
    }
}

impl<'a> From<&'a BTreeMap<String, String>> for Properties<'a> {
    fn from(map: &'a BTreeMap<String, String>) -> Properties<'a> {
        Properties(PropertySource::Sorted(map))
    }
}

impl<'a> From<&'a HashMap<String, String>> for Properties<'a> {
    fn from(map: &'a HashMap<String, String>) -> Properties<'a> {
        Properties(PropertySource::Hashed(map))
    }
}

impl<'a> From<&'a [(&'a str, &'a str)]> for Properties<'a> {
    fn from(pairs: &'a [(&'a str, &'a str)]) -> Properties<'a> {
        Properties(PropertySource::Pairs(pairs))
    }
}

impl<'a, const N: usize> From<&'a [(&'a str, &'a str); N]> for Properties<'a> {
    fn from(pairs: &'a [(&'a str, &'a str); N]) -> Properties<'a> {
        Properties(PropertySource::Pairs(pairs))
    }
}

/// The columns of a dataset: `{"fields": [{"name": …, "type": …}, …]}`.
///
/// Made with `.into()` from a reference to [`Field`]s, or with the feature `arrow` from a reference to
/// an Arrow schema, whose types are then written as PyArrow writes them. Nothing is copied, and no type
/// is written before the event is sent.
///
/// ```
/// use opteryx_webhooks::{Field, Schema};
///
/// let fields = [Field::new("id", "int64"), Field::new("name", "string")];
/// assert_eq!(
///     serde_json::to_string(&Schema::from(&fields))?,
///     r#"{"fields":[{"name":"id","type":"int64"},{"name":"name","type":"string"}]}"#,
/// );
/// # Ok::<(), serde_json::Error>(())
/// ```
// Borrowed, whatever it is made from: an event that has nothing to drop is made and forgotten in half
// the instructions.
#[derive(Clone, Copy, Debug)]
pub struct Schema<'a>(SchemaSource<'a>);

#[derive(Clone, Copy, Debug)]
enum SchemaSource<'a> {
    Fields(&'a [Field<'a>]),
    /// As a receiver parsed it.
    Json(&'a [Value]),
    #[cfg(feature = "arrow")]
    Arrow(&'a arrow_schema::Schema),
}

/// A column of a [`Schema`]: its name, and its type as text.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Field<'a> {
    name: Cow<'a, str>,
    r#type: Cow<'a, str>,
}

impl<'a> Field<'a> {
    /// A column of this name and type, such as `int64` or `timestamp[us]`.
    pub fn new(name: impl Into<Cow<'a, str>>, r#type: impl Into<Cow<'a, str>>) -> Field<'a> {
        Field {
            name: name.into(),
            r#type: r#type.into(),
        }
    }

    /// The column's name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The column's type as text, such as `int64`.
    pub fn data_type(&self) -> &str {
        &self.r#type
    }

    fn of_json(json: &'a Value) -> Option<Field<'a>> {
        let text = |name| json.get(name).and_then(Value::as_str);
        Some(Field::new(text("name")?, text("type")?))
    }
}

impl<'a> Schema<'a> {
    /// One that a receiver parsed; none if a field is not one.
    pub(crate) fn of_json(json: &'a Value) -> Option<Schema<'a>> {
        let fields = json.get("fields")?.as_array()?;
        fields
            .iter()
            .all(|field| Field::of_json(field).is_some())
            .then_some(Schema(SchemaSource::Json(fields)))
    }

    /// The columns.
    pub fn fields(&self) -> impl Iterator<Item = Field<'a>> {
        let source = self.0;
        let mut at = 0..;
        std::iter::from_fn(move || source.field(at.next()?))
    }
}

impl<'a> SchemaSource<'a> {
    fn field(&self, at: usize) -> Option<Field<'a>> {
        match self {
            SchemaSource::Fields(fields) => {
                let field = fields.get(at)?;
                Some(Field::new(field.name(), field.data_type()))
            }
            SchemaSource::Json(fields) => Field::of_json(fields.get(at)?),
            #[cfg(feature = "arrow")]
            SchemaSource::Arrow(schema) => {
                let field = schema.fields().get(at)?;
                let r#type = crate::arrow::PyArrowType(field).to_string();
                Some(Field::new(field.name(), r#type))
            }
        }
    }
}

impl Serialize for Schema<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        #[derive(Serialize)]
        struct Fields<'a> {
            fields: SchemaSource<'a>,
        }
        Fields { fields: self.0 }.serialize(serializer)
    }
}

impl Serialize for SchemaSource<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            SchemaSource::Fields(fields) => fields.serialize(serializer),
            SchemaSource::Json(_) => serializer.collect_seq(Schema(*self).fields()),
            #[cfg(feature = "arrow")]
            SchemaSource::Arrow(schema) => {
                // Not by `fields`, which makes a text of each type.
                #[derive(Serialize)]
                struct ArrowField<'a> {
                    name: &'a str,
                    r#type: crate::arrow::PyArrowType<'a>,
                }
                serializer.collect_seq(schema.fields().iter().map(|field| ArrowField {
                    name: field.name(),
                    r#type: crate::arrow::PyArrowType(field),
                }))
            }
        }
    }
}

impl<'a> From<&'a [Field<'a>]> for Schema<'a> {
    fn from(fields: &'a [Field<'a>]) -> Schema<'a> {
        Schema(SchemaSource::Fields(fields))
    }
}

impl<'a, const N: usize> From<&'a [Field<'a>; N]> for Schema<'a> {
    fn from(fields: &'a [Field<'a>; N]) -> Schema<'a> {
        Schema(SchemaSource::Fields(fields))
    }
}

impl<'a> From<&'a Vec<Field<'a>>> for Schema<'a> {
    fn from(fields: &'a Vec<Field<'a>>) -> Schema<'a> {
        Schema(SchemaSource::Fields(fields))
    }
}

#[cfg(feature = "arrow")]
impl<'a> From<&'a arrow_schema::Schema> for Schema<'a> {
    fn from(schema: &'a arrow_schema::Schema) -> Schema<'a> {
        Schema(SchemaSource::Arrow(schema))
    }
}
