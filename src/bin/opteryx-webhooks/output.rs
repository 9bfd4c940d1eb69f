//! Standard output, for results.

use std::io::{self, Write};

use anstream::AutoStream;
use serde::Serialize;

/// Where results go: with colour on a terminal, without elsewhere.
///
/// Once its reader has gone away (`… | head`) it takes the rest and drops it, so that a command still
/// does all that it was asked to, and ends with the code that it would have.
pub(crate) struct Output {
    stream: AutoStream<io::Stdout>,
    is_closed: bool,
}

impl Output {
    pub(crate) fn stdout() -> Output {
        Output {
            stream: anstream::stdout(),
            is_closed: false,
        }
    }

    /// Writes a value for programs: one JSON document, and the end of its line.
    pub(crate) fn json(&mut self, value: &impl Serialize) -> io::Result<()> {
        serde_json::to_writer_pretty(&mut *self, value)?;
        writeln!(self)?;
        self.flush()
    }

    fn unless_closed<T>(&mut self, result: io::Result<T>, otherwise: T) -> io::Result<T> {
        match result {
            Err(error) if error.kind() == io::ErrorKind::BrokenPipe => {
                self.is_closed = true;
                Ok(otherwise)
            }
            result => result,
        }
    }
}

impl Write for Output {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.is_closed {
            return Ok(bytes.len());
        }
        let result = self.stream.write(bytes);
        self.unless_closed(result, bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        if self.is_closed {
            return Ok(());
        }
        let result = self.stream.flush();
        self.unless_closed(result, ())
    }
}
