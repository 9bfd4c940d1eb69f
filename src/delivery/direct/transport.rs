//! The bytes to and from the receiver, by ureq's own extension points.
//!
//! [`Dial`] opens the socket, and keeps what ureq's own does not: a deadline that partial reads and
//! writes cannot stretch. [`Held`] has ureq ask a proxy for a tunnel in one write.

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
        let time = attempt::remaining(Duration::MAX);
        let addresses = self.names.addresses(details.uri, time)?;
        attempt::connecting();
        match dial(&addresses) {
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

fn dial(addresses: &[SocketAddr]) -> io::Result<TcpStream> {
    let mut error = io::Error::from(io::ErrorKind::AddrNotAvailable);
    for (position, address) in addresses.iter().enumerate() {
        let left = attempt::remaining(Duration::MAX);
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
    loop {
        // ureq itself sets no time.
        let left = attempt::remaining(Duration::MAX);
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
        if !attempt::reads() {
            return Err(Error::Timeout(timeout.reason));
        }
        let read = within_deadline(timeout, |left| {
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

/// Puts a [`HeldTransport`] upon the connection to a proxy, which is to become a tunnel.
#[derive(Debug)]
pub(super) struct Held {
    /// Whether there is a proxy on the way.
    pub(super) is_proxied: bool,
}

impl<In: Transport> Connector<In> for Held {
    type Out = Either<In, HeldTransport<In>>;

    fn connect(
        &self,
        details: &ConnectionDetails<'_>,
        chained: Option<In>,
    ) -> Result<Option<Self::Out>, Error> {
        // The one to the proxy itself is made without a proxy.
        let becomes_a_tunnel = self.is_proxied && details.config.proxy().is_none();
        Ok(chained.map(|inner| {
            if becomes_a_tunnel {
                Either::B(HeldTransport {
                    inner,
                    held: Vec::new(),
                })
            } else {
                Either::A(inner)
            }
        }))
    }
}

/// Holds output back until an answer is awaited, so that a CONNECT, which ureq writes word by word,
/// leaves in one piece: there are proxies that look at the first alone.
pub(super) struct HeldTransport<T> {
    inner: T,
    held: Vec<u8>,
}

impl<T: Transport> HeldTransport<T> {
    fn release(&mut self, timeout: NextTimeout) -> Result<(), Error> {
        let mut rest = self.held.as_slice();
        while !rest.is_empty() {
            let output = self.inner.buffers().output();
            let amount = rest.len().min(output.len());
            output[..amount].copy_from_slice(&rest[..amount]);
            self.inner.transmit_output(amount, timeout)?;
            rest = &rest[amount..];
        }
        self.held.clear();
        Ok(())
    }
}

impl<T: Transport> Transport for HeldTransport<T> {
    fn buffers(&mut self) -> &mut dyn Buffers {
        self.inner.buffers()
    }

    fn transmit_output(&mut self, amount: usize, timeout: NextTimeout) -> Result<(), Error> {
        let output = self.inner.buffers().output();
        let limit = output.len();
        self.held.extend_from_slice(&output[..amount]);
        // A CONNECT is shorter. What then goes through the tunnel need not be held at all.
        if self.held.len() >= limit {
            self.release(timeout)?;
        }
        Ok(())
    }

    fn await_input(&mut self, timeout: NextTimeout) -> Result<bool, Error> {
        self.release(timeout)?;
        self.inner.await_input(timeout)
    }

    fn is_open(&mut self) -> bool {
        self.inner.is_open()
    }

    fn is_tls(&self) -> bool {
        self.inner.is_tls()
    }
}

impl<T: fmt::Debug> fmt::Debug for HeldTransport<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("HeldTransport").field(&self.inner).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Remembers each write.
    #[derive(Debug)]
    struct Written {
        writes: Vec<Vec<u8>>,
        buffers: LazyBuffers,
    }

    impl Transport for Written {
        fn buffers(&mut self) -> &mut dyn Buffers {
            &mut self.buffers
        }

        fn transmit_output(&mut self, amount: usize, _: NextTimeout) -> Result<(), Error> {
            let written = self.buffers.output()[..amount].to_vec();
            self.writes.push(written);
            Ok(())
        }

        fn await_input(&mut self, _: NextTimeout) -> Result<bool, Error> {
            Ok(false)
        }

        fn is_open(&mut self) -> bool {
            true
        }
    }

    #[test]
    fn what_is_held_leaves_in_one_piece_when_an_answer_is_awaited() {
        let mut transport = HeldTransport {
            inner: Written {
                writes: Vec::new(),
                buffers: LazyBuffers::new(64, 64),
            },
            held: Vec::new(),
        };
        let write = |transport: &mut HeldTransport<Written>, text: &[u8]| {
            transport.buffers().output()[..text.len()].copy_from_slice(text);
            let written = transport.transmit_output(text.len(), NextTimeout::default());
            written.unwrap();
        };
        for word in ["CONNECT", " ", "a.example:443", "\r\n\r\n"] {
            write(&mut transport, word.as_bytes());
        }
        assert!(transport.inner.writes.is_empty());
        assert!(!transport.await_input(NextTimeout::default()).unwrap());
        assert_eq!(transport.inner.writes, [b"CONNECT a.example:443\r\n\r\n"]);

        // More than fits a buffer is not held.
        write(&mut transport, &[b'x'; 40]);
        write(&mut transport, &[b'x'; 40]);
        assert_eq!(transport.inner.writes[1..].concat(), [b'x'; 80]);
    }

    #[test]
    fn a_timeout_is_rounded_up_to_the_next_step_and_never_to_zero() {
        let ms = Duration::from_millis;
        assert_eq!(rounded_up(Duration::from_nanos(1)), ms(10));
        assert_eq!(rounded_up(ms(10)), ms(10));
        assert_eq!(rounded_up(ms(9_999)), ms(10_000));
        assert_eq!(rounded_up(Duration::MAX), Duration::MAX);
    }
}
