//! The bytes to and from the receiver, by ureq's own extension points.
//!
//! [`Dial`] opens the socket, and keeps what ureq's own does not: a deadline that partial reads and
//! writes cannot stretch.

use std::fmt;
use std::io::{self, Read, Write};
#[cfg(unix)]
use std::mem::MaybeUninit;
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

#[cfg(unix)]
use socket2::SockRef;
use ureq::Error;
use ureq::unversioned::transport::{
    Buffers, ConnectionDetails, Connector, Either, LazyBuffers, NextTimeout, Transport,
};

use super::attempt::{self, Phase};
use super::resolver::Names;

/// How long one address is tried while there are others: a name whose first address is dead (no
/// IPv6 route, often) must not take the event's time from those that live.
const MAX_CONNECT_WHILE_OTHERS: Duration = Duration::from_secs(1);

/// The steps in which a socket's timeout is set. Rounding up to them leaves the kernel's setting as
/// it is from one event to the next, and makes a wait that much longer at most.
const TIMEOUT_STEP: Duration = Duration::from_millis(10);

/// Opens the TCP connection, trying one of the name's addresses after the other.
pub(super) struct Dial {
    pub(super) names: Names,
}

impl<In: Transport> Connector<In> for Dial {
    type Out = Either<In, Socket>;

    fn connect(
        &self,
        details: &ConnectionDetails<'_>,
        chained: Option<In>,
    ) -> Result<Option<Self::Out>, Error> {
        // A tunnel through a proxy is a connection already.
        if let Some(tunnel) = chained {
            attempt::enter(Phase::Handshaking);
            return Ok(Some(Either::A(tunnel)));
        }
        attempt::enter(Phase::Resolving);
        let time = *details.timeout.after;
        let addresses = self
            .names
            .addresses(details.uri, attempt::remaining(time))?;
        attempt::connecting();
        match dial(&addresses, attempt::remaining(time)) {
            Ok(stream) => {
                attempt::enter(Phase::Handshaking);
                let buffers = LazyBuffers::new(
                    details.config.input_buffer_size(),
                    details.config.output_buffer_size(),
                );
                Ok(Some(Either::B(Socket::new(stream, buffers))))
            }
            Err(error) => {
                self.names.forget(details.uri);
                Err(match error.kind() {
                    io::ErrorKind::TimedOut => Error::Timeout(details.timeout.reason),
                    _ => Error::Io(error),
                })
            }
        }
    }
}

impl fmt::Debug for Dial {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Dial")
    }
}

fn dial(addresses: &[SocketAddr], time: Duration) -> io::Result<TcpStream> {
    let mut error = io::Error::from(io::ErrorKind::AddrNotAvailable);
    for (position, address) in addresses.iter().enumerate() {
        let left = attempt::remaining(time);
        if left.is_zero() {
            return Err(io::ErrorKind::TimedOut.into());
        }
        let is_last = position + 1 == addresses.len();
        let limit = if is_last {
            left
        } else {
            (left / 2).min(MAX_CONNECT_WHILE_OTHERS)
        };
        match TcpStream::connect_timeout(address, limit) {
            Ok(stream) => {
                stream.set_nodelay(true)?;
                return Ok(stream);
            }
            Err(failure) => error = failure,
        }
    }
    Err(error)
}

/// A TCP connection.
pub(super) struct Socket {
    stream: TcpStream,
    buffers: LazyBuffers,
    read_timeout: Option<Duration>,
    write_timeout: Option<Duration>,
}

impl Socket {
    fn new(stream: TcpStream, buffers: LazyBuffers) -> Socket {
        Socket {
            stream,
            buffers,
            read_timeout: None,
            write_timeout: None,
        }
    }
}

/// Runs one read or write until it is done or the time is up, whatever the kernel's own timeout,
/// interrupts and partial results do in between.
fn within_deadline<T>(
    timeout: NextTimeout,
    mut step: impl FnMut(Duration) -> io::Result<T>,
) -> Result<T, Error> {
    // `after` counts from now, where ureq sets one; the attempt's own deadline is absolute and may come
    // first.
    let ends = (!timeout.after.is_not_happening())
        .then(|| std::time::Instant::now().checked_add(*timeout.after))
        .flatten();
    loop {
        let left = ends.map_or(Duration::MAX, |ends| {
            ends.saturating_duration_since(std::time::Instant::now())
        });
        let left = attempt::remaining(left);
        if left.is_zero() {
            return Err(Error::Timeout(timeout.reason));
        }
        match step(rounded_up(left)) {
            Ok(value) => return Ok(value),
            Err(error) => match error.kind() {
                io::ErrorKind::Interrupted
                | io::ErrorKind::WouldBlock
                | io::ErrorKind::TimedOut => {}
                _ => return Err(Error::Io(error)),
            },
        }
    }
}

fn rounded_up(time: Duration) -> Duration {
    let steps = time.as_nanos().div_ceil(TIMEOUT_STEP.as_nanos());
    u32::try_from(steps).map_or(Duration::MAX, |steps| TIMEOUT_STEP.saturating_mul(steps))
}

impl Transport for Socket {
    fn buffers(&mut self) -> &mut dyn Buffers {
        &mut self.buffers
    }

    fn transmit_output(&mut self, amount: usize, timeout: NextTimeout) -> Result<(), Error> {
        let timeout = timeout.for_write();
        let Socket {
            stream,
            buffers,
            write_timeout,
            ..
        } = self;
        let mut rest = &buffers.output()[..amount];
        while !rest.is_empty() {
            let written = within_deadline(timeout, |left| {
                if *write_timeout != Some(left) {
                    stream.set_write_timeout(Some(left))?;
                    *write_timeout = Some(left);
                }
                stream.write(rest)
            })?;
            if written == 0 {
                return Err(Error::Io(io::ErrorKind::WriteZero.into()));
            }
            rest = &rest[written..];
        }
        Ok(())
    }

    fn await_input(&mut self, timeout: NextTimeout) -> Result<bool, Error> {
        let Socket {
            stream,
            buffers,
            read_timeout,
            ..
        } = self;
        let room = buffers.input_append_buf();
        if room.is_empty() {
            // A head that fills the whole buffer; reading on would look like the connection's end.
            let size = buffers.input().len();
            return Err(Error::LargeResponseHeader(size, size));
        }
        let read = within_deadline(timeout.for_read(), |left| {
            if *read_timeout != Some(left) {
                stream.set_read_timeout(Some(left))?;
                *read_timeout = Some(left);
            }
            stream.read(room)
        })?;
        buffers.input_appended(read);
        Ok(read > 0)
    }

    fn is_open(&mut self) -> bool {
        is_quiet(&self.stream)
    }
}

/// Whether the receiver has neither closed the connection nor sent what nobody asked for.
///
/// One system call: to make the socket non-blocking for a read, and then again not, would be three.
#[cfg(unix)]
fn is_quiet(stream: &TcpStream) -> bool {
    let flags = libc::MSG_PEEK | libc::MSG_DONTWAIT;
    let mut byte = [MaybeUninit::uninit()];
    would_block(SockRef::from(stream).recv_with_flags(&mut byte, flags))
}

/// Whether the receiver has neither closed the connection nor sent what nobody asked for.
#[cfg(not(unix))]
fn is_quiet(stream: &TcpStream) -> bool {
    let peeked = stream
        .set_nonblocking(true)
        .and_then(|()| stream.peek(&mut [0]));
    stream.set_nonblocking(false).is_ok() && would_block(peeked)
}

fn would_block<T>(result: io::Result<T>) -> bool {
    result.is_err_and(|error| error.kind() == io::ErrorKind::WouldBlock)
}

impl fmt::Debug for Socket {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Socket").field(&self.stream).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_timeout_is_rounded_up_to_the_next_step_and_never_to_zero() {
        let ms = Duration::from_millis;
        assert_eq!(rounded_up(Duration::from_nanos(1)), ms(10));
        assert_eq!(rounded_up(ms(10)), ms(10));
        assert_eq!(rounded_up(ms(9_999)), ms(10_000));
        assert_eq!(rounded_up(Duration::MAX), Duration::MAX);
    }
}
