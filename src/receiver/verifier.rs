//! Checks that a message comes from a holder of the secret, and comes now.

use std::env;
use std::fmt;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use zeroize::Zeroizing;

use crate::error::ConfigError;
use crate::receiver::Notification;
use crate::receiver::error::{Kind, VerifyError};
use crate::signature::{Secret, parse_secrets, signed_bytes};

/// The headers that a [`Verifier`] looks at, in the order id, timestamp, signature: for a framework
/// that can look a header up but not list them all.
///
/// ```
/// # use opteryx_webhooks::receiver::{SIGNED_HEADERS, Verifier};
/// # struct Request;
/// # impl Request { fn header(&self, _: &str) -> Option<&str> { None } }
/// # let (verifier, request, body) = (Verifier::new([]), Request, b"");
/// let headers = SIGNED_HEADERS
///     .into_iter()
///     .filter_map(|name| Some((name, request.header(name)?)));
/// assert!(verifier.verify(headers, body).is_err());
/// ```
///
/// Such a look-up shows one of two headers of a name, so it rests with the framework which.
pub const SIGNED_HEADERS: [&str; 3] = ["webhook-id", "webhook-timestamp", "webhook-signature"];

/// How far a timestamp may be from the verifier's clock, unless
/// [`with_tolerance`](Verifier::with_tolerance) says otherwise: what the libraries of Standard
/// Webhooks allow.
const DEFAULT_TOLERANCE: Duration = Duration::from_secs(300);

/// The longest id that is taken, in bytes.
const MAX_ID: usize = 256;

/// The most signatures that are looked at in one message. Each costs a pass over the body for every
/// secret, and a sender with more secrets than this is none of ours.
const MAX_SIGNATURES: usize = 16;

/// Checks messages as [Standard Webhooks] says, whoever sent them.
///
/// It looks at the raw bytes of the body alone, compares in constant time, and takes a message that
/// any of its secrets has signed. So a secret is replaced without losing a delivery: first the
/// receiver is given the new one beside the old, then the sender, and then the old one goes.
///
/// Cheap to clone, and may be used from many threads at once.
///
/// [Standard Webhooks]: https://github.com/standard-webhooks/standard-webhooks/blob/main/spec/standard-webhooks.md
#[derive(Clone)]
pub struct Verifier {
    secrets: Arc<[Secret]>,
    tolerance: Duration,
    clock: Arc<dyn Fn() -> SystemTime + Send + Sync>,
}

impl Verifier {
    /// The verifier for the secrets in `OPTERYX_WEBHOOK_SECRET`: one, or several that are separated
    /// by spaces. Here, unlike at the sender's, `whpk_` public keys will do, and are to be preferred
    /// to the `whsk_` secrets that they belong to.
    ///
    /// # Errors
    ///
    /// The variable is wrong, or unset: a receiver that meant to check does not go without.
    pub fn from_env() -> Result<Verifier, ConfigError> {
        const VARIABLE: &str = "OPTERYX_WEBHOOK_SECRET";
        let list = match env::var(VARIABLE) {
            Ok(list) => Zeroizing::new(list),
            Err(env::VarError::NotPresent) => Zeroizing::default(),
            Err(env::VarError::NotUnicode(_)) => {
                return Err(ConfigError::new(VARIABLE, "is not UTF-8"));
            }
        };
        if list.trim().is_empty() {
            return Err(ConfigError::new(
                VARIABLE,
                "is not set, so nothing could be verified",
            ));
        }
        parse_secrets(&list)
            .map(Verifier::new)
            .map_err(|problem| ConfigError::new(VARIABLE, problem.to_string()))
    }

    /// The verifier for these secrets; without any, it refuses everything. This reads no environment
    /// variable.
    pub fn new(secrets: impl IntoIterator<Item = Secret>) -> Verifier {
        Verifier {
            secrets: secrets.into_iter().collect(),
            tolerance: DEFAULT_TOLERANCE,
            clock: Arc::new(SystemTime::now),
        }
    }

    /// The same, which takes timestamps that are up to this far from its clock, before or after, in
    /// whole seconds. It is 300 s unless set.
    ///
    /// An attacker who has recorded a message can send it again for as long, which
    /// [`SeenIds`](crate::receiver::SeenIds) notices. A wide tolerance is for messages that come
    /// through a queue, which signs them once and may deliver them much later.
    pub fn with_tolerance(self, tolerance: Duration) -> Verifier {
        Verifier { tolerance, ..self }
    }

    /// The same with this clock: for tests, and for messages that were kept.
    pub fn with_clock(self, clock: impl Fn() -> SystemTime + Send + Sync + 'static) -> Verifier {
        Verifier {
            clock: Arc::new(clock),
            ..self
        }
    }

    /// Checks a message as [`authenticate`](Verifier::authenticate) does, and only then parses it.
    ///
    /// # Errors
    ///
    /// Those of `authenticate`, and a body that is no [`Notification`]. Answer with the error's
    /// [`status`](VerifyError::status).
    pub fn verify<N: AsRef<str>, V: AsRef<[u8]>>(
        &self,
        headers: impl IntoIterator<Item = (N, V)>,
        body: &[u8],
    ) -> Result<(Attempt, Notification), VerifyError> {
        let attempt = self.authenticate(headers, body)?;
        let notification =
            Notification::parse(body).map_err(|error| VerifyError(Kind::Body(error)))?;
        Ok((attempt, notification))
    }

    /// Checks that a message is signed with one of the secrets and that its timestamp is near,
    /// whatever its body is.
    ///
    /// `headers` are those of the request, all of them, so that two of one name are noticed; names
    /// count whatever their case. `body` is what arrived, byte for byte.
    ///
    /// # Errors
    ///
    /// One of the [three headers](SIGNED_HEADERS) is missing, there twice or malformed; the
    /// timestamp is too old or too new; no signature matches. The id must be visible ASCII without a
    /// dot or a comma, 256 bytes at most; the timestamp decimal digits alone; and there may be 16
    /// signatures.
    pub fn authenticate<N: AsRef<str>, V: AsRef<[u8]>>(
        &self,
        headers: impl IntoIterator<Item = (N, V)>,
        body: &[u8],
    ) -> Result<Attempt, VerifyError> {
        let mut found: [Option<V>; 3] = [None, None, None];
        for (name, value) in headers {
            let name = name.as_ref();
            let Some(place) = SIGNED_HEADERS
                .iter()
                .position(|wanted| name.eq_ignore_ascii_case(wanted))
            else {
                continue;
            };
            if found[place].replace(value).is_some() {
                return Err(VerifyError(Kind::Duplicate(SIGNED_HEADERS[place])));
            }
        }
        let text = |place: usize| {
            let name = SIGNED_HEADERS[place];
            let value = found[place]
                .as_ref()
                .ok_or(VerifyError(Kind::Missing(name)))?;
            std::str::from_utf8(value.as_ref()).map_err(|_| VerifyError(Kind::Malformed(name)))
        };
        let (id, timestamp, signatures) = (text(0)?, text(1)?, text(2)?);

        if !is_id(id) {
            return Err(VerifyError(Kind::Malformed(SIGNED_HEADERS[0])));
        }
        let unix_seconds =
            parse_timestamp(timestamp).ok_or(VerifyError(Kind::Malformed(SIGNED_HEADERS[1])))?;
        self.check_time(unix_seconds)?;

        let signed = signed_bytes(id, timestamp, body);
        for (count, signature) in signatures.split(' ').enumerate() {
            if count == MAX_SIGNATURES {
                return Err(VerifyError(Kind::TooManySignatures));
            }
            if self
                .secrets
                .iter()
                .any(|secret| secret.made(signature, &signed))
            {
                return Ok(Attempt {
                    id: id.to_owned(),
                    unix_seconds,
                });
            }
        }
        Err(VerifyError(Kind::NoMatch))
    }

    fn check_time(&self, unix_seconds: u64) -> Result<(), VerifyError> {
        let now = (self.clock)()
            .duration_since(UNIX_EPOCH)
            .map_or(0, |since| since.as_secs());
        let tolerance = self.tolerance.as_secs();
        if now.saturating_sub(unix_seconds) > tolerance {
            Err(VerifyError(Kind::TooOld))
        } else if unix_seconds.saturating_sub(now) > tolerance {
            Err(VerifyError(Kind::TooNew))
        } else {
            Ok(())
        }
    }
}

/// No secret.
impl fmt::Debug for Verifier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Verifier")
            .field("secrets", &self.secrets)
            .field("tolerance", &self.tolerance)
            .finish_non_exhaustive()
    }
}

/// One delivery of a message that has been found authentic.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Attempt {
    id: String,
    unix_seconds: u64,
}

impl Attempt {
    /// The message's `webhook-id`: the same at every attempt, so that one that was seen before is
    /// told by it.
    pub fn id(&self) -> &str {
        &self.id
    }

    /// When this attempt was made, or a queue was given the message: its `webhook-timestamp`, in
    /// Unix seconds.
    pub fn unix_seconds(&self) -> u64 {
        self.unix_seconds
    }
}

/// A dot would let the end of the id pass for a timestamp, a comma shows that two headers were
/// joined on the way.
fn is_id(id: &str) -> bool {
    (1..=MAX_ID).contains(&id.len())
        && id
            .bytes()
            .all(|b| b.is_ascii_graphic() && b != b'.' && b != b',')
}

/// Digits alone: `str::parse` would take a sign as well.
fn parse_timestamp(timestamp: &str) -> Option<u64> {
    Some(timestamp)
        .filter(|text| text.bytes().all(|b| b.is_ascii_digit()))
        .and_then(|text| text.parse().ok())
}
