//! What direct delivery costs beside the exchange itself: `cargo bench --bench direct`.
//!
//! Each line is measured in turns with all the others, against the same receiver on loopback, so
//! that whatever else the machine does befalls them alike. The medians are shown, and how many times
//! that of the client that is written by hand, which sends bytes that were made beforehand: over a
//! connection that stays open, over one that is made for each event, and from several threads at
//! once. Without `--bench`, as a test, there are a few turns.

#![allow(
    clippy::expect_used,
    clippy::print_stdout,
    clippy::unwrap_used,
    dead_code,
    unreachable_pub
)]

use std::env;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use opteryx_webhooks::{Config, DatasetCreated, Event, Field, Message, Notifier, Recorder, Schema};
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use rustls::{ClientConfig, ClientConnection, RootCertStore, ServerConnection, StreamOwned};
use ureq::tls::{Certificate, RootCerts, TlsConfig};

#[path = "../tests/suite/support/tls.rs"]
mod tls;

/// How often the lines take turns.
const ROUNDS: usize = 3_000;

/// How often they do where each makes a connection.
const FRESH_ROUNDS: usize = 500;

/// How many threads notify at once, how many events each at every turn, and how many turns.
const THREADS: usize = 8;
const THREAD_EVENTS: usize = 200;
const THREAD_ROUNDS: usize = 30;

const ANSWER: &[u8] = b"HTTP/1.1 200 OK\r\nContent-Length: 16\r\n\r\n{\"status\":\"ok\"}\n";
const LAST_ANSWER: &[u8] =
    b"HTTP/1.1 200 OK\r\nContent-Length: 16\r\nConnection: close\r\n\r\n{\"status\":\"ok\"}\n";

trait Stream: Read + Write + Send {}
impl<S: Read + Write + Send> Stream for S {}

/// A receiver that reads a request in as few reads as may be, and answers in one write.
fn receiver(tls: Option<Arc<rustls::ServerConfig>>, answer: &'static [u8]) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").expect("loopback has a free port");
    let address = listener.local_addr().expect("it listens");
    thread::spawn(move || {
        for socket in listener.incoming().flatten() {
            let tls = tls.clone();
            thread::spawn(move || {
                socket.set_nodelay(true).expect("a socket");
                let mut stream: Box<dyn Stream> = match tls {
                    None => Box::new(socket),
                    Some(tls) => {
                        let session = ServerConnection::new(tls).expect("a session");
                        Box::new(StreamOwned::new(session, socket))
                    }
                };
                while read_message(&mut stream).is_some() {
                    let sent = stream.write_all(answer).and_then(|()| stream.flush());
                    if sent.is_err() || answer == LAST_ANSWER {
                        return;
                    }
                }
            });
        }
    });
    address
}

/// Reads a head and as much of a body as it announces.
fn read_message(stream: &mut impl Read) -> Option<()> {
    let (mut buffer, mut filled) = ([0; 16 * 1024], 0);
    loop {
        let read = stream
            .read(&mut buffer[filled..])
            .ok()
            .filter(|read| *read > 0)?;
        filled += read;
        let text = String::from_utf8_lossy(&buffer[..filled]);
        let Some((head, body)) = text.split_once("\r\n\r\n") else {
            continue;
        };
        let announced = head
            .lines()
            .filter_map(|line| line.split_once(':'))
            .find(|(name, _)| name.eq_ignore_ascii_case("content-length"))
            .map_or(0, |(_, length)| length.trim().parse().expect("a number"));
        if body.len() >= announced {
            return Some(());
        }
    }
}

fn event() -> Event<'static, DatasetCreated<'static>> {
    static FIELDS: std::sync::LazyLock<Vec<Field<'static>>> = std::sync::LazyLock::new(|| {
        [("id", "int64"), ("name", "string"), ("at", "timestamp[us]")]
            .map(|(name, kind)| Field::new(name, kind))
            .into()
    });
    Event::dataset_created(
        "my-workspace",
        "my-collection",
        "my-dataset",
        DatasetCreated {
            location: Some("gs://bucket/path"),
            schema: Some(Schema::from(FIELDS.as_slice())),
            ..Default::default()
        },
    )
}

/// The message that the notifier would send, for those who send it by other means.
fn message() -> Message {
    let recorder = Recorder::new();
    Notifier::with_delivery(recorder.clone()).notify(&event());
    recorder.take().remove(0)
}

struct Line<'a> {
    name: &'static str,
    run: Box<dyn FnMut() + 'a>,
    times: Vec<Duration>,
}

fn line<'a>(name: &'static str, run: impl FnMut() + 'a) -> Line<'a> {
    Line {
        name,
        run: Box::new(run),
        times: Vec::new(),
    }
}

fn measured(title: &str, mut lines: Vec<Line<'_>>, rounds: usize) {
    for line in &mut lines {
        (line.run)();
    }
    for _ in 0..rounds {
        for line in &mut lines {
            let start = Instant::now();
            (line.run)();
            line.times.push(start.elapsed());
        }
    }
    println!("\n| {title} | median | by hand = 1 |\n| --- | ---: | ---: |");
    let median = |times: &mut Vec<Duration>| {
        times.sort_unstable();
        times[times.len() / 2]
    };
    let by_hand = median(&mut lines[0].times);
    for line in &mut lines {
        let median = median(&mut line.times);
        let ratio = median.as_secs_f64() / by_hand.as_secs_f64();
        println!("| {} | {median:.1?} | {ratio:.2} |", line.name);
    }
}

/// Runs it in as many threads as there are values, each so many times.
fn at_once<T: Send>(values: &mut [T], run: impl Fn(&mut T) + Sync) {
    thread::scope(|scope| {
        for value in values {
            let run = &run;
            scope.spawn(move || {
                for _ in 0..THREAD_EVENTS {
                    run(value);
                }
            });
        }
    });
}

fn request(message: &Message, host: &str) -> Vec<u8> {
    let mut bytes = format!("POST /event HTTP/1.1\r\nHost: {host}\r\n");
    for (name, value) in message.headers() {
        bytes += &format!("{name}: {value}\r\n");
    }
    bytes += &format!("Content-Length: {}\r\n\r\n", message.body().len());
    [bytes.as_bytes(), message.body()].concat()
}

/// An endpoint on loopback, and how clients reach it.
struct Site {
    address: SocketAddr,
    domain: String,
    /// The authority's certificate, if there is TLS.
    certificate: Option<CertificateDer<'static>>,
    tls: Option<Arc<ClientConfig>>,
    notifier: Notifier,
    /// The request as the client by hand sends it.
    bytes: Vec<u8>,
}

impl Site {
    fn new(authority: Option<&tls::Authority>, answer: &'static [u8]) -> Site {
        let address = receiver(authority.map(tls::Authority::server), answer);
        let host = address.to_string();
        let scheme = if authority.is_some() { "https" } else { "http" };
        let domain = format!("{scheme}://{host}");
        let file = authority.map(tls::Authority::file);
        let mut vars = vec![("OPTERYX_WEBHOOK_DOMAIN", domain.as_str())];
        if let Some(file) = &file {
            vars.push(("SSL_CERT_FILE", file.to_str().unwrap()));
        }
        let certificate = file
            .as_deref()
            .map(|file| CertificateDer::from_pem_file(file).unwrap());
        let tls = certificate.clone().map(|certificate| {
            let mut roots = RootCertStore::empty();
            roots.add(certificate).unwrap();
            let provider = Arc::new(rustls::crypto::ring::default_provider());
            let config = ClientConfig::builder_with_provider(provider)
                .with_safe_default_protocol_versions()
                .unwrap()
                .with_root_certificates(roots)
                .with_no_client_auth();
            Arc::new(config)
        });
        Site {
            address,
            certificate,
            tls,
            notifier: Notifier::new(Config::from_vars(vars).unwrap()),
            bytes: request(&message(), &host),
            domain,
        }
    }

    /// A connection of the client by hand.
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

    fn send_by_hand(&self, stream: &mut Box<dyn Stream>) {
        stream.write_all(&self.bytes).unwrap();
        stream.flush().unwrap();
        read_message(stream).unwrap();
    }

    fn notify(&self) {
        assert!(self.notifier.notify(&event()).is_ok());
    }

    fn stock_ureq(&self) -> ureq::Agent {
        let mut config =
            ureq::Agent::config_builder().timeout_global(Some(Duration::from_secs(10)));
        if let Some(certificate) = &self.certificate {
            let certificate = Certificate::from_der(certificate).to_owned();
            config = config.tls_config(
                TlsConfig::builder()
                    .root_certs(RootCerts::new_with_certs(&[certificate]))
                    .unversioned_rustls_crypto_provider(Arc::new(
                        rustls::crypto::ring::default_provider(),
                    ))
                    .build(),
            );
        }
        config.build().new_agent()
    }
}

fn main() {
    let is_bench = env::args().any(|argument| argument == "--bench");
    let rounds = |rounds| if is_bench { rounds } else { 3 };
    let message = message();
    let authority = tls::Authority::new();

    for (scheme, authority) in [("http", None), ("https", Some(&authority))] {
        let site = Site::new(authority, ANSWER);
        let mut stream = site.connection();
        let stock = site.stock_ureq();
        measured(
            &format!("{scheme}, one thread, warm"),
            vec![
                line("by hand", || site.send_by_hand(&mut stream)),
                line("opteryx-webhooks", || site.notify()),
                line("stock ureq", || post(&stock, &site.domain, &message)),
            ],
            rounds(ROUNDS),
        );

        let mut streams: Vec<_> = (0..THREADS).map(|_| site.connection()).collect();
        measured(
            &format!("{scheme}, {THREADS} threads, {THREAD_EVENTS} events each"),
            vec![
                line("by hand", || {
                    at_once(&mut streams, |stream| site.send_by_hand(stream));
                }),
                line("opteryx-webhooks", || {
                    at_once(&mut [(); THREADS], |()| site.notify());
                }),
            ],
            rounds(THREAD_ROUNDS),
        );

        let site = Site::new(authority, LAST_ANSWER);
        measured(
            &format!("{scheme}, one thread, a fresh connection for each"),
            vec![
                line("by hand", || site.send_by_hand(&mut site.connection())),
                line("opteryx-webhooks", || site.notify()),
            ],
            rounds(FRESH_ROUNDS),
        );
    }
}

fn post(agent: &ureq::Agent, url: &str, message: &Message) {
    let mut request = agent.post(format!("{url}/event"));
    for (name, value) in message.headers() {
        request = request.header(name, value.as_ref());
    }
    let mut response = request.send(message.body()).unwrap();
    response.body_mut().read_to_string().unwrap();
}
