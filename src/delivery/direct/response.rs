//! The receiver's answer, as far as it matters to a notifier: HTTP/1.1 by
//! [RFC 9112](https://www.rfc-editor.org/rfc/rfc9112).

use std::io;
use std::time::Duration;

use httparse::{EMPTY_HEADER, Header, Status};
use ureq::Error;
use ureq::unversioned::transport::{NextTimeout, Transport};

use super::attempt;
use crate::delivery::answer;

/// How much of a body is read, in bytes, so that its connection can serve again. A longer one costs
/// the connection.
const MAX_DRAINED: usize = 16 * 1024;

/// How long a body is read for that is not all there.
const MAX_DRAIN_TIME: Duration = Duration::from_millis(500);

/// How many headers there may be.
const MAX_HEADERS: usize = 128;

/// The head of an answer, and how the end of its body is found.
#[derive(Debug)]
pub(super) struct Response {
    pub(super) status: u16,
    /// `Location`.
    pub(super) location: Option<String>,
    /// `Retry-After`.
    pub(super) retry_after: Option<String>,
    /// Whether the receiver closes the connection after it.
    pub(super) closes: bool,
    body: Body,
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Body {
    Length(u64),
    Chunked,
    UntilClosed,
}

impl Response {
    /// Waits for the answer, and takes its head off the connection. The answer to a HEAD has no body,
    /// whatever its head says of one.
    pub(super) fn read(
        connection: &mut dyn Transport,
        is_of_head: bool,
    ) -> Result<Response, Error> {
        loop {
            await_more(connection)?;
            while let Some((length, mut response)) = Response::parse(connection.buffers().input())?
            {
                connection.buffers().input_consume(length);
                // What is said in between means nothing here (RFC 9110, 15.2). But 101 is final.
                if !matches!(response.status, 100 | 102..=199) {
                    if is_of_head {
                        response.body = Body::Length(0);
                    }
                    return Ok(response);
                }
            }
        }
    }

    /// The head that these bytes begin with, and its length; none if its end is not there yet.
    fn parse(input: &[u8]) -> Result<Option<(usize, Response)>, Error> {
        let mut headers = [EMPTY_HEADER; MAX_HEADERS];
        let mut response = httparse::Response::new(&mut headers);
        let Status::Complete(length) = response.parse(input).map_err(unreadable)? else {
            return Ok(None);
        };
        let status = response.code.unwrap_or_default();
        if status < 100 {
            return Err(unreadable("its status is no HTTP status"));
        }
        let is_http_1_0 = response.version == Some(0);
        let headers: &[Header<'_>] = response.headers;
        let text = |name| {
            let value = values(headers, name).next()?;
            value.is_ascii().then(|| value.to_owned())
        };
        let has = |name, word: &str| {
            values(headers, name)
                .flat_map(|value| value.split(','))
                .any(|item| item.trim().eq_ignore_ascii_case(word))
        };
        // Only the last coding of all says where a body ends.
        let coding = values(headers, "transfer-encoding").last();
        let last = coding.and_then(|codings| codings.split(',').next_back());
        let is_chunked = last.is_some_and(|last| last.trim().eq_ignore_ascii_case("chunked"));
        let response = Response {
            status,
            location: text("location"),
            retry_after: text("retry-after"),
            closes: has("connection", "close")
                || is_http_1_0 && !has("connection", "keep-alive")
                || status == 101,
            // RFC 9112, 6.3.
            body: match content_length(headers)? {
                _ if matches!(status, 100..=199 | 204 | 304) => Body::Length(0),
                _ if is_chunked && !is_http_1_0 => Body::Chunked,
                Some(length) if coding.is_none() => Body::Length(length),
                _ => Body::UntilClosed,
            },
        };
        Ok(Some((length, response)))
    }

    /// Reads the body as far as that keeps the connection, or as somebody wants to know it, and says
    /// whether the connection can serve again.
    ///
    /// The status has said what became of the message, so an error here is none.
    pub(super) fn drain(&self, connection: &mut dyn Transport) -> bool {
        let is_long = matches!(self.body, Body::Length(length) if length > MAX_DRAINED as u64);
        let mut rest = Rest {
            connection,
            budget: match (is_long, answer::is_wanted()) {
                (false, _) => MAX_DRAINED,
                // The connection is lost anyway.
                (true, true) => answer::MAX_EXCERPT,
                (true, false) => return false,
            },
        };
        let drained = match self.body {
            Body::Length(length) => rest.skip(length),
            Body::Chunked => rest.skip_chunks(),
            Body::UntilClosed => rest.skip(u64::MAX),
        };
        drained.is_some() && !self.closes && is_empty(rest.connection)
    }
}

/// What is still to come of an answer.
struct Rest<'a> {
    connection: &'a mut dyn Transport,
    /// How many bytes of it are read at the most.
    budget: usize,
}

/// Each of these gives nothing where the body ends too early, is too long or no body at all.
impl Rest<'_> {
    /// Skips so much of the body.
    fn skip(&mut self, length: u64) -> Option<()> {
        let mut left = length;
        loop {
            let input = self.connection.buffers().input();
            let skipped = usize::try_from(left).map_or(input.len(), |left| left.min(input.len()));
            answer::keep(&input[..skipped]);
            self.consume(skipped)?;
            left -= skipped as u64;
            if left == 0 {
                return Some(());
            }
            self.await_more()?;
        }
    }

    fn skip_chunks(&mut self) -> Option<()> {
        loop {
            let input = self.connection.buffers().input();
            // httparse takes a size without a digit for 0.
            if input.first().is_some_and(|byte| !byte.is_ascii_hexdigit()) {
                return None;
            }
            match httparse::parse_chunk_size(input).ok()? {
                Status::Complete((line, 0)) => {
                    self.consume(line)?;
                    break;
                }
                Status::Complete((line, length)) => {
                    self.consume(line)?;
                    self.skip(length)?;
                    (self.skip_line()? == 0).then_some(())?;
                }
                Status::Partial => self.await_more()?,
            }
        }
        // Headers that follow a body, up to an empty line.
        while self.skip_line()? > 0 {}
        Some(())
    }

    /// Skips a line, and gives its length without its end.
    fn skip_line(&mut self) -> Option<usize> {
        loop {
            let input = self.connection.buffers().input();
            if let Some(length) = input.windows(2).position(|two| two == b"\r\n") {
                self.consume(length + 2)?;
                return Some(length);
            }
            self.await_more()?;
        }
    }

    fn await_more(&mut self) -> Option<()> {
        // The first time counts, since this never leaves more than there was.
        attempt::shorten(MAX_DRAIN_TIME);
        await_more(self.connection).ok()
    }

    fn consume(&mut self, length: usize) -> Option<()> {
        self.budget = self.budget.checked_sub(length)?;
        self.connection.buffers().input_consume(length);
        Some(())
    }
}

/// Waits until more of the answer has come.
fn await_more(connection: &mut dyn Transport) -> Result<(), Error> {
    let buffers = connection.buffers();
    if buffers.input_append_buf().is_empty() {
        // A head that fills the whole buffer; reading on would look like the connection's end.
        let size = buffers.input().len();
        return Err(Error::LargeResponseHeader(size, size));
    }
    if !connection.await_input(NextTimeout::default())? {
        return Err(Error::Io(io::ErrorKind::UnexpectedEof.into()));
    }
    attempt::answered();
    Ok(())
}

/// Whether nothing has come after the answer, in whatever buffer on the way it may lie: what nobody
/// asked for would be taken for the next answer. What is still to arrive is seen before the next event.
fn is_empty(connection: &mut dyn Transport) -> bool {
    if !connection.buffers().input().is_empty() {
        return false;
    }
    // This gives what has been read from the socket already.
    attempt::stop_reading();
    matches!(
        connection.await_input(NextTimeout::default()),
        Err(Error::Timeout(_))
    )
}

/// The values of the headers of this name that are text.
fn values<'h>(headers: &'h [Header<'h>], name: &'h str) -> impl Iterator<Item = &'h str> {
    headers
        .iter()
        .filter(move |header| header.name.eq_ignore_ascii_case(name))
        .filter_map(|header| str::from_utf8(header.value).ok())
}

/// The length that is announced. Two that differ would have the next answer begin where this one
/// has not ended (RFC 9112, 6.3).
fn content_length(headers: &[Header<'_>]) -> Result<Option<u64>, Error> {
    let mut announced = None;
    let lengths = headers
        .iter()
        .filter(|header| header.name.eq_ignore_ascii_case("content-length"));
    for item in lengths.flat_map(|header| header.value.split(|byte| *byte == b',')) {
        let item = str::from_utf8(item).unwrap_or("not text").trim();
        let length = item
            .bytes()
            .all(|byte| byte.is_ascii_digit())
            .then(|| item.parse::<u64>().ok())
            .flatten()
            .filter(|length| announced.is_none_or(|other| other == *length))
            .ok_or_else(|| unreadable("its Content-Length is no length"))?;
        announced = Some(length);
    }
    Ok(announced)
}

fn unreadable(reason: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Error {
    Error::Other(reason.into())
}

#[cfg(test)]
mod tests {
    use std::time::Instant;

    use ureq::Timeout;
    use ureq::unversioned::transport::{Buffers, LazyBuffers};

    use super::*;

    /// A connection on which these bytes arrive, so many at a time, and then its end.
    #[derive(Debug)]
    struct Canned {
        bytes: Vec<u8>,
        step: usize,
        buffers: LazyBuffers,
    }

    impl Transport for Canned {
        fn buffers(&mut self) -> &mut dyn Buffers {
            &mut self.buffers
        }

        fn transmit_output(&mut self, _: usize, _: NextTimeout) -> Result<(), Error> {
            Ok(())
        }

        fn await_input(&mut self, _: NextTimeout) -> Result<bool, Error> {
            if !attempt::reads() && self.bytes.is_empty() {
                return Err(Error::Timeout(Timeout::Global));
            }
            let room = self.buffers.input_append_buf();
            let amount = self.step.min(self.bytes.len()).min(room.len());
            room[..amount].copy_from_slice(&self.bytes[..amount]);
            self.bytes.drain(..amount);
            self.buffers.input_appended(amount);
            Ok(amount > 0)
        }

        fn is_open(&mut self) -> bool {
            true
        }
    }

    /// The answer, and whether its connection can serve again.
    fn answer_by_steps(text: &str, step: usize) -> Result<(Response, bool), Error> {
        let mut connection = Canned {
            bytes: text.as_bytes().to_vec(),
            step,
            buffers: LazyBuffers::new(16 * 1024, 16 * 1024),
        };
        let _attempt = attempt::begin(Instant::now() + Duration::from_secs(60));
        let answer = Response::read(&mut connection, false)?;
        let is_open = answer.drain(&mut connection);
        Ok((answer, is_open))
    }

    /// The same however the bytes arrive.
    fn answer(text: &str) -> Result<(Response, bool), Error> {
        let [first, others @ ..] = [1, 2, 7, text.len()].map(|step| answer_by_steps(text, step));
        for other in others {
            assert_eq!(format!("{first:?}"), format!("{other:?}"), "{text}");
        }
        first
    }

    #[test]
    fn a_connection_serves_again_where_the_answer_has_an_end() {
        for text in [
            "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok",
            "HTTP/1.1 200 OK\r\ncontent-length: 2, 2\r\nContent-Length: 2\r\n\r\nok",
            "HTTP/1.1 200\r\nContent-Length: 0\r\n\r\n",
            "HTTP/1.1 204 No Content\r\n\r\n",
            "HTTP/1.1 204 No Content\r\nContent-Length: 5\r\n\r\n",
            "HTTP/1.1 304 Not Modified\r\nContent-Length: 5\r\n\r\n",
            "HTTP/1.0 200 OK\r\nConnection: Keep-Alive\r\nContent-Length: 2\r\n\r\nok",
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: Chunked\r\n\r\n0\r\n\r\n",
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked\r\nContent-Length: 9\r\n\r\n\
             2\r\nok\r\nA;x=y\r\n0123456789\r\n0\r\nX-Sum: 1\r\n\r\n",
            "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: <x>\r\n\r\n\
             HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n",
        ] {
            let (answer, is_open) = answer(text).unwrap();
            assert!(matches!(answer.status, 200 | 204 | 304), "{text}");
            assert!(is_open, "{text}");
        }
    }

    #[test]
    fn a_connection_does_not_serve_again_where_the_answer_has_none() {
        let long = "x".repeat(MAX_DRAINED + 1);
        for text in [
            "HTTP/1.1 200 OK\r\n\r\nuntil it is closed",
            "HTTP/1.1 200 OK\r\nConnection: x, Close\r\nContent-Length: 2\r\n\r\nok",
            "HTTP/1.0 200 OK\r\nContent-Length: 2\r\n\r\nok",
            "HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nok",
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nok\r\n0\r\n\r\n",
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n",
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nno chunk\r\n0\r\n\r\n",
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nffffffffffffffff\r\nok",
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n\r\n\r\n",
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n;x\r\n\r\n",
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked, gzip\r\n\r\n0\r\n\r\n",
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip\r\nContent-Length: 2\r\n\r\nok",
            "HTTP/1.0 200 OK\r\nConnection: keep-alive\r\nTransfer-Encoding: chunked\r\nContent-Length: 2\r\n\r\nok",
            &format!(
                "HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{long}",
                long.len()
            ),
            &format!(
                "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n{:x}\r\n{long}\r\n0\r\n\r\n",
                long.len()
            ),
        ] {
            let (answer, is_open) = answer(text).unwrap();
            assert_eq!(answer.status, 200, "{text}");
            assert!(!is_open, "{text}");
        }
        // What comes with an answer and is none of it; what comes after it is seen by `is_open`.
        let text = "HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\nok";
        assert!(!answer_by_steps(text, text.len()).unwrap().1);
        let (answer, is_open) = answer("HTTP/1.1 101 Switching Protocols\r\n\r\n").unwrap();
        assert_eq!((answer.status, is_open), (101, false));
    }

    #[test]
    fn what_is_no_answer_is_an_error() {
        for text in [
            "SSH-2.0-OpenSSH_9.6\r\n",
            "HTTP/2 200\r\n\r\n",
            "HTTP/1.1 099 Less\r\n\r\n",
            "HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n",
            "HTTP/1.1 200 OK\r\nContent-Length: 99999999999999999999\r\n\r\n",
            "HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n",
            "HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: \u{e9}\r\n\r\n",
            &format!(
                "HTTP/1.1 200 OK\r\n{}\r\n",
                "A: b\r\n".repeat(MAX_HEADERS + 1)
            ),
        ] {
            assert!(matches!(answer(text), Err(Error::Other(_))), "{text}");
        }
        let head = format!("HTTP/1.1 200 OK\r\nA: {}", "x".repeat(20_000));
        let error = answer(&head).unwrap_err();
        assert!(matches!(error, Error::LargeResponseHeader(..)), "{error}");
        for text in ["", "HTTP/1.1 200 OK\r\nContent-Le"] {
            let error = answer(text).unwrap_err();
            assert!(
                matches!(&error, Error::Io(e) if e.kind() == io::ErrorKind::UnexpectedEof),
                "{text}: {error}"
            );
        }
    }

    #[test]
    fn what_the_receiver_says_of_the_next_attempt_is_read() {
        let (answer, _) = answer(
            "HTTP/1.1 503 Busy\r\nretry-AFTER: 120 \r\nLocation: /é\r\nLocation: /x\r\n\
             Content-Length: 0\r\n\r\n",
        )
        .unwrap();
        assert_eq!(answer.retry_after.as_deref(), Some("120"));
        assert_eq!(answer.location, None);
    }
}
