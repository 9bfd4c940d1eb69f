//! Why a notification is refused.

use std::borrow::Cow;
use std::error::Error;
use std::fmt;

/// Why a request is not taken.
///
/// `Display` is one line that says what is wrong, fit for a log; it holds nothing of the request.
/// The sender should be told no more than the [`status`](VerifyError::status).
#[derive(Debug)]
pub struct VerifyError(pub(crate) Kind);

#[derive(Debug)]
pub(crate) enum Kind {
    /// A header that is needed is not there.
    Missing(&'static str),
    /// A header is there more than once.
    Duplicate(&'static str),
    /// A header's value is not of its form.
    Malformed(&'static str),
    TooOld,
    TooNew,
    TooManySignatures,
    /// None of the signatures is one of the secrets'.
    NoMatch,
    /// Authentic, but no notification.
    Body(NotificationError),
}

impl VerifyError {
    /// The HTTP status to answer with: 401 for what is not shown to come from a holder of the
    /// secret, 400 for what does but is no notification.
    pub fn status(&self) -> u16 {
        if self.is_authentic() { 400 } else { 401 }
    }

    /// Whether the signature was right, and only the body is no notification.
    pub fn is_authentic(&self) -> bool {
        matches!(self.0, Kind::Body(_))
    }

    /// Whether the timestamp is further from the verifier's clock than its tolerance allows. The
    /// signature was not looked at.
    ///
    /// If many are, look at the two clocks, or at a queue that holds messages for long.
    pub fn is_untimely(&self) -> bool {
        matches!(self.0, Kind::TooOld | Kind::TooNew)
    }
}

impl fmt::Display for VerifyError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Kind::Missing(name) => write!(f, "there is no header {name}"),
            Kind::Duplicate(name) => write!(f, "there are several headers {name}"),
            Kind::Malformed(name) => write!(f, "the header {name} is malformed"),
            Kind::TooOld => f.write_str("the timestamp is too old"),
            Kind::TooNew => f.write_str("the timestamp is too new"),
            Kind::TooManySignatures => f.write_str("there are too many signatures"),
            Kind::NoMatch => f.write_str("no signature matches"),
            Kind::Body(_) => f.write_str("the signature is right, the body is no notification"),
        }
    }
}

impl Error for VerifyError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        match &self.0 {
            Kind::Body(error) => Some(error),
            _ => None,
        }
    }
}

/// Why a body is no [`Notification`](crate::receiver::Notification): one line, which holds nothing
/// of the body.
#[derive(Debug)]
pub struct NotificationError {
    problem: Cow<'static, str>,
    source: Option<Box<dyn Error + Send + Sync>>,
}

impl NotificationError {
    pub(crate) fn new(problem: impl Into<Cow<'static, str>>) -> NotificationError {
        NotificationError {
            problem: problem.into(),
            source: None,
        }
    }

    pub(crate) fn not_json(source: serde_json::Error) -> NotificationError {
        NotificationError {
            problem: Cow::Borrowed("it is not JSON"),
            source: Some(source.into()),
        }
    }
}

impl fmt::Display for NotificationError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.problem)
    }
}

impl Error for NotificationError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        self.source
            .as_deref()
            .map(|source| source as &(dyn Error + 'static))
    }
}
