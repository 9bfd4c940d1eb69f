//! The queue that tasks are put in: its path, the service that holds it, the token that it mints.

use std::fmt;

use crate::endpoint::Endpoint;
use crate::proxy::Proxy;

/// Where Cloud Tasks is, unless an emulator or an endpoint override says otherwise.
const GOOGLE: &str = "https://cloudtasks.googleapis.com";

/// How long the last part of a queue's path may be, in characters
/// ([Queue.name](https://cloud.google.com/tasks/docs/reference/rpc/google.cloud.tasks.v2#queue)).
const MAX_QUEUE_ID: usize = 100;

/// A queue, and all that is the same for each of its tasks.
#[derive(Clone, Debug)]
pub(crate) struct Queue {
    pub(crate) path: QueuePath,
    pub(crate) site: Site,
    /// Between us and the service.
    pub(crate) proxy: Option<Proxy>,
    pub(crate) oidc: Option<Oidc>,
}

/// `projects/P/locations/L/queues/Q`: exists only if it is right.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct QueuePath(String);

/// Who takes the tasks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Site {
    /// Over TLS, with an access token.
    Google { url: String },
    /// In plain text, without credentials.
    Emulator { url: String },
}

/// The OIDC token that Cloud Tasks mints at every dispatch, so that the receiver can tell the queue
/// from anyone else.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Oidc {
    pub(crate) service_account: String,
    /// The task's URL where none is given, which Cloud Tasks sees to.
    pub(crate) audience: Option<String>,
}

impl QueuePath {
    /// Parses the value of `OPTERYX_WEBHOOK_QUEUE`. The error says what would be right.
    pub(crate) fn parse(path: &str) -> Result<QueuePath, &'static str> {
        const WRONG: &str = "must be a queue's full path, such as \
                             `projects/my-project/locations/us-central1/queues/webhooks`";
        let parts: Vec<&str> = path.split('/').collect();
        let ["projects", project, "locations", location, "queues", queue] = parts[..] else {
            return Err(WRONG);
        };
        let is = |part: &str, further: &[u8]| {
            !part.is_empty()
                && part
                    .bytes()
                    .all(|byte| byte.is_ascii_alphanumeric() || further.contains(&byte))
        };
        if is(project, b":.-")
            && is(location, b"-")
            && is(queue, b"-")
            && queue.len() <= MAX_QUEUE_ID
        {
            Ok(QueuePath(path.to_owned()))
        } else {
            Err(WRONG)
        }
    }

    /// The full name of the task with this id.
    pub(crate) fn task(&self, id: &str) -> String {
        format!("{}/tasks/{id}", self.0)
    }
}

impl fmt::Display for QueuePath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl Site {
    /// Google's own.
    pub(crate) fn google() -> Site {
        Site::Google {
            url: GOOGLE.to_owned(),
        }
    }

    /// Parses the value of `CLOUDSDK_API_ENDPOINT_OVERRIDES_CLOUDTASKS`.
    pub(crate) fn google_at(url: &str) -> Result<Site, &'static str> {
        origin(url)
            .filter(|(scheme, _)| *scheme == "https")
            .map(|(_, authority)| Site::Google {
                url: format!("https://{authority}"),
            })
            .ok_or(
                "must be the https URL of a Cloud Tasks endpoint, such as \
                 `https://cloudtasks-vialink1.p.googleapis.com/`",
            )
    }

    /// Parses the value of `CLOUD_TASKS_EMULATOR_HOST`.
    pub(crate) fn emulator(host: &str) -> Result<Site, &'static str> {
        // Some set it with the scheme, as the variables of other emulators have it.
        let host = host.strip_prefix("http://").unwrap_or(host);
        origin(&format!("http://{host}"))
            .map(|(_, authority)| Site::Emulator {
                url: format!("http://{authority}"),
            })
            .ok_or("must be the `host:port` of an emulator, such as `localhost:8123`")
    }
}

/// Scheme and authority of a URL that has nothing else.
fn origin(url: &str) -> Option<(&'static str, String)> {
    let endpoint = Endpoint::parse(url).ok().filter(|_| url.contains("://"))?;
    let authority = endpoint.uri().authority()?.to_string();
    let scheme = if endpoint.is_https() { "https" } else { "http" };
    // A path prefix would stand before it.
    (endpoint.uri().path() == "/event").then_some((scheme, authority))
}

impl Oidc {
    /// Parses the value of `OPTERYX_WEBHOOK_OIDC_SERVICE_ACCOUNT`.
    pub(crate) fn parse(service_account: &str) -> Result<Oidc, &'static str> {
        let is_part = |part: &str| {
            !part.is_empty()
                && part
                    .bytes()
                    .all(|byte| byte.is_ascii_alphanumeric() || b"-._".contains(&byte))
        };
        match service_account.split_once('@') {
            Some((name, domain)) if is_part(name) && is_part(domain) => Ok(Oidc {
                service_account: service_account.to_owned(),
                audience: None,
            }),
            _ => Err("must be the email of a service account, such as \
                      `webhooks@my-project.iam.gserviceaccount.com`"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_full_path_is_a_queue() {
        for path in [
            "projects/my-project/locations/us-central1/queues/webhooks",
            "projects/example.com:my-project/locations/europe-west1/queues/Q-1",
        ] {
            assert_eq!(
                QueuePath::parse(path).map(|path| path.0),
                Ok(path.to_owned())
            );
        }
        let long = format!("projects/p/locations/l/queues/{}", "q".repeat(101));
        for path in [
            "webhooks",
            "/projects/p/locations/l/queues/q",
            "projects/p/locations/l/queues/q/",
            "projects//locations/l/queues/q",
            "projects/p/locations/l/queues/",
            "projects/p/locations/l/queues/a_b",
            "projects/p/locations/l/queues/q\n",
            "projects/p&x=y/locations/l/queues/q",
            "project/p/locations/l/queues/q",
            &long,
        ] {
            assert!(QueuePath::parse(path).is_err(), "{path:?}");
        }
    }

    #[test]
    fn the_site_is_an_origin_and_nothing_more() {
        let google = |url| match Site::google_at(url) {
            Ok(Site::Google { url }) => Some(url),
            _ => None,
        };
        assert_eq!(
            google("https://cloudtasks-x.p.googleapis.com/").as_deref(),
            Some("https://cloudtasks-x.p.googleapis.com")
        );
        assert_eq!(
            google("https://localhost:8443").as_deref(),
            Some("https://localhost:8443")
        );
        for url in [
            "localhost",
            "http://localhost",
            "https://a/v2",
            "https://u@a",
            "https://",
        ] {
            assert_eq!(google(url), None, "{url}");
        }

        let emulator = |host| match Site::emulator(host) {
            Ok(Site::Emulator { url }) => Some(url),
            _ => None,
        };
        for host in ["localhost:8123", "http://localhost:8123"] {
            assert_eq!(emulator(host).as_deref(), Some("http://localhost:8123"));
        }
        for host in ["https://localhost:1", "localhost:x", "a/b", ""] {
            assert_eq!(emulator(host), None, "{host}");
        }
    }

    #[test]
    fn a_service_account_is_an_email_address() {
        assert!(Oidc::parse("webhooks@p.iam.gserviceaccount.com").is_ok());
        for account in ["webhooks", "@p", "a@", "a b@p", "a@p@q", "a@p\n"] {
            assert!(Oidc::parse(account).is_err(), "{account:?}");
        }
    }
}
