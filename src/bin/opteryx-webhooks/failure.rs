//! How a command ends.

use std::io;

/// What a command has found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// Exit code 0.
    Well,
    /// Exit code 1; the results say what.
    Wrong,
}

/// Why a command could not do what it was asked, in lines for standard error. Exit code 1.
pub(crate) struct Failure(pub(crate) Vec<String>);

impl Failure {
    pub(crate) fn new(line: impl Into<String>) -> Failure {
        Failure(vec![line.into()])
    }
}

/// Of writing the results.
impl From<io::Error> for Failure {
    fn from(error: io::Error) -> Failure {
        Failure::new(format!("cannot write to standard output: {error}"))
    }
}
