//! The environment, and all that is wrong with it at once.

use std::env;
use std::ffi::{OsStr, OsString};

use opteryx_webhooks::{Config, ConfigError};

/// What stands in for a variable that is wrong while the others are read, because they would mean
/// something else without it. Of the rest it is enough to leave them out.
const STAND_INS: [(&str, &str); 3] = [
    ("OPTERYX_WEBHOOK_DOMAIN", "receiver.invalid"),
    (
        "OPTERYX_WEBHOOK_QUEUE",
        "projects/invalid/locations/invalid/queues/invalid",
    ),
    (
        "OPTERYX_WEBHOOK_OIDC_SERVICE_ACCOUNT",
        "nobody@invalid.iam.gserviceaccount.com",
    ),
];

/// What means nothing without the first.
const DEPENDENT: [(&str, &str); 1] = [(
    "OPTERYX_WEBHOOK_OIDC_SERVICE_ACCOUNT",
    "OPTERYX_WEBHOOK_OIDC_AUDIENCE",
)];

/// The variables of this process, as a notifier would read them.
pub(crate) struct Environment {
    variables: Vec<(OsString, OsString)>,
    /// Every variable that is wrong, with what is wrong with it.
    pub(crate) errors: Vec<ConfigError>,
    /// What the others come to. With an error it is not what a notifier goes by, which is then off.
    pub(crate) config: Option<Config>,
}

impl Environment {
    pub(crate) fn read() -> Environment {
        Environment::of(env::vars_os().collect())
    }

    fn of(variables: Vec<(OsString, OsString)>) -> Environment {
        let mut left = variables.clone();
        let mut errors: Vec<ConfigError> = Vec::new();
        let config = loop {
            let error = match Config::from_vars(left.clone()) {
                Ok(config) => break Some(config),
                Err(error) => error,
            };
            let wrong = error.variable().to_owned();
            let is_known = errors.iter().any(|error| error.variable() == wrong);
            let before = left.len();
            left.retain(|(name, _)| !is(name, &wrong));
            let is_gone = left.len() < before;
            if is_known {
                // The stand-in will not do, either.
                let dependent = DEPENDENT.iter().filter(|(name, _)| *name == wrong);
                for (_, dependent) in dependent {
                    left.retain(|(name, _)| !is(name, dependent));
                }
            } else {
                let stand_in = STAND_INS.iter().find(|(name, _)| *name == wrong);
                left.extend(stand_in.map(|(name, value)| (name.into(), value.into())));
                errors.push(error);
            }
            if !is_gone {
                break None;
            }
        };
        Environment {
            variables,
            errors,
            config,
        }
    }

    /// What is odd, but keeps nothing from working.
    pub(crate) fn warnings(&self) -> &[String] {
        self.config.as_ref().map_or(&[], Config::warnings)
    }

    /// The names of the variables that are set to something, as far as they are text.
    pub(crate) fn names(&self) -> impl Iterator<Item = &str> {
        self.variables
            .iter()
            .filter(|(_, value)| !is_blank(value))
            .filter_map(|(name, _)| name.to_str())
    }

    pub(crate) fn is_set(&self, variable: &str) -> bool {
        self.value(variable).is_some()
    }

    /// What a variable is set to, if it is to anything.
    pub(crate) fn value(&self, variable: &str) -> Option<&OsStr> {
        let mut variables = self.variables.iter();
        variables
            .find(|(name, value)| is(name, variable) && !is_blank(value))
            .map(|(_, value)| value.as_os_str())
    }

    /// What is wrong with a variable.
    pub(crate) fn error(&self, variable: &str) -> Option<&ConfigError> {
        let mut errors = self.errors.iter();
        errors.find(|error| is(OsStr::new(error.variable()), variable))
    }

    /// What it would come to without these variables, if it then is right.
    pub(crate) fn without(&self, variables: &[&str]) -> Option<Config> {
        let left = self
            .variables
            .iter()
            .filter(|(name, _)| !variables.iter().any(|variable| is(name, variable)));
        Config::from_vars(left.cloned()).ok()
    }
}

/// Whether this is the variable's name, to this system.
fn is(name: &OsStr, variable: &str) -> bool {
    if cfg!(windows) {
        name.eq_ignore_ascii_case(variable)
    } else {
        name == variable
    }
}

fn is_blank(value: &OsStr) -> bool {
    value.to_str().is_some_and(|value| value.trim().is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wrong(variables: &[(&str, &str)]) -> Vec<String> {
        let variables = variables.iter();
        let variables = variables.map(|(name, value)| (name.into(), value.into()));
        let environment = Environment::of(variables.collect());
        assert!(environment.config.is_some());
        let errors = environment.errors.iter();
        errors.map(|error| error.variable().to_owned()).collect()
    }

    #[test]
    fn every_variable_that_is_wrong_is_found_and_none_that_only_follows() {
        assert_eq!(
            wrong(&[
                ("OPTERYX_WEBHOOK_DOMAIN", "a b"),
                ("OPTERYX_WEBHOOK_TIMEOUT", "soon"),
                ("OPTERYX_WEBHOOK_EVENTS", "all"),
                ("OPTERYX_WEBHOOK_SECRET", "hunter2"),
                ("OPTERYX_WEBHOOK_HEADERS", "hunter2"),
                ("HTTPS_PROXY", "socks5://p:1"),
            ]),
            [
                "OPTERYX_WEBHOOK_DOMAIN",
                "OPTERYX_WEBHOOK_TIMEOUT",
                "OPTERYX_WEBHOOK_EVENTS",
                "OPTERYX_WEBHOOK_HEADERS",
                "OPTERYX_WEBHOOK_SECRET",
                "HTTPS_PROXY",
            ]
        );
        assert!(wrong(&[("OPTERYX_WEBHOOK_DOMAIN", "a.b")]).is_empty());
        assert!(wrong(&[]).is_empty());
    }

    #[cfg(feature = "cloud-tasks")]
    #[test]
    fn what_belongs_to_a_queue_that_is_wrong_is_not() {
        let account = (
            "OPTERYX_WEBHOOK_OIDC_SERVICE_ACCOUNT",
            "a@p.iam.gserviceaccount.com",
        );
        let audience = ("OPTERYX_WEBHOOK_OIDC_AUDIENCE", "https://a.b");
        let domain = ("OPTERYX_WEBHOOK_DOMAIN", "http://a.b");
        let queue = ("OPTERYX_WEBHOOK_QUEUE", "projects/p/locations/l/queues/q");
        let no_queue = ("OPTERYX_WEBHOOK_QUEUE", "q");
        let is_wrong = ["OPTERYX_WEBHOOK_QUEUE"];
        assert_eq!(
            wrong(&[
                ("OPTERYX_WEBHOOK_DOMAIN", "a.b"),
                no_queue,
                account,
                audience
            ]),
            is_wrong
        );
        // A token goes over https alone, and without one there is no audience.
        assert_eq!(wrong(&[domain, queue, account, audience]), [account.0]);
        assert_eq!(wrong(&[domain, account, audience]), [account.0]);
    }
}
