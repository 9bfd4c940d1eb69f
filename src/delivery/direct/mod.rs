//! Straight to the receiver: one POST, one deadline.

mod attempt;
mod connections;
mod resolver;
mod response;
mod transport;

use std::error::Error as _;
use std::io::{self, Read as _, Write as _};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::{Duration, SystemTime};

use chrono::DateTime;
use rustls::crypto::CryptoProvider;
use ureq::Agent;
use ureq::tls::{Certificate, RootCerts, TlsConfig, TlsProvider};
use ureq::unversioned::transport::{NextTimeout, Transport};

use crate::deadline;
use crate::delivery::{Delivery, Outcome};
use crate::endpoint::Endpoint;
use crate::error::{DeliveryError, Kind, Peer};
use crate::headers::ExtraHeaders;
use crate::message::{Message, USER_AGENT};
use crate::probe::{Probe, Reached};
use crate::process::PerProcess;
use crate::proxy::Proxy;
use crate::trust::Trust;

use attempt::Phase;
use connections::{Connection, Connections};
use resolver::Names;
use response::Response;

/// The longest wait that a receiver's `Retry-After` can ask for: a year. More is a mistake, and what
/// overflows when it is added to a time.
const MAX_RETRY_AFTER: Duration = Duration::from_secs(365 * 24 * 60 * 60);

/// The size of each of a connection's buffers, in bytes, and with it of an answer's head.
const BUFFER_SIZE: usize = 16 * 1024;

/// Room for the head of most requests, in bytes, so that it never grows.
const HEAD_ROOM: usize = 1024;

/// What is asked of the receiver.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Method {
    Post,
    Head,
}

/// A process's connections, once there is what makes them, and the lock that it is made under.
#[derive(Default)]
struct Slot {
    connections: OnceLock<Connections>,
    making: Mutex<()>,
}

/// Delivers to the endpoint over HTTP/1.1, on connections that are kept alive and shared by all
/// threads.
pub(crate) struct Direct {
    endpoint: Endpoint,
    /// What follows the method in every request: the path, the version and the host.
    target: Vec<u8>,
    timeout: Duration,
    proxy: Option<Proxy>,
    trust: Trust,
    /// Made at the first event, so that a notifier costs nothing before, and a CA bundle that is
    /// missing then can be there at the next.
    slots: PerProcess<Slot>,
}

impl Direct {
    pub(crate) fn new(
        endpoint: Endpoint,
        timeout: Duration,
        proxy: Option<Proxy>,
        trust: Trust,
    ) -> Direct {
        let path = endpoint.uri().path().as_bytes();
        let host = endpoint.host().as_bytes();
        let target = [b" ", path, b" HTTP/1.1\r\nhost: ", host, b"\r\n"].concat();
        Direct {
            target,
            endpoint,
            timeout,
            proxy,
            trust,
            slots: PerProcess::new(),
        }
    }

    fn connections(&self) -> Result<&Connections, DeliveryError> {
        let slot = self.slots.get();
        if let Some(connections) = slot.connections.get() {
            return Ok(connections);
        }
        // Reading the CA certificates takes milliseconds, which threads that begin together should
        // not each spend.
        let _making = slot.making.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(connections) = slot.connections.get() {
            return Ok(connections);
        }
        let connections = self.new_connections(Names::new())?;
        Ok(slot.connections.get_or_init(|| connections))
    }

    fn new_connections(&self, names: Names) -> Result<Connections, DeliveryError> {
        let needs_tls =
            self.endpoint.is_https() || self.proxy.as_ref().is_some_and(Proxy::is_https);
        let roots = if needs_tls {
            self.trust.certificates()?
        } else {
            Vec::new()
        };
        let roots: Vec<_> = roots
            .iter()
            .map(|der| Certificate::from_der(der).to_owned())
            .collect();
        // The host's own choice, if it made one.
        let provider = CryptoProvider::get_default()
            .cloned()
            .unwrap_or_else(|| Arc::new(rustls::crypto::ring::default_provider()));
        let config = Agent::config_builder()
            // No timeouts: the transport keeps the attempt's deadline.
            .input_buffer_size(BUFFER_SIZE)
            .output_buffer_size(BUFFER_SIZE)
            // All that is left for ureq to write is a CONNECT.
            .user_agent(USER_AGENT)
            // Read from the environment with all the rest, and not behind its back.
            .proxy(self.proxy.as_ref().map(|proxy| proxy.url.clone()))
            .tls_config(
                TlsConfig::builder()
                    .provider(TlsProvider::Rustls)
                    .root_certs(RootCerts::new_with_certs(&roots))
                    .unversioned_rustls_crypto_provider(provider)
                    .build(),
            )
            .build();
        Ok(Connections::new(config, names))
    }

    /// Sends one request, drains the answer and returns its head. An attempt that must be made again
    /// gets a head of its own.
    fn exchange(
        &self,
        method: Method,
        body: &[u8],
        write_headers: impl Fn(&mut Vec<u8>) -> Result<(), DeliveryError>,
    ) -> Result<Response, DeliveryError> {
        let attempt = attempt::begin(deadline::end_of(self.timeout));
        let connections = self.connections()?;
        let head = || self.head(method, body, &write_headers);
        let kept = connections.kept();
        let mut result = self.ask(method, &head()?, body, connections, kept);
        if must_be_sent_again(&result, &attempt) {
            // A connection that was kept alive and has died: nothing was lost yet but time, and the
            // receiver knows the message by its id should it have seen it after all. The others are
            // most likely dead as well.
            connections.clear();
            result = self.ask(method, &head()?, body, connections, None);
        }
        let (response, mut connection) = result.map_err(|error| self.reason(error, &attempt))?;
        if response.drain(&mut *connection) {
            connections.keep(connection);
        }
        Ok(response)
    }

    /// The head of a request, as it goes over the wire.
    fn head(
        &self,
        method: Method,
        body: &[u8],
        write_headers: impl FnOnce(&mut Vec<u8>) -> Result<(), DeliveryError>,
    ) -> Result<Vec<u8>, DeliveryError> {
        let mut head = Vec::with_capacity(HEAD_ROOM);
        head.extend_from_slice(match method {
            Method::Post => b"POST",
            Method::Head => b"HEAD",
        });
        head.extend_from_slice(&self.target);
        if method == Method::Post {
            // Writing to a Vec cannot fail.
            let _ = write!(head, "content-length: {}\r\n", body.len());
        }
        write_headers(&mut head)?;
        head.extend_from_slice(b"\r\n");
        Ok(head)
    }

    /// Sends a request on this connection, or on a new one if there is none, and waits for the answer.
    fn ask(
        &self,
        method: Method,
        head: &[u8],
        body: &[u8],
        connections: &Connections,
        kept: Option<Connection>,
    ) -> Result<(Response, Connection), ureq::Error> {
        let mut connection = match kept {
            Some(connection) => connection,
            None => connections.fresh(self.endpoint.uri())?,
        };
        attempt::enter(Phase::Sending);
        let read =
            |connection: &mut Connection| Response::read(&mut **connection, method == Method::Head);
        let response = match send(&mut *connection, head, body) {
            Ok(()) => {
                attempt::enter(Phase::Waiting);
                read(&mut connection)?
            }
            // A receiver that closes before it has read all may have said why.
            Err(ureq::Error::Io(error)) => {
                let mut response = read(&mut connection).map_err(|_| error)?;
                response.closes = true;
                response
            }
            Err(error) => return Err(error),
        };
        Ok((response, connection))
    }

    /// What ureq's error means to an operator.
    fn reason(&self, error: ureq::Error, attempt: &attempt::Guard) -> DeliveryError {
        let phase = attempt
            .state()
            .map_or(Phase::Starting, |attempt| attempt.phase);
        // Behind a proxy nothing but the proxy is ever resolved or connected to.
        let peer = if self.proxy.is_some() {
            Peer::Proxy
        } else {
            Peer::Receiver
        };
        let kind = match &error {
            ureq::Error::Timeout(_) => {
                return Kind::Timeout {
                    limit: self.timeout,
                    during: phase.description(),
                }
                .into();
            }
            ureq::Error::Rustls(_) | ureq::Error::Tls(_) | ureq::Error::TlsRequired => Kind::Tls,
            ureq::Error::ConnectProxyFailed(_) => Kind::Proxy,
            ureq::Error::HostNotFound => Kind::Resolve { peer },
            // ureq reads the proxy's answer, and `Response` the receiver's.
            ureq::Error::Protocol(_) => Kind::Proxy,
            ureq::Error::LargeResponseHeader(..) if phase == Phase::Handshaking => Kind::Proxy,
            ureq::Error::Other(_) | ureq::Error::LargeResponseHeader(..) => Kind::Protocol,
            ureq::Error::Io(error) if is_tls(error) => Kind::Tls,
            ureq::Error::Io(_) => match phase {
                Phase::Resolving => Kind::Resolve { peer },
                Phase::Starting | Phase::Connecting => Kind::Connect { peer },
                Phase::Handshaking | Phase::Sending | Phase::Waiting => Kind::Lost {
                    during: phase.description(),
                },
            },
            _ => Kind::Connect { peer },
        };
        let failure = DeliveryError::from(kind);
        match error {
            // Not ureq's wrapping, which only says "io".
            ureq::Error::Io(error) => failure.with_source(error),
            ureq::Error::Rustls(error) => failure.with_source(error),
            ureq::Error::Other(error) => failure.with_source(error),
            error => failure.with_source(error),
        }
    }
}

impl Delivery for Direct {
    fn deliver(&self, message: &Message) -> Outcome {
        let write_headers = |head: &mut Vec<u8>| message.write_headers(head);
        self.exchange(Method::Post, message.body(), write_headers)
            .and_then(outcome_of)
            .into()
    }
}

/// HEAD, which no receiver takes for an event; with the operator's own headers, without which a
/// gateway before the receiver may answer in its stead.
impl Probe for Direct {
    fn probe(&self, headers: &ExtraHeaders) -> Result<Reached, DeliveryError> {
        let write_headers = |head: &mut Vec<u8>| {
            head.extend_from_slice(b"user-agent: ");
            head.extend_from_slice(USER_AGENT.as_bytes());
            head.extend_from_slice(b"\r\n");
            headers.write(head);
            Ok(())
        };
        let response = self.exchange(Method::Head, &[], write_headers)?;
        let is_redirect = (300..400).contains(&response.status);
        Ok(Reached::Receiver {
            status: response.status,
            location: response
                .location
                .as_deref()
                .filter(|_| is_redirect)
                .map(without_secrets),
        })
    }
}

/// Sends head and body, in one write where they fit a buffer.
fn send(connection: &mut dyn Transport, head: &[u8], body: &[u8]) -> Result<(), ureq::Error> {
    let mut bytes = head.chain(body);
    loop {
        let output = connection.buffers().output();
        let mut filled = 0;
        while let read @ 1.. = bytes.read(&mut output[filled..])? {
            filled += read;
        }
        if filled == 0 {
            return Ok(());
        }
        connection.transmit_output(filled, NextTimeout::default())?;
    }
}

/// Whether a kept-alive connection turned out dead, so that the message is owed another.
fn must_be_sent_again<C>(
    result: &Result<(Response, C), ureq::Error>,
    attempt: &attempt::Guard,
) -> bool {
    let Some(attempt) = attempt.state() else {
        return false;
    };
    match result {
        _ if attempt.connected => false,
        Err(ureq::Error::Io(error)) => {
            let is_loss = matches!(
                error.kind(),
                io::ErrorKind::UnexpectedEof
                    | io::ErrorKind::ConnectionReset
                    | io::ErrorKind::ConnectionAborted
                    | io::ErrorKind::BrokenPipe
                    | io::ErrorKind::NotConnected
            );
            is_loss && !attempt.answered
        }
        // Said to an idle connection as it is closed, and read as the answer to what crossed it on
        // the way (RFC 9110, 15.5.9).
        Ok((response, _)) => response.status == 408 && response.closes,
        Err(_) => false,
    }
}

/// rustls reports through `io::Error` while it shakes hands.
fn is_tls(error: &io::Error) -> bool {
    error
        .get_ref()
        .is_some_and(|inner| inner.is::<rustls::Error>())
        || error
            .source()
            .is_some_and(|inner| inner.is::<rustls::Error>())
}

fn outcome_of(response: Response) -> Result<Outcome, DeliveryError> {
    let status = response.status;
    match status {
        200..=299 => Ok(Outcome::Delivered { status }),
        300..=399 => Err(Kind::Redirect {
            status,
            location: response.location.as_deref().map(without_secrets),
        }
        .into()),
        _ => {
            let asked = response.retry_after.as_deref();
            Err(Kind::Status {
                status,
                retry_after: asked.and_then(|asked| retry_after(asked, SystemTime::now())),
            }
            .into())
        }
    }
}

/// Where a redirect points, without what may be a secret in it.
fn without_secrets(location: &str) -> String {
    /// Longer ones are nothing that a reader of the log could use.
    const MAX_LENGTH: usize = 200;

    let end = location.find(['?', '#']).unwrap_or(location.len());
    let location = &location[..end];
    let (scheme, rest) = location.split_once("//").unwrap_or(("", location));
    let (authority, path) = match (scheme, rest.find('/')) {
        // A path alone has no authority, and may well have an `@`.
        ("", _) if !location.starts_with("//") => ("", rest),
        (_, Some(slash)) => rest.split_at(slash),
        (_, None) => (rest, ""),
    };
    let host = authority.rsplit('@').next().unwrap_or_default();
    let slashes = if rest.len() < location.len() {
        "//"
    } else {
        ""
    };
    let mut shown: String = format!("{scheme}{slashes}{host}{path}");
    if let Some((end, _)) = shown.char_indices().nth(MAX_LENGTH) {
        shown.truncate(end);
        shown.push('…');
    }
    shown
}

/// RFC 9110, 10.2.3: seconds, or a date. A date that has passed is no wait.
fn retry_after(value: &str, now: SystemTime) -> Option<Duration> {
    let value = value.trim();
    if value.bytes().all(|byte| byte.is_ascii_digit()) {
        // More digits than fit are a very long time, not none.
        let seconds = Duration::from_secs(value.parse().unwrap_or(u64::MAX));
        return (!value.is_empty()).then_some(seconds.min(MAX_RETRY_AFTER));
    }
    let date = SystemTime::from(DateTime::parse_from_rfc2822(value).ok()?);
    let wait = date.duration_since(now).unwrap_or(Duration::ZERO);
    Some(wait.min(MAX_RETRY_AFTER))
}

#[cfg(test)]
mod tests {
    use std::time::Instant;

    use super::*;
    use crate::id::Ids;

    #[test]
    fn retry_after_is_seconds_or_a_date() {
        let now = SystemTime::UNIX_EPOCH + Duration::from_secs(784_111_700);
        let parsed = |value| retry_after(value, now);
        assert_eq!(parsed("120"), Some(Duration::from_secs(120)));
        assert_eq!(parsed("0"), Some(Duration::ZERO));
        assert_eq!(parsed("99999999999999999999999"), Some(MAX_RETRY_AFTER));
        assert_eq!(
            parsed("Sun, 06 Nov 1994 08:49:37 GMT"),
            Some(Duration::from_secs(77))
        );
        assert_eq!(
            parsed("Sun, 06 Nov 1994 08:00:00 GMT"),
            Some(Duration::ZERO)
        );
        assert_eq!(parsed("soon"), None);
        assert_eq!(parsed("-1"), None);
        assert_eq!(parsed(""), None);
    }

    #[test]
    fn a_redirect_is_named_without_what_may_be_secret() {
        for (location, shown) in [
            ("https://user:pw@a.b:1/c?token=x#y", "https://a.b:1/c"),
            ("https://a.b/", "https://a.b/"),
            ("https://user:pw@a.b", "https://a.b"),
            ("//user:pw@host/x", "//host/x"),
            ("https://user:p@w@host/a b", "https://host/a b"),
            ("/login?next=x", "/login"),
            ("/who@where", "/who@where"),
            ("relative//odd@path", "relative//path"),
            ("", ""),
        ] {
            assert_eq!(without_secrets(location), shown);
        }
        assert_eq!(without_secrets(&"/é".repeat(9000)).chars().count(), 201);
    }

    #[test]
    fn a_resolver_that_never_answers_costs_the_timeout_and_no_more() {
        let timeout = Duration::from_millis(500);
        let endpoint = Endpoint::parse("http://receiver.example.com").unwrap();
        let direct = Direct::new(endpoint, timeout, None, Trust::default());
        let silent = Names::with_lookup(|_| {
            loop {
                std::thread::park();
            }
        });
        let connections = direct.new_connections(silent).unwrap();
        let slot = direct.slots.get();
        assert!(slot.connections.set(connections).is_ok());
        let event = crate::Event::new("create", "view", "w", Some("c"), "v");
        let now = SystemTime::now();
        let id = Ids::new().draw(now);
        let message = Message::encode(&event, id, now, &Arc::default()).unwrap();
        for _ in 0..2 {
            let started = Instant::now();
            let outcome = direct.deliver(&message);
            assert!(started.elapsed() <= timeout + Duration::from_millis(300));
            let error = outcome.error().expect("nothing can be delivered");
            assert!(error.is_timeout());
            assert!(
                error
                    .to_string()
                    .ends_with("while resolving the receiver's name"),
                "{error}"
            );
        }
    }
}
