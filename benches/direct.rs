//! What direct delivery costs beside the exchange itself: `cargo bench --bench direct`.
//!
//! Each line is measured in turns with all the others, against the same receiver on loopback, so
//! that whatever else the machine does befalls them alike. The medians are shown, and how many times
//! that of the client that is written by hand, which sends bytes that were made beforehand over a
//! connection that stays open. Without `--bench`, as a test, there are a few turns.

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

const ANSWER: &[u8] = b"HTTP/1.1 200 OK\r\nContent-Length: 16\r\n\r\n{\"status\":\"ok\"}\n";

trait Stream: Read + Write + Send {}
impl<S: Read + Write + Send> Stream for S {}

/// A receiver that reads a request in as few reads as may be, and answers in one write.
fn receiver(tls: Option<Arc<rustls::ServerConfig>>) -> SocketAddr {
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
                    if stream
                        .write_all(ANSWER)
                        .and_then(|()| stream.flush())
                        .is_err()
                    {
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
    println!("\n| {title}, one thread, warm | median | by hand = 1 |\n| --- | ---: | ---: |");
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

fn request(message: &Message, host: &str) -> Vec<u8> {
    let mut bytes = format!("POST /event HTTP/1.1\r\nHost: {host}\r\n");
    for (name, value) in message.headers() {
        bytes += &format!("{name}: {value}\r\n");
    }
    bytes += &format!("Content-Length: {}\r\n\r\n", message.body().len());
    [bytes.as_bytes(), message.body()].concat()
}

fn main() {
    let rounds = if env::args().any(|argument| argument == "--bench") {
        ROUNDS
    } else {
        3
    };
    let message = message();

    let address = receiver(None);
    let domain = format!("http://{address}");
    let notifier = Notifier::new(Config::from_vars([("OPTERYX_WEBHOOK_DOMAIN", &domain)]).unwrap());
    let bytes = request(&message, &address.to_string());
    let mut socket = TcpStream::connect(address).unwrap();
    socket.set_nodelay(true).unwrap();
    let stock = ureq::Agent::config_builder()
        .timeout_global(Some(Duration::from_secs(10)))
        .build()
        .new_agent();
    measured(
        "http",
        vec![
            line("by hand", || {
                socket.write_all(&bytes).unwrap();
                read_message(&mut socket).unwrap();
            }),
            line("opteryx-webhooks", || {
                assert!(notifier.notify(&event()).is_ok())
            }),
            line("stock ureq", || post(&stock, &domain, &message)),
        ],
        rounds,
    );

    let authority = tls::Authority::new();
    let file = authority.file();
    let address = receiver(Some(authority.server()));
    let domain = format!("localhost:{}", address.port());
    let vars = [
        ("OPTERYX_WEBHOOK_DOMAIN", domain.as_str()),
        ("SSL_CERT_FILE", file.to_str().unwrap()),
    ];
    let notifier = Notifier::new(Config::from_vars(vars).unwrap());
    let certificate = CertificateDer::from_pem_file(&file).unwrap();
    let mut roots = RootCertStore::empty();
    roots.add(certificate.clone()).unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ClientConfig::builder_with_provider(Arc::clone(&provider))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    let session = ClientConnection::new(Arc::new(config), "localhost".try_into().unwrap()).unwrap();
    let socket = TcpStream::connect(address).unwrap();
    socket.set_nodelay(true).unwrap();
    let mut stream = StreamOwned::new(session, socket);
    let bytes = request(&message, &domain);
    let url = format!("https://{domain}");
    let stock = ureq::Agent::config_builder()
        .timeout_global(Some(Duration::from_secs(10)))
        .tls_config(
            TlsConfig::builder()
                .root_certs(RootCerts::new_with_certs(&[Certificate::from_der(
                    &certificate,
                )
                .to_owned()]))
                .unversioned_rustls_crypto_provider(provider)
                .build(),
        )
        .build()
        .new_agent();
    measured(
        "https",
        vec![
            line("by hand", || {
                stream.write_all(&bytes).unwrap();
                stream.flush().unwrap();
                read_message(&mut stream).unwrap();
            }),
            line("opteryx-webhooks", || {
                assert!(notifier.notify(&event()).is_ok())
            }),
            line("stock ureq", || post(&stock, &url, &message)),
        ],
        rounds,
    );
}

fn post(agent: &ureq::Agent, url: &str, message: &Message) {
    let mut request = agent.post(format!("{url}/event"));
    for (name, value) in message.headers() {
        request = request.header(name, value.as_ref());
    }
    let mut response = request.send(message.body()).unwrap();
    response.body_mut().read_to_string().unwrap();
}
