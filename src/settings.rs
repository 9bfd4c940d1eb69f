//! What a configuration comes to, to be shown.

use std::path::PathBuf;
use std::time::Duration;

use crate::config::Config;
#[cfg(feature = "cloud-tasks")]
use crate::delivery::{Queue, Site};
use crate::endpoint::Endpoint;
use crate::error::DeliveryError;
use crate::filter::Filter;
#[cfg(feature = "outbox")]
use crate::outbox::{History, Rate};
use crate::proxy::Proxy;

/// The longest word of a pattern that is shown: no resource type or action is near that.
const MAX_WORD: usize = 32;

/// What a [`Config`] comes to, for a host's own page of settings or an operator's eyes: no secret in
/// it, no header's value, no password.
///
/// ```
/// use opteryx_webhooks::{Config, Road};
///
/// let settings = Config::from_vars([
///     ("OPTERYX_WEBHOOK_DOMAIN", "router.opteryx.app"),
///     ("OPTERYX_WEBHOOK_HEADERS", "authorization=Bearer%20t0ken"),
/// ])?
/// .settings();
/// assert_eq!(settings.url.as_deref(), Some("https://router.opteryx.app/event"));
/// assert_eq!(settings.road, Road::Direct);
/// assert_eq!(settings.headers, ["authorization"]);
/// # Ok::<(), opteryx_webhooks::ConfigError>(())
/// ```
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct Settings {
    /// How events travel.
    pub road: Road,
    /// Where they are posted in the end; none if the notifier is off.
    pub url: Option<String>,
    /// How long one event may take in all.
    pub timeout: Duration,
    /// The patterns of the events that are sent; all are where there is none. A word that looks like
    /// none is an ellipsis here: it may be a secret in the wrong variable.
    pub events: Vec<String>,
    /// The kinds of the secrets that sign, as each begins: `whsec_` or `whsk_`.
    pub secrets: Vec<&'static str>,
    /// The names of the further headers, in lower case.
    pub headers: Vec<String>,
    /// The outbox that events wait in before they travel.
    #[cfg(feature = "outbox")]
    pub outbox: Option<OutboxSettings>,
    /// The proxy between this process and the receiver, or Cloud Tasks.
    pub proxy: Option<ProxySettings>,
    /// Where the CA certificates are that the other end is judged by.
    pub ca_certificates: CaCertificates,
}

/// How events travel.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Road {
    /// They do not: the notifier is off.
    Off,
    /// Each is posted straight to the receiver.
    Direct,
    /// Each is put into a queue of Cloud Tasks, which posts it.
    Queue(QueueSettings),
}

/// A queue of Cloud Tasks.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct QueueSettings {
    /// Its full path, `projects/P/locations/L/queues/Q`.
    pub path: String,
    /// The URL of the service that holds it.
    pub service: String,
    /// Whether that is an emulator, which is spoken to in plain text and without credentials.
    pub is_emulator: bool,
    /// The service account whose OIDC token goes with each task.
    pub oidc_service_account: Option<String>,
    /// The token's audience, where it is not the URL.
    pub oidc_audience: Option<String>,
}

/// An outbox.
#[cfg(feature = "outbox")]
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct OutboxSettings {
    /// Its file.
    pub path: PathBuf,
    /// The delays between attempts, of which there is one more.
    pub retry: Vec<Duration>,
    /// The most deliveries per second; none is no limit.
    pub rate: Option<f64>,
    /// What is kept of attempts that have been made.
    pub history: History,
}

/// A proxy.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct ProxySettings {
    /// Its host and port.
    pub address: String,
    /// Whether it gets a user and a password.
    pub has_credentials: bool,
    /// The variable that names it, such as `HTTPS_PROXY`.
    pub variable: String,
}

/// Where the CA certificates are.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum CaCertificates {
    /// None are needed: the other end is spoken to in plain text, or not at all.
    NotNeeded,
    /// Wherever the system has them.
    System,
    /// In these files and directories.
    Paths(Vec<PathBuf>),
}

impl Config {
    /// What it comes to, without anything that is nobody's business.
    pub fn settings(&self) -> Settings {
        let road = self.road();
        let speaks_tls = match &road {
            Road::Off => false,
            Road::Direct => {
                self.endpoint.as_ref().is_some_and(Endpoint::is_https)
                    || self.proxy.as_ref().is_some_and(Proxy::is_https)
            }
            Road::Queue(queue) => !queue.is_emulator,
        };
        let paths: Vec<_> = self.trust.named().map(PathBuf::from).collect();
        Settings {
            url: self.endpoint.as_ref().map(ToString::to_string),
            timeout: self.timeout,
            events: patterns(&self.filter),
            secrets: self.envelope.signer.kinds().collect(),
            headers: self
                .envelope
                .headers
                .iter()
                .map(|(name, _)| name.to_owned())
                .collect(),
            #[cfg(feature = "outbox")]
            outbox: self.outbox.as_ref().map(|outbox| OutboxSettings {
                path: outbox.path.clone(),
                retry: outbox.retry.delays().to_vec(),
                rate: outbox.rate.map(Rate::per_second),
                history: outbox.history,
            }),
            proxy: self.effective_proxy().map(|proxy| ProxySettings {
                address: format!("{proxy:?}"),
                has_credentials: proxy.url.username().is_some() || proxy.url.password().is_some(),
                variable: proxy.variable.clone(),
            }),
            ca_certificates: match speaks_tls {
                false => CaCertificates::NotNeeded,
                true if paths.is_empty() => CaCertificates::System,
                true => CaCertificates::Paths(paths),
            },
            road,
        }
    }

    /// How many CA certificates there are to judge the other end by, read from where they are now.
    ///
    /// # Errors
    ///
    /// There is none, and no https endpoint could be trusted.
    pub fn count_ca_certificates(&self) -> Result<usize, DeliveryError> {
        Ok(self.trust.certificates()?.len())
    }

    fn road(&self) -> Road {
        if self.endpoint.is_none() {
            return Road::Off;
        }
        #[cfg(feature = "cloud-tasks")]
        if let Some(queue) = &self.queue {
            return Road::Queue(queue_settings(queue));
        }
        Road::Direct
    }

    fn effective_proxy(&self) -> Option<&Proxy> {
        #[cfg(feature = "cloud-tasks")]
        if let Some(queue) = &self.queue {
            return queue.proxy.as_ref();
        }
        self.proxy.as_ref()
    }
}

#[cfg(feature = "cloud-tasks")]
fn queue_settings(queue: &Queue) -> QueueSettings {
    let (service, is_emulator) = match &queue.site {
        Site::Google { url } => (url, false),
        Site::Emulator { url } => (url, true),
    };
    let oidc = queue.oidc.as_ref();
    QueueSettings {
        path: queue.path.to_string(),
        service: service.clone(),
        is_emulator,
        oidc_service_account: oidc.map(|oidc| oidc.service_account.clone()),
        oidc_audience: oidc.and_then(|oidc| oidc.audience.clone()),
    }
}

fn patterns(filter: &Filter) -> Vec<String> {
    let is_word = |word: &str| {
        word.len() <= MAX_WORD
            && word
                .bytes()
                .all(|byte| byte.is_ascii_lowercase() || b"_*".contains(&byte))
    };
    let shown = |word| if is_word(word) { word } else { "…" };
    filter
        .patterns()
        .map(|(resource_type, action)| format!("{}.{}", shown(resource_type), shown(action)))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_that_may_be_secret_is_in_the_settings() {
        let config = Config::from_vars([
            ("OPTERYX_WEBHOOK_DOMAIN", "router.opteryx.app"),
            (
                "OPTERYX_WEBHOOK_EVENTS",
                "dataset.*, hunter2.create *.refresh",
            ),
            ("OPTERYX_WEBHOOK_HEADERS", "x-key=hunter2"),
            (
                "OPTERYX_WEBHOOK_SECRET",
                "whsec_aHVudGVyMmh1bnRlcjJodW50ZXIyaHVudGVyMg==",
            ),
            ("HTTPS_PROXY", "http://user:hunter2@proxy.example.com:3128"),
        ]);
        let settings = config.unwrap().settings();
        assert_eq!(settings.events, ["dataset.*", "….create", "*.refresh"]);
        assert_eq!(settings.secrets, ["whsec_"]);
        assert_eq!(settings.ca_certificates, CaCertificates::System);
        let proxy = settings.proxy.as_ref().unwrap();
        assert_eq!(
            (&*proxy.address, proxy.has_credentials, &*proxy.variable),
            ("proxy.example.com:3128", true, "HTTPS_PROXY")
        );
        let shown = format!("{settings:?}");
        assert!(!shown.contains("hunter2") && !shown.contains("aHVudGVyMmh"));
    }
}
