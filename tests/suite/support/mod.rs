//! What several suites share.

pub mod python;
