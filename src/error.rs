//! What can be wrong with the configuration, and what can go wrong with a delivery.

use std::borrow::Cow;
use std::error::Error;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

/// A variable of the environment that cannot be used as it stands.
///
/// It names the variable and says what would be right. It never holds the value: a secret in the
/// wrong variable must not reach a log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConfigError {
    variable: Cow<'static, str>,
    problem: Cow<'static, str>,
}

impl ConfigError {
    pub(crate) fn new(
        variable: impl Into<Cow<'static, str>>,
        problem: impl Into<Cow<'static, str>>,
    ) -> ConfigError {
        ConfigError {
            variable: variable.into(),
            problem: problem.into(),
        }
    }

    /// The variable that is wrong, such as `OPTERYX_WEBHOOK_TIMEOUT`.
    pub fn variable(&self) -> &str {
        &self.variable
    }
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.variable, self.problem)
    }
}

impl Error for ConfigError {}

/// Why a message was not delivered.
///
/// `Display` is one line that says what failed; [`source`](Error::source) is what lies below it,
/// which `Display` does not repeat, unless it is asked to: `{:#}` puts all of it on the same line.
/// Neither holds a header value, a secret or a body.
#[derive(Debug)]
// Not a `Box`: its drop is long enough that the compiler would call it for every outcome, even one of
// an event that goes nowhere.
pub struct DeliveryError(Arc<Failure>);

#[derive(Debug)]
struct Failure {
    kind: Kind,
    source: Option<Box<dyn Error + Send + Sync>>,
}

#[derive(Debug)]
pub(crate) enum Kind {
    /// The event's data would not serialize.
    Encoding,
    /// The body is over the limit, in bytes.
    TooLarge { limit: usize },
    /// A name of the event makes this header longer than the limit, in bytes.
    HeaderTooLong { name: &'static str, limit: usize },
    /// Time ran out while this was under way.
    Timeout {
        limit: Duration,
        during: &'static str,
    },
    /// A name has no address: the receiver's, or the proxy's before it.
    Resolve { peer: Peer },
    /// No connection.
    Connect { peer: Peer },
    /// The CONNECT proxy would not let the connection through.
    Proxy,
    /// The TLS handshake failed.
    Tls,
    /// No CA certificate to judge the receiver by.
    TrustStore,
    /// The connection was lost after it had been made.
    Lost { during: &'static str },
    /// What came back is not an HTTP/1.1 response.
    Protocol,
    /// The receiver answered, but not with 2xx.
    Status {
        status: u16,
        retry_after: Option<Duration>,
    },
    /// The receiver pointed elsewhere, which is not followed.
    Redirect {
        status: u16,
        location: Option<String>,
    },
    /// Google's credentials gave no access token.
    #[cfg(feature = "cloud-tasks")]
    Credentials,
    /// No connection to Cloud Tasks, or one that was lost.
    #[cfg(feature = "cloud-tasks")]
    QueueUnreachable,
    /// Cloud Tasks answered, but would not have the task.
    #[cfg(feature = "cloud-tasks")]
    Queue {
        /// The gRPC code's name.
        code: &'static str,
        retryable: bool,
    },
    /// Something panicked on the way: the data's own `Serialize`, or a delivery.
    Panicked,
    /// What a delivery of the host's reports.
    Other {
        reason: Cow<'static, str>,
        retryable: bool,
    },
}

/// Who is at the other end of the connection.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Peer {
    Receiver,
    Proxy,
}

impl fmt::Display for Peer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Peer::Receiver => "the receiver",
            Peer::Proxy => "the proxy",
        })
    }
}

impl DeliveryError {
    /// An error of a [`Delivery`](crate::Delivery) of the host's own: what failed, in one line.
    ///
    /// It counts as worth another attempt; see [`permanent`](DeliveryError::permanent).
    pub fn new(reason: impl Into<Cow<'static, str>>) -> DeliveryError {
        Kind::Other {
            reason: reason.into(),
            retryable: true,
        }
        .into()
    }

    /// The same, where no later attempt with the same message can succeed.
    pub fn permanent(reason: impl Into<Cow<'static, str>>) -> DeliveryError {
        Kind::Other {
            reason: reason.into(),
            retryable: false,
        }
        .into()
    }

    /// Adds what lies below.
    pub fn with_source(mut self, source: impl Into<Box<dyn Error + Send + Sync>>) -> DeliveryError {
        // It is not shared with anybody.
        if let Some(failure) = Arc::get_mut(&mut self.0) {
            failure.source = Some(source.into());
        }
        self
    }

    /// Whether the time for the delivery ran out.
    pub fn is_timeout(&self) -> bool {
        matches!(self.0.kind, Kind::Timeout { .. })
    }

    /// Whether the same message may be accepted later.
    ///
    /// As [Standard Webhooks] has it, every answer but `410 Gone` is worth another attempt. What
    /// cannot be encoded, or is too large, never is; nor is what Cloud Tasks calls an invalid
    /// argument.
    ///
    /// [Standard Webhooks]: https://github.com/standard-webhooks/standard-webhooks/blob/main/spec/standard-webhooks.md
    pub fn is_retryable(&self) -> bool {
        match self.0.kind {
            Kind::Encoding
            | Kind::TooLarge { .. }
            | Kind::HeaderTooLong { .. }
            | Kind::Panicked
            | Kind::Status { status: 410, .. } => false,
            Kind::Other { retryable, .. } => retryable,
            #[cfg(feature = "cloud-tasks")]
            Kind::Queue { retryable, .. } => retryable,
            _ => true,
        }
    }

    #[cfg(feature = "cloud-tasks")]
    pub(crate) fn kind(&self) -> &Kind {
        &self.0.kind
    }

    /// The status of the receiver's answer, where there was one.
    pub fn status(&self) -> Option<u16> {
        match self.0.kind {
            Kind::Status { status, .. } | Kind::Redirect { status, .. } => Some(status),
            _ => None,
        }
    }

    /// How long the receiver asked to be left alone, from the answer's `Retry-After`
    /// ([RFC 9110, 10.2.3](https://www.rfc-editor.org/rfc/rfc9110#name-retry-after)): seconds, or
    /// a date, which counts from the moment the answer was read. A year at most.
    pub fn retry_after(&self) -> Option<Duration> {
        match self.0.kind {
            Kind::Status { retry_after, .. } => retry_after,
            _ => None,
        }
    }
}

impl From<Kind> for DeliveryError {
    fn from(kind: Kind) -> DeliveryError {
        DeliveryError(Arc::new(Failure { kind, source: None }))
    }
}

impl fmt::Display for DeliveryError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if f.alternate() {
            return Chain(self).fmt(f);
        }
        match &self.0.kind {
            Kind::Encoding => f.write_str("the event's data cannot be written as JSON"),
            Kind::TooLarge { limit } => {
                write!(f, "the body is larger than the limit of {limit} bytes")
            }
            Kind::HeaderTooLong { name, limit } => write!(
                f,
                "the event's names are too long: the header {name} is over its limit of {limit} bytes"
            ),
            Kind::Timeout { limit, during } => write!(f, "timed out after {limit:?} {during}"),
            Kind::Resolve { peer } => write!(f, "{peer}'s name could not be resolved"),
            Kind::Connect { peer } => write!(f, "no connection to {peer}"),
            Kind::Proxy => f.write_str("the proxy did not let the connection through"),
            Kind::Tls => f.write_str("the TLS handshake failed"),
            Kind::TrustStore => f.write_str(
                "no CA certificate could be read: SSL_CERT_FILE must name a PEM file, or the \
                 system have a CA bundle (often the package ca-certificates)",
            ),
            Kind::Lost { during } => write!(f, "the connection was lost {during}"),
            Kind::Protocol => f.write_str("the answer is not HTTP/1.1"),
            Kind::Status { status, .. } => write!(f, "the receiver answered {status}"),
            Kind::Redirect {
                status,
                location: Some(location),
            } => write!(
                f,
                "the receiver answered {status}, a redirect to {location}: redirects are not \
                 followed, OPTERYX_WEBHOOK_DOMAIN must name the receiver itself"
            ),
            Kind::Redirect {
                status,
                location: None,
            } => {
                write!(
                    f,
                    "the receiver answered {status}, which is neither success nor a redirect to anywhere"
                )
            }
            #[cfg(feature = "cloud-tasks")]
            Kind::Credentials => f.write_str(
                "Google's credentials gave no access token for Cloud Tasks: \
                 GOOGLE_APPLICATION_CREDENTIALS, gcloud's own or the metadata server must provide one",
            ),
            #[cfg(feature = "cloud-tasks")]
            Kind::QueueUnreachable => f.write_str("no connection to Cloud Tasks"),
            #[cfg(feature = "cloud-tasks")]
            Kind::Queue { code, .. } => write!(f, "Cloud Tasks answered {code}"),
            Kind::Panicked => f.write_str("a panic on the way, caught"),
            Kind::Other { reason, .. } => f.write_str(reason),
        }
    }
}

impl Error for DeliveryError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        self.0
            .source
            .as_deref()
            .map(|source| source as &(dyn Error + 'static))
    }
}

/// An error and all that lies below it, on one line that no remote text can break.
pub(crate) struct Chain<'a>(pub(crate) &'a dyn Error);

impl fmt::Display for Chain<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut text = self.0.to_string();
        let mut below = self.0.source();
        while let Some(error) = below {
            let next = error.to_string();
            // Wrappers such as io::Error often repeat what they wrap.
            if !text.ends_with(&next) {
                text.push_str(": ");
                text.push_str(&next);
            }
            below = error.source();
        }
        for character in text.chars() {
            if character.is_control() {
                write!(f, "{}", character.escape_default())?;
            } else {
                fmt::Write::write_char(f, character)?;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_chain_says_each_thing_once_and_on_one_line() {
        let below = std::io::Error::other(DeliveryError::new("refused\r\nwarn: forged"));
        let error = DeliveryError::from(Kind::Connect {
            peer: Peer::Receiver,
        })
        .with_source(below);
        assert_eq!(
            Chain(&error).to_string(),
            "no connection to the receiver: refused\\r\\nwarn: forged"
        );
        assert_eq!(format!("{error:#}"), Chain(&error).to_string());
        assert_eq!(error.to_string(), "no connection to the receiver");
    }

    #[test]
    fn only_gone_and_what_cannot_be_sent_are_final() {
        let status = |status| {
            DeliveryError::from(Kind::Status {
                status,
                retry_after: None,
            })
        };
        assert!(status(404).is_retryable() && status(500).is_retryable());
        assert!(!status(410).is_retryable());
        assert!(!DeliveryError::from(Kind::Encoding).is_retryable());
        assert!(!DeliveryError::permanent("no").is_retryable());
        assert!(DeliveryError::new("later").is_retryable());
    }
}
