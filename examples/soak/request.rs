//! A request, read as it arrived.

use std::io::{self, BufRead};

/// The longest body that is read, in bytes: far above those of this sender.
const MAX_BODY: usize = 1024 * 1024;

pub(crate) struct Request {
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) body: Vec<u8>,
}

impl Request {
    /// The next request; none where the connection ends before one.
    pub(crate) fn read(stream: &mut impl BufRead) -> io::Result<Option<Request>> {
        let mut line = String::new();
        if stream.read_line(&mut line)? == 0 {
            return Ok(None);
        }
        let (mut headers, mut length) = (Vec::new(), 0);
        loop {
            line.clear();
            stream.read_line(&mut line)?;
            let header = line.trim_end();
            if header.is_empty() {
                break;
            }
            let (name, value) = header.split_once(':').ok_or(io::ErrorKind::InvalidData)?;
            let value = value.trim();
            if name.eq_ignore_ascii_case("content-length") {
                length = value.parse().map_err(|_| io::ErrorKind::InvalidData)?;
            }
            headers.push((name.to_owned(), value.to_owned()));
        }
        if length > MAX_BODY {
            return Err(io::ErrorKind::InvalidData.into());
        }
        let mut body = vec![0; length];
        stream.read_exact(&mut body)?;
        Ok(Some(Request { headers, body }))
    }
}
