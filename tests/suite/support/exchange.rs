//! One HTTP exchange over a bare socket, for what no HTTP library would send.

use std::io::{BufRead, BufReader, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::time::Duration;

/// Far longer than any answer takes; only so that a suite fails instead of hanging.
const PATIENCE: Duration = Duration::from_secs(60);

/// What came back.
pub struct Answer {
    pub status: u16,
    pub headers: Vec<(String, String)>,
    pub body: String,
}

impl Answer {
    /// The value of a header, by its name in lower case.
    pub fn header(&self, name: &str) -> Option<&str> {
        let mut headers = self.headers.iter();
        headers
            .find(|(key, _)| key == name)
            .map(|(_, value)| &**value)
    }
}

/// Sends a request, byte for byte, and reads the answer.
pub fn exchange(address: SocketAddr, request: &[u8]) -> Answer {
    let mut stream = connect(address);
    send(&mut stream, request);
    receive(&mut BufReader::new(stream), request)
}

/// Sends a request and no more than that: the receiver sees the end of the stream.
pub fn exchange_and_end(address: SocketAddr, request: &[u8]) -> Answer {
    let mut stream = connect(address);
    send(&mut stream, request);
    let _ = stream.shutdown(Shutdown::Write);
    receive(&mut BufReader::new(stream), request)
}

/// Sends requests, one after another's answer, over one connection.
pub fn exchange_in_turn(address: SocketAddr, requests: &[&[u8]]) -> Vec<Answer> {
    let mut stream = BufReader::new(connect(address));
    let exchange = |request: &&[u8]| {
        send(stream.get_mut(), request);
        receive(&mut stream, request)
    };
    requests.iter().map(exchange).collect()
}

fn connect(address: SocketAddr) -> TcpStream {
    let stream = TcpStream::connect(address).expect("the receiver listens");
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    stream.set_write_timeout(Some(PATIENCE)).unwrap();
    stream
}

fn send(stream: &mut TcpStream, request: &[u8]) {
    // An answer may come, and the connection be closed, before all has been sent.
    let _ = stream.write_all(request);
}

fn receive(stream: &mut impl BufRead, request: &[u8]) -> Answer {
    let status = line(stream);
    let status = status.split(' ').nth(1).and_then(|code| code.parse().ok());
    let status = status.expect("an HTTP answer has a status");
    let mut headers = Vec::new();
    loop {
        let header = line(stream);
        let Some((name, value)) = header.split_once(':') else {
            break;
        };
        headers.push((name.to_ascii_lowercase(), value.trim().to_owned()));
    }
    let mut answer = Answer {
        status,
        headers,
        body: String::new(),
    };
    if status == 100 {
        return receive(stream, request);
    }
    if !request.starts_with(b"HEAD ") {
        let length = answer.header("content-length").expect("a length");
        let length = length.parse().expect("a length in digits");
        let mut body = vec![0; length];
        stream.read_exact(&mut body).expect("the whole body");
        answer.body = String::from_utf8(body).expect("text");
    }
    answer
}

fn line(stream: &mut impl BufRead) -> String {
    let mut line = String::new();
    stream.read_line(&mut line).expect("an answer in time");
    line.trim_end().to_owned()
}
