//! The whole suite, one module by subject, in one program so that it links once.

// What fails here fails a test, and says so.
#![allow(
    clippy::expect_used,
    clippy::panic,
    clippy::unwrap_used,
    unreachable_pub
)]

mod arrow_types;
mod cloud_events;
#[cfg(feature = "cloud-tasks")]
mod cloud_tasks;
mod contexts;
mod direct;
#[cfg(all(target_os = "linux", target_env = "gnu"))]
mod disk;
mod environment;
mod examples;
mod hostile;
mod outbox;
mod probe;
mod receivers;
mod signed_receivers;
mod soak;
mod standards;
mod support;
mod tool;
mod vectors;
mod verifier;
