//! Receivers and networks that misbehave: an outcome in time, whatever they do.

use std::net::{SocketAddr, TcpListener};
use std::time::{Duration, Instant};

use opteryx_webhooks::{DeliveryError, Notifier, Outcome};

use crate::support::server::{self, Connection, Server};
use crate::support::tls::Authority;
use crate::support::{event, in_time, notifier};

/// Long enough that a machine under load does not reach it by itself, and short enough to wait for.
const TIMEOUT: Duration = Duration::from_millis(1500);
const SECONDS: &str = "1.5";

fn impatient(domain: &str) -> Notifier {
    notifier(domain, [("OPTERYX_WEBHOOK_TIMEOUT", SECONDS)])
}

fn impatient_trusting(authority: &Authority, domain: &str) -> Notifier {
    let file = authority.file();
    let vars = [
        ("OPTERYX_WEBHOOK_TIMEOUT", SECONDS),
        ("SSL_CERT_FILE", file.to_str().unwrap()),
    ];
    notifier(domain, vars)
}

/// Notifies twice, so that a connection left over from the first is tried as well, and expects the
/// same error both times.
fn failure(notifier: &Notifier) -> DeliveryError {
    let first = in_time(TIMEOUT, || notifier.notify(&event()));
    let Outcome::Failed(first) = first else {
        panic!("{first:?}")
    };
    let second = in_time(TIMEOUT, || notifier.notify(&event()));
    let Outcome::Failed(second) = second else {
        panic!("{second:?}")
    };
    assert_eq!(first.to_string(), second.to_string());
    first
}

fn timeout(script: impl Fn(Connection) + Send + Sync + 'static) -> String {
    let receiver = Server::start(script);
    let started = Instant::now();
    let error = failure(&impatient(&receiver.domain()));
    assert!(error.is_timeout(), "{error}");
    assert!(started.elapsed() >= TIMEOUT * 2, "gave up early");
    error.to_string()
}

/// A port at which connecting neither succeeds nor fails: its listener's backlog is full.
pub struct Blackhole {
    listener: socket2::Socket,
    _fillers: Vec<socket2::Socket>,
}

impl Blackhole {
    pub fn new() -> Blackhole {
        use socket2::{Domain, Socket, Type};
        let listener = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
        listener
            .bind(&SocketAddr::from(([127, 0, 0, 1], 0)).into())
            .unwrap();
        listener.listen(0).unwrap();
        let address = listener.local_addr().unwrap();
        let fillers = (0..4)
            .map(|_| {
                let filler = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
                filler.set_nonblocking(true).unwrap();
                let _ = filler.connect(&address);
                filler
            })
            .collect();
        Blackhole {
            listener,
            _fillers: fillers,
        }
    }

    pub fn address(&self) -> SocketAddr {
        self.listener.local_addr().unwrap().as_socket().unwrap()
    }
}

#[test]
fn nothing_listens() {
    let address = server::listener().local_addr().unwrap();
    let error = failure(&impatient(&format!("http://{address}")));
    assert_eq!(error.to_string(), "no connection to the receiver");
    assert!(error.is_retryable());
}

#[test]
fn a_syn_is_never_answered() {
    let blackhole = Blackhole::new();
    let error = failure(&impatient(&format!("http://{}", blackhole.address())));
    assert!(error.is_timeout());
    assert_eq!(error.to_string(), "timed out after 1.5s while connecting");
}

#[test]
fn accepts_and_stays_silent() {
    let error = timeout(Connection::stay_silent);
    assert_eq!(error, "timed out after 1.5s while waiting for the answer");
}

#[test]
fn never_reads() {
    // Buffers so small that a body does not fit into them, as they are inherited by a connection.
    let listener = server::listener();
    socket2::SockRef::from(&listener)
        .set_recv_buffer_size(1024)
        .unwrap();
    let receiver = Server::on(listener, None, Connection::never_read);
    let notifier = impatient(&receiver.domain());
    let large = "x".repeat(1_000_000);
    for _ in 0..2 {
        let outcome = in_time(TIMEOUT, || notifier.notify(&event().with_data(&large)));
        assert!(
            outcome.error().is_some_and(DeliveryError::is_timeout),
            "{outcome:?}"
        );
    }
}

#[test]
fn reads_so_slowly_that_the_body_never_ends() {
    use std::io::Read;
    let listener = server::listener();
    socket2::SockRef::from(&listener)
        .set_recv_buffer_size(1024)
        .unwrap();
    let address = listener.local_addr().unwrap();
    std::thread::spawn(move || {
        for socket in listener.incoming() {
            let mut socket = socket.unwrap();
            std::thread::spawn(move || {
                while socket.read(&mut [0; 512]).is_ok_and(|read| read > 0) {
                    std::thread::sleep(Duration::from_millis(20));
                }
            });
        }
    });
    let notifier = impatient(&format!("http://{address}"));
    let large = "x".repeat(1_000_000);
    let outcome = in_time(TIMEOUT, || notifier.notify(&event().with_data(&large)));
    assert!(
        outcome.error().is_some_and(DeliveryError::is_timeout),
        "{outcome:?}"
    );
}

#[test]
fn stalls_in_the_tls_handshake() {
    let authority = Authority::new();
    let receiver = Server::start(Connection::stay_silent);
    let error = failure(&impatient_trusting(
        &authority,
        &receiver.address().to_string(),
    ));
    assert_eq!(
        error.to_string(),
        "timed out after 1.5s during the TLS or proxy handshake"
    );
}

#[test]
fn drips_the_tls_handshake() {
    let authority = Authority::new();
    let receiver = Server::start(|mut connection| {
        // A record header that promises more than ever comes.
        connection.drip(
            [22, 3, 3, 0x40, 0]
                .iter()
                .chain(&[0; 1000])
                .copied()
                .collect::<Vec<_>>(),
            DRIP,
        );
    });
    let notifier = impatient_trusting(&authority, &receiver.address().to_string());
    let outcome = in_time(TIMEOUT, || notifier.notify(&event()));
    // rustls may see at once that this is no handshake; what counts is that nobody waits longer.
    assert!(!outcome.is_ok(), "{outcome:?}");
}

#[test]
fn has_a_certificate_that_nobody_trusts() {
    let (authority, stranger) = (Authority::new(), Authority::new());
    let receiver = Server::start_tls(stranger.server(), Connection::answer_all);
    let domain = format!("localhost:{}", receiver.address().port());
    let error = failure(&impatient_trusting(&authority, &domain));
    assert_eq!(error.to_string(), "the TLS handshake failed");
    let source = std::error::Error::source(&error).unwrap().to_string();
    assert!(source.contains("certificate"), "{source}");
    assert_eq!(receiver.requests().len(), 0);
}

#[test]
fn has_a_certificate_for_another_name() {
    let authority = Authority::new();
    let receiver = Server::start_tls(
        authority.server_for(&["elsewhere.example"]),
        Connection::answer_all,
    );
    let domain = format!("localhost:{}", receiver.address().port());
    let error = failure(&impatient_trusting(&authority, &domain));
    assert_eq!(error.to_string(), "the TLS handshake failed");
    let source = std::error::Error::source(&error).unwrap().to_string();
    assert!(source.contains("not valid for name"), "{source}");
    assert_eq!(receiver.requests().len(), 0);
}

#[test]
fn speaks_plain_http_where_tls_is_expected() {
    let authority = Authority::new();
    let receiver = Server::start(|mut connection| {
        let _ = connection.send("HTTP/1.1 400 Bad Request\r\n\r\n");
    });
    let error = failure(&impatient_trusting(
        &authority,
        &receiver.address().to_string(),
    ));
    assert_eq!(error.to_string(), "the TLS handshake failed");
}

const DRIP: Duration = Duration::from_millis(40);

#[test]
fn drips_the_head() {
    let error = timeout(|mut connection| {
        connection.request();
        connection.drip(
            format!("HTTP/1.1 200 OK\r\nX: {}\r\n\r\n", "x".repeat(1000)),
            DRIP,
        );
    });
    assert_eq!(error, "timed out after 1.5s while waiting for the answer");
}

#[test]
fn drips_the_body() {
    let receiver = Server::start(|mut connection| {
        connection.request();
        let _ = connection.send("HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n");
        connection.drip([b'x'; 1000], DRIP);
    });
    let notifier = impatient(&receiver.domain());
    // The status has said it all: the body is given half a second, not the whole timeout.
    let outcome = in_time(Duration::from_millis(500), || notifier.notify(&event()));
    assert!(
        matches!(outcome, Outcome::Delivered { status: 200 }),
        "{outcome:?}"
    );
}

#[test]
fn says_100_continue_for_ever() {
    let receiver = Server::start(|mut connection| {
        connection.request();
        while connection.send("HTTP/1.1 100 Continue\r\n\r\n").is_ok() {}
    });
    let notifier = impatient(&receiver.domain());
    let outcome = in_time(TIMEOUT, || notifier.notify(&event()));
    assert!(!outcome.is_ok(), "{outcome:?}");
}

#[test]
fn sends_headers_for_ever() {
    let receiver = Server::start(|mut connection| {
        connection.request();
        let _ = connection.send("HTTP/1.1 200 OK\r\n");
        while connection.send("X-More: and more and more\r\n").is_ok() {}
    });
    let error = failure(&impatient(&receiver.domain()));
    assert_eq!(error.to_string(), "the answer is not HTTP/1.1");
}

#[test]
fn sends_one_header_for_ever() {
    let receiver = Server::start(|mut connection| {
        connection.request();
        let _ = connection.send("HTTP/1.1 200 OK\r\nX-More: ");
        while connection.send([b'x'; 1024]).is_ok() {}
    });
    let error = failure(&impatient(&receiver.domain()));
    assert_eq!(error.to_string(), "the answer is not HTTP/1.1");
}

#[test]
fn sends_two_gibibytes_of_body() {
    for length in [
        "Content-Length: 2147483648",
        "Transfer-Encoding: chunked",
        "Connection: close",
    ] {
        let receiver = Server::start(move |mut connection| {
            connection.request();
            let _ = connection.send(format!("HTTP/1.1 200 OK\r\n{length}\r\n\r\n"));
            let mut chunk = Vec::new();
            if length.contains("chunked") {
                chunk.extend_from_slice(b"10000\r\n");
            }
            chunk.extend_from_slice(&[b'x'; 65536]);
            if length.contains("chunked") {
                chunk.extend_from_slice(b"\r\n");
            }
            for _ in 0..32768 {
                if connection.send(&chunk).is_err() {
                    return;
                }
            }
        });
        let notifier = impatient(&receiver.domain());
        for _ in 0..3 {
            let outcome = in_time(Duration::from_millis(500), || notifier.notify(&event()));
            assert!(outcome.is_ok(), "{length}: {outcome:?}");
        }
    }
}

#[test]
fn sends_a_gzip_bomb() {
    // The deflate stream of zeros without end: a stored block's header would be honest, this is not.
    let receiver = Server::start(move |mut connection| {
        connection.request();
        let head = "HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: 1048576\r\n\r\n";
        let _ = connection.send(head);
        let _ = connection.send([0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 3]);
        let _ = connection.send(vec![0; 1_048_566]);
    });
    let notifier = impatient(&receiver.domain());
    let outcome = in_time(Duration::from_millis(500), || notifier.notify(&event()));
    assert!(outcome.is_ok(), "{outcome:?}");
}

#[test]
fn redirects_in_a_loop() {
    let receiver = Server::start(|mut connection| {
        while connection.request().is_some() {
            let _ = connection.send(
                "HTTP/1.1 307 T\r\nLocation: /event?token=secret\r\nContent-Length: 0\r\n\r\n",
            );
        }
    });
    let error = failure(&impatient(&receiver.domain()));
    assert_eq!(error.status(), Some(307));
    assert!(
        error.to_string().contains("a redirect to /event:"),
        "{error}"
    );
    assert_eq!(receiver.requests().len(), 2);
}

#[test]
fn redirects_to_a_200() {
    for status in [301, 302, 303, 307, 308] {
        let elsewhere = Server::ok();
        let location = format!("{}/fine", elsewhere.domain());
        let redirect = format!(
            "HTTP/1.1 {status} Found\r\nLocation: {location}\r\nContent-Length: 2\r\n\r\nhi"
        );
        let receiver = Server::start(move |mut connection| {
            while connection.request().is_some() {
                let _ = connection.send(&redirect);
            }
        });
        let error = failure(&impatient(&receiver.domain()));
        assert_eq!(error.status(), Some(status));
        assert!(
            error
                .to_string()
                .contains(&format!("{}/fine", elsewhere.domain())),
            "{error}"
        );
        assert_eq!(elsewhere.connections(), 0);
    }
}

#[test]
fn closes_without_an_answer() {
    let receiver = Server::start(|mut connection| {
        connection.request();
        connection.close();
    });
    let error = failure(&impatient(&receiver.domain()));
    assert_eq!(
        error.to_string(),
        "the connection was lost while waiting for the answer"
    );
}

#[test]
fn closes_within_the_head() {
    let receiver = Server::start(|mut connection| {
        connection.request();
        let _ = connection.send("HTTP/1.1 200 OK\r\nContent-Le");
        connection.close();
    });
    let error = failure(&impatient(&receiver.domain()));
    assert_eq!(
        error.to_string(),
        "the connection was lost while waiting for the answer"
    );
    // An answer had begun, so nothing says that the message may be sent again at once.
    assert_eq!(receiver.requests().len(), 2);
}

#[test]
fn closes_within_the_body() {
    let receiver = Server::start(|mut connection| {
        connection.request();
        let _ = connection.send("HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhalf");
        connection.close();
    });
    let outcome = in_time(TIMEOUT, || impatient(&receiver.domain()).notify(&event()));
    assert!(outcome.is_ok(), "{outcome:?}");
}

#[test]
fn resets_at_once() {
    let receiver = Server::start(Connection::reset);
    let notifier = impatient(&receiver.domain());
    for _ in 0..5 {
        // While connecting, sending or waiting: the reset comes when it comes.
        let outcome = in_time(TIMEOUT, || notifier.notify(&event()));
        assert!(
            outcome.error().is_some_and(DeliveryError::is_retryable),
            "{outcome:?}"
        );
    }
}

#[test]
fn resets_after_the_request() {
    let receiver = Server::start(|mut connection| {
        connection.request();
        connection.reset();
    });
    let error = failure(&impatient(&receiver.domain()));
    assert!(
        error.to_string().starts_with("the connection was lost"),
        "{error}"
    );
}

#[test]
fn does_not_speak_http() {
    for answer in [
        "SSH-2.0-OpenSSH_9.6\r\n",
        "220 smtp ready\r\n\r\n",
        "\0\0\0\0\0\0\0\0",
        "HTTP/2 200\r\n\r\n",
    ] {
        let receiver = Server::start(move |mut connection| {
            connection.request();
            let _ = connection.send(answer);
            connection.close();
        });
        let outcome = in_time(TIMEOUT, || impatient(&receiver.domain()).notify(&event()));
        assert!(
            outcome.error().is_some_and(|error| error.is_retryable()),
            "{answer:?} {outcome:?}"
        );
    }
}

#[test]
fn answers_each_status_from_400_to_599() {
    let receiver = Server::start(|mut connection| {
        for status in 400..=599 {
            if connection.request().is_none() {
                return;
            }
            let _ = connection.send(format!(
                "HTTP/1.1 {status} No\r\nRetry-After: 7\r\nContent-Length: 2\r\n\r\nno"
            ));
        }
    });
    let notifier = impatient(&receiver.domain());
    for status in 400..=599 {
        let outcome = in_time(TIMEOUT, || notifier.notify(&event()));
        let error = outcome.error().expect("that is no success");
        assert_eq!(error.status(), Some(status));
        assert_eq!(error.retry_after(), Some(Duration::from_secs(7)));
        assert_eq!(error.is_retryable(), status != 410);
    }
    // An answer in the negative is an answer: the connection goes on serving.
    assert_eq!(receiver.connections(), 1);
    assert_eq!(notifier.stats().failed, 200);
}

#[test]
fn answers_a_status_that_there_is_not() {
    for status in ["099", "000", "600", "999", "2000", "20", "abc"] {
        let receiver = Server::start(move |mut connection| {
            connection.request();
            let _ = connection.send(format!(
                "HTTP/1.1 {status} What\r\nContent-Length: 0\r\n\r\n"
            ));
        });
        let outcome = in_time(TIMEOUT, || impatient(&receiver.domain()).notify(&event()));
        assert!(!outcome.is_ok(), "{status} {outcome:?}");
    }
}

#[test]
fn answers_before_the_request_was_sent() {
    let receiver = Server::start(|mut connection| {
        let _ = connection.send("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n");
        while connection.request().is_some() {
            let _ = connection.send("HTTP/1.1 500 No\r\nContent-Length: 0\r\n\r\n");
        }
    });
    let notifier = impatient(&receiver.domain());
    let _ = in_time(TIMEOUT, || notifier.notify(&event()));
    // The 500 that is left in the connection must not pass for the next event's answer, nor must
    // a 200 that was sent for nothing.
    let second = in_time(TIMEOUT, || notifier.notify(&event()));
    assert!(receiver.connections() == 2 || !second.is_ok(), "{second:?}");
}

#[test]
fn answers_and_closes_before_it_has_read_the_body() {
    use std::io::{Read, Write};
    let listener = server::listener();
    let address = listener.local_addr().unwrap();
    let served = std::thread::spawn(move || {
        // An event that keeps the connection, and one that is too large.
        let (mut socket, _) = listener.accept().unwrap();
        let _ = socket.read(&mut [0; 4096]).unwrap();
        socket
            .write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
            .unwrap();
        let _ = socket.read(&mut [0; 4096]).unwrap();
        socket
            .write_all(b"HTTP/1.1 413 No\r\nContent-Length: 0\r\n\r\n")
            .unwrap();
        drop(socket);
        listener.set_nonblocking(true).unwrap();
        listener.accept().is_err()
    });
    let notifier = impatient(&format!("http://{address}"));
    assert!(notifier.notify(&event()).is_ok());
    let large = "x".repeat(1_000_000);
    let outcome = in_time(TIMEOUT, || notifier.notify(&event().with_data(&large)));
    assert_eq!(outcome.error().unwrap().status(), Some(413), "{outcome:?}");
    assert!(served.join().unwrap(), "it was sent again");
}

#[test]
fn answers_twice() {
    /// An answer of so many bytes in all.
    fn answer(status: u16, size: usize) -> String {
        let head = |length| format!("HTTP/1.1 {status} Yes\r\nContent-Length: {length:5}\r\n\r\n");
        let length = size - head(0).len();
        head(length) + &"x".repeat(length)
    }

    let authority = Authority::new();
    // What comes in one piece may lie in one buffer or another, above TLS or below it: 16 KiB are one
    // of its records.
    for (first, second) in [(100, 100), (500, 6_000), (16_384, 100), (16_384, 6_000)] {
        let answers = move |mut connection: Connection| {
            connection.request();
            let _ = connection.send(answer(200, first) + &answer(200, second));
            while connection.request().is_some() {
                let _ = connection.send(answer(500, 100));
            }
        };
        let http = Server::start(answers);
        let https = Server::start_tls(authority.server(), answers);
        let port = https.address().port();
        let receivers = [(http.domain(), http), (format!("localhost:{port}"), https)];
        for (domain, receiver) in receivers {
            let notifier = impatient_trusting(&authority, &domain);
            assert!(in_time(TIMEOUT, || notifier.notify(&event())).is_ok());
            // The second answer must not pass for the next event's.
            let _ = in_time(TIMEOUT, || notifier.notify(&event()));
            assert_eq!(receiver.connections(), 2, "{domain}: {first} and {second}");
        }
    }
}

#[test]
fn a_name_does_not_resolve() {
    // RFC 6761, 6.4: never resolves. What the system's resolver takes to say so is its own affair.
    let error = failure(&impatient("http://no-such-host.invalid"));
    assert!(
        error.is_timeout() || error.to_string().contains("name could not be resolved"),
        "{error}"
    );
}

#[test]
fn a_proxy_drips_its_answer() {
    let proxy = Server::start(|mut connection| {
        connection.request();
        connection.drip(
            format!("HTTP/1.1 200 OK\r\nX: {}\r\n\r\n", "x".repeat(1000)),
            DRIP,
        );
    });
    let proxy_url = proxy.domain();
    let vars = [
        ("OPTERYX_WEBHOOK_TIMEOUT", SECONDS),
        ("http_proxy", proxy_url.as_str()),
    ];
    let error = failure(&notifier("http://receiver.example.com", vars));
    assert_eq!(
        error.to_string(),
        "timed out after 1.5s during the TLS or proxy handshake"
    );
}

#[test]
fn a_proxy_is_not_there_or_unknown() {
    let address = server::listener().local_addr().unwrap();
    for (proxy, expected) in [
        (format!("http://{address}"), "no connection to the proxy"),
        (
            "http://no-such-proxy.invalid".to_owned(),
            "the proxy's name could not be resolved",
        ),
    ] {
        let vars = [
            ("OPTERYX_WEBHOOK_TIMEOUT", SECONDS),
            ("http_proxy", proxy.as_str()),
        ];
        let outcome = in_time(TIMEOUT, || {
            notifier("http://receiver.example.com", vars).notify(&event())
        });
        let error = outcome.error().unwrap();
        assert!(
            error.is_timeout() || error.to_string() == expected,
            "{error}"
        );
    }
}

#[test]
fn a_proxy_refuses() {
    let proxy = Server::start(|mut connection| {
        connection.request();
        let _ = connection.send("HTTP/1.1 407 No\r\nContent-Length: 0\r\n\r\n");
    });
    let proxy_url = proxy.domain();
    let vars = [
        ("OPTERYX_WEBHOOK_TIMEOUT", SECONDS),
        ("http_proxy", proxy_url.as_str()),
    ];
    let error = failure(&notifier("http://receiver.example.com", vars));
    assert_eq!(
        error.to_string(),
        "the proxy did not let the connection through"
    );
}

fn proxy_to(target: SocketAddr, expected: &'static str) -> Server {
    Server::start(move |mut connection| {
        let request = connection.request().expect("a CONNECT");
        assert_eq!(request.line, expected);
        let _ = connection.send("HTTP/1.1 200 OK\r\n\r\n");
        connection.tunnel_to(target);
    })
}

#[test]
fn a_proxy_gets_all_of_a_connect_in_one_piece() {
    use std::io::Read;
    let listener = server::listener();
    let proxy = format!("http://user:pass@{}", listener.local_addr().unwrap());
    let first_piece = std::thread::spawn(move || {
        let (mut socket, _) = listener.accept().unwrap();
        let mut buffer = [0; 4096];
        let read = socket.read(&mut buffer).unwrap();
        String::from_utf8_lossy(&buffer[..read]).into_owned()
    });
    let notifier = notifier(
        "https://receiver.example.com",
        [("https_proxy", proxy.as_str())],
    );
    assert!(!notifier.notify(&event()).is_ok());
    let connect = first_piece.join().unwrap();
    assert!(connect.starts_with("CONNECT receiver.example.com:443 HTTP/1.1\r\n"));
    assert!(
        connect
            .to_lowercase()
            .contains("proxy-authorization: basic")
    );
    assert!(connect.ends_with("\r\n\r\n"), "{connect:?}");
}

#[test]
fn a_proxy_carries_events_over_one_tunnel() {
    let receiver = Server::ok();
    let proxy = proxy_to(
        receiver.address(),
        "CONNECT receiver.example.com:80 HTTP/1.1",
    );
    let proxy_url = proxy.domain();
    let notifier = notifier(
        "http://receiver.example.com",
        [("http_proxy", proxy_url.as_str())],
    );
    for _ in 0..3 {
        let outcome = notifier.notify(&event());
        assert!(outcome.is_ok(), "{outcome:?}");
    }
    assert_eq!((proxy.connections(), receiver.requests().len()), (1, 3));
}

#[test]
fn a_proxy_carries_tls_over_one_tunnel() {
    let authority = Authority::new();
    let receiver = Server::start_tls(authority.server(), Connection::answer_all);
    let proxy = proxy_to(receiver.address(), "CONNECT localhost:4433 HTTP/1.1");
    let (proxy_url, file) = (proxy.domain(), authority.file());
    let vars = [
        ("HTTPS_PROXY", proxy_url.as_str()),
        ("SSL_CERT_FILE", file.to_str().unwrap()),
    ];
    let notifier = notifier("localhost:4433", vars);
    for _ in 0..3 {
        let outcome = notifier.notify(&event());
        assert!(outcome.is_ok(), "{outcome:?}");
    }
    assert_eq!((proxy.connections(), receiver.requests().len()), (1, 3));
}

#[test]
fn the_first_address_of_a_name_is_dead() {
    // `localhost` is ::1 as well as 127.0.0.1 on most machines, in that order; nothing listens on ::1.
    let receiver = Server::ok();
    let domain = format!("http://localhost:{}", receiver.address().port());
    let outcome = in_time(Duration::from_secs(1), || {
        impatient(&domain).notify(&event())
    });
    assert!(outcome.is_ok(), "{outcome:?}");
}

#[test]
fn a_receiver_that_comes_back_is_found_at_the_next_event() {
    let listener = server::listener();
    let address = listener.local_addr().unwrap();
    drop(listener);
    let notifier = impatient(&format!("http://{address}"));
    assert!(!notifier.notify(&event()).is_ok());
    let _receiver = Server::on(
        TcpListener::bind(address).unwrap(),
        None,
        Connection::answer_all,
    );
    assert!(notifier.notify(&event()).is_ok());
}
