//! The variables that describe a queue, and what is wrong with them together.

use std::ffi::OsString;

use super::queue::{Oidc, Queue, QueuePath, Site};
use crate::endpoint::Endpoint;
use crate::error::ConfigError;
use crate::headers::ExtraHeaders;
use crate::proxy::{METADATA_SERVERS, Proxy, ProxyVariables};
use crate::trust::Trust;

const QUEUE: &str = "OPTERYX_WEBHOOK_QUEUE";
const ACCOUNT: &str = "OPTERYX_WEBHOOK_OIDC_SERVICE_ACCOUNT";
const AUDIENCE: &str = "OPTERYX_WEBHOOK_OIDC_AUDIENCE";
const EMULATOR: &str = "CLOUD_TASKS_EMULATOR_HOST";
/// gcloud's own (`gcloud topic endpoint-override`): a private endpoint of Private Service Connect,
/// say.
const OVERRIDE: &str = "CLOUDSDK_API_ENDPOINT_OVERRIDES_CLOUDTASKS";

/// The variables that say where Cloud Tasks is. Other programs set and read them, too, so without a
/// queue they mean nothing here.
#[derive(Default)]
pub(crate) struct SiteVariables {
    emulator: Option<OsString>,
    endpoint: Option<OsString>,
}

impl SiteVariables {
    pub(crate) fn is_one(name: &str) -> bool {
        name == EMULATOR || name == OVERRIDE
    }

    pub(crate) fn set(&mut self, name: &str, value: OsString) {
        match name {
            EMULATOR => self.emulator = Some(value),
            _ => self.endpoint = Some(value),
        }
    }

    fn site(self) -> Result<Site, ConfigError> {
        let parsed = |name, value: OsString, parse: fn(&str) -> Result<Site, &'static str>| {
            let value = value.into_string();
            let value = value.map_err(|_| ConfigError::new(name, "is not UTF-8"))?;
            parse(value.trim()).map_err(|problem| ConfigError::new(name, problem))
        };
        match (self.emulator, self.endpoint) {
            (Some(host), _) => parsed(EMULATOR, host, Site::emulator),
            (None, Some(url)) => parsed(OVERRIDE, url, Site::google_at),
            (None, None) => Ok(Site::google()),
        }
    }
}

/// The variables that make a queue.
pub(crate) struct QueueVariables {
    pub(crate) queue: Option<String>,
    pub(crate) oidc_service_account: Option<String>,
    pub(crate) oidc_audience: Option<String>,
    pub(crate) sites: SiteVariables,
}

impl QueueVariables {
    /// The queue that they describe, if they name one.
    pub(crate) fn queue(
        self,
        endpoint: Option<&Endpoint>,
        headers: &ExtraHeaders,
        proxies: &ProxyVariables,
        trust: &Trust,
        warnings: &mut Vec<String>,
    ) -> Result<Option<Queue>, ConfigError> {
        let QueueVariables {
            queue,
            oidc_service_account,
            oidc_audience,
            sites,
        } = self;
        let Some(path) = queue else {
            return match (oidc_service_account, oidc_audience) {
                (None, None) => Ok(None),
                (Some(_), _) => Err(needs(ACCOUNT, QUEUE)),
                (None, Some(_)) => Err(needs(AUDIENCE, QUEUE)),
            };
        };
        let path = QueuePath::parse(&path).map_err(|problem| ConfigError::new(QUEUE, problem))?;
        let site = sites.site()?;

        let oidc = match (oidc_service_account, oidc_audience) {
            (Some(account), audience) => {
                let oidc =
                    Oidc::parse(&account).map_err(|problem| ConfigError::new(ACCOUNT, problem))?;
                if audience
                    .as_deref()
                    .is_some_and(|audience| audience.contains(char::is_control))
                {
                    return Err(ConfigError::new(AUDIENCE, "contains a control character"));
                }
                Some(Oidc { audience, ..oidc })
            }
            (None, Some(_)) => return Err(needs(AUDIENCE, ACCOUNT)),
            (None, None) => None,
        };
        let is_google = matches!(site, Site::Google { .. });
        let is_plain = endpoint.is_some_and(|endpoint| !endpoint.is_https());
        if oidc.is_some() && is_google && is_plain {
            return Err(ConfigError::new(
                ACCOUNT,
                "Cloud Tasks sends a token over https alone; OPTERYX_WEBHOOK_DOMAIN must not begin \
                 with `http://`",
            ));
        }
        for (name, _) in headers.iter() {
            let problem = if name == "authorization" && oidc.is_some() {
                format!("would be replaced by the token that {ACCOUNT} asks for; keep one of them")
            } else if name.starts_with("x-google-") || name.starts_with("x-appengine-") {
                format!("would be dropped by Cloud Tasks, which {QUEUE} names; rename or unset it")
            } else {
                continue;
            };
            let problem = format!("the header `{name}` {problem}");
            return Err(ConfigError::new("OPTERYX_WEBHOOK_HEADERS", problem));
        }
        let proxy = match &site {
            Site::Google { url } => {
                if let Some(variable) = trust.untidy {
                    return Err(ConfigError::new(
                        variable,
                        format!(
                            "is blank or has spaces around it, which Google's library takes for a \
                             path; unset or trim it where {QUEUE} is set"
                        ),
                    ));
                }
                if let Some(variable) = proxies.before_metadata_server() {
                    warnings.push(format!(
                        "{variable}: Google's library would ask the metadata server for access \
                         tokens through this proxy; NO_PROXY should name {}",
                        METADATA_SERVERS.join(" and ")
                    ));
                }
                proxy_for(url, proxies)?
            }
            Site::Emulator { url } => {
                if Endpoint::parse(url).is_ok_and(|emulator| emulator.is_exposed()) {
                    warnings.push(format!(
                        "{EMULATOR}: {url} is not this machine, and is spoken to in plain text: \
                         events and their headers cross the network in clear text"
                    ));
                }
                None
            }
        };
        Ok(Some(Queue {
            path,
            site,
            proxy,
            oidc,
        }))
    }
}

fn proxy_for(url: &str, proxies: &ProxyVariables) -> Result<Option<Proxy>, ConfigError> {
    let Ok(service) = Endpoint::parse(url) else {
        return Ok(None);
    };
    let proxy = proxies.proxy_for(&service)?;
    if proxy
        .as_ref()
        .is_some_and(|proxy| proxy.url.protocol() != ureq::ProxyProtocol::Http)
    {
        return Err(ConfigError::new(
            "HTTPS_PROXY",
            "must begin with `http://` where OPTERYX_WEBHOOK_QUEUE is set (NO_PROXY can except \
             cloudtasks.googleapis.com)",
        ));
    }
    Ok(proxy)
}

fn needs(variable: &'static str, other: &str) -> ConfigError {
    ConfigError::new(
        variable,
        format!("does nothing without {other}; set both, or neither"),
    )
}
