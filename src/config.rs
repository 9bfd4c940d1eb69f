//! The variables of the environment, and what they come to.

use std::env;
use std::ffi::{OsStr, OsString};
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use serde::Deserialize;
use zeroize::Zeroizing;

#[cfg(feature = "cloud-tasks")]
use crate::delivery::{Queue, QueueVariables, SiteVariables};
use crate::endpoint::Endpoint;
use crate::error::ConfigError;
use crate::filter::Filter;
use crate::headers::ExtraHeaders;
use crate::message::Envelope;
#[cfg(feature = "outbox")]
use crate::outbox::{OutboxConfig, OutboxVariables};
use crate::proxy::{Proxy, ProxyVariables};
use crate::signature::Signer;
use crate::trust::Trust;
use crate::value::decimal;

/// What every variable of ours begins with.
const PREFIX: &str = "OPTERYX_WEBHOOK_";

/// How long one `notify` may take in all, unless `OPTERYX_WEBHOOK_TIMEOUT` says otherwise: the
/// reference's.
const DEFAULT_TIMEOUT: Duration = Duration::from_secs(10);

/// The shortest timeout that is taken: less than a round trip is a mistake of unit.
const MIN_TIMEOUT: Duration = Duration::from_millis(1);

/// The longest timeout that is taken.
const MAX_TIMEOUT: Duration = Duration::from_secs(3600);

/// The variables of ours, and the Cargo feature that brings each, if it takes one, with whether it is
/// built in.
const VARIABLES: [(&str, Option<Feature>); 12] = [
    ("OPTERYX_WEBHOOK_DOMAIN", None),
    ("OPTERYX_WEBHOOK_TIMEOUT", None),
    ("OPTERYX_WEBHOOK_EVENTS", None),
    ("OPTERYX_WEBHOOK_HEADERS", None),
    ("OPTERYX_WEBHOOK_SECRET", None),
    ("OPTERYX_WEBHOOK_QUEUE", Some(CLOUD_TASKS)),
    ("OPTERYX_WEBHOOK_OIDC_SERVICE_ACCOUNT", Some(CLOUD_TASKS)),
    ("OPTERYX_WEBHOOK_OIDC_AUDIENCE", Some(CLOUD_TASKS)),
    ("OPTERYX_WEBHOOK_OUTBOX", Some(OUTBOX)),
    ("OPTERYX_WEBHOOK_RETRY", Some(OUTBOX)),
    ("OPTERYX_WEBHOOK_RATE", Some(OUTBOX)),
    ("OPTERYX_WEBHOOK_HISTORY", Some(OUTBOX)),
];

/// A Cargo feature, and whether it is built in.
type Feature = (&'static str, bool);

const CLOUD_TASKS: Feature = ("cloud-tasks", cfg!(feature = "cloud-tasks"));

const OUTBOX: Feature = ("outbox", cfg!(feature = "outbox"));

/// The variables of ours that are understood, as envy fills them in.
// No Debug: some of the values are secret.
#[derive(Default, Deserialize)]
struct Variables {
    domain: Option<String>,
    timeout: Option<String>,
    events: Option<String>,
    headers: Option<String>,
    secret: Option<String>,
    #[cfg(feature = "cloud-tasks")]
    queue: Option<String>,
    #[cfg(feature = "cloud-tasks")]
    oidc_service_account: Option<String>,
    #[cfg(feature = "cloud-tasks")]
    oidc_audience: Option<String>,
    #[cfg(feature = "outbox")]
    outbox: Option<String>,
    #[cfg(feature = "outbox")]
    retry: Option<String>,
    #[cfg(feature = "outbox")]
    rate: Option<String>,
    #[cfg(feature = "outbox")]
    history: Option<String>,
}

/// What the environment says, read once and checked.
///
/// Unset, empty and blank are the same: unset. Values are trimmed. What is wrong is a
/// [`ConfigError`]; what is merely odd is a [warning](Config::warnings).
#[derive(Clone)]
pub struct Config {
    pub(crate) endpoint: Option<Endpoint>,
    pub(crate) timeout: Duration,
    pub(crate) filter: Filter,
    pub(crate) envelope: Arc<Envelope>,
    pub(crate) proxy: Option<Proxy>,
    pub(crate) trust: Trust,
    #[cfg(feature = "cloud-tasks")]
    pub(crate) queue: Option<Queue>,
    #[cfg(feature = "outbox")]
    pub(crate) outbox: Option<OutboxConfig>,
    warnings: Vec<String>,
}

impl Config {
    /// Reads the environment of this process.
    ///
    /// # Errors
    ///
    /// The first variable that is wrong.
    pub fn from_env() -> Result<Config, ConfigError> {
        Config::from_vars(env::vars_os())
    }

    /// The same from variables that are given. This reads no environment variable.
    ///
    /// ```
    /// use opteryx_webhooks::{Config, Notifier};
    ///
    /// let config = Config::from_vars([
    ///     ("OPTERYX_WEBHOOK_DOMAIN", "router.opteryx.app"),
    ///     ("OPTERYX_WEBHOOK_EVENTS", "dataset.create view.*"),
    /// ])?;
    /// assert!(Notifier::new(config).is_enabled());
    ///
    /// let error = Config::from_vars([("OPTERYX_WEBHOOK_TIMEOUT", "soon")]).unwrap_err();
    /// assert_eq!(error.variable(), "OPTERYX_WEBHOOK_TIMEOUT");
    /// # Ok::<(), opteryx_webhooks::ConfigError>(())
    /// ```
    ///
    /// # Errors
    ///
    /// The first variable that is wrong.
    pub fn from_vars<N, V>(vars: impl IntoIterator<Item = (N, V)>) -> Result<Config, ConfigError>
    where
        N: AsRef<OsStr>,
        V: Into<OsString>,
    {
        let mut ours = Vec::new();
        let mut proxies = ProxyVariables::default();
        let mut trust = Trust::default();
        #[cfg(feature = "cloud-tasks")]
        let mut sites = SiteVariables::default();
        let mut warnings = Vec::new();

        for (name, value) in vars {
            // A name that is not UTF-8 is none that is read here.
            let Some(name) = name.as_ref().to_str() else {
                continue;
            };
            let name = canonical(name);
            let value = value.into();
            if trust.take(&name, &value) {
                continue;
            }
            if value.to_str().is_some_and(|value| value.trim().is_empty()) {
                continue;
            }
            match name.as_str() {
                #[cfg(feature = "cloud-tasks")]
                name if SiteVariables::is_one(name) => sites.set(name, value),
                name if ProxyVariables::is_one(name) => proxies.set(name, value),
                name if is_ours(name) => match understood(name)? {
                    Some(known) if ours.iter().any(|(name, _)| name == known) => {
                        return Err(ConfigError::new(known, "is set twice; set it once"));
                    }
                    Some(known) => ours.push((known.to_owned(), trimmed(known, value)?)),
                    None => warnings.push(unknown(name)),
                },
                _ => {}
            }
        }

        let is_configured = !ours.is_empty();
        // Only strings that are UTF-8, and only names that are known, ever reach envy.
        let variables: Variables = envy::prefixed(PREFIX)
            .from_iter(ours)
            .map_err(|_| ConfigError::new(format!("{PREFIX}*"), "cannot be read"))?;

        let endpoint = variables
            .domain
            .map(|domain| Endpoint::parse(&domain))
            .transpose()
            .map_err(|problem| ConfigError::new("OPTERYX_WEBHOOK_DOMAIN", problem))?;
        let timeout = variables
            .timeout
            .as_deref()
            .map_or(Ok(DEFAULT_TIMEOUT), timeout)?;
        let filter = variables
            .events
            .map_or(Ok(Filter::default()), |events| Filter::parse(&events))
            .map_err(|problem| ConfigError::new("OPTERYX_WEBHOOK_EVENTS", problem))?;
        let headers = variables
            .headers
            .map_or(Ok(ExtraHeaders::default()), |headers| {
                ExtraHeaders::parse(&headers)
            })
            .map_err(|problem| ConfigError::new("OPTERYX_WEBHOOK_HEADERS", problem))?;
        let signer = variables
            .secret
            .map(Zeroizing::new)
            .map_or(Ok(Signer::default()), |secrets| Signer::parse(&secrets))
            .map_err(|problem| ConfigError::new("OPTERYX_WEBHOOK_SECRET", problem.to_string()))?;
        #[cfg(feature = "cloud-tasks")]
        let queue = QueueVariables {
            queue: variables.queue,
            oidc_service_account: variables.oidc_service_account,
            oidc_audience: variables.oidc_audience,
            sites,
        }
        .queue(endpoint.as_ref(), &headers, &proxies, &trust, &mut warnings)?;
        #[cfg(feature = "outbox")]
        let outbox = OutboxVariables {
            outbox: variables.outbox,
            retry: variables.retry,
            rate: variables.rate,
            history: variables.history,
        }
        .outbox(&mut warnings)?;
        #[cfg(feature = "cloud-tasks")]
        let is_direct = queue.is_none();
        #[cfg(not(feature = "cloud-tasks"))]
        let is_direct = true;
        let proxy = match &endpoint {
            Some(endpoint) if is_direct => proxies.proxy_for(endpoint)?,
            _ => None,
        };

        for (part, nearest) in filter.unfamiliar() {
            warnings.push(format!(
                "OPTERYX_WEBHOOK_EVENTS: contains {part}s that this crate does not make itself; did \
                 you mean `{nearest}`?"
            ));
        }
        if endpoint.is_none() && is_configured {
            warnings.push(
                "OPTERYX_WEBHOOK_DOMAIN is not set, so the notifier is off and the other \
                 OPTERYX_WEBHOOK_ variables do nothing"
                    .to_owned(),
            );
        }
        if let Some(endpoint) = endpoint
            .as_ref()
            .filter(|endpoint| endpoint.repeats_its_route())
        {
            warnings.push(format!(
                "OPTERYX_WEBHOOK_DOMAIN: events go to {endpoint}; `/event` is added to what is given"
            ));
        }
        if let Some(endpoint) = endpoint.as_ref().filter(|endpoint| endpoint.is_exposed()) {
            warnings.push(format!(
                "OPTERYX_WEBHOOK_DOMAIN: {endpoint} is plain http: events cross the network in \
                 clear text"
            ));
        }
        Ok(Config {
            endpoint,
            timeout,
            filter,
            envelope: Arc::new(Envelope { headers, signer }),
            proxy,
            trust,
            #[cfg(feature = "cloud-tasks")]
            queue,
            #[cfg(feature = "outbox")]
            outbox,
            warnings,
        })
    }

    /// What is odd in the environment but keeps nothing from working, one line each: a name that
    /// looks misspelt, say. `Notifier::from_env` logs them.
    pub fn warnings(&self) -> &[String] {
        &self.warnings
    }
}

/// What an empty environment says: the notifier is off.
impl Default for Config {
    fn default() -> Config {
        Config {
            endpoint: None,
            timeout: DEFAULT_TIMEOUT,
            filter: Filter::default(),
            envelope: Arc::default(),
            proxy: None,
            trust: Trust::default(),
            #[cfg(feature = "cloud-tasks")]
            queue: None,
            #[cfg(feature = "outbox")]
            outbox: None,
            warnings: Vec::new(),
        }
    }
}

/// No header value, no secret, and no password of a proxy.
impl fmt::Debug for Config {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut f = f.debug_struct("Config");
        #[cfg(feature = "cloud-tasks")]
        f.field("queue", &self.queue);
        #[cfg(feature = "outbox")]
        f.field("outbox", &self.outbox);
        f.field("endpoint", &self.endpoint.as_ref().map(ToString::to_string))
            .field("timeout", &self.timeout)
            .field("filter", &self.filter)
            .field("envelope", &self.envelope)
            .field("proxy", &self.proxy)
            .field("trust", &self.trust)
            .finish_non_exhaustive()
    }
}

/// Where the system ignores the case of names, so does this.
fn canonical(name: &str) -> String {
    if cfg!(windows) {
        name.to_ascii_uppercase()
    } else {
        name.to_owned()
    }
}

fn is_ours(name: &str) -> bool {
    name.get(..PREFIX.len())
        .is_some_and(|start| start.eq_ignore_ascii_case(PREFIX))
}

/// The variable of ours by this name; an error where its part is missing from this build.
fn understood(name: &str) -> Result<Option<&'static str>, ConfigError> {
    match VARIABLES.into_iter().find(|(known, _)| *known == name) {
        Some((known, Some((feature, false)))) => Err(ConfigError::new(
            known,
            format!(
                "needs the Cargo feature `{feature}` of opteryx-webhooks, which this program was \
                 built without; build it in, or unset the variable"
            ),
        )),
        Some((known, _)) => Ok(Some(known)),
        None => Ok(None),
    }
}

fn unknown(name: &str) -> String {
    let distance = |known: &str| strsim::damerau_levenshtein(known, &name.to_ascii_uppercase());
    let nearest = VARIABLES
        .into_iter()
        .map(|(known, _)| known)
        .min_by_key(|known| distance(known));
    let shown: String = name.escape_default().collect();
    match nearest {
        Some(nearest) => {
            format!("{shown} is no variable of opteryx-webhooks; did you mean {nearest}?")
        }
        None => format!("{shown} is no variable of opteryx-webhooks"),
    }
}

fn trimmed(name: &'static str, value: OsString) -> Result<String, ConfigError> {
    match value.into_string() {
        Ok(value) => Ok(value.trim().to_owned()),
        Err(_) => Err(ConfigError::new(name, "is not UTF-8")),
    }
}

fn timeout(value: &str) -> Result<Duration, ConfigError> {
    decimal(value)
        .and_then(|seconds| Duration::try_from_secs_f64(seconds).ok())
        .filter(|timeout| (MIN_TIMEOUT..=MAX_TIMEOUT).contains(timeout))
        .ok_or_else(|| {
            ConfigError::new(
                "OPTERYX_WEBHOOK_TIMEOUT",
                "must be a number of seconds from 0.001 to 3600, such as `10` or `2.5`",
            )
        })
}
