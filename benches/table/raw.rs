//! The client that is written by hand: a stream that is kept open, and bytes that were made before.

use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;

use opteryx_webhooks::Message;
use rustls::{ClientConfig, ClientConnection, StreamOwned};

use crate::receiver::{Stream, read_message};

pub struct RawClient {
    address: SocketAddr,
    tls: Option<Arc<ClientConfig>>,
    stream: Option<Box<dyn Stream>>,
    buffer: Vec<u8>,
}

impl RawClient {
    pub fn new(address: SocketAddr, tls: Option<Arc<ClientConfig>>) -> RawClient {
        RawClient {
            address,
            tls,
            stream: None,
            buffer: vec![0; 1024],
        }
    }

    fn connection(&self) -> Box<dyn Stream> {
        let socket = TcpStream::connect(self.address).unwrap();
        socket.set_nodelay(true).unwrap();
        match &self.tls {
            None => Box::new(socket),
            Some(tls) => {
                let name = self.address.ip().into();
                let session = ClientConnection::new(Arc::clone(tls), name).unwrap();
                Box::new(StreamOwned::new(session, socket))
            }
        }
    }

    /// Sends a request over its one connection.
    pub fn send(&mut self, request: &[u8]) {
        let mut stream = self.stream.take().unwrap_or_else(|| self.connection());
        stream.write_all(request).unwrap();
        stream.flush().unwrap();
        read_message(&mut stream, &mut self.buffer).unwrap();
        self.stream = Some(stream);
    }

    /// The same over one that is made for it.
    pub fn send_afresh(&mut self, request: &[u8]) {
        self.stream = None;
        self.send(request);
        self.stream = None;
    }
}

/// A message as it goes over the wire.
pub fn request(message: &Message, host: &str) -> Vec<u8> {
    let mut bytes = format!("POST /event HTTP/1.1\r\nHost: {host}\r\n");
    for (name, value) in message.headers() {
        bytes += &format!("{name}: {value}\r\n");
    }
    bytes += &format!("Content-Length: {}\r\n\r\n", message.body().len());
    [bytes.as_bytes(), message.body()].concat()
}
