//! The fact: what happened, to what, and when.

use std::fmt;
use std::time::{SystemTime, UNIX_EPOCH};

use serde::Serialize;

use crate::payload::{
    CollectionCreated, DatasetCommitted, DatasetCreated, DatasetDeleted, DatasetRenamed,
    DatasetUpdated, NoData, ViewCreated, ViewDeleted, ViewExecuted, ViewUpdated, WorkspaceDeleted,
    WorkspaceLocked, WorkspaceRestored, WorkspaceUnlocked,
};

/// Makes an enum of the words that the reference knows, open for any other.
macro_rules! words {
    ($(#[$doc:meta])* $name:ident { $($(#[$word_doc:meta])* $variant:ident = $word:literal,)+ }) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug)]
        #[non_exhaustive]
        pub enum $name<'a> {
            $($(#[$word_doc])* $variant,)+
            /// Any other word, sent as it is.
            Other(&'a str),
        }

        impl $name<'_> {
            /// The words that the reference knows.
            pub(crate) const KNOWN: &'static [&'static str] = &[$($word),+];

            /// Its place among them; none for any other word, and for one of them in
            /// [`Other`]($name::Other).
            #[inline]
            pub(crate) fn place(&self) -> Option<usize> {
                enum Place {
                    $($variant,)+
                }
                match self {
                    $($name::$variant => Some(Place::$variant as usize),)+
                    $name::Other(_) => None,
                }
            }

            /// The word as it is sent.
            pub fn as_str(&self) -> &str {
                match self {
                    $($name::$variant => $word,)+
                    $name::Other(word) => word,
                }
            }
        }

        impl<'a> From<&'a str> for $name<'a> {
            fn from(word: &'a str) -> $name<'a> {
                match word {
                    $($word => $name::$variant,)+
                    _ => $name::Other(word),
                }
            }
        }

        // By the word: `Other("create")` and `Create` send the same thing, so they are the same.
        impl PartialEq for $name<'_> {
            fn eq(&self, other: &$name<'_>) -> bool {
                self.as_str() == other.as_str()
            }
        }

        impl Eq for $name<'_> {}

        impl fmt::Display for $name<'_> {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(self.as_str())
            }
        }
    };
}

words! {
    /// What was done.
    Action {
        /// `create`
        Create = "create",
        /// `delete`
        Delete = "delete",
        /// `update`
        Update = "update",
        /// `rename`
        Rename = "rename",
        /// `commit`: data was added
        Commit = "commit",
        /// `execute`: a view was run
        Execute = "execute",
        /// `lock`
        Lock = "lock",
        /// `unlock`
        Unlock = "unlock",
        /// `restore`: a deletion was taken back
        Restore = "restore",
    }
}

words! {
    /// What kind of thing it was done to.
    ResourceType {
        /// `dataset`
        Dataset = "dataset",
        /// `view`
        View = "view",
        /// `collection`
        Collection = "collection",
        /// `workspace`
        Workspace = "workspace",
        /// `materialized_view`
        MaterializedView = "materialized_view",
        /// `secret`: the name of one in the catalog, never its content
        Secret = "secret",
    }
}

/// Something that happened in the catalog.
///
/// It borrows all that it says: making one allocates nothing and encodes nothing, so that it costs
/// nothing where the notifier is off. There is a constructor for each kind of event that the
/// reference knows, and [`Event::new`] for the rest.
///
/// ```
/// use opteryx_webhooks::{DatasetCreated, Event};
///
/// let event = Event::dataset_created("my-workspace", "my-collection", "my-dataset", DatasetCreated {
///     location: Some("gs://bucket/path"),
///     ..Default::default()
/// });
/// # let _ = event;
/// ```
#[derive(Clone, Debug)]
pub struct Event<'a, D = NoData> {
    what: What<'a>,
    workspace: &'a str,
    collection: Option<&'a str>,
    resource_name: &'a str,
    data: D,
}

/// Makes an enum of the events that have a constructor of their own, each in one word: an event that
/// goes nowhere takes as long as it takes to write it down.
macro_rules! what {
    ($($name:ident: $action:ident $resource_type:ident,)+) => {
        /// What was done to what, and when.
        #[derive(Clone, Copy, Debug)]
        enum What<'a> {
            $($name,)+
            /// Made by [`Event::new`], or of a time that was given.
            Other {
                action: Action<'a>,
                resource_type: ResourceType<'a>,
                timestamp_ms: Option<i64>,
            },
        }

        impl<'a> What<'a> {
            #[inline]
            fn action(&self) -> &Action<'a> {
                match self {
                    $(What::$name => &Action::$action,)+
                    What::Other { action, .. } => action,
                }
            }

            #[inline]
            fn resource_type(&self) -> &ResourceType<'a> {
                match self {
                    $(What::$name => &ResourceType::$resource_type,)+
                    What::Other { resource_type, .. } => resource_type,
                }
            }
        }
    };
}

what! {
    DatasetCreated: Create Dataset,
    DatasetDeleted: Delete Dataset,
    DatasetRenamed: Rename Dataset,
    DatasetUpdated: Update Dataset,
    DatasetCommitted: Commit Dataset,
    CollectionCreated: Create Collection,
    ViewCreated: Create View,
    ViewUpdated: Update View,
    ViewDeleted: Delete View,
    ViewExecuted: Execute View,
    WorkspaceDeleted: Delete Workspace,
    WorkspaceRestored: Restore Workspace,
    WorkspaceLocked: Lock Workspace,
    WorkspaceUnlocked: Unlock Workspace,
}

impl<'a> Event<'a, NoData> {
    /// Any event at all, with an empty `data`; [`with_data`](Event::with_data) adds some.
    ///
    /// `collection` is `None` where there is none, as for a workspace.
    ///
    /// ```
    /// use opteryx_webhooks::{Action, Event};
    ///
    /// let event = Event::new("refresh", "materialized_view", "my-workspace", Some("sales"), "by_day")
    ///     .with_data(serde_json::json!({ "rows": 1024 }));
    /// assert_eq!(event.action(), &Action::from("refresh"));
    /// ```
    pub fn new(
        action: impl Into<Action<'a>>,
        resource_type: impl Into<ResourceType<'a>>,
        workspace: &'a str,
        collection: Option<&'a str>,
        resource_name: &'a str,
    ) -> Event<'a, NoData> {
        Event {
            what: What::Other {
                action: action.into(),
                resource_type: resource_type.into(),
                timestamp_ms: None,
            },
            workspace,
            collection,
            resource_name,
            data: NoData {},
        }
    }
}

impl<'a, D> Event<'a, D> {
    /// The same event with this `data`: anything that serializes, a JSON object by convention.
    ///
    /// Data that will not serialize (a map whose keys are not strings, say) is an outcome of
    /// `notify`, never a panic.
    pub fn with_data<E: Serialize>(self, data: E) -> Event<'a, E> {
        Event {
            what: self.what,
            workspace: self.workspace,
            collection: self.collection,
            resource_name: self.resource_name,
            data,
        }
    }

    /// The same event at this time, which is sent in milliseconds since the Unix epoch.
    ///
    /// Without it the event carries the moment at which `notify` takes it: an event is made to be
    /// handed over at once, and a notifier that is off must not pay for reading the clock. Give the
    /// time of an event that is kept for later. A [`SystemTime`] or a `chrono::DateTime` will do.
    pub fn at(self, time: impl Into<SystemTime>) -> Event<'a, D> {
        self.at_unix_ms(unix_ms(time.into()))
    }

    /// The same event at this time, in milliseconds since the Unix epoch.
    pub fn at_unix_ms(self, timestamp_ms: i64) -> Event<'a, D> {
        Event {
            what: What::Other {
                action: *self.action(),
                resource_type: *self.resource_type(),
                timestamp_ms: Some(timestamp_ms),
            },
            ..self
        }
    }

    /// What was done.
    pub fn action(&self) -> &Action<'a> {
        self.what.action()
    }

    /// What kind of thing it was done to.
    pub fn resource_type(&self) -> &ResourceType<'a> {
        self.what.resource_type()
    }

    /// The workspace it happened in.
    pub fn workspace(&self) -> &'a str {
        self.workspace
    }

    /// The collection it happened in; none for a workspace's own events.
    pub fn collection(&self) -> Option<&'a str> {
        self.collection
    }

    /// The name of the thing it was done to.
    pub fn resource_name(&self) -> &'a str {
        self.resource_name
    }

    /// The time given with [`at`](Event::at), in milliseconds since the Unix epoch.
    pub fn timestamp_ms(&self) -> Option<i64> {
        match self.what {
            What::Other { timestamp_ms, .. } => timestamp_ms,
            _ => None,
        }
    }

    /// What else there is to say about it.
    pub fn data(&self) -> &D {
        &self.data
    }
}

/// The constructors for what the reference knows: the same four arguments, the payload last.
macro_rules! in_a_collection {
    ($($(#[$doc:meta])* $constructor:ident: $payload:ident $(<$lifetime:lifetime>)?;)+) => {$(
        impl<'a> Event<'a, $payload $(<$lifetime>)?> {
            $(#[$doc])*
            // Into the host's own code, where an event that goes nowhere is then hardly made.
            #[inline]
            pub fn $constructor(
                workspace: &'a str,
                collection: &'a str,
                name: &'a str,
                data: $payload $(<$lifetime>)?,
            ) -> Self {
                Event {
                    what: What::$payload,
                    workspace,
                    collection: Some(collection),
                    resource_name: name,
                    data,
                }
            }
        }
    )+};
}

in_a_collection! {
    /// A dataset was created.
    dataset_created: DatasetCreated<'a>;
    /// A dataset was deleted.
    dataset_deleted: DatasetDeleted<'a>;
    /// A dataset was renamed. Collection and name are the new ones, as the reference has it.
    dataset_renamed: DatasetRenamed<'a>;
    /// A dataset's description or properties were changed.
    dataset_updated: DatasetUpdated<'a>;
    /// Data was committed to a dataset.
    dataset_committed: DatasetCommitted;
    /// A view was created.
    view_created: ViewCreated<'a>;
    /// A view was updated.
    view_updated: ViewUpdated<'a>;
    /// A view was deleted.
    view_deleted: ViewDeleted<'a>;
    /// A view was executed, well or not.
    view_executed: ViewExecuted<'a>;
}

impl<'a> Event<'a, CollectionCreated<'a>> {
    /// A collection was created; it is both the event's collection and its resource.
    #[inline]
    pub fn collection_created(
        workspace: &'a str,
        collection: &'a str,
        data: CollectionCreated<'a>,
    ) -> Self {
        Event {
            what: What::CollectionCreated,
            workspace,
            collection: Some(collection),
            resource_name: collection,
            data,
        }
    }
}

/// The constructors for a workspace's own events, which have no collection.
macro_rules! of_a_workspace {
    ($($(#[$doc:meta])* $constructor:ident: $payload:ident;)+) => {$(
        impl<'a> Event<'a, $payload<'a>> {
            $(#[$doc])*
            #[inline]
            pub fn $constructor(workspace: &'a str, data: $payload<'a>) -> Self {
                Event {
                    what: What::$payload,
                    workspace,
                    collection: None,
                    resource_name: workspace,
                    data,
                }
            }
        }
    )+};
}

of_a_workspace! {
    /// A workspace was deleted.
    workspace_deleted: WorkspaceDeleted;
    /// A workspace was restored.
    workspace_restored: WorkspaceRestored;
    /// A workspace was locked.
    workspace_locked: WorkspaceLocked;
    /// A workspace was unlocked.
    workspace_unlocked: WorkspaceUnlocked;
}

/// Milliseconds since the Unix epoch; what no `i64` can hold becomes the nearest that one can.
pub(crate) fn unix_ms(time: SystemTime) -> i64 {
    match time.duration_since(UNIX_EPOCH) {
        Ok(after) => i64::try_from(after.as_secs())
            .ok()
            .and_then(|seconds| seconds.checked_mul(1000))
            .and_then(|ms| ms.checked_add(i64::from(after.subsec_millis())))
            .unwrap_or(i64::MAX),
        // Rounded down on both sides of the epoch, as a timestamp counts.
        Err(before) => i64::try_from(before.duration().as_nanos().div_ceil(1_000_000))
            .map_or(i64::MIN, |ms| -ms),
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn a_known_word_is_the_same_however_it_is_given() {
        assert_eq!(Action::from("create"), Action::Create);
        assert_eq!(Action::Other("create"), Action::Create);
        assert_ne!(Action::from("Create"), Action::Create);
        assert_eq!(ResourceType::from("index").as_str(), "index");
    }

    #[test]
    fn times_are_milliseconds_on_both_sides_of_the_epoch() {
        let at = |offset: i64| {
            let distance = Duration::from_micros(offset.unsigned_abs());
            unix_ms(if offset < 0 {
                UNIX_EPOCH - distance
            } else {
                UNIX_EPOCH + distance
            })
        };
        assert_eq!(at(1_704_556_800_000_999), 1_704_556_800_000);
        assert_eq!(at(-1), -1);
        assert_eq!(at(-1000), -1);
        assert_eq!(at(0), 0);
    }
}
