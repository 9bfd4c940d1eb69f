//! The events that are sent: datasets of few columns or of many.

use std::sync::Arc;

use opteryx_webhooks::{DatasetCreated, Event, Field, Message, Notifier, Recorder, Schema};

/// Where the sample's files are.
pub const LOCATION: &str = "gs://bucket/path";

/// A dataset whose event has a body of a certain size.
pub struct Dataset {
    location: String,
    fields: Vec<Field<'static>>,
}

impl Dataset {
    /// One whose event has a body of so many bytes.
    pub fn of_size(size: usize) -> Arc<Dataset> {
        let mut dataset = Dataset {
            location: "gs://bucket/".to_owned(),
            fields: vec![column(0)],
        };
        let one = dataset.message().body().len();
        dataset.fields.push(column(1));
        let each = dataset.message().body().len() - one;
        dataset.fields = (0..=(size - one) / each).map(column).collect();
        let missing = size - dataset.message().body().len();
        dataset.location += &"x".repeat(missing);
        assert_eq!(dataset.message().body().len(), size);
        Arc::new(dataset)
    }

    /// The sample: a location, as in the crate's documentation.
    pub fn sample() -> Arc<Dataset> {
        Dataset::with_columns([])
    }

    /// The same with these columns.
    pub fn with_columns<const N: usize>(
        columns: [(&'static str, &'static str); N],
    ) -> Arc<Dataset> {
        Arc::new(Dataset {
            location: LOCATION.to_owned(),
            fields: columns.map(|(name, kind)| Field::new(name, kind)).into(),
        })
    }

    #[inline]
    pub fn event(&self) -> Event<'_, DatasetCreated<'_>> {
        self.event_of("my-dataset")
    }

    /// The same of a dataset of this name.
    #[inline]
    pub fn event_of<'a>(&'a self, name: &'a str) -> Event<'a, DatasetCreated<'a>> {
        Event::dataset_created(
            "my-workspace",
            "my-collection",
            name,
            DatasetCreated {
                location: Some(&self.location),
                schema: (!self.fields.is_empty()).then(|| Schema::from(&self.fields)),
                ..Default::default()
            },
        )
    }

    /// The message that a notifier would send, for those who send it by other means.
    pub fn message(&self) -> Message {
        let recorder = Recorder::new();
        Notifier::with_delivery(recorder.clone()).notify(&self.event());
        recorder.take().remove(0)
    }
}

/// All columns are equally long in JSON.
fn column(number: usize) -> Field<'static> {
    let kinds = ["timestamp[us]", "decimal(10,2)"];
    Field::new(format!("column_{number:04}"), kinds[number % 2])
}
