//! A receiver that reads a request in as few reads as may be, and answers in one write.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use rustls::{ServerConfig, ServerConnection, StreamOwned};

/// Larger than any message here.
const BUFFER_SIZE: usize = 80 * 1024;

const ANSWER: &[u8] = b"HTTP/1.1 200 OK\r\nContent-Length: 16\r\n\r\n{\"status\":\"ok\"}\n";
const LAST_ANSWER: &[u8] =
    b"HTTP/1.1 200 OK\r\nContent-Length: 16\r\nConnection: close\r\n\r\n{\"status\":\"ok\"}\n";

pub trait Stream: Read + Write + Send {}
impl<S: Read + Write + Send> Stream for S {}

struct Receiver {
    listener: TcpListener,
    tls: Option<Arc<ServerConfig>>,
    keeps_open: bool,
    /// How many threads wait for a connection.
    waiting: AtomicUsize,
}

/// Starts one. It keeps connections open, or closes each after its first answer.
pub fn start(tls: Option<Arc<ServerConfig>>, keeps_open: bool) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").expect("loopback has a free port");
    let address = listener.local_addr().expect("it listens");
    let receiver = Receiver {
        listener,
        tls,
        keeps_open,
        waiting: AtomicUsize::new(0),
    };
    Arc::new(receiver).one_more();
    address
}

impl Receiver {
    /// One more thread that serves one connection after the other. There is always one that waits, so
    /// that no connection pays for the start of a thread.
    fn one_more(self: Arc<Receiver>) {
        self.waiting.fetch_add(1, Ordering::SeqCst);
        thread::spawn(move || {
            let mut buffer = vec![0; BUFFER_SIZE];
            for socket in self.listener.incoming().flatten() {
                if self.waiting.fetch_sub(1, Ordering::SeqCst) == 1 {
                    Arc::clone(&self).one_more();
                }
                self.serve(socket, &mut buffer);
                self.waiting.fetch_add(1, Ordering::SeqCst);
            }
        });
    }

    fn serve(&self, socket: TcpStream, buffer: &mut [u8]) {
        socket.set_nodelay(true).expect("a socket");
        let mut stream: Box<dyn Stream> = match &self.tls {
            None => Box::new(socket),
            Some(tls) => {
                let session = ServerConnection::new(Arc::clone(tls)).expect("a session");
                Box::new(StreamOwned::new(session, socket))
            }
        };
        let answer = if self.keeps_open { ANSWER } else { LAST_ANSWER };
        while read_message(&mut stream, buffer).is_some() {
            let sent = stream.write_all(answer).and_then(|()| stream.flush());
            if sent.is_err() || !self.keeps_open {
                return;
            }
        }
    }
}

/// Reads a head and as much of a body as it announces; none if that is not all there.
pub fn read_message(stream: &mut impl Read, buffer: &mut [u8]) -> Option<()> {
    let (mut filled, mut length) = (0, None);
    loop {
        let read = stream
            .read(&mut buffer[filled..])
            .ok()
            .filter(|read| *read > 0)?;
        filled += read;
        if length.is_none() {
            length = announced(&buffer[..filled]);
        }
        if length.is_some_and(|length| filled >= length) {
            return Some(());
        }
    }
}

/// How long the whole message is, once its head is there.
fn announced(bytes: &[u8]) -> Option<usize> {
    let end = bytes.windows(4).position(|four| four == b"\r\n\r\n")? + 4;
    let body = bytes[..end]
        .split(|byte| *byte == b'\n')
        .filter_map(|line| std::str::from_utf8(line).ok()?.split_once(':'))
        .find(|(name, _)| name.eq_ignore_ascii_case("content-length"))
        .map_or(0, |(_, length)| length.trim().parse().expect("a number"));
    Some(end + body)
}
