//! Tells the world what was created in a data catalog.
//!
//! A catalog service links this crate and calls [`notify`] when a dataset or a view has been
//! created. The environment alone says where the event goes: straight to a receiver's
//! `https://$OPTERYX_WEBHOOK_DOMAIN/event`, through a queue of Google Cloud Tasks, through a file of its
//! own that outlives the process, or nowhere. The operation that is announced has already happened, so
//! announcing it never breaks it, panics in it or holds it up for longer than a set time.
//!
//! ```
//! use opteryx_webhooks::{DatasetCreated, Event, Field, Notifier, Schema};
//!
//! let notifier = Notifier::from_env(); // once, for the whole service
//!
//! // … the dataset is created, and then:
//! notifier.notify(&Event::dataset_created("my-workspace", "my-collection", "my-dataset", DatasetCreated {
//!     location: Some("gs://bucket/path"),
//!     schema: Some(Schema::from(&[Field::new("id", "int64")])),
//!     ..Default::default()
//! }));
//! ```
//!
//! # Configuration
//!
//! The variables are read once, when the notifier is made; README has the table. Unset, empty and
//! blank are the same. A wrong value is a [`ConfigError`]: [`Notifier::try_from_env`] returns it,
//! [`Notifier::from_env`] logs it and gives a notifier that is off, so that nothing ever goes out
//! unsigned, to the wrong place or by the wrong road.
//!
//! # Outcomes and errors
//!
//! [`Notifier::notify`] returns an [`Outcome`] that nobody has to look at: whatever it is has been
//! counted in [`Notifier::stats`] and, if the event failed, logged with the reason. Whoever does look
//! finds a [`DeliveryError`] with predicates: whether time ran out, whether another attempt makes
//! sense, which status came back.
//!
//! # Promises
//!
//! - `notify` never panics, and returns within its timeout (10 s unless set) and 300 ms: whatever the
//!   network, the resolver, the proxy or the receiver does, and wherever it is called from: a plain
//!   thread, inside any asynchronous runtime, many threads at once, a thread that ends, a process
//!   that was forked. Where panics abort (`panic = "abort"`), a panic in the host's own `Serialize`
//!   or [`Delivery`] does so too.
//! - A connection that was kept alive and turns out dead costs no event: it is replaced once, with
//!   the same message.
//! - A notifier that is off, or that leaves the event out, encodes nothing and allocates nothing.
//! - Without an outbox, an event that could not be delivered, or not be stored in its queue, is gone: it
//!   is logged and counted, not kept.
//! - With one, an event whose outcome was [`Outcome::Stored`] is delivered at least once, or stands in the
//!   dead letters, across the death of the process or of the machine.
//!
//! # On the wire
//!
//! The body is the reference's (the Python `opteryx-catalog`), `{"event": …, "data": …}`. The headers
//! make the same request a [Standard Webhook](https://www.standardwebhooks.com) (`webhook-id`,
//! `webhook-timestamp`) and a [CloudEvent in binary mode](https://github.com/cloudevents/spec/blob/v1.0.2/cloudevents/bindings/http-protocol-binding.md)
//! (`ce-…`), signed (`webhook-signature`) where `OPTERYX_WEBHOOK_SECRET` is set; [`receiver`] checks
//! that. Only a 2xx status is success; redirects are refused.
//!
//! # Log
//!
//! Everything is logged with the target `opteryx_webhooks`. The levels are a contract:
//!
//! - `error`: the configuration is wrong, and the notifier is off; or the outbox's file cannot be used,
//!   and events go directly, once for as long as it lasts.
//! - `warn`: an event was not delivered, or an attempt by the outbox failed; the outbox works again; or
//!   something about the configuration is odd. One line each.
//! - `debug`: the rest.
//!
//! No body, no header value and no secret is logged at any level. The libraries below log under
//! targets of their own, and ureq at `trace` is not redacted: leave `ureq` and `ureq_proto` at `debug`
//! or above.
//!
//! # Features
//!
//! - `cloud-tasks` (default): delivery through Google Cloud Tasks where `OPTERYX_WEBHOOK_QUEUE` is set.
//!   Without it that variable is a [`ConfigError`].
//! - `outbox`: a durable outbox in a SQLite file where `OPTERYX_WEBHOOK_OUTBOX` is set. Without it that
//!   variable is a [`ConfigError`].
//! - `arrow`: [`Schema`] from an `arrow_schema::Schema`, its types written as PyArrow writes them.
//! - `cli`: the operator's tool, the program `opteryx-webhooks`; a host that links this crate has no
//!   use for it.
//!
//! TLS is rustls with ring, unless the host has installed a default provider of its own. Google's
//! library for credentials needs such a default: where there is none, the first event that goes to
//! Cloud Tasks with credentials installs ring's, for the whole process.

#[cfg(feature = "arrow")]
mod arrow;
mod body;
mod config;
mod deadline;
mod delivery;
#[cfg(any(feature = "cloud-tasks", feature = "outbox"))]
mod draw;
mod endpoint;
mod error;
mod event;
mod filter;
mod headers;
mod id;
mod message;
mod notifier;
#[cfg(feature = "outbox")]
pub mod outbox;
mod payload;
mod probe;
mod process;
mod proxy;
pub mod receiver;
mod report;
mod settings;
mod signature;
mod trust;
mod value;

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
pub use probe::Reached;
#[cfg(feature = "outbox")]
pub use settings::OutboxSettings;
pub use settings::{CaCertificates, ProxySettings, QueueSettings, Road, Settings};
pub use signature::{Secret, SecretError};

/// README's examples compile.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
