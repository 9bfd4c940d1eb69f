//! What can be wrong with an outbox's file.

use std::error::Error;
use std::fmt;
use std::io;
use std::path::{Path, PathBuf};

use rusqlite::ErrorCode;

use crate::error::Chain;

/// Why an outbox's file could not be used.
///
/// `Display` is one line that names the file and says what is wrong with it;
/// [`source`](Error::source) is what lies below, which `{:#}` puts on the same line.
#[derive(Debug)]
pub struct OutboxError {
    path: PathBuf,
    problem: &'static str,
    is_busy: bool,
    source: Option<Box<dyn Error + Send + Sync>>,
}

impl OutboxError {
    pub(super) fn new(path: &Path, problem: &'static str) -> OutboxError {
        OutboxError {
            path: path.to_owned(),
            problem,
            is_busy: false,
            source: None,
        }
    }

    pub(super) fn io(path: &Path, error: io::Error) -> OutboxError {
        let problem = match error.kind() {
            io::ErrorKind::NotFound => "its folder does not exist",
            io::ErrorKind::PermissionDenied => "this process may not write it",
            io::ErrorKind::ReadOnlyFilesystem => "its file system is read-only",
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => "the disk is full",
            io::ErrorKind::NotADirectory => "a part of its path is no folder",
            io::ErrorKind::IsADirectory => "it is a folder, and must be a file",
            io::ErrorKind::InvalidInput => "it is a pipe or a device, and must be a file",
            _ => "it cannot be opened",
        };
        OutboxError::new(path, problem).because(error)
    }

    pub(super) fn no_thread(path: &Path, error: io::Error) -> OutboxError {
        OutboxError::new(path, "its thread could not be started").because(error)
    }

    pub(super) fn inherited(path: &Path) -> OutboxError {
        let problem = "this process was forked while an outbox was open, and cannot use one; make \
                       the notifier after the fork";
        OutboxError::new(path, problem)
    }

    pub(super) fn sqlite(path: &Path, error: rusqlite::Error) -> OutboxError {
        let code = error.sqlite_error_code();
        let problem = match code {
            Some(ErrorCode::DiskFull) => "the disk is full",
            Some(ErrorCode::ReadOnly) => "it is read-only",
            Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked) => {
                "another process has locked it for too long"
            }
            Some(ErrorCode::NotADatabase) => "it is no SQLite file",
            Some(ErrorCode::DatabaseCorrupt) => "it is damaged",
            Some(ErrorCode::CannotOpen) => "it cannot be opened",
            Some(ErrorCode::PermissionDenied) => "this process may not write it",
            Some(ErrorCode::SystemIoFailure) => "reading or writing it failed",
            _ => "it cannot be used as an outbox",
        };
        OutboxError {
            is_busy: matches!(
                code,
                Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked)
            ),
            ..OutboxError::new(path, problem).because(error)
        }
    }

    /// Whether another process, or another thread of this one, holds a lock that is needed.
    pub(super) fn is_busy(&self) -> bool {
        self.is_busy
    }

    fn because(mut self, error: impl Into<Box<dyn Error + Send + Sync>>) -> OutboxError {
        self.source = Some(error.into());
        self
    }

    /// The file.
    pub fn path(&self) -> &Path {
        &self.path
    }
}

impl fmt::Display for OutboxError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if f.alternate() {
            return Chain(self).fmt(f);
        }
        write!(f, "the outbox {}: {}", self.path.display(), self.problem)
    }
}

impl Error for OutboxError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        self.source
            .as_deref()
            .map(|source| source as &(dyn Error + 'static))
    }
}
