//! What a receiver of the notifications needs, if it is written in Rust: to check them, to read
//! them, and to know those it has seen.
//!
//! Nothing here depends on a web framework. Headers come as pairs of name and value, which is how
//! every framework gives them away; a reference to any `http::HeaderMap` is one already. The body
//! comes as the bytes that arrived: what is parsed and written again has another signature.
//!
//! ```
//! use opteryx_webhooks::receiver::{Data, SeenIds, Verifier, VerifyError};
//! # use opteryx_webhooks::Secret;
//!
//! /// Answers one request with a status.
//! fn receive(
//!     verifier: &Verifier,
//!     seen: &SeenIds,
//!     headers: &[(String, String)],
//!     body: &[u8],
//! ) -> Result<u16, VerifyError> {
//!     let headers = headers.iter().map(|(name, value)| (name, value));
//!     let (attempt, notification) = verifier.verify(headers, body)?;
//!     if !seen.insert(attempt.id()) {
//!         return Ok(200); // It has been here before, and has been dealt with.
//!     }
//!     match notification.data() {
//!         Data::DatasetCreated(dataset) => println!("created at {:?}", dataset.location),
//!         _ => println!("{} {}", notification.resource_type(), notification.action()),
//!     }
//!     // Where that can fail: `seen.remove(attempt.id())` and answer 500, and it comes again.
//!     Ok(200)
//! }
//!
//! # let secret = "whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD";
//! let verifier = Verifier::new([secret.parse()?]); // or Verifier::from_env()?
//! # let body = br#"{"event":{"action":"create","workspace":"w","collection":"c","resource_type":"dataset","resource_name":"d","timestamp":1704556800000},"data":{"location":null,"properties":{}}}"#;
//! # let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH)?.as_secs();
//! # let headers = [("webhook-id", "evt_1".to_owned()), ("webhook-timestamp", now.to_string()),
//! #     ("webhook-signature", secret.parse::<Secret>()?.sign("evt_1", now, body)?)];
//! # let headers = headers.map(|(name, value)| (name.to_owned(), value));
//! let status = receive(&verifier, &SeenIds::default(), &headers, body)
//!     .unwrap_or_else(|error| error.status());
//! assert_eq!(status, 200);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! # Through Cloud Tasks
//!
//! A task's headers are frozen when it is enqueued, so its timestamp ages with the queue's retries
//! and is refused once it is older than the [tolerance](Verifier::with_tolerance). Either have Cloud
//! Tasks mint an OIDC token at every dispatch and check that, or widen the tolerance to as long as
//! the queue retries, and tell duplicates by their ids for at least that long.

mod cloud_task;
mod data;
mod error;
mod notification;
mod seen;
mod verifier;

pub use cloud_task::CloudTask;
pub use data::Data;
pub use error::{NotificationError, VerifyError};
pub use notification::Notification;
pub use seen::SeenIds;
pub use verifier::{Attempt, SIGNED_HEADERS, Verifier};
