//! An event's data, from a file or standard input.

use std::ffi::OsString;
use std::fs::File;
use std::io::{self, IsTerminal, Read, Write};
use std::path::PathBuf;

use serde_json::value::RawValue;

use crate::failure::Failure;

/// How much is read, in bytes: far more than fits into a message, so that it is the notifier that
/// says what does not.
const MAX_SIZE: u64 = 16 * 1024 * 1024;

/// Where an event's data is.
#[derive(Clone)]
pub(crate) enum Source {
    StandardInput,
    File(PathBuf),
}

impl From<OsString> for Source {
    fn from(argument: OsString) -> Source {
        match argument == "-" {
            true => Source::StandardInput,
            false => Source::File(argument.into()),
        }
    }
}

impl Source {
    /// The JSON as it stands there: the order of its keys and every digit of its numbers are kept.
    pub(crate) fn read(&self) -> Result<Box<RawValue>, Failure> {
        let name = match self {
            Source::StandardInput => "standard input".to_owned(),
            Source::File(path) => path.display().to_string(),
        };
        let bytes = self
            .bytes()
            .map_err(|error| Failure::new(format!("{name}: cannot be read: {error}")))?;
        if bytes.len() as u64 > MAX_SIZE {
            let problem = format!("{name}: is larger than {} MiB", MAX_SIZE >> 20);
            return Err(Failure::new(problem));
        }
        if bytes.iter().all(u8::is_ascii_whitespace) {
            let problem = format!("{name}: is empty; `{{}}` is JSON for no data");
            return Err(Failure::new(problem));
        }
        serde_json::from_slice(&bytes).map_err(|error| {
            let (line, column) = (error.line(), error.column());
            let reason = error.to_string();
            let place = format!(" at line {line} column {column}");
            let reason = reason.strip_suffix(&place).unwrap_or(&reason);
            Failure::new(format!(
                "{name}: line {line}, column {column}: is not JSON: {reason}"
            ))
        })
    }

    fn bytes(&self) -> io::Result<Vec<u8>> {
        let reader: &mut dyn Read = match self {
            Source::StandardInput => {
                let stdin = io::stdin();
                if stdin.is_terminal() {
                    let _ = writeln!(io::stderr(), "The event's data, as JSON; Ctrl-D ends it:");
                }
                &mut stdin.lock()
            }
            Source::File(path) => &mut File::open(path)?,
        };
        let mut bytes = Vec::new();
        reader.take(MAX_SIZE + 1).read_to_end(&mut bytes)?;
        Ok(bytes)
    }
}
