//! Tells the world what was created in a data catalog.

#[cfg(feature = "arrow")]
mod arrow;
mod config;
mod delivery;
mod endpoint;
mod error;
mod event;
mod filter;
mod headers;
mod message;
mod notifier;
mod payload;
mod process;
mod proxy;

pub use config::Config;
pub use delivery::{Delivery, Outcome, Recorder};
pub use error::{ConfigError, DeliveryError};
pub use event::{Action, Event, ResourceType};
pub use message::Message;
pub use notifier::{Notifier, Stats, notify};
pub use payload::{
    CollectionCreated, DatasetCommitted, DatasetCreated, DatasetDeleted, DatasetRenamed,
    DatasetUpdated, Field, NoData, Properties, Schema, ViewCreated, ViewDeleted, ViewExecuted,
    ViewUpdated, WorkspaceDeleted, WorkspaceLocked, WorkspaceRestored, WorkspaceUnlocked,
};
