//! Values that belong to one process and must not be used in a child that it forked.

use std::process;
use std::sync::OnceLock;

/// A value for each process that comes by: what a fork inherits (open connections, locks that other
/// threads held) is left alone in the child, which gets a value of its own.
///
/// Reading takes no lock, since a lock that another thread held at the fork stays locked for ever.
pub(crate) struct PerProcess<T> {
    /// The process that made the value.
    pid: u32,
    value: T,
    child: OnceLock<Box<PerProcess<T>>>,
}

impl<T: Default> PerProcess<T> {
    pub(crate) fn new() -> PerProcess<T> {
        PerProcess {
            pid: process::id(),
            value: T::default(),
            child: OnceLock::new(),
        }
    }

    /// This process's value.
    pub(crate) fn get(&self) -> &T {
        let pid = process::id();
        let mut generation = self;
        while generation.pid != pid {
            generation = generation.child.get_or_init(|| Box::new(PerProcess::new()));
        }
        &generation.value
    }
}
