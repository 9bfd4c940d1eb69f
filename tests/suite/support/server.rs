//! Receivers of the tests' own: real sockets, and scripts that may be as bad as they like.

use std::collections::HashMap;
use std::io::{self, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use rustls::{ServerConfig, ServerConnection, StreamOwned};

/// A receiver that runs a script for each connection, in a thread of its own.
pub struct Server {
    address: SocketAddr,
    shared: Arc<Shared>,
    accepting: Option<thread::JoinHandle<()>>,
}

#[derive(Default)]
struct Shared {
    connections: AtomicUsize,
    stopping: AtomicBool,
    open: Mutex<Vec<TcpStream>>,
    requests: Mutex<Vec<Request>>,
}

/// A request as it arrived; header names in lower case.
#[derive(Clone, Debug)]
pub struct Request {
    pub line: String,
    pub headers: HashMap<String, String>,
    pub body: Vec<u8>,
}

impl Request {
    pub fn json(&self) -> serde_json::Value {
        serde_json::from_slice(&self.body).expect("the body is JSON")
    }
}

/// One connection, as a script sees it.
pub struct Connection {
    stream: Box<dyn ReadWrite>,
    socket: TcpStream,
    shared: Arc<Shared>,
}

trait ReadWrite: Read + Write + Send {}
impl<T: Read + Write + Send> ReadWrite for T {}

impl Server {
    /// A receiver that answers every request with 200.
    pub fn ok() -> Server {
        Server::start(Connection::answer_all)
    }

    /// A receiver over plain TCP, on a free port of 127.0.0.1.
    pub fn start(script: impl Fn(Connection) + Send + Sync + 'static) -> Server {
        Server::on(listener(), None, script)
    }

    /// A receiver over TLS.
    pub fn start_tls(
        config: Arc<ServerConfig>,
        script: impl Fn(Connection) + Send + Sync + 'static,
    ) -> Server {
        Server::on(listener(), Some(config), script)
    }

    /// A receiver on this listener.
    pub fn on(
        listener: TcpListener,
        tls: Option<Arc<ServerConfig>>,
        script: impl Fn(Connection) + Send + Sync + 'static,
    ) -> Server {
        let address = listener.local_addr().expect("it listens");
        let shared = Arc::new(Shared::default());
        let script = Arc::new(script);
        let accepting = {
            let shared = Arc::clone(&shared);
            thread::spawn(move || {
                for socket in listener.incoming() {
                    if shared.stopping.load(Ordering::SeqCst) {
                        return;
                    }
                    let Ok(socket) = socket else { continue };
                    shared.connections.fetch_add(1, Ordering::SeqCst);
                    shared
                        .open
                        .lock()
                        .unwrap()
                        .push(socket.try_clone().unwrap());
                    let (shared, script, tls) =
                        (Arc::clone(&shared), Arc::clone(&script), tls.clone());
                    thread::spawn(move || {
                        socket.set_nodelay(true).unwrap();
                        let stream: Box<dyn ReadWrite> = match tls {
                            None => Box::new(socket.try_clone().unwrap()),
                            Some(config) => Box::new(StreamOwned::new(
                                ServerConnection::new(config).unwrap(),
                                socket.try_clone().unwrap(),
                            )),
                        };
                        script(Connection {
                            stream,
                            socket,
                            shared,
                        });
                    });
                }
            })
        };
        Server {
            address,
            shared,
            accepting: Some(accepting),
        }
    }

    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// For `OPTERYX_WEBHOOK_DOMAIN`, as plain http.
    pub fn domain(&self) -> String {
        format!("http://{}", self.address)
    }

    /// How many connections have been accepted.
    pub fn connections(&self) -> usize {
        self.shared.connections.load(Ordering::SeqCst)
    }

    /// The requests so far that a script has read.
    pub fn requests(&self) -> Vec<Request> {
        self.shared.requests.lock().unwrap().clone()
    }
}

/// Stops listening and closes every connection.
impl Drop for Server {
    fn drop(&mut self) {
        self.shared.stopping.store(true, Ordering::SeqCst);
        let _ = TcpStream::connect(self.address);
        if let Some(accepting) = self.accepting.take() {
            let _ = accepting.join();
        }
        for socket in self.shared.open.lock().unwrap().drain(..) {
            let _ = socket.shutdown(Shutdown::Both);
        }
    }
}

pub fn listener() -> TcpListener {
    TcpListener::bind("127.0.0.1:0").expect("loopback has a free port")
}

impl Connection {
    /// Answers every request with 200 until the sender closes.
    pub fn answer_all(mut self) {
        while self.request().is_some() {
            if self
                .send("HTTP/1.1 200 OK\r\nContent-Length: 15\r\n\r\n{\"status\":\"ok\"}")
                .is_err()
            {
                return;
            }
        }
    }

    /// The next request, whole; none once the sender has closed.
    pub fn request(&mut self) -> Option<Request> {
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            let mut byte = [0];
            if self.stream.read(&mut byte).ok()? == 0 {
                return None;
            }
            head.push(byte[0]);
        }
        let head = String::from_utf8(head).expect("a head is text");
        let mut lines = head.trim_end().split("\r\n");
        let line = lines.next()?.to_owned();
        let mut headers = HashMap::new();
        for header in lines {
            let (name, value) = header.split_once(": ").expect("a header has a value");
            let twice = headers.insert(name.to_ascii_lowercase(), value.to_owned());
            assert_eq!(twice, None, "{name} stands there twice");
        }
        let length = headers
            .get("content-length")
            .map_or(0, |length| length.parse().unwrap());
        let mut body = vec![0; length];
        self.stream.read_exact(&mut body).ok()?;
        let request = Request {
            line,
            headers,
            body,
        };
        self.shared.requests.lock().unwrap().push(request.clone());
        Some(request)
    }

    pub fn send(&mut self, bytes: impl AsRef<[u8]>) -> io::Result<()> {
        self.stream.write_all(bytes.as_ref())?;
        self.stream.flush()
    }

    /// Sends it a byte at a time, for as long as anyone listens.
    pub fn drip(&mut self, bytes: impl AsRef<[u8]>, pause: Duration) {
        for byte in bytes.as_ref() {
            if self.send([*byte]).is_err() {
                return;
            }
            thread::sleep(pause);
        }
    }

    /// How long the next read may wait for the sender.
    pub fn wait_at_most(&self, time: Duration) {
        self.socket.set_read_timeout(Some(time)).unwrap();
    }

    /// Passes bytes on in both directions, as a proxy does once the tunnel stands.
    pub fn tunnel_to(self, target: SocketAddr) {
        let upstream = TcpStream::connect(target).unwrap();
        let (mut from, mut to) = (
            self.socket.try_clone().unwrap(),
            upstream.try_clone().unwrap(),
        );
        thread::spawn(move || {
            let _ = io::copy(&mut from, &mut to);
            let _ = to.shutdown(Shutdown::Write);
        });
        let _ = io::copy(&mut &upstream, &mut &self.socket);
    }

    /// Does nothing until the sender has closed; what it sends meanwhile is thrown away.
    pub fn stay_silent(mut self) {
        let _ = io::copy(&mut self.socket, &mut io::sink());
    }

    /// Does not even read, until the server is dropped.
    pub fn never_read(self) {
        while !self.shared.stopping.load(Ordering::SeqCst) {
            thread::sleep(Duration::from_millis(10));
        }
    }

    /// Closes with a reset instead of an orderly end.
    pub fn reset(self) {
        socket2::SockRef::from(&self.socket)
            .set_linger(Some(Duration::ZERO))
            .unwrap();
        let open = &mut *self.shared.open.lock().unwrap();
        // The reset goes out when the last copy of the socket is closed.
        let address = self.socket.peer_addr().ok();
        open.retain(|other| other.peer_addr().ok() != address);
    }

    /// Closes in an orderly way.
    pub fn close(self) {
        let _ = self.socket.shutdown(Shutdown::Both);
    }
}
