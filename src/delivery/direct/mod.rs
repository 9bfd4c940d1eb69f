//! Straight to the receiver: one POST, one deadline.

mod attempt;
mod resolver;
mod transport;

use std::error::Error as _;
use std::io::{self, Read as _, Write as _};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::{Duration, Instant, SystemTime};

use chrono::DateTime;
use rustls::crypto::CryptoProvider;
use ureq::http::header::{CONNECTION, CONTENT_LENGTH, HOST, HeaderValue, LOCATION, RETRY_AFTER};
use ureq::http::{HeaderMap, Method, Request, Response, StatusCode};
use ureq::tls::{Certificate, RootCerts, TlsConfig, TlsProvider};
use ureq::unversioned::transport::{ConnectProxyConnector, Connector, RustlsConnector};
use ureq::{Agent, Body, SendBody};

use crate::deadline;
use crate::delivery::{Delivery, Outcome, answer};
use crate::endpoint::Endpoint;
use crate::error::{DeliveryError, Kind, Peer};
use crate::headers::ExtraHeaders;
use crate::message::{Message, USER_AGENT};
use crate::probe::{Probe, Reached};
use crate::process::PerProcess;
use crate::proxy::Proxy;
use crate::trust::Trust;

use attempt::Phase;
use resolver::Names;
use transport::{Dial, Held};

/// How much of an answer's body is read, in bytes, so that its connection can serve again. A longer
/// one costs the connection.
const MAX_DRAINED: usize = 16 * 1024;

/// How long it is read for.
const MAX_DRAIN_TIME: Duration = Duration::from_millis(500);

/// How many idle connections are kept: one for each of as many threads that notify at once.
const MAX_IDLE_CONNECTIONS: usize = 64;

/// How long one is kept. Address translators forget after minutes, and say nothing; receivers close
/// when they please, which is noticed.
const MAX_IDLE_AGE: Duration = Duration::from_secs(30);

/// The longest wait that a receiver's `Retry-After` can ask for: a year. More is a mistake, and what
/// overflows when it is added to a time.
const MAX_RETRY_AFTER: Duration = Duration::from_secs(365 * 24 * 60 * 60);

/// The size of each of a connection's buffers, in bytes, and with it of an answer's head.
const BUFFER_SIZE: usize = 16 * 1024;

/// Room for the head of most requests, in bytes, so that it never grows.
const HEAD_ROOM: usize = 1024;

/// A process's agent, once it has been made, and the lock that it is made under.
#[derive(Default)]
struct AgentSlot {
    agent: OnceLock<Agent>,
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
    agents: PerProcess<AgentSlot>,
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
            agents: PerProcess::new(),
        }
    }

    fn agent(&self) -> Result<&Agent, DeliveryError> {
        let slot = self.agents.get();
        if let Some(agent) = slot.agent.get() {
            return Ok(agent);
        }
        // Reading the CA certificates takes milliseconds, which threads that begin together should
        // not each spend.
        let _making = slot.making.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(agent) = slot.agent.get() {
            return Ok(agent);
        }
        let agent = self.new_agent(Names::new())?;
        Ok(slot.agent.get_or_init(|| agent))
    }

    fn new_agent(&self, names: Names) -> Result<Agent, DeliveryError> {
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
            .http_status_as_error(false)
            .max_redirects(0)
            .max_redirects_will_error(false)
            .max_idle_connections(MAX_IDLE_CONNECTIONS)
            .max_idle_connections_per_host(MAX_IDLE_CONNECTIONS)
            .max_idle_age(MAX_IDLE_AGE)
            .input_buffer_size(BUFFER_SIZE)
            .output_buffer_size(BUFFER_SIZE)
            .max_response_header_size(BUFFER_SIZE)
            // The message brings its own head. What is left for ureq to write is a CONNECT.
            .user_agent(if self.proxy.is_some() { USER_AGENT } else { "" })
            .accept("")
            .accept_encoding("")
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
        let connector = ()
            .chain(ConnectProxyConnector::default())
            .chain(Dial {
                names: names.clone(),
            })
            .chain(RustlsConnector::default())
            .chain(Held {
                is_proxied: self.proxy.is_some(),
            });
        Ok(Agent::with_parts(config, connector, names))
    }

    fn post(&self, message: &Message) -> Result<Outcome, DeliveryError> {
        let body = message.body();
        let head = || {
            self.head(Method::POST, Some(body.len()), |head| {
                message.write_headers(head)
            })
        };
        self.exchange(head, body, outcome_of)
    }

    /// The head of a request, as it goes over the wire.
    fn head(
        &self,
        method: Method,
        content_length: Option<usize>,
        write_headers: impl FnOnce(&mut Vec<u8>) -> Result<(), DeliveryError>,
    ) -> Result<Vec<u8>, DeliveryError> {
        let mut head = Vec::with_capacity(HEAD_ROOM);
        head.extend_from_slice(method.as_str().as_bytes());
        head.extend_from_slice(&self.target);
        if let Some(length) = content_length {
            // Writing to a Vec cannot fail.
            let _ = write!(head, "content-length: {length}\r\n");
        }
        write_headers(&mut head)?;
        head.extend_from_slice(b"\r\n");
        Ok(head)
    }

    /// Sends one request, and has the answer read while its time still runs. An attempt that must be
    /// made again gets a head of its own.
    fn exchange<T>(
        &self,
        head: impl Fn() -> Result<Vec<u8>, DeliveryError>,
        body: &[u8],
        read: impl FnOnce(Response<Body>) -> Result<T, DeliveryError>,
    ) -> Result<T, DeliveryError> {
        let attempt = attempt::begin(Instant::now() + deadline::remaining(self.timeout));
        let agent = self.agent()?;
        let mut result = self.send(agent, &head()?, body, false);
        if must_be_sent_again(&result, &attempt) {
            // A connection that was kept alive and has died: nothing was lost yet but time, and the
            // receiver knows the message by its id should it have seen it after all.
            result = self.send(agent, &head()?, body, true);
        }
        match result {
            Ok(response) => read(response),
            Err(error) => Err(self.reason(error, &attempt)),
        }
    }

    /// Sends a request and takes the head of its answer; where it `must_connect`, not on a
    /// connection that was kept alive.
    ///
    /// For ureq head and body are both the body, of a POST. It writes a head of its own, which
    /// [`Held`] leaves out: to take a dozen headers into its maps and out again takes longer than all
    /// the rest of a request.
    fn send(
        &self,
        agent: &Agent,
        head: &[u8],
        body: &[u8],
        must_connect: bool,
    ) -> Result<Response<Body>, ureq::Error> {
        let length = HeaderValue::from(head.len() + body.len());
        let mut bytes = head.chain(body);
        let mut request = Request::new(SendBody::from_reader(&mut bytes));
        *request.method_mut() = Method::POST;
        *request.uri_mut() = self.endpoint.uri().clone();
        request.headers_mut().insert(CONTENT_LENGTH, length);
        // ureq would put it together anew each time.
        request
            .headers_mut()
            .insert(HOST, self.endpoint.host().clone());
        if must_connect {
            request = agent
                .configure_request(request)
                .max_idle_age(Duration::ZERO)
                .build();
        }
        agent.run(request)
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
            ureq::Error::Protocol(_) if phase == Phase::Handshaking => Kind::Proxy,
            ureq::Error::Protocol(_) | ureq::Error::LargeResponseHeader(..) => Kind::Protocol,
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
            error => failure.with_source(error),
        }
    }
}

impl Delivery for Direct {
    fn deliver(&self, message: &Message) -> Outcome {
        self.post(message).into()
    }
}

/// HEAD, which no receiver takes for an event; with the operator's own headers, without which a
/// gateway before the receiver may answer in its stead.
impl Probe for Direct {
    fn probe(&self, headers: &ExtraHeaders) -> Result<Reached, DeliveryError> {
        let head = || {
            self.head(Method::HEAD, None, |head| {
                headers.write(head);
                Ok(())
            })
        };
        // No body comes after the answer to a HEAD, whatever its head says, so none is waited for and
        // the connection is not kept.
        self.exchange(head, &[], |response| {
            Ok(Reached::Receiver {
                status: response.status().as_u16(),
                location: location(&response).filter(|_| response.status().is_redirection()),
            })
        })
    }
}

/// Whether a kept-alive connection turned out dead, so that the message is owed another.
fn must_be_sent_again(
    result: &Result<Response<Body>, ureq::Error>,
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
        Ok(response) => {
            let closes = |value: &HeaderValue| value.as_bytes().eq_ignore_ascii_case(b"close");
            response.status() == StatusCode::REQUEST_TIMEOUT
                && response.headers().get(CONNECTION).is_some_and(closes)
        }
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

fn outcome_of(mut response: Response<Body>) -> Result<Outcome, DeliveryError> {
    let status = response.status().as_u16();
    attempt::shorten(MAX_DRAIN_TIME);
    drain(response.body_mut());
    match status {
        200..=299 => Ok(Outcome::Delivered { status }),
        300..=399 => {
            let location = location(&response);
            Err(Kind::Redirect { status, location }.into())
        }
        _ => {
            let retry_after = retry_after(response.headers(), SystemTime::now());
            Err(Kind::Status {
                status,
                retry_after,
            }
            .into())
        }
    }
}

/// Reads the answer's body as far as that keeps the connection, or as somebody wants to know it.
fn drain(body: &mut Body) {
    let is_long = body
        .content_length()
        .is_some_and(|length| length > MAX_DRAINED as u64);
    let limit = match (is_long, answer::is_wanted()) {
        (false, _) => MAX_DRAINED,
        // The connection is lost anyway.
        (true, true) => answer::MAX_EXCERPT,
        (true, false) => return,
    };
    let mut reader = body.as_reader();
    let mut drained = 0;
    let mut buffer = [0; 1024];
    // The status has said what became of the message, so an error here is none.
    while drained <= limit {
        match reader.read(&mut buffer) {
            Ok(0) | Err(_) => return,
            Ok(read) => {
                answer::keep(&buffer[..read]);
                drained += read;
            }
        }
    }
}

/// Where an answer points.
fn location(response: &Response<Body>) -> Option<String> {
    let location = response.headers().get(LOCATION)?.to_str().ok()?;
    Some(without_secrets(location))
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
fn retry_after(headers: &HeaderMap, now: SystemTime) -> Option<Duration> {
    let value = headers.get(RETRY_AFTER)?.to_str().ok()?.trim();
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
    use super::*;
    use crate::id::Ids;

    #[test]
    fn retry_after_is_seconds_or_a_date() {
        let now = SystemTime::UNIX_EPOCH + Duration::from_secs(784_111_700);
        let parsed = |value: &str| {
            let mut headers = HeaderMap::new();
            headers.insert(RETRY_AFTER, value.parse().unwrap());
            retry_after(&headers, now)
        };
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
        let agent = direct.new_agent(silent).unwrap();
        assert!(direct.agents.get().agent.set(agent).is_ok());
        let event = crate::Event::new("create", "view", "w", Some("c"), "v");
        let message =
            Message::encode(&event, Ids::new().draw(), &Arc::default(), &Arc::default()).unwrap();
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
